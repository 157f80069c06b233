/* RSA on a token: the digest is made here, the token pads and signs. PKCS#11 v2.40 mechanisms §2.1, RFC 8017. */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "provider/core/ends.h"
#include "provider/core/software.h"
#include "provider/keys/alg-rsa.h"
#include "provider/keys/pad.h"
#include "provider/keys/variant.h"

/* The digests that a token can be told for PSS and OAEP, and the mechanisms with which it hashes for itself. */
static const struct digest {
    int nid;
    CK_MECHANISM_TYPE hash;
    CK_RSA_PKCS_MGF_TYPE mgf;
    CK_MECHANISM_TYPE pkcs1;
    CK_MECHANISM_TYPE pss;
} digests[] = {
    { NID_sha1, CKM_SHA_1, CKG_MGF1_SHA1, CKM_SHA1_RSA_PKCS, CKM_SHA1_RSA_PKCS_PSS },
    { NID_sha224, CKM_SHA224, CKG_MGF1_SHA224, CKM_SHA224_RSA_PKCS, CKM_SHA224_RSA_PKCS_PSS },
    { NID_sha256, CKM_SHA256, CKG_MGF1_SHA256, CKM_SHA256_RSA_PKCS, CKM_SHA256_RSA_PKCS_PSS },
    { NID_sha384, CKM_SHA384, CKG_MGF1_SHA384, CKM_SHA384_RSA_PKCS, CKM_SHA384_RSA_PKCS_PSS },
    { NID_sha512, CKM_SHA512, CKG_MGF1_SHA512, CKM_SHA512_RSA_PKCS, CKM_SHA512_RSA_PKCS_PSS },
    { NID_sha3_224, CKM_SHA3_224, CKG_MGF1_SHA3_224, CKM_SHA3_224_RSA_PKCS, CKM_SHA3_224_RSA_PKCS_PSS },
    { NID_sha3_256, CKM_SHA3_256, CKG_MGF1_SHA3_256, CKM_SHA3_256_RSA_PKCS, CKM_SHA3_256_RSA_PKCS_PSS },
    { NID_sha3_384, CKM_SHA3_384, CKG_MGF1_SHA3_384, CKM_SHA3_384_RSA_PKCS, CKM_SHA3_384_RSA_PKCS_PSS },
    { NID_sha3_512, CKM_SHA3_512, CKG_MGF1_SHA3_512, CKM_SHA3_512_RSA_PKCS, CKM_SHA3_512_RSA_PKCS_PSS },
};

static const struct digest *digest_row(const EVP_MD *digest)
{
    for (size_t i = 0; i < COUNT_OF(digests); i++) {
        if (digests[i].nid == EVP_MD_get_type(digest)) {
            return &digests[i];
        }
    }
    return NULL;
}

static bool pss_params(CK_RSA_PKCS_PSS_PARAMS *out, const struct prov_scheme *scheme)
{
    const struct digest *hash = digest_row(scheme->digest);
    const struct digest *mgf1 = digest_row(scheme->mgf1 != NULL ? scheme->mgf1 : scheme->digest);

    if (hash == NULL || mgf1 == NULL) {
        return false;
    }
    *out = (CK_RSA_PKCS_PSS_PARAMS){ hash->hash, mgf1->mgf, (CK_ULONG)scheme->salt_len };
    return true;
}

const CK_MECHANISM prov_rsa_raw = { CKM_RSA_X_509, NULL, 0 };
const CK_MECHANISM prov_rsa_pkcs1 = { CKM_RSA_PKCS, NULL, 0 };

bool prov_rsa_oaep_make(struct prov_rsa_oaep *out, const EVP_MD *digest, const EVP_MD *mgf1, const uint8_t *label,
                        size_t label_len)
{
    const struct digest *hash = digest_row(digest);
    const struct digest *mgf = digest_row(mgf1 != NULL ? mgf1 : digest);

    if (hash == NULL || mgf == NULL) {
        return false;
    }
    out->params = (CK_RSA_PKCS_OAEP_PARAMS){
        .hashAlg = hash->hash,
        .mgf = mgf->mgf,
        .source = CKZ_DATA_SPECIFIED,
        .pSourceData = (void *)label,
        .ulSourceDataLen = (CK_ULONG)label_len,
    };
    out->mechanism = (CK_MECHANISM){ CKM_RSA_PKCS_OAEP, &out->params, sizeof(out->params) };
    return true;
}

static void signature_info_end(X509_SIG **info)
{
    X509_SIG_free(*info);
}

