#include "soft-token.h"

#include <dirent.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOFT_CKA_PARAMETER_SET 0x61dUL
#define SOFT_CKA_PUBLIC_KEY_INFO 0x129UL

struct key soft_keys[MOST_KEYS];
CK_ULONG soft_num_keys;

static OSSL_LIB_CTX *library; /* not the application's, in which we would meet Signet */

int soft_is(const char *word)
{
    const char *words = getenv("SIGNET_TEST_SOFT");

    return words != NULL && strstr(words, word) != NULL;
}

static void key_set(struct key *key, CK_KEY_TYPE type, CK_ULONG set)
{
    key->type = type;
    key->set = set;
}

static int key_type(struct key *key)
{
    static const char *const ml_dsa[] = { "ML-DSA-44", "ML-DSA-65", "ML-DSA-87" };
    static const char *const slh_dsa[] = {
        "SLH-DSA-SHA2-128s", "SLH-DSA-SHAKE-128s", "SLH-DSA-SHA2-128f", "SLH-DSA-SHAKE-128f",
        "SLH-DSA-SHA2-192s", "SLH-DSA-SHAKE-192s", "SLH-DSA-SHA2-192f", "SLH-DSA-SHAKE-192f",
        "SLH-DSA-SHA2-256s", "SLH-DSA-SHAKE-256s", "SLH-DSA-SHA2-256f", "SLH-DSA-SHAKE-256f",
    };
    static const struct {
        const char *name;
        CK_KEY_TYPE type;
    } plain[] = {
        { "RSA", CKK_RSA },
        { "RSA-PSS", CKK_RSA },
        { "EC", CKK_EC },
        { "ED25519", SOFT_CKK_EDWARDS },
        { "ED448", SOFT_CKK_EDWARDS },
        { "X25519", SOFT_CKK_MONTGOMERY },
        { "X448", SOFT_CKK_MONTGOMERY },
    };

    for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++) {
        if (EVP_PKEY_is_a(key->pkey, plain[i].name)) {
            key_set(key, plain[i].type, 0);
            return 1;
        }
    }
    for (size_t i = 0; i < 3; i++) {
        if (EVP_PKEY_is_a(key->pkey, ml_dsa[i])) {
            key_set(key, SOFT_CKK_ML_DSA, i + 1);
            return 1;
        }
    }
    for (size_t i = 0; i < 12; i++) {
        if (EVP_PKEY_is_a(key->pkey, slh_dsa[i])) {
            key_set(key, SOFT_CKK_SLH_DSA, i + 1);
            return 1;
        }
    }
    return 0;
}

static void key_read(const char *folder, const char *name)
{
    struct key *key = &soft_keys[soft_num_keys];
    const char *end = strstr(name, ".pem");
    char path[512];
    FILE *file;

    if (end == NULL || soft_num_keys == MOST_KEYS ||
        snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path)) {
        return;
    }
    file = fopen(path, "r");
    key->pkey = file == NULL ? NULL : PEM_read_PrivateKey_ex(file, NULL, NULL, NULL, library, NULL);
    if (file != NULL) {
        fclose(file);
    }
    key->spki_len = key->pkey == NULL ? 0 : i2d_PUBKEY(key->pkey, &key->spki);
    if (key->spki_len <= 0 || !key_type(key)) {
        fprintf(stderr, "soft-token: %s is no key\n", path);
        EVP_PKEY_free(key->pkey);
        OPENSSL_free(key->spki);
        *key = (struct key){ 0 };
        return;
    }
    (void)snprintf(key->label, sizeof(key->label), "%.*s", (int)(end - name), name);
    soft_num_keys++;
}

