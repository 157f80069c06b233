#include "provider/keyfile.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

#include "signet.h"

#define MAGIC_STEM "signet key "
#define PEERS_MAGIC "PKCS#11 Provider URI v1.0"

typedef struct {
    ASN1_UTF8STRING *magic;
    ASN1_UTF8STRING *uri;
    X509_PUBKEY *spki;
} SIGNET_KEY;

ASN1_SEQUENCE(SIGNET_KEY) = {
    ASN1_SIMPLE(SIGNET_KEY, magic, ASN1_UTF8STRING),
    ASN1_SIMPLE(SIGNET_KEY, uri, ASN1_UTF8STRING),
    ASN1_SIMPLE(SIGNET_KEY, spki, X509_PUBKEY),
} static_ASN1_SEQUENCE_END(SIGNET_KEY)

typedef struct {
    ASN1_VISIBLESTRING *magic;
    ASN1_UTF8STRING *uri;
} PEERS_KEY;

ASN1_SEQUENCE(PEERS_KEY) = {
    ASN1_SIMPLE(PEERS_KEY, magic, ASN1_VISIBLESTRING),
    ASN1_SIMPLE(PEERS_KEY, uri, ASN1_UTF8STRING),
} static_ASN1_SEQUENCE_END(PEERS_KEY)

static void signet_key_end(SIGNET_KEY **key)
{
    ASN1_item_free((ASN1_VALUE *)*key, ASN1_ITEM_rptr(SIGNET_KEY));
}

static void peers_key_end(PEERS_KEY **key)
{
    ASN1_item_free((ASN1_VALUE *)*key, ASN1_ITEM_rptr(PEERS_KEY));
}

static void pkcs8_end(PKCS8_PRIV_KEY_INFO **info)
{
    PKCS8_PRIV_KEY_INFO_free(*info);
}

static void openssl_end(unsigned char **memory)
{
    OPENSSL_free(*memory);
}

void keyfile_end(struct keyfile *file)
{
    free(file->uri);
    file->uri = NULL;
    bytes_end(&file->spki);
}

static bool string_is(const ASN1_STRING *string, const char *text)
{
    return (size_t)ASN1_STRING_length(string) == strlen(text) &&
           memcmp(ASN1_STRING_get0_data(string), text, strlen(text)) == 0;
}

/* NULL, or what is wrong with the URI. */
static const char *uri_take(char **out, const ASN1_STRING *string)
{
    size_t len = (size_t)ASN1_STRING_length(string);

    if (len == 0) {
        return "its URI is empty";
    }
    if (memchr(ASN1_STRING_get0_data(string), '\0', len) != NULL) {
        return "its URI has a zero byte";
    }
    *out = strndup((const char *)ASN1_STRING_get0_data(string), len);
    return *out == NULL ? "there is no memory for its URI" : NULL;
}

/* Whether octets start as our key does: SEQUENCE, UTF8String "signet key …". All else is somebody's software key. */
static bool looks_like_ours(const unsigned char *octets, size_t len)
{
    struct cursor outer = cursor_over(octets, len);
    struct cursor inside = cursor_der(&outer, V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED);
    struct cursor magic = cursor_der(&inside, V_ASN1_UTF8STRING);

    return !magic.failed && magic.left > strlen(MAGIC_STEM) && memcmp(magic.at, MAGIC_STEM, strlen(MAGIC_STEM)) == 0;
}

static const char *spki_take(struct bytes *out, X509_PUBKEY *spki, const X509_ALGOR *algorithm)
{
    SCOPED(openssl_end) unsigned char *der = NULL;
    X509_ALGOR *own;
    int len;

    if (!X509_PUBKEY_get0_param(NULL, NULL, NULL, &own, spki) || X509_ALGOR_cmp(own, algorithm) != 0) {
        return "its algorithm is not that of its public key";
    }
    len = i2d_X509_PUBKEY(spki, &der);
    return len > 0 && bytes_set(out, der, (size_t)len) ? NULL : "its public key makes no sense";
}

static const char *ours_read(struct keyfile *file, const unsigned char *octets, size_t len, const X509_ALGOR *algorithm)
{
    const unsigned char *at = octets;
    SCOPED(signet_key_end)
    SIGNET_KEY *key = (SIGNET_KEY *)ASN1_item_d2i(NULL, &at, (long)len, ASN1_ITEM_rptr(SIGNET_KEY));
    const char *wrong;

    if (key == NULL || at != octets + len) {
        return "it is cut off, or something follows the key";
    }
    if (!string_is(key->magic, SIGNET_KEY_FILE_MAGIC)) {
        return "it was written by a later version of Signet";
    }
    wrong = uri_take(&file->uri, key->uri);
    return wrong != NULL ? wrong : spki_take(&file->spki, key->spki, algorithm);
}

enum keyfile_kind keyfile_read(struct keyfile *out_file, const char **out_why, const unsigned char *der, size_t len)
{
    SCOPED(keyfile_end) struct keyfile file = { 0 };
    SCOPED(pkcs8_end) PKCS8_PRIV_KEY_INFO *info = NULL;
    const unsigned char *at = der;
    const unsigned char *octets;
    const X509_ALGOR *algorithm;
    int octets_len;

