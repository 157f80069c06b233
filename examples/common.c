#include "common.h"

#include <openssl/err.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <stdio.h>
#include <string.h>

#include "signet.h"

void print_errors(const char *who, const char *what)
{
    const char *data;
    unsigned long code;
    int flags;

    fprintf(stderr, "%s: %s\n", who, what);
    while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        const char *reason = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);

        fprintf(stderr, "  %s%s%s\n", reason != NULL ? reason : "unknown error",
                (flags & ERR_TXT_STRING) && data[0] ? ": " : "", (flags & ERR_TXT_STRING) ? data : "");
    }
}

/* What a URI names, through whichever provider serves its scheme. Where a password is needed, the terminal is asked. */
static OSSL_STORE_CTX *store_open(const char *uri, int type)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open(uri, UI_OpenSSL(), NULL, NULL, NULL);

    if (store != NULL && !OSSL_STORE_expect(store, type)) {
        OSSL_STORE_close(store);
        return NULL;
    }
    return store;
}

/* The next of that type; NULL at the end, and at an error. */
static OSSL_STORE_INFO *store_next(OSSL_STORE_CTX *store, int type)
{
    while (store != NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        if (info != NULL && OSSL_STORE_INFO_get_type(info) == type) {
            return info;
        }
        OSSL_STORE_INFO_free(info);
        if (OSSL_STORE_error(store)) {
            break;
        }
    }
    return NULL;
}

static int use_key_from_store(SSL_CTX *ctx, const char *uri)
{
    OSSL_STORE_CTX *store = store_open(uri, OSSL_STORE_INFO_PKEY);
    OSSL_STORE_INFO *info = store_next(store, OSSL_STORE_INFO_PKEY);
    int used = info != NULL && SSL_CTX_use_PrivateKey(ctx, OSSL_STORE_INFO_get0_PKEY(info)) == 1;

    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    return used;
}

/* The first certificate is ours, the others lead from it to the root. */
static int use_chain_from_store(SSL_CTX *ctx, const char *uri)
{
    OSSL_STORE_CTX *store = store_open(uri, OSSL_STORE_INFO_CERT);
    OSSL_STORE_INFO *info;
    int count = 0;
    int used = 1;

    while (used && (info = store_next(store, OSSL_STORE_INFO_CERT)) != NULL) {
        X509 *cert = OSSL_STORE_INFO_get0_CERT(info);

        used = (count == 0 ? SSL_CTX_use_certificate(ctx, cert) : SSL_CTX_add1_chain_cert(ctx, cert)) == 1;
        count++;
        OSSL_STORE_INFO_free(info);
    }
    used = used && count > 0 && OSSL_STORE_eof(store); /* not at its end: the rest can't be read */
    OSSL_STORE_close(store);
    return used;
}

/* A store reads names of files as well, so that a file with a colon in its name is in good hands there. */
static int is_uri(const char *name)
{
    return strchr(name, ':') != NULL && strchr(name, '/') != name;
}

static int use_key(SSL_CTX *ctx, const char *name)
{
    return is_uri(name) ? use_key_from_store(ctx, name) : SSL_CTX_use_PrivateKey_file(ctx, name, SSL_FILETYPE_PEM);
}

static int use_chain(SSL_CTX *ctx, const char *name)
{
    return is_uri(name) ? use_chain_from_store(ctx, name) : SSL_CTX_use_certificate_chain_file(ctx, name);
}

SSL_CTX *context_new(const SSL_METHOD *method, const struct identity *identity)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    const char *wrong = NULL;

    if (ctx == NULL) {
        print_errors("TLS", "no context can be made");
        return NULL;
    }
    if (!SSL_CTX_set_min_proto_version(ctx, identity->min_tls) ||
        !SSL_CTX_set_max_proto_version(ctx, identity->max_tls)) {
        wrong = "this version of TLS can't be used";
    } else if (use_chain(ctx, identity->chain) != 1) {
        wrong = "our certificate can't be loaded";
    } else if (use_key(ctx, identity->key) != 1) {
        wrong = "our private key can't be loaded";
    } else if (SSL_CTX_check_private_key(ctx) != 1) {
        wrong = "our private key does not belong to our certificate";
    } else if (SSL_CTX_load_verify_locations(ctx, identity->trust, NULL) != 1) {
        wrong = "the root to trust can't be loaded";
    }
    if (wrong != NULL) {
        print_errors("TLS", wrong);
        SSL_CTX_free(ctx);
        return NULL;
    }
    /* Both ends demand a certificate: that is what makes it mutual. */
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return ctx;
}

int tls_version(struct identity *identity, const char *text)
{
    if (strcmp(text, "1.2") == 0) {
        identity->min_tls = identity->max_tls = TLS1_2_VERSION;
    } else if (strcmp(text, "1.3") == 0) {
        identity->min_tls = identity->max_tls = TLS1_3_VERSION;
    } else if (strcmp(text, "any") == 0) {
        identity->min_tls = TLS1_2_VERSION;
        identity->max_tls = 0;
    } else {
        return 0;
    }
    return 1;
}

/* Only keys on a token have these parameters; asking any other key leaves no error behind. */
static void print_key(EVP_PKEY *key)
{
    char token[64] = "-";
    char label[128] = "-";
    uint64_t us = 0;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint64(SIGNET_PKEY_PARAM_LAST_SIGN_US, &us),
        OSSL_PARAM_construct_end(),
    };

    ERR_set_mark();
    if (EVP_PKEY_get_utf8_string_param(key, SIGNET_PKEY_PARAM_TOKEN, token, sizeof(token), NULL) &&
        EVP_PKEY_get_utf8_string_param(key, SIGNET_PKEY_PARAM_LABEL, label, sizeof(label), NULL) &&
        EVP_PKEY_get_params(key, params)) {
        printf("  our key   %s, '%s' on token '%s', signed in %llu us\n", EVP_PKEY_get0_type_name(key), label, token,
               (unsigned long long)us);
    } else {
        printf("  our key   %s, token -, label -\n", EVP_PKEY_get0_type_name(key));
    }
    ERR_pop_to_mark();
}

void print_connection(const char *who, SSL *ssl)
{
    X509 *peer = SSL_get1_peer_certificate(ssl);
    char subject[256] = "-";
    char issuer[256] = "-";

    if (peer != NULL) {
        X509_NAME_oneline(X509_get_subject_name(peer), subject, sizeof(subject));
        X509_NAME_oneline(X509_get_issuer_name(peer), issuer, sizeof(issuer));
    }
    printf("%s: connected\n  peer      %s\n  issued by %s\n  protocol  %s, %s\n", who, subject, issuer,
           SSL_get_version(ssl), SSL_get_cipher_name(ssl));
    print_key(SSL_get_privatekey(ssl));
    fflush(stdout);
    X509_free(peer);
}

int split_address(char *address, char **out_host, char **out_port)
{
    char *colon = strrchr(address, ':');

    if (colon == NULL || colon == address || colon[1] == '\0') {
        return 0;
    }
    *colon = '\0';
    *out_port = colon + 1;
    *out_host = address;
    if (address[0] == '[' && colon[-1] == ']') {
        colon[-1] = '\0';
        *out_host = address + 1;
    }
    return 1;
}
