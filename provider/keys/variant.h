/* Key types as rows: what OpenSSL calls a key, what a token calls it, and the few functions in which families differ.
 *
 * These tables (alg-*.c) are the one place that names both vocabularies, since a row is the translation. Everything
 * else in provider/ is one set of functions for all types, driven by the row. Constant data; for the rooms of
 * provider/. */
#ifndef SIGNET_PROVIDER_KEYS_VARIANT_H
#define SIGNET_PROVIDER_KEYS_VARIANT_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pkcs11/result/cryptoki.h"
#include "pkcs11/object/object.h"
#include "pkcs11/result/result.h"
#include "signet.h"

struct prov_ctx;

/* What an operation has that outlives a function call; abandoned(arg) ends it if the ASYNC job in which it runs is
 * abandoned (provider/operations/async.h). NULL: nothing. */
struct prov_job {
    void (*abandoned)(void *arg);
    void *arg;
};

/* What a signature is made with, after the application's parameters and the key's own are known. */
struct prov_scheme {
    const EVP_MD *digest; /* borrowed; NULL: none (raw data, or a key that hashes for itself) */
    int padding;          /* RSA_PKCS1_PADDING, RSA_PKCS1_PSS_PADDING, RSA_NO_PADDING; 0 for other keys */
    const EVP_MD *mgf1;   /* PSS; NULL: as digest */
    size_t salt_len;      /* PSS: bytes */
    size_t key_bits;
    const struct prov_ctx *prov; /* borrowed: for what is computed here */
    bool whole;                  /* no digest: the token is given the whole message (EdDSA) */
};

/* What is signed: a digest, and the message that it is of where that is at hand; keys that hash for themselves have the
 * message alone. Borrowed. */
struct prov_data {
    const uint8_t *digest;
    size_t digest_len;
    const uint8_t *message; /* NULL: not at hand */
    size_t message_len;
    struct prov_job job;
};

/* One of the ways in which a family signs by a scheme. */
struct prov_choice {
    CK_MECHANISM_TYPE type;
    bool message; /* the token hashes: it takes the message */
    bool params;  /* EdDSA: with parameters */
};

/* The token's side of a signature: mechanism with its parameters, and the bytes it is given. */
struct prov_mechanism {
    CK_MECHANISM mechanism;
    union {
        CK_RSA_PKCS_PSS_PARAMS pss;
        struct tok_eddsa_params eddsa;
    } params;           /* what mechanism.pParameter may point to */
    uint8_t made[2048]; /* what was made for C_Sign: a DigestInfo, a padded block */
    const uint8_t *in;  /* what C_Sign gets: `made`, or the data themselves */
    size_t in_len;
};

/* The functions of a family (RSA, EC). */
struct prov_family {
    const char *operation;         /* the private name of the signature algorithm: "SIGNET-RSA"; NULL: none */
    const char *asym_cipher;       /* likewise, for decryption; NULL: none */
    const char *key_exchange;      /* likewise, for key agreement */
    const char *key_encapsulation; /* the other providers' own name, for software keys; NULL: none */
    const char *default_digest;    /* NULL: keys that hash for themselves, and are given the whole message at once */
    const char *private_param;     /* whose presence makes a key private ("d", "priv") */
    const char *seed_param;        /* another such; NULL: none */
    const char *public_param;      /* likewise ("n", "pub") */
    bool unapproved;               /* not of FIPS 140: without fips=yes, whatever the tokens are */
    bool private_tells_public;     /* a private key alone makes the whole key */
    bool x_only;                   /* points are their x coordinate (RFC 7748) */
    const OSSL_PARAM *key_params;  /* what may be imported and exported */
    const OSSL_PARAM *readable;    /* what get_params knows */
    const OSSL_PARAM *writable;    /* what set_params knows, for software keys */
    const OSSL_PARAM *generation;  /* what key generation knows */
    /* public_key makes the public half, as an OpenSSL key of the child context, of what the token shows. NULL if that
     * is not enough, or malformed (errors of libcrypto may be on the queue). */
    EVP_PKEY *(*public_key)(const struct prov_ctx *prov, const struct tok_public *half);
    /* settle tells keys apart that a token has under one type, by what else it shows (RSA, RSA-PSS): `key`, the public
     * half as it was made, is returned, or freed and replaced. NULL: nothing to settle. */
    EVP_PKEY *(*settle)(const struct prov_ctx *prov, const struct tok_public *half, EVP_PKEY *key);
    /* describe does the reverse, filling what identifies the key on a token: of a key file's public half. */
    bool (*describe)(struct tok_public *out_half, EVP_PKEY *key);
    /* choice is the way-th choice of mechanism for a scheme, best first; false past the last. NULL: `mechanism` is the
     * only one, and its token is given the message. */
    CK_MECHANISM_TYPE mechanism;
    bool (*choice)(struct prov_choice *out, const struct prov_scheme *scheme, unsigned way);
    /* prepare fills the mechanism and its input for a choice. TOK_CODE_UNSUPPORTED says why not. */
    TOK_RESULT(*prepare)
    (struct prov_mechanism *out, const struct prov_scheme *scheme, const struct prov_choice *choice,
     const struct prov_data *data);
    /* shape turns the token's signature into OpenSSL's. `sig` holds *len bytes in room bytes of space. */
    bool (*shape)(uint8_t *sig, size_t *len, size_t room);
};

