#include "provider/files/decoder.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/secret.h"
#include "provider/core/ends.h"
#include "provider/core/software.h"
#include "provider/files/keyfile.h"
#include "provider/files/peek.h"
#include "provider/files/prompt.h"
#include "provider/keys/prover.h"

#define STRUCTURE "PrivateKeyInfo" /* OpenSSL's name for what the DER decoders read, whichever form it is */

static OSSL_FUNC_decoder_freectx_fn decoder_freectx;
static OSSL_FUNC_decoder_does_selection_fn decoder_does_selection;
static OSSL_FUNC_decoder_export_object_fn decoder_export;
static OSSL_FUNC_decoder_decode_fn decode_der;
static OSSL_FUNC_decoder_decode_fn decode_pem;

struct decoder {
    struct prov_ctx *prov;
    const struct prov_variant *variant; /* whose keys the application may be after; NULL: the decoder of PEM */
};

/* --- reading ----------------------------------------------------------------------------------------------------- */

static size_t read_up_to(const struct prov_ctx *prov, OSSL_CORE_BIO *input, unsigned char *out, size_t len)
{
    size_t done = 0;
    size_t got;

    while (done < len && prov->bio_read != NULL && prov->bio_read(input, out + done, len - done, &got)) {
        done += got;
    }
    return done;
}

/* Reads one SEQUENCE, and nothing behind it, which is the next reader's. False if there is none, or it is longer than a
 * key file may be (64 KiB). One that is cut off is given as far as it goes. */
static bool read_sequence(struct bytes *out, const struct prov_ctx *prov, OSSL_CORE_BIO *input)
{
    unsigned char header[4];
    size_t header_len = 2;
    size_t len;

    if (read_up_to(prov, input, header, 2) != 2 || header[0] != (V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED)) {
        return false;
    }
    len = header[1];
    if (len >= 0x80) {
        size_t more = len & 0x7f;

        if (more < 1 || more > 2 || read_up_to(prov, input, header + 2, more) != more) {
            return false;
        }
        header_len += more;
        len = more == 1 ? header[2] : (size_t)header[2] << 8 | header[3];
    }
    if (!bytes_new(out, header_len + len)) {
        return false;
    }
    memcpy(out->data, header, header_len);
    out->len = header_len + read_up_to(prov, input, out->data + header_len, len);
    return true;
}

/* It may be somebody's software key that passes by. */
static void der_end(struct bytes *der)
{
    secret_wipe(der->data, der->len);
    bytes_end(der);
}

/* A key file of either form. PROV_KEYFILE_BAD has raised the reason. */
static enum prov_keyfile_kind file_read(struct prov_keyfile *out, const struct prov_ctx *prov, const struct bytes *der)
{
    const char *why = NULL;
    enum prov_keyfile_kind kind = prov_keyfile_read(out, &why, der->data, der->len);

    if (kind == PROV_KEYFILE_NOT_OURS) {
        kind = prov_keyfile_read_peers(out, &why, der->data, der->len);
    }
    if (kind == PROV_KEYFILE_BAD) {
        (void)prov_raise(prov, PROV_R_KEY_FILE, "the key file can't be used: %s", why);
    }
    return kind;
}

static enum tok_uri_origin uri_origin(const struct prov_ctx *prov)
{
    return prov->settings.trust_files ? TOK_URI_FROM_TRUSTED_FILE : TOK_URI_FROM_FILE;
}

/* --- our form: a key without a call of the token ----------------------------------------------------------------- */

/* The public half that the file holds, as a key of libcrypto; NULL with an error raised. Settings are not looked at
 * unless there is nobody to make it: what is wrong with them is told by the first signature, since what libcrypto makes
 * of a decoder's failure may hide the reason. */
static EVP_PKEY *our_public_half(struct prov_ctx *prov, const struct prov_keyfile *file,
                                 const struct prov_variant *variant)
{
    EVP_PKEY *half;

    prov_err_mark(prov);
    half = prov_software_key_from_spki(prov, file->spki.data, file->spki.len);
    prov_err_forget(prov);
    if (half != NULL && prov_variant_of(half) == variant) {
        return half;
    }
    EVP_PKEY_free(half);
    if (prov_ctx_ready(prov)) {
        (void)prov_raise(prov, PROV_R_KEY_FILE, "the key file's public key makes no sense");
    }
    return NULL;
}

