/* A request as the workers see it (pkcs11/work/worker.h): what to do, what came of it, and who still has a part in it.
 * For pkcs11/work/crew.c, whose lock guards what is not marked as constant, worker.c, submit.c and request.c. */
#ifndef SIGNET_PKCS11_WORK_REQUEST_H
#define SIGNET_PKCS11_WORK_REQUEST_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pkcs11/module/call.h"
#include "pkcs11/work/worker.h"

struct lane;

enum request_state { REQUEST_NEW, REQUEST_QUEUED, REQUEST_RUNNING, REQUEST_DONE };

enum request_end {
    REQUEST_SERVED, /* `result` is the worker's */
    REQUEST_LATE,   /* its deadline passed */
    REQUEST_LEFT,   /* the provider's instance ended before */
};

struct tok_request {
    /* constant from the start */
    enum tok_work work;
    struct tok_key *key;
    CK_MECHANISM mechanism;
    const uint8_t *in;
    size_t in_len;
    uint8_t *out;
    size_t room;
    size_t size; /* of all of it */

    /* the worker's until the request is done, constant afterwards */
    struct tok_result result;
    size_t out_len;
    uint64_t unproved;
    CK_RV refusal;

    /* set with the lock held; who sees it without may read what is the worker's */
    _Atomic bool served;

    /* guarded by the workers' lock */
    struct tok_bell *bell; /* the maker's; NULL: none */
    void (*wake)(void *arg);
    void *wake_arg;
    struct tok_request *next, **prev; /* of all requests */
    struct tok_request *next_queued;
    struct lane *lane;
    enum request_state state;
    enum request_end end;
    unsigned owners;
    bool left;               /* by its maker */
    bool at_work;            /* a worker has it */
    bool waking;             /* `wake` is running */
    bool gone;               /* this is a copy of it, in the child of a fork */
    tok_inside *inside;      /* where its worker is */
    const char *inside_name; /* where it was when the request was given up */
    bool had_to_queue;
    uint64_t soon_us; /* it is likely to be done by then; 0: it is not */
    uint64_t submitted_us;
    uint64_t deadline_us;

    alignas(max_align_t) uint8_t bytes[]; /* parameters, data, room for the result */
};

/* request_make is tok_request_new without adding the request to the crew. */
TOK_RESULT request_make(struct tok_request **out_request, enum tok_work work, struct tok_key *key,
                        const CK_MECHANISM *mechanism, const uint8_t *in, size_t in_len, size_t room);
/* request_carry_out does the work, in a worker, without a lock. */
void request_carry_out(struct tok_request *request);
/* request_free frees a request that has no owner left. */
void request_free(struct tok_request *request);

#endif
