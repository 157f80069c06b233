#include "provider/operations/encapsulation.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include "provider/core/software.h"
#include "provider/operations/decryption.h"

static OSSL_FUNC_kem_newctx_fn kem_newctx;
static OSSL_FUNC_kem_freectx_fn kem_freectx;
static OSSL_FUNC_kem_dupctx_fn kem_dupctx;
static OSSL_FUNC_kem_encapsulate_init_fn encapsulate_init;
static OSSL_FUNC_kem_encapsulate_fn encapsulate_run;
static OSSL_FUNC_kem_decapsulate_init_fn decapsulate_init;
static OSSL_FUNC_kem_decapsulate_fn decapsulate_run;
static OSSL_FUNC_kem_set_ctx_params_fn kem_set_params;
static OSSL_FUNC_kem_settable_ctx_params_fn kem_settable;

struct kem_ctx {
    struct prov_ctx *prov;
    struct prov_key *key;
    EVP_PKEY_CTX *delegate; /* the work itself, or with a key on a token what was set */
    struct asym_ctx raw;    /* of a key on a token: its decryption */
};

static void *kem_newctx(void *vprov)
{
    struct kem_ctx *ctx = calloc(1, sizeof(*ctx));

    if (ctx == NULL) {
        prov_raise(vprov, PROV_R_NO_MEMORY, "an encapsulation");
        return NULL;
    }
    ctx->prov = ctx->raw.prov = vprov;
    return ctx;
}

static void raw_end(struct asym_ctx *raw)
{
    EVP_PKEY_CTX_free(raw->delegate);
    prov_key_unref(raw->key);
    raw->delegate = NULL;
    raw->key = NULL;
}

static void kem_freectx(void *vctx)
{
    struct kem_ctx *ctx = vctx;

    if (ctx != NULL) {
        raw_end(&ctx->raw);
        EVP_PKEY_CTX_free(ctx->delegate);
        prov_key_unref(ctx->key);
        free(ctx);
    }
}

static void ctx_end(struct kem_ctx **ctx)
{
    kem_freectx(*ctx);
}

static void *kem_dupctx(void *vctx)
{
    const struct kem_ctx *from = vctx;
    SCOPED(ctx_end) struct kem_ctx *ctx = kem_newctx(from->prov);

    if (ctx == NULL) {
        return NULL;
    }
    ctx->key = from->key == NULL ? NULL : prov_key_ref(from->key);
    ctx->delegate = from->delegate == NULL ? NULL : EVP_PKEY_CTX_dup(from->delegate);
    if (from->delegate != NULL && ctx->delegate == NULL) {
        (void)prov_software_said(ctx->prov, 0, "the operation could not be copied");
        return NULL;
    }
    return STEAL(ctx);
}

static int kem_set_params(void *vctx, const OSSL_PARAM params[])
{
    struct kem_ctx *ctx = vctx;

    return params == NULL || params->key == NULL || ctx->delegate == NULL ||
           prov_software_said(ctx->prov, EVP_PKEY_CTX_set_params(ctx->delegate, params), "a parameter was refused") > 0;
}

