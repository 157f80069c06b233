/* EdDSA on a token: the token is given the whole message, and hashes for itself. PKCS#11 v3.0 §2.3, RFC 8032. */
#include <string.h>
#include <strings.h>

#include "provider/keys/alg-bytes.h"

/* Which curve it is shows the length of a point; tokens name curves in many ways (by OIDs of two families, by a
 * PrintableString). */
#define ED25519_BYTES 32
#define ED448_BYTES 57

/* RFC 8032's schemes. */
static const struct {
    const char *name; /* with that of the curve's scheme first */
    bool variant;
    bool prehash;
} instances[] = {
    { "Ed25519", false, false }, { "Ed25519ctx", true, false }, { "Ed25519ph", true, true },
    { "Ed448", false, false },   { "Ed448ph", true, true },
};

static bool is_25519(const struct prov_scheme *scheme)
{
    return scheme->key_bits <= 8 * ED25519_BYTES;
}

/* Ed25519 has no parameters: where there are some, tokens take it for one of its variants, or refuse them (NSS,
 * kryoptic). Ed448 has, and not every token does without them (opencryptoki, kryoptic). A variant or a context is there
 * in the parameters alone. */
static bool edwards_choice(struct prov_choice *out, const struct prov_scheme *scheme, unsigned way)
{
    bool is_told = scheme->extras != NULL && (scheme->extras->variant || scheme->extras->context_len > 0);

    *out =
        (struct prov_choice){ .type = CKM_EDDSA, .message = true, .params = is_told || is_25519(scheme) == (way == 1) };
    return way < (is_told ? 1 : 2);
}

static struct tok_result edwards_prepare(struct prov_mechanism *out, const struct prov_scheme *scheme,
                                         const struct prov_choice *choice, const struct prov_data *data)
{
    const struct prov_extras *extras = scheme->extras;

    TOK_TRY(prov_bytes_prepare(out, scheme, choice, data));
    if (extras != NULL && extras->instance != NULL &&
        (strncmp(extras->instance, "Ed25519", 7) == 0) != is_25519(scheme)) {
        return tok_fail(TOK_CODE_UNSUPPORTED, "'%s' is a scheme of another curve", extras->instance);
    }
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

static bool take_instance(struct prov_extras *extras, const OSSL_PARAM *param)
{
    const char *name = NULL;

    if (extras == NULL) {
        return true; /* libcrypto looks at it first */
    }
    if (!OSSL_PARAM_get_utf8_string_ptr(param, &name) || name == NULL) {
        return false;
    }
    for (size_t i = 0; i < COUNT_OF(instances); i++) {
        if (strcasecmp(name, instances[i].name) == 0) {
            extras->instance = instances[i].name;
            extras->variant = instances[i].variant;
            extras->prehash = instances[i].prehash;
            return true;
        }
    }
    return false;
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
    .digests_since = 0x304,
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
