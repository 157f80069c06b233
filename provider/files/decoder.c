#include "provider/files/decoder.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/secret.h"
#include "provider/core/software.h"
#include "provider/files/keyfile.h"
#include "provider/files/prompt.h"
#include "provider/keys/key.h"

static OSSL_FUNC_decoder_freectx_fn decoder_freectx;
static OSSL_FUNC_decoder_does_selection_fn decoder_does_selection;
static OSSL_FUNC_decoder_decode_fn decode_der;
static OSSL_FUNC_decoder_decode_fn decode_pem;

/* The reading of one key file.
 *
 * OpenSSL reads PEM in two stages: the first hands DER on, and upon that a decoder of each key type is tried in turn,
 * or none if the application is after something else in that file, such as a certificate. So what asks a token or a
 * person waits for the second stage, where it is first needed, and happens once. And libcrypto drops some of the errors
 * of the second stage, so that the first keeps what went wrong there, and tells it. */
struct load {
    struct prov_ctx *prov;
    const struct form *form;
    struct bytes der;
    char *uri;            /* the peers' form */
    struct prov_key *key; /* ours: from the start; the peers': once found */
    bool finished;
    struct tok_result failure; /* valid when finished */
};

static _Thread_local struct load *load_held; /* by the first stage, while its callback runs */

/* The two forms. */
struct form {
    const char *label;
    const char *structure; /* OpenSSL's name for what the second stage reads */
    /* prepare does what needs no token. KEYFILE_BAD has raised the reason. `variant` is whose keys are wanted; NULL:
     * any, of what stands under the label. */
    enum keyfile_kind (*prepare)(struct load *load, const struct prov_variant *variant);
    /* finish does the rest. */
    struct tok_result (*finish)(struct load *load, const struct tok_pin_prompt *prompt);
};

static void load_end(struct load *load)
{
    secret_wipe(load->der.data, load->der.len); /* it may be somebody's software key that passed by */
    bytes_end(&load->der);
    free(load->uri);
    prov_key_unref(load->key);
}

static void bio_end(BIO **bio)
{
    BIO_free(*bio);
}

static size_t read_up_to(BIO *bio, unsigned char *out, size_t len)
{
    size_t done = 0;
    size_t got;

    while (done < len && BIO_read_ex(bio, out + done, len - done, &got)) {
        done += got;
    }
    return done;
}

/* Reads one SEQUENCE, and nothing behind it, which is the next reader's. False if there is none, or it is longer than a
 * key file may be (64 KiB). One that is cut off is given as far as it goes. */
static bool read_sequence(struct bytes *out, BIO *bio)
{
    unsigned char header[4];
    size_t header_len = 2;
    size_t len;

    if (bio == NULL || read_up_to(bio, header, 2) != 2 || header[0] != (V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED)) {
        return false;
    }
    len = header[1];
    if (len >= 0x80) {
        size_t more = len & 0x7f;

        if (more < 1 || more > 2 || read_up_to(bio, header + 2, more) != more) {
            return false;
        }
        header_len += more;
        len = more == 1 ? header[2] : (size_t)header[2] << 8 | header[3];
    }
    if (!bytes_new(out, header_len + len)) {
        return false;
    }
    memcpy(out->data, header, header_len);
    out->len = header_len + read_up_to(bio, out->data + header_len, len);
    return true;
}

static enum tok_uri_origin uri_origin(const struct prov_ctx *prov)
{
    return prov->settings.trust_files ? TOK_URI_FROM_TRUSTED_FILE : TOK_URI_FROM_FILE;
}

/* --- our form ---------------------------------------------------------------------------------------------------- */

/* The public half that the file holds, as a key of libcrypto; NULL with an error raised. Settings are not looked at
 * unless there is nobody to make it: what is wrong with them is told by the first signature, since what libcrypto makes
 * of a decoder's failure may hide the reason. */
