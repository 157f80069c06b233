/* Whose a public half is: every way in which tokens and people name keys, badly.
 *
 *     halves MODULE TOKEN PIN
 *
 * A key's objects get ids (its own, none, another key's, a very long one) and labels (likewise, or no text at all), and
 * its public half is shown by a public key, a certificate, both, another key's public key, nothing, or is given from a
 * file. Beside it there is always a pair of another key. Whatever is loaded must be a key, private and public half, that
 * exists; where it can't be told, there is an error that says why. Objects are of a session of this process. */
#include <dlfcn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/store.h>
#include <openssl/x509.h>
#include <p11-kit/pkcs11.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/tap.h"
#include "signet.h"

#define EDWARDS 0x40UL

static CK_FUNCTION_LIST *functions;
static CK_SESSION_HANDLE session;
static const char *token;
static EVP_PKEY *authority; /* which signs certificates */

struct value {
    unsigned char data[4096];
    size_t len;
};

static void check(CK_RV rv, const char *what)
{
    if (rv != CKR_OK) {
        fprintf(stderr, "halves: %s: 0x%lx\n", what, rv);
        exit(1);
    }
}

/* --- the token ---------------------------------------------------------------------------------------------------- */

static void module_open(const char *path, const char *pin)
{
    CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK };
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get_list;
    void *symbol = module == NULL ? NULL : dlsym(module, "C_GetFunctionList");
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    CK_TOKEN_INFO info;

    if (symbol == NULL) {
        exit(1);
    }
    memcpy(&get_list, &symbol, sizeof(get_list));
    check(get_list(&functions), "C_GetFunctionList");
    check(functions->C_Initialize(&args), "C_Initialize");
    check(functions->C_GetSlotList(CK_TRUE, slots, &count), "C_GetSlotList");
    for (CK_ULONG i = 0; i < count; i++) {
        if (functions->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            strncmp((const char *)info.label, token, strlen(token)) == 0) {
            check(functions->C_OpenSession(slots[i], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session),
                  "C_OpenSession");
            check(functions->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, (CK_ULONG)strlen(pin)), "C_Login");
            return;
        }
    }
    exit(1);
}

struct template {
    CK_ATTRIBUTE list[24];
    CK_ULONG count;
};

static void put(struct template *template, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
    template->list[template->count++] = (CK_ATTRIBUTE){ type, (void *)value, (CK_ULONG)len };
}