    ERR_set_mark();
    info = len > LONG_MAX ? NULL : d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)len);
    if (info == NULL || !PKCS8_pkey_get0(NULL, &octets, &octets_len, &algorithm, info) ||
        !looks_like_ours(octets, (size_t)octets_len)) {
        ERR_pop_to_mark();
        return KEYFILE_NOT_OURS;
    }
    *out_why = at != der + len ? "something follows the key" : ours_read(&file, octets, (size_t)octets_len, algorithm);
    ERR_pop_to_mark();
    if (*out_why != NULL) {
        return KEYFILE_BAD;
    }
    *out_file = STEAL(file);
    return KEYFILE_GOOD;
}

enum keyfile_kind keyfile_read_peers(struct keyfile *out_file, const char **out_why, const unsigned char *der,
                                     size_t len)
{
    SCOPED(keyfile_end) struct keyfile file = { 0 };
    SCOPED(peers_key_end) PEERS_KEY *key = NULL;
    const unsigned char *at = der;

    ERR_set_mark();
    key = len > LONG_MAX ? NULL : (PEERS_KEY *)ASN1_item_d2i(NULL, &at, (long)len, ASN1_ITEM_rptr(PEERS_KEY));
    ERR_pop_to_mark();
    if (key == NULL) {
        *out_why = "it is cut off, or no key file";
    } else if (at != der + len) {
        *out_why = "something follows the key";
    } else if (!string_is(key->magic, PEERS_MAGIC)) {
        *out_why = "its description is not \"" PEERS_MAGIC "\"";
    } else {
        *out_why = uri_take(&file.uri, key->uri);
    }
    if (*out_why != NULL) {
        return KEYFILE_BAD;
    }
    *out_file = STEAL(file);
    return KEYFILE_GOOD;
}

/* The octets of the privateKey field. */
static int octets_make(unsigned char **out, const char *uri, X509_PUBKEY **spki)
{
    SCOPED(signet_key_end) SIGNET_KEY *key = (SIGNET_KEY *)ASN1_item_new(ASN1_ITEM_rptr(SIGNET_KEY));

    if (key == NULL || !ASN1_STRING_set(key->magic, SIGNET_KEY_FILE_MAGIC, -1) || !ASN1_STRING_set(key->uri, uri, -1)) {
        return -1;
    }
    X509_PUBKEY_free(key->spki);
    key->spki = STEAL(*spki);
    return ASN1_item_i2d((ASN1_VALUE *)key, out, ASN1_ITEM_rptr(SIGNET_KEY));
}

static void spki_end(X509_PUBKEY **spki)
{
    X509_PUBKEY_free(*spki);
}

static void algorithm_end(X509_ALGOR **algorithm)
{
    X509_ALGOR_free(*algorithm);
}

/* PKCS8_pkey_set0 wants the algorithm in pieces; its parameter moves in. */
static bool algorithm_move(PKCS8_PRIV_KEY_INFO *info, X509_ALGOR *algorithm, unsigned char **octets, int len)
{
    ASN1_OBJECT *object = OBJ_dup(algorithm->algorithm);
    int type = algorithm->parameter == NULL ? V_ASN1_UNDEF : algorithm->parameter->type;
    void *value = algorithm->parameter == NULL ? NULL : algorithm->parameter->value.ptr;

    if (object == NULL || !PKCS8_pkey_set0(info, object, 0, type, value, *octets, len)) {
        ASN1_OBJECT_free(object);
        return false;
    }
    *octets = NULL;
    if (algorithm->parameter != NULL) {
        algorithm->parameter->type = V_ASN1_NULL;
        algorithm->parameter->value.ptr = NULL;
    }
    return true;
}

bool keyfile_write(struct bytes *out_der, const char *uri, const unsigned char *spki_der, size_t spki_len)
{
    const unsigned char *at = spki_der;
    SCOPED(spki_end) X509_PUBKEY *spki = d2i_X509_PUBKEY(NULL, &at, (long)spki_len);
    SCOPED(pkcs8_end) PKCS8_PRIV_KEY_INFO *info = PKCS8_PRIV_KEY_INFO_new();
    SCOPED(algorithm_end) X509_ALGOR *algorithm = NULL;
    SCOPED(openssl_end) unsigned char *octets = NULL;
    SCOPED(openssl_end) unsigned char *der = NULL;
    X509_ALGOR *own;
    int len;

    if (spki == NULL || info == NULL || !X509_PUBKEY_get0_param(NULL, NULL, NULL, &own, spki)) {
        return false;
    }
    algorithm = X509_ALGOR_dup(own);
    len = octets_make(&octets, uri, &spki);
    if (algorithm == NULL || len <= 0 || !algorithm_move(info, algorithm, &octets, len)) {
        return false;
    }
    len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    return len > 0 && bytes_set(out_der, der, (size_t)len);
}
