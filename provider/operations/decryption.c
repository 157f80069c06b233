#include "provider/operations/decryption.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <string.h>

#include "base/lock.h"
#include "base/secret.h"
#include "pkcs11/result/ckr.h"
#include "provider/core/ends.h"
#include "provider/core/rejection.h"
#include "provider/core/software.h"
#include "provider/keys/alg-rsa.h"
#include "provider/operations/async.h"
#include "provider/operations/unpad.h"
#include "provider/settings/config.h"

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
    uint8_t in[PROV_UNPAD_MAX];
    uint8_t em[PROV_UNPAD_MAX]; /* what the token made of it */
    struct prov_unpad_synthetic synthetic;
    uint8_t out[PROV_UNPAD_MAX];
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

/* Of a refusal *out_rv is the reason. */
static struct tok_result token_decrypt(struct decryption *d, const CK_MECHANISM *mechanism, size_t *out_len,
                                       CK_RV *out_rv)
{
    const struct prov_job job = { decryption_abandoned, d };

    *out_len = sizeof(d->em); /* more than any message has, so that no token has too small a buffer to complain of */
    return prov_async_decrypt(d->ctx->key, &job, mechanism, d->in, d->k, d->em, out_len, out_rv);
}

/* Raw RSA; a token may leave out leading zeros. */
static struct tok_result token_raw(struct decryption *d)
{
    size_t len;
    CK_RV rv;

    TOK_TRY(token_decrypt(d, &prov_rsa_raw, &len, &rv));
    if (rv != CKR_OK) {
        return tok_key_refused(d->ctx->key->token, rv);
    }
    if (len > d->k) {
        return tok_fail(TOK_CODE_UNSUPPORTED, "the token's answer is longer than its key");
    }
    prov_unpad_align(d->em, len, d->k);
    return tok_good();
}

/* A message of which the token itself removes the padding. If it refuses to, that is a length that no message has,
 * without a branch: what it said, and that it did, stays here. */
static struct tok_result token_unpads(struct decryption *d, const CK_MECHANISM *mechanism, size_t *out_len)
{
    size_t len;
    CK_RV rv;

    TOK_TRY(token_decrypt(d, mechanism, &len, &rv));
    *out_len = (len | ((size_t)0 - (rv != CKR_OK))) & PROV_UNPAD_NO_MESSAGE;
    return tok_good();
}

/* Raw RSA is what a token, or its key, may not do. There are many ways to say so; some tokens do in C_Decrypt. */
static bool not_raw(const struct tok_result *result)
{
    return (tok_is_spoken(result) && strcmp(result->function, "C_DecryptInit") == 0 &&
            tok_ckr(result->rv)->recovery == TOK_GIVE_UP) ||
           tok_is(result, CKR_MECHANISM_INVALID) || tok_is(result, CKR_MECHANISM_PARAM_INVALID) ||
           tok_is(result, CKR_FUNCTION_NOT_SUPPORTED) || tok_is(result, CKR_KEY_FUNCTION_NOT_PERMITTED) ||
           tok_is(result, CKR_KEY_TYPE_INCONSISTENT);
}

/* --- PKCS#1 v1.5 -------------------------------------------------------------------------------------------------- */

/* What the key is asked for: a block that is no message of any scheme, and less than any modulus. */
static void block_make(uint8_t *block, size_t k)
{
    static const char text[] = "Signet: implicit rejection. ";

    block[0] = 0;
    for (size_t i = 1; i < k; i++) {
        block[i] = (uint8_t)text[i % (sizeof(text) - 1)];
    }
}

/* The key's answer to that block is a secret that whoever uses the key can have, in any process and by any URI, and
 * nobody else. A token that does no raw RSA has no such answer: there the secret is the process's and its children's. */
static struct tok_result root_of(struct decryption *d, const uint8_t **out_root, size_t *out_len)
{
    struct tok_result result;

