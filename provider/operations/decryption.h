/* RSA decryption with a key on a token.
 *
 * The token does raw RSA, where it has that, and the padding is removed here in constant time
 * (provider/operations/unpad.h); else the token removes it. Neither an error nor the time that we take depends on
 * whether PKCS#1 padding was right. For provider/operations/asymcipher.c, whose context it is. */
#ifndef SIGNET_PROVIDER_OPERATIONS_DECRYPTION_H
#define SIGNET_PROVIDER_OPERATIONS_DECRYPTION_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

#include "provider/keys/key.h"

struct asym_ctx {
    struct prov_ctx *prov;
    struct prov_key *key;
    bool decrypting;
    EVP_PKEY_CTX *delegate; /* the work itself, or with a key on a token its parameters */
};

/* prov_decrypt_by_token is the decrypt function of the dispatch table: with `out` == NULL it tells the room that is
 * needed. */
int prov_decrypt_by_token(struct asym_ctx *ctx, unsigned char *out, size_t *outlen, size_t outsize,
                          const unsigned char *in, size_t inlen);

#endif
