/* ECDSA on a token: the digest is made here, the token signs it and gives r and s. PKCS#11 v2.40 mechanisms §2.3, RFC
 * 3279. */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

#include "provider/core/ends.h"
#include "provider/core/software.h"
#include "provider/keys/alg-ec.h"
#include "provider/keys/variant.h"

/* Mechanisms with which a token hashes for itself. */
static const struct {
    int nid;
    CK_MECHANISM_TYPE type;
} hashing[] = {
    { NID_sha1, CKM_ECDSA_SHA1 },     { NID_sha224, CKM_ECDSA_SHA224 }, { NID_sha256, CKM_ECDSA_SHA256 },
    { NID_sha384, CKM_ECDSA_SHA384 }, { NID_sha512, CKM_ECDSA_SHA512 },
};

static bool ec_choice(struct prov_choice *out, const struct prov_scheme *scheme, unsigned way)
{
    if (way == 0) {
        *out = (struct prov_choice){ .type = CKM_ECDSA };
        return true;
    }
    for (size_t i = 0; way == 1 && scheme->digest != NULL && i < COUNT_OF(hashing); i++) {
        if (hashing[i].nid == EVP_MD_get_type(scheme->digest)) {
            *out = (struct prov_choice){ .type = hashing[i].type, .message = true };
            return true;
        }
    }
    return false;
}

/* Only the leftmost bits of a digest count, as many as the group's order has (FIPS 186-5 §6.4.1); not every token cuts
 * them itself. Orders whose bits are no multiple of eight are left to the token. */
static struct tok_result ec_prepare(struct prov_mechanism *out, const struct prov_scheme *scheme,
                                    const struct prov_choice *choice, const struct prov_data *data)
{
    size_t order_len = (scheme->key_bits + 7) / 8;
    size_t len = data->digest_len > order_len && scheme->key_bits % 8 == 0 ? order_len : data->digest_len;

    if (len == 0 || (scheme->digest != NULL && (size_t)EVP_MD_get_size(scheme->digest) != data->digest_len)) {
        return tok_fail(TOK_CODE_BAD_ARGUMENT, "%zu bytes are no %s digest", data->digest_len,
                        scheme->digest != NULL ? EVP_MD_get0_name(scheme->digest) : "");
    }
    out->mechanism = (CK_MECHANISM){ choice->type, NULL, 0 };
    out->in = choice->message ? data->message : data->digest;
    out->in_len = choice->message ? data->message_len : len;
    return tok_good();
}

/* An INTEGER of a number without its leading zeros, but with one before a high bit (X.690 §8.3). Short form of the
 * length only: no group's order has more than 126 bytes. Returns its end. */
static uint8_t *der_integer(uint8_t *out, const uint8_t *number, size_t len)
{
    bool high;

    while (len > 1 && number[0] == 0) {
        number++;
        len--;
    }
    high = (number[0] & 0x80) != 0;
    *out++ = 0x02;
    *out++ = (uint8_t)(len + (high ? 1 : 0));
    if (high) {
        *out++ = 0;
    }
    memcpy(out, number, len);
    return out + len;
}

#define MOST_ORDER_BYTES 126
#define DER_MOST (4 + 2 * (3 + MOST_ORDER_BYTES))

/* r and s side by side become a DER SEQUENCE (RFC 3279 §2.2.3). By hand: libcrypto's ECDSA_SIG takes a sixtieth of the
 * time that a soft token needs for the whole signature. */
static bool ec_shape(uint8_t *sig, size_t *len, size_t size)
{
    uint8_t integers[DER_MOST];
    size_t half = *len / 2;
    uint8_t *at = sig;
    size_t integers_len;

    if (half == 0 || half > size || half > MOST_ORDER_BYTES || *len % 2 != 0) {
        return false;
    }
    integers_len = (size_t)(der_integer(der_integer(integers, sig, half), sig + half, half) - integers);
    *at++ = 0x30;
    if (integers_len >= 0x100) {
        *at++ = 0x82;
        *at++ = (uint8_t)(integers_len >> 8);
    } else if (integers_len >= 0x80) {
        *at++ = 0x81;
    }
    *at++ = (uint8_t)integers_len;
    memcpy(at, integers, integers_len);
    *len = (size_t)(at - sig) + integers_len;
    return true;
}

