#include "messages.h"

#include <openssl/obj_mac.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

struct cursor cursor_over(const void *data, size_t len)
{
    return (struct cursor){ data, len };
}

void cursor_skip(struct cursor *cursor, size_t len)
{
    size_t step = len < cursor->left ? len : cursor->left;

    cursor->at += step;
    cursor->left -= step;
}

unsigned cursor_peek(const struct cursor *cursor)
{
    return cursor->left > 0 ? cursor->at[0] : 0;
}

static unsigned cursor_number(struct cursor *cursor, int bytes)
{
    unsigned number = 0;

    for (int i = 0; i < bytes; i++) {
        number = number << 8 | cursor_peek(cursor);
        cursor_skip(cursor, 1);
    }
    return number;
}

unsigned cursor_u16(struct cursor *cursor)
{
    return cursor_number(cursor, 2);
}

/* A vector whose length stands before it, in so many bytes. */
static struct cursor cursor_vector(struct cursor *cursor, int length_bytes)
{
    size_t len = cursor_number(cursor, length_bytes);
    struct cursor vector = { cursor->at, len < cursor->left ? len : cursor->left };

    cursor_skip(cursor, len);
    return vector;
}

static void random_read(char out[RANDOM_HEX], struct cursor *body)
{
    for (int i = 0; i < 32; i++) {
        snprintf(out + 2 * i, 3, "%02x", cursor_number(body, 1));
    }
}

const char *version_name(unsigned version)
{
    switch (version) {
    case TLS1_3_VERSION:
        return "TLS 1.3";
    case TLS1_2_VERSION:
        return "TLS 1.2";
    case TLS1_1_VERSION:
        return "TLS 1.1";
    case TLS1_VERSION:
        return "TLS 1.0";
    default:
        return NULL; /* numbers that mean nothing are sent on purpose (RFC 8701) */
    }
}

/* --- hellos ------------------------------------------------------------------------------------------------------- */

static void versions_add(struct client_hello *hello, unsigned version)
{
    size_t len = strlen(hello->versions);

    if (version_name(version) != NULL) {
        snprintf(hello->versions + len, sizeof(hello->versions) - len, "%s%s", len > 0 ? ", " : "",
                 version_name(version));
    }
}

static void name_read(struct client_hello *hello, struct cursor extension)
{
    struct cursor list = cursor_vector(&extension, 2);
    struct cursor name;

    cursor_skip(&list, 1); /* the only type there is */
    name = cursor_vector(&list, 2);
    for (size_t i = 0; i < name.left && i + 1 < sizeof(hello->name); i++) {
        hello->name[i] = (char)(name.at[i] > ' ' && name.at[i] < 0x7f ? name.at[i] : '?');
    }
}

void client_hello_read(struct client_hello *out, struct cursor *body)
{
    struct cursor extensions;
    unsigned version = cursor_u16(body);

    memset(out, 0, sizeof(*out));
    random_read(out->random, body);
    (void)cursor_vector(body, 1); /* session */
    out->num_suites = (unsigned)(cursor_vector(body, 2).left / 2);
    (void)cursor_vector(body, 1); /* compression */
    extensions = cursor_vector(body, 2);
    while (extensions.left > 0) {
        unsigned type = cursor_u16(&extensions);
        struct cursor extension = cursor_vector(&extensions, 2);

        if (type == TLSEXT_TYPE_server_name) {
            name_read(out, extension);
        } else if (type == TLSEXT_TYPE_supported_versions) {
            struct cursor list = cursor_vector(&extension, 1);

            while (list.left > 0) {
                versions_add(out, cursor_u16(&list));
            }
        }
    }
    if (out->versions[0] == '\0') {
        versions_add(out, version);
    }
}

/* The random of a server hello that is a wish for another client hello (RFC 8446 §4.1.3), in its first bytes. */
#define RETRY_RANDOM "cf21ad74e59a6111"

