/* ML-DSA on a token: the token is given the whole message. PKCS#11 v3.2 §6.67, FIPS 204. */
#include "provider/keys/alg-bytes.h"

static const OSSL_PARAM mldsa_key_params[] = { PROV_BYTES_KEY_PARAMS, PROV_OCTETS("seed"), OSSL_PARAM_END };

static const OSSL_PARAM mldsa_readable[] = {
    PROV_BYTES_READABLE,
    OSSL_PARAM_int("security-category", NULL),
    PROV_OCTETS("seed"),
    OSSL_PARAM_END,
};

/* Without parameters the token hedges and there is no context, which is what TLS and X.509 want. */
static const struct prov_family mldsa = {
    .operation = "SIGNET-ML-DSA",
    .seed_param = "seed",
    .key_params = mldsa_key_params,
    .readable = mldsa_readable,
    .writable = prov_bytes_no_params,
    .generation = prov_bytes_seeded,
    .mechanism = CKM_ML_DSA,
    .public_key = prov_bytes_public_key,
    .prepare = prov_bytes_prepare,
    PROV_BYTES_FAMILY,
};

#define ROW(set, bytes)                                                                                                \
    PROV_BYTES_ROW(ml_dsa_##set, "ML-DSA-" #set, PROV_NAMES_ML_DSA_##set, CKK_ML_DSA, mldsa, bytes, 0, PROV_SINCE_3_5)

ROW(44, 1312)
ROW(65, 1952)
ROW(87, 2592)
