/* One try for a PIN that is not known to be right, among all processes that were forked from one.
 *
 * A token counts wrong PINs and locks, and sixteen workers of a server that start with a wrong one would lock it at
 * once. So whoever wants to send a PIN takes the token's turn (base/shared.h), and keeps it until the token has
 * answered. Others wait for it up to their deadline: this is the only lock that is held across a C_ call, and nobody is
 * kept by it for longer. Whoever keeps the turn for more than two seconds hangs; a PIN that was accepted before does
 * not wait for that.
 *
 * After any answer that does not prove that nobody looked at it (the table of pkcs11/result/ckr.h) a PIN that was never
 * accepted is not sent again, by anyone of the family. A process that dies before the answer leaves a PIN of which
 * nobody knows; the same holds for it.
 *
 * What was answered is kept as marks, keyed hashes of what is said of which PIN at which token, in the family's row and
 * in the process's own. The family's can be forged by a member that was broken into, so the process's own comes first:
 * what it saw refused it does not send, whatever the family says; and what it saw accepted it sends once more although
 * the family calls it refused, after a while, if the token does not say either that a wrong PIN came. For
 * pkcs11/token/login.c. */
#ifndef SIGNET_PKCS11_TOKEN_TRIES_H
#define SIGNET_PKCS11_TOKEN_TRIES_H

#include "base/secret.h"
#include "base/shared.h"
#include "pkcs11/result/ckr.h"
#include "pkcs11/token/token.h"

struct tok_try {
    struct tok_token *token;   /* NULL: no try */
    struct shared_row *family; /* what all know of the token, */
    struct shared_row *own;    /* and what this process has seen */
    uint64_t about;            /* the token */
    uint64_t pin;
    bool has_turn;
    bool after_refusal; /* of another PIN, and none was accepted since: the token's flags may have changed */
};

/* tok_try_begin takes the turn to send this PIN to the token; `name` is where it is from, for messages.
 * TOK_CODE_PIN_REFUSED or _UNCLEAR if it is not to be sent again, TOK_CODE_DEADLINE if another thread or process had
 * the turn for too long. End with tok_try_end; the zero state is fine there. */
TOK_RESULT tok_try_begin(struct tok_try *try, struct tok_token *token, const struct secret *pin, const char *name,
                         uint64_t deadline_us);
/* tok_try_sent says, before C_Login, that the PIN is on its way. */
void tok_try_sent(struct tok_try *try);
/* tok_try_answered keeps what the token's answer says of the PIN. True if the PIN may be sent again. */
MUST_CHECK bool tok_try_answered(struct tok_try *try, enum tok_of_pin answer);
void tok_try_end(struct tok_try *try);

/* tok_pin_was_refused tells, without waiting, whether the token refused this PIN: from us or from another process. */
bool tok_pin_was_refused(struct tok_token *token, const struct secret *pin);

#endif
