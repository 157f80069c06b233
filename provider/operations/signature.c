#include "provider/operations/signature.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <string.h>
#include <strings.h>

#include "base/trace.h"
#include "provider/core/software.h"
#include "provider/keys/key.h"
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
static OSSL_FUNC_signature_get_ctx_params_fn get_ctx_params;
static OSSL_FUNC_signature_gettable_ctx_params_fn gettable_ctx_params;
static OSSL_FUNC_signature_set_ctx_params_fn set_ctx_params;
static OSSL_FUNC_signature_settable_ctx_params_fn settable_ctx_params;

struct signature_ctx {
    struct prov_ctx *prov;
    struct prov_key *key;
    int operation;    /* EVP_PKEY_OP_SIGN, _VERIFY, _VERIFYRECOVER, _SIGNCTX (with a digest), _VERIFYCTX */
    EVP_MD *digest;   /* of _SIGNCTX with a key on a token */
    EVP_MD_CTX *hash; /* running, between update and final; NULL before the first update */
    bool keeps;       /* beside it: the message, in whole */
    struct bytes message;
    EVP_PKEY_CTX *delegate;  /* of the software key or public half; owned by delegate_md if that is there */
    EVP_MD_CTX *delegate_md; /* of the operations with a digest */
};

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
    if (ctx->delegate_md == NULL) {
        EVP_PKEY_CTX_free(ctx->delegate);
    }
    EVP_MD_CTX_free(ctx->delegate_md);
    EVP_MD_CTX_free(ctx->hash);
    bytes_end(&ctx->message);
    EVP_MD_free(ctx->digest);
    ctx->delegate = NULL;
    ctx->delegate_md = NULL;
    ctx->hash = NULL;
    ctx->digest = NULL;
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

static bool md_ctx_dup(EVP_MD_CTX **out, const EVP_MD_CTX *from)
{
    if (from == NULL) {
        return true;
    }
    *out = EVP_MD_CTX_new();
    return *out != NULL && EVP_MD_CTX_copy_ex(*out, from) == 1;
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
    if (!bytes_set(&ctx->message, from->message.data, from->message.len) || !md_ctx_dup(&ctx->hash, from->hash) ||
        !md_ctx_dup(&ctx->delegate_md, from->delegate_md)) {
        return NULL;
    }
    if (ctx->delegate_md != NULL) {
        ctx->delegate = EVP_MD_CTX_get_pkey_ctx(ctx->delegate_md);
    } else if (from->delegate != NULL) {
        ctx->delegate = EVP_PKEY_CTX_dup(from->delegate);
        if (ctx->delegate == NULL) {
            return NULL;
        }
    }
    return STEAL(ctx);
}