static CK_OBJECT_HANDLE create(struct template *template)
{
    CK_OBJECT_HANDLE object;

    check(functions->C_CreateObject(session, template->list, template->count, &object), "C_CreateObject");
    return object;
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

static void number(struct value *out, EVP_PKEY *key, const char *name)
{
    BIGNUM *value = NULL;

    out->len = EVP_PKEY_get_bn_param(key, name, &value) ? (size_t)BN_bn2bin(value, out->data) : 0;
    BN_free(value);
}

static void octets(struct value *out, EVP_PKEY *key, const char *name)
{
    if (!EVP_PKEY_get_octet_string_param(key, name, out->data, sizeof(out->data), &out->len)) {
        out->len = 0;
    }
}

/* DER of an OCTET STRING of less than 128 bytes. */
static void wrap(struct value *value)
{
    memmove(value->data + 2, value->data, value->len);
    value->data[0] = 4;
    value->data[1] = (unsigned char)value->len;
    value->len += 2;
}

static const struct {
    const char *name;
    CK_KEY_TYPE type;
    const char *params;
    size_t params_len;
    const char *generated;
    int agrees; /* and does not sign */
} types[] = {
    { "RSA", CKK_RSA, "", 0, "RSA", 0 },
    { "EC", CKK_EC, "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10, "EC", 0 },
    { "EC that does not sign", CKK_EC, "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10, "EC", 1 },
    { "ED25519", EDWARDS, "\x13\x0c" "edwards25519", 14, "ED25519", 0 },
    { "X25519", EDWARDS, "\x13\x0a" "curve25519", 12, "X25519", 1 },
};

static EVP_PKEY *generate(unsigned type)
{
    return types[type].type == CKK_RSA  ? EVP_PKEY_Q_keygen(NULL, "?provider=default", "RSA", (size_t)2048)
           : types[type].type == CKK_EC ? EVP_PKEY_Q_keygen(NULL, "?provider=default", "EC", "P-256")
                                        : EVP_PKEY_Q_keygen(NULL, "?provider=default", types[type].generated);
}

struct names {
    const unsigned char *id;
    size_t id_len;
    const unsigned char *label;
    size_t label_len;
};

static void put_names(struct template *template, const struct names *names)
{
    put(template, CKA_ID, names->id, names->id_len);
    put(template, CKA_LABEL, names->label, names->label_len);
}

static CK_OBJECT_HANDLE put_private(unsigned type, EVP_PKEY *key, const struct names *names)
{
    static const char *const rsa[] = { OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
                                       OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
                                       OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
                                       OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1 };
    static const CK_ATTRIBUTE_TYPE attributes[] = { CKA_MODULUS, CKA_PUBLIC_EXPONENT, CKA_PRIVATE_EXPONENT, CKA_PRIME_1,
                                                    CKA_PRIME_2, CKA_EXPONENT_1,      CKA_EXPONENT_2,       CKA_COEFFICIENT };
    static struct value values[8];
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    struct template template = { .count = 0 };

    put(&template, CKA_CLASS, &class, sizeof(class));
    put(&template, CKA_KEY_TYPE, &types[type].type, sizeof(CK_KEY_TYPE));
    put(&template, CKA_TOKEN, &no, 1);
    put(&template, CKA_PRIVATE, &yes, 1);
    put(&template, CKA_SENSITIVE, &yes, 1);
    put(&template, CKA_SIGN, types[type].agrees ? &no : &yes, 1);
    put(&template, CKA_DERIVE, types[type].agrees ? &yes : &no, 1);
    put_names(&template, names);
    if (types[type].type == CKK_RSA) {
        for (int i = 0; i < 8; i++) {
            number(&values[i], key, rsa[i]);
            put(&template, attributes[i], values[i].data, values[i].len);
        }
    } else {
        put(&template, CKA_EC_PARAMS, types[type].params, types[type].params_len);
        if (types[type].type == CKK_EC) {
            number(&values[0], key, OSSL_PKEY_PARAM_PRIV_KEY);
        } else {
            octets(&values[0], key, OSSL_PKEY_PARAM_PRIV_KEY);
        }
        put(&template, CKA_VALUE, values[0].data, values[0].len);
    }
    return create(&template);
}

static CK_OBJECT_HANDLE put_public(unsigned type, EVP_PKEY *key, const struct names *names)
{
    static struct value values[2];
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    CK_BBOOL no = CK_FALSE;
    struct template template = { .count = 0 };

    put(&template, CKA_CLASS, &class, sizeof(class));
    put(&template, CKA_KEY_TYPE, &types[type].type, sizeof(CK_KEY_TYPE));
    put(&template, CKA_TOKEN, &no, 1);
    put(&template, CKA_PRIVATE, &no, 1);
    put_names(&template, names);
    if (types[type].type == CKK_RSA) {
        number(&values[0], key, OSSL_PKEY_PARAM_RSA_N);
        number(&values[1], key, OSSL_PKEY_PARAM_RSA_E);
        put(&template, CKA_MODULUS, values[0].data, values[0].len);
        put(&template, CKA_PUBLIC_EXPONENT, values[1].data, values[1].len);
    } else {
        octets(&values[0], key, OSSL_PKEY_PARAM_PUB_KEY);
        if (types[type].type == CKK_EC && values[0].len == 33) { /* compressed */
            EVP_PKEY_set_utf8_string_param(key, OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, "uncompressed");
            octets(&values[0], key, OSSL_PKEY_PARAM_PUB_KEY);
        }
        wrap(&values[0]);
        put(&template, CKA_EC_PARAMS, types[type].params, types[type].params_len);
        put(&template, CKA_EC_POINT, values[0].data, values[0].len);
    }
    return create(&template);
}

static CK_OBJECT_HANDLE put_certificate(EVP_PKEY *key, const struct names *names)
{
    CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    CK_CERTIFICATE_TYPE kind = CKC_X_509;
    CK_BBOOL no = CK_FALSE;
    struct template template = { .count = 0 };
    X509 *certificate = X509_new();
    X509_NAME *name = X509_NAME_new();
    unsigned char *der = NULL;
    CK_OBJECT_HANDLE object;
    int len;

    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"halves", -1, -1, 0);
    X509_set_version(certificate, X509_VERSION_3);
    X509_set_subject_name(certificate, name);
    X509_set_issuer_name(certificate, name);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, authority, EVP_sha256());
    len = i2d_X509(certificate, &der);
    put(&template, CKA_CLASS, &class, sizeof(class));
    put(&template, CKA_CERTIFICATE_TYPE, &kind, sizeof(kind));
    put(&template, CKA_TOKEN, &no, 1);
    put(&template, CKA_PRIVATE, &no, 1);
    put_names(&template, names);
    put(&template, CKA_SUBJECT, "\x30\x00", 2);
    put(&template, CKA_VALUE, der, (size_t)len);
    object = create(&template);
    OPENSSL_free(der);
    X509_NAME_free(name);
    X509_free(certificate);
    return object;
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

static void escape(char *out, const unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        out += sprintf(out, "%%%02x", bytes[i]);
    }
    *out = '\0';
}

static void uri_of(char *out, const struct names *names)
{
    static char id[2048];
    static char label[2048];

    escape(id, names->id, names->id_len);
    escape(label, names->label, names->label_len);
    sprintf(out, "pkcs11:token=%s;type=private%s%s%s%s", token, *id != '\0' ? ";id=" : "", id,
            *label != '\0' ? ";object=" : "", label);
}

static int signs(EVP_PKEY *private_half, EVP_PKEY *public_half)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char sig[512];
    size_t len = sizeof(sig);
    const char *digest = EVP_PKEY_is_a(public_half, "ED25519") ? NULL : "SHA256";
    int good = EVP_DigestSignInit_ex(ctx, NULL, digest, NULL, NULL, private_half, NULL) > 0 &&
               EVP_DigestSign(ctx, sig, &len, (const unsigned char *)"text", 4) > 0;

    EVP_MD_CTX_free(ctx);
    ctx = EVP_MD_CTX_new();
    good = good && EVP_DigestVerifyInit_ex(ctx, NULL, digest, NULL, "?provider=default", public_half, NULL) > 0 &&
           EVP_DigestVerify(ctx, sig, len, (const unsigned char *)"text", 4) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

/* Two halves of one key agree with a third key on one secret. */
static int agree_on(unsigned char secret[128], EVP_PKEY *key, EVP_PKEY *peer)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    size_t len = 128;
    int good = EVP_PKEY_derive_init(ctx) > 0 && EVP_PKEY_derive_set_peer(ctx, peer) > 0 &&
               EVP_PKEY_derive(ctx, secret, &len) > 0;

    EVP_PKEY_CTX_free(ctx);
    return good ? (int)len : 0;
}

