/* EdDSA on a token: the token is given the whole message, and hashes for itself. PKCS#11 v3.0 §2.3, RFC 8032. */
#include "provider/keys/alg-bytes.h"

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
    .choice = edwards_choice,
    .prepare = edwards_prepare,
    PROV_BYTES_FAMILY,
};

PROV_BYTES_ROW(ed25519, "ED25519", "1.3.101.112", CKK_EC_EDWARDS, edwards, ED25519_BYTES, PROV_ALWAYS)
PROV_BYTES_ROW(ed448, "ED448", "1.3.101.113", CKK_EC_EDWARDS, edwards, ED448_BYTES, PROV_ALWAYS)
