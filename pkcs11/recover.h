/* What to do after a failure that need not be final: the third column of the CKR table, carried out.
 *
 * Whoever retries keeps a `struct tok_attempts` for one operation: each kind of recovery is tried at most once, waiting
 * excepted, and nothing goes on beyond the deadline. For pkcs11/key.c and pkcs11/find.c. */
#ifndef SIGNET_PKCS11_RECOVER_H
#define SIGNET_PKCS11_RECOVER_H

#include "pkcs11/session.h"

struct tok_attempts {
    uint64_t deadline_us;
    unsigned tried;    /* bits of enum tok_recovery */
    uint64_t pause_us; /* of the last wait */
};

/* tok_note_failure marks the lease as spoilt where the failure says so; call it before the lease ends. */
void tok_note_failure(struct tok_lease *lease, const struct tok_result *failure);

/* tok_recover prepares another attempt after `failure`, which happened in sessions of `epoch` of the token. False if
 * there is nothing to do but report it. */
bool tok_recover(struct tok_attempts *attempts, struct tok_token *token, uint64_t epoch,
                 const struct tok_result *failure);

#endif
