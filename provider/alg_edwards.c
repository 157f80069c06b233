/* EdDSA on a token: the token is given the whole message, and hashes for itself. PKCS#11 v3.0 §2.3, RFC 8032. */
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "provider/software.h"
#include "provider/variant.h"

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
    (void)scheme;
    out->mechanism = (CK_MECHANISM){ choice->type, NULL, 0 };
    if (choice->params) {
        out->params.eddsa = (struct tok_eddsa_params){ .prehash = CK_FALSE };
        out->mechanism.pParameter = &out->params.eddsa;
        out->mechanism.ulParameterLen = sizeof(out->params.eddsa);
    }
    out->in = data->message;
    out->in_len = data->message_len;
    return tok_good();
}

static bool edwards_shape(uint8_t *sig, size_t *len, size_t room)
{
    (void)sig;
    return *len == room; /* the room was made for it */
}

/* Which curve it is shows the length of the point; tokens name curves in many ways (by OIDs of two families, by a
 * PrintableString). */
static EVP_PKEY *edwards_public_key(const struct prov_ctx *prov, const struct tok_public *half)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, half->point.data, half->point.len),
        OSSL_PARAM_construct_end(),
    };

    switch (half->point.len) {
    case ED25519_BYTES:
        return software_key(prov, "ED25519", EVP_PKEY_PUBLIC_KEY, params);
    case ED448_BYTES:
        return software_key(prov, "ED448", EVP_PKEY_PUBLIC_KEY, params);
    default:
        return NULL;
    }
}

static bool edwards_describe(struct tok_public *out_half, EVP_PKEY *key)
{
    out_half->type = CKK_EC_EDWARDS;
    return software_public_bytes(&out_half->point, key);
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
    .public_key = edwards_public_key,
    .describe = edwards_describe,
    .choice = edwards_choice,
    .prepare = edwards_prepare,
    .shape = edwards_shape,
};

const struct prov_variant prov_ed25519_variant = {
    .type = "ED25519",
    .names = PROV_NAMES_ED25519,
    .description = "Ed25519 keys on a token, and software keys by delegation",
    .key_type = CKK_EC_EDWARDS,
    .family = &edwards,
};

const struct prov_variant prov_ed448_variant = {
    .type = "ED448",
    .names = PROV_NAMES_ED448,
    .description = "Ed448 keys on a token, and software keys by delegation",
    .key_type = CKK_EC_EDWARDS,
    .family = &edwards,
};