/* libcrypto, from 3.5 on, names SM3 in a DigestInfo by the OID of the signature. */
static int name_in_info(const EVP_MD *digest)
{
    int nid = EVP_MD_get_type(digest);

    return nid == NID_sm3 ? NID_sm3WithRSAEncryption : nid;
}

/* DigestInfo of RFC 8017 §9.2, but for TLS 1.0's MD5-SHA1, which has none. */
static bool digest_info(struct prov_mechanism *out, const EVP_MD *digest, const uint8_t *tbs, size_t tbs_len)
{
    SCOPED(signature_info_end) X509_SIG *info = X509_SIG_new();
    unsigned char *at = out->made;
    X509_ALGOR *algorithm;
    ASN1_OCTET_STRING *octets;
    int len;

    if (info == NULL) {
        return false;
    }
    X509_SIG_getm(info, &algorithm, &octets);
    if (!X509_ALGOR_set0(algorithm, OBJ_nid2obj(name_in_info(digest)), V_ASN1_NULL, NULL) ||
        !ASN1_OCTET_STRING_set(octets, tbs, (int)tbs_len)) {
        return false;
    }
    len = i2d_X509_SIG(info, NULL);
    if (len <= 0 || (size_t)len > sizeof(out->made) || i2d_X509_SIG(info, &at) != len) {
        return false;
    }
    out->in = out->made;
    out->in_len = (size_t)len;
    return true;
}

/* The choices of a padding: the token pads the digest, or hashes and pads, or is given the block that was padded here.
 * Without padding there is the last alone; so for PSS by digests that no token can be told. */
static bool rsa_choice(struct prov_choice *out, const struct prov_scheme *scheme, unsigned way)
{
    const struct digest *row = scheme->digest == NULL ? NULL : digest_row(scheme->digest);
    bool pss = scheme->padding == RSA_PKCS1_PSS_PADDING;
    bool bare = scheme->padding == RSA_NO_PADDING;

    *out = (struct prov_choice){ .type = CKM_RSA_X_509 };
    if (way == 0 && !bare) {
        out->type = pss ? CKM_RSA_PKCS_PSS : CKM_RSA_PKCS;
    }
    if (way == 1 && row != NULL) {
        out->type = pss ? row->pss : row->pkcs1;
        out->message = true;
    }
    if (pss && way < 2 && !pss_params(&(CK_RSA_PKCS_PSS_PARAMS){ 0 }, scheme)) {
        *out = (struct prov_choice){ .type = PROV_NO_CHOICE };
        return true;
    }
    return way < (bare ? 1 : row != NULL || pss ? 3 : 2);
}

static struct tok_result input_is(struct prov_mechanism *out, const uint8_t *data, size_t len)
{
    out->in = data;
    out->in_len = len;
    return tok_good();
}

/* What the padding is around: a DigestInfo; raw data and TLS 1.0's digest have none. */
static struct tok_result prepare_pkcs1(struct prov_mechanism *out, const struct prov_scheme *scheme,
                                       const struct prov_data *data)
{
    if (scheme->digest == NULL || EVP_MD_get_type(scheme->digest) == NID_md5_sha1) {
        return input_is(out, data->digest, data->digest_len);
    }
    return digest_info(out, scheme->digest, data->digest, data->digest_len)
               ? tok_good()
               : tok_fail(TOK_CODE_UNSUPPORTED, "no DigestInfo can be made for %s", EVP_MD_get0_name(scheme->digest));
}

static struct tok_result padding_failed(void)
{
    return tok_fail(TOK_CODE_UNSUPPORTED, "the key is too short for this padding, or libcrypto could not make it");
}

static struct tok_result block_pkcs1(struct prov_mechanism *out, size_t block_len)
{
    uint8_t info[128];
    const uint8_t *in = out->in;

    if (block_len > sizeof(out->made) || (in == out->made && out->in_len > sizeof(info))) {
        return padding_failed();
    }
    if (in == out->made) { /* a DigestInfo, where the block is going to be */
        memcpy(info, in, out->in_len);
        in = info;
    }
    return prov_pad_pkcs1(out->made, block_len, in, out->in_len) ? input_is(out, out->made, block_len)
                                                                 : padding_failed();
}

