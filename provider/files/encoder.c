#include "provider/files/encoder.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/encoder.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <string.h>

#include "provider/core/ends.h"
#include "provider/core/software.h"
#include "provider/files/keyfile.h"
#include "provider/keys/key.h"

static OSSL_FUNC_encoder_newctx_fn encoder_newctx;
static OSSL_FUNC_encoder_freectx_fn encoder_freectx;
static OSSL_FUNC_encoder_set_ctx_params_fn encoder_set_params;
static OSSL_FUNC_encoder_settable_ctx_params_fn encoder_settable;
static OSSL_FUNC_encoder_does_selection_fn does_private;
static OSSL_FUNC_encoder_does_selection_fn does_public;
static OSSL_FUNC_encoder_encode_fn encode_der;
static OSSL_FUNC_encoder_encode_fn encode_pem;
static OSSL_FUNC_encoder_encode_fn encode_text;
static OSSL_FUNC_encoder_encode_fn encode_public_der;
static OSSL_FUNC_encoder_encode_fn encode_public_pem;

struct encoder {
    struct prov_ctx *prov;
    char *cipher; /* to encrypt software keys with; NULL: not */
};

static void *encoder_newctx(void *vprov)
{
    struct encoder *encoder = calloc(1, sizeof(*encoder));

    if (encoder == NULL) {
        prov_raise(vprov, PROV_R_NO_MEMORY, "an encoder");
        return NULL;
    }
    encoder->prov = vprov;
    return encoder;
}

static void encoder_freectx(void *vencoder)
{
    struct encoder *encoder = vencoder;

    if (encoder != NULL) {
        free(encoder->cipher);
        free(encoder);
    }
}

