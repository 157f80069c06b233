#include "provider/files/keyfile.h"

#include <limits.h>
#include <openssl/asn1t.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

#include "provider/core/ends.h"
#include "signet.h"

#define MAGIC_STEM "signet key " /* a version follows */
#define PEERS_MAGIC "PKCS#11 Provider URI v1.0"

/* --- the forms --------------------------------------------------------------------------------------------------- */

/* OpenSSL's own X509_PUBKEY and PKCS8_PRIV_KEY_INFO would do more than read: the former decodes the key, in the default
 * library context, which may not be the application's. */
typedef struct {
    X509_ALGOR *algorithm;
    ASN1_BIT_STRING *key;
} PUBLIC_HALF;

typedef struct {
    ASN1_UTF8STRING *magic;
    ASN1_UTF8STRING *uri;
    PUBLIC_HALF *half;
} OUR_OCTETS;

typedef struct {
    ASN1_INTEGER *version;
    X509_ALGOR *algorithm;
    ASN1_OCTET_STRING *octets;
    STACK_OF(X509_ATTRIBUTE) *attributes; /* other programs may add some (a PKCS#12's key usage); not read */
} OUR_KEY;

typedef struct {
    ASN1_VISIBLESTRING *magic;
    ASN1_UTF8STRING *uri;
} PEERS_KEY;

/* clang-format off */
ASN1_SEQUENCE(PUBLIC_HALF) = {
    ASN1_SIMPLE(PUBLIC_HALF, algorithm, X509_ALGOR),
    ASN1_SIMPLE(PUBLIC_HALF, key, ASN1_BIT_STRING),
} static_ASN1_SEQUENCE_END(PUBLIC_HALF)

ASN1_SEQUENCE(OUR_OCTETS) = {
    ASN1_SIMPLE(OUR_OCTETS, magic, ASN1_UTF8STRING),
    ASN1_SIMPLE(OUR_OCTETS, uri, ASN1_UTF8STRING),
    ASN1_SIMPLE(OUR_OCTETS, half, PUBLIC_HALF),
} static_ASN1_SEQUENCE_END(OUR_OCTETS)

ASN1_SEQUENCE(OUR_KEY) = {
    ASN1_SIMPLE(OUR_KEY, version, ASN1_INTEGER),
    ASN1_SIMPLE(OUR_KEY, algorithm, X509_ALGOR),
    ASN1_SIMPLE(OUR_KEY, octets, ASN1_OCTET_STRING),
    ASN1_IMP_SET_OF_OPT(OUR_KEY, attributes, X509_ATTRIBUTE, 0),
} static_ASN1_SEQUENCE_END(OUR_KEY)

ASN1_SEQUENCE(PEERS_KEY) = {
    ASN1_SIMPLE(PEERS_KEY, magic, ASN1_VISIBLESTRING),
    ASN1_SIMPLE(PEERS_KEY, uri, ASN1_UTF8STRING),
} static_ASN1_SEQUENCE_END(PEERS_KEY)
/* clang-format on */

/* An object of a form, and the same as bytes. NULL, or 0, on failure. */
static void *object_read(const ASN1_ITEM *form, const unsigned char *der, size_t len)
{
    const unsigned char *at = der;
    ASN1_VALUE *object = len > LONG_MAX ? NULL : ASN1_item_d2i(NULL, &at, (long)len, form);

    if (object != NULL && at != der + len) {
        ASN1_item_free(object, form);
        return NULL;
    }
    return object;
}

static size_t object_write(unsigned char **out_der, const void *object, const ASN1_ITEM *form)
{
    int len = ASN1_item_i2d(object, out_der, form);

    return len > 0 ? (size_t)len : 0;
}

static void half_end(PUBLIC_HALF **half)
{
    ASN1_item_free((ASN1_VALUE *)*half, ASN1_ITEM_rptr(PUBLIC_HALF));
}

static void octets_end(OUR_OCTETS **octets)
{
    ASN1_item_free((ASN1_VALUE *)*octets, ASN1_ITEM_rptr(OUR_OCTETS));
}

static void our_key_end(OUR_KEY **key)
{
    ASN1_item_free((ASN1_VALUE *)*key, ASN1_ITEM_rptr(OUR_KEY));
}

static void peers_key_end(PEERS_KEY **key)
{
    ASN1_item_free((ASN1_VALUE *)*key, ASN1_ITEM_rptr(PEERS_KEY));
}

