#include "provider/operations/exchange.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#include "base/secret.h"
#include "provider/core/ends.h"
#include "provider/core/software.h"
#include "provider/keys/alg-ec.h"
#include "provider/keys/key.h"
#include "provider/operations/async.h"
#include "provider/operations/unpad.h"

static OSSL_FUNC_keyexch_newctx_fn exchange_newctx;
static OSSL_FUNC_keyexch_freectx_fn exchange_freectx;
static OSSL_FUNC_keyexch_dupctx_fn exchange_dupctx;
static OSSL_FUNC_keyexch_init_fn exchange_init;
static OSSL_FUNC_keyexch_set_peer_fn exchange_set_peer;
static OSSL_FUNC_keyexch_derive_fn exchange_derive;
static OSSL_FUNC_keyexch_set_ctx_params_fn exchange_set_params;
static OSSL_FUNC_keyexch_settable_ctx_params_fn exchange_settable;
static OSSL_FUNC_keyexch_get_ctx_params_fn exchange_get_params;
static OSSL_FUNC_keyexch_gettable_ctx_params_fn exchange_gettable;

#define MOST_SECRET_BYTES 128 /* of the longest field, and more */

struct exchange_ctx {
    struct prov_ctx *prov;
    struct prov_key *key;
    EVP_PKEY_CTX
        *delegate;      /* of a software key: all the work; of a key on a token: its parameters, once there are any */
    struct bytes point; /* of a key on a token: the other side's; empty: none yet */
    bool low_order;     /* and it leads to zeros */
    uint8_t secret[MOST_SECRET_BYTES];
};

/* --- life --------------------------------------------------------------------------------------------------------- */

static void *exchange_newctx(void *vprov)
{
    struct exchange_ctx *ctx = calloc(1, sizeof(*ctx));

    if (ctx == NULL) {
        prov_raise(vprov, PROV_R_NO_MEMORY, "a key agreement");
        return NULL;
    }
    ctx->prov = vprov;
    return ctx;
}

static void exchange_reset(void *vctx)
{
    struct exchange_ctx *ctx = vctx;

    EVP_PKEY_CTX_free(ctx->delegate);
    prov_key_unref(ctx->key);
    bytes_end(&ctx->point);
    secret_wipe(ctx->secret, sizeof(ctx->secret));
    ctx->delegate = NULL;
    ctx->key = NULL;
}

static void exchange_freectx(void *vctx)
{
    if (vctx != NULL) {
        exchange_reset(vctx);
        free(vctx);
    }
}

static void ctx_end(struct exchange_ctx **ctx)
{
    exchange_freectx(*ctx);
}

static void *exchange_dupctx(void *vctx)
{
    const struct exchange_ctx *from = vctx;
    SCOPED(ctx_end) struct exchange_ctx *ctx = exchange_newctx(from->prov);

    if (ctx == NULL) {
        return NULL;
    }
    ctx->key = from->key == NULL ? NULL : prov_key_ref(from->key);
    ctx->low_order = from->low_order;
    ctx->delegate = from->delegate == NULL ? NULL : EVP_PKEY_CTX_dup(from->delegate);
    if ((from->delegate != NULL && ctx->delegate == NULL) ||
        !bytes_set(&ctx->point, from->point.data, from->point.len)) {
        return NULL;
    }
    return STEAL(ctx);
}

/* --- parameters --------------------------------------------------------------------------------------------------- */

/* Whether points are their x coordinate. */
static bool x_only(const struct exchange_ctx *ctx)
{
    return ctx->key != NULL && ctx->key->variant->family->x_only;
}