static void spki_end(X509_PUBKEY **spki)
{
    X509_PUBKEY_free(*spki);
}

/* AlgorithmIdentifier with the token's own parameters: a curve by OID, or written out. Both arguments of
 * X509_PUBKEY_set0_param move in; but for a value of type 0, which it takes for none. */
static bool spki_fill(X509_PUBKEY *spki, const struct tok_public *half)
{
    const unsigned char *at = half->params.data;
    ASN1_TYPE *params = d2i_ASN1_TYPE(NULL, &at, (long)half->params.len);
    unsigned char *point = OPENSSL_memdup(half->point.data, half->point.len);
    bool filled = false;

    if (params != NULL && point != NULL && (params->type == V_ASN1_OBJECT || params->type == V_ASN1_SEQUENCE)) {
        filled = X509_PUBKEY_set0_param(spki, OBJ_nid2obj(NID_X9_62_id_ecPublicKey), params->type, params->value.ptr,
                                        point, (int)half->point.len) == 1;
    }
    if (filled) {
        params->type = V_ASN1_NULL; /* its value belongs to the SPKI now */
        params->value.ptr = NULL;
    } else {
        OPENSSL_free(point);
    }
    ASN1_TYPE_free(params);
    return filled;
}

static EVP_PKEY *ec_public_key(const struct prov_ctx *prov, const struct prov_variant *variant,
                               const struct tok_public *half)
{
    SCOPED(spki_end) X509_PUBKEY *spki = X509_PUBKEY_new();
    SCOPED(openssl_end) unsigned char *der = NULL;
    int len;

    (void)variant;
    if (half->params.len == 0 || half->point.len == 0 || spki == NULL || !spki_fill(spki, half)) {
        return NULL;
    }
    len = i2d_X509_PUBKEY(spki, &der);
    return len <= 0 ? NULL : prov_software_key_from_spki(prov, der, (size_t)len);
}

static bool ec_describe(struct tok_public *out_half, EVP_PKEY *key)
{
    out_half->type = CKK_EC;
    return prov_software_public_bytes(&out_half->point, key);
}

#define NUMBER(name) OSSL_PARAM_BN(name, NULL, 0)
#define TEXT(name) OSSL_PARAM_utf8_string(name, NULL, 0)
#define OCTETS(name) OSSL_PARAM_octet_string(name, NULL, 0)

#define EC_GROUP_PARAMS                                                                                                \
    TEXT(OSSL_PKEY_PARAM_GROUP_NAME), TEXT(OSSL_PKEY_PARAM_EC_ENCODING),                                               \
        TEXT(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT), TEXT(OSSL_PKEY_PARAM_EC_FIELD_TYPE),                         \
        NUMBER(OSSL_PKEY_PARAM_EC_P), NUMBER(OSSL_PKEY_PARAM_EC_A), NUMBER(OSSL_PKEY_PARAM_EC_B),                      \
        OCTETS(OSSL_PKEY_PARAM_EC_GENERATOR), NUMBER(OSSL_PKEY_PARAM_EC_ORDER), NUMBER(OSSL_PKEY_PARAM_EC_COFACTOR),   \
        OCTETS(OSSL_PKEY_PARAM_EC_SEED), OSSL_PARAM_int(OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, NULL)

static const OSSL_PARAM ec_key_params[] = {
    EC_GROUP_PARAMS,
    OCTETS(OSSL_PKEY_PARAM_PUB_KEY),
    NUMBER(OSSL_PKEY_PARAM_PRIV_KEY),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_EC_INCLUDE_PUBLIC, NULL),
    OSSL_PARAM_END,
};

