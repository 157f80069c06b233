#include "provider/asymcipher.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <string.h>

#include "base/lock.h"
#include "provider/config.h"
#include "provider/key.h"
#include "provider/software.h"
#include "provider/unpad.h"

#define MAX_RSA_BYTES 2048
#define SECRET_LEN 32

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

/* --- life and parameters
 * -------------------------------------------------------------------------------------------------------------- */

static void *asym_newctx(void *vprov)
{
    struct asym_ctx *ctx = calloc(1, sizeof(*ctx));

    if (ctx != NULL) {
        ctx->prov = vprov;
    }
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
    OSSL_PARAM_uint("implicit-rejection", NULL),
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

/* --- the token's part
 * ------------------------------------------------------------------------------------------------------------------ */

struct decryption {
    struct asym_ctx *ctx;
    const uint8_t *in; /* as long as the modulus */
    size_t k;          /* that length */
    uint8_t em[MAX_RSA_BYTES];
    uint8_t *out;
    size_t out_len; /* of the result */
};

static struct tok_result token_decrypt(struct decryption *d, const CK_MECHANISM *mechanism, size_t *out_len)
{
    struct prov_key *key = d->ctx->key;
    uint64_t began = clock_us();
    struct tok_result result;

    *out_len = sizeof(d->em);
    prov_err_mark(d->ctx->prov);
    result = tok_key_decrypt(key->token, mechanism, d->in, d->k, d->em, out_len);
    prov_err_forget(d->ctx->prov);
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

/* Raw RSA is what a token, or its key, may not do. */
static bool not_raw(const struct tok_result *result)
{
    return tok_is(result, CKR_MECHANISM_INVALID) || tok_is(result, CKR_MECHANISM_PARAM_INVALID) ||
           tok_is(result, CKR_KEY_FUNCTION_NOT_PERMITTED) || tok_is(result, CKR_FUNCTION_NOT_SUPPORTED);
}

/* A failure that may be about the data: to say so would tell whether their padding was right. */
static bool about_data(const struct tok_result *result)
{
    static const CK_RV values[] = {
        CKR_ENCRYPTED_DATA_INVALID, CKR_ENCRYPTED_DATA_LEN_RANGE, CKR_DATA_INVALID,
        CKR_DATA_LEN_RANGE,         CKR_FUNCTION_FAILED,          CKR_GENERAL_ERROR,
        CKR_BUFFER_TOO_SMALL,
    };

    for (size_t i = 0; i < COUNT_OF(values); i++) {
        if (tok_is(result, values[i]) && strcmp(result->function, "C_Decrypt") == 0) {
            return true;
        }
    }
    return false;
}

/* --- paddings
 * ---------------------------------------------------------------------------------------------------------------------------
 */

static uint8_t process_secret[SECRET_LEN];
static int process_secret_made;

static void process_secret_make(void)
{
    process_secret_made = RAND_priv_bytes(process_secret, sizeof(process_secret)) == 1;
}

/* A stream of bytes that depend on the ciphertext, the key and a secret of this process, for messages that never were.
 */
static bool synthetic_bytes(const struct decryption *d, const char *purpose, uint8_t *out, size_t len)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *uri = tok_key_uri(d->ctx->key->token);
    uint8_t seed[EVP_MAX_MD_SIZE];
    unsigned seed_len;
    uint8_t own[SECRET_LEN];

    pthread_once(&once, process_secret_make);
    if (!process_secret_made ||
        HMAC(EVP_sha256(), process_secret, SECRET_LEN, (const unsigned char *)uri, strlen(uri), own, NULL) == NULL ||
        HMAC(EVP_sha256(), own, SECRET_LEN, d->in, d->k, seed, &seed_len) == NULL) {
        return false;
    }
    for (size_t done = 0, round = 0; done < len; round++) {
        uint8_t block[EVP_MAX_MD_SIZE];
        char what[32];
        unsigned block_len;
        int what_len = snprintf(what, sizeof(what), "%s %zu", purpose, round);

        if (HMAC(EVP_sha256(), seed, (int)seed_len, (unsigned char *)what, (size_t)what_len, block, &block_len) ==
            NULL) {
            return false;
        }
        memcpy(out + done, block, len - done < block_len ? len - done : block_len);
        done += block_len;
    }
    return true;
}

/* PKCS#1 v1.5 with implicit rejection: what a token says of bad padding never gets out. */
static int unpad_as_pkcs1(struct decryption *d)
{
    uint8_t synthetic[MAX_RSA_BYTES];
    uint8_t lengths[256];
    size_t synthetic_len;
    struct tok_result result;

    if (!synthetic_bytes(d, "length", lengths, sizeof(lengths)) || !synthetic_bytes(d, "message", synthetic, d->k)) {
        return prov_raise(d->ctx->prov, PROV_R_SOFTWARE, "random numbers can't be had");
    }
    synthetic_len = unpad_length(lengths, d->k - 11);
    result = token_raw(d);
    if (tok_ok(&result)) {
        d->out_len = unpad_pkcs1(d->out, d->em, synthetic, d->k, synthetic_len);
        return 1;
    }
    if (not_raw(&result)) {
        size_t len;

        result = token_decrypt(d, &prov_rsa_pkcs1, &len);
        if (tok_ok(&result) && len <= d->k - 11) {
            memcpy(d->out, d->em, len);
            d->out_len = len;
            return 1;
        }
        if (tok_ok(&result) || about_data(&result)) {
            memcpy(d->out, synthetic + d->k - synthetic_len, synthetic_len);
            d->out_len = synthetic_len;
            return 1;
        }
    }
    return prov_fail(d->ctx->prov, &result);
}

/* The premaster secret of TLS up to 1.2: whatever is wrong with it, the handshake goes on with a random one (RFC 5246
 * §7.4.7.1), drawn before the token is asked. */
static int unpad_as_tls(struct decryption *d)
{
    struct asym_ctx *ctx = d->ctx;
    unsigned client_version = 0;
    unsigned negotiated_version = 0;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &client_version),
        OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION, &negotiated_version),
        OSSL_PARAM_construct_end(),
    };
    uint8_t random[UNPAD_TLS_LEN];
    struct tok_result result;
    size_t len;

    if (d->k < 11 + UNPAD_TLS_LEN || EVP_PKEY_CTX_get_params(ctx->delegate, params) <= 0) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER, "the key is too short for TLS key transport");
    }
    if (RAND_priv_bytes_ex(ctx->prov->child, random, sizeof(random), 0) != 1) {
        return prov_raise(ctx->prov, PROV_R_SOFTWARE, "random numbers can't be had");
    }
    d->out_len = UNPAD_TLS_LEN;
    result = token_raw(d);
    if (tok_ok(&result)) {
        unpad_tls(d->out, d->em, d->k, random, client_version, negotiated_version);
        return 1;
    }
    if (not_raw(&result)) {
        result = token_decrypt(d, &prov_rsa_pkcs1, &len);
        if (tok_ok(&result) || about_data(&result)) {
            unpad_tls_message(d->out, d->em, tok_ok(&result) ? len : 0, random, client_version, negotiated_version);
            return 1;
        }
    }
    return prov_fail(ctx->prov, &result);
}

