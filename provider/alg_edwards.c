/* EdDSA on a token: the token is given the whole message, and hashes for itself. PKCS#11 v3.0 §2.3, RFC 8032. */
#include <openssl/core_names.h>
#include <openssl/params.h>

#include "provider/variant.h"

/* Which curve it is shows the length of a point; tokens name curves in many ways (by OIDs of two families, by a
 * PrintableString). */
#define ED25519_BYTES 32
#define ED448_BYTES 57

/* Ed25519 has no parameters: where there are some, tokens take it for one of its variants, or refuse them (NSS,
 * kryoptic). Ed448 has, and not every token does without them (opencryptoki, kryoptic). */
static bool edwards_choice(struct prov_choice *out, const struct prov_scheme *scheme, unsigned way)
{
    bool with_first = scheme->key_bits > 8 * ED25519_BYTES;

    *out = (struct prov_choice){ .type = CKM_EDDSA, .message = true, .params = with_first == (way == 0) };
    return way < 2;
}

static struct tok_result edwards_prepare(struct prov_mechanism *out, const struct prov_scheme *scheme,
                                         const struct prov_choice *choice, const struct prov_data *data)
{
    TOK_TRY(prov_bytes_prepare(out, scheme, choice, data));
    if (choice->params) {
        out->params.eddsa = (struct tok_eddsa_params){ .prehash = CK_FALSE };
        out->mechanism.pParameter = &out->params.eddsa;
        out->mechanism.ulParameterLen = sizeof(out->params.eddsa);
    }
    return tok_good();
}

#define OCTETS(name) OSSL_PARAM_octet_string(name, NULL, 0)

static const OSSL_PARAM edwards_key_params[] = {
    OCTETS(OSSL_PKEY_PARAM_PUB_KEY),
    OCTETS(OSSL_PKEY_PARAM_PRIV_KEY),
    OSSL_PARAM_END,
};

static const OSSL_PARAM edwards_readable[] = {
    PROV_TOKEN_PARAMS,
    OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
    OCTETS(OSSL_PKEY_PARAM_PUB_KEY),
    OCTETS(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY),
    OCTETS(OSSL_PKEY_PARAM_PRIV_KEY),
    OSSL_PARAM_END,
};

static const OSSL_PARAM edwards_none[] = { OSSL_PARAM_END };

static const struct prov_family edwards = {
    .operation = "SIGNET-EDWARDS",
    .private_param = OSSL_PKEY_PARAM_PRIV_KEY,
    .public_param = OSSL_PKEY_PARAM_PUB_KEY,
    .private_tells_public = true,
    .key_params = edwards_key_params,
    .readable = edwards_readable,
    .writable = edwards_none,
    .generation = edwards_none,
    .public_key = prov_bytes_public_key,
    .describe = prov_bytes_describe,
    .choice = edwards_choice,
    .prepare = edwards_prepare,
    .shape = prov_bytes_shape,
};

const struct prov_variant prov_ed25519_variant = {
    .type = "ED25519",
    .names = PROV_NAMES_ED25519,
    .description = "Ed25519 keys on a token, and software keys by delegation",
    .key_type = CKK_EC_EDWARDS,
    .public_len = ED25519_BYTES,
    .family = &edwards,
};

const struct prov_variant prov_ed448_variant = {
    .type = "ED448",
    .names = PROV_NAMES_ED448,
    .description = "Ed448 keys on a token, and software keys by delegation",
    .key_type = CKK_EC_EDWARDS,
    .public_len = ED448_BYTES,
    .family = &edwards,
};