    memcpy(d->out, d->in, d->k);
    block_make(d->in, d->k);
    result = token_raw(d);
    memcpy(d->in, d->out, d->k);
    *out_root = d->em;
    *out_len = d->k;
    if (!tok_ok(&result) && not_raw(&result)) {
        *out_root = prov_rejection_secret(d->ctx->prov);
        *out_len = PROV_REJECTION_LEN;
        result = tok_good();
    }
    return result;
}

/* Of a root and the public half. Of two threads that make it, one keeps it: it is the same. */
static bool rejection_keep(struct decryption *d, const uint8_t *root, size_t root_len)
{
    const struct prov_ctx *prov = d->ctx->prov;
    SCOPED(openssl_end) unsigned char *spki = NULL;
    SCOPED(secret_end) struct secret made = { .data = NULL };
    int len = prov_software_spki(&spki, d->ctx->key->software);
    uint8_t *none = NULL;
    size_t made_len = 0;
    PROV_SOFTWARE_SCOPE(prov);

    if (!PROV_SOFTWARE_ENTERED || root == NULL || len <= 0 || !secret_new(&made, PROV_REJECTION_LEN) ||
        EVP_Q_mac(prov->child, "HMAC", prov->query, "SHA256", NULL, root, root_len, spki, (size_t)len, made.data,
                  made.len, &made_len) == NULL) {
        return false;
    }
    if (atomic_compare_exchange_strong(&d->ctx->key->rejection, &none, made.data)) {
        made = (struct secret){ .data = NULL };
    }
    return true;
}

/* Before the first ciphertext's decryption, and never again: whatever it holds. 0 with an error raised. */
static int rejection_ready(struct decryption *d)
{
    const uint8_t *root;
    size_t root_len;
    struct tok_result result;

    if (atomic_load(&d->ctx->key->rejection) != NULL) {
        return 1;
    }
    result = root_of(d, &root, &root_len);
    if (!tok_ok(&result)) {
        return prov_fail(d->ctx->prov, &result);
    }
    return rejection_keep(d, root, root_len) ||
           prov_raise(d->ctx->prov, PROV_R_SOFTWARE, "random numbers and HMAC with SHA-256 can't be had");
}

static bool synthetic_make(struct decryption *d)
{
    const struct prov_ctx *prov = d->ctx->prov;
    const struct prov_unpad_source source = {
        .libctx = prov->child,
        .query = prov->query,
        .secret = atomic_load(&d->ctx->key->rejection),
        .key_name = "",
    };

    return prov_unpad_synthetic(&d->synthetic, &source, d->in, d->k);
}

static int pkcs1_by_token(struct decryption *d)
{
    size_t len;
    struct tok_result result = token_unpads(d, &prov_rsa_pkcs1, &len);

    if (!tok_ok(&result)) {
        return prov_fail(d->ctx->prov, &result);
    }
    d->out_len = prov_unpad_message(d->out, d->em, len, d->k, &d->synthetic);
    return 1;
}

/* With implicit rejection: what is said of bad padding never gets out, whatever the parameter of that name says. */
static int unpad_as_pkcs1(struct decryption *d)
{
    struct tok_result result;

    if (!rejection_ready(d)) {
        return 0;
    }
    if (!synthetic_make(d)) {
        return prov_raise(d->ctx->prov, PROV_R_SOFTWARE, "HKDF with SHA-256 can't be had");
    }
    result = token_raw(d);
    if (!tok_ok(&result)) {
        return not_raw(&result) ? pkcs1_by_token(d) : prov_fail(d->ctx->prov, &result);
    }
    d->out_len = prov_unpad_pkcs1(d->out, d->em, d->k, &d->synthetic);
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

    if (d->k < PROV_UNPAD_PKCS1 + PROV_UNPAD_TLS_LEN || !tls_versions(d->ctx, &client, &negotiated)) {
        return prov_raise(prov, PROV_R_PARAMETER,
                          "TLS key transport needs the client's version, and more than a key of %zu bytes", d->k);
    }
    if (RAND_priv_bytes_ex(prov->child, random, PROV_UNPAD_TLS_LEN, 0) != 1) {
        return prov_raise(prov, PROV_R_SOFTWARE, "random numbers can't be had");
    }
    d->out_len = PROV_UNPAD_TLS_LEN;
    result = token_raw(d);
    if (tok_ok(&result)) {
        prov_unpad_tls(d->out, d->em, d->k, random, client, negotiated);
        return 1;
    }
    if (not_raw(&result)) {
        result = token_unpads(d, &prov_rsa_pkcs1, &len);
    }
    if (!tok_ok(&result)) {
        return prov_fail(prov, &result);
    }
    prov_unpad_tls_message(d->out, d->em, len, random, client, negotiated);
    return 1;
}

