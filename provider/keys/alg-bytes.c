#include "provider/keys/alg-bytes.h"

#include <openssl/evp.h>

#include "provider/core/software.h"

const OSSL_PARAM prov_bytes_no_params[] = { OSSL_PARAM_END };

const OSSL_PARAM prov_bytes_seeded[] = {
    PROV_OCTETS("seed"),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_PROPERTIES, NULL, 0),
    OSSL_PARAM_END,
};

EVP_PKEY *prov_bytes_public_key(const struct prov_ctx *prov, const struct prov_variant *variant,
                                const struct tok_public *half)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, half->point.data, half->point.len),
        OSSL_PARAM_construct_end(),
    };

    return prov_software_key(prov, variant->type, EVP_PKEY_PUBLIC_KEY, params);
}

bool prov_bytes_describe(struct tok_public *out_half, EVP_PKEY *key)
{
    return prov_software_public_bytes(&out_half->point, key);
}

struct tok_result prov_bytes_prepare(struct prov_mechanism *out, const struct prov_scheme *scheme,
                                     const struct prov_choice *choice, const struct prov_data *data)
{
    (void)scheme;
    out->mechanism = (CK_MECHANISM){ choice->type, NULL, 0 };
    out->in = data->message;
    out->in_len = data->message_len;
    return tok_good();
}

struct tok_result prov_bytes_prepare_more(struct prov_mechanism *out, const struct prov_scheme *scheme,
                                          const struct prov_choice *choice, const struct prov_data *data)
{
    const struct prov_extras *extras = scheme->extras;

    TOK_TRY(prov_bytes_prepare(out, scheme, choice, data));
    if (extras != NULL && (extras->context_len > 0 || extras->hedge != CKH_HEDGE_PREFERRED)) {
        out->params.more = (struct tok_sign_context){
            .hedge = extras->hedge,
            .context = extras->context_len > 0 ? (CK_BYTE *)extras->context : NULL,
            .context_len = (CK_ULONG)extras->context_len,
        };
        out->mechanism.pParameter = &out->params.more;
        out->mechanism.ulParameterLen = sizeof(out->params.more);
    }
    return tok_good();
}

bool prov_bytes_take_context(struct prov_extras *extras, const OSSL_PARAM *param)
{
    void *context;

    if (extras == NULL || param->data == NULL) {
        return true; /* libcrypto looks at it first */
    }
    context = extras->context;
    return OSSL_PARAM_get_octet_string(param, &context, sizeof(extras->context), &extras->context_len);
}

/* What is set again as it is by default is taken. */
static bool is_number(const OSSL_PARAM *param, int number)
{
    int value;

    return OSSL_PARAM_get_int(param, &value) && value == number;
}

bool prov_bytes_take_zero(struct prov_extras *extras, const OSSL_PARAM *param)
{
    (void)extras;
    return is_number(param, 0);
}

static bool take_one(struct prov_extras *extras, const OSSL_PARAM *param)
{
    (void)extras;
    return is_number(param, 1);
}

static bool take_deterministic(struct prov_extras *extras, const OSSL_PARAM *param)
{
    int deterministic;

    if (extras == NULL || !OSSL_PARAM_get_int(param, &deterministic)) {
        return extras == NULL;
    }
    extras->hedge = deterministic != 0 ? CKH_DETERMINISTIC_REQUIRED : CKH_HEDGE_REQUIRED;
    return true;
}

/* Of ML-DSA and SLH-DSA; the latter has no mu. */
const struct prov_param_rule prov_bytes_rules[] = {
    { "context-string", true, prov_bytes_take_context, "" },
    { "deterministic", true, take_deterministic, "" },
    { "message-encoding", false, take_one, "mechanisms encode the message themselves" },
    { "mu", false, prov_bytes_take_zero, "no mechanism takes the hash of a message that was made elsewhere" },
    { "test-entropy", false, NULL, "a token has its own random numbers" },
    { .name = NULL },
};

bool prov_bytes_shape(uint8_t *sig, size_t *len, size_t size)
{
    (void)sig;
    return *len == size; /* the room was made for it */
}