/* Which object it is, with which public half; no token is asked. */
static struct tok_result our_identity(struct tok_key **out_key, const struct prov_ctx *prov,
                                      const struct prov_keyfile *file, const struct prov_variant *variant,
                                      EVP_PKEY *public_half)
{
    struct tok_public half = { .type = variant->key_type };
    struct tok_uri *uri;

    TOK_TRY(tok_uri_parse(&uri, file->uri, uri_origin(prov)));
    if (!variant->family->describe(&half, public_half) || !bytes_set(&half.spki, file->spki.data, file->spki.len)) {
        tok_uri_free(uri);
        tok_public_end(&half);
        return tok_fail(TOK_CODE_UNSUPPORTED, "the key file's public key can't be described");
    }
    return tok_key_new(out_key, &prov->settings, uri, &half);
}

/* Where the setting says so, the token is asked now whether it has the key. */
static struct tok_result our_early(struct prov_ctx *prov, struct tok_key *token, const struct tok_pin_prompt *prompt)
{
    struct tok_result result = tok_good();

    prov_ctx_fetch_pins(prov);
    if (prov->settings.load_early) {
        prov_err_mark(prov);
        result = tok_key_locate(token, prompt);
        prov_err_forget(prov);
    }
    return result;
}

static struct prov_key *our_key(struct prov_ctx *prov, const struct prov_keyfile *file,
                                const struct prov_variant *variant, const struct tok_pin_prompt *prompt)
{
    EVP_PKEY *half = our_public_half(prov, file, variant);
    struct tok_key *token = NULL;
    struct tok_result result;

    if (half == NULL) {
        return NULL;
    }
    result = our_identity(&token, prov, file, variant, half);
    if (tok_ok(&result)) {
        result = our_early(prov, token, prompt);
    }
    if (!tok_ok(&result)) {
        tok_key_unref(token);
        EVP_PKEY_free(half);
        (void)prov_fail(prov, &result);
        return NULL;
    }
    return prov_key_on_token(prov, token, half);
}

/* --- the peers' form: the token shows the public half ------------------------------------------------------------ */

/* The one private key that the URI names: which of several signs is never guessed. */
static struct tok_result peers_find(struct tok_key **out_key, struct prov_ctx *prov, const char *text,
                                    const struct tok_pin_prompt *prompt)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    SCOPED(prov_prover_end) struct prov_prover prover = { .digest = NULL };
    struct tok_find_options options = { .prompt = prompt, .evidence = { .prover = &prover.prover } };

    TOK_TRY(tok_uri_parse(&uri, text, uri_origin(prov)));
    prov_prover_begin(&prover, prov);
    TOK_TRY(tok_find_by(&items, &prov->settings, uri, TOK_WANT_PRIVATE, &options));
    if (items.count > 1) {
        return tok_fail(TOK_CODE_AMBIGUOUS, "the key file's URI '%s' names %zu private keys: '%s', '%s'%s",
                        tok_uri_text(uri), items.count, items.items[0].uri, items.items[1].uri,
                        items.count > 2 ? " and others" : "");
    }
    *out_key = STEAL(items.items[0].key);
    return tok_good();
}

static struct prov_key *peers_key(struct prov_ctx *prov, const struct prov_keyfile *file,
                                  const struct tok_pin_prompt *prompt)
{
    struct tok_key *token = NULL;
    struct tok_result result;

    if (!prov_ctx_ready(prov)) {
        return NULL;
    }
    prov_err_mark(prov);
    result = peers_find(&token, prov, file->uri, prompt);
    prov_err_forget(prov);
    if (!tok_ok(&result)) {
        (void)prov_fail(prov, &result);
        return NULL;
    }
    return prov_key_on_token(prov, token, NULL);
}

/* --- from DER to a key ------------------------------------------------------------------------------------------- */

