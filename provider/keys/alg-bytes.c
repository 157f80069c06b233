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

bool prov_bytes_shape(uint8_t *sig, size_t *len, size_t size)
{
    (void)sig;
    return *len == size; /* the room was made for it */
}
