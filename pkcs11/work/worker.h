/* Operations that somebody else waits for: requests, and the threads of ours that carry them out.
 *
 * An event-driven server must not wait for a token. It makes a request, which has copies of all that the operation
 * needs, and hears of its end by a descriptor or a function. A worker is a thread that takes requests one after the
 * other and leases sessions like everybody (pkcs11/key/key.h), so that recovery, health and deadlines are the same.
 * Workers start at the first request, more of them while requests have to wait, and end when there is nothing to do;
 * the requests of each token wait in a lane of their own, and none may take all workers, so that a token that hangs
 * does not keep another's waiting. A request that is not served by its deadline fails, and a worker that is still
 * inside the module then is written off: another one takes its place. At exit they stop; in the child of a fork there
 * are none, its copies of requests fail, and their descriptors are closed.
 *
 * A request has two owners, its maker and its worker; either may leave first. For provider/operations/async.c. */
#ifndef SIGNET_PKCS11_WORK_WORKER_H
#define SIGNET_PKCS11_WORK_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pkcs11/work/bell.h"
#include "pkcs11/key/key.h"

struct tok_request;

enum tok_work {
    TOK_WORK_SIGN,
    TOK_WORK_DECRYPT,
    TOK_WORK_DERIVE,
    TOK_WORK_ASK, /* tok_key_ask_mechanisms: no mechanism, no data */
};

/* tok_request_new copies the mechanism, with what its parameters point to, and the data; the key is referenced. `room`
 * is for the result. */
TOK_RESULT tok_request_new(struct tok_request **out_request, enum tok_work work, struct tok_key *key,
                           const CK_MECHANISM *mechanism, const uint8_t *in, size_t in_len, size_t room);
/* tok_request_submit hands it to the workers. A failure (no thread can be had, the process is exiting) leaves it
 * undone. */
TOK_RESULT tok_request_submit(struct tok_request *request);
/* tok_request_soon is for a caller that is about to pause its job. Where a token answers as fast as a thread is woken,
 * a pause costs more than it gains. So if there is no other request, and results usually take a millisecond at most,
 * this waits for the result for twice the usual time. False if it is not done by then. */
bool tok_request_soon(struct tok_request *request);
/* tok_request_on_done: once it is done the bell rings, and a worker calls `wake(arg)`, unless they are NULL; but not
 * after tok_request_leave. False if it is done already: nobody rings, nobody calls. */
bool tok_request_on_done(struct tok_request *request, struct tok_bell *bell, void (*wake)(void *arg), void *arg);
/* tok_request_done never waits. */
bool tok_request_done(struct tok_request *request);
/* tok_request_wait waits until it is done, at the latest until its deadline. */
void tok_request_wait(struct tok_request *request);
/* tok_request_result is that of a request that is done. `*in_out_len` is the room in `out` before, and the length
 * after; both may be NULL where there is nothing to be had. */
TOK_RESULT tok_request_result(struct tok_request *request, uint8_t *out, size_t *in_out_len, uint64_t *out_unproved);
/* tok_request_refusal: what the token said of the data, where the result of a decryption is good. */
CK_RV tok_request_refusal(const struct tok_request *request);
/* tok_request_leave ends its maker's part in it, whether it is done or not. */
void tok_request_leave(struct tok_request *request);
void tok_request_end(struct tok_request **request);

/* tok_workers_leave: requests under these settings are not carried out any more; waits a while for those that are under
 * way. False if a worker is still inside a module: the settings must stay. */
bool tok_workers_leave(const struct tok_settings *settings);

#endif
