#include "app.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/store.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CLEAR "a secret that was encrypted"

static EVP_PKEY *public_ec;
static EVP_PKEY *public_rsa;
static EVP_PKEY *public_peer;
static unsigned char cipher[512];
static size_t cipher_len;
static unsigned char secret[64];
static size_t secret_len;
static char key_file[512];
static char agree_file[512];

static EVP_PKEY *public_of(const char *folder, const char *name)
{
    char path[512];
    EVP_PKEY *key;
    BIO *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = BIO_new_file(path, "r");
    key = file == NULL ? NULL : PEM_read_bio_PUBKEY(file, NULL, NULL, NULL);
    BIO_free(file);
    return key;
}

static size_t bytes_of(const char *folder, const char *name, unsigned char *out, size_t room)
{
    char path[512];
    FILE *file;
    size_t len;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "rb");
    if (file == NULL) {
        return 0;
    }
    len = fread(out, 1, room, file);
    fclose(file);
    return len;
}

int app_files(const char *folder)
{
    snprintf(key_file, sizeof(key_file), "%s/rsa.key", folder);
    snprintf(agree_file, sizeof(agree_file), "%s/agree.key", folder);
    public_ec = public_of(folder, "ec.pub");
    public_rsa = public_of(folder, "rsa.pub");
    public_peer = public_of(folder, "peer.pub");
    cipher_len = bytes_of(folder, "cipher", cipher, sizeof(cipher));
    secret_len = bytes_of(folder, "secret", secret, sizeof(secret));
    return public_ec != NULL && public_rsa != NULL && public_peer != NULL && cipher_len > 0 && secret_len > 0;
}

EVP_PKEY *app_load(const char *uri)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
    EVP_PKEY *key = NULL;

    while (store != NULL && key == NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        key = info == NULL ? NULL : OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return key;
}

static EVP_PKEY *load_by_file(const char *path)
{
    BIO *file = BIO_new_file(path, "r");
    EVP_PKEY *key = file == NULL ? NULL : PEM_read_bio_PrivateKey(file, NULL, NULL, NULL);

    BIO_free(file);
    return key;
}

/* A signature that does not verify is as bad as none, and worse. */
static int sign(EVP_PKEY *key, EVP_PKEY *public)
{
    static const unsigned char message[] = "what is signed";
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int good = ctx != NULL && EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
               EVP_DigestSign(ctx, sig, &len, message, sizeof(message)) == 1;

    EVP_MD_CTX_free(ctx);
    if (!good) {
        return 0;
    }
    ctx = EVP_MD_CTX_new();
    good = ctx != NULL && EVP_DigestVerifyInit_ex(ctx, NULL, "SHA256", NULL, NULL, public, NULL) == 1 &&
           EVP_DigestVerify(ctx, sig, len, message, sizeof(message)) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

static int decrypt(EVP_PKEY *key)
{
    unsigned char clear[512];
    size_t len = sizeof(clear);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    int good = ctx != NULL && EVP_PKEY_decrypt_init(ctx) == 1 &&
               EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
               EVP_PKEY_decrypt(ctx, clear, &len, cipher, cipher_len) == 1 && len == strlen(CLEAR) &&
               memcmp(clear, CLEAR, len) == 0;

    EVP_PKEY_CTX_free(ctx);
    return good;
}

static int agree(EVP_PKEY *key)
{
    unsigned char found[64];
    size_t len = sizeof(found);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    int good = ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, public_peer) == 1 &&
               EVP_PKEY_derive(ctx, found, &len) == 1 && len == secret_len && memcmp(found, secret, len) == 0;

    EVP_PKEY_CTX_free(ctx);
    return good;
}

static int step_do(struct app *app, enum step step)
{
    if (step == STEP_LOAD_EC || (step == STEP_SIGN_EC && app->ec == NULL)) {
        EVP_PKEY_free(app->ec);
        app->ec = app_load(EC_URI);
    }
    if (step == STEP_AGREE && app->agree == NULL) {
        app->agree = load_by_file(agree_file);
    }
    if (step == STEP_LOAD_RSA || ((step == STEP_DECRYPT_RSA || step == STEP_SIGN_RSA) && app->rsa == NULL)) {
        EVP_PKEY_free(app->rsa);
        app->rsa = load_by_file(key_file);
    }
    switch (step) {
    case STEP_LOAD_EC:
        return app->ec != NULL;
    case STEP_SIGN_EC:
        return app->ec != NULL && sign(app->ec, public_ec);
    case STEP_LOAD_RSA:
        return app->rsa != NULL;
    case STEP_DECRYPT_RSA:
        return app->rsa != NULL && decrypt(app->rsa);
    case STEP_AGREE:
        return app->agree != NULL && agree(app->agree);
    default:
        return app->rsa != NULL && sign(app->rsa, public_rsa);
    }
}

static void trouble_read(struct trouble *trouble)
{
    const char *data;
    const char *file;
    const char *func;
    int line;
    int flags;
    unsigned long code;
    size_t len = 0;

    memset(trouble, 0, sizeof(*trouble));
    while ((code = ERR_get_error_all(&file, &line, &func, &data, &flags)) != 0) {
        if (trouble->errors++ == 0) {
            snprintf(trouble->first, sizeof(trouble->first), "%s", (flags & ERR_TXT_STRING) != 0 ? data : "");
        }
        len += (size_t)snprintf(trouble->text + len, sizeof(trouble->text) - len, "%s: %s: %s\n",
                                ERR_lib_error_string(code), ERR_reason_error_string(code),
                                (flags & ERR_TXT_STRING) != 0 ? data : "");
        if (len >= sizeof(trouble->text)) {
            len = sizeof(trouble->text) - 1;
        }
    }
}

int app_step(struct app *app, enum step step, struct trouble *trouble)
{
    int good;

    ERR_clear_error();
    good = step_do(app, step);
    trouble_read(trouble);
    return good;
}

const char *app_step_name(enum step step)
{
    static const char *const names[] = { "loading the EC key",       "signing with the EC key",
                                         "loading the RSA key",      "decrypting with the RSA key",
                                         "signing with the RSA key", "agreeing with the EC key for it" };

    return names[step];
}

void app_end(struct app *app)
{
    EVP_PKEY_free(app->ec);
    EVP_PKEY_free(app->rsa);
    EVP_PKEY_free(app->agree);
    app->ec = NULL;
    app->rsa = NULL;
    app->agree = NULL;
}

double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}