/* Without a context; with one, the delegate knows. */
static const OSSL_PARAM known_params[] = {
    OSSL_PARAM_int(OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE, NULL),
    OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST_PROPS, NULL, 0),
    OSSL_PARAM_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, NULL),
    OSSL_PARAM_octet_string(OSSL_EXCHANGE_PARAM_KDF_UKM, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM no_params[] = { OSSL_PARAM_END };

/* Of a key on a token, it is an agreement of the public half, which is prepared and never made. */
static int delegate_begin(struct exchange_ctx *ctx)
{
    int good;

    if (ctx->delegate != NULL) {
        return 1;
    }
    ctx->delegate = prov_software_ctx(ctx->prov, ctx->key->software);
    good = ctx->delegate == NULL ? 0 : EVP_PKEY_derive_init(ctx->delegate);
    if (good <= 0) {
        EVP_PKEY_CTX_free(ctx->delegate);
        ctx->delegate = NULL;
    }
    return prov_software_said(ctx->prov, good, "key agreement could not begin");
}

static const OSSL_PARAM *exchange_settable(void *vctx, void *vprov)
{
    struct exchange_ctx *ctx = vctx;
    const OSSL_PARAM *known;

    (void)vprov;
    if (ctx == NULL || ctx->key == NULL) {
        return known_params;
    }
    known = delegate_begin(ctx) > 0 ? EVP_PKEY_CTX_settable_params(ctx->delegate) : NULL;
    return known != NULL ? known : no_params;
}

static const OSSL_PARAM *exchange_gettable(void *vctx, void *vprov)
{
    static const OSSL_PARAM all[] = {
        OSSL_PARAM_int(OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE, NULL),
        OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, NULL, 0),
        OSSL_PARAM_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, NULL),
        OSSL_PARAM_DEFN(OSSL_EXCHANGE_PARAM_KDF_UKM, OSSL_PARAM_OCTET_PTR, NULL, 0),
        OSSL_PARAM_END,
    };
    struct exchange_ctx *ctx = vctx;
    const OSSL_PARAM *known;

    (void)vprov;
    if (ctx == NULL || ctx->key == NULL) {
        return all;
    }
    known = delegate_begin(ctx) > 0 ? EVP_PKEY_CTX_gettable_params(ctx->delegate) : NULL;
    return known != NULL ? known : no_params;
}

/* Both modes are one on curves of prime order; tokens are asked for no other. */
static bool has_cofactor(const struct exchange_ctx *ctx)
{
    SCOPED(number_end) BIGNUM *cofactor = NULL;

    return EVP_PKEY_get_bn_param(ctx->key->software, OSSL_PKEY_PARAM_EC_COFACTOR, &cofactor) && !BN_is_one(cofactor);
}

static int exchange_set_params(void *vctx, const OSSL_PARAM params[])
{
    struct exchange_ctx *ctx = vctx;
    const OSSL_PARAM *p;
    int mode = 0;

    if (params == NULL || params->key == NULL) {
        return 1;
    }
    p = OSSL_PARAM_locate_const(params, OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE);
    if (ctx->key->token != NULL && p != NULL && OSSL_PARAM_get_int(p, &mode) && mode == 1 && has_cofactor(ctx)) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER, "keys on a token do not derive with a cofactor");
    }
    return delegate_begin(ctx) > 0 ? prov_software_said(ctx->prov, EVP_PKEY_CTX_set_params(ctx->delegate, params),
                                                        "a parameter was refused")
                                   : 0;
}

static int exchange_get_params(void *vctx, OSSL_PARAM params[])
{
    struct exchange_ctx *ctx = vctx;

    return delegate_begin(ctx) > 0 ? prov_software_said(ctx->prov, EVP_PKEY_CTX_get_params(ctx->delegate, params),
                                                        "a parameter is not there, or not of this type")
                                   : 0;
}

/* What becomes of the secret. */
struct kdf {
    char type[32]; /* "": it is given as it is */
    char digest[64];
    size_t len;
    void *ukm; /* the delegate's */
    size_t ukm_len;
};

static int kdf_get(struct kdf *out, const struct exchange_ctx *ctx)
{
    OSSL_PARAM asked[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, out->type, sizeof(out->type)),
        OSSL_PARAM_construct_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, out->digest, sizeof(out->digest)),
        OSSL_PARAM_construct_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, &out->len),
        OSSL_PARAM_construct_octet_ptr(OSSL_EXCHANGE_PARAM_KDF_UKM, &out->ukm, 0),
        OSSL_PARAM_construct_end(),
    };

    *out = (struct kdf){ .type = "" };
    if (ctx->delegate == NULL || x_only(ctx)) {
        return 1;
    }
    if (EVP_PKEY_CTX_get_params(ctx->delegate, asked) <= 0) {
        return prov_raise(ctx->prov, PROV_R_SOFTWARE, "the parameters of a key agreement can't be read");
    }
    out->ukm_len = out->ukm != NULL ? asked[3].return_size : 0;
    return 1;
}

