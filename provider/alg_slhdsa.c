/* SLH-DSA on a token: the token is given the whole message. PKCS#11 v3.2 §6.68, FIPS 205. No TLS: it has no scheme. */
#include <openssl/core_names.h>
#include <openssl/params.h>

#include "provider/variant.h"

#define SINCE_3_5 0x305

/* Without parameters the token hedges and there is no context, which is what X.509 and CMS want. */
static bool slhdsa_choice(struct prov_choice *out, const struct prov_scheme *scheme, unsigned way)
{
    (void)scheme;
    *out = (struct prov_choice){ .type = CKM_SLH_DSA, .message = true };
    return way == 0;
}

#define OCTETS(name) OSSL_PARAM_octet_string(name, NULL, 0)

static const OSSL_PARAM slhdsa_key_params[] = {
    OCTETS(OSSL_PKEY_PARAM_PUB_KEY),
    OCTETS(OSSL_PKEY_PARAM_PRIV_KEY),
    OSSL_PARAM_END,
};

static const OSSL_PARAM slhdsa_readable[] = {
    PROV_TOKEN_PARAMS,
    OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
    OSSL_PARAM_int("security-category", NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
    OCTETS(OSSL_PKEY_PARAM_PUB_KEY),
    OCTETS(OSSL_PKEY_PARAM_PRIV_KEY),
    OSSL_PARAM_END,
};

static const OSSL_PARAM slhdsa_generation[] = {
    OCTETS("seed"),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_PROPERTIES, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM slhdsa_none[] = { OSSL_PARAM_END };

static const struct prov_family slhdsa = {
    .operation = "SIGNET-SLH-DSA",
    .private_param = OSSL_PKEY_PARAM_PRIV_KEY,
    .public_param = OSSL_PKEY_PARAM_PUB_KEY,
    .private_tells_public = true,
    .key_params = slhdsa_key_params,
    .readable = slhdsa_readable,
    .writable = slhdsa_none,
    .generation = slhdsa_generation,
    .public_key = prov_bytes_public_key,
    .describe = prov_bytes_describe,
    .choice = slhdsa_choice,
    .prepare = prov_bytes_prepare,
    .shape = prov_bytes_shape,
};

/* CKP_SLH_DSA_… are numbers of PKCS#11 v3.2 that older headers lack; the length of a public key tells no set, since
 * four share it. */
#define ROW(id, name, lower, arc, bytes, number)                                                                       \
    const struct prov_variant prov_slh_dsa_##id##_variant = {                                                          \
        .type = "SLH-DSA-" name,                                                                                       \
        .names = PROV_NAMES_SLH_DSA(name, lower, arc),                                                                 \
        .description = "SLH-DSA-" name " keys on a token, and software keys by delegation",                            \
        .key_type = CKK_SLH_DSA,                                                                                       \
        .family = &slhdsa,                                                                                             \
        .public_len = (bytes),                                                                                         \
        .set = (number),                                                                                               \
        .since = SINCE_3_5,                                                                                            \
    };

ROW(sha2_128s, "SHA2-128s", "sha2-128s", "20", 32, 1)
ROW(sha2_128f, "SHA2-128f", "sha2-128f", "21", 32, 3)
ROW(sha2_192s, "SHA2-192s", "sha2-192s", "22", 48, 5)
ROW(sha2_192f, "SHA2-192f", "sha2-192f", "23", 48, 7)
ROW(sha2_256s, "SHA2-256s", "sha2-256s", "24", 64, 9)
ROW(sha2_256f, "SHA2-256f", "sha2-256f", "25", 64, 11)
ROW(shake_128s, "SHAKE-128s", "shake-128s", "26", 32, 2)
ROW(shake_128f, "SHAKE-128f", "shake-128f", "27", 32, 4)
ROW(shake_192s, "SHAKE-192s", "shake-192s", "28", 48, 6)
ROW(shake_192f, "SHAKE-192f", "shake-192f", "29", 48, 8)
ROW(shake_256s, "SHAKE-256s", "shake-256s", "30", 64, 10)
ROW(shake_256f, "SHAKE-256f", "shake-256f", "31", 64, 12)
