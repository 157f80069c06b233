/* EdDSA on a token: the token is given the whole message, and hashes for itself. PKCS#11 v3.0 §2.3, RFC 8032. */
#include <string.h>
#include <strings.h>

#include "provider/keys/alg-bytes.h"

/* Which curve it is shows the length of a point; tokens name curves in many ways (by OIDs of two families, by a
 * PrintableString). */
#define ED25519_BYTES 32
#define ED448_BYTES 57

static bool is_25519(const struct prov_scheme *scheme)
{
    return scheme->key_bits <= 8 * ED25519_BYTES;
}

/* Ed25519 has no parameters: where there are some, tokens take it for one of its variants, or refuse them (NSS,
 * kryoptic). Ed448 has, and not every token does without them (opencryptoki, kryoptic). A variant or a context is there
 * in the parameters alone. */
static bool edwards_choice(struct prov_choice *out, const struct prov_scheme *scheme, unsigned way)
{
    bool is_told = scheme->extras != NULL && (scheme->extras->instance != NULL || scheme->extras->context_len > 0);

    *out =
        (struct prov_choice){ .type = CKM_EDDSA, .message = true, .params = is_told || is_25519(scheme) == (way == 1) };
    return way < (is_told ? 1 : 2);
}

static struct tok_result edwards_prepare(struct prov_mechanism *out, const struct prov_scheme *scheme,
                                         const struct prov_choice *choice, const struct prov_data *data)
{
    const struct prov_extras *extras = scheme->extras;

    TOK_TRY(prov_bytes_prepare(out, scheme, choice, data));
    if (choice->params) {
        out->params.eddsa = (struct tok_eddsa_params){ .prehash = CK_FALSE };
        if (extras != NULL) {
            out->params.eddsa.prehash = extras->prehash ? CK_TRUE : CK_FALSE;
            out->params.eddsa.context_len = (CK_ULONG)extras->context_len;
            out->params.eddsa.context = extras->context_len > 0 ? (CK_BYTE *)extras->context : NULL;
        }
        out->mechanism.pParameter = &out->params.eddsa;
        out->mechanism.ulParameterLen = sizeof(out->params.eddsa);
    }
    return tok_good();
}

/* What is no variant of the key's, libcrypto refuses before. */
static bool take_instance(struct prov_extras *extras, const OSSL_PARAM *param)
{
    static const char *const variants[] = { "Ed25519ctx", "Ed25519ph", "Ed448ph" };
    const char *name = NULL;

    if (extras == NULL) {
        return true;
    }
    if (!OSSL_PARAM_get_utf8_string_ptr(param, &name) || name == NULL) {
        return false;
    }
    extras->instance = NULL;
    for (size_t i = 0; i < COUNT_OF(variants); i++) {
        if (strcasecmp(name, variants[i]) == 0) {
            extras->instance = variants[i];
        }
    }
    extras->prehash = extras->instance != NULL && strcmp(extras->instance, variants[0]) != 0;
    return true;
}

static const struct prov_param_rule edwards_rules[] = {
    { "instance", true, take_instance, "" },
    { "context-string", true, prov_bytes_take_context, "" },
    { .name = NULL },
};

static const OSSL_PARAM edwards_key_params[] = { PROV_BYTES_KEY_PARAMS, OSSL_PARAM_END };

static const OSSL_PARAM edwards_readable[] = {
    PROV_BYTES_READABLE,
    PROV_OCTETS(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY),
    OSSL_PARAM_END,
};

static const struct prov_family edwards = {
    .signature = "SIGNET-EDWARDS",
    .key_params = edwards_key_params,
    .readable = edwards_readable,
    .writable = prov_bytes_no_params,
    .generation = prov_bytes_no_params,
    .param_rules = edwards_rules,
    .choice = edwards_choice,
    .prepare = edwards_prepare,
    PROV_BYTES_FAMILY,
};

PROV_BYTES_ROW(ed25519, "ED25519", "1.3.101.112", CKK_EC_EDWARDS, edwards, ED25519_BYTES, PROV_ALWAYS)
PROV_BYTES_ROW(ed448, "ED448", "1.3.101.113", CKK_EC_EDWARDS, edwards, ED448_BYTES, PROV_ALWAYS)