/* --- agreement ---------------------------------------------------------------------------------------------------- */

static int exchange_init(void *vctx, void *vkey, const OSSL_PARAM params[])
{
    struct exchange_ctx *ctx = vctx;
    struct prov_key *key = prov_key_ref(vkey);

    exchange_reset(ctx);
    ctx->key = key;
    if (key->software == NULL) {
        return prov_raise(ctx->prov, PROV_R_KEY_TYPE, "an operation without a key");
    }
    if ((key->token == NULL || ctx->prov->fips) && delegate_begin(ctx) <= 0) { /* a validated provider may refuse */
        return 0;
    }
    return exchange_set_params(ctx, params);
}

/* Points that lead to a secret of zeros, whatever the key is, are refused (RFC 7748 §6); libcrypto does, and is asked
 * with a key for nothing else. A token is not: it may give the zeros, or whatever code it has for trouble, and then who
 * sends such a point would have it recovered from, and replicas set aside. */
static bool is_of_low_order(const struct prov_ctx *prov, EVP_PKEY *peer)
{
    SCOPED(pkey_ctx_end) EVP_PKEY_CTX *make = prov_software_ctx(prov, peer);
    SCOPED(pkey_ctx_end) EVP_PKEY_CTX *derive = NULL;
    SCOPED(pkey_end) EVP_PKEY *any = NULL;
    uint8_t secret[MOST_SECRET_BYTES];
    size_t len = sizeof(secret);
    bool zeros;

    prov_err_mark(prov);
    zeros = make != NULL && EVP_PKEY_keygen_init(make) > 0 && EVP_PKEY_keygen(make, &any) > 0 &&
            (derive = prov_software_ctx(prov, any)) != NULL && EVP_PKEY_derive_init(derive) > 0 &&
            EVP_PKEY_derive_set_peer_ex(derive, peer, 0) > 0 && EVP_PKEY_derive(derive, secret, &len) <= 0;
    prov_err_forget(prov);
    secret_wipe(secret, sizeof(secret));
    return zeros;
}

/* That the point is on the curve has been checked by libcrypto's EVP_PKEY_derive_set_peer, which came here. */
static int exchange_set_peer(void *vctx, void *vpeer)
{
    struct exchange_ctx *ctx = vctx;
    const struct prov_key *peer = vpeer;
    size_t len = 0;

    if (ctx->key == NULL || peer->software == NULL) {
        return prov_raise(ctx->prov, PROV_R_KEY_TYPE, "a key agreement without keys");
    }
    if (ctx->key->token == NULL) {
        return EVP_PKEY_derive_set_peer_ex(ctx->delegate, peer->software, 0) > 0;
    }
    if (EVP_PKEY_parameters_eq(ctx->key->software, peer->software) != 1) {
        return prov_raise(ctx->prov, PROV_R_KEY_TYPE, "the other side's key is on another curve");
    }
    ctx->low_order = x_only(ctx) && is_of_low_order(ctx->prov, peer->software);
    return EVP_PKEY_get_octet_string_param(peer->software, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0, &len) &&
           bytes_new(&ctx->point, len) &&
           EVP_PKEY_get_octet_string_param(peer->software, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, ctx->point.data, len,
                                           &ctx->point.len);
}

static int kdf_run(struct exchange_ctx *ctx, struct kdf *with, size_t secret_len, unsigned char *out)
{
    PROV_SOFTWARE_SCOPE(ctx->prov);
    SCOPED(kdf_end)
    EVP_KDF *kdf = PROV_SOFTWARE_ENTERED ? EVP_KDF_fetch(ctx->prov->child, with->type, ctx->prov->query) : NULL;
    SCOPED(kdf_ctx_end) EVP_KDF_CTX *run = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, with->digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, ctx->secret, secret_len),
        with->ukm_len > 0 ? OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, with->ukm, with->ukm_len)
                          : OSSL_PARAM_construct_end(),
        OSSL_PARAM_construct_end(),
    };

    return prov_software_said(ctx->prov, run == NULL ? 0 : EVP_KDF_derive(run, out, with->len, params),
                              "the key derivation function failed") > 0;
}

