#include "provider/asymcipher.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <stdatomic.h>
#include <string.h>

#include "base/lock.h"
#include "base/secret.h"
#include "pkcs11/ckr.h"
#include "provider/async.h"
#include "provider/config.h"
#include "provider/key.h"
#include "provider/software.h"
#include "provider/unpad.h"

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

struct asym_ctx {
    struct prov_ctx *prov;
    struct prov_key *key;
    bool decrypting;
    EVP_PKEY_CTX *delegate; /* the work itself, or with a key on a token its parameters */
};

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
    return from->delegate != NULL && ctx->delegate == NULL ? NULL : STEAL(ctx);
}

static int asym_set_params(void *vctx, const OSSL_PARAM params[])
{
    struct asym_ctx *ctx = vctx;

    return params == NULL || params->key == NULL || ctx->delegate == NULL ||
           EVP_PKEY_CTX_set_params(ctx->delegate, params) > 0;
}

static int asym_get_params(void *vctx, OSSL_PARAM params[])
{
    struct asym_ctx *ctx = vctx;

    return ctx->delegate != NULL && EVP_PKEY_CTX_get_params(ctx->delegate, params) > 0;
}

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
    (void)vctx;
    (void)vprov;
    return known_params;
}

static const OSSL_PARAM *asym_gettable(void *vctx, void *vprov)
{
    return asym_settable(vctx, vprov);
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
    ctx->delegate = software_ctx(ctx->prov, ctx->key->software);
    if (ctx->delegate == NULL) {
        return 0;
    }
    good = decrypting && ctx->key->token == NULL ? EVP_PKEY_decrypt_init(ctx->delegate)
                                                 : EVP_PKEY_encrypt_init(ctx->delegate);
    return good > 0 && asym_set_params(ctx, params);
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
    return EVP_PKEY_encrypt(ctx->delegate, out, outlen, in, inlen) > 0;
}

/* --- the token's part --------------------------------------------------------------------------------------------- */

struct oaep {
    EVP_MD *digest;
    EVP_MD *mgf1;
    unsigned char *label; /* borrowed */
    int label_len;
};

struct decryption {
    struct asym_ctx *ctx;
    struct oaep oaep;
    size_t k; /* the length of the modulus, of `in` and of `em` */
    uint8_t in[UNPAD_MAX];
    uint8_t em[UNPAD_MAX]; /* what the token made of it */
    struct unpad_synthetic synthetic;
    uint8_t out[UNPAD_MAX];
    size_t out_len; /* of the result */
};

/* Not on the stack, which in an ASYNC job is small. */
static void decryption_end(struct decryption **d)
{
    if (*d != NULL) {
        EVP_MD_free((*d)->oaep.digest);
        EVP_MD_free((*d)->oaep.mgf1);
        secret_wipe(*d, sizeof(**d));
        free(*d);
    }
}

/* Its ASYNC job is never gone on with. */
static void decryption_abandoned(void *vd)
{
    struct decryption *d = vd;
    struct asym_ctx *ctx = d->ctx;

    decryption_end(&d);
    EVP_PKEY_CTX_free(ctx->delegate);
    prov_key_unref(ctx->key);
    ctx->delegate = NULL;
    ctx->key = NULL;
}

static struct tok_result token_decrypt(struct decryption *d, const CK_MECHANISM *mechanism, size_t *out_len)
{
    struct prov_key *key = d->ctx->key;
    const struct prov_job job = { decryption_abandoned, d };
    uint64_t began = clock_us();
    struct tok_result result;

    *out_len = sizeof(d->em);
    result = prov_token_decrypt(key, &job, mechanism, d->in, d->k, d->em, out_len);
    key->last_sign_us = clock_us() - began;
    return result;
}

/* Raw RSA; a token may leave out leading zeros. */
static struct tok_result token_raw(struct decryption *d)
{
    size_t len;

    TOK_TRY(token_decrypt(d, &prov_rsa_raw, &len));
    if (len > d->k) {
        return tok_fail(TOK_CODE_UNSUPPORTED, "the token's answer is longer than its key");
    }
    memmove(d->em + d->k - len, d->em, len);
    memset(d->em, 0, d->k - len);
    return tok_good();
}

/* A failure of this call that no recovery could help. */
static bool final_from(const struct tok_result *result, const char *function)
{
    return result->code == TOK_CODE_CKR && strcmp(result->function, function) == 0 &&
           tok_ckr(result->rv)->recovery == TOK_GIVE_UP;
}

