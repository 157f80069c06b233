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
    EVP_PKEY_CTX *delegate; /* of a software key: all the work */
    struct bytes point;     /* of a key on a token: the other side's; empty: none yet */
    bool low_order;         /* and it leads to zeros */
    char kdf[32];           /* "": none */
    char digest[64];
    size_t kdf_len;
    struct bytes ukm;
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
    bytes_end(&ctx->ukm);
    secret_wipe(ctx->secret, sizeof(ctx->secret));
    ctx->delegate = NULL;
    ctx->key = NULL;
    ctx->kdf[0] = ctx->digest[0] = '\0';
    ctx->kdf_len = 0;
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
    memcpy(ctx->kdf, from->kdf, sizeof(ctx->kdf));
    memcpy(ctx->digest, from->digest, sizeof(ctx->digest));
    ctx->kdf_len = from->kdf_len;
    ctx->low_order = from->low_order;
    ctx->delegate = from->delegate == NULL ? NULL : EVP_PKEY_CTX_dup(from->delegate);
    if ((from->delegate != NULL && ctx->delegate == NULL) ||
        !bytes_set(&ctx->point, from->point.data, from->point.len) ||
        !bytes_set(&ctx->ukm, from->ukm.data, from->ukm.len)) {
        return NULL;
    }
    return STEAL(ctx);
}

/* --- parameters --------------------------------------------------------------------------------------------------- */

static const OSSL_PARAM known_params[] = {
    OSSL_PARAM_int(OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE, NULL),
    OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST_PROPS, NULL, 0),
    OSSL_PARAM_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, NULL),
    OSSL_PARAM_octet_string(OSSL_EXCHANGE_PARAM_KDF_UKM, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *exchange_settable(void *vctx, void *vprov)
{
    (void)vctx;
    (void)vprov;
    return known_params;
}

static const OSSL_PARAM *exchange_gettable(void *vctx, void *vprov)
{
    static const OSSL_PARAM known[] = {
        OSSL_PARAM_int(OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE, NULL),
        OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, NULL, 0),
        OSSL_PARAM_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, NULL),
        OSSL_PARAM_DEFN(OSSL_EXCHANGE_PARAM_KDF_UKM, OSSL_PARAM_OCTET_PTR, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vctx;
    (void)vprov;
    return known;
}

static bool text_get(const OSSL_PARAM params[], const char *name, char *out, size_t room)
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, name);

    return p == NULL || OSSL_PARAM_get_utf8_string(p, &out, room);
}

static bool kdf_set(struct exchange_ctx *ctx, const OSSL_PARAM params[])
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_EXCHANGE_PARAM_KDF_UKM);
    const void *ukm = NULL;
    size_t ukm_len = 0;

    if (p != NULL && (!OSSL_PARAM_get_octet_string_ptr(p, &ukm, &ukm_len) || !bytes_set(&ctx->ukm, ukm, ukm_len))) {
        return false;
    }
    p = OSSL_PARAM_locate_const(params, OSSL_EXCHANGE_PARAM_KDF_OUTLEN);
    return (p == NULL || OSSL_PARAM_get_size_t(p, &ctx->kdf_len)) &&
           text_get(params, OSSL_EXCHANGE_PARAM_KDF_TYPE, ctx->kdf, sizeof(ctx->kdf)) &&
           text_get(params, OSSL_EXCHANGE_PARAM_KDF_DIGEST, ctx->digest, sizeof(ctx->digest));
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
    if (ctx->delegate != NULL) {
        return EVP_PKEY_CTX_set_params(ctx->delegate, params) > 0;
    }
    p = OSSL_PARAM_locate_const(params, OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE);
    if (p != NULL && (!OSSL_PARAM_get_int(p, &mode) || (mode == 1 && has_cofactor(ctx)))) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER, "keys on a token do not derive with a cofactor");
    }
    if (!kdf_set(ctx, params)) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER, "a parameter of key agreement makes no sense");
    }
    if (ctx->kdf[0] != '\0' && strcmp(ctx->kdf, OSSL_KDF_NAME_X963KDF) != 0) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER, "key agreement knows no KDF '%s'", ctx->kdf);
    }
    return 1;
}

