#include "provider/operations/signature.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "provider/core/software.h"
#include "provider/operations/signature-parts.h"
#include "provider/operations/signing.h"

static OSSL_FUNC_signature_newctx_fn signature_newctx;
static OSSL_FUNC_signature_freectx_fn signature_freectx;
static OSSL_FUNC_signature_dupctx_fn signature_dupctx;
static OSSL_FUNC_signature_sign_init_fn sign_init;
static OSSL_FUNC_signature_sign_fn sign_run;
static OSSL_FUNC_signature_verify_init_fn verify_init;
static OSSL_FUNC_signature_verify_fn verify_run;
static OSSL_FUNC_signature_verify_recover_init_fn verify_recover_init;
static OSSL_FUNC_signature_verify_recover_fn verify_recover_run;
static OSSL_FUNC_signature_digest_sign_init_fn digest_sign_init;
static OSSL_FUNC_signature_digest_sign_update_fn digest_sign_update;
static OSSL_FUNC_signature_digest_sign_final_fn digest_sign_final;
static OSSL_FUNC_signature_digest_sign_fn digest_sign;
static OSSL_FUNC_signature_digest_verify_init_fn digest_verify_init;
static OSSL_FUNC_signature_digest_verify_update_fn digest_verify_update;
static OSSL_FUNC_signature_digest_verify_final_fn digest_verify_final;
static OSSL_FUNC_signature_digest_verify_fn digest_verify;

/* --- life --------------------------------------------------------------------------------------------------------- */

static void *signature_newctx(void *vprov, const char *properties)
{
    struct signature_ctx *ctx = calloc(1, sizeof(*ctx));

    (void)properties; /* ours steer to a token; what is delegated follows the instance's own query */
    if (ctx == NULL) {
        prov_raise(vprov, PROV_R_NO_MEMORY, "a signature");
        return NULL;
    }
    ctx->prov = vprov;
    return ctx;
}

/* Back to a context without an operation; the key stays. */
static void signature_reset(struct signature_ctx *ctx)
{
    signature_forget(ctx);
    signature_stream_end(ctx);
    EVP_MD_free(ctx->digest);
    ctx->digest = NULL;
    ctx->digest_name[0] = '\0';
}

static void signature_abandoned(void *vctx)
{
    struct signature_ctx *ctx = vctx;

    signature_reset(ctx);
    prov_key_unref(ctx->key);
    ctx->key = NULL;
}

static void signature_freectx(void *vctx)
{
    if (vctx != NULL) {
        signature_abandoned(vctx);
        free(vctx);
    }
}

static void ctx_end(struct signature_ctx **ctx)
{
    signature_freectx(*ctx);
}

static void *signature_dupctx(void *vctx)
{
    const struct signature_ctx *from = vctx;
    SCOPED(ctx_end) struct signature_ctx *ctx = signature_newctx(from->prov, NULL);

    if (ctx == NULL) {
        return NULL;
    }
    ctx->key = from->key == NULL ? NULL : prov_key_ref(from->key);
    ctx->operation = from->operation;
    if (from->digest != NULL && EVP_MD_up_ref(from->digest)) {
        ctx->digest = from->digest;
    }
    ctx->keeps = from->keeps;
    if (from->hash != NULL) {
        ctx->hash = EVP_MD_CTX_new();
        if (ctx->hash == NULL || EVP_MD_CTX_copy_ex(ctx->hash, from->hash) != 1) {
            return NULL;
        }
    }
    return bytes_set(&ctx->message, from->message.data, from->message.len) && signature_params_dup(ctx, from)
               ? STEAL(ctx)
               : NULL;
}

/* Starts an operation: a NULL key means the one of the operation before. */
static int signature_begin(struct signature_ctx *ctx, struct prov_key *key, int operation)
{
    if (ctx->key != NULL) { /* not the first one */
        signature_reset(ctx);
    }
    if (key != NULL) {
        prov_key_unref(ctx->key);
        ctx->key = prov_key_ref(key);
    }
    if (ctx->key == NULL || ctx->key->software == NULL) {
        return prov_raise(ctx->prov, PROV_R_KEY_TYPE, "an operation without a key");
    }
    ctx->operation = operation;
    return 1;
}

/* --- signing on a token ------------------------------------------------------------------------------------------- */