/* The types, one line each: every table that needs a function or a name of its own for each of them is made of this
 * list, so that a new type is this line, the two below and its row. */
#define PROV_VARIANTS(ROW)                                                                                             \
    ROW(rsa, PROV_NAMES_RSA)                                                                                           \
    ROW(rsa_pss, PROV_NAMES_RSA_PSS)                                                                                   \
    ROW(ec, PROV_NAMES_EC)                                                                                             \
    ROW(ed25519, PROV_NAMES_ED25519)                                                                                   \
    ROW(ed448, PROV_NAMES_ED448)                                                                                       \
    ROW(x25519, PROV_NAMES_X25519)                                                                                     \
    ROW(x448, PROV_NAMES_X448)                                                                                         \
    ROW(ml_dsa_44, PROV_NAMES_ML_DSA_44)                                                                               \
    ROW(ml_dsa_65, PROV_NAMES_ML_DSA_65)                                                                               \
    ROW(ml_dsa_87, PROV_NAMES_ML_DSA_87)                                                                               \
    ROW(slh_dsa_sha2_128s, PROV_NAMES_SLH_DSA("SHA2-128s", "sha2-128s", "20"))                                         \
    ROW(slh_dsa_sha2_128f, PROV_NAMES_SLH_DSA("SHA2-128f", "sha2-128f", "21"))                                         \
    ROW(slh_dsa_sha2_192s, PROV_NAMES_SLH_DSA("SHA2-192s", "sha2-192s", "22"))                                         \
    ROW(slh_dsa_sha2_192f, PROV_NAMES_SLH_DSA("SHA2-192f", "sha2-192f", "23"))                                         \
    ROW(slh_dsa_sha2_256s, PROV_NAMES_SLH_DSA("SHA2-256s", "sha2-256s", "24"))                                         \
    ROW(slh_dsa_sha2_256f, PROV_NAMES_SLH_DSA("SHA2-256f", "sha2-256f", "25"))                                         \
    ROW(slh_dsa_shake_128s, PROV_NAMES_SLH_DSA("SHAKE-128s", "shake-128s", "26"))                                      \
    ROW(slh_dsa_shake_128f, PROV_NAMES_SLH_DSA("SHAKE-128f", "shake-128f", "27"))                                      \
    ROW(slh_dsa_shake_192s, PROV_NAMES_SLH_DSA("SHAKE-192s", "shake-192s", "28"))                                      \
    ROW(slh_dsa_shake_192f, PROV_NAMES_SLH_DSA("SHAKE-192f", "shake-192f", "29"))                                      \
    ROW(slh_dsa_shake_256s, PROV_NAMES_SLH_DSA("SHAKE-256s", "shake-256s", "30"))                                      \
    ROW(slh_dsa_shake_256f, PROV_NAMES_SLH_DSA("SHAKE-256f", "shake-256f", "31"))

