#include "provider/keys/prover.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "base/secret.h"
#include "provider/core/ends.h"
#include "provider/core/software.h"

#define MOST_OTHERS 2048 /* bytes of a signature by RSA or ECDSA */
#define SHAPE_ROOM 64    /* by which OpenSSL's form of a signature may be longer than the token's */

/* Of no protocol, and of no document: a signature of it is of no use. */
static const uint8_t message[] = "Signet asks which public key this private key has. This signature says nothing else.";

static void read_half(void *arg, struct tok_public *half)
{
    const struct prov_prover *prover = arg;
    struct tok_public described = { .type = half->type };
    SCOPED(prov_key_end) struct prov_key *key = NULL;

    if (half->modulus.len > 0 || half->point.len > 0) {
        return;
    }
    prov_err_mark(prover->prov);
    key = prov_key_public_of(prover->prov, half);
    if (key != NULL && key->variant->family->describe(&described, key->software)) {
        half->type = key->variant->key_type;
        half->set = key->variant->set;
        tok_public_complete(half, &described);
    }
    tok_public_end(&described);
    prov_err_forget(prover->prov);
}

/* A key of RSA-PSS is none to be asked so; but RSA keys show their modulus, and are not asked. */
static bool scheme_of(struct prov_prover *prover, const struct prov_key *key)
{
    const struct prov_family *family = key->variant->family;

    prover->scheme = (struct prov_scheme){
        .digest = family->default_digest == NULL ? NULL : prover->digest,
        .padding = family->default_padding,
        .key_bits = (size_t)EVP_PKEY_get_bits(key->software),
        .prov = prover->prov,
        .whole = family->default_digest == NULL,
    };
    return family->signature != NULL && !key->variant->restricted && prover->digest != NULL;
}

/* Where the token hashes, its signature has one length, and some tokens want just that much room (NSS). */
static bool ask(void *arg, const struct tok_public *half, unsigned way, CK_MECHANISM *out_mechanism,
                const uint8_t **out_in, size_t *out_in_len, size_t *out_room)
{
    struct prov_prover *prover = arg;
    SCOPED(prov_key_end) struct prov_key *key = NULL;
    struct prov_choice choice;
    struct tok_result result;

    prov_err_mark(prover->prov);
    key = prov_key_public_of(prover->prov, half);
    prov_err_forget(prover->prov);
    if (key == NULL || !scheme_of(prover, key) ||
        !prov_family_choice(&choice, key->variant->family, &prover->scheme, way)) {
        return false;
    }
    result = key->variant->family->prepare(&prover->mechanism, &prover->scheme, &choice, &prover->data);
    *out_mechanism = prover->mechanism.mechanism;
    *out_in = prover->mechanism.in;
    *out_in_len = prover->mechanism.in_len;
    *out_room = prover->scheme.whole ? (size_t)EVP_PKEY_get_size(key->software) : MOST_OTHERS;
    return tok_ok(&result);
}

static bool verify_message(const struct prov_prover *prover, EVP_PKEY *key, const uint8_t *sig, size_t len)
{
    SCOPED(md_ctx_end) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    return ctx != NULL &&
           EVP_DigestVerifyInit_ex(ctx, NULL, NULL, prover->prov->child, prover->prov->query, key, NULL) > 0 &&
           EVP_DigestVerify(ctx, sig, len, prover->data.message, prover->data.message_len) == 1;
}

static bool verify_digest(const struct prov_prover *prover, EVP_PKEY *key, const uint8_t *sig, size_t len)
{
    SCOPED(pkey_ctx_end) EVP_PKEY_CTX *ctx = prov_software_ctx(prover->prov, key);

    return ctx != NULL && EVP_PKEY_verify_init(ctx) > 0 &&
           EVP_PKEY_CTX_set_signature_md(ctx, prover->scheme.digest) > 0 &&
           (prover->scheme.padding == 0 || EVP_PKEY_CTX_set_rsa_padding(ctx, prover->scheme.padding) > 0) &&
           EVP_PKEY_verify(ctx, sig, len, prover->data.digest, prover->data.digest_len) == 1;
}

static bool verify(void *arg, const struct tok_public *half, const uint8_t *sig, size_t sig_len)
{
    const struct prov_prover *prover = arg;
    SCOPED(prov_key_end) struct prov_key *key = NULL;
    SCOPED(bytes_end) struct bytes shaped = { 0 };
    bool right = false;
    size_t len = sig_len;
    PROV_SOFTWARE_SCOPE(prover->prov);

    prov_err_mark(prover->prov);
    key = prov_key_public_of(prover->prov, half);
    if (PROV_SOFTWARE_ENTERED && key != NULL && bytes_new(&shaped, sig_len + SHAPE_ROOM)) {
        size_t bits = (size_t)EVP_PKEY_get_bits(key->software);
        bool whole = prover->scheme.whole;

        memcpy(shaped.data, sig, sig_len);
        right = whole == (key->variant->family->default_digest == NULL) &&
                key->variant->family->shape(shaped.data, &len,
                                            whole ? (size_t)EVP_PKEY_get_size(key->software) : (bits + 7) / 8) &&
                (whole ? verify_message(prover, key->software, shaped.data, len)
                       : verify_digest(prover, key->software, shaped.data, len));
    }
    prov_err_forget(prover->prov);
    return right;
}

