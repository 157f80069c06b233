/* The ways in which programs read a file with a private key: a key file of ours is read by each as a software key's
 * is, alone, before and after certificates, and a software key's file stays what it was.     readers FOLDER
 *
 * FOLDER is that of tests/tls/setup.sh, with TYPE-before.pem and TYPE-after.pem, where the key stands before and after
 * its certificates, and TYPE-peers.pem, the form of another provider. */
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>

#include "../lib/tap.h"
#include "keys.h"

static EVP_PKEY *by_pem(const char *file)
{
    return key_by_name(file);
}

static EVP_PKEY *by_store(const char *file)
{
    char uri[320];

    snprintf(uri, sizeof(uri), "file:%s", file);
    return key_of_store(uri, NULL);
}

static EVP_PKEY *by_info(const char *file)
{
    BIO *in = BIO_new_file(file, "r");
    STACK_OF(X509_INFO) *list = in == NULL ? NULL : PEM_X509_INFO_read_bio(in, NULL, NULL, NULL);
    EVP_PKEY *key = NULL;

    for (int i = 0; i < sk_X509_INFO_num(list) && key == NULL; i++) {
        const X509_INFO *info = sk_X509_INFO_value(list, i);

        if (info->x_pkey != NULL && info->x_pkey->dec_pkey != NULL && EVP_PKEY_up_ref(info->x_pkey->dec_pkey)) {
            key = info->x_pkey->dec_pkey;
        }
    }
    sk_X509_INFO_pop_free(list, X509_INFO_free);
    BIO_free(in);
    return key;
}

static EVP_PKEY *by_ssl(const char *file)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    EVP_PKEY *key = NULL;

    if (ctx != NULL && SSL_CTX_use_PrivateKey_file(ctx, file, SSL_FILETYPE_PEM) == 1 &&
        EVP_PKEY_up_ref(SSL_CTX_get0_privatekey(ctx))) {
        key = SSL_CTX_get0_privatekey(ctx);
    }
    SSL_CTX_free(ctx);
    return key;
}

/* The DER within the file's PRIVATE KEY, which needs PEM and nothing of any key. */
static BIO *der_of(const char *file)
{
    BIO *in = BIO_new_file(file, "r");
    BIO *der = BIO_new(BIO_s_mem());
    char *name = NULL;
    char *header = NULL;
    unsigned char *data = NULL;
    long len = 0;

    while (in != NULL && PEM_read_bio(in, &name, &header, &data, &len)) {
        if (strcmp(name, PEM_STRING_PKCS8INF) == 0) {
            BIO_write(der, data, (int)len);
        }
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(data);
    }
    ERR_clear_error(); /* of the file's end */
    BIO_free(in);
    return der;
}

static EVP_PKEY *by_der(const char *file)
{
    BIO *der = der_of(file);
    EVP_PKEY *key = d2i_PrivateKey_bio(der, NULL);

    BIO_free(der);
    return key;
}

static const struct {
    const char *name;
    EVP_PKEY *(*read)(const char *file);
    int any_label; /* reads a key under whatever PEM label a decoder knows, not PRIVATE KEY alone */
} readers[] = {
    { "PEM_read_bio_PrivateKey", by_pem, 1 },     { "the file: store", by_store, 1 },
    { "SSL_CTX_use_PrivateKey_file", by_ssl, 1 }, { "PEM_X509_INFO_read_bio", by_info, 0 },
    { "d2i_PrivateKey_bio", by_der, 0 },
};

static const char *const types[] = { "ec", "rsa" };

static const struct {
    const char *suffix;
    const char *what;
    int on_token;
    int own_label; /* another than PRIVATE KEY */
} files[] = {
    { ".key", "a key file", 1, 0 },
    { "-before.pem", "a key file before certificates", 1, 0 },
    { "-after.pem", "a key file after certificates", 1, 0 },
    { "-peers.pem", "another provider's key file", 1, 1 },
    { "-soft.key", "a software key's file", 0, 0 },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void read_file(const char *folder, const char *type, size_t file)
{
    char path[300];

    snprintf(path, sizeof(path), "%s/%s%s", folder, type, files[file].suffix);
    for (size_t i = 0; i < COUNT(readers); i++) {
        EVP_PKEY *key;
        int whose;

        if (files[file].own_label && !readers[i].any_label) {
            continue;
        }
        key = readers[i].read(path);
        whose = files[file].on_token ? is_on_token(key) : is_from(key, "default") && !is_on_token(key);
        ok(whose && signs(key, NULL), "%s (%s) by %s", files[file].what, type, readers[i].name);
        EVP_PKEY_free(key);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        return 2;
    }
    for (size_t i = 0; i < COUNT(types) * COUNT(files); i++) {
        read_file(argv[1], types[i / COUNT(files)], i % COUNT(files));
    }
    return tap_done();
}