/* --- OAEP --------------------------------------------------------------------------------------------------------- */

#define OAEP_DEFAULT "SHA1" /* RFC 8017 §A.2.1 */

/* The digests are fetched in the child: the getters that give digests look into the default library context. Where none
 * could be set, the getters name none, and libcrypto takes the default. */
static bool oaep_read(struct oaep *out, const struct asym_ctx *ctx)
{
    char digest[64];
    char mgf1[64];

    if (EVP_PKEY_CTX_get_rsa_oaep_md_name(ctx->delegate, digest, sizeof(digest)) <= 0 ||
        EVP_PKEY_CTX_get_rsa_mgf1_md_name(ctx->delegate, mgf1, sizeof(mgf1)) <= 0) {
        return false;
    }
    out->digest = prov_software_digest(ctx->prov, digest[0] != '\0' ? digest : OAEP_DEFAULT);
    out->mgf1 = prov_software_digest(ctx->prov, mgf1[0] != '\0' ? mgf1 : OAEP_DEFAULT);
    out->label_len = EVP_PKEY_CTX_get0_rsa_oaep_label(ctx->delegate, &out->label);
    return out->digest != NULL && out->mgf1 != NULL && out->label_len >= 0;
}

static int bad_padding(const struct decryption *d)
{
    return prov_raise(d->ctx->prov, PROV_R_PARAMETER, "the ciphertext is none of this key with these OAEP parameters");
}

static int oaep_by_token(struct decryption *d, const struct oaep *oaep, const struct tok_result *not_raw_result)
{
    struct prov_rsa_oaep mechanism;
    struct tok_result result = *not_raw_result;
    size_t len;

    if (prov_rsa_oaep_make(&mechanism, oaep->digest, oaep->mgf1, oaep->label, (size_t)oaep->label_len)) {
        result = token_unpads(d, &mechanism.mechanism, &len);
    }
    if (!tok_ok(&result)) {
        return prov_fail(d->ctx->prov, &result);
    }
    if (len > d->k) {
        return bad_padding(d);
    }
    memcpy(d->out, d->em, len);
    d->out_len = len;
    return 1;
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
    { RSA_PKCS1_PADDING, "PKCS#1 v1.5", PROV_DECRYPT_PKCS1, 0, unpad_as_pkcs1 },
    { RSA_PKCS1_OAEP_PADDING, "OAEP", PROV_DECRYPT_OAEP, 0, unpad_as_oaep },
    { RSA_PKCS1_WITH_TLS_PADDING, "TLS key transport", PROV_DECRYPT_TLS, PROV_UNPAD_TLS_LEN, unpad_as_tls },
    { RSA_NO_PADDING, "no padding", PROV_DECRYPT_PKCS1, 0, unpad_nothing }, /* who may this can remove any himself */
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

int prov_decrypt_by_token(struct asym_ctx *ctx, unsigned char *out, size_t *outlen, size_t outsize,
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
    if (k > PROV_UNPAD_MAX || k < PROV_UNPAD_PKCS1 || inlen == 0 || inlen > k || outsize < room) {
        return prov_raise(ctx->prov, PROV_R_PARAMETER,
                          "a ciphertext of %zu bytes and room for %zu don't fit to a key of %zu", inlen, outsize, k);
    }
    if (!prov_ctx_ready(ctx->prov)) {
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