static const OSSL_PARAM *encoder_settable(void *vprov)
{
    static const OSSL_PARAM known[] = {
        OSSL_PARAM_utf8_string(OSSL_ENCODER_PARAM_CIPHER, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_ENCODER_PARAM_PROPERTIES, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vprov;
    return known;
}

static int encoder_set_params(void *vencoder, const OSSL_PARAM params[])
{
    struct encoder *encoder = vencoder;
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_ENCODER_PARAM_CIPHER);
    const char *name;

    if (p == NULL) {
        return 1;
    }
    free(encoder->cipher);
    encoder->cipher = NULL;
    if (!OSSL_PARAM_get_utf8_string_ptr(p, &name)) {
        return 0;
    }
    encoder->cipher = name == NULL ? NULL : strdup(name);
    return name == NULL || encoder->cipher != NULL;
}

static int does_private(void *vprov, int selection)
{
    (void)vprov;
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

static int does_public(void *vprov, int selection)
{
    (void)vprov;
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0 && (selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) != 0;
}

/* Text is for whatever is selected: libcrypto would else make a key of its own of what may be had of ours, and trip
 * over what is missing there. */
static int does_any(void *vprov, int selection)
{
    (void)vprov;
    (void)selection;
    return 1;
}

static void encoder_ctx_end(OSSL_ENCODER_CTX **ctx)
{
    OSSL_ENCODER_CTX_free(*ctx);
}

/* What one call of an encoder is given; the BIO is the caller's. */
struct job {
    struct encoder *encoder;
    const struct prov_key *key;
    BIO *out;
    int selection;
    OSSL_PASSPHRASE_CALLBACK *ask;
    void *ask_arg;
};

/* Software keys and public halves are the others' to write, in the form and with the encryption that was asked for. */
static int delegate(const struct job *job, int selection, const char *form, const char *structure)
{
    const char *query = job->encoder->prov->query;
    const char *cipher = job->encoder->cipher;
    SCOPED(encoder_ctx_end) OSSL_ENCODER_CTX *ctx = NULL;
    PROV_SOFTWARE_SCOPE(job->encoder->prov);

    if (job->key->software == NULL || !PROV_SOFTWARE_ENTERED) {
        return 0;
    }
    ctx = OSSL_ENCODER_CTX_new_for_pkey(job->key->software, selection, form, structure, query);
    if (ctx == NULL || (cipher != NULL && !OSSL_ENCODER_CTX_set_cipher(ctx, cipher, query))) {
        return 0;
    }
    if (job->ask != NULL && !OSSL_ENCODER_CTX_set_passphrase_cb(ctx, job->ask, job->ask_arg)) {
        return 0;
    }
    return OSSL_ENCODER_to_bio(ctx, job->out);
}

/* The key file of a key on a token. Whoever asked for encryption is told that there is nothing to hide, rather than
 * believe that it happened. */
static bool key_file(struct bytes *out_der, const struct job *job)
{
    const struct prov_ctx *prov = job->encoder->prov;
    SCOPED(openssl_end) unsigned char *spki = NULL;
    int len;

    if (job->encoder->cipher != NULL) {
        return prov_raise(prov, PROV_R_PARAMETER, "a key file is not encrypted, as it holds no secret: leave out '%s'",
                          job->encoder->cipher);
    }
    len = prov_software_spki(&spki, job->key->software);
    return (len > 0 && prov_keyfile_write(out_der, tok_key_uri(job->key->token), spki, (size_t)len)) ||
           prov_raise(prov, PROV_R_KEY_FILE, "the key's public half can't be written");
}

static int write_der(const struct job *job)
{
    SCOPED(bytes_end) struct bytes file = { 0 };

    if (job->key->token == NULL) {
        return delegate(job, job->selection, "DER", "PrivateKeyInfo");
    }
    return key_file(&file, job) && BIO_write(job->out, file.data, (int)file.len) == (int)file.len;
}

static int write_pem(const struct job *job)
{
    SCOPED(bytes_end) struct bytes file = { 0 };

    if (job->key->token == NULL) {
        return delegate(job, job->selection, "PEM", "PrivateKeyInfo");
    }
    return key_file(&file, job) &&
           BIO_printf(job->out,
                      "This file holds no secret. It names a key on a PKCS#11 token, and is of use only where the\n"
                      "OpenSSL provider Signet is active:\n%s\n",
                      tok_key_uri(job->key->token)) > 0 &&
           PEM_write_bio(job->out, PROV_KEYFILE_LABEL, "", file.data, (long)file.len) > 0;
}

/* Where the key is, and its public half; what is not known before the key's first use is left out. */
static int write_text(const struct job *job)
{
    const struct prov_key *key = job->key;
    char token[64];
    char label[128];

    if (key->token == NULL || (job->selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0) {
        return delegate(job, job->selection, "TEXT", NULL);
    }
    tok_key_names(key->token, token, sizeof(token), label, sizeof(label));
    return BIO_printf(job->out, "Private-Key: (%d bit, on a PKCS#11 token)\n", EVP_PKEY_get_bits(key->software)) > 0 &&
           (token[0] == '\0' || BIO_printf(job->out, "Token: %s\n", token) > 0) &&
           (label[0] == '\0' || BIO_printf(job->out, "Label: %s\n", label) > 0) &&
           BIO_printf(job->out, "URI: %s\n", tok_key_uri(key->token)) > 0 &&
           delegate(job, EVP_PKEY_PUBLIC_KEY, "TEXT", NULL);
}

static int write_public_der(const struct job *job)
{
    return delegate(job, job->selection, "DER", "SubjectPublicKeyInfo");
}

static int write_public_pem(const struct job *job)
{
    return delegate(job, job->selection, "PEM", "SubjectPublicKeyInfo");
}

static int encode(int (*write)(const struct job *job), struct job job, OSSL_CORE_BIO *output,
                  const OSSL_PARAM abstract[])
{
    SCOPED(bio_end) BIO *bio = BIO_new_from_core_bio(job.encoder->prov->child, output);

    if (bio == NULL || abstract != NULL) { /* an object of parameters is never ours */
        return 0;
    }
    job.out = bio;
    return write(&job);
}

/* A form's encode function and its table; no logic. */
#define ENCODER(form, does)                                                                                            \
    static int encode_##form(void *encoder, OSSL_CORE_BIO *output, const void *key, const OSSL_PARAM abstract[],       \
                             int selection, OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)                              \
    {                                                                                                                  \
        return encode(write_##form, (struct job){ encoder, key, NULL, selection, ask, ask_arg }, output, abstract);    \
    }                                                                                                                  \
    static const OSSL_DISPATCH form[] = {                                                                              \
        { OSSL_FUNC_ENCODER_NEWCTX, (void (*)(void))encoder_newctx },                                                  \
        { OSSL_FUNC_ENCODER_FREECTX, (void (*)(void))encoder_freectx },                                                \
        { OSSL_FUNC_ENCODER_SET_CTX_PARAMS, (void (*)(void))encoder_set_params },                                      \
        { OSSL_FUNC_ENCODER_SETTABLE_CTX_PARAMS, (void (*)(void))encoder_settable },                                   \
        { OSSL_FUNC_ENCODER_DOES_SELECTION, (void (*)(void))(does) },                                                  \
        { OSSL_FUNC_ENCODER_ENCODE, (void (*)(void))encode_##form },                                                   \
        { 0, NULL },                                                                                                   \
    };

ENCODER(der, does_private)
ENCODER(pem, does_private)
ENCODER(text, does_any)
ENCODER(public_der, does_public)
ENCODER(public_pem, does_public)

#define ENCODER_ROWS(id)                                                                                               \
    { &prov_##id##_variant, NULL, "output=der,structure=PrivateKeyInfo", der },                                        \
        { &prov_##id##_variant, NULL, "output=pem,structure=PrivateKeyInfo", pem },                                    \
        { &prov_##id##_variant, NULL, "output=text", text },

const struct prov_coder_row prov_encoders[] = {
    PROV_VARIANTS(ENCODER_ROWS)
    /* In which form a point is written is lost where others export the public half (openssl ec -conv_form). */
    { &prov_ec_variant, NULL, "output=der,structure=SubjectPublicKeyInfo", public_der },
    { &prov_ec_variant, NULL, "output=pem,structure=SubjectPublicKeyInfo", public_pem },
    { NULL, NULL, NULL, NULL },
};