static size_t signature_size(const struct signature_ctx *ctx)
{
    return (size_t)EVP_PKEY_get_size(ctx->key->software);
}

static int ready_fits(const struct signature_ctx *ctx, const struct prov_data *data)
{
    return ctx->ready_len == 0 || ctx->ready_len == data->digest_len ||
           prov_raise(ctx->prov, PROV_R_PARAMETER, "a digest of %zu bytes, where %zu were announced", data->digest_len,
                      ctx->ready_len);
}

/* Signs into the application's buffer, whose size must be enough for any signature of the key. */
static int token_sign(struct signature_ctx *ctx, unsigned char *sig, size_t *out_len, size_t room,
                      struct prov_data data)
{
    const struct prov_job job = { signature_abandoned, ctx };
    struct prov_scheme scheme;

    if (room < signature_size(ctx)) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER, "a buffer of %zu bytes is too small for a signature of %zu",
                          room, signature_size(ctx));
    }
    if (!prov_ctx_ready(ctx->prov) || !signature_scheme(ctx, &scheme)) {
        return 0;
    }
    return ready_fits(ctx, &data) && prov_signing_run(ctx->key, &scheme, &data, &job, sig, out_len, room);
}

/* --- a ready digest ----------------------------------------------------------------------------------------------- */

static int ready_init(struct signature_ctx *ctx, struct prov_key *key, int operation, const OSSL_PARAM params[])
{
    return signature_begin(ctx, key, operation) ? signature_start(ctx, params) : 0;
}

static int sign_init(void *vctx, void *vkey, const OSSL_PARAM params[])
{
    return ready_init(vctx, vkey, EVP_PKEY_OP_SIGN, params);
}

static int sign_run(void *vctx, unsigned char *sig, size_t *siglen, size_t sigsize, const unsigned char *tbs,
                    size_t tbslen)
{
    struct signature_ctx *ctx = vctx;

    if (sig == NULL) {
        *siglen = signature_size(ctx);
        return 1;
    }
    if (signature_on_token(ctx)) {
        return signature_whole(ctx)
                   ? prov_raise(ctx->prov, PROV_R_PARAMETER, "%s signs messages, not digests: use EVP_DigestSign",
                                ctx->key->variant->type)
                   : token_sign(ctx, sig, siglen, sigsize, (struct prov_data){ .digest = tbs, .digest_len = tbslen });
    }
    *siglen = sigsize;
    return prov_software_said(ctx->prov, EVP_PKEY_sign(ctx->delegate, sig, siglen, tbs, tbslen), "no signature");
}

static int verify_init(void *vctx, void *vkey, const OSSL_PARAM params[])
{
    return ready_init(vctx, vkey, EVP_PKEY_OP_VERIFY, params);
}

static int verify_run(void *vctx, const unsigned char *sig, size_t siglen, const unsigned char *tbs, size_t tbslen)
{
    struct signature_ctx *ctx = vctx;

    return EVP_PKEY_verify(ctx->delegate, sig, siglen, tbs, tbslen);
}

static int verify_recover_init(void *vctx, void *vkey, const OSSL_PARAM params[])
{
    return ready_init(vctx, vkey, EVP_PKEY_OP_VERIFYRECOVER, params);
}

static int verify_recover_run(void *vctx, unsigned char *rout, size_t *routlen, size_t routsize,
                              const unsigned char *sig, size_t siglen)
{
    struct signature_ctx *ctx = vctx;

    *routlen = routsize;
    return prov_software_said(ctx->prov, EVP_PKEY_verify_recover(ctx->delegate, rout, routlen, sig, siglen),
                              "the signature is not the key's");
}

/* --- a digest made here ------------------------------------------------------------------------------------------- */

static int digest_is_none(const struct signature_ctx *ctx, const char *mdname)
{
    return mdname == NULL || mdname[0] == '\0' ||
           prov_raise(ctx->prov, PROV_R_PARAMETER, "%s hashes for itself, so that no digest is named ('%s')",
                      ctx->key->variant->type, mdname);
}

