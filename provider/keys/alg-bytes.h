/* What EdDSA, ML-DSA and SLH-DSA have in common: public halves (those of X25519, too) and signatures are strings of
 * bytes, and the token is given the message, which it hashes for itself. For their files alg-*.c, each of which is what
 * differs. */
#ifndef SIGNET_PROVIDER_KEYS_ALG_BYTES_H
#define SIGNET_PROVIDER_KEYS_ALG_BYTES_H

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "provider/keys/variant.h"

#define PROV_OCTETS(name) OSSL_PARAM_octet_string(name, NULL, 0)

/* The lists of parameters begin with these. */
#define PROV_BYTES_KEY_PARAMS PROV_OCTETS(OSSL_PKEY_PARAM_PUB_KEY), PROV_OCTETS(OSSL_PKEY_PARAM_PRIV_KEY)
#define PROV_BYTES_READABLE                                                                                            \
    PROV_TOKEN_PARAMS, PROV_BYTES_KEY_PARAMS, OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),                              \
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL), OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),           \
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0)

extern const OSSL_PARAM prov_bytes_no_params[];
extern const OSSL_PARAM prov_bytes_seeded[]; /* generation of the types that have seeds */

/* A family is made of these, its name, its lists, and how it signs: prepare, and its mechanism or choice of some. */
#define PROV_BYTES_FAMILY                                                                                              \
    .private_param = OSSL_PKEY_PARAM_PRIV_KEY, .public_param = OSSL_PKEY_PARAM_PUB_KEY, .private_tells_public = true,  \
    .public_key = prov_bytes_public_key, .describe = prov_bytes_describe, .shape = prov_bytes_shape

EVP_PKEY *prov_bytes_public_key(const struct prov_ctx *prov, const struct prov_variant *variant,
                                const struct tok_public *half);
bool prov_bytes_describe(struct tok_public *out_half, EVP_PKEY *key);
struct tok_result prov_bytes_prepare(struct prov_mechanism *out, const struct prov_scheme *scheme,
                                     const struct prov_choice *choice, const struct prov_data *data);
/* The same with CK_SIGN_ADDITIONAL_CONTEXT (PKCS#11 v3.2), where what was set needs it, and the rules for that. */
struct tok_result prov_bytes_prepare_more(struct prov_mechanism *out, const struct prov_scheme *scheme,
                                          const struct prov_choice *choice, const struct prov_data *data);
extern const struct prov_param_rule prov_bytes_rules[];
bool prov_bytes_take_context(struct prov_extras *extras, const OSSL_PARAM *param);
bool prov_bytes_take_zero(struct prov_extras *extras, const OSSL_PARAM *param);
bool prov_bytes_shape(uint8_t *sig, size_t *len, size_t size);

/* A row; what not all types have comes last: `.set = …`. */
#define PROV_BYTES_ROW(id, name, more_names, key, its_family, bytes, ...)                                              \
    const struct prov_variant prov_##id##_variant = {                                                                  \
        .type = name,                                                                                                  \
        .names = name ":" more_names,                                                                                  \
        .description = name " keys on a token, and software keys by delegation",                                       \
        .key_type = (key),                                                                                             \
        .family = &(its_family),                                                                                       \
        .public_len = (bytes),                                                                                         \
        __VA_ARGS__,                                                                                                   \
    };
#define PROV_ALWAYS .since = 0 /* OpenSSL 3.0 has it */
#define PROV_SINCE_3_5 .since = 0x305

#endif