void server_hello_read(struct server_hello *out, struct cursor *body)
{
    struct cursor extensions;

    memset(out, 0, sizeof(*out));
    out->version = cursor_u16(body);
    random_read(out->random, body);
    out->retry = strncmp(out->random, RETRY_RANDOM, strlen(RETRY_RANDOM)) == 0;
    (void)cursor_vector(body, 1); /* session */
    out->suite = cursor_u16(body);
    cursor_skip(body, 1); /* compression */
    extensions = cursor_vector(body, 2);
    while (extensions.left > 0) {
        unsigned type = cursor_u16(&extensions);
        struct cursor extension = cursor_vector(&extensions, 2);

        if (type == TLSEXT_TYPE_supported_versions) {
            out->version = cursor_u16(&extension);
        } else if (type == TLSEXT_TYPE_key_share) {
            out->group = cursor_u16(&extension);
        }
    }
}

/* --- certificates and signatures ---------------------------------------------------------------------------------- */

STACK_OF(X509) *certificates_read(struct cursor *body, bool tls13)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    struct cursor list;

    if (tls13) {
        (void)cursor_vector(body, 1); /* context */
    }
    list = cursor_vector(body, 3);
    while (list.left > 0) {
        struct cursor der = cursor_vector(&list, 3);
        X509 *cert = d2i_X509(NULL, &der.at, (long)der.left);

        if (cert != NULL) {
            sk_X509_push(chain, cert);
        }
        if (tls13) {
            (void)cursor_vector(&list, 2); /* extensions */
        }
    }
    return chain;
}

bool key_exchange_skip(struct cursor *body, int kx_nid)
{
    switch (kx_nid) {
    case NID_kx_ecdhe: /* RFC 8422 §5.4 */
        cursor_skip(body, 3);
        (void)cursor_vector(body, 1);
        return true;
    case NID_kx_dhe: /* RFC 5246 §7.4.3 */
        for (int i = 0; i < 3; i++) {
            (void)cursor_vector(body, 2);
        }
        return true;
    default:
        return false;
    }
}

const char *scheme_name(unsigned scheme)
{
    static const struct {
        unsigned scheme;
        const char *name;
    } known[] = {
        /* RFC 8446 §4.2.3, RFC 8422 §5.1.3, RFC 8734 */
        { 0x0401, "rsa_pkcs1_sha256" },
        { 0x0501, "rsa_pkcs1_sha384" },
        { 0x0601, "rsa_pkcs1_sha512" },
        { 0x0301, "rsa_pkcs1_sha224" },
        { 0x0201, "rsa_pkcs1_sha1" },
        { 0x0403, "ecdsa_secp256r1_sha256" },
        { 0x0503, "ecdsa_secp384r1_sha384" },
        { 0x0603, "ecdsa_secp521r1_sha512" },
        { 0x0303, "ecdsa_sha224" },
        { 0x0203, "ecdsa_sha1" },
        { 0x0804, "rsa_pss_rsae_sha256" },
        { 0x0805, "rsa_pss_rsae_sha384" },
        { 0x0806, "rsa_pss_rsae_sha512" },
        { 0x0809, "rsa_pss_pss_sha256" },
        { 0x080a, "rsa_pss_pss_sha384" },
        { 0x080b, "rsa_pss_pss_sha512" },
        { 0x0807, "ed25519" },
        { 0x0808, "ed448" },
        { 0x081a, "ecdsa_brainpoolP256r1tls13_sha256" },
        { 0x081b, "ecdsa_brainpoolP384r1tls13_sha384" },
        { 0x081c, "ecdsa_brainpoolP512r1tls13_sha512" },
        { 0x0904, "mldsa44" },
        { 0x0905, "mldsa65" },
        { 0x0906, "mldsa87" },
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].scheme == scheme) {
            return known[i].name;
        }
    }
    return "another scheme";
}

const char *suite_name(SSL *ssl, unsigned suite)
{
    const unsigned char id[2] = { (unsigned char)(suite >> 8), (unsigned char)suite };
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, id);

    return cipher == NULL ? NULL : SSL_CIPHER_standard_name(cipher);
}
