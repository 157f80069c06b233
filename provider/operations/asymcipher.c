#include "provider/operations/asymcipher.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "provider/settings/config.h"
#include "provider/operations/decryption.h"
#include "provider/core/software.h"

#define PARAM_IMPLICIT_REJECTION "implicit-rejection" /* has a name in OpenSSL's headers from 3.2 */

static OSSL_FUNC_asym_cipher_newctx_fn asym_newctx;
static OSSL_FUNC_asym_cipher_freectx_fn asym_freectx;
static OSSL_FUNC_asym_cipher_dupctx_fn asym_dupctx;
static OSSL_FUNC_asym_cipher_encrypt_init_fn encrypt_init;
static OSSL_FUNC_asym_cipher_encrypt_fn encrypt_run;
static OSSL_FUNC_asym_cipher_decrypt_init_fn decrypt_init;
static OSSL_FUNC_asym_cipher_decrypt_fn decrypt_run;
static OSSL_FUNC_asym_cipher_get_ctx_params_fn asym_get_params;
static OSSL_FUNC_asym_cipher_gettable_ctx_params_fn asym_gettable;
static OSSL_FUNC_asym_cipher_set_ctx_params_fn asym_set_params;
static OSSL_FUNC_asym_cipher_settable_ctx_params_fn asym_settable;

/* --- life and parameters ------------------------------------------------------------------------------------------ */

static void *asym_newctx(void *vprov)
{
    struct asym_ctx *ctx = calloc(1, sizeof(*ctx));

    if (ctx == NULL) {
        prov_raise(vprov, PROV_R_NO_MEMORY, "a decryption");
        return NULL;
    }
    ctx->prov = vprov;
    return ctx;
}

static void asym_freectx(void *vctx)
{
    struct asym_ctx *ctx = vctx;

    if (ctx != NULL) {
        EVP_PKEY_CTX_free(ctx->delegate);
        prov_key_unref(ctx->key);
        free(ctx);
    }
}

static void ctx_end(struct asym_ctx **ctx)
{
    asym_freectx(*ctx);
}

static void *asym_dupctx(void *vctx)
{
    const struct asym_ctx *from = vctx;
    SCOPED(ctx_end) struct asym_ctx *ctx = asym_newctx(from->prov);

    if (ctx == NULL) {
        return NULL;
    }
    ctx->decrypting = from->decrypting;
    ctx->key = from->key == NULL ? NULL : prov_key_ref(from->key);
    ctx->delegate = from->delegate == NULL ? NULL : EVP_PKEY_CTX_dup(from->delegate);
    if (from->delegate != NULL && ctx->delegate == NULL) {
        (void)prov_software_said(ctx->prov, 0, "the operation could not be copied");
        return NULL;
    }
    return STEAL(ctx);
}

static int asym_set_params(void *vctx, const OSSL_PARAM params[])
{
    struct asym_ctx *ctx = vctx;

    return params == NULL || params->key == NULL || ctx->delegate == NULL ||
           prov_software_said(ctx->prov, EVP_PKEY_CTX_set_params(ctx->delegate, params), "a parameter was refused") > 0;
}

static int asym_get_params(void *vctx, OSSL_PARAM params[])
{
    struct asym_ctx *ctx = vctx;

    return ctx->delegate != NULL && prov_software_said(ctx->prov, EVP_PKEY_CTX_get_params(ctx->delegate, params),
                                                       "a parameter is not there, or not of this type") > 0;
}

/* Without an operation; with one the delegate knows. */
static const OSSL_PARAM known_params[] = {
    OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST_PROPS, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST_PROPS, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, NULL, 0),
    OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, NULL),
    OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION, NULL),
    OSSL_PARAM_uint(PARAM_IMPLICIT_REJECTION, NULL),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *asym_settable(void *vctx, void *vprov)
{
    struct asym_ctx *ctx = vctx;

    (void)vprov;
    return ctx == NULL || ctx->delegate == NULL ? known_params : EVP_PKEY_CTX_settable_params(ctx->delegate);
}

