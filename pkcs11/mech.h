/* Mechanisms: their names, and lists of them: what a key allows.
 *
 * A key's CKA_ALLOWED_MECHANISMS is a list of the mechanisms it may be used with; an empty one, as some tokens show for
 * every key, means any. Lists are constant once made. For the rooms of pkcs11/. */
#ifndef SIGNET_PKCS11_MECH_H
#define SIGNET_PKCS11_MECH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"
#include "pkcs11/cryptoki.h"

/* tok_mech_count is how many mechanisms the bytes of a list hold; 0 for what is no list. */
size_t tok_mech_count(const struct bytes *list);
bool tok_mech_among(const struct bytes *list, CK_MECHANISM_TYPE type);
/* tok_mech_pss_only tells whether a list allows RSA's PSS and nothing else; an empty one does not. */
bool tok_mech_pss_only(const struct bytes *list);

#endif