/* Starts an operation: a NULL key means the one of the operation before. */
static int signature_begin(struct signature_ctx *ctx, struct prov_key *key, int operation)
{
    signature_reset(ctx);
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

/* --- the delegate ------------------------------------------------------------------------------------------------- */

/* Whether the key hashes for itself, so that no digest is named and the message is given at once. */
static bool whole(const struct signature_ctx *ctx)
{
    return ctx->key->variant->family->default_digest == NULL;
}

static bool on_token(const struct signature_ctx *ctx)
{
    return ctx->key->token != NULL && (ctx->operation == EVP_PKEY_OP_SIGN || ctx->operation == EVP_PKEY_OP_SIGNCTX);
}

/* A context of libcrypto for the ready digest, prepared for `operation`. */
static int delegate_plain(struct signature_ctx *ctx, int operation)
{
    ctx->delegate = prov_software_ctx(ctx->prov, ctx->key->software);
    if (ctx->delegate == NULL) {
        return 0;
    }
    switch (operation) {
    case EVP_PKEY_OP_SIGN:
        return EVP_PKEY_sign_init(ctx->delegate) > 0;
    case EVP_PKEY_OP_VERIFYRECOVER:
        return EVP_PKEY_verify_recover_init(ctx->delegate) > 0;
    default:
        return EVP_PKEY_verify_init(ctx->delegate) > 0;
    }
}

/* Likewise with a digest. `name` NULL: the key's own default. */
static int delegate_digest(struct signature_ctx *ctx, int operation, const char *name)
{
    int (*init)(EVP_MD_CTX *, EVP_PKEY_CTX **, const char *, OSSL_LIB_CTX *, const char *, EVP_PKEY *,
                const OSSL_PARAM *) = operation == EVP_PKEY_OP_SIGNCTX ? EVP_DigestSignInit_ex
                                                                       : EVP_DigestVerifyInit_ex;
    PROV_SOFTWARE_SCOPE(ctx->prov);

    ctx->delegate_md = EVP_MD_CTX_new();
    return ctx->delegate_md != NULL && PROV_SOFTWARE_ENTERED &&
           init(ctx->delegate_md, &ctx->delegate, name, ctx->prov->child, ctx->prov->query, ctx->key->software, NULL) >
               0;
}

/* For a key on a token the delegate only keeps parameters: a verification with the public half knows the same ones. */
static int delegate_for_params(struct signature_ctx *ctx)
{
    if (ctx->delegate != NULL) {
        return 1;
    }
    return ctx->operation == EVP_PKEY_OP_SIGNCTX
               ? delegate_digest(ctx, EVP_PKEY_OP_VERIFYCTX, whole(ctx) ? NULL : EVP_MD_get0_name(ctx->digest))
               : delegate_plain(ctx, EVP_PKEY_OP_VERIFY);
}

/* --- parameters --------------------------------------------------------------------------------------------------- */

/* OpenSSL 4.0 tells its digest and TLS version again when it starts an operation; that is nothing to keep. */
static bool nothing_to_set(const struct signature_ctx *ctx, const OSSL_PARAM params[])
{
    for (; params != NULL && params->key != NULL; params++) {
        bool known = strcmp(params->key, "tls-version") == 0 ||
                     (ctx->operation == EVP_PKEY_OP_SIGNCTX && strcmp(params->key, OSSL_SIGNATURE_PARAM_DIGEST) == 0);

        if (!known) {
            return false;
        }
    }
    return true;
}

/* Variants of a scheme (Ed25519ph, a context string) are not told to tokens; TLS and X.509 use none. Refused, rather
 * than signed without. */
static int is_plain(const struct signature_ctx *ctx, const OSSL_PARAM params[])
{
    const OSSL_PARAM *instance = OSSL_PARAM_locate_const(params, "instance");
    const OSSL_PARAM *context = OSSL_PARAM_locate_const(params, "context-string");
    const char *name = ctx->key->variant->type;

    if (instance != NULL && (!OSSL_PARAM_get_utf8_string_ptr(instance, &name) || name == NULL ||
                             strcasecmp(name, ctx->key->variant->type) != 0)) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER, "keys on a token sign as %s, not as the variant '%s'",
                          ctx->key->variant->type, name != NULL ? name : "");
    }
    if (context != NULL && context->data_size > 0) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER, "keys on a token sign without a context string");
    }
    return 1;
}

static int set_ctx_params(void *vctx, const OSSL_PARAM params[])
{
    struct signature_ctx *ctx = vctx;

    if (ctx->key == NULL || nothing_to_set(ctx, params)) {
        return 1;
    }
    if (on_token(ctx) && whole(ctx) && !is_plain(ctx, params)) {
        return 0;
    }
    return delegate_for_params(ctx) && EVP_PKEY_CTX_set_params(ctx->delegate, params) > 0;
}

static int get_ctx_params(void *vctx, OSSL_PARAM params[])
{
    struct signature_ctx *ctx = vctx;

    if (ctx->key == NULL) {
        return 0;
    }
    return delegate_for_params(ctx) && EVP_PKEY_CTX_get_params(ctx->delegate, params) > 0;
}