static void *decoder_newctx(void *prov, const struct prov_variant *variant)
{
    struct decoder *decoder = malloc(sizeof(*decoder));

    if (decoder != NULL) {
        *decoder = (struct decoder){ prov, variant };
    }
    return decoder;
}

static void decoder_freectx(void *vdecoder)
{
    free(vdecoder);
}

/* Asked where OpenSSL has no key management of ours at hand for a key that was offered: 3.5 collects those of
 * the type alone that the application has named, and calls this whether or not it is there (crypto/encode_decode/
 * decoder_pkey.c, decoder_construct_pkey). The key is of another type, or would become another provider's. */
static int decoder_export(void *vdecoder, const void *reference, size_t reference_size, OSSL_CALLBACK *callback,
                          void *arg)
{
    const struct decoder *decoder = vdecoder;

    (void)reference;
    (void)reference_size;
    (void)callback;
    (void)arg;
    return prov_raise(decoder->prov, PROV_R_KEY_TYPE, "the key is of another type than the application asks for");
}

static int decoder_does_selection(void *vprov, int selection)
{
    (void)vprov;
    return selection == 0 || (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

/* Our form says whose key it is, so that the decoder of another type leaves it alone. What the peers' form names shows
 * on the token: the decoder that is asked first finds it, once, and offers it whatever its type, which OpenSSL takes
 * from the object (crypto/encode_decode/decoder_pkey.c, decoder_construct_pkey). */
static int decode_file(const struct decoder *decoder, const struct prov_keyfile *file,
                       const struct tok_pin_prompt *prompt, OSSL_CALLBACK *object, void *object_arg)
{
    const struct prov_variant *variant = prov_variant_named(file->algorithm);
    bool ours = file->spki.len > 0;
    struct prov_key *key;

    if (ours && variant == NULL) {
        return prov_raise(decoder->prov, PROV_R_KEY_TYPE, "the key file names a key of type %s, which is not served",
                          file->algorithm);
    }
    if (ours && prov_key_left_out(decoder->prov, variant)) {
        return 0;
    }
    if (ours && variant != decoder->variant) {
        return 1;
    }
    key = ours ? our_key(decoder->prov, file, variant, prompt) : peers_key(decoder->prov, file, prompt);
    return key != NULL && prov_key_offer(key, object, object_arg);
}

static int decode_der(void *vdecoder, OSSL_CORE_BIO *input, int selection, OSSL_CALLBACK *object, void *object_arg,
                      OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)
{
    struct decoder *decoder = vdecoder;
    struct prov_prompt asker = { ask, ask_arg };
    const struct tok_pin_prompt prompt = prov_prompt_pin(&asker);
    SCOPED(der_end) struct bytes der = { 0 };
    SCOPED(prov_keyfile_end) struct prov_keyfile file = { .uri = NULL };
    enum prov_keyfile_kind kind = read_sequence(&der, decoder->prov, input) ? file_read(&file, decoder->prov, &der)
                                                                            : PROV_KEYFILE_NOT_OURS;

    (void)selection;
    return kind == PROV_KEYFILE_GOOD ? decode_file(decoder, &file, &prompt, object, object_arg)
                                     : kind == PROV_KEYFILE_NOT_OURS;
}

/* --- from PEM to DER --------------------------------------------------------------------------------------------- */

/* Hands the DER on. Upon that OpenSSL asks the decoders above, or none, if the application is after something else in
 * that file, such as a certificate. What they report is dropped by OpenSSL's file: store, so it is reported again. */
static int offer_der(const struct prov_ctx *prov, const unsigned char *der, size_t len, OSSL_CALLBACK *object,
                     void *object_arg)
{
    int type = OSSL_OBJECT_PKEY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_STRUCTURE, (char *)STRUCTURE, 0),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, (void *)der, len),
        OSSL_PARAM_construct_end(),
    };
    struct prov_err_copy copy = { .reason = 0 };
    struct prov_err_copy *outer = prov_err_copy_to(&copy);
    int taken;

    prov_err_mark(prov);
    taken = object(params, object_arg);
    (void)prov_err_copy_to(outer);
    if (taken || copy.reason == 0) {
        prov_err_keep(prov);
        return taken;
    }
    prov_err_forget(prov);
    return prov_err_again(prov, &copy);
}

