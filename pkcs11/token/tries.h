/* One try for a wrong PIN, among all processes that were forked from one.
 *
 * A token counts wrong PINs and locks, and sixteen workers of a server that start with a wrong one would lock it at
 * once. So whoever wants to send a PIN takes the token's row in the shared pages (base/shared.h), which says which PINs
 * were refused and which one was accepted, and keeps it until the token has answered. Others wait for it up to their
 * deadline: this is the only lock that is held across a C_ call, and nobody is kept by it for longer. What is kept of a
 * PIN is a hash under a random key, and the token's identity is part of it.
 *
 * Whoever keeps the turn for more than two seconds hangs; a PIN that was accepted before does not wait for that.
 *
 * A process that dies before the answer leaves a PIN of which nobody knows; it counts as refused unless it was accepted
 * before. For pkcs11/token/login.c. */
#ifndef SIGNET_PKCS11_TOKEN_TRIES_H
#define SIGNET_PKCS11_TOKEN_TRIES_H

#include "base/secret.h"
#include "base/shared.h"
#include "pkcs11/token/token.h"

struct tok_try {
    struct shared_row *row; /* NULL: no try */
    bool has_turn;          /* and the row's lock */
    uint64_t pin;
    bool after_refusal; /* of another PIN, and none was accepted since: the token's flags may have changed */
};

/* tok_try_begin takes the turn to send this PIN to the token; `name` is where it is from, for messages.
 * TOK_CODE_PIN_REFUSED if it was refused before, TOK_CODE_DEADLINE if another thread or process had the turn for too
 * long. End with tok_try_end; the zero state is fine there. */
TOK_RESULT tok_try_begin(struct tok_try *try, struct tok_token *token, const struct secret *pin, const char *name,
                         uint64_t deadline_us);
/* tok_try_sent says, before C_Login, that the PIN is on its way. */
void tok_try_sent(struct tok_try *try);
/* tok_try_answered keeps what the token said. */
void tok_try_answered(struct tok_try *try, CK_RV rv);
void tok_try_end(struct tok_try *try);

/* tok_pin_was_refused tells, without waiting, whether the token refused this PIN: from us or from another process. */
bool tok_pin_was_refused(struct tok_token *token, const struct secret *pin);

/* tok_refuses_pin tells whether the answer of C_Login is about the PIN. */
bool tok_refuses_pin(CK_RV rv);

#endif
