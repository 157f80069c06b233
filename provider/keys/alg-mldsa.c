/* ML-DSA on a token: the token is given the whole message. PKCS#11 v3.2 §6.67, FIPS 204. */
#include "provider/keys/alg-bytes.h"

static const OSSL_PARAM mldsa_key_params[] = { PROV_BYTES_KEY_PARAMS, PROV_OCTETS("seed"), OSSL_PARAM_END };

static const OSSL_PARAM mldsa_readable[] = {
    PROV_BYTES_READABLE,
    OSSL_PARAM_int("security-category", NULL),
    PROV_OCTETS("seed"),
    OSSL_PARAM_END,
};

/* Without parameters the token hedges as it prefers and there is no context, which is what TLS and X.509 want. */
static const struct prov_family mldsa = {
    .signature = "SIGNET-ML-DSA",
    .seed_param = "seed",
    .key_params = mldsa_key_params,
    .readable = mldsa_readable,
    .writable = prov_bytes_no_params,
    .generation = prov_bytes_seeded,
    .mechanism = CKM_ML_DSA,
    .param_rules = prov_bytes_rules,
    .prepare = prov_bytes_prepare_more,
    PROV_BYTES_FAMILY,
};

#define ROW(level, arc, bytes, scheme, code, bits)                                                                     \
    PROV_BYTES_ROW(ml_dsa_##level, "ML-DSA-" #level, "MLDSA" #level ":2.16.840.1.101.3.4.3." arc ":id-ml-dsa-" #level, \
                   CKK_ML_DSA, mldsa, bytes, PROV_SINCE_3_5, .tls_scheme = { scheme, code, bits })

ROW(44, "17", 1312, "mldsa44", 0x0904, 128)
ROW(65, "18", 1952, "mldsa65", 0x0905, 192)
ROW(87, "19", 2592, "mldsa87", 0x0906, 256)
