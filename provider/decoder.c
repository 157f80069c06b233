#include "provider/decoder.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "provider/key.h"
#include "provider/keyfile.h"
#include "provider/prompt.h"
#include "provider/software.h"

#define LONGEST_FILE (64 * 1024) /* of one DER object */
#define PEERS_STRUCTURE "pk11-uri"

static OSSL_FUNC_decoder_freectx_fn decoder_freectx;
static OSSL_FUNC_decoder_does_selection_fn decoder_does_selection;
static OSSL_FUNC_decoder_decode_fn decode_ours;
static OSSL_FUNC_decoder_decode_fn decode_peers;
static OSSL_FUNC_decoder_decode_fn decode_peers_pem;

struct decoder {
    struct prov_ctx *prov;
    const struct prov_variant *variant; /* whose keys this decoder makes; NULL: PEM to DER */
};

static void *decoder_newctx(void *vprov, const struct prov_variant *variant)
{
    struct decoder *decoder = malloc(sizeof(*decoder));

    if (decoder != NULL) {
        *decoder = (struct decoder){ vprov, variant };
    }
    return decoder;
}

static void decoder_freectx(void *vdecoder)
{
    free(vdecoder);
}

static int decoder_does_selection(void *vprov, int selection)
{
    (void)vprov;
    return selection == 0 || (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

static void bio_end(BIO **bio)
{
    BIO_free(*bio);
}

/* Reads what there is; false if it is longer than any key file. */
static bool read_all(struct bytes *out, struct decoder *decoder, OSSL_CORE_BIO *input)
{
    SCOPED(bio_end) BIO *bio = BIO_new_from_core_bio(decoder->prov->child, input);
    size_t len = 0;
    size_t got;

    if (bio == NULL || !bytes_new(out, LONGEST_FILE)) {
        return false;
    }
    while (len < out->len && BIO_read_ex(bio, out->data + len, out->len - len, &got)) {
        len += got;
    }
    if (len == out->len) {
        return false;
    }
    out->len = len;
    return true;
}

/* The search for a key that the peers' form names, which makes a login and so may ask for a PIN. */
static struct prov_key *key_by_uri(struct prov_ctx *prov, const char *uri_text, OSSL_PASSPHRASE_CALLBACK *ask,
                                   void *ask_arg)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    struct prov_prompt asker = { ask, ask_arg };
    struct tok_pin_prompt prompt = prov_pin_prompt(&asker);
    struct tok_result result =
        tok_uri_parse(&uri, uri_text, prov->settings.trust_files ? TOK_URI_FROM_TRUSTED_FILE : TOK_URI_FROM_FILE);

    if (tok_ok(&result)) {
        prov_err_mark(prov);
        result = tok_find(&items, &prov->settings, uri, TOK_WANT_PRIVATE, &prompt);
        prov_err_forget(prov);
    }
    if (!tok_ok(&result)) {
        (void)prov_fail(prov, &result);
        return NULL;
    }
    return prov_key_on_token(prov, STEAL(items.items[0].key), NULL);
}

/* The key that our form names. The public half is in the file, so that the token is not asked. `software` moves. */
static struct tok_result key_of_file(struct tok_key **out_key, struct prov_ctx *prov, const struct keyfile *file,
                                     EVP_PKEY *software, const struct prov_variant *variant)
{
    struct tok_public half = { .type = variant->key_type };
    struct tok_uri *uri;

    TOK_TRY(tok_uri_parse(&uri, file->uri, prov->settings.trust_files ? TOK_URI_FROM_TRUSTED_FILE : TOK_URI_FROM_FILE));
    if (!variant->family->describe(&half, software) || !bytes_set(&half.spki, file->spki.data, file->spki.len)) {
        tok_public_end(&half);
        tok_uri_free(uri);
        return tok_fail(TOK_CODE_NO_MEMORY, "a key file");
    }
    return tok_key_new(out_key, &prov->settings, uri, &half);
}

static int offer_ours(struct decoder *decoder, const struct keyfile *file, EVP_PKEY *software, OSSL_CALLBACK *object,
                      void *object_arg, struct tok_pin_prompt *prompt)
{
    struct prov_ctx *prov = decoder->prov;
    struct tok_key *token = NULL;
    struct prov_key *key;
    struct tok_result result = key_of_file(&token, prov, file, software, decoder->variant);

    if (tok_ok(&result)) {
        prov_fetch_pins(prov);
        prov_err_mark(prov);
        result = prov->settings.load_early ? tok_key_locate(token, prompt) : tok_good();
        prov_err_forget(prov);
    }
    if (!tok_ok(&result)) {
        tok_key_unref(token);
        EVP_PKEY_free(software);
        return prov_fail(prov, &result);
    }
    key = prov_key_on_token(prov, token, software);
    return key != NULL && prov_key_offer(key, object, object_arg);
}

static int decode_ours(void *vdecoder, OSSL_CORE_BIO *input, int selection, OSSL_CALLBACK *object, void *object_arg,
                       OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)
{
    struct decoder *decoder = vdecoder;
    struct prov_prompt asker = { ask, ask_arg };
    struct tok_pin_prompt prompt = prov_pin_prompt(&asker);
    SCOPED(keyfile_end) struct keyfile file = { 0 };
    SCOPED(bytes_end) struct bytes der = { 0 };
    enum keyfile_kind kind;
    const char *why = NULL;
    EVP_PKEY *software;

    (void)selection;
    if (!read_all(&der, decoder, input)) {
        return 1;
    }
    /* Settings are not looked at here: what is wrong with them is told by the first signature, since what libcrypto
     * makes of a decoder's failure hides the reason. */
    kind = keyfile_read(&file, &why, der.data, der.len);
    if (kind == KEYFILE_NOT_OURS) {
        return 1;
    }
    if (kind == KEYFILE_BAD) {
        return prov_raise(decoder->prov, PROV_R_KEY_FILE, "the key file can't be used: %s", why);
    }
    software = software_key_from_spki(decoder->prov, file.spki.data, file.spki.len);
    if (software == NULL) {
        return prov_ready(decoder->prov) &&
               prov_raise(decoder->prov, PROV_R_KEY_FILE, "the key file's public key makes no sense");
    }
    if (prov_key_row(software) != decoder->variant) {
        EVP_PKEY_free(software);
        return 1; /* another type's decoder takes it */
    }
    return offer_ours(decoder, &file, software, object, object_arg, &prompt);
}

static int decode_peers(void *vdecoder, OSSL_CORE_BIO *input, int selection, OSSL_CALLBACK *object, void *object_arg,
                        OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)
{
    struct decoder *decoder = vdecoder;
    SCOPED(keyfile_end) struct keyfile file = { 0 };
    SCOPED(bytes_end) struct bytes der = { 0 };
    const char *why = NULL;
    struct prov_key *key;

    (void)selection;
    if (!read_all(&der, decoder, input) || keyfile_read_peers(&file, &why, der.data, der.len) != KEYFILE_GOOD) {
        return 1; /* whoever offers this structure has looked at it */
    }
    key = key_by_uri(decoder->prov, file.uri, ask, ask_arg);
    if (key == NULL) {
        return 0;
    }
    if (key->variant != decoder->variant) {
        prov_key_unref(key);
        return 1;
    }
    return prov_key_offer(key, object, object_arg);
}

/* The first stage for the peers' label. It finds out of which type the key is, so that of the second stage only one
 * decoder runs, and a failure is told once. */
static int offer_peers_der(struct decoder *decoder, const unsigned char *der, size_t len, OSSL_CALLBACK *object,
                           void *object_arg, OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)
{
    SCOPED(keyfile_end) struct keyfile file = { 0 };
    SCOPED(prov_key_end) struct prov_key *key = NULL;
    int type = OSSL_OBJECT_PKEY;
    const char *why = NULL;

    if (!prov_ready(decoder->prov)) {
        return 0;
    }
    if (keyfile_read_peers(&file, &why, der, len) != KEYFILE_GOOD) {
        return prov_raise(decoder->prov, PROV_R_KEY_FILE, "the file labelled " KEYFILE_PEERS_LABEL " can't be used: %s",
                          why);
    }
    key = key_by_uri(decoder->prov, file.uri, ask, ask_arg);
    if (key == NULL) {
        return 0;
    }
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, (char *)key->variant->type, 0),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_STRUCTURE, (char *)PEERS_STRUCTURE, 0),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, (void *)der, len),
        OSSL_PARAM_construct_end(),
    };
    return object(params, object_arg);
}