/* Each form has its label. What stands under another one, or is not ours under that of all private keys, is handed on
 * by the others' decoder of PEM. */
static enum prov_keyfile_kind labelled_kind(const struct prov_ctx *prov, const char *label, const struct bytes *der)
{
    SCOPED(prov_keyfile_end) struct prov_keyfile file = { .uri = NULL };
    bool peers = strcmp(label, PROV_KEYFILE_PEERS_LABEL) == 0;
    enum prov_keyfile_kind kind = PROV_KEYFILE_NOT_OURS;

    if (peers || strcmp(label, PROV_KEYFILE_LABEL) == 0) {
        kind = file_read(&file, prov, der);
    }
    if (kind == PROV_KEYFILE_GOOD && peers != (file.spki.len == 0)) {
        kind = PROV_KEYFILE_NOT_OURS;
    }
    if (peers && kind == PROV_KEYFILE_NOT_OURS) {
        (void)prov_raise(prov, PROV_R_KEY_FILE, "what is labelled " PROV_KEYFILE_PEERS_LABEL " holds no PKCS#11 URI");
        kind = PROV_KEYFILE_BAD;
    }
    return kind;
}

static int decode_pem(void *vdecoder, OSSL_CORE_BIO *input, int selection, OSSL_CALLBACK *object, void *object_arg,
                      OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)
{
    struct prov_ctx *prov = ((struct decoder *)vdecoder)->prov;
    SCOPED(bio_end) BIO *bio = prov_peek_may_be_ours(prov, input) ? BIO_new_from_core_bio(prov->child, input) : NULL;
    char *label = NULL;
    char *header = NULL;
    unsigned char *data = NULL;
    long len = 0;
    enum prov_keyfile_kind kind = PROV_KEYFILE_NOT_OURS;
    int done;

    (void)selection;
    (void)ask; /* the decoders of DER have it, too */
    (void)ask_arg;
    prov_err_mark(prov);
    if (bio == NULL || PEM_read_bio(bio, &label, &header, &data, &len) <= 0) {
        len = 0;
    }
    prov_err_forget(prov);
    if (len > 0) {
        kind = labelled_kind(prov, label, &(struct bytes){ .data = data, .len = (size_t)len });
    }
    done = kind == PROV_KEYFILE_GOOD ? offer_der(prov, data, (size_t)len, object, object_arg)
                                     : kind == PROV_KEYFILE_NOT_OURS;
    OPENSSL_free(label);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, (size_t)len);
    return done;
}

/* --- tables ------------------------------------------------------------------------------------------------------ */

/* A decoder's table, with its one-line constructor; no logic. */
#define DECODER(id, variant, decode)                                                                                   \
    static OSSL_FUNC_decoder_newctx_fn id##_newctx;                                                                    \
    static void *id##_newctx(void *prov)                                                                               \
    {                                                                                                                  \
        return decoder_newctx(prov, variant);                                                                          \
    }                                                                                                                  \
    static const OSSL_DISPATCH id[] = {                                                                                \
        { OSSL_FUNC_DECODER_NEWCTX, (void (*)(void))id##_newctx },                                                     \
        { OSSL_FUNC_DECODER_FREECTX, (void (*)(void))decoder_freectx },                                                \
        { OSSL_FUNC_DECODER_DOES_SELECTION, (void (*)(void))decoder_does_selection },                                  \
        { OSSL_FUNC_DECODER_EXPORT_OBJECT, (void (*)(void))decoder_export },                                           \
        { OSSL_FUNC_DECODER_DECODE, (void (*)(void))(decode) },                                                        \
        { 0, NULL },                                                                                                   \
    };

#define DER_DECODER(id) DECODER(id, &prov_##id##_variant, decode_der)
PROV_VARIANTS(DER_DECODER)
DECODER(pem, NULL, decode_pem)

#define DER_ROW(id) { &prov_##id##_variant, NULL, "input=der,structure=" STRUCTURE, id },

const struct prov_coder_row prov_decoders[] = {
    PROV_VARIANTS(DER_ROW){ NULL, "DER", "input=pem", pem },
    { NULL, NULL, NULL, NULL },
};