/* The digest of the token's operation. An empty name is the default's, unless libcrypto takes none (4.0). */
static int digest_choose(struct signature_ctx *ctx)
{
    bool is_named = ctx->digest_name[0] != '\0';
    bool is_kept;

    ctx->digest =
        prov_key_digest(ctx->key, is_named ? ctx->digest_name : ctx->key->variant->family->default_digest, &is_kept);
    ctx->digest_is_new = !is_kept || !is_named;
    return ctx->digest != NULL && prov_signing_can_by(ctx->key, ctx->digest);
}

/* NULL: the key's own default. Keys that hash for themselves have none. */
static void name_keep(struct signature_ctx *ctx, const char *mdname)
{
    const char *name = mdname != NULL ? mdname : ctx->key->variant->family->default_digest;

    if (name != NULL) {
        strncpy(ctx->digest_name, name, sizeof(ctx->digest_name) - 1);
    }
}

/* Without a key the operation begins anew, by the digest that it had: libcrypto names that again, or another. As of a
 * software key, a padding is forgotten, and a context or variant is not. */
static int digest_again(struct signature_ctx *ctx, const char *mdname, const OSSL_PARAM params[])
{
    bool is_same = mdname == NULL || mdname[0] == '\0' || (ctx->digest != NULL && EVP_MD_is_a(ctx->digest, mdname));

    signature_stream_end(ctx);
    if (!signature_on_token(ctx)) {
        return signature_start_again(ctx, mdname, params);
    }
    if (signature_whole(ctx)) {
        return digest_is_none(ctx, mdname) ? signature_set_ctx_params(ctx, params) : 0;
    }
    signature_forget(ctx);
    if (!is_same) {
        name_keep(ctx, mdname);
        EVP_MD_free(ctx->digest);
        ctx->digest = NULL;
    }
    return is_same || digest_choose(ctx) ? signature_start(ctx, params) : 0;
}

static int digest_init(struct signature_ctx *ctx, const char *mdname, struct prov_key *key, int operation,
                       const OSSL_PARAM params[])
{
    if (key == NULL && ctx->key != NULL && ctx->operation == operation) {
        return digest_again(ctx, mdname, params);
    }
    if (!signature_begin(ctx, key, operation)) {
        return 0;
    }
    name_keep(ctx, mdname);
    if (signature_on_token(ctx) && !(signature_whole(ctx) ? digest_is_none(ctx, mdname) : digest_choose(ctx))) {
        return 0;
    }
    return signature_start(ctx, params);
}

/* libssl asks this of every scheme that it considers: it must not touch the token. */
static int digest_sign_init(void *vctx, const char *mdname, void *vkey, const OSSL_PARAM params[])
{
    return digest_init(vctx, mdname, vkey, EVP_PKEY_OP_SIGNCTX, params);
}

static int digest_sign_update(void *vctx, const unsigned char *data, size_t datalen)
{
    struct signature_ctx *ctx = vctx;
    const struct prov_job job = { signature_abandoned, ctx };

    if (!signature_on_token(ctx)) {
        return EVP_DigestSignUpdate(ctx->delegate_md, data, datalen);
    }
    if (signature_whole(ctx)) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER, "%s signs a message at once: use EVP_DigestSign",
                          ctx->key->variant->type);
    }
    return signature_stream_add(ctx, &job, data, datalen);
}

static int digest_sign_final(void *vctx, unsigned char *sig, size_t *siglen, size_t sigsize)
{
    struct signature_ctx *ctx = vctx;
    uint8_t digest[EVP_MAX_MD_SIZE];
    struct prov_data data;
    int signed_now;

    if (sig == NULL) {
        *siglen = signature_size(ctx);
        return 1;
    }
    if (!signature_on_token(ctx)) {
        *siglen = sigsize;
        return prov_software_said(ctx->prov, EVP_DigestSignFinal(ctx->delegate_md, sig, siglen), "no signature");
    }
    if (!digest_sign_update(ctx, NULL, 0) || !signature_stream_data(ctx, digest, &data)) {
        return 0;
    }
    signed_now = token_sign(ctx, sig, siglen, sigsize, data);
    signature_stream_end(ctx);
    return signed_now;
}

