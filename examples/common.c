#include "common.h"

#include <openssl/err.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

/* --- keys and certificates ---------------------------------------------------------------------------------------- */

/* What a name gives, through whichever provider serves it: a store reads URIs and names of files alike. Where a
 * password or a PIN is needed, the terminal is asked. */
static OSSL_STORE_CTX *store_open(const char *name, int type)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open(name, UI_OpenSSL(), NULL, NULL, NULL);

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

static EVP_PKEY *key_load(const char *name)
{
    OSSL_STORE_CTX *store = store_open(name, OSSL_STORE_INFO_PKEY);
    OSSL_STORE_INFO *info = store_next(store, OSSL_STORE_INFO_PKEY);
    EVP_PKEY *key = info == NULL ? NULL : OSSL_STORE_INFO_get1_PKEY(info);

    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    return key;
}

/* The first certificate is ours, the others lead from it to the root. */
static STACK_OF(X509) *chain_load(const char *name)
{
    OSSL_STORE_CTX *store = store_open(name, OSSL_STORE_INFO_CERT);
    STACK_OF(X509) *chain = sk_X509_new_null();
    OSSL_STORE_INFO *info;
    bool whole;

    while ((info = store_next(store, OSSL_STORE_INFO_CERT)) != NULL) {
        sk_X509_push(chain, OSSL_STORE_INFO_get1_CERT(info));
        OSSL_STORE_INFO_free(info);
    }
    whole = store != NULL && OSSL_STORE_eof(store); /* not at its end: the rest can't be read */
    OSSL_STORE_close(store);
    if (whole && sk_X509_num(chain) > 0) {
        return chain;
    }
    sk_X509_pop_free(chain, X509_free);
    return NULL;
}

/* The SHA-256 of the public half (SubjectPublicKeyInfo). */
static void print_fingerprint(const char *whose, EVP_PKEY *key)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned char *der = NULL;
    unsigned digest_len = 0;
    int len = i2d_PUBKEY(key, &der);

    fprintf(stderr, "  %-16s SHA256 ", whose);
    if (len > 0 && EVP_Digest(der, (size_t)len, digest, &digest_len, EVP_sha256(), NULL)) {
        for (unsigned i = 0; i < digest_len; i++) {
            fprintf(stderr, "%02x", digest[i]);
        }
    }
    fputc('\n', stderr);
    OPENSSL_free(der);
}

static bool is_pair(const char *who, EVP_PKEY *key, X509 *cert)
{
    if (EVP_PKEY_eq(X509_get0_pubkey(cert), key) == 1) {
        return true;
    }
    print_errors(who, "our private key does not belong to our certificate; their public halves:");
    print_fingerprint("the certificate:", X509_get0_pubkey(cert));
    print_fingerprint("the key:", key);
    return false;
}

static bool use_identity(const char *who, SSL_CTX *ctx, const struct identity *identity)
{
    STACK_OF(X509) *chain = chain_load(identity->chain);
    EVP_PKEY *key = chain == NULL ? NULL : key_load(identity->key);
    bool used = false;

    if (chain == NULL) {
        print_errors(who, "our certificate can't be loaded");
    } else if (key == NULL) {
        print_errors(who, "our private key can't be loaded");
    } else if (is_pair(who, key, sk_X509_value(chain, 0))) {
        X509 *cert = sk_X509_shift(chain);

        used = SSL_CTX_use_cert_and_key(ctx, cert, key, chain, 1) == 1;
        X509_free(cert);
        if (!used) {
            print_errors(who, "our certificate and key can't be used");
        }
    }
    EVP_PKEY_free(key);
    sk_X509_pop_free(chain, X509_free);
    return used;
}

/* --- contexts ----------------------------------------------------------------------------------------------------- */

/* Who is on the list was revoked. */
static bool use_crl(SSL_CTX *ctx, const char *file)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);
    X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());

    return lookup != NULL && X509_load_crl_file(lookup, file, X509_FILETYPE_PEM) > 0 &&
           X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
}

SSL_CTX *context_new(const char *who, const SSL_METHOD *method, const struct identity *identity,
                     const struct demands *demands)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    const char *wrong = NULL;

    if (ctx == NULL) {
        wrong = "no context can be made";
    } else if (!SSL_CTX_set_min_proto_version(ctx, demands->min_tls) ||
               !SSL_CTX_set_max_proto_version(ctx, demands->max_tls)) {
        wrong = "this version of TLS can't be used";
    } else if (SSL_CTX_load_verify_locations(ctx, demands->trust, NULL) != 1) {
        wrong = "the root to trust can't be loaded";
    } else if (demands->crl != NULL && !use_crl(ctx, demands->crl)) {
        wrong = "the list of revoked certificates can't be loaded";
    }
    if (wrong != NULL) {
        print_errors(who, wrong);
    }
    if (wrong != NULL || (identity != NULL && !use_identity(who, ctx, identity))) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

