#include "keys.h"

#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <string.h>

EVP_PKEY *key_of_store(const char *uri, const char *query)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(uri, NULL, query, NULL, NULL, NULL, NULL, NULL);
    EVP_PKEY *key = NULL;

    while (store != NULL && key == NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        key = info == NULL ? NULL : OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return key;
}

int is_uri(const char *name)
{
    return strncmp(name, "pkcs11:", 7) == 0 || strncmp(name, "file:", 5) == 0;
}

EVP_PKEY *key_by_name(const char *name)
{
    BIO *file;
    EVP_PKEY *key;

    if (is_uri(name)) {
        return key_of_store(name, NULL);
    }
    file = BIO_new_file(name, "r");
    key = file == NULL ? NULL : PEM_read_bio_PrivateKey(file, NULL, NULL, NULL);
    BIO_free(file);
    return key;
}

int is_on_token(EVP_PKEY *key)
{
    char uri[512];

    return key != NULL && EVP_PKEY_get_utf8_string_param(key, "signet-uri", uri, sizeof(uri), NULL);
}

int is_from(EVP_PKEY *key, const char *provider)
{
    return key != NULL && strcmp(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key)), provider) == 0;
}

int signs(EVP_PKEY *key, const char *query)
{
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    EVP_MD_CTX *sign = EVP_MD_CTX_new();
    EVP_MD_CTX *verify = EVP_MD_CTX_new();
    int good = key != NULL && EVP_DigestSignInit_ex(sign, NULL, "SHA256", NULL, query, key, NULL) == 1 &&
               EVP_DigestSign(sign, sig, &len, (const unsigned char *)"text", 4) == 1 &&
               EVP_DigestVerifyInit_ex(verify, NULL, "SHA256", NULL, query, key, NULL) == 1 &&
               EVP_DigestVerify(verify, sig, len, (const unsigned char *)"text", 4) == 1;

    EVP_MD_CTX_free(sign);
    EVP_MD_CTX_free(verify);
    return good;
}