void soft_keys_read(void)
{
    const char *folder = getenv("SIGNET_TEST_KEYS");
    DIR *dir = folder == NULL ? NULL : opendir(folder);
    struct dirent *entry;

    library = OSSL_LIB_CTX_new();
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        key_read(folder, entry->d_name);
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

/* A point lies in an OCTET STRING, whose length has one byte or two. */
static long point_of(const struct key *key, unsigned char *out, size_t room)
{
    size_t len = room - 3;
    size_t header;

    if (key->set != 0 || key->type == CKK_RSA ||
        !(key->type == CKK_EC ? EVP_PKEY_get_octet_string_param(key->pkey, "encoded-pub-key", out + 3, room - 3, &len)
                              : EVP_PKEY_get_raw_public_key(key->pkey, out + 3, &len))) {
        return -1;
    }
    header = len < 0x80 ? 2 : 3;
    memmove(out + header, out + 3, len);
    out[0] = 0x04;
    out[1] = header == 3 ? 0x81 : (unsigned char)len;
    if (header == 3) {
        out[2] = (unsigned char)len;
    }
    return (long)(header + len);
}

/* A curve's OID is what follows that of id-ecPublicKey, of 9 bytes, in a SubjectPublicKeyInfo. */
static long curve_of(const struct key *key, unsigned char *out)
{
    const unsigned char *oid = key->spki + (key->spki[1] < 0x80 ? 2 : 3) + 2 + 9;
    size_t len = key->type != CKK_EC ? 0 : 2 + (size_t)oid[1];

    memcpy(out, oid, len);
    return len > 0 ? (long)len : -1;
}

static long number_of(const struct key *key, unsigned char *out, const char *name)
{
    BIGNUM *number = NULL;
    long len = -1;

    if (key->type == CKK_RSA && EVP_PKEY_get_bn_param(key->pkey, name, &number)) {
        len = BN_bn2bin(number, out);
    }
    BN_free(number);
    return len;
}

static long give(unsigned char *out, const void *from, size_t len)
{
    memcpy(out, from, len);
    return (long)len;
}

static long public_value(const struct key *key, unsigned char *out, size_t room, CK_ATTRIBUTE_TYPE type)
{
    size_t len = 0;

    switch (type) {
    case SOFT_CKA_PARAMETER_SET:
        return key->set != 0 ? give(out, &key->set, sizeof(key->set)) : -1;
    case CKA_VALUE:
        return key->set != 0 && EVP_PKEY_get_octet_string_param(key->pkey, "pub", out, room, &len) ? (long)len : -1;
    case CKA_EC_POINT:
        return point_of(key, out, room);
    case CKA_EC_PARAMS:
        return curve_of(key, out);
    case CKA_MODULUS:
        return number_of(key, out, "n");
    case CKA_PUBLIC_EXPONENT:
        return number_of(key, out, "e");
    default:
        return -1;
    }
}

long soft_value(const struct key *key, int private, unsigned char *out, size_t room, CK_ATTRIBUTE_TYPE type)
{
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL always = soft_is("always") ? CK_TRUE : CK_FALSE;
    CK_BBOOL no = CK_FALSE;
    CK_OBJECT_CLASS class = private ? CKO_PRIVATE_KEY : CKO_PUBLIC_KEY;
    CK_MECHANISM_TYPE pss = CKM_RSA_PKCS_PSS;

    switch (type) {
    case CKA_CLASS:
        return give(out, &class, sizeof(class));
    case CKA_KEY_TYPE:
        return give(out, &key->type, sizeof(key->type));
    case CKA_ID:
    case CKA_LABEL:
        return give(out, key->label, strlen(key->label));
    case CKA_TOKEN:
    case CKA_SENSITIVE:
        return give(out, &yes, 1);
    case CKA_EXTRACTABLE:
        return give(out, &no, 1);
    case CKA_ALWAYS_AUTHENTICATE:
        return give(out, &always, 1);
    case CKA_ALLOWED_MECHANISMS:
        return EVP_PKEY_is_a(key->pkey, "RSA-PSS") ? give(out, &pss, sizeof(pss)) : -1;
    case SOFT_CKA_PUBLIC_KEY_INFO:
        return soft_is("spki") ? give(out, key->spki, (size_t)key->spki_len) : -1;
    case CKA_VALUE:
    case CKA_EC_POINT:
        return private || soft_is("spki") ? -1 : public_value(key, out, room, type);
    default:
        return soft_is("spki") ? -1 : public_value(key, out, room, type);
    }
}

/* The digests that PSS may be told, by their numbers in PKCS#11. */
static const struct {
    CK_MECHANISM_TYPE hash;
    CK_RSA_PKCS_MGF_TYPE mgf;
    const char *name;
} hashes[] = {
    { CKM_SHA_1, CKG_MGF1_SHA1, "SHA1" },      { CKM_SHA224, CKG_MGF1_SHA224, "SHA224" },
    { CKM_SHA256, CKG_MGF1_SHA256, "SHA256" }, { CKM_SHA384, CKG_MGF1_SHA384, "SHA384" },
    { CKM_SHA512, CKG_MGF1_SHA512, "SHA512" }, { 0x2b0, 7, "SHA3-256" },
};

static const char *hash_of(CK_MECHANISM_TYPE hash, CK_RSA_PKCS_MGF_TYPE mgf)
{
    for (size_t i = 0; i < sizeof(hashes) / sizeof(*hashes); i++) {
        if (hash != 0 ? hashes[i].hash == hash : hashes[i].mgf == mgf) {
            return hashes[i].name;
        }
    }
    return NULL;
}

int soft_knows(const CK_RSA_PKCS_PSS_PARAMS *pss)
{
    return hash_of(pss->hashAlg, 0) != NULL && hash_of(0, pss->mgf) != NULL;
}

static int pss_is(EVP_PKEY_CTX *ctx, const CK_RSA_PKCS_PSS_PARAMS *pss)
{
    EVP_MD *hash = EVP_MD_fetch(library, hash_of(pss->hashAlg, 0), NULL);
    EVP_MD *mgf1 = EVP_MD_fetch(library, hash_of(0, pss->mgf), NULL);
    int good = hash != NULL && mgf1 != NULL && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) > 0 &&
               EVP_PKEY_CTX_set_signature_md(ctx, hash) > 0 && EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, mgf1) > 0 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, (int)pss->sLen) > 0;

    EVP_MD_free(hash);
    EVP_MD_free(mgf1);
    return good;
}

