/* Signing of messages, PKCS#11 3.0: a session is told its key and mechanism once (C_MessageSignInit), and each
 * signature is one call then (C_SignMessage), where C_SignInit and C_Sign are two.
 *
 * What a session was told stays with its place in the pool. A lease says what it wants to sign with, and gets a session
 * that was told just that, or one that was told nothing: whoever borrows a session never meets an operation that he did
 * not ask for. A lost session, login or object is found out as always: what the session was told counts only as long as
 * the handles of objects do. Nothing here is taken for granted: modules have these functions in their list and do not
 * support them, or for some mechanisms alone; then there are two calls, and nobody asks again.
 *
 * For the rooms of pkcs11/. */
#ifndef SIGNET_PKCS11_TOKEN_MESSAGE_H
#define SIGNET_PKCS11_TOKEN_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pkcs11/result/cryptoki.h"
#include "pkcs11/result/result.h"

struct tok_lease;
struct tok_pool;
struct tok_token;

/* What a session signs messages with. */
struct tok_message {
    CK_OBJECT_HANDLE key;
    uint64_t objects; /* the token's count for which the handle is good; 0: the session was told nothing */
    CK_MECHANISM_TYPE type;
    size_t params_len;
    uint8_t params[40];
};

/* tok_message_offered tells whether the module has these functions and the token has not refused them. */
bool tok_message_offered(const struct tok_token *token);
/* tok_message_make fills in what a lease asks its session to sign with. False where that can't be compared: the
 * parameters are too long, or contain pointers. */
bool tok_message_make(struct tok_message *out, CK_OBJECT_HANDLE key, uint64_t objects, const CK_MECHANISM *mechanism);

/* tok_message_idle finds the idle session for a lease, as a place in the pool's list: one that was told what the lease
 * wants, else one that was told nothing, else the last used; *out_switch is true where that was told something else.
 * Requires the token's lock; the pool has an idle session. */
unsigned *tok_message_idle(struct tok_pool *pool, const struct tok_lease *lease, bool *out_switch);
/* tok_message_count counts how often a session could go on, and how often it had to be told something else. Where the
 * latter prevails (few sessions, many keys), C_SignInit and C_Sign cost less. Requires the token's lock. */
void tok_message_count(struct tok_token *token, const struct tok_lease *lease);
/* tok_message_settle ends what the lease's session was told (C_MessageSignFinal), unless the lease wants it. */
void tok_message_settle(struct tok_lease *lease);

enum tok_message_verdict {
    TOK_MESSAGE_TRIED,   /* the result counts */
    TOK_MESSAGE_REFUSED, /* this key can't do it, or not with this mechanism: sign by two calls, */
    TOK_MESSAGE_NEVER,   /* nor can the token at all: likewise; if the two calls work, don't try again */
};
/* tok_message_sign signs with what the lease wants. Outputs change on success only. */
TOK_RESULT tok_message_sign(struct tok_lease *lease, enum tok_message_verdict *out_verdict,
                            const CK_MECHANISM *mechanism, const uint8_t *in, size_t in_len, uint8_t *out,
                            size_t *in_out_len);
/* tok_message_never: the token is not asked again. */
void tok_message_never(struct tok_token *token);

#endif