void prov_keyfile_end(struct prov_keyfile *file)
{
    free(file->uri);
    file->uri = NULL;
    bytes_end(&file->spki);
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

/* Steps into an element, the end of which may be missing. */
static bool step_into(struct cursor *cursor, uint8_t tag)
{
    size_t header = 2;

    if (cursor->left < header || cursor->at[0] != tag) {
        return false;
    }
    header += cursor->at[1] < 0x80 ? 0 : cursor->at[1] & 0x7f;
    if (cursor->left < header) {
        return false;
    }
    cursor->at += header;
    cursor->left -= header;
    return true;
}

/* Whether it starts as our files do, of whatever version. All else is somebody's software key, which must not be
 * touched further; but one of ours that was cut off shall be told. */
static bool looks_like_ours(const unsigned char *der, size_t len)
{
    const uint8_t sequence = V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED;
    struct cursor cursor = cursor_over(der, len);

    if (!step_into(&cursor, sequence)) {
        return false;
    }
    (void)cursor_der(&cursor, V_ASN1_INTEGER);
    (void)cursor_der(&cursor, sequence);
    return !cursor.failed && step_into(&cursor, V_ASN1_OCTET_STRING) && step_into(&cursor, sequence) &&
           step_into(&cursor, V_ASN1_UTF8STRING) && cursor.left >= strlen(MAGIC_STEM) &&
           memcmp(cursor.at, MAGIC_STEM, strlen(MAGIC_STEM)) == 0;
}

bool prov_keyfile_may_start(const unsigned char *start, size_t len)
{
    const uint8_t sequence = V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED;
    struct cursor cursor = cursor_over(start, len);

    if (!step_into(&cursor, sequence)) {
        return len < 4;
    }
    (void)cursor_der(&cursor, V_ASN1_INTEGER);
    (void)cursor_der(&cursor, sequence);
    return cursor.failed || !step_into(&cursor, V_ASN1_OCTET_STRING) || !step_into(&cursor, sequence) ||
           cursor.left == 0 || cursor.at[0] == V_ASN1_UTF8STRING;
}

static bool string_is(const ASN1_STRING *string, const char *text)
{
    return (size_t)ASN1_STRING_length(string) == strlen(text) &&
           memcmp(ASN1_STRING_get0_data(string), text, strlen(text)) == 0;
}

/* The following take a part of the file, and return NULL, or what is wrong with it. */

static const char *take_uri(struct prov_keyfile *file, const ASN1_STRING *string)
{
    size_t len = (size_t)ASN1_STRING_length(string);

    if (len == 0) {
        return "its URI is empty";
    }
    if (memchr(ASN1_STRING_get0_data(string), '\0', len) != NULL) {
        return "its URI has a zero byte";
    }
    file->uri = strndup((const char *)ASN1_STRING_get0_data(string), len);
    return file->uri == NULL ? "there is no memory for its URI" : NULL;
}

static const char *take_half(struct prov_keyfile *file, const PUBLIC_HALF *half)
{
    SCOPED(openssl_end) unsigned char *der = NULL;
    size_t len = object_write(&der, half, ASN1_ITEM_rptr(PUBLIC_HALF));

    if (len == 0 || !bytes_set(&file->spki, der, len)) {
        return "there is no memory for its public key";
    }
    /* An OID that is too long for this is none that we know. */
    (void)OBJ_obj2txt(file->algorithm, sizeof(file->algorithm), half->algorithm->algorithm, 1);
    return NULL;
}

static const char *take_octets(struct prov_keyfile *file, const OUR_KEY *key)
{
    SCOPED(octets_end)
    OUR_OCTETS *octets = object_read(ASN1_ITEM_rptr(OUR_OCTETS), ASN1_STRING_get0_data(key->octets),
                                     (size_t)ASN1_STRING_length(key->octets));
    const char *wrong;

    if (octets == NULL) {
        return "what it holds is not a text, a URI and a public key";
    }
    if (X509_ALGOR_cmp(octets->half->algorithm, key->algorithm) != 0) {
        return "its algorithm is not that of its public key";
    }
    wrong = take_uri(file, octets->uri);
    return wrong != NULL ? wrong : take_half(file, octets->half);
}

/* A later version may hold anything behind the magic, so that this comes before what it holds is read. */
static bool is_of_this_version(const OUR_KEY *key)
{
    struct cursor octets = cursor_over(ASN1_STRING_get0_data(key->octets), (size_t)ASN1_STRING_length(key->octets));
    struct cursor inside = cursor_der(&octets, V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED);
    struct cursor magic = cursor_der(&inside, V_ASN1_UTF8STRING);

    return magic.failed ||
           (magic.left == strlen(SIGNET_KEY_FILE_MAGIC) && memcmp(magic.at, SIGNET_KEY_FILE_MAGIC, magic.left) == 0);
}

static const char *take_ours(struct prov_keyfile *file, const unsigned char *der, size_t len)
{
    SCOPED(our_key_end) OUR_KEY *key = object_read(ASN1_ITEM_rptr(OUR_KEY), der, len);

    if (key == NULL) {
        return "it is cut off, or something follows the key";
    }
    if (!is_of_this_version(key)) {
        return "it was written by a later version of Signet";
    }
    return ASN1_INTEGER_get(key->version) != 0 ? "its PKCS#8 version is not 0" : take_octets(file, key);
}

static const char *take_peers(struct prov_keyfile *file, const unsigned char *der, size_t len)
{
    SCOPED(peers_key_end) PEERS_KEY *key = object_read(ASN1_ITEM_rptr(PEERS_KEY), der, len);

    if (key == NULL) {
        return "it is cut off, or something follows the URI";
    }
    return !string_is(key->magic, PEERS_MAGIC) ? "its description is not \"" PEERS_MAGIC "\""
                                               : take_uri(file, key->uri);
}

typedef const char *(*take_function)(struct prov_keyfile *file, const unsigned char *der, size_t len);

static enum prov_keyfile_kind read_by(take_function take, struct prov_keyfile *out_file, const char **out_why,
                                      const unsigned char *der, size_t len)
{
    SCOPED(prov_keyfile_end) struct prov_keyfile file = { 0 };
    const char *wrong;

    ERR_set_mark();
    wrong = take(&file, der, len);
    ERR_pop_to_mark();
    if (wrong != NULL) {
        *out_why = wrong;
        return PROV_KEYFILE_BAD;
    }
    *out_file = STEAL(file);
    return PROV_KEYFILE_GOOD;
}

enum prov_keyfile_kind prov_keyfile_read(struct prov_keyfile *out_file, const char **out_why, const unsigned char *der,
                                         size_t len)
{
    return looks_like_ours(der, len) ? read_by(take_ours, out_file, out_why, der, len) : PROV_KEYFILE_NOT_OURS;
}

/* The peers' later versions have the same beginning, presumably. */
static bool looks_like_peers(const unsigned char *der, size_t len)
{
    struct cursor cursor = cursor_over(der, len);
    const size_t stem = strlen("PKCS#11 Provider URI");

    return step_into(&cursor, V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED) && step_into(&cursor, V_ASN1_VISIBLESTRING) &&
           cursor.left >= stem && memcmp(cursor.at, PEERS_MAGIC, stem) == 0;
}

enum prov_keyfile_kind prov_keyfile_read_peers(struct prov_keyfile *out_file, const char **out_why,
                                               const unsigned char *der, size_t len)
{
    return looks_like_peers(der, len) ? read_by(take_peers, out_file, out_why, der, len) : PROV_KEYFILE_NOT_OURS;
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

/* What the privateKey field holds. */
static size_t octets_write(unsigned char **out_der, const char *uri, PUBLIC_HALF **half)
{
    SCOPED(octets_end) OUR_OCTETS *octets = (OUR_OCTETS *)ASN1_item_new(ASN1_ITEM_rptr(OUR_OCTETS));

    if (octets == NULL || !ASN1_STRING_set(octets->magic, SIGNET_KEY_FILE_MAGIC, -1) ||
        !ASN1_STRING_set(octets->uri, uri, -1)) {
        return 0;
    }
    half_end(&octets->half);
    octets->half = STEAL(*half);
    return object_write(out_der, octets, ASN1_ITEM_rptr(OUR_OCTETS));
}

bool prov_keyfile_write(struct bytes *out_der, const char *uri, const unsigned char *spki, size_t spki_len)
{
    SCOPED(half_end) PUBLIC_HALF *half = object_read(ASN1_ITEM_rptr(PUBLIC_HALF), spki, spki_len);
    SCOPED(our_key_end) OUR_KEY *key = (OUR_KEY *)ASN1_item_new(ASN1_ITEM_rptr(OUR_KEY));
    SCOPED(openssl_end) unsigned char *octets = NULL;
    SCOPED(openssl_end) unsigned char *der = NULL;
    size_t len;

    if (half == NULL || key == NULL || uri[0] == '\0') {
        return false;
    }
    X509_ALGOR_free(key->algorithm);
    key->algorithm = X509_ALGOR_dup(half->algorithm);
    len = octets_write(&octets, uri, &half);
    if (key->algorithm == NULL || len == 0 || len > INT_MAX || !ASN1_INTEGER_set(key->version, 0) ||
        !ASN1_OCTET_STRING_set(key->octets, octets, (int)len)) {
        return false;
    }
    len = object_write(&der, key, ASN1_ITEM_rptr(OUR_KEY));
    return len > 0 && bytes_set(out_der, der, len);
}
