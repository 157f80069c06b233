/* ML-DSA on a token: the token is given the whole message. PKCS#11 v3.2 §6.67, FIPS 204. */
#include <openssl/core_names.h>
#include <openssl/params.h>

#include "provider/variant.h"

#define SINCE_3_5 0x305

/* Without parameters the token hedges and there is no context, which is what TLS and X.509 want. */
static bool mldsa_choice(struct prov_choice *out, const struct prov_scheme *scheme, unsigned way)
{
    (void)scheme;
    *out = (struct prov_choice){ .type = CKM_ML_DSA, .message = true };
    return way == 0;
}

#define OCTETS(name) OSSL_PARAM_octet_string(name, NULL, 0)

static const OSSL_PARAM mldsa_key_params[] = {
    OCTETS(OSSL_PKEY_PARAM_PUB_KEY),
    OCTETS(OSSL_PKEY_PARAM_PRIV_KEY),
    OCTETS("seed"),
    OSSL_PARAM_END,
};

static const OSSL_PARAM mldsa_readable[] = {
    PROV_TOKEN_PARAMS,
    OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
    OSSL_PARAM_int("security-category", NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
    OCTETS(OSSL_PKEY_PARAM_PUB_KEY),
    OCTETS(OSSL_PKEY_PARAM_PRIV_KEY),
    OCTETS("seed"),
    OSSL_PARAM_END,
};

static const OSSL_PARAM mldsa_generation[] = {
    OCTETS("seed"),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_PROPERTIES, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM mldsa_none[] = { OSSL_PARAM_END };

static const struct prov_family mldsa = {
    .operation = "SIGNET-ML-DSA",
    .private_param = OSSL_PKEY_PARAM_PRIV_KEY,
    .seed_param = "seed",
    .public_param = OSSL_PKEY_PARAM_PUB_KEY,
    .private_tells_public = true,
    .key_params = mldsa_key_params,
    .readable = mldsa_readable,
    .writable = mldsa_none,
    .generation = mldsa_generation,
    .public_key = prov_bytes_public_key,
    .describe = prov_bytes_describe,
    .choice = mldsa_choice,
    .prepare = prov_bytes_prepare,
    .shape = prov_bytes_shape,
};

#define ROW(set, bytes)                                                                                                \
    const struct prov_variant prov_ml_dsa_##set##_variant = {                                                          \
        .type = "ML-DSA-" #set,                                                                                        \
        .names = PROV_NAMES_ML_DSA_##set,                                                                              \
        .description = "ML-DSA-" #set " keys on a token, and software keys by delegation",                             \
        .key_type = CKK_ML_DSA,                                                                                        \
        .family = &mldsa,                                                                                              \
        .public_len = (bytes),                                                                                         \
        .since = SINCE_3_5,                                                                                            \
    };

ROW(44, 1312)
ROW(65, 1952)
ROW(87, 2592)