/* Raw RSA is what a token, or its key, may not do. There are many ways to say so; some tokens do in C_Decrypt. */
static bool not_raw(const struct tok_result *result)
{
    return final_from(result, "C_DecryptInit") || tok_is(result, CKR_MECHANISM_INVALID) ||
           tok_is(result, CKR_MECHANISM_PARAM_INVALID) || tok_is(result, CKR_FUNCTION_NOT_SUPPORTED) ||
           tok_is(result, CKR_KEY_FUNCTION_NOT_PERMITTED) || tok_is(result, CKR_KEY_TYPE_INCONSISTENT);
}

/* A failure that may be about the data, where a token removes the padding: to say so would tell whether it was right.
 * SoftHSM 2.6 says CKR_GENERAL_ERROR; a card's refusal may come as CKR_DEVICE_ERROR. */
static bool about_data(const struct tok_result *result)
{
    return final_from(result, "C_Decrypt") ||
           (result->code == TOK_CODE_CKR && strcmp(result->function, "C_Decrypt") == 0 &&
            (result->rv == CKR_GENERAL_ERROR || result->rv == CKR_FUNCTION_FAILED || result->rv == CKR_DEVICE_ERROR));
}

/* --- PKCS#1 v1.5 -------------------------------------------------------------------------------------------------- */

/* Drawn once in a process, by the instance that needs it first, and kept to the end; NULL if that fails. */
static const uint8_t *process_secret(const struct prov_ctx *prov)
{
    static _Atomic(uint8_t *) shared;
    struct secret mine = { 0 };
    uint8_t *none = NULL;

    if (shared == NULL && secret_new(&mine, UNPAD_SECRET_LEN) &&
        RAND_priv_bytes_ex(prov->child, mine.data, UNPAD_SECRET_LEN, 0) == 1 &&
        atomic_compare_exchange_strong(&shared, &none, mine.data)) {
        return mine.data;
    }
    secret_end(&mine);
    return shared;
}

void prov_asym_cipher_ready(const struct prov_ctx *prov)
{
    (void)process_secret(prov);
}

static bool synthetic_make(struct decryption *d)
{
    const struct prov_ctx *prov = d->ctx->prov;
    const struct unpad_source source = {
        .libctx = prov->child,
        .query = prov->query,
        .secret = process_secret(prov),
        .key_name = tok_key_uri(d->ctx->key->token),
    };

    return source.secret != NULL && unpad_synthetic(&d->synthetic, &source, d->in, d->k);
}

static int pkcs1_by_token(struct decryption *d)
{
    size_t len;
    struct tok_result result = token_decrypt(d, &prov_rsa_pkcs1, &len);

    if (tok_ok(&result) && len <= d->k - UNPAD_PKCS1) {
        memcpy(d->out, d->em, len);
        d->out_len = len;
        return 1;
    }
    if (!tok_ok(&result) && !about_data(&result)) {
        return prov_fail(d->ctx->prov, &result);
    }
    memcpy(d->out, d->synthetic.block + d->k - d->synthetic.len, d->synthetic.len);
    d->out_len = d->synthetic.len;
    return 1;
}

/* With implicit rejection: what is said of bad padding never gets out, whatever the parameter of that name says. */
static int unpad_as_pkcs1(struct decryption *d)
{
    struct tok_result result;

    if (!synthetic_make(d)) {
        return prov_raise(d->ctx->prov, PROV_R_SOFTWARE, "random numbers and HKDF with SHA-256 can't be had");
    }
    result = token_raw(d);
    if (!tok_ok(&result)) {
        return not_raw(&result) ? pkcs1_by_token(d) : prov_fail(d->ctx->prov, &result);
    }
    d->out_len = unpad_pkcs1(d->out, d->em, d->k, &d->synthetic);
    return 1;
}

/* --- the premaster secret of TLS up to 1.2 ------------------------------------------------------------------------ */

/* The versions that it may bear; the second one is 0, or what was negotiated, with a client that bears that in mind. */
static bool tls_versions(const struct asym_ctx *ctx, unsigned *out_client, unsigned *out_negotiated)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, out_client),
        OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION, out_negotiated),
        OSSL_PARAM_construct_end(),
    };

    return EVP_PKEY_CTX_get_params(ctx->delegate, params) > 0 && *out_client != 0;
}