/* All that any family knows: some setters refuse what is not listed. */
static const OSSL_PARAM *settable_ctx_params(void *vctx, void *vprov)
{
    static const OSSL_PARAM known[] = {
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PROPERTIES, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_PROPERTIES, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
        OSSL_PARAM_size_t(OSSL_SIGNATURE_PARAM_DIGEST_SIZE, NULL),
        OSSL_PARAM_uint("nonce-type", NULL),
        OSSL_PARAM_utf8_string("instance", NULL, 0),
        OSSL_PARAM_octet_string("context-string", NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vctx;
    (void)vprov;
    return known;
}

static const OSSL_PARAM *gettable_ctx_params(void *vctx, void *vprov)
{
    static const OSSL_PARAM known[] = {
        OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
        OSSL_PARAM_size_t(OSSL_SIGNATURE_PARAM_DIGEST_SIZE, NULL),
        OSSL_PARAM_END,
    };

    (void)vctx;
    (void)vprov;
    return known;
}

/* --- signing on a token ------------------------------------------------------------------------------------------- */

static size_t signature_size(const struct signature_ctx *ctx)
{
    return (size_t)EVP_PKEY_get_size(ctx->key->software);
}

/* What the application set, or the defaults. */
static int scheme_get(struct signature_ctx *ctx, struct prov_scheme *scheme)
{
    if (ctx->key->variant->restricted && !delegate_for_params(ctx)) {
        return 0;
    }
    scheme->digest = ctx->digest;
    if (ctx->operation == EVP_PKEY_OP_SIGN && ctx->delegate != NULL &&
        EVP_PKEY_CTX_get_signature_md(ctx->delegate, &scheme->digest) <= 0) {
        scheme->digest = NULL;
    }
    return prov_signing_scheme(scheme, ctx->key, ctx->delegate);
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
    return prov_ctx_ready(ctx->prov) && scheme_get(ctx, &scheme) &&
           prov_signing_run(ctx->key, &scheme, &data, &job, sig, out_len, room);
}

/* --- a ready digest ----------------------------------------------------------------------------------------------- */

static int sign_init(void *vctx, void *vkey, const OSSL_PARAM params[])
{
    struct signature_ctx *ctx = vctx;

    if (!signature_begin(ctx, vkey, EVP_PKEY_OP_SIGN)) {
        return 0;
    }
    if (on_token(ctx) && whole(ctx)) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER, "%s signs messages, not digests: use EVP_DigestSign",
                          ctx->key->variant->type);
    }
    return (on_token(ctx) || delegate_plain(ctx, EVP_PKEY_OP_SIGN)) && set_ctx_params(ctx, params);
}

static int sign_run(void *vctx, unsigned char *sig, size_t *siglen, size_t sigsize, const unsigned char *tbs,
                    size_t tbslen)
{
    struct signature_ctx *ctx = vctx;

    if (sig == NULL) {
        *siglen = signature_size(ctx);
        return 1;
    }
    if (on_token(ctx)) {
        return token_sign(ctx, sig, siglen, sigsize, (struct prov_data){ .digest = tbs, .digest_len = tbslen });
    }
    *siglen = sigsize;
    return EVP_PKEY_sign(ctx->delegate, sig, siglen, tbs, tbslen) > 0;
}

static int verify_init(void *vctx, void *vkey, const OSSL_PARAM params[])
{
    struct signature_ctx *ctx = vctx;

    return signature_begin(ctx, vkey, EVP_PKEY_OP_VERIFY) && delegate_plain(ctx, EVP_PKEY_OP_VERIFY) &&
           set_ctx_params(ctx, params);
}

static int verify_run(void *vctx, const unsigned char *sig, size_t siglen, const unsigned char *tbs, size_t tbslen)
{
    struct signature_ctx *ctx = vctx;

    return EVP_PKEY_verify(ctx->delegate, sig, siglen, tbs, tbslen);
}

