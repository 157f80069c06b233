/* X25519 and X448 on a token: keys that agree on secrets (provider/operations/exchange.c) and do not sign. PKCS#11 v3.0
 * §2.3, RFC 7748. */
#include "provider/keys/alg-bytes.h"

static const OSSL_PARAM montgomery_key_params[] = { PROV_BYTES_KEY_PARAMS, OSSL_PARAM_END };

static const OSSL_PARAM montgomery_readable[] = {
    PROV_BYTES_READABLE,
    PROV_OCTETS(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY),
    OSSL_PARAM_END,
};

static const OSSL_PARAM montgomery_writable[] = { PROV_OCTETS(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY), OSSL_PARAM_END };

static const OSSL_PARAM montgomery_generation[] = {
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
    PROV_OCTETS("dhkem-ikm"),
    OSSL_PARAM_END,
};

static const struct prov_family montgomery = {
    .key_exchange = "SIGNET-ECDH",
    .x_only = true,
    .unapproved = true, /* SP 800-56A has no such curves, and so the FIPS provider */
    .key_params = montgomery_key_params,
    .readable = montgomery_readable,
    .writable = montgomery_writable,
    .generation = montgomery_generation,
    PROV_BYTES_FAMILY,
};

static const struct prov_tls_group x25519_groups[] = { { "x25519", "X25519", 29, 128, false }, { .tls_name = NULL } };
static const struct prov_tls_group x448_groups[] = { { "x448", "X448", 30, 224, false }, { .tls_name = NULL } };

PROV_BYTES_ROW(x25519, "X25519", "1.3.101.110", CKK_EC_MONTGOMERY, montgomery, 32, .tls_groups = x25519_groups)
PROV_BYTES_ROW(x448, "X448", "1.3.101.111", CKK_EC_MONTGOMERY, montgomery, 56, .tls_groups = x448_groups)