static EVP_PKEY *our_public_half(struct prov_ctx *prov, const struct keyfile *file, const struct prov_variant *variant)
{
    EVP_PKEY *half;

    prov_err_mark(prov);
    half = software_key_from_spki(prov, file->spki.data, file->spki.len);
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
static struct tok_result our_identity(struct tok_key **out_key, const struct prov_ctx *prov, const struct keyfile *file,
                                      const struct prov_variant *variant, EVP_PKEY *public_half)
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

static struct prov_key *our_key(struct prov_ctx *prov, const struct keyfile *file, const struct prov_variant *variant)
{
    EVP_PKEY *half = our_public_half(prov, file, variant);
    struct tok_key *token = NULL;
    struct tok_result result;

    if (half == NULL) {
        return NULL;
    }
    result = our_identity(&token, prov, file, variant, half);
    if (!tok_ok(&result)) {
        EVP_PKEY_free(half);
        (void)prov_fail(prov, &result);
        return NULL;
    }
    return prov_key_on_token(prov, token, half);
}

static enum keyfile_kind our_prepare(struct load *load, const struct prov_variant *wanted)
{
    SCOPED(keyfile_end) struct keyfile file = { .uri = NULL };
    const struct prov_variant *variant;
    const char *why = NULL;
    enum keyfile_kind kind = keyfile_read(&file, &why, load->der.data, load->der.len);

    if (kind == KEYFILE_BAD) {
        (void)prov_raise(load->prov, PROV_R_KEY_FILE, "the key file can't be used: %s", why);
    }
    if (kind != KEYFILE_GOOD) {
        return kind;
    }
    variant = prov_variant_named(file.algorithm);
    if (variant == NULL) {
        (void)prov_raise(load->prov, PROV_R_KEY_TYPE, "the key file names a key of type %s, which is not served",
                         file.algorithm);
        return KEYFILE_BAD;
    }
    if (wanted != NULL && wanted != variant) {
        return KEYFILE_NOT_OURS; /* another type's decoder takes it */
    }
    load->key = our_key(load->prov, &file, variant);
    return load->key != NULL ? KEYFILE_GOOD : KEYFILE_BAD;
}

static struct tok_result our_finish(struct load *load, const struct tok_pin_prompt *prompt)
{
    prov_fetch_pins(load->prov);
    return load->prov->settings.load_early ? tok_key_locate(load->key->token, prompt) : tok_good();
}

static const struct form our_form = { KEYFILE_LABEL, "PrivateKeyInfo", our_prepare, our_finish };

/* --- the peers' form --------------------------------------------------------------------------------------------- */

static enum keyfile_kind peers_prepare(struct load *load, const struct prov_variant *wanted)
{
    SCOPED(keyfile_end) struct keyfile file = { .uri = NULL };
    const char *why = "it holds no PKCS#11 URI";
    enum keyfile_kind kind = keyfile_read_peers(&file, &why, load->der.data, load->der.len);

    if (kind == KEYFILE_NOT_OURS && wanted == NULL) {
        kind = KEYFILE_BAD; /* the label said that it is */
    }
    if (kind == KEYFILE_BAD) {
        (void)prov_raise(load->prov, PROV_R_KEY_FILE, "the file labelled " KEYFILE_PEERS_LABEL " can't be used: %s",
                         why);
    }
    if (kind == KEYFILE_GOOD && !prov_ctx_ready(load->prov)) {
        return KEYFILE_BAD;
    }
    load->uri = STEAL(file.uri);
    return kind;
}

/* The one private key that the URI names: which of several signs is never guessed. */
static struct tok_result peers_find(struct tok_key **out_key, const struct load *load,
                                    const struct tok_pin_prompt *prompt)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;

    TOK_TRY(tok_uri_parse(&uri, load->uri, uri_origin(load->prov)));
    TOK_TRY(tok_find(&items, &load->prov->settings, uri, TOK_WANT_PRIVATE, prompt));
    if (items.count > 1) {
        return tok_fail(TOK_CODE_AMBIGUOUS, "the key file's URI '%s' names %zu private keys: '%s', '%s'%s",
                        tok_uri_text(uri), items.count, items.items[0].uri, items.items[1].uri,
                        items.count > 2 ? " and others" : "");
    }
    *out_key = STEAL(items.items[0].key);
    return tok_good();
}