/* Whatever is wrong with it, the handshake goes on with a random one, drawn before (RFC 5246 §7.4.7.1). */
static int unpad_as_tls(struct decryption *d)
{
    const struct prov_ctx *prov = d->ctx->prov;
    unsigned client = 0;
    unsigned negotiated = 0;
    uint8_t *random = d->synthetic.block; /* where it is wiped */
    struct tok_result result;
    size_t len = 0;

    if (d->k < UNPAD_PKCS1 + UNPAD_TLS_LEN || !tls_versions(d->ctx, &client, &negotiated)) {
        return prov_raise(prov, PROV_R_PARAMETER,
                          "TLS key transport needs the client's version, and more than a key of %zu bytes", d->k);
    }
    if (RAND_priv_bytes_ex(prov->child, random, UNPAD_TLS_LEN, 0) != 1) {
        return prov_raise(prov, PROV_R_SOFTWARE, "random numbers can't be had");
    }
    d->out_len = UNPAD_TLS_LEN;
    result = token_raw(d);
    if (tok_ok(&result)) {
        unpad_tls(d->out, d->em, d->k, random, client, negotiated);
        return 1;
    }
    if (not_raw(&result)) {
        result = token_decrypt(d, &prov_rsa_pkcs1, &len);
        if (tok_ok(&result) || about_data(&result)) {
            unpad_tls_message(d->out, d->em, tok_ok(&result) ? len : 0, random, client, negotiated);
            return 1;
        }
    }
    return prov_fail(prov, &result);
}

/* --- OAEP --------------------------------------------------------------------------------------------------------- */

/* The digests are fetched in the child: the getters that give digests look into the default library context. */
static bool oaep_read(struct oaep *out, const struct asym_ctx *ctx)
{
    char digest[64];
    char mgf1[64];

    if (EVP_PKEY_CTX_get_rsa_oaep_md_name(ctx->delegate, digest, sizeof(digest)) <= 0 ||
        EVP_PKEY_CTX_get_rsa_mgf1_md_name(ctx->delegate, mgf1, sizeof(mgf1)) <= 0) {
        return false;
    }
    out->digest = software_digest(ctx->prov, digest);
    out->mgf1 = software_digest(ctx->prov, mgf1);
    out->label_len = EVP_PKEY_CTX_get0_rsa_oaep_label(ctx->delegate, &out->label);
    return out->digest != NULL && out->mgf1 != NULL && out->label_len >= 0;
}

static int bad_padding(const struct decryption *d)
{
    return prov_raise(d->ctx->prov, PROV_R_PARAMETER, "the ciphertext is none of this key with these OAEP parameters");
}

static int oaep_by_token(struct decryption *d, const struct oaep *oaep, const struct tok_result *not_raw_result)
{
    struct prov_oaep mechanism;
    struct tok_result result = *not_raw_result;
    size_t len;

    if (prov_rsa_oaep(&mechanism, oaep->digest, oaep->mgf1, oaep->label, (size_t)oaep->label_len)) {
        result = token_decrypt(d, &mechanism.mechanism, &len);
        if (tok_ok(&result) && len <= d->k) {
            memcpy(d->out, d->em, len);
            d->out_len = len;
            return 1;
        }
        if (tok_ok(&result) || about_data(&result)) {
            return bad_padding(d);
        }
    }
    return prov_fail(d->ctx->prov, &result);
}

/* Constant in time, and what it has to say of the padding is said below. */
static int oaep_unpad(struct decryption *d, const struct oaep *oaep)
{
    const int k = (int)d->k;
    int len;

    prov_err_mark(d->ctx->prov);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    len = RSA_padding_check_PKCS1_OAEP_mgf1(d->out, k, d->em, k, k, oaep->label, oaep->label_len, oaep->digest,
                                            oaep->mgf1);
#pragma GCC diagnostic pop
    prov_err_forget(d->ctx->prov);
    return len;
}

static int unpad_as_oaep(struct decryption *d)
{
    struct oaep *oaep = &d->oaep;
    struct tok_result result;
    int len;

    if (!oaep_read(oaep, d->ctx)) {
        return prov_raise(d->ctx->prov, PROV_R_SOFTWARE, "the digests for OAEP can't be had");
    }
    result = token_raw(d);
    if (!tok_ok(&result)) {
        return not_raw(&result) ? oaep_by_token(d, oaep, &result) : prov_fail(d->ctx->prov, &result);
    }
    len = oaep_unpad(d, oaep);
    if (len < 0) {
        return bad_padding(d);
    }
    d->out_len = (size_t)len;
    return 1;
}

/* --- which padding ------------------------------------------------------------------------------------------------ */