static int oaep_failed(struct decryption *d)
{
    return prov_raise(d->ctx->prov, PROV_R_PARAMETER, "the ciphertext is none of this key with these OAEP parameters");
}

static int unpad_as_oaep(struct decryption *d)
{
    struct prov_ctx *prov = d->ctx->prov;
    const EVP_MD *digest = NULL;
    const EVP_MD *mgf1 = NULL;
    unsigned char *label = NULL;
    struct prov_oaep oaep;
    struct tok_result result;
    size_t len;
    int label_len;
    int got;

    if (EVP_PKEY_CTX_get_rsa_oaep_md(d->ctx->delegate, &digest) <= 0 ||
        EVP_PKEY_CTX_get_rsa_mgf1_md(d->ctx->delegate, &mgf1) <= 0) {
        return 0;
    }
    label_len = EVP_PKEY_CTX_get0_rsa_oaep_label(d->ctx->delegate, &label);
    label_len = label_len > 0 ? label_len : 0;
    result = token_raw(d);
    if (tok_ok(&result)) {
        prov_err_mark(prov);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
        got = RSA_padding_check_PKCS1_OAEP_mgf1(d->out, (int)d->k, d->em, (int)d->k, (int)d->k, label, label_len,
                                                digest, mgf1);
#pragma GCC diagnostic pop
        prov_err_forget(prov);
        d->out_len = got >= 0 ? (size_t)got : 0;
        return got >= 0 || oaep_failed(d);
    }
    if (not_raw(&result) && prov_rsa_oaep(&oaep, digest, mgf1, label, (size_t)label_len)) {
        result = token_decrypt(d, &oaep.mechanism, &len);
        if (tok_ok(&result) && len <= d->k) {
            memcpy(d->out, d->em, len);
            d->out_len = len;
            return 1;
        }
        if (about_data(&result)) {
            return oaep_failed(d);
        }
    }
    return prov_fail(prov, &result);
}

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
    unsigned allowed_by; /* bit of the setting rsa-decrypt; 0: always */
    size_t least_room;   /* 0: as long as the modulus */
    int (*run)(struct decryption *d);
} paddings[] = {
    { RSA_PKCS1_PADDING, "PKCS#1 v1.5", CONFIG_DECRYPT_PKCS1, 0, unpad_as_pkcs1 },
    { RSA_PKCS1_OAEP_PADDING, "OAEP", CONFIG_DECRYPT_OAEP, 0, unpad_as_oaep },
    { RSA_PKCS1_WITH_TLS_PADDING, "TLS key transport", CONFIG_DECRYPT_TLS, UNPAD_TLS_LEN, unpad_as_tls },
    { RSA_NO_PADDING, "no padding", CONFIG_DECRYPT_PKCS1, 0, unpad_nothing },
};