static int verify_recover_init(void *vctx, void *vkey, const OSSL_PARAM params[])
{
    struct signature_ctx *ctx = vctx;

    return signature_begin(ctx, vkey, EVP_PKEY_OP_VERIFYRECOVER) && delegate_plain(ctx, EVP_PKEY_OP_VERIFYRECOVER) &&
           set_ctx_params(ctx, params);
}

static int verify_recover_run(void *vctx, unsigned char *rout, size_t *routlen, size_t routsize,
                              const unsigned char *sig, size_t siglen)
{
    struct signature_ctx *ctx = vctx;

    *routlen = routsize;
    return EVP_PKEY_verify_recover(ctx->delegate, rout, routlen, sig, siglen) > 0;
}

/* --- a digest made here ------------------------------------------------------------------------------------------- */

static int digest_is_none(const struct signature_ctx *ctx, const char *mdname)
{
    return mdname == NULL || mdname[0] == '\0' ||
           prov_raise(ctx->prov, PROV_R_PARAMETER, "%s hashes for itself, so that no digest is named ('%s')",
                      ctx->key->variant->type, mdname);
}

/* libssl asks this of every scheme that it considers: it must not touch the token. */
static int digest_sign_init(void *vctx, const char *mdname, void *vkey, const OSSL_PARAM params[])
{
    struct signature_ctx *ctx = vctx;

    if (!signature_begin(ctx, vkey, EVP_PKEY_OP_SIGNCTX)) {
        return 0;
    }
    if (!on_token(ctx)) {
        return delegate_digest(ctx, EVP_PKEY_OP_SIGNCTX, mdname) && set_ctx_params(ctx, params);
    }
    if (whole(ctx)) {
        return digest_is_none(ctx, mdname) && set_ctx_params(ctx, params);
    }
    if (mdname == NULL || mdname[0] == '\0') {
        mdname = ctx->key->variant->family->default_digest;
    }
    ctx->digest = prov_key_digest(ctx->key, mdname);
    return ctx->digest != NULL && prov_signing_can_by(ctx->key, ctx->digest) && set_ctx_params(ctx, params);
}

/* The message of a stream is gone once it is hashed; but some tokens hash for themselves. So it is kept as well, where
 * the token is known to be one of these, and, up to this length, as long as the key has not signed yet. */
#define KEPT_UNKNOWN ((size_t)1 << 20)

static bool token_hashes(struct signature_ctx *ctx)
{
    struct prov_scheme scheme;

    return tok_key_is_limited(ctx->key->token) && scheme_get(ctx, &scheme) &&
           !prov_signing_can(ctx->key, &scheme, false) && prov_signing_can(ctx->key, &scheme, true);
}

static int stream_begin(struct signature_ctx *ctx)
{
    ctx->hash = EVP_MD_CTX_new();
    ctx->keeps = !ctx->key->signed_once || token_hashes(ctx);
    return ctx->hash != NULL && EVP_DigestInit_ex2(ctx->hash, ctx->digest, NULL);
}

static void stream_end(struct signature_ctx *ctx)
{
    EVP_MD_CTX_free(ctx->hash);
    ctx->hash = NULL;
    bytes_end(&ctx->message);
    ctx->keeps = false;
}

/* Not to be kept any longer is no failure: most tokens want the digest. */
static int message_keep(struct signature_ctx *ctx, const unsigned char *data, size_t len)
{
    if (ctx->keeps && ctx->message.len + len > KEPT_UNKNOWN && !ctx->key->signed_once) {
        prov_async_ask_mechanisms(ctx->key, &(struct prov_job){ signature_abandoned, ctx });
        ctx->keeps = token_hashes(ctx);
    }
    if (!ctx->keeps) {
        bytes_end(&ctx->message);
        return 1;
    }
    return bytes_add(&ctx->message, data, len) ||
           prov_raise(ctx->prov, PROV_R_NO_MEMORY, "a message of %zu bytes", len);
}

static const uint8_t *message_kept(const struct signature_ctx *ctx)
{
    return !ctx->keeps ? NULL : ctx->message.len > 0 ? ctx->message.data : (const uint8_t *)"";
}

