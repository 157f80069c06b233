/* Operations on a token, inside an ASYNC job of OpenSSL and outside.
 *
 * Outside they are plain calls. Inside a job the work is a request that a worker carries out (pkcs11/work/worker.h),
 * and the job pauses: the application's thread goes on with other connections until a descriptor is readable, or its
 * callback was called. A module is not run on a job's own stack, which is small (32 KiB): where a job can't pause (it
 * is blocked, there is no descriptor, the setting says async = no), its thread waits for the worker.
 *
 * A connection may be freed while its job is paused. Then OpenSSL never goes on with that job, and nothing that it had
 * is ever freed: so nothing of ours belongs to it. The request has copies; what else the operation has is told here
 * (`struct prov_job`) and freed by the application's thread that frees the connection. For signing.c, decryption.c and
 * exchange.c.
 */
#ifndef SIGNET_PROVIDER_OPERATIONS_ASYNC_H
#define SIGNET_PROVIDER_OPERATIONS_ASYNC_H

#include "provider/keys/key.h"

/* What an operation has that outlives a function call; abandoned(arg) ends it if the job is abandoned. NULL: nothing.
 */
struct prov_job {
    void (*abandoned)(void *arg);
    void *arg;
};

/* As tok_key_sign, tok_key_decrypt, tok_key_derive_until and tok_key_ask_mechanisms. Errors that a module leaves on
 * OpenSSL's queue are gone. */
TOK_RESULT prov_async_sign(struct prov_key *key, const struct prov_job *job, const CK_MECHANISM *mechanism,
                           const uint8_t *in, size_t in_len, uint8_t *out, size_t *in_out_len, uint64_t *out_unproved);
TOK_RESULT prov_async_decrypt(struct prov_key *key, const struct prov_job *job, const CK_MECHANISM *mechanism,
                              const uint8_t *in, size_t in_len, uint8_t *out, size_t *in_out_len, CK_RV *out_refusal);
TOK_RESULT prov_async_derive(struct prov_key *key, const struct prov_job *job, const CK_MECHANISM *mechanism,
                             const uint8_t *in, size_t in_len, uint8_t *out, size_t *in_out_len);
void prov_async_ask_mechanisms(struct prov_key *key, const struct prov_job *job);

#endif