static int unpad_nothing(struct decryption *d)
{
    struct tok_result result = token_raw(d);

    if (!tok_ok(&result)) {
        return prov_fail(d->ctx->prov, &result);
    }
    memcpy(d->out, d->em, d->k);
    d->out_len = d->k;
    return 1;
}

static const struct padding {
    int mode;
    const char *name;
    unsigned allowed_by; /* bit of the setting rsa-decrypt */
    size_t least_room;   /* 0: as long as the modulus */
    int (*run)(struct decryption *d);
} paddings[] = {
    { RSA_PKCS1_PADDING, "PKCS#1 v1.5", CONFIG_DECRYPT_PKCS1, 0, unpad_as_pkcs1 },
    { RSA_PKCS1_OAEP_PADDING, "OAEP", CONFIG_DECRYPT_OAEP, 0, unpad_as_oaep },
    { RSA_PKCS1_WITH_TLS_PADDING, "TLS key transport", CONFIG_DECRYPT_TLS, UNPAD_TLS_LEN, unpad_as_tls },
    { RSA_NO_PADDING, "no padding", CONFIG_DECRYPT_PKCS1, 0, unpad_nothing }, /* who may this can remove any himself */
};

static const struct padding *padding_of(struct asym_ctx *ctx)
{
    int mode = 0;
    OSSL_PARAM params[] = {
        /* EVP_PKEY_CTX_get_rsa_padding has no name for TLS padding, and trips over it */
        OSSL_PARAM_construct_int(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, &mode),
        OSSL_PARAM_construct_end(),
    };

    if (EVP_PKEY_CTX_get_params(ctx->delegate, params) <= 0) {
        return NULL;
    }
    for (size_t i = 0; i < COUNT_OF(paddings); i++) {
        if (paddings[i].mode != mode) {
            continue;
        }
        if ((ctx->prov->rsa_decrypt & paddings[i].allowed_by) == 0) {
            prov_raise(ctx->prov, PROV_R_PARAMETER, "RSA decryption with %s is not allowed by the setting rsa-decrypt",
                       paddings[i].name);
            return NULL;
        }
        return &paddings[i];
    }
    prov_raise(ctx->prov, PROV_R_PARAMETER, "RSA decryption with padding mode %d is not served", mode);
    return NULL;
}

/* The ciphertext gets the modulus' length: some senders leave out its leading zeros, and libcrypto takes that. */
static struct decryption *decryption_new(struct asym_ctx *ctx, size_t k, const unsigned char *in, size_t inlen)
{
    struct decryption *d = calloc(1, sizeof(*d));

    if (d == NULL) {
        prov_raise(ctx->prov, PROV_R_NO_MEMORY, "a decryption");
        return NULL;
    }
    d->ctx = ctx;
    d->k = k;
    memcpy(d->in + k - inlen, in, inlen);
    return d;
}

static int decrypt_by_token(struct asym_ctx *ctx, unsigned char *out, size_t *outlen, size_t outsize,
                            const unsigned char *in, size_t inlen)
{
    SCOPED(decryption_end) struct decryption *d = NULL;
    const struct padding *padding = padding_of(ctx);
    size_t k = (size_t)EVP_PKEY_get_size(ctx->key->software);
    size_t room;

    if (padding == NULL) {
        return 0;
    }
    room = padding->least_room != 0 ? padding->least_room : k;
    if (out == NULL) {
        *outlen = room;
        return 1;
    }
    if (k > UNPAD_MAX || k < UNPAD_PKCS1 || inlen == 0 || inlen > k || outsize < room) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER,
                          "a ciphertext of %zu bytes and room for %zu don't fit to a key of %zu", inlen, outsize, k);
    }
    if (!prov_ready(ctx->prov)) {
        return 0;
    }
    d = decryption_new(ctx, k, in, inlen);
    if (d == NULL || !padding->run(d)) {
        return 0;
    }
    memcpy(out, d->out, d->out_len);
    *outlen = d->out_len;
    return 1;
}

static int decrypt_run(void *vctx, unsigned char *out, size_t *outlen, size_t outsize, const unsigned char *in,
                       size_t inlen)
{
    struct asym_ctx *ctx = vctx;

    if (ctx->key->token != NULL) {
        return decrypt_by_token(ctx, out, outlen, outsize, in, inlen);
    }
    *outlen = outsize;
    return EVP_PKEY_decrypt(ctx->delegate, out, outlen, in, inlen) > 0;
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
