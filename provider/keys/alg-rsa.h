/* RSA keys, beyond what every family has: decryption. For provider/operations/decryption.c; constant data. */
#ifndef SIGNET_PROVIDER_KEYS_ALG_RSA_H
#define SIGNET_PROVIDER_KEYS_ALG_RSA_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pkcs11/result/cryptoki.h"

extern const CK_MECHANISM prov_rsa_raw, prov_rsa_pkcs1;

struct prov_rsa_oaep {
    CK_MECHANISM mechanism;
    CK_RSA_PKCS_OAEP_PARAMS params;
};
/* prov_rsa_oaep_make fills the mechanism and its parameters, which borrow the label. mgf1 == NULL: as digest. False for
 * digests that a token can't be told. */
bool prov_rsa_oaep_make(struct prov_rsa_oaep *out, const EVP_MD *digest, const EVP_MD *mgf1, const uint8_t *label,
                        size_t label_len);

#endif
