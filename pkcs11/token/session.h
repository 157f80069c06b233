/* Sessions: a pool for each token, lent by scope.
 *
 * A session serves one operation of one thread at a time, which is a lease. Leases wait in order of arrival when the
 * token has no more sessions, up to a deadline; how many it has is learnt from CKR_SESSION_COUNT. A session whose
 * operation was left open, or that the module complained of, is closed in place of being lent again. The session that
 * logged in is like any other, so a token with a single session works. Sessions that the last few hundred operations
 * did not need are closed, but for some (setting idle-sessions). A lease may be alone: a card takes the PIN of an
 * operation only if no other command, of whichever session, comes before the operation itself. Handles of sessions
 * never leave this room except inside a lease. */
#ifndef SIGNET_PKCS11_TOKEN_SESSION_H
#define SIGNET_PKCS11_TOKEN_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "pkcs11/result/result.h"
#include "pkcs11/token/token.h"

struct tok_lease {
    /* What the borrower may set before; 0 is fine. */
    uint64_t began_us;        /* when his operation began; 0: now */
    unsigned idle_sessions;   /* setting idle-sessions */
    bool want_new;            /* rather a new session than an idle one */
    struct tok_message wants; /* one that signs messages with this, or with nothing */
    bool alone;               /* no other lease of the token, until its end */

    struct tok_token *token; /* NULL: no lease */
    CK_FUNCTION_LIST *functions;
    const struct tok_functions_3 *messages; /* NULL: the module has none */
    CK_SESSION_HANDLE session;
    uint64_t epoch; /* the token's, when the session was opened: handles of objects belong to it as well. Also set where
                       no session could be opened */
    uint64_t objects;        /* the token's count when the session was taken, or was open */
    bool logged_in;          /* and whether it was logged in to */
    bool is_new;             /* it was opened for this lease */
    struct tok_message told; /* what the session signs messages with: what the lease wants, or nothing */
    bool op_open;            /* an operation was begun and not ended: close the session */
    bool failed;             /* the operation failed, so the token has served nobody by it */
    bool spoilt;             /* the module complained of the session: close it */
    bool forgotten;          /* the module does not know the session any more: there is nothing to close */

    /* the pool's */
    unsigned place;
    uint64_t deadline_us;
    uint64_t served;    /* by the token, when the lease began */
    tok_inside *inside; /* where the borrower's thread is */
};

/* tok_lease_begin lends a session of the token, opening one if need be; `max_sessions` limits the pool (0: as learnt).
 * TOK_CODE_DEADLINE if none became free in time. End with tok_lease_end; the zero state is fine there. A lease that has
 * begun must stay where it is in memory. */
TOK_RESULT tok_lease_begin(struct tok_lease *lease, struct tok_token *token, unsigned max_sessions,
                           uint64_t deadline_us);
void tok_lease_end(struct tok_lease *lease);
/* tok_lease_renew ends it as well, and closes its session whatever state that is in. If the pool has room, another one
 * is opened before, so that neither the login nor a session for the next lease is lost. */
void tok_lease_renew(struct tok_lease *lease, unsigned max_sessions);
/* tok_lease_in_time is for each turn of a loop whose length the token decides: TOK_CODE_DEADLINE once the lease's
 * deadline is over, but not before the first turn. */
TOK_RESULT tok_lease_in_time(const struct tok_lease *lease, const char *things, size_t done);

#endif