static const struct padding *padding_of(struct asym_ctx *ctx)
{
    int mode = 0;
    OSSL_PARAM params[] = {
        /* not by EVP_PKEY_CTX_get_rsa_padding, which has no name for TLS padding and trips over it */
        OSSL_PARAM_construct_int(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, &mode),
        OSSL_PARAM_construct_end(),
    };

    if (EVP_PKEY_CTX_get_params(ctx->delegate, params) <= 0) {
        return NULL;
    }
    for (size_t i = 0; i < COUNT_OF(paddings); i++) {
        if (paddings[i].mode == mode) {
            if (paddings[i].allowed_by != 0 && (ctx->prov->rsa_decrypt & paddings[i].allowed_by) == 0) {
                prov_raise(ctx->prov, PROV_R_PARAMETER,
                           "RSA decryption with %s is not allowed by the setting rsa-decrypt", paddings[i].name);
                return NULL;
            }
            return &paddings[i];
        }
    }
    prov_raise(ctx->prov, PROV_R_PARAMETER, "RSA decryption with padding mode %d is not served", mode);
    return NULL;
}

static int decrypt_run(void *vctx, unsigned char *out, size_t *outlen, size_t outsize, const unsigned char *in,
                       size_t inlen)
{
    struct asym_ctx *ctx = vctx;
    struct decryption d = { .ctx = ctx, .in = in, .k = (size_t)EVP_PKEY_get_size(ctx->key->software) };
    uint8_t message[MAX_RSA_BYTES];
    const struct padding *padding;
    int good;

    if (ctx->key->token == NULL) {
        *outlen = outsize;
        return EVP_PKEY_decrypt(ctx->delegate, out, outlen, in, inlen) > 0;
    }
    padding = padding_of(ctx);
    if (padding == NULL) {
        return 0;
    }
    if (out == NULL) {
        *outlen = padding->least_room != 0 ? padding->least_room : d.k;
        return 1;
    }
    if (d.k > MAX_RSA_BYTES || inlen != d.k || outsize < (padding->least_room != 0 ? padding->least_room : d.k)) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER,
                          "a ciphertext of %zu bytes and room for %zu don't fit to a key of %zu", inlen, outsize, d.k);
    }
    if (!prov_ready(ctx->prov)) {
        return 0;
    }
    d.out = message;
    good = padding->run(&d);
    if (good) {
        memcpy(out, message, d.out_len);
        *outlen = d.out_len;
    }
    secret_wipe(message, sizeof(message));
    secret_wipe(d.em, sizeof(d.em));
    return good;
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