bool tls_version(struct demands *demands, const char *text)
{
    if (strcmp(text, "1.2") == 0) {
        demands->min_tls = demands->max_tls = TLS1_2_VERSION;
    } else if (strcmp(text, "1.3") == 0) {
        demands->min_tls = demands->max_tls = TLS1_3_VERSION;
    } else if (strcmp(text, "any") == 0) {
        demands->min_tls = TLS1_2_VERSION;
        demands->max_tls = 0;
    } else {
        return false;
    }
    return true;
}

/* By the certificate's parameters, since SSL_set1_host is deprecated from OpenSSL 4.0 on. An address is no name that
 * may be sent (RFC 6066 §3). */
bool expect_server(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

    if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1) {
        return true;
    }
    return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

unsigned char *alpn_list(const char *names, unsigned *out_len)
{
    size_t len = strlen(names) + 1;
    unsigned char *list = malloc(len);
    size_t at = 0; /* of the length byte of the name that is being read */

    if (list == NULL) {
        return NULL;
    }
    memcpy(list + 1, names, len - 1);
    for (size_t i = 1; i <= len; i++) {
        if (i == len || list[i] == ',') {
            size_t name_len = i - at - 1;

            if (name_len == 0 || name_len > 255) {
                free(list);
                return NULL;
            }
            list[at] = (unsigned char)name_len;
            at = i;
        }
    }
    *out_len = (unsigned)len;
    return list;
}

/* --- telling ------------------------------------------------------------------------------------------------------ */

/* Only keys on a token have these parameters; asking any other key leaves no error behind. */
void key_facts(struct key_facts *out_facts, EVP_PKEY *key)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint64(SIGNET_PKEY_PARAM_LAST_SIGN_US, &out_facts->signed_us),
        OSSL_PARAM_construct_end(),
    };

    out_facts->signed_us = 0;
    out_facts->type = EVP_PKEY_get0_type_name(key);
    ERR_set_mark();
    out_facts->on_token = EVP_PKEY_get_utf8_string_param(key, SIGNET_PKEY_PARAM_TOKEN, out_facts->token,
                                                         sizeof(out_facts->token), NULL) &&
                          EVP_PKEY_get_utf8_string_param(key, SIGNET_PKEY_PARAM_LABEL, out_facts->label,
                                                         sizeof(out_facts->label), NULL) &&
                          EVP_PKEY_get_params(key, params);
    ERR_pop_to_mark();
    if (!out_facts->on_token) {
        snprintf(out_facts->token, sizeof(out_facts->token), "-");
        snprintf(out_facts->label, sizeof(out_facts->label), "-");
    }
}

void name_text(char *out, size_t size, const X509_NAME *name)
{
    BIO *memory = BIO_new(BIO_s_mem());
    int len = 0;

    if (memory != NULL && X509_NAME_print_ex(memory, name, 0, XN_FLAG_ONELINE) >= 0) {
        len = BIO_read(memory, out, (int)size - 1);
    }
    out[len > 0 ? len : 0] = '\0';
    BIO_free(memory);
}

void time_text(char *out, size_t size, const ASN1_TIME *time, bool with_seconds)
{
    struct tm tm;

    if (!ASN1_TIME_to_tm(time, &tm) ||
        strftime(out, size, with_seconds ? "%Y-%m-%d %H:%M:%S UTC" : "%Y-%m-%d %H:%M UTC", &tm) == 0) {
        out[0] = '\0';
    }
}

void serial_text(char *out, size_t size, const X509 *cert)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char *hex = number == NULL ? NULL : BN_bn2hex(number);

    snprintf(out, size, "%s", hex != NULL ? hex : "?");
    OPENSSL_free(hex);
    BN_free(number);
}

void text_printable(char *text)
{
    text[strcspn(text, "\r\n")] = '\0';
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < ' ' || (unsigned char)*text >= 0x7f) {
            *text = '?';
        }
    }
}

bool split_address(char *address, char **out_host, char **out_port)
{
    char *colon = strrchr(address, ':');

    if (colon == NULL || colon == address || colon[1] == '\0') {
        return false;
    }
    *colon = '\0';
    *out_port = colon + 1;
    *out_host = address;
    if (address[0] == '[' && colon[-1] == ']') {
        colon[-1] = '\0';
        *out_host = address + 1;
    }
    return true;
}
