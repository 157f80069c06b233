/* RSA padding for tokens that only do raw RSA: the block that raw RSA is given. RFC 8017.
 *
 * For provider/keys/alg-rsa.c; owns nothing. A block has the length of the modulus in bytes. */
#ifndef SIGNET_PROVIDER_KEYS_PAD_H
#define SIGNET_PROVIDER_KEYS_PAD_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/scoped.h"

/* prov_pad_pkcs1 is EMSA-PKCS1-v1_5 (§9.2) around a ready DigestInfo. False if the block is too short for it. */
MUST_CHECK bool prov_pad_pkcs1(uint8_t *block, size_t block_len, const uint8_t *info, size_t info_len);

/* What PSS is made with; digests are of the library context that computes them. */
struct prov_pad_pss {
    const EVP_MD *digest;
    const EVP_MD *mgf1;
    const uint8_t *salt;
    size_t salt_len;
    size_t key_bits;
};

/* prov_pad_pss is EMSA-PSS (§9.1.1) over a ready digest. False if the block is too short, or libcrypto fails. */
MUST_CHECK bool prov_pad_pss(uint8_t *block, size_t block_len, const struct prov_pad_pss *with, const uint8_t *digest,
                             size_t digest_len);

#endif