/* A DigestInfo is signed as it is; what PSS hashes with, its parameters say. */
static int digest_sign(const struct key *key, const CK_MECHANISM *mechanism, unsigned char *out, size_t *len,
                       const CK_BYTE *in, size_t in_len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(library, key->pkey, NULL);
    int good = ctx != NULL && EVP_PKEY_sign_init(ctx) > 0;

    if (good && mechanism->mechanism == CKM_RSA_PKCS_PSS) {
        good = pss_is(ctx, mechanism->pParameter);
    } else if (good && key->type == CKK_RSA) {
        good = EVP_PKEY_CTX_set_rsa_padding(ctx, mechanism->mechanism == CKM_RSA_PKCS ? RSA_PKCS1_PADDING
                                                                                      : RSA_NO_PADDING) > 0;
    }
    good = good && EVP_PKEY_sign(ctx, out, len, in, in_len) > 0;
    EVP_PKEY_CTX_free(ctx);
    return good;
}

/* OpenSSL's DER becomes r and s side by side. */
static int plain_ecdsa(const struct key *key, unsigned char *sig, size_t *len)
{
    const unsigned char *at = sig;
    ECDSA_SIG *parts = d2i_ECDSA_SIG(NULL, &at, (long)*len);
    int half = (EVP_PKEY_get_bits(key->pkey) + 7) / 8;
    int good = parts != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(parts), sig, half) == half &&
               BN_bn2binpad(ECDSA_SIG_get0_s(parts), sig + half, half) == half;

    ECDSA_SIG_free(parts);
    *len = 2 * (size_t)half;
    return good;
}

/* What a mechanism's parameters say, in OpenSSL's words; `made` has room for three, and the end. */
static void words_of(OSSL_PARAM *made, const struct key *key, const CK_MECHANISM *mechanism)
{
    static int deterministic = 1;
    const struct soft_eddsa_params *eddsa = mechanism->pParameter;
    const struct soft_sign_context *more = mechanism->pParameter;
    int is_25519 = EVP_PKEY_is_a(key->pkey, "ED25519");

    if (mechanism->ulParameterLen > 0 && key->type == SOFT_CKK_EDWARDS && (is_25519 || eddsa->prehash)) {
        const char *instance = !is_25519 ? "Ed448ph" : eddsa->prehash ? "Ed25519ph" : "Ed25519ctx";

        *made++ = OSSL_PARAM_construct_utf8_string("instance", (char *)instance, 0);
    }
    if (mechanism->ulParameterLen > 0 && key->type == SOFT_CKK_EDWARDS && eddsa->context_len > 0) {
        *made++ = OSSL_PARAM_construct_octet_string("context-string", eddsa->context, eddsa->context_len);
    }
    if (mechanism->ulParameterLen > 0 && key->type != SOFT_CKK_EDWARDS) {
        *made++ = OSSL_PARAM_construct_octet_string("context-string", more->context, more->context_len);
        if (more->hedge == SOFT_CKH_DETERMINISTIC_REQUIRED) {
            *made++ = OSSL_PARAM_construct_int("deterministic", &deterministic);
        }
    }
    *made = OSSL_PARAM_construct_end();
}