static int agrees(unsigned type, EVP_PKEY *key, EVP_PKEY *public_half)
{
    EVP_PKEY *third = generate(type);
    unsigned char one[128];
    unsigned char other[128];
    int len = agree_on(one, key, third);
    int good = len > 0 && agree_on(other, third, public_half) == len && memcmp(one, other, (size_t)len) == 0;

    EVP_PKEY_free(third);
    return good;
}

struct loaded {
    int own;     /* so often */
    int other;   /* likewise: the one beside it */
    int foreign; /* a half that is neither's, */
    int false_;  /* or one that its private key doesn't sign, or agree on secrets, for */
    char error[1024];
};

static void load(struct loaded *out, unsigned type, const char *uri, EVP_PKEY *own, EVP_PKEY *other, EVP_PKEY *given)
{
    unsigned char *der = NULL;
    int len = given != NULL ? i2d_PUBKEY(given, &der) : 0;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(SIGNET_STORE_PARAM_PUBLIC_KEY, der, (size_t)len),
        OSSL_PARAM_construct_end(),
    };
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(uri, NULL, NULL, NULL, NULL, given != NULL ? params : NULL, NULL, NULL);
    const char *data = "";
    int flags = 0;

    *out = (struct loaded){ .own = 0 };
    if (store != NULL) {
        OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY);
    }
    while (store != NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        EVP_PKEY *key = info == NULL ? NULL : OSSL_STORE_INFO_get0_PKEY(info);

        if (key == NULL) {
            OSSL_STORE_INFO_free(info);
            break;
        }
        out->own += EVP_PKEY_eq(key, own) == 1;
        out->other += EVP_PKEY_eq(key, other) == 1;
        out->foreign += EVP_PKEY_eq(key, own) != 1 && EVP_PKEY_eq(key, other) != 1;
        out->false_ += types[type].agrees ? !agrees(type, key, EVP_PKEY_eq(key, own) == 1 ? own : other)
                                           : !signs(key, key);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    while (out->error[0] == '\0' && ERR_get_error_all(NULL, NULL, NULL, &data, &flags) != 0) {
        snprintf(out->error, sizeof(out->error), "%s", (flags & ERR_TXT_STRING) != 0 ? data : "");
    }
    ERR_clear_error();
    OPENSSL_free(der);
}

/* --- the matrix --------------------------------------------------------------------------------------------------- */

enum source { PUBLIC, CERTIFICATE, BOTH, WRONG, NOTHING, GIVEN, NUM_SOURCES };
static const char *const source_names[] = { "a public key",         "a certificate", "both",
                                            "another's public key", "nothing",       "a file" };
enum { OWN, NONE, SHARED, LONG, ODD };
static const char *const id_names[] = { "its own id", "no id", "another key's id", "an id of 600 bytes" };
static const char *const label_names[] = { "its own label", "no label", "another key's label", "a label of 300 bytes",
                                           "a label that is no UTF-8" };

