/* Removing RSA padding without telling whether it was right: constant in time but for public lengths.
 *
 * An attacker who learns whether his ciphertexts have good padding can decrypt others (Bleichenbacher 1998). So nothing
 * here fails over data: a message with bad padding becomes another one, which its sender can't tell from a real one,
 * and which is the same whenever he tries again. For decryption.c and exchange.c (prov_unpad_align); owns nothing. */
#ifndef SIGNET_PROVIDER_OPERATIONS_UNPAD_H
#define SIGNET_PROVIDER_OPERATIONS_UNPAD_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/scoped.h"
#include "provider/core/rejection.h"

#define PROV_UNPAD_MAX 2048   /* the longest block: 16384 bits, libcrypto's own limit */
#define PROV_UNPAD_PKCS1 11   /* what PKCS#1 v1.5 needs of a block, RFC 8017 §7.2.1 */
#define PROV_UNPAD_TLS_LEN 48 /* a premaster secret, RFC 5246 §7.4.7.1 */
#define PROV_UNPAD_SECRET_LEN PROV_REJECTION_LEN
#define PROV_UNPAD_NO_MESSAGE (SIZE_MAX / 2) /* in place of the length of a message that a token did not give */

/* A message that never was: the last `len` bytes of a block. */
struct prov_unpad_synthetic {
    uint8_t block[PROV_UNPAD_MAX];
    size_t len;
};

/* What decides on the synthetic message of a ciphertext: a secret of this process and a name for the key; and the
 * library context, with its property query, whose HKDF is used. Borrowed. */
struct prov_unpad_source {
    OSSL_LIB_CTX *libctx;
    const char *query;
    const uint8_t *secret; /* PROV_UNPAD_SECRET_LEN bytes */
    const char *key_name;
};

/* prov_unpad_synthetic makes the message for a ciphertext of k bytes, PROV_UNPAD_PKCS1 <= k <= PROV_UNPAD_MAX: always
 * the same, and to anybody without the secret a random one of random length, 0..k - PROV_UNPAD_PKCS1. False if
 * libcrypto can't. */
MUST_CHECK bool prov_unpad_synthetic(struct prov_unpad_synthetic *out, const struct prov_unpad_source *source,
                                     const uint8_t *ciphertext, size_t k);

/* prov_unpad_pkcs1 takes the message out of the encoded block em[0..k), PROV_UNPAD_PKCS1 <= k (RFC 8017 §7.2.2): the
 * synthetic one if its padding is bad. `out` has room for k. Returns the message's length. */
size_t prov_unpad_pkcs1(uint8_t *out, const uint8_t *em, size_t k, const struct prov_unpad_synthetic *synthetic);

/* prov_unpad_message is the same for a message of `len` bytes, at most PROV_UNPAD_NO_MESSAGE, out of which a token has
 * taken the padding itself: the synthetic one if it is longer than one can be. em[0..k) is read in any case. */
size_t prov_unpad_message(uint8_t *out, const uint8_t *em, size_t len, size_t k,
                          const struct prov_unpad_synthetic *synthetic);

/* prov_unpad_align puts the zeros that a token left out before block[0..len), len <= k <= PROV_UNPAD_MAX: how many is a
 * secret, too. */
void prov_unpad_align(uint8_t *block, size_t len, size_t k);

/* prov_unpad_tls takes a premaster secret out of em[0..k), PROV_UNPAD_PKCS1 + PROV_UNPAD_TLS_LEN <= k. It is `random`
 * if the padding is bad, the length is not 48, or the version in it is neither `client_version` nor (if that is not 0)
 * `negotiated_version`. */
void prov_unpad_tls(uint8_t out[PROV_UNPAD_TLS_LEN], const uint8_t *em, size_t k,
                    const uint8_t random[PROV_UNPAD_TLS_LEN], unsigned client_version, unsigned negotiated_version);

/* prov_unpad_tls_message does the rest of that for a message of `len` bytes that a token has unpadded itself (or
 * PROV_UNPAD_NO_MESSAGE). 48 bytes of `message` are read, however long it is. */
void prov_unpad_tls_message(uint8_t out[PROV_UNPAD_TLS_LEN], const uint8_t message[PROV_UNPAD_TLS_LEN], size_t len,
                            const uint8_t random[PROV_UNPAD_TLS_LEN], unsigned client_version,
                            unsigned negotiated_version);

#endif