static int decode_peers_pem(void *vdecoder, OSSL_CORE_BIO *input, int selection, OSSL_CALLBACK *object,
                            void *object_arg, OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)
{
    struct decoder *decoder = vdecoder;
    SCOPED(bio_end) BIO *bio = BIO_new_from_core_bio(decoder->prov->child, input);
    char *name = NULL;
    char *header = NULL;
    unsigned char *der = NULL;
    long len = 0;
    int done = 1;

    (void)selection;
    if (bio == NULL) {
        return 0;
    }
    prov_err_mark(decoder->prov);
    if (PEM_read_bio(bio, &name, &header, &der, &len) <= 0) {
        len = 0;
    }
    prov_err_forget(decoder->prov);
    if (len > 0 && strcmp(name, KEYFILE_PEERS_LABEL) == 0) {
        done = offer_peers_der(decoder, der, (size_t)len, object, object_arg, ask, ask_arg);
    }
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
    return done;
}

/* The tables of a row, with its one-line constructor; no logic. */
#define DECODER_FUNCTIONS(id, decode)                                                                                  \
    {                                                                                                                  \
        { OSSL_FUNC_DECODER_NEWCTX, (void (*)(void))id##_newctx },                                                     \
            { OSSL_FUNC_DECODER_FREECTX, (void (*)(void))decoder_freectx },                                            \
            { OSSL_FUNC_DECODER_DOES_SELECTION, (void (*)(void))decoder_does_selection },                              \
            { OSSL_FUNC_DECODER_DECODE, (void (*)(void))(decode) }, { 0, NULL },                                       \
    }
#define DECODER_TABLES(id, variant)                                                                                    \
    static OSSL_FUNC_decoder_newctx_fn id##_newctx;                                                                    \
    static void *id##_newctx(void *prov)                                                                               \
    {                                                                                                                  \
        return decoder_newctx(prov, variant);                                                                          \
    }                                                                                                                  \
    static const OSSL_DISPATCH id##_ours[] = DECODER_FUNCTIONS(id, decode_ours);                                       \
    static const OSSL_DISPATCH id##_peers[] = DECODER_FUNCTIONS(id, decode_peers);

DECODER_TABLES(rsa, &prov_rsa_variant)
DECODER_TABLES(rsa_pss, &prov_rsa_pss_variant)
DECODER_TABLES(ec, &prov_ec_variant)

static OSSL_FUNC_decoder_newctx_fn pem_newctx;
static void *pem_newctx(void *prov)
{
    return decoder_newctx(prov, NULL);
}
static const OSSL_DISPATCH pem_functions[] = DECODER_FUNCTIONS(pem, decode_peers_pem);

#define OURS "input=der,structure=PrivateKeyInfo"
#define PEERS "input=der,structure=" PEERS_STRUCTURE

const struct prov_coder_row prov_decoders[] = {
    { PROV_NAMES_RSA, OURS, rsa_ours },
    { PROV_NAMES_RSA_PSS, OURS, rsa_pss_ours },
    { PROV_NAMES_EC, OURS, ec_ours },
    { PROV_NAMES_RSA, PEERS, rsa_peers },
    { PROV_NAMES_RSA_PSS, PEERS, rsa_pss_peers },
    { PROV_NAMES_EC, PEERS, ec_peers },
    { "DER", "input=pem", pem_functions },
    { NULL, NULL, NULL },
};