static struct tok_result peers_finish(struct load *load, const struct tok_pin_prompt *prompt)
{
    struct tok_key *token = NULL;

    TOK_TRY(peers_find(&token, load, prompt));
    load->key = prov_key_on_token(load->prov, token, NULL);
    return load->key != NULL
               ? tok_good()
               : tok_fail(TOK_CODE_UNSUPPORTED,
                          "the key that '%s' names is of a type that is not served, or its public half makes no sense",
                          load->uri);
}

static const struct form peers_form = { KEYFILE_PEERS_LABEL, "pk11-uri", peers_prepare, peers_finish };

/* --- the second stage: from DER to a key ------------------------------------------------------------------------- */

struct decoder {
    struct prov_ctx *prov;
    const struct form *form;            /* NULL: the first stage */
    const struct prov_variant *variant; /* whose keys this decoder makes */
};

static void *decoder_newctx(void *prov, const struct form *form, const struct prov_variant *variant)
{
    struct decoder *decoder = malloc(sizeof(*decoder));

    if (decoder != NULL) {
        *decoder = (struct decoder){ prov, form, variant };
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

/* A module that uses libcrypto leaves errors of its own on our queue: they are not kept. */
static void load_finish(struct load *load, struct prov_prompt *asker)
{
    struct tok_pin_prompt prompt = prov_pin_prompt(asker);

    if (!load->finished) {
        prov_err_mark(load->prov);
        load->failure = load->form->finish(load, &prompt);
        prov_err_forget(load->prov);
        load->finished = true;
    }
}

/* Whether the first stage holds just this: a decoder may be offered the other form, and a module that is asked in
 * between may read keys of its own. */
static bool is_held(const struct load *load)
{
    return load_held != NULL && load_held->form == load->form && bytes_equal(&load_held->der, &load->der);
}

static int decode_der(void *vdecoder, OSSL_CORE_BIO *input, int selection, OSSL_CALLBACK *object, void *object_arg,
                      OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)
{
    struct decoder *decoder = vdecoder;
    struct prov_prompt asker = { ask, ask_arg };
    SCOPED(bio_end) BIO *bio = BIO_new_from_core_bio(decoder->prov->child, input);
    SCOPED(load_end) struct load own = { .prov = decoder->prov, .form = decoder->form };
    struct load *load = &own;

    (void)selection;
    if (!read_sequence(&own.der, bio)) {
        return 1;
    }
    if (is_held(&own)) {
        load = load_held;
    } else {
        enum keyfile_kind kind = own.form->prepare(&own, decoder->variant);

        if (kind != KEYFILE_GOOD) {
            return kind == KEYFILE_NOT_OURS;
        }
    }
    if (load->prov != decoder->prov || (load->key != NULL && load->key->variant != decoder->variant)) {
        return 1; /* another instance's, or another type's */
    }
    load_finish(load, &asker);
    if (!tok_ok(&load->failure)) {
        return load == &own ? prov_fail(decoder->prov, &own.failure) : 0;
    }
    return load->key->variant != decoder->variant || prov_key_offer(prov_key_ref(load->key), object, object_arg);
}

/* --- the first stage: from PEM to DER ---------------------------------------------------------------------------- */

/* Hands the DER on, and tells what went wrong with it. */
static int load_offer(struct load *load, OSSL_CALLBACK *object, void *object_arg)
{
    struct load *outer = load_held;
    int type = OSSL_OBJECT_PKEY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_STRUCTURE, (char *)load->form->structure, 0),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, load->der.data, load->der.len),
        OSSL_PARAM_construct_end(),
    };
    int taken;

    prov_err_mark(load->prov);
    load_held = load;
    taken = object(params, object_arg);
    load_held = outer;
    if (!load->finished || tok_ok(&load->failure)) {
        prov_err_keep(load->prov);
        return taken;
    }
    prov_err_forget(load->prov);
    return prov_fail(load->prov, &load->failure);
}