static struct tok_result block_pss(struct prov_mechanism *out, size_t block_len, const struct prov_scheme *scheme,
                                   const struct prov_data *data)
{
    uint8_t salt[sizeof(out->made)];
    SCOPED(md_end)
    EVP_MD *mgf1 = scheme->mgf1 == NULL ? NULL : prov_software_digest(scheme->prov, EVP_MD_get0_name(scheme->mgf1));
    const struct prov_pad_pss with = {
        .digest = scheme->digest,
        .mgf1 = mgf1 != NULL ? mgf1 : scheme->digest,
        .salt = salt,
        .salt_len = scheme->salt_len,
        .key_bits = scheme->key_bits,
    };

    if (scheme->salt_len > sizeof(salt) || block_len > sizeof(out->made) ||
        !prov_software_random(scheme->prov, salt, scheme->salt_len) ||
        !prov_pad_pss(out->made, block_len, &with, data->digest, data->digest_len)) {
        return padding_failed();
    }
    return input_is(out, out->made, block_len);
}

/* Raw RSA: what the token would have padded is padded here. */
static struct tok_result prepare_block(struct prov_mechanism *out, const struct prov_scheme *scheme,
                                       const struct prov_data *data)
{
    size_t block_len = (scheme->key_bits + 7) / 8;

    if (scheme->padding == RSA_PKCS1_PSS_PADDING) {
        return block_pss(out, block_len, scheme, data);
    }
    if (scheme->padding == RSA_PKCS1_PADDING) {
        TOK_TRY(prepare_pkcs1(out, scheme, data));
        return block_pkcs1(out, block_len);
    }
    return data->digest_len == block_len
               ? input_is(out, data->digest, data->digest_len)
               : tok_fail(TOK_CODE_BAD_ARGUMENT, "without padding, the data must have the length of the modulus");
}

static struct tok_result rsa_prepare(struct prov_mechanism *out, const struct prov_scheme *scheme,
                                     const struct prov_choice *choice, const struct prov_data *data)
{
    bool pss = scheme->padding == RSA_PKCS1_PSS_PADDING;

    if (scheme->padding != RSA_PKCS1_PADDING && scheme->padding != RSA_NO_PADDING && !pss) {
        return tok_fail(TOK_CODE_UNSUPPORTED, "no token signs with this RSA padding (%d)", scheme->padding);
    }
    if (scheme->padding != RSA_NO_PADDING && scheme->digest != NULL &&
        (size_t)EVP_MD_get_size(scheme->digest) != data->digest_len) {
        return tok_fail(TOK_CODE_BAD_ARGUMENT, "%zu bytes are no %s digest", data->digest_len,
                        EVP_MD_get0_name(scheme->digest));
    }
    if (pss && (scheme->digest == NULL ||
                (choice->type != CKM_RSA_X_509 && !pss_params(&out->params.pss, scheme)))) {
        return tok_fail(TOK_CODE_UNSUPPORTED, "PSS needs a digest");
    }
    out->mechanism = (CK_MECHANISM){ choice->type, NULL, 0 };
    if (choice->type == CKM_RSA_X_509) {
        return prepare_block(out, scheme, data);
    }
    if (pss) {
        out->mechanism.pParameter = &out->params.pss;
        out->mechanism.ulParameterLen = sizeof(out->params.pss);
    }
    if (choice->message) {
        return input_is(out, data->message, data->message_len);
    }
    return pss ? input_is(out, data->digest, data->digest_len) : prepare_pkcs1(out, scheme, data);
}

static bool rsa_shape(uint8_t *sig, size_t *len, size_t size)
{
    (void)sig;
    return *len == size;
}

static void builder_end(OSSL_PARAM_BLD **builder)
{
    OSSL_PARAM_BLD_free(*builder);
}

#define LEAST_MODULUS_BITS 512 /* libcrypto makes none that are shorter */

/* What a module gave half of, or left unfilled, is no key, whatever libcrypto takes. */
static bool are_numbers_of_a_key(const BIGNUM *n, const BIGNUM *e)
{
    return n != NULL && e != NULL && BN_num_bits(n) >= LEAST_MODULUS_BITS && BN_is_odd(n) && BN_is_odd(e) &&
           !BN_is_one(e);
}

static EVP_PKEY *rsa_public_key(const struct prov_ctx *prov, const struct prov_variant *variant,
                                const struct tok_public *half)
{
    SCOPED(builder_end) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    SCOPED(params_end) OSSL_PARAM *params = NULL;
    SCOPED(number_end) BIGNUM *n = BN_bin2bn(half->modulus.data, (int)half->modulus.len, NULL);
    SCOPED(number_end) BIGNUM *e = BN_bin2bn(half->exponent.data, (int)half->exponent.len, NULL);

    if (half->modulus.len == 0 || half->exponent.len == 0 || builder == NULL || !are_numbers_of_a_key(n, e) ||
        !OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) ||
        !OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e)) {
        return NULL;
    }
    params = OSSL_PARAM_BLD_to_param(builder);
    return params == NULL ? NULL : prov_software_key(prov, variant->type, EVP_PKEY_PUBLIC_KEY, params);
}

