/* Mechanisms: their names, and lists of them: what a key allows, what a slot offers.
 *
 * A key's CKA_ALLOWED_MECHANISMS is a list of the mechanisms it may be used with; an empty one, as some tokens show for
 * every key, means any. What a slot offers (C_GetMechanismList) is asked at most once for a token and process, and only
 * when something depends on it: a token that takes the first choice of every operation is never asked. Lists are the
 * bytes of CK_MECHANISM_TYPEs, and constant once made. For the rooms of pkcs11/; the names travel upwards. */
#ifndef SIGNET_PKCS11_OBJECT_MECH_H
#define SIGNET_PKCS11_OBJECT_MECH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "pkcs11/token/token.h"

/* tok_mech_count is how many mechanisms the bytes of a list hold; 0 for what is no list. */
size_t tok_mech_count(const struct bytes *list);
bool tok_mech_among(const struct bytes *list, CK_MECHANISM_TYPE type);
/* tok_mech_pss_only tells whether a list allows RSA's PSS and nothing else; an empty one does not. */
bool tok_mech_pss_only(const struct bytes *list);

/* tok_mech_name is "CKM_ECDSA", or "a mechanism" where it has no row; static. */
const char *tok_mech_name(CK_MECHANISM_TYPE type);

/* tok_mech_offered is what the token's slot offers, if it was asked and answered; else NULL. Lives as long as the
 * token. */
const struct bytes *tok_mech_offered(struct tok_token *token);
/* tok_mech_ask asks the token's slot, unless that was done before. If the slot gives no list, what it offers stays
 * unknown, which is no failure. */
void tok_mech_ask(struct tok_token *token, uint64_t deadline_us);

#endif