static const OSSL_PARAM *kem_settable(void *vctx, void *vprov)
{
    static const OSSL_PARAM known[] = {
        OSSL_PARAM_utf8_string(OSSL_KEM_PARAM_OPERATION, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vctx;
    (void)vprov;
    return known;
}

static int kem_begin(struct kem_ctx *ctx, struct prov_key *key, int (*init)(EVP_PKEY_CTX *, const OSSL_PARAM *),
                     const OSSL_PARAM params[])
{
    EVP_PKEY_CTX_free(ctx->delegate);
    ctx->delegate = NULL;
    if (key != NULL) {
        prov_key_unref(ctx->key);
        ctx->key = prov_key_ref(key);
    }
    if (ctx->key == NULL || ctx->key->software == NULL) {
        return prov_raise(ctx->prov, PROV_R_KEY_TYPE, "an operation without a key");
    }
    ctx->delegate = prov_software_ctx(ctx->prov, ctx->key->software);
    return ctx->delegate == NULL
               ? 0
               : prov_software_said(ctx->prov, init(ctx->delegate, params), "the operation could not begin");
}

static int encapsulate_init(void *vctx, void *vkey, const OSSL_PARAM params[])
{
    return kem_begin(vctx, vkey, EVP_PKEY_encapsulate_init, params);
}

static int encapsulate_run(void *vctx, unsigned char *out, size_t *outlen, unsigned char *secret, size_t *secretlen)
{
    struct kem_ctx *ctx = vctx;

    return prov_software_said(ctx->prov, EVP_PKEY_encapsulate(ctx->delegate, out, outlen, secret, secretlen),
                              "nothing encapsulated");
}

static int decapsulate_init(void *vctx, void *vkey, const OSSL_PARAM params[])
{
    return kem_begin(vctx, vkey, EVP_PKEY_decapsulate_init, params);
}

/* The secret is as long as the modulus, and so is what it was sealed as. */
static int decapsulate_by_token(struct kem_ctx *ctx, unsigned char *out, size_t *outlen, const unsigned char *in,
                                size_t inlen)
{
    size_t len = (size_t)EVP_PKEY_get_size(ctx->key->software);

    if (inlen != len) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER, "%zu bytes are nothing that was encapsulated for a key of %zu",
                          inlen, len);
    }
    raw_end(&ctx->raw);
    ctx->raw.key = prov_key_ref(ctx->key);
    ctx->raw.delegate = prov_software_ctx(ctx->prov, ctx->key->software);
    if (ctx->raw.delegate == NULL || EVP_PKEY_decrypt_init(ctx->raw.delegate) <= 0 ||
        EVP_PKEY_CTX_set_rsa_padding(ctx->raw.delegate, RSA_NO_PADDING) <= 0) {
        return prov_software_said(ctx->prov, 0, "the operation could not begin");
    }
    return prov_decrypt_by_token(&ctx->raw, out, outlen, len, in, inlen);
}

/* Whether the operation was named, libcrypto knows: it tells the length for the public half, too, in place of the room
 * that there is. */
static int decapsulate_run(void *vctx, unsigned char *out, size_t *outlen, const unsigned char *in, size_t inlen)
{
    struct kem_ctx *ctx = vctx;
    bool by_token = ctx->key->token != NULL;
    size_t room = out != NULL ? *outlen : 0;
    int good = prov_software_said(ctx->prov,
                                  EVP_PKEY_decapsulate(ctx->delegate, by_token ? NULL : out, outlen, in, inlen),
                                  "nothing decapsulated");

    if (good <= 0 || !by_token || out == NULL) {
        return good;
    }
    return room >= *outlen ? decapsulate_by_token(ctx, out, outlen, in, inlen)
                           : prov_raise(ctx->prov, PROV_R_PARAMETER,
                                        "a buffer of %zu bytes is too small for a secret of %zu", room, *outlen);
}

const OSSL_DISPATCH prov_encapsulation_functions[] = {
    { OSSL_FUNC_KEM_NEWCTX, (void (*)(void))kem_newctx },
    { OSSL_FUNC_KEM_FREECTX, (void (*)(void))kem_freectx },
    { OSSL_FUNC_KEM_DUPCTX, (void (*)(void))kem_dupctx },
    { OSSL_FUNC_KEM_ENCAPSULATE_INIT, (void (*)(void))encapsulate_init },
    { OSSL_FUNC_KEM_ENCAPSULATE, (void (*)(void))encapsulate_run },
    { OSSL_FUNC_KEM_DECAPSULATE_INIT, (void (*)(void))decapsulate_init },
    { OSSL_FUNC_KEM_DECAPSULATE, (void (*)(void))decapsulate_run },
    { OSSL_FUNC_KEM_SET_CTX_PARAMS, (void (*)(void))kem_set_params },
    { OSSL_FUNC_KEM_SETTABLE_CTX_PARAMS, (void (*)(void))kem_settable },
    { 0, NULL },
};