static const OSSL_PARAM *asym_gettable(void *vctx, void *vprov)
{
    struct asym_ctx *ctx = vctx;

    (void)vprov;
    return ctx == NULL || ctx->delegate == NULL ? known_params : EVP_PKEY_CTX_gettable_params(ctx->delegate);
}

static int asym_begin(struct asym_ctx *ctx, struct prov_key *key, bool decrypting, const OSSL_PARAM params[])
{
    int good;

    EVP_PKEY_CTX_free(ctx->delegate);
    ctx->delegate = NULL;
    if (key != NULL) {
        prov_key_unref(ctx->key);
        ctx->key = prov_key_ref(key);
    }
    if (ctx->key == NULL || ctx->key->software == NULL) {
        return prov_raise(ctx->prov, PROV_R_KEY_TYPE, "an operation without a key");
    }
    ctx->decrypting = decrypting;
    ctx->delegate = prov_software_ctx(ctx->prov, ctx->key->software);
    if (ctx->delegate == NULL) {
        return 0;
    }
    /* for a key on a token, it is a decryption with the public half, which is prepared and never made: libcrypto refuses
     * what it would refuse of the whole key (FIPS) */
    good = decrypting ? EVP_PKEY_decrypt_init(ctx->delegate) : EVP_PKEY_encrypt_init(ctx->delegate);
    return prov_software_said(ctx->prov, good, "the operation could not begin") > 0 && asym_set_params(ctx, params);
}

static int encrypt_init(void *vctx, void *vkey, const OSSL_PARAM params[])
{
    return asym_begin(vctx, vkey, false, params);
}

static int decrypt_init(void *vctx, void *vkey, const OSSL_PARAM params[])
{
    return asym_begin(vctx, vkey, true, params);
}

static int encrypt_run(void *vctx, unsigned char *out, size_t *outlen, size_t outsize, const unsigned char *in,
                       size_t inlen)
{
    struct asym_ctx *ctx = vctx;

    *outlen = outsize;
    return prov_software_said(ctx->prov, EVP_PKEY_encrypt(ctx->delegate, out, outlen, in, inlen), "nothing encrypted");
}

static int decrypt_run(void *vctx, unsigned char *out, size_t *outlen, size_t outsize, const unsigned char *in,
                       size_t inlen)
{
    struct asym_ctx *ctx = vctx;

    if (ctx->key->token != NULL) {
        return prov_decrypt_by_token(ctx, out, outlen, outsize, in, inlen);
    }
    *outlen = outsize;
    return EVP_PKEY_decrypt(ctx->delegate, out, outlen, in, inlen);
}

const OSSL_DISPATCH prov_asym_cipher_functions[] = {
    { OSSL_FUNC_ASYM_CIPHER_NEWCTX, (void (*)(void))asym_newctx },
    { OSSL_FUNC_ASYM_CIPHER_FREECTX, (void (*)(void))asym_freectx },
    { OSSL_FUNC_ASYM_CIPHER_DUPCTX, (void (*)(void))asym_dupctx },
    { OSSL_FUNC_ASYM_CIPHER_ENCRYPT_INIT, (void (*)(void))encrypt_init },
    { OSSL_FUNC_ASYM_CIPHER_ENCRYPT, (void (*)(void))encrypt_run },
    { OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT, (void (*)(void))decrypt_init },
    { OSSL_FUNC_ASYM_CIPHER_DECRYPT, (void (*)(void))decrypt_run },
    { OSSL_FUNC_ASYM_CIPHER_GET_CTX_PARAMS, (void (*)(void))asym_get_params },
    { OSSL_FUNC_ASYM_CIPHER_GETTABLE_CTX_PARAMS, (void (*)(void))asym_gettable },
    { OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS, (void (*)(void))asym_set_params },
    { OSSL_FUNC_ASYM_CIPHER_SETTABLE_CTX_PARAMS, (void (*)(void))asym_settable },
    { 0, NULL },
};
