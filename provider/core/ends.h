/* How objects of libcrypto end that a scope owns: SCOPED(pkey_end) EVP_PKEY *key (base/scoped.h). For the rooms of
 * provider/; each takes NULL. */
#ifndef SIGNET_PROVIDER_CORE_ENDS_H
#define SIGNET_PROVIDER_CORE_ENDS_H

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base/scoped.h"

#define PROV_END(name, type, free_it)                                                                                  \
    static inline void name##_end(type **object)                                                                       \
    {                                                                                                                  \
        free_it(*object);                                                                                              \
    }

PROV_END(bio, BIO, BIO_free)
PROV_END(kdf, EVP_KDF, EVP_KDF_free)
PROV_END(kdf_ctx, EVP_KDF_CTX, EVP_KDF_CTX_free)
PROV_END(keymgmt, EVP_KEYMGMT, EVP_KEYMGMT_free)
PROV_END(md, EVP_MD, EVP_MD_free)
PROV_END(md_ctx, EVP_MD_CTX, EVP_MD_CTX_free)
PROV_END(number, BIGNUM, BN_free)
PROV_END(openssl, unsigned char, OPENSSL_free)
PROV_END(params, OSSL_PARAM, OSSL_PARAM_free)
PROV_END(pkey, EVP_PKEY, EVP_PKEY_free)
PROV_END(pkey_ctx, EVP_PKEY_CTX, EVP_PKEY_CTX_free)

#endif