static int exchange_get_params(void *vctx, OSSL_PARAM params[])
{
    struct exchange_ctx *ctx = vctx;
    OSSL_PARAM *p;

    if (ctx->delegate != NULL) {
        return EVP_PKEY_CTX_get_params(ctx->delegate, params) > 0;
    }
    if ((p = OSSL_PARAM_locate(params, OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE)) != NULL &&
        !OSSL_PARAM_set_int(p, 0)) {
        return 0;
    }
    if ((p = OSSL_PARAM_locate(params, OSSL_EXCHANGE_PARAM_KDF_TYPE)) != NULL &&
        !OSSL_PARAM_set_utf8_string(p, ctx->kdf)) {
        return 0;
    }
    if ((p = OSSL_PARAM_locate(params, OSSL_EXCHANGE_PARAM_KDF_DIGEST)) != NULL &&
        !OSSL_PARAM_set_utf8_string(p, ctx->digest)) {
        return 0;
    }
    if ((p = OSSL_PARAM_locate(params, OSSL_EXCHANGE_PARAM_KDF_OUTLEN)) != NULL &&
        !OSSL_PARAM_set_size_t(p, ctx->kdf_len)) {
        return 0;
    }
    p = OSSL_PARAM_locate(params, OSSL_EXCHANGE_PARAM_KDF_UKM);
    return p == NULL || OSSL_PARAM_set_octet_ptr(p, ctx->ukm.data, ctx->ukm.len);
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
    if (key->token == NULL) {
        ctx->delegate = prov_software_ctx(ctx->prov, key->software);
        if (ctx->delegate == NULL || EVP_PKEY_derive_init(ctx->delegate) <= 0) {
            return 0;
        }
    }
    return exchange_set_params(ctx, params);
}

/* Whether points are their x coordinate. */
static bool x_only(const struct exchange_ctx *ctx)
{
    return ctx->key != NULL && ctx->key->variant->family->x_only;
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
    if (ctx->delegate != NULL) {
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

static int kdf_run(struct exchange_ctx *ctx, size_t secret_len, unsigned char *out)
{
    PROV_SOFTWARE_SCOPE(ctx->prov);
    SCOPED(kdf_end)
    EVP_KDF *kdf = PROV_SOFTWARE_ENTERED ? EVP_KDF_fetch(ctx->prov->child, ctx->kdf, ctx->prov->query) : NULL;
    SCOPED(kdf_ctx_end) EVP_KDF_CTX *run = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, ctx->digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, ctx->secret, secret_len),
        ctx->ukm.len > 0 ? OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, ctx->ukm.data, ctx->ukm.len)
                         : OSSL_PARAM_construct_end(),
        OSSL_PARAM_construct_end(),
    };

    return run != NULL && EVP_KDF_derive(run, out, ctx->kdf_len, params) > 0;
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

static int exchange_derive(void *vctx, unsigned char *out, size_t *out_len, size_t room)
{
    struct exchange_ctx *ctx = vctx;
    size_t field_len = field_length(ctx);
    size_t wanted = ctx->kdf[0] != '\0' ? ctx->kdf_len : field_len;
    int good;

    if (ctx->delegate != NULL) {
        *out_len = room;
        return EVP_PKEY_derive(ctx->delegate, out, out_len) > 0;
    }
    if (field_len == 0 || field_len > sizeof(ctx->secret)) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER, "a key agreement without the other side's key");
    }
    if (out == NULL) {
        *out_len = wanted;
        return 1;
    }
    if (room < wanted) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER, "a buffer of %zu bytes is too small for a secret of %zu", room,
                          wanted);
    }
    if (!prov_ctx_ready(ctx->prov) || !secret_derive(ctx, field_len)) {
        return 0;
    }
    if (ctx->kdf[0] != '\0') {
        good = kdf_run(ctx, field_len, out);
    } else {
        memcpy(out, ctx->secret, field_len);
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