static const OSSL_PARAM ec_readable[] = {
    PROV_TOKEN_PARAMS,
    OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
    TEXT(OSSL_PKEY_PARAM_DEFAULT_DIGEST),
    EC_GROUP_PARAMS,
    OCTETS(OSSL_PKEY_PARAM_PUB_KEY),
    OCTETS(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY),
    NUMBER(OSSL_PKEY_PARAM_EC_PUB_X),
    NUMBER(OSSL_PKEY_PARAM_EC_PUB_Y),
    NUMBER(OSSL_PKEY_PARAM_PRIV_KEY),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH, NULL),
    OSSL_PARAM_END,
};

static const OSSL_PARAM ec_writable[] = {
    OCTETS(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH, NULL),
    TEXT(OSSL_PKEY_PARAM_EC_ENCODING),
    TEXT(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT),
    OCTETS(OSSL_PKEY_PARAM_EC_SEED),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_EC_INCLUDE_PUBLIC, NULL),
    TEXT(OSSL_PKEY_PARAM_EC_GROUP_CHECK_TYPE),
    OSSL_PARAM_END,
};

static const OSSL_PARAM ec_generation[] = {
    EC_GROUP_PARAMS,
    OSSL_PARAM_int(OSSL_PKEY_PARAM_USE_COFACTOR_ECDH, NULL),
    OSSL_PARAM_END,
};

const CK_MECHANISM prov_ec_derive = { CKM_ECDH1_DERIVE, NULL, 0 };

/* nonce-type 0 is the default, a random one; kat, in 3.0 alone, is for tests of known answers. */
static bool take_random(struct prov_extras *extras, const OSSL_PARAM *param)
{
    unsigned type;

    (void)extras;
    return OSSL_PARAM_get_uint(param, &type) && type == 0;
}

static const struct prov_param_rule ec_rules[] = {
    { "nonce-type", false, take_random, "no mechanism says where its nonce comes from" },
    { "kat", false, NULL, "a token has its own random numbers" },
    { .name = NULL },
};

static const struct prov_family ec = {
    .signature = "SIGNET-EC",
    .key_exchange = "SIGNET-ECDH",
    .default_digest = "SHA256",
    .private_param = OSSL_PKEY_PARAM_PRIV_KEY,
    .public_param = OSSL_PKEY_PARAM_PUB_KEY,
    .key_params = ec_key_params,
    .readable = ec_readable,
    .writable = ec_writable,
    .generation = ec_generation,
    .public_key = ec_public_key,
    .describe = ec_describe,
    .param_rules = ec_rules,
    .choice = ec_choice,
    .prepare = ec_prepare,
    .shape = ec_shape,
};

/* The brainpool ones are those of RFC 7027; those of RFC 8734, for TLS 1.3, are other groups. */
static const struct prov_tls_group ec_groups[] = {
    { "secp192k1", "secp192k1", 18, 80, true },
    { "secp192r1", "prime192v1", 19, 80, true },
    { "P-192", "prime192v1", 19, 80, true },
    { "secp224k1", "secp224k1", 20, 112, true },
    { "secp224r1", "secp224r1", 21, 112, true },
    { "P-224", "secp224r1", 21, 112, true },
    { "secp256k1", "secp256k1", 22, 128, true },
    { "secp256r1", "prime256v1", 23, 128, false },
    { "P-256", "prime256v1", 23, 128, false },
    { "secp384r1", "secp384r1", 24, 192, false },
    { "P-384", "secp384r1", 24, 192, false },
    { "secp521r1", "secp521r1", 25, 256, false },
    { "P-521", "secp521r1", 25, 256, false },
    { "brainpoolP256r1", "brainpoolP256r1", 26, 128, true },
    { "brainpoolP384r1", "brainpoolP384r1", 27, 192, true },
    { "brainpoolP512r1", "brainpoolP512r1", 28, 256, true },
    { .tls_name = NULL },
};

const struct prov_variant prov_ec_variant = {
    .type = "EC",
    .names = "EC:id-ecPublicKey:1.2.840.10045.2.1",
    .description = "EC keys on a token, and software keys by delegation",
    .key_type = CKK_EC,
    .family = &ec,
    .tls_groups = ec_groups,
};