static bool same_modulus(EVP_PKEY *a, EVP_PKEY *b)
{
    SCOPED(number_end) BIGNUM *of_a = NULL;
    SCOPED(number_end) BIGNUM *of_b = NULL;

    return EVP_PKEY_get_bn_param(a, OSSL_PKEY_PARAM_RSA_N, &of_a) &&
           EVP_PKEY_get_bn_param(b, OSSL_PKEY_PARAM_RSA_N, &of_b) && BN_cmp(of_a, of_b) == 0;
}

/* Tokens have one type for both. A key that allows PSS and nothing else is of RSA-PSS, unless its certificate says that
 * it is not, which libssl would not let pass beside it. */
static EVP_PKEY *rsa_settle(const struct prov_ctx *prov, const struct tok_public *half, EVP_PKEY *key)
{
    SCOPED(pkey_end) EVP_PKEY *shown = key;
    SCOPED(pkey_end) EVP_PKEY *certified = NULL;
    SCOPED(params_end) OSSL_PARAM *params = NULL;

    if (!half->pss_only || !EVP_PKEY_is_a(key, "RSA")) {
        return STEAL(shown);
    }
    if (half->certificate.len > 0) {
        certified = prov_software_key_from_certificate(prov, half->certificate.data, half->certificate.len);
    }
    if (certified != NULL && same_modulus(certified, shown)) {
        return STEAL(certified);
    }
    return EVP_PKEY_todata(shown, EVP_PKEY_PUBLIC_KEY, &params) > 0
               ? prov_software_key(prov, "RSA-PSS", EVP_PKEY_PUBLIC_KEY, params)
               : NULL;
}

static bool number_bytes(struct bytes *out, EVP_PKEY *key, const char *name)
{
    SCOPED(number_end) BIGNUM *number = NULL;

    return EVP_PKEY_get_bn_param(key, name, &number) && bytes_new(out, (size_t)BN_num_bytes(number)) &&
           BN_bn2bin(number, out->data) >= 0;
}

static bool rsa_describe(struct tok_public *out_half, EVP_PKEY *key)
{
    out_half->type = CKK_RSA;
    return number_bytes(&out_half->modulus, key, OSSL_PKEY_PARAM_RSA_N) &&
           number_bytes(&out_half->exponent, key, OSSL_PKEY_PARAM_RSA_E);
}

#define NUMBER(name) OSSL_PARAM_BN(name, NULL, 0)

#define RSA_PSS_RESTRICTIONS                                                                                           \
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_DIGEST, NULL, 0),                                                       \
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_MASKGENFUNC, NULL, 0),                                              \
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_MGF1_DIGEST, NULL, 0),                                              \
        OSSL_PARAM_int(OSSL_PKEY_PARAM_RSA_PSS_SALTLEN, NULL)

static const OSSL_PARAM rsa_key_params[] = {
    NUMBER(OSSL_PKEY_PARAM_RSA_N),
    NUMBER(OSSL_PKEY_PARAM_RSA_E),
    NUMBER(OSSL_PKEY_PARAM_RSA_D),
    NUMBER(OSSL_PKEY_PARAM_RSA_FACTOR1),
    NUMBER(OSSL_PKEY_PARAM_RSA_FACTOR2),
    NUMBER(OSSL_PKEY_PARAM_RSA_FACTOR3),
    NUMBER(OSSL_PKEY_PARAM_RSA_FACTOR4),
    NUMBER(OSSL_PKEY_PARAM_RSA_FACTOR5),
    NUMBER(OSSL_PKEY_PARAM_RSA_FACTOR6),
    NUMBER(OSSL_PKEY_PARAM_RSA_FACTOR7),
    NUMBER(OSSL_PKEY_PARAM_RSA_FACTOR8),
    NUMBER(OSSL_PKEY_PARAM_RSA_FACTOR9),
    NUMBER(OSSL_PKEY_PARAM_RSA_FACTOR10),
    NUMBER(OSSL_PKEY_PARAM_RSA_EXPONENT1),
    NUMBER(OSSL_PKEY_PARAM_RSA_EXPONENT2),
    NUMBER(OSSL_PKEY_PARAM_RSA_EXPONENT3),
    NUMBER(OSSL_PKEY_PARAM_RSA_EXPONENT4),
    NUMBER(OSSL_PKEY_PARAM_RSA_EXPONENT5),
    NUMBER(OSSL_PKEY_PARAM_RSA_EXPONENT6),
    NUMBER(OSSL_PKEY_PARAM_RSA_EXPONENT7),
    NUMBER(OSSL_PKEY_PARAM_RSA_EXPONENT8),
    NUMBER(OSSL_PKEY_PARAM_RSA_EXPONENT9),
    NUMBER(OSSL_PKEY_PARAM_RSA_EXPONENT10),
    NUMBER(OSSL_PKEY_PARAM_RSA_COEFFICIENT1),
    NUMBER(OSSL_PKEY_PARAM_RSA_COEFFICIENT2),
    NUMBER(OSSL_PKEY_PARAM_RSA_COEFFICIENT3),
    NUMBER(OSSL_PKEY_PARAM_RSA_COEFFICIENT4),
    NUMBER(OSSL_PKEY_PARAM_RSA_COEFFICIENT5),
    NUMBER(OSSL_PKEY_PARAM_RSA_COEFFICIENT6),
    NUMBER(OSSL_PKEY_PARAM_RSA_COEFFICIENT7),
    NUMBER(OSSL_PKEY_PARAM_RSA_COEFFICIENT8),
    NUMBER(OSSL_PKEY_PARAM_RSA_COEFFICIENT9),
    RSA_PSS_RESTRICTIONS,
    OSSL_PARAM_END,
};