/* All names and OIDs of a type, as the default provider has them: others would make conflicts in OpenSSL's map of
 * names. */
#define PROV_NAMES_RSA "RSA:rsaEncryption:1.2.840.113549.1.1.1"
#define PROV_NAMES_RSA_PSS "RSA-PSS:RSASSA-PSS:1.2.840.113549.1.1.10"
#define PROV_NAMES_EC "EC:id-ecPublicKey:1.2.840.10045.2.1"
#define PROV_NAMES_ED25519 "ED25519:1.3.101.112"
#define PROV_NAMES_ED448 "ED448:1.3.101.113"
#define PROV_NAMES_X25519 "X25519:1.3.101.110"
#define PROV_NAMES_X448 "X448:1.3.101.111"
#define PROV_NAMES_ML_DSA_44 "ML-DSA-44:MLDSA44:2.16.840.1.101.3.4.3.17:id-ml-dsa-44"
#define PROV_NAMES_ML_DSA_65 "ML-DSA-65:MLDSA65:2.16.840.1.101.3.4.3.18:id-ml-dsa-65"
#define PROV_NAMES_ML_DSA_87 "ML-DSA-87:MLDSA87:2.16.840.1.101.3.4.3.19:id-ml-dsa-87"
#define PROV_NAMES_SLH_DSA(set, lower, arc) "SLH-DSA-" set ":id-slh-dsa-" lower ":2.16.840.1.101.3.4.3." arc

/* A row: one keymgmt algorithm. */
struct prov_variant {
    const char *type;  /* OpenSSL's first name: "RSA" */
    const char *names; /* PROV_NAMES_… */
    const char *description;
    CK_KEY_TYPE key_type;
    const struct prov_family *family;
    size_t public_len; /* of a public half that is a string of bytes; 0: it is not */
    CK_ULONG set;      /* CKP_…, where the length does not tell the row; 0: it does */
    unsigned since;    /* OPENSSL_VERSION_NUMBER >> 20 from which on OpenSSL has the type; 0: always */
    bool restricted;   /* RSA-PSS: parameters of the key itself limit what it signs */
};

/* What every key on a token can be asked, for the families' lists of readable parameters (include/signet.h). */
#define PROV_TOKEN_PARAMS                                                                                              \
    OSSL_PARAM_utf8_string(SIGNET_PKEY_PARAM_URI, NULL, 0), OSSL_PARAM_utf8_string(SIGNET_PKEY_PARAM_TOKEN, NULL, 0),  \
        OSSL_PARAM_utf8_string(SIGNET_PKEY_PARAM_LABEL, NULL, 0),                                                      \
        OSSL_PARAM_uint64(SIGNET_PKEY_PARAM_LAST_SIGN_US, NULL)

/* Decryption with RSA on a token: the mechanisms, of which OAEP's has parameters. False where a token can't be told
 * these. */
extern const CK_MECHANISM prov_rsa_raw, prov_rsa_pkcs1;
struct prov_oaep {
    CK_MECHANISM mechanism;
    CK_RSA_PKCS_OAEP_PARAMS params;
};
bool prov_rsa_oaep(struct prov_oaep *out, const EVP_MD *digest, const EVP_MD *mgf1, const uint8_t *label,
                   size_t label_len);

/* Key agreement: static ECDH, whose parameters the floor below makes. */
extern const CK_MECHANISM prov_ec_derive;

extern const struct prov_family prov_rsa, prov_ec;

#define PROV_VARIANT_KNOWN(id, names) extern const struct prov_variant prov_##id##_variant;
PROV_VARIANTS(PROV_VARIANT_KNOWN)

/* prov_variant_is_known tells whether the OpenSSL at hand has the type. */
bool prov_variant_is_known(const struct prov_variant *variant);

/* All rows; NULL-terminated. */
extern const struct prov_variant *const prov_variants[];

#endif
