#include "provider/encoder.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/encoder.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <string.h>

#include "provider/key.h"
#include "provider/keyfile.h"
#include "provider/software.h"

static OSSL_FUNC_encoder_newctx_fn encoder_newctx;
static OSSL_FUNC_encoder_freectx_fn encoder_freectx;
static OSSL_FUNC_encoder_set_ctx_params_fn encoder_set_params;
static OSSL_FUNC_encoder_settable_ctx_params_fn encoder_settable;
static OSSL_FUNC_encoder_does_selection_fn encoder_does_selection;
static OSSL_FUNC_encoder_encode_fn encode_der;
static OSSL_FUNC_encoder_encode_fn encode_pem;
static OSSL_FUNC_encoder_encode_fn encode_text;

struct encoder {
    struct prov_ctx *prov;
    char *cipher; /* to encrypt software keys with; NULL: not */
};

static void *encoder_newctx(void *vprov)
{
    struct encoder *encoder = calloc(1, sizeof(*encoder));

    if (encoder != NULL) {
        encoder->prov = vprov;
    }
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

static int encoder_does_selection(void *vprov, int selection)
{
    (void)vprov;
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

static void bio_end(BIO **bio)
{
    BIO_free(*bio);
}

static void encoder_ctx_end(OSSL_ENCODER_CTX **ctx)
{
    OSSL_ENCODER_CTX_free(*ctx);
}

/* A software key is the others' to write, in the form and the encryption that was asked for. */
static int delegate(struct encoder *encoder, const struct prov_key *key, BIO *bio, const char *form,
                    const char *structure, OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)
{
    SCOPED(encoder_ctx_end)
    OSSL_ENCODER_CTX *ctx = key->software == NULL ? NULL
                                                  : OSSL_ENCODER_CTX_new_for_pkey(key->software, EVP_PKEY_KEYPAIR, form,
                                                                                  structure, encoder->prov->query);

    if (ctx == NULL ||
        (encoder->cipher != NULL && !OSSL_ENCODER_CTX_set_cipher(ctx, encoder->cipher, encoder->prov->query))) {
        return 0;
    }
    if (ask != NULL && !OSSL_ENCODER_CTX_set_passphrase_cb(ctx, ask, ask_arg)) {
        return 0;
    }
    return OSSL_ENCODER_to_bio(ctx, bio);
}

static bool keyfile_of(struct bytes *out_der, const struct prov_key *key)
{
    unsigned char *spki = NULL;
    int len = software_spki(&spki, key->software);
    bool good = len > 0 && keyfile_write(out_der, tok_key_uri(key->token), spki, (size_t)len);

    OPENSSL_free(spki);
    return good || prov_raise(key->prov, PROV_R_KEY_FILE, "the key's public half can't be written");
}

static int encode_der(void *vencoder, OSSL_CORE_BIO *output, const void *vkey, const OSSL_PARAM abstract[],
                      int selection, OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)
{
    struct encoder *encoder = vencoder;
    const struct prov_key *key = vkey;
    SCOPED(bio_end) BIO *bio = BIO_new_from_core_bio(encoder->prov->child, output);
    SCOPED(bytes_end) struct bytes der = { 0 };

    (void)selection;
    if (bio == NULL || abstract != NULL) {
        return 0;
    }
    if (key->token == NULL) {
        return delegate(encoder, key, bio, "DER", "PrivateKeyInfo", ask, ask_arg);
    }
    return keyfile_of(&der, key) && BIO_write(bio, der.data, (int)der.len) == (int)der.len;
}

static int encode_pem(void *vencoder, OSSL_CORE_BIO *output, const void *vkey, const OSSL_PARAM abstract[],
                      int selection, OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)
{
    struct encoder *encoder = vencoder;
    const struct prov_key *key = vkey;
    SCOPED(bio_end) BIO *bio = BIO_new_from_core_bio(encoder->prov->child, output);
    SCOPED(bytes_end) struct bytes der = { 0 };

    (void)selection;
    if (bio == NULL || abstract != NULL) {
        return 0;
    }
    if (key->token == NULL) {
        return delegate(encoder, key, bio, "PEM", "PrivateKeyInfo", ask, ask_arg);
    }
    return keyfile_of(&der, key) &&
           BIO_printf(bio,
                      "This file holds no secret. It names a key on a PKCS#11 token, and is of use only where the\n"
                      "OpenSSL provider Signet is active:\n%s\n",
                      tok_key_uri(key->token)) > 0 &&
           PEM_write_bio(bio, "PRIVATE KEY", "", der.data, (long)der.len) > 0;
}

static int encode_text(void *vencoder, OSSL_CORE_BIO *output, const void *vkey, const OSSL_PARAM abstract[],
                       int selection, OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)
{
    struct encoder *encoder = vencoder;
    const struct prov_key *key = vkey;
    SCOPED(bio_end) BIO *bio = BIO_new_from_core_bio(encoder->prov->child, output);

    (void)selection;
    if (bio == NULL || abstract != NULL) {
        return 0;
    }
    if (key->token == NULL) {
        return delegate(encoder, key, bio, "TEXT", NULL, ask, ask_arg);
    }
    return BIO_printf(bio, "Private-Key: on a PKCS#11 token\n%s\n", tok_key_uri(key->token)) > 0 &&
           EVP_PKEY_print_public(bio, key->software, 0, NULL) > 0;
}

#define ENCODER_FUNCTIONS(encode)                                                                                      \
    {                                                                                                                  \
        { OSSL_FUNC_ENCODER_NEWCTX, (void (*)(void))encoder_newctx },                                                  \
            { OSSL_FUNC_ENCODER_FREECTX, (void (*)(void))encoder_freectx },                                            \
            { OSSL_FUNC_ENCODER_SET_CTX_PARAMS, (void (*)(void))encoder_set_params },                                  \
            { OSSL_FUNC_ENCODER_SETTABLE_CTX_PARAMS, (void (*)(void))encoder_settable },                               \
            { OSSL_FUNC_ENCODER_DOES_SELECTION, (void (*)(void))encoder_does_selection },                              \
            { OSSL_FUNC_ENCODER_ENCODE, (void (*)(void))(encode) }, { 0, NULL },                                       \
    }

static const OSSL_DISPATCH der_functions[] = ENCODER_FUNCTIONS(encode_der);
static const OSSL_DISPATCH pem_functions[] = ENCODER_FUNCTIONS(encode_pem);
static const OSSL_DISPATCH text_functions[] = ENCODER_FUNCTIONS(encode_text);

#define ROWS(names)                                                                                                    \
    { names, "output=der,structure=PrivateKeyInfo", der_functions },                                                   \
        { names, "output=pem,structure=PrivateKeyInfo", pem_functions },                                               \
    {                                                                                                                  \
        names, "output=text", text_functions                                                                           \
    }

const struct prov_coder_row prov_encoders[] = {
    ROWS(PROV_NAMES_RSA),
    ROWS(PROV_NAMES_RSA_PSS),
    ROWS(PROV_NAMES_EC),
    { NULL, NULL, NULL },
};