static const OSSL_PARAM rsa_readable[] = {
    PROV_TOKEN_PARAMS,
    OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
    OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
    NUMBER(OSSL_PKEY_PARAM_RSA_N),
    NUMBER(OSSL_PKEY_PARAM_RSA_E),
    NUMBER(OSSL_PKEY_PARAM_RSA_D),
    RSA_PSS_RESTRICTIONS,
    OSSL_PARAM_END,
};

static const OSSL_PARAM rsa_generation[] = {
    OSSL_PARAM_size_t(OSSL_PKEY_PARAM_RSA_BITS, NULL),
    OSSL_PARAM_size_t(OSSL_PKEY_PARAM_RSA_PRIMES, NULL),
    NUMBER(OSSL_PKEY_PARAM_RSA_E),
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_RSA_DIGEST_PROPS, NULL, 0),
    RSA_PSS_RESTRICTIONS,
    OSSL_PARAM_END,
};

static const OSSL_PARAM rsa_writable[] = { OSSL_PARAM_END };

static bool take_padding(struct prov_extras *extras, const OSSL_PARAM *param)
{
    const char *name = NULL;
    int number = 0;

    (void)extras;
    if (param->data_type == OSSL_PARAM_UTF8_STRING) {
        return !OSSL_PARAM_get_utf8_string_ptr(param, &name) || name == NULL || strcmp(name, "x931") != 0;
    }
    return !OSSL_PARAM_get_int(param, &number) || number != RSA_X931_PADDING;
}

static const struct prov_param_rule rsa_rules[] = {
    { OSSL_SIGNATURE_PARAM_PAD_MODE, true, take_padding, "no token is asked for the padding of X9.31" },
    { .name = NULL },
};

static const struct prov_family rsa = {
    .signature = "SIGNET-RSA",
    .asym_cipher = "SIGNET-RSA-CIPHER",
    .key_encapsulation = "SIGNET-RSA-KEM",
    .default_digest = "SHA256",
    .default_padding = RSA_PKCS1_PADDING,
    .private_param = OSSL_PKEY_PARAM_RSA_D,
    .public_param = OSSL_PKEY_PARAM_RSA_N,
    .key_params = rsa_key_params,
    .readable = rsa_readable,
    .writable = rsa_writable,
    .generation = rsa_generation,
    .public_key = rsa_public_key,
    .settle = rsa_settle,
    .describe = rsa_describe,
    .param_rules = rsa_rules,
    .choice = rsa_choice,
    .prepare = rsa_prepare,
    .shape = rsa_shape,
};

const struct prov_variant prov_rsa_variant = {
    .type = "RSA",
    .names = "RSA:rsaEncryption:1.2.840.113549.1.1.1",
    .description = "RSA keys on a token, and software keys by delegation",
    .key_type = CKK_RSA,
    .family = &rsa,
};

const struct prov_variant prov_rsa_pss_variant = {
    .type = "RSA-PSS",
    .names = "RSA-PSS:RSASSA-PSS:1.2.840.113549.1.1.10",
    .description = "RSA-PSS keys on a token, and software keys by delegation",
    .key_type = CKK_RSA,
    .family = &rsa,
    .restricted = true,
};