static int digest_sign(void *vctx, unsigned char *sig, size_t *siglen, size_t sigsize, const unsigned char *tbs,
                       size_t tbslen)
{
    struct signature_ctx *ctx = vctx;
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;

    if (sig == NULL) {
        *siglen = signature_size(ctx);
        return 1;
    }
    if (!signature_on_token(ctx)) {
        *siglen = sigsize;
        return prov_software_said(ctx->prov, EVP_DigestSign(ctx->delegate_md, sig, siglen, tbs, tbslen),
                                  "no signature");
    }
    if (ctx->hash != NULL) { /* the end of a stream, as libcrypto makes of it for a software key */
        return digest_sign_update(ctx, tbs, tbslen) && digest_sign_final(ctx, sig, siglen, sigsize);
    }
    if (!signature_whole(ctx) && !EVP_Digest(tbs, tbslen, digest, &digest_len, ctx->digest, NULL)) {
        return 0;
    }
    return token_sign(ctx, sig, siglen, sigsize, (struct prov_data){ digest, digest_len, tbs, tbslen });
}

static int digest_verify_init(void *vctx, const char *mdname, void *vkey, const OSSL_PARAM params[])
{
    return digest_init(vctx, mdname, vkey, EVP_PKEY_OP_VERIFYCTX, params);
}

static int digest_verify_update(void *vctx, const unsigned char *data, size_t datalen)
{
    struct signature_ctx *ctx = vctx;

    return EVP_DigestVerifyUpdate(ctx->delegate_md, data, datalen);
}

static int digest_verify_final(void *vctx, const unsigned char *sig, size_t siglen)
{
    struct signature_ctx *ctx = vctx;

    return EVP_DigestVerifyFinal(ctx->delegate_md, sig, siglen);
}

static int digest_verify(void *vctx, const unsigned char *sig, size_t siglen, const unsigned char *tbs, size_t tbslen)
{
    struct signature_ctx *ctx = vctx;

    return EVP_DigestVerify(ctx->delegate_md, sig, siglen, tbs, tbslen);
}

/* What a family has begins where its row is, and goes on to the end: what is not there libcrypto refuses, as it does of
 * a software key. */
enum { RECOVERING = 0, SIGNING_DIGESTS = 2, SIGNING_MESSAGES = 6 };

static const OSSL_DISPATCH functions[] = {
    /* RECOVERING */
    { OSSL_FUNC_SIGNATURE_VERIFY_RECOVER_INIT, (void (*)(void))verify_recover_init },
    { OSSL_FUNC_SIGNATURE_VERIFY_RECOVER, (void (*)(void))verify_recover_run },
    /* SIGNING_DIGESTS */
    { OSSL_FUNC_SIGNATURE_SIGN_INIT, (void (*)(void))sign_init },
    { OSSL_FUNC_SIGNATURE_SIGN, (void (*)(void))sign_run },
    { OSSL_FUNC_SIGNATURE_VERIFY_INIT, (void (*)(void))verify_init },
    { OSSL_FUNC_SIGNATURE_VERIFY, (void (*)(void))verify_run },
    /* SIGNING_MESSAGES */
    { OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))signature_newctx },
    { OSSL_FUNC_SIGNATURE_FREECTX, (void (*)(void))signature_freectx },
    { OSSL_FUNC_SIGNATURE_DUPCTX, (void (*)(void))signature_dupctx },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, (void (*)(void))digest_sign_init },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, (void (*)(void))digest_sign_update },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, (void (*)(void))digest_sign_final },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN, (void (*)(void))digest_sign },
    { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT, (void (*)(void))digest_verify_init },
    { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE, (void (*)(void))digest_verify_update },
    { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL, (void (*)(void))digest_verify_final },
    { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY, (void (*)(void))digest_verify },
    { OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS, (void (*)(void))signature_get_ctx_params },
    { OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS, (void (*)(void))signature_gettable_ctx_params },
    { OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, (void (*)(void))signature_set_ctx_params },
    { OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, (void (*)(void))signature_settable_ctx_params },
    { 0, NULL },
};

/* OpenSSL_version_num is 0x3XX00YY0. */
static bool takes_digests(const struct prov_family *family)
{
    return family->default_digest != NULL ||
           (family->digests_since != 0 && OpenSSL_version_num() >> 20 >= family->digests_since);
}

const OSSL_DISPATCH *prov_signature_functions(const struct prov_family *family)
{
    return &functions[!takes_digests(family)         ? SIGNING_MESSAGES
                      : family->default_padding == 0 ? SIGNING_DIGESTS
                                                     : RECOVERING];
}