static unsigned char long_bytes[600];
static const struct names beside = { (const unsigned char *)"\x07", 1, (const unsigned char *)"beside", 6 };

static struct names names_of(unsigned id, unsigned label)
{
    static const struct {
        const char *bytes;
        size_t len;
    } ids[] = { { "\x02", 1 }, { "", 0 }, { "\x07", 1 }, { (const char *)long_bytes, 600 } },
      labels[] = { { "own", 3 }, { "", 0 }, { "beside", 6 }, { (const char *)long_bytes, 300 }, { "\xff\xc3\x28", 3 } };

    return (struct names){ (const unsigned char *)ids[id].bytes, ids[id].len, (const unsigned char *)labels[label].bytes,
                           labels[label].len };
}

struct keys {
    EVP_PKEY *own;
    EVP_PKEY *other;
    EVP_PKEY *strange; /* whose private half is nowhere */
};

static void cell(const struct keys *keys, unsigned type, unsigned id, unsigned label, enum source source)
{
    struct names names = names_of(id, label);
    EVP_PKEY *given = source == GIVEN ? keys->own : NULL;
    int shown = types[type].type == CKK_RSA || (source != WRONG && source != NOTHING);
    int is_named = names.id_len > 0 || names.label_len > 0;
    int ambiguous = given == NULL && (id == SHARED || id == NONE) && (label == SHARED || label == NONE);
    static char uri[8192];
    static char what[256];
    struct loaded all;
    struct loaded one;
    CK_OBJECT_HANDLE objects[3];
    int count = 0;

    objects[count++] = put_private(type, keys->own, &names);
    if (source == PUBLIC || source == BOTH || source == WRONG) {
        objects[count++] = put_public(type, source == WRONG ? keys->strange : keys->own, &names);
    }
    if (source == CERTIFICATE || source == BOTH) {
        objects[count++] = put_certificate(keys->own, &names);
    }
    uri_of(uri, &names);
    load(&one, type, uri, keys->own, keys->other, given);
    sprintf(uri, "pkcs11:token=%s;type=private", token);
    load(&all, type, uri, keys->own, keys->other, given);
    snprintf(what, sizeof(what), "%s, %s, %s, %s", types[type].name, id_names[id], label_names[label],
             source_names[source]);
    if (!ok(all.foreign == 0 && all.false_ == 0 && one.foreign == 0 && one.false_ == 0,
            "%s: no half is another's", what) ||
        !ok(all.own == shown && all.other == (given == NULL), "%s: a listing has the key if its half is to be had, and the other",
            what)) {
        printf("# own %d, other %d, foreign %d, false %d: %s\n", all.own, all.other, all.foreign, all.false_, all.error);
    }
    if (!ok(ambiguous && is_named ? (one.own == 0 || !shown) && one.error[0] != '\0'
            : shown               ? one.own == 1
            : is_named            ? one.own + one.other == 0 && strstr(one.error, "public half") != NULL
                                  : one.own == 0,
            "%s: by its names it is the key, or an error says why not", what)) {
        printf("# own %d, other %d, foreign %d, false %d: %s\n", one.own, one.other, one.foreign, one.false_, one.error);
    }
    while (count > 0) {
        check(functions->C_DestroyObject(session, objects[--count]), "C_DestroyObject");
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        return 2;
    }
    token = argv[2];
    memset(long_bytes, 'x', sizeof(long_bytes));
    authority = EVP_PKEY_Q_keygen(NULL, "?provider=default", "EC", "P-256");
    module_open(argv[1], argv[3]);
    for (unsigned type = 0; type < sizeof(types) / sizeof(*types); type++) {
        struct keys keys = { generate(type), generate(type), generate(type) };
        CK_OBJECT_HANDLE private_one = put_private(type, keys.other, &beside);
        CK_OBJECT_HANDLE public_one = put_public(type, keys.other, &beside);

        for (unsigned id = OWN; id <= LONG; id++) {
            for (unsigned label = OWN; label <= ODD; label++) {
                for (unsigned source = PUBLIC; source < NUM_SOURCES; source++) {
                    cell(&keys, type, id, label, (enum source)source);
                }
            }
        }
        check(functions->C_DestroyObject(session, private_one), "C_DestroyObject");
        check(functions->C_DestroyObject(session, public_one), "C_DestroyObject");
        EVP_PKEY_free(keys.own);
        EVP_PKEY_free(keys.other);
        EVP_PKEY_free(keys.strange);
    }
    EVP_PKEY_free(authority);
    return tap_done();
}