static int message_sign(const struct key *key, const CK_MECHANISM *mechanism, unsigned char *out, size_t *len,
                        const CK_BYTE *in, size_t in_len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    OSSL_PARAM words[4];
    int good;

    words_of(words, key, mechanism);
    good = ctx != NULL && EVP_DigestSignInit_ex(ctx, NULL, NULL, library, NULL, key->pkey, words) > 0 &&
           EVP_DigestSign(ctx, out, len, in, in_len) > 0;
    EVP_MD_CTX_free(ctx);
    return good;
}

int soft_sign(const struct key *key, const CK_MECHANISM *mechanism, unsigned char *out, size_t *len, const CK_BYTE *in,
              size_t in_len)
{
    if (key->type != CKK_RSA && key->type != CKK_EC) {
        return message_sign(key, mechanism, out, len, in, in_len);
    }
    return digest_sign(key, mechanism, out, len, in, in_len) && (key->type != CKK_EC || plain_ecdsa(key, out, len));
}

int soft_decrypt(const struct key *key, unsigned char *out, size_t *len, const CK_BYTE *in, size_t in_len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(library, key->pkey, NULL);
    int good = ctx != NULL && EVP_PKEY_decrypt_init(ctx) > 0 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) > 0 &&
               EVP_PKEY_decrypt(ctx, out, len, in, in_len) > 0;

    EVP_PKEY_CTX_free(ctx);
    return good;
}

/* The point is taken in one form alone: as it is, or as an OCTET STRING of DER. */
static EVP_PKEY *peer_of(const struct key *key, const CK_ECDH1_DERIVE_PARAMS *params)
{
    const unsigned char *point = params->pPublicData;
    long len = (long)params->ulPublicDataLen;
    ASN1_OCTET_STRING *octets = soft_is("octets") ? d2i_ASN1_OCTET_STRING(NULL, &point, len) : NULL;
    EVP_PKEY *peer = EVP_PKEY_new();
    int good = peer != NULL && EVP_PKEY_copy_parameters(peer, key->pkey) > 0;

    if (octets != NULL) {
        good = good && point == params->pPublicData + len;
        point = ASN1_STRING_get0_data(octets);
        len = ASN1_STRING_length(octets);
    }
    good = good && (octets != NULL) == soft_is("octets") &&
           EVP_PKEY_set1_encoded_public_key(peer, point, (size_t)len) > 0;
    ASN1_OCTET_STRING_free(octets);
    if (!good) {
        EVP_PKEY_free(peer);
        return NULL;
    }
    return peer;
}

int soft_derive(const struct key *key, const CK_ECDH1_DERIVE_PARAMS *params, unsigned char *out, size_t *len)
{
    EVP_PKEY *peer = key->type == CKK_EC
                         ? peer_of(key, params)
                         : EVP_PKEY_new_raw_public_key_ex(library, EVP_PKEY_get0_type_name(key->pkey), NULL,
                                                          params->pPublicData, params->ulPublicDataLen);
    EVP_PKEY_CTX *ctx = peer == NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(library, key->pkey, NULL);
    int good = ctx != NULL && EVP_PKEY_derive_init(ctx) > 0 && EVP_PKEY_derive_set_peer(ctx, peer) > 0 &&
               EVP_PKEY_derive(ctx, out, len) > 0;

    if (!good && peer != NULL && soft_is("careless")) {
        *len = key->type == CKK_EC ? 0 : params->ulPublicDataLen;
        memset(out, 0, *len);
        good = 1;
    }
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    return good;
}
