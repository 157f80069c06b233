/* Sessions: a pool for each token, lent by scope.
 *
 * A session serves one operation of one thread at a time, which is a lease. Leases wait in order of arrival when the
 * token has no more sessions, up to a deadline; how many it has is learnt from CKR_SESSION_COUNT. A session whose
 * operation was left open, or that the module complained of, is closed in place of being lent again. The session that
 * logged in is like any other, so a token with a single session works. Handles of sessions never leave this room except
 * inside a lease. */
#ifndef SIGNET_PKCS11_SESSION_H
#define SIGNET_PKCS11_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "pkcs11/result.h"
#include "pkcs11/token.h"

struct tok_lease {
    struct tok_token *token; /* NULL: no lease */
    CK_FUNCTION_LIST *functions;
    CK_SESSION_HANDLE session;
    uint64_t epoch; /* the token's, when the session was opened: handles of objects belong to it as well */
    bool op_open;   /* an operation was begun and not ended: close the session */
    bool spoilt;    /* the module complained of the session: close it */
    bool forgotten; /* the module does not know the session any more: there is nothing to close */
};

/* tok_lease_begin lends a session of the token, opening one if need be; `max_sessions` limits the pool (0: as learnt).
 * TOK_CODE_DEADLINE if none became free in time. End with tok_lease_end; the zero state is fine there. */
TOK_RESULT tok_lease_begin(struct tok_lease *lease, struct tok_token *token, unsigned max_sessions,
                           uint64_t deadline_us);
void tok_lease_end(struct tok_lease *lease);

/* tok_pool_drain closes the idle sessions of an epoch: one of them turned out to be lost, the others may be. */
void tok_pool_drain(struct tok_token *token, uint64_t epoch);

#endif