/* --- agreement ---------------------------------------------------------------------------------------------------- */

#define MOST_SECRET_BYTES 128 /* of the longest field, and more */

/* The secret of our key and this one; 0: they share none. */
static size_t share(const struct prov_prover *prover, EVP_PKEY *peer, uint8_t secret[MOST_SECRET_BYTES])
{
    SCOPED(pkey_ctx_end) EVP_PKEY_CTX *ctx = prov_software_ctx(prover->prov, prover->own);
    size_t len = MOST_SECRET_BYTES;

    return ctx != NULL && EVP_PKEY_derive_init(ctx) > 0 && EVP_PKEY_derive_set_peer(ctx, peer) > 0 &&
                   EVP_PKEY_derive(ctx, secret, &len) > 0
               ? len
               : 0;
}

/* A new key of ours on the curve of that one. */
static bool own_make(struct prov_prover *prover, EVP_PKEY *key)
{
    SCOPED(pkey_ctx_end) EVP_PKEY_CTX *ctx = prov_software_ctx(prover->prov, key);
    size_t len = 0;

    EVP_PKEY_free(prover->own);
    prover->own = NULL;
    return ctx != NULL && EVP_PKEY_keygen_init(ctx) > 0 && EVP_PKEY_keygen(ctx, &prover->own) > 0 &&
           EVP_PKEY_get_octet_string_param(prover->own, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0, &len) &&
           bytes_new(&prover->point, len) &&
           EVP_PKEY_get_octet_string_param(prover->own, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, prover->point.data, len,
                                           &prover->point.len);
}

static bool agree(void *arg, const struct tok_public *half, const uint8_t **out_point, size_t *out_point_len,
                  size_t *out_len)
{
    struct prov_prover *prover = arg;
    SCOPED(prov_key_end) struct prov_key *key = NULL;
    uint8_t secret[MOST_SECRET_BYTES];
    size_t len = 0;
    PROV_SOFTWARE_SCOPE(prover->prov);

    prov_err_mark(prover->prov);
    key = prov_key_public_of(prover->prov, half);
    if (PROV_SOFTWARE_ENTERED && key != NULL && key->variant->family->key_exchange != NULL &&
        own_make(prover, key->software)) {
        len = share(prover, key->software, secret);
        secret_wipe(secret, sizeof(secret));
    }
    prov_err_forget(prover->prov);
    *out_point = prover->point.data;
    *out_point_len = prover->point.len;
    *out_len = len;
    return len > 0;
}

/* Some tokens leave out leading zeros. */
static bool is_same_secret(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    for (; a_len > b_len && *a == 0; a_len--) {
        a++;
    }
    for (; b_len > a_len && *b == 0; b_len--) {
        b++;
    }
    return a_len == b_len && CRYPTO_memcmp(a, b, a_len) == 0;
}

static bool agreed(void *arg, const struct tok_public *half, const uint8_t *secret, size_t secret_len)
{
    struct prov_prover *prover = arg;
    SCOPED(prov_key_end) struct prov_key *key = NULL;
    uint8_t ours[MOST_SECRET_BYTES];
    bool same = false;
    PROV_SOFTWARE_SCOPE(prover->prov);

    prov_err_mark(prover->prov);
    key = prov_key_public_of(prover->prov, half);
    if (PROV_SOFTWARE_ENTERED && key != NULL && prover->own != NULL) {
        size_t len = share(prover, key->software, ours);

        same = len > 0 && is_same_secret(ours, len, secret, secret_len);
        secret_wipe(ours, sizeof(ours));
    }
    prov_err_forget(prover->prov);
    return same;
}

void prov_prover_begin(struct prov_prover *out, struct prov_ctx *prov)
{
    unsigned len = 0;

    out->prover = (struct tok_prover){ read_half, ask, verify, agree, agreed, out };
    out->prov = prov;
    prov_err_mark(prov);
    out->digest = prov_software_digest(prov, "SHA256");
    if (out->digest != NULL && EVP_Digest(message, sizeof(message), out->hash, &len, out->digest, NULL) != 1) {
        EVP_MD_free(out->digest);
        out->digest = NULL;
    }
    prov_err_forget(prov);
    out->data = (struct prov_data){ out->hash, len, message, sizeof(message) };
}

void prov_prover_end(struct prov_prover *prover)
{
    EVP_MD_free(prover->digest);
    EVP_PKEY_free(prover->own);
    bytes_end(&prover->point);
}

static const struct tok_prover *lend(void *prov)
{
    struct prov_prover *lent = calloc(1, sizeof(*lent));

    if (lent == NULL) {
        return NULL;
    }
    prov_prover_begin(lent, prov);
    return &lent->prover;
}

static void take_back(const struct tok_prover *prover)
{
    struct prov_prover *lent = prover->arg;

    prov_prover_end(lent);
    free(lent);
}

struct tok_lender prov_prover_lender(struct prov_ctx *prov)
{
    return (struct tok_lender){ lend, take_back, prov };
}
