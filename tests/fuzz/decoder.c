/* Key files as applications read them: PEM or DER through OSSL_DECODER and through the store's file:, with Signet
 * active and a token (tests/unit/mock.c) that has a key. A key that is read can be written again, and is then read as
 * the same.
 */
#include "fuzz.h"

#include <dlfcn.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <unistd.h>

#include "pkcs11/result/cryptoki.h"
#include "provider.h"
#include "signet.h"
#include "tests/unit/mock.h"

static OSSL_LIB_CTX *libctx;

/* --- the token ---------------------------------------------------------------------------------------------------- */

static void field(unsigned char *out, size_t size, const char *text)
{
    memset(out, ' ', size);
    memcpy(out, text, strlen(text));
}

static void attribute(struct mock_object *object, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
    object->attrs[object->num_attrs++] = (CK_ATTRIBUTE){ type, (void *)value, (CK_ULONG)len };
}

/* A token "t" with a key "k", whose public half is P-256's own generator. */
static void furnish(struct mock *mock)
{
    static const CK_OBJECT_CLASS private_key = CKO_PRIVATE_KEY;
    static const CK_KEY_TYPE ec = CKK_EC;
    static const unsigned char curve[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
    static const unsigned char point[] = {
        0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2,
        0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f,
        0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce,
        0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
    };
    struct mock_token *token = &mock->tokens[mock->num_tokens++];
    struct mock_object *object = &mock->objects[mock->num_objects++];

    field(token->info.label, sizeof(token->info.label), "t");
    field(token->info.serialNumber, sizeof(token->info.serialNumber), "1");
    field(token->info.manufacturerID, sizeof(token->info.manufacturerID), "Mock");
    field(token->info.model, sizeof(token->info.model), "M");
    token->info.flags = CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED;
    token->present = true;
    strcpy(token->pin, "1234");
    object->is_private = true;
    attribute(object, CKA_CLASS, &private_key, sizeof(private_key));
    attribute(object, CKA_KEY_TYPE, &ec, sizeof(ec));
    attribute(object, CKA_LABEL, "k", 1);
    attribute(object, CKA_ID, "\1", 1);
    attribute(object, CKA_EC_PARAMS, curve, sizeof(curve));
    attribute(object, CKA_EC_POINT, point, sizeof(point));
}

static void start(void)
{
    char conf[1024];
    void *library;

    if (libctx != NULL) {
        return;
    }
    library = dlopen(MOCK_FILE, RTLD_NOW | RTLD_LOCAL);
    HOLDS(library != NULL);
    furnish(dlsym(library, "mock"));
    snprintf(conf, sizeof(conf),
             "openssl_conf = i\n[i]\nproviders = p\n[p]\ndefault = d\nsignet = s\n[d]\nactivate = 1\n"
             "[s]\nactivate = 1\npkcs11-module = %s\npin = value:1234\ndeadline = 1\n",
             MOCK_FILE);
    libctx = provider_context(NULL);
    HOLDS(provider_configure(libctx, conf, strlen(conf)));
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static void key_end(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static void bio_end(BIO **bio)
{
    BIO_free(*bio);
}

static bool is_ours(const EVP_PKEY *key)
{
    return EVP_PKEY_get0_provider(key) != NULL &&
           strcmp(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key)), "signet") == 0;
}

/* Ask nobody: a pass phrase is not what is tested. */
static int no_phrase(char *buffer, int size, int writing, void *arg)
{
    (void)buffer, (void)size, (void)writing, (void)arg;
    return 0;
}

static EVP_PKEY *key_of(const void *data, size_t size)
{
    SCOPED(bio_end) BIO *bio = BIO_new_mem_buf(data, (int)size);

    return PEM_read_bio_PrivateKey_ex(bio, NULL, no_phrase, NULL, libctx, NULL);
}

/* The URI that a key of ours is at; false if it has none, as software keys that passed through us. */
static bool uri_of(char *out, size_t size, EVP_PKEY *key)
{
    size_t len;

    return EVP_PKEY_get_utf8_string_param(key, SIGNET_PKEY_PARAM_URI, out, size, &len) == 1;
}

static void written_again(EVP_PKEY *key)
{
    SCOPED(bio_end) BIO *bio = BIO_new(BIO_s_mem());
    SCOPED(key_end) EVP_PKEY *again = NULL;
    char before[4096];
    char after[4096];
    char *text;
    long len;

    if (!is_ours(key) || !uri_of(before, sizeof(before), key)) {
        return;
    }
    HOLDS(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, no_phrase, NULL) == 1);
    len = BIO_get_mem_data(bio, &text);
    again = key_of(text, (size_t)len);
    HOLDS(again != NULL && is_ours(again) && EVP_PKEY_eq(key, again) == 1);
    HOLDS(uri_of(after, sizeof(after), again) && strcmp(before, after) == 0);
}

static void by_decoder(const uint8_t *data, size_t size)
{
    SCOPED(key_end) EVP_PKEY *key = NULL;
    const unsigned char *at = data;

    if (memmem(data, size, "-----", 5) != NULL) {
        key = key_of(data, size);
    } else {
        key = d2i_AutoPrivateKey_ex(NULL, &at, (long)size, libctx, NULL);
    }
    if (key != NULL) {
        written_again(key);
    }
}

static void by_store(const uint8_t *data, size_t size)
{
    SCOPED(bio_end) BIO *bio = BIO_new_mem_buf(data, (int)size);
    OSSL_STORE_CTX *store = OSSL_STORE_attach(bio, "file", libctx, NULL, NULL, NULL, NULL, NULL, NULL);

    for (unsigned i = 0; store != NULL && i < 8 && !OSSL_STORE_eof(store); i++) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        if (info != NULL && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY) {
            written_again(OSSL_STORE_INFO_get0_PKEY(info));
        }
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    start();
    by_decoder(data, size);
    by_store(data, size);
    ERR_clear_error();
    return 0;
}
