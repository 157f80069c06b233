#include "pair.h"

#include <openssl/store.h>
#include <string.h>

#define MOST_SIGNATURE 50000 /* of SLH-DSA: 49,856 */

EVP_PKEY *key_by_query(const char *uri, const char *query)
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

EVP_PKEY *key_by_name(const char *name)
{
    BIO *file;
    EVP_PKEY *key;

    if (strncmp(name, "pkcs11:", 7) == 0) {
        return key_by_query(name, NULL);
    }
    file = BIO_new_file(name, "r");
    key = file == NULL ? NULL : PEM_read_bio_PrivateKey(file, NULL, NULL, NULL);
    BIO_free(file);
    return key;
}

int key_signs_for(EVP_PKEY *key, EVP_PKEY *verifier)
{
    static const unsigned char text[] = "text";
    int hashed = key != NULL &&
                 (EVP_PKEY_is_a(key, "EC") || EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS"));
    const char *digest = hashed ? "SHA256" : NULL;
    unsigned char sig[MOST_SIGNATURE];
    size_t len = sizeof(sig);
    EVP_MD_CTX *sign = EVP_MD_CTX_new();
    EVP_MD_CTX *verify = EVP_MD_CTX_new();
    int good = key != NULL && verifier != NULL &&
               EVP_DigestSignInit_ex(sign, NULL, digest, NULL, NULL, key, NULL) == 1 &&
               EVP_DigestSign(sign, sig, &len, text, sizeof(text)) == 1 &&
               EVP_DigestVerifyInit_ex(verify, NULL, digest, NULL, NULL, verifier, NULL) == 1 &&
               EVP_DigestVerify(verify, sig, len, text, sizeof(text)) == 1;

    EVP_MD_CTX_free(sign);
    EVP_MD_CTX_free(verify);
    return good;
}

int key_signs(EVP_PKEY *key)
{
    return key_signs_for(key, key);
}

static int use_key(SSL_CTX *ctx, const char *name)
{
    EVP_PKEY *key;
    int used;

    if (strncmp(name, "pkcs11:", 7) != 0) {
        return SSL_CTX_use_PrivateKey_file(ctx, name, SSL_FILETYPE_PEM);
    }
    key = key_by_query(name, NULL);
    used = key != NULL && SSL_CTX_use_PrivateKey(ctx, key) == 1;
    EVP_PKEY_free(key);
    return used;
}

SSL_CTX *context_with(const char *key, const char *chain, const char *root, int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    if (ctx == NULL || !SSL_CTX_set_min_proto_version(ctx, version) || !SSL_CTX_set_max_proto_version(ctx, version) ||
        SSL_CTX_load_verify_locations(ctx, root, NULL) != 1 ||
        (key != NULL && (SSL_CTX_use_certificate_chain_file(ctx, chain) != 1 || use_key(ctx, key) != 1 ||
                         SSL_CTX_check_private_key(ctx) != 1))) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    return ctx;
}

/* Turns of both ends until both are done, or neither gets on. */
static int handshake(SSL *server, SSL *client)
{
    int done_server = 0;
    int done_client = 0;

    for (int turn = 0; turn < 50 && !(done_server && done_client); turn++) {
        int rv;

        if (!done_client) {
            rv = SSL_do_handshake(client);
            done_client = rv == 1;
            if (rv != 1 && SSL_get_error(client, rv) != SSL_ERROR_WANT_READ) {
                return 0;
            }
        }
        if (!done_server) {
            rv = SSL_do_handshake(server);
            done_server = rv == 1;
            if (rv != 1 && SSL_get_error(server, rv) != SSL_ERROR_WANT_READ) {
                return 0;
            }
        }
    }
    return done_server && done_client;
}

static int byte_over(SSL *from, SSL *to)
{
    char byte = 0;

    return SSL_write(from, "x", 1) == 1 && SSL_read(to, &byte, 1) == 1 && byte == 'x';
}

int shake(SSL_CTX *server_ctx, SSL_CTX *client_ctx)
{
    SSL *server = SSL_new(server_ctx);
    SSL *client = SSL_new(client_ctx);
    BIO *one = NULL;
    BIO *other = NULL;
    int good = 0;

    if (server != NULL && client != NULL && BIO_new_bio_pair(&one, 1 << 16, &other, 1 << 16)) {
        SSL_set_bio(server, one, one);
        SSL_set_bio(client, other, other);
        SSL_set_accept_state(server);
        SSL_set_connect_state(client);
        good = handshake(server, client) && byte_over(client, server) && byte_over(server, client) &&
               SSL_get_verify_result(client) == X509_V_OK && SSL_get_verify_result(server) == X509_V_OK;
        if (good && (SSL_CTX_get_verify_mode(server_ctx) & SSL_VERIFY_FAIL_IF_NO_PEER_CERT) != 0) {
            good = SSL_get0_peer_certificate(server) != NULL;
        }
    }
    SSL_free(server);
    SSL_free(client);
    return good;
}