static int decode_labelled(struct prov_ctx *prov, const struct form *form, const unsigned char *data, size_t len,
                           OSSL_CALLBACK *object, void *object_arg)
{
    SCOPED(bio_end) BIO *bio = BIO_new_mem_buf(data, (int)len);
    SCOPED(load_end) struct load load = { .prov = prov, .form = form };
    enum keyfile_kind kind = read_sequence(&load.der, bio) ? form->prepare(&load, NULL) : KEYFILE_NOT_OURS;

    return kind == KEYFILE_GOOD ? load_offer(&load, object, object_arg) : kind == KEYFILE_NOT_OURS;
}

/* What is not ours is handed on by the others' decoder of PEM. */
static int decode_pem(void *vdecoder, OSSL_CORE_BIO *input, int selection, OSSL_CALLBACK *object, void *object_arg,
                      OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)
{
    static const struct form *const forms[] = { &our_form, &peers_form };
    struct prov_ctx *prov = ((struct decoder *)vdecoder)->prov;
    SCOPED(bio_end) BIO *bio = BIO_new_from_core_bio(prov->child, input);
    char *label = NULL;
    char *header = NULL;
    unsigned char *data = NULL;
    long len = 0;
    int done = 1;

    (void)selection;
    (void)ask; /* the second stage has its own */
    (void)ask_arg;
    prov_err_mark(prov);
    if (bio == NULL || PEM_read_bio(bio, &label, &header, &data, &len) <= 0) {
        len = 0;
    }
    prov_err_forget(prov);
    for (size_t i = 0; i < COUNT_OF(forms) && len > 0; i++) {
        if (strcmp(label, forms[i]->label) == 0) {
            done = decode_labelled(prov, forms[i], data, (size_t)len, object, object_arg);
        }
    }
    OPENSSL_free(label);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, (size_t)len);
    return done;
}

/* --- tables ------------------------------------------------------------------------------------------------------ */

/* A decoder's table, with its one-line constructor; no logic. */
#define DECODER(id, form, variant, decode)                                                                             \
    static OSSL_FUNC_decoder_newctx_fn id##_newctx;                                                                    \
    static void *id##_newctx(void *prov)                                                                               \
    {                                                                                                                  \
        return decoder_newctx(prov, form, variant);                                                                    \
    }                                                                                                                  \
    static const OSSL_DISPATCH id[] = {                                                                                \
        { OSSL_FUNC_DECODER_NEWCTX, (void (*)(void))id##_newctx },                                                     \
        { OSSL_FUNC_DECODER_FREECTX, (void (*)(void))decoder_freectx },                                                \
        { OSSL_FUNC_DECODER_DOES_SELECTION, (void (*)(void))decoder_does_selection },                                  \
        { OSSL_FUNC_DECODER_DECODE, (void (*)(void))(decode) },                                                        \
        { 0, NULL },                                                                                                   \
    };

#define DECODERS(id)                                                                                                   \
    DECODER(id##_ours, &our_form, &prov_##id##_variant, decode_der)                                                    \
    DECODER(id##_peers, &peers_form, &prov_##id##_variant, decode_der)
PROV_VARIANTS(DECODERS)
DECODER(pem, NULL, NULL, decode_pem)

#define OURS_ROW(id) { &prov_##id##_variant, NULL, "input=der,structure=PrivateKeyInfo", id##_ours },
#define PEERS_ROW(id) { &prov_##id##_variant, NULL, "input=der,structure=pk11-uri", id##_peers },

const struct prov_coder_row prov_decoders[] = {
    PROV_VARIANTS(OURS_ROW) PROV_VARIANTS(PEERS_ROW){ NULL, "DER", "input=pem", pem },
    { NULL, NULL, NULL, NULL },
};
