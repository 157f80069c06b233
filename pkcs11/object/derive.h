/* Agreement on a secret by a key on a token and a public key: ECDH. The secret is made as an object of the session,
 * read, and destroyed at once. For pkcs11/key/key-operate.c. */
#ifndef SIGNET_PKCS11_OBJECT_DERIVE_H
#define SIGNET_PKCS11_OBJECT_DERIVE_H

#include <stddef.h>
#include <stdint.h>

#include "pkcs11/result/cryptoki.h"
#include "pkcs11/result/result.h"

struct tok_lease;

/* tok_derive gives the secret that `key` shares with the owner of `point`. `*in_out_len` is its length, as far as
 * that is known, and the room in `out`. */
TOK_RESULT tok_derive(struct tok_lease *lease, CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE key, const uint8_t *point,
                      size_t point_len, uint8_t *out, CK_ULONG *in_out_len);

#endif
