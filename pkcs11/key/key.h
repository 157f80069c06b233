/* A private key on a token: an identity, not a handle.
 *
 * A key knows which object it is (its URI and its public half) and finds the handle again whenever that may have
 * changed: after a lost session or login, a token that went and came back, a fork. It is made either by a search
 * (pkcs11/key/find.h), or from a key file, which makes no call at all: then the token is looked for by the first
 * operation. Operations recover from what the CKR table says can be recovered from, each kind at most once, within the
 * deadline. Where a token shows nothing of the key that could be compared, the operation says so (`unproved`) and the
 * caller verifies its result before using it.
 *
 * A key may be on several tokens, which are replicas (pkcs11/key/replica.h): an operation goes to one of them, and to
 * another one where that fails.
 *
 * Keys are shared by reference; safe from any thread. */
#ifndef SIGNET_PKCS11_KEY_KEY_H
#define SIGNET_PKCS11_KEY_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "pkcs11/token/login.h"
#include "pkcs11/object/object.h"

struct tok_key;

/* tok_key_new makes a key that no token was asked for yet. The URI and the half move into it, also on failure;
 * `settings` is borrowed for the key's life. */
TOK_RESULT tok_key_new(struct tok_key **out_key, const struct tok_settings *settings, struct tok_uri *uri,
                       struct tok_public *half);
/* tok_key_found makes a key out of what a search read, on the token of the lease. `found` is emptied; `from` is the URI
 * that was searched for: its module and PIN stay with the key, the PIN for this token only where it is `alone`, the one
 * that was meant. */
TOK_RESULT tok_key_found(struct tok_key **out_key, const struct tok_settings *settings, const struct tok_uri *from,
                         struct tok_lease *lease, struct tok_private *found, bool alone);
/* tok_key_join: what a search found on another token is the same key, which is on both from now on. Both are just found
 * by one name; `other` is only good for being freed afterwards. */
TOK_RESULT tok_key_join(struct tok_key *key, struct tok_key *other);
/* tok_key_look_again says that some token could not answer whether it has the key; the next operation looks for
 * the key's tokens again. */
void tok_key_look_again(struct tok_key *key);
struct tok_key *tok_key_ref(struct tok_key *key);
void tok_key_unref(struct tok_key *key);
void tok_key_end(struct tok_key **key);

const struct tok_public *tok_key_half(const struct tok_key *key); /* borrowed, constant */
const char *tok_key_uri(const struct tok_key *key);               /* borrowed, constant, without a PIN */
/* tok_key_last_us is how long the last operation that went well took, with waiting and recovery; 0: none yet. */
uint64_t tok_key_last_us(const struct tok_key *key);
/* tok_key_names copies the token's and the key's labels; empty where not known yet. Sizes in bytes, at least 1. */
void tok_key_names(struct tok_key *key, char *out_token, size_t token_size, char *out_label, size_t label_size);

/* tok_key_locate finds token and object, logging in, without an operation (setting load = early). */
TOK_RESULT tok_key_locate(struct tok_key *key, const struct tok_pin_prompt *prompt);

/* What is known, without a call, of a mechanism with this key: by the key's CKA_ALLOWED_MECHANISMS, once they were
 * read, and by what the token's slot offers, once it was asked. */
enum tok_offer { TOK_OFFERED, TOK_NOT_OFFERED, TOK_OFFER_UNKNOWN };
enum tok_offer tok_key_offers(struct tok_key *key, CK_MECHANISM_TYPE type);
/* tok_key_is_limited tells, in two loads, whether tok_key_offers has anything to go by. */
bool tok_key_is_limited(const struct tok_key *key);
/* tok_key_ask_mechanisms asks the slot what it offers, unless this process knows; finds the token first if need be. */
void tok_key_ask_mechanisms(struct tok_key *key);

/* One operation with the token's own bytes, within a deadline (0: that of the settings, from now). `*in_out_len` is the
 * room in `out` before, and the result's length after. `*out_unproved` is 0, or a mark to be handed to tok_key_prove
 * once the caller has verified the result: the token did not show that the key is still the one that was loaded.
 * Outputs change on success only, but for the bytes in `out`, which is the token's to write to. */
TOK_RESULT tok_key_sign_until(struct tok_key *key, const CK_MECHANISM *mechanism, const uint8_t *in, size_t in_len,
                              uint8_t *out, size_t *in_out_len, uint64_t *out_unproved, uint64_t deadline_us);
/* Decrypts likewise. A token's refusal of the data is a success here, and costs the same calls, now and later, as a
 * message does: `*out_refusal` is CKR_OK, or the token's answer, and then the length is 0. Where the token removes
 * padding, the caller must not let the difference show. tok_key_refused makes an error of a refusal. */
TOK_RESULT tok_key_decrypt_until(struct tok_key *key, const CK_MECHANISM *mechanism, const uint8_t *in, size_t in_len,
                                 uint8_t *out, size_t *in_out_len, CK_RV *out_refusal, uint64_t deadline_us);
TOK_RESULT tok_key_refused(struct tok_key *key, CK_RV refusal);
/* The secret that the key shares with a public key (`in`, its point): of `*in_out_len` bytes, or what the token makes
 * of it. The mechanism is ECDH's, without parameters. */
TOK_RESULT tok_key_derive_until(struct tok_key *key, const CK_MECHANISM *mechanism, const uint8_t *in, size_t in_len,
                                uint8_t *out, size_t *in_out_len, uint64_t deadline_us);
static inline TOK_RESULT tok_key_sign(struct tok_key *key, const CK_MECHANISM *mechanism, const uint8_t *in,
                                      size_t in_len, uint8_t *out, size_t *in_out_len, uint64_t *out_unproved)
{
    return tok_key_sign_until(key, mechanism, in, in_len, out, in_out_len, out_unproved, 0);
}
static inline TOK_RESULT tok_key_decrypt(struct tok_key *key, const CK_MECHANISM *mechanism, const uint8_t *in,
                                         size_t in_len, uint8_t *out, size_t *in_out_len, CK_RV *out_refusal)
{
    return tok_key_decrypt_until(key, mechanism, in, in_len, out, in_out_len, out_refusal, 0);
}

/* What pkcs11/work/submit.c has to know of a key: its settings, which token it is on (the first of them; NULL: not
 * looked for yet), and how many sessions they have, as far as is known (0: not). */
const struct tok_settings *tok_key_settings(const struct tok_key *key);
const struct tok_token *tok_key_where(struct tok_key *key, unsigned *out_sessions);

/* tok_key_prove: the result was right, so the object is the right one, until it has to be found again. */
void tok_key_prove(struct tok_key *key, uint64_t unproved);
/* tok_key_disprove: the result was another key's. True if the key is on other tokens as well, which are asked rather
 * than this one from now on. */
bool tok_key_disprove(struct tok_key *key, uint64_t unproved);

#endif