static int digest_sign_update(void *vctx, const unsigned char *data, size_t datalen)
{
    struct signature_ctx *ctx = vctx;

    if (!on_token(ctx)) {
        return EVP_DigestSignUpdate(ctx->delegate_md, data, datalen);
    }
    if (whole(ctx)) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER, "%s signs a message at once: use EVP_DigestSign",
                          ctx->key->variant->type);
    }
    return (ctx->hash != NULL || stream_begin(ctx)) && EVP_DigestUpdate(ctx->hash, data, datalen) &&
           message_keep(ctx, data, datalen);
}

static int digest_sign_final(void *vctx, unsigned char *sig, size_t *siglen, size_t sigsize)
{
    struct signature_ctx *ctx = vctx;
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len;
    int signed_now;

    if (sig == NULL) {
        *siglen = signature_size(ctx);
        return 1;
    }
    if (!on_token(ctx)) {
        *siglen = sigsize;
        return EVP_DigestSignFinal(ctx->delegate_md, sig, siglen) > 0;
    }
    if (!digest_sign_update(ctx, NULL, 0) || !EVP_DigestFinal_ex(ctx->hash, digest, &digest_len)) {
        return 0;
    }
    signed_now = token_sign(ctx, sig, siglen, sigsize,
                            (struct prov_data){ digest, digest_len, message_kept(ctx), ctx->message.len });
    stream_end(ctx);
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
    if (!on_token(ctx)) {
        *siglen = sigsize;
        return EVP_DigestSign(ctx->delegate_md, sig, siglen, tbs, tbslen) > 0;
    }
    if (!whole(ctx) && !EVP_Digest(tbs, tbslen, digest, &digest_len, ctx->digest, NULL)) {
        return 0;
    }
    return token_sign(ctx, sig, siglen, sigsize, (struct prov_data){ digest, digest_len, tbs, tbslen });
}

static int digest_verify_init(void *vctx, const char *mdname, void *vkey, const OSSL_PARAM params[])
{
    struct signature_ctx *ctx = vctx;

    return signature_begin(ctx, vkey, EVP_PKEY_OP_VERIFYCTX) && delegate_digest(ctx, EVP_PKEY_OP_VERIFYCTX, mdname) &&
           set_ctx_params(ctx, params);
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

const OSSL_DISPATCH prov_signature_functions[] = {
    { OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))signature_newctx },
    { OSSL_FUNC_SIGNATURE_FREECTX, (void (*)(void))signature_freectx },
    { OSSL_FUNC_SIGNATURE_DUPCTX, (void (*)(void))signature_dupctx },
    { OSSL_FUNC_SIGNATURE_SIGN_INIT, (void (*)(void))sign_init },
    { OSSL_FUNC_SIGNATURE_SIGN, (void (*)(void))sign_run },
    { OSSL_FUNC_SIGNATURE_VERIFY_INIT, (void (*)(void))verify_init },
    { OSSL_FUNC_SIGNATURE_VERIFY, (void (*)(void))verify_run },
    { OSSL_FUNC_SIGNATURE_VERIFY_RECOVER_INIT, (void (*)(void))verify_recover_init },
    { OSSL_FUNC_SIGNATURE_VERIFY_RECOVER, (void (*)(void))verify_recover_run },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, (void (*)(void))digest_sign_init },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, (void (*)(void))digest_sign_update },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, (void (*)(void))digest_sign_final },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN, (void (*)(void))digest_sign },
    { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT, (void (*)(void))digest_verify_init },
    { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE, (void (*)(void))digest_verify_update },
    { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL, (void (*)(void))digest_verify_final },
    { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY, (void (*)(void))digest_verify },
    { OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS, (void (*)(void))get_ctx_params },
    { OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS, (void (*)(void))gettable_ctx_params },
    { OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, (void (*)(void))set_ctx_params },
    { OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, (void (*)(void))settable_ctx_params },
    { 0, NULL },
};