/* The shared secret is the x coordinate in as many bytes as the field has (SEC 1 §3.3.1): some tokens leave out leading
 * zeros, and how many there are is a secret. */
static int secret_derive(struct exchange_ctx *ctx, size_t field_len)
{
    const struct prov_job job = { exchange_reset, ctx };
    size_t len = field_len;
    struct tok_result result;

    if (ctx->low_order) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER, "the other side's key is one of low order");
    }
    result = prov_async_derive(ctx->key, &job, &prov_ec_derive, ctx->point.data, ctx->point.len, ctx->secret, &len);
    if (!tok_ok(&result)) {
        return prov_fail(ctx->prov, &result);
    }
    if (len > field_len) {
        return prov_raise(ctx->prov, PROV_R_WRONG_RESULT, "the token's secret has an impossible length (%zu)", len);
    }
    prov_unpad_align(ctx->secret, len, field_len);
    return 1;
}

static size_t field_length(const struct exchange_ctx *ctx)
{
    return x_only(ctx) ? ctx->point.len : ctx->point.len / 2;
}

/* As libcrypto does it: whoever has less room for a point's x coordinate gets its first bytes, of all else nothing. */
static bool is_cut(const struct exchange_ctx *ctx, const struct kdf *kdf, size_t room)
{
    return kdf->type[0] == '\0' && !x_only(ctx) && room > 0;
}

static int exchange_derive(void *vctx, unsigned char *out, size_t *out_len, size_t room)
{
    struct exchange_ctx *ctx = vctx;
    size_t field_len = field_length(ctx);
    struct kdf kdf;
    size_t wanted;
    int good;

    if (ctx->key->token == NULL) {
        *out_len = room;
        return prov_software_said(ctx->prov, EVP_PKEY_derive(ctx->delegate, out, out_len), "no secret");
    }
    if (field_len == 0 || field_len > sizeof(ctx->secret)) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER, "a key agreement without the other side's key");
    }
    if (!kdf_get(&kdf, ctx)) {
        return 0;
    }
    wanted = kdf.type[0] != '\0' ? kdf.len : field_len;
    if (out == NULL) {
        *out_len = wanted;
        return 1;
    }
    if (room < wanted && is_cut(ctx, &kdf, room)) {
        wanted = room;
    }
    if (room < wanted) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER, "a buffer of %zu bytes is too small for a secret of %zu", room,
                          wanted);
    }
    if (!prov_ctx_ready(ctx->prov) || !secret_derive(ctx, field_len)) {
        return 0;
    }
    if (kdf.type[0] != '\0') {
        good = kdf_run(ctx, &kdf, field_len, out);
    } else {
        memcpy(out, ctx->secret, wanted);
        good = 1;
    }
    secret_wipe(ctx->secret, sizeof(ctx->secret));
    *out_len = wanted;
    return good;
}

const OSSL_DISPATCH prov_exchange_functions[] = {
    { OSSL_FUNC_KEYEXCH_NEWCTX, (void (*)(void))exchange_newctx },
    { OSSL_FUNC_KEYEXCH_FREECTX, (void (*)(void))exchange_freectx },
    { OSSL_FUNC_KEYEXCH_DUPCTX, (void (*)(void))exchange_dupctx },
    { OSSL_FUNC_KEYEXCH_INIT, (void (*)(void))exchange_init },
    { OSSL_FUNC_KEYEXCH_SET_PEER, (void (*)(void))exchange_set_peer },
    { OSSL_FUNC_KEYEXCH_DERIVE, (void (*)(void))exchange_derive },
    { OSSL_FUNC_KEYEXCH_SET_CTX_PARAMS, (void (*)(void))exchange_set_params },
    { OSSL_FUNC_KEYEXCH_SETTABLE_CTX_PARAMS, (void (*)(void))exchange_settable },
    { OSSL_FUNC_KEYEXCH_GET_CTX_PARAMS, (void (*)(void))exchange_get_params },
    { OSSL_FUNC_KEYEXCH_GETTABLE_CTX_PARAMS, (void (*)(void))exchange_gettable },
    { 0, NULL },
};
