/* Families of keys (RSA, EC, …): the few functions and names in which they differ.
 *
 * A family's file (alg-*.c) is the one place that knows both vocabularies, OpenSSL's and the token's. Everything else
 * in provider/ is one set of functions for all types, driven by the family and the row of the type
 * (provider/keys/variant.h). Constant data; for the rooms of provider/ from keys on. */
#ifndef SIGNET_PROVIDER_KEYS_FAMILY_H
#define SIGNET_PROVIDER_KEYS_FAMILY_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pkcs11/object/object.h"
#include "pkcs11/result/cryptoki.h"
#include "pkcs11/result/result.h"
#include "signet.h"

struct prov_ctx;
struct prov_variant;

/* What a mechanism's parameters say of a signature besides: of EdDSA, ML-DSA, SLH-DSA. */
struct prov_extras {
    const char *instance; /* of EdDSA, as OpenSSL calls it; NULL: that of the key's type */
    bool variant;         /* it is another scheme than that: Ed25519ctx, Ed25519ph, Ed448ph */
    bool prehash;         /* one of the last two */
    CK_ULONG hedge;       /* CKH_…; 0: as the token prefers */
    size_t context_len;
    uint8_t context[255]; /* FIPS 204 §5.2, RFC 8032 §5.1 */
};

/* A parameter of OpenSSL's that is not all libcrypto's affair: it reaches the token by its mechanism's parameters, or
 * not at all. All others do by digest, padding, salt. */
struct prov_param_rule {
    const char *name; /* NULL ends a list */
    bool listed;      /* as one that can be set */
    /* take adds a value to the extras, which may be NULL: then it only tells whether the value can be taken. NULL: none
     * can. */
    bool (*take)(struct prov_extras *extras, const OSSL_PARAM *param);
    const char *why; /* it can't be: "a token has its own random numbers" */
};

/* What a signature is made with, after the application's parameters and the key's own are known. */
struct prov_scheme {
    const EVP_MD *digest; /* borrowed; NULL: none (raw data, or a key that hashes for itself) */
    int padding;          /* RSA_PKCS1_PADDING, RSA_PKCS1_PSS_PADDING, RSA_NO_PADDING; 0 for other keys */
    const EVP_MD *mgf1;   /* PSS; NULL: as digest */
    size_t salt_len;      /* PSS: bytes */
    size_t key_bits;
    const struct prov_extras *extras; /* borrowed; NULL: none */
    const struct prov_ctx *prov;      /* borrowed: for what is computed here */
    bool whole;                       /* no digest: the token is given the whole message (EdDSA) */
};

/* What is signed: a digest, and the message that it is of where that is at hand; keys that hash for themselves have the
 * message alone. Borrowed. */
struct prov_data {
    const uint8_t *digest;
    size_t digest_len;
    const uint8_t *message; /* NULL: not at hand */
    size_t message_len;
};

/* One of the ways in which a family signs by a scheme. */
#define PROV_NO_CHOICE CK_UNAVAILABLE_INFORMATION /* a way that this scheme does not have */
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
        struct tok_sign_context more;
    } params;           /* what mechanism.pParameter may point to */
    uint8_t made[2048]; /* what was made for C_Sign: a DigestInfo, a padded block */
    const uint8_t *in;  /* what C_Sign gets: `made`, or the data themselves */
    size_t in_len;
};

struct prov_family {
    const char *signature;         /* the private name of the signature algorithm: "SIGNET-RSA"; NULL: none */
    const char *asym_cipher;       /* likewise, for decryption; NULL: none */
    const char *key_exchange;      /* likewise, for key agreement */
    const char *key_encapsulation; /* likewise; NULL: none */
    const char *default_digest;    /* NULL: keys that hash for themselves, and are given the whole message at once */
    unsigned digests_since;        /* OPENSSL_VERSION_NUMBER >> 20 from which on libcrypto takes those, too, of such keys */
    int default_padding;           /* of signatures, which PSS may replace: RSA_PKCS1_PADDING; 0: they have none */
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
    const struct prov_param_rule *param_rules; /* of signatures; NULL: none */
    /* public_key makes the public half of a key of the row, as an OpenSSL key of the child context, of what the token
     * shows. NULL if that is not enough, or malformed (errors of libcrypto may be on the queue). */
    EVP_PKEY *(*public_key)(const struct prov_ctx *prov, const struct prov_variant *variant,
                            const struct tok_public *half);
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
    /* shape turns the token's signature, of *len bytes, into OpenSSL's; false for a length that the key can't make.
     * `size` is the key's in bytes (of its modulus, or its group's order), or, where the token hashes, the signature's.
     * `sig` has PROV_SIGNING_MAX_RSA bytes of room, or those of the signature. */
    bool (*shape)(uint8_t *sig, size_t *len, size_t size);
};

/* prov_family_choice is the way-th choice of a family for a scheme; false past the last. */
static inline bool prov_family_choice(struct prov_choice *out, const struct prov_family *family,
                                      const struct prov_scheme *scheme, unsigned way)
{
    if (family->choice != NULL) {
        return family->choice(out, scheme, way);
    }
    *out = (struct prov_choice){ .type = family->mechanism, .message = true };
    return way == 0;
}

/* What every key on a token can be asked, for the families' lists of readable parameters (include/signet.h). */
#define PROV_TOKEN_PARAMS                                                                                              \
    OSSL_PARAM_utf8_string(SIGNET_PKEY_PARAM_URI, NULL, 0), OSSL_PARAM_utf8_string(SIGNET_PKEY_PARAM_TOKEN, NULL, 0),  \
        OSSL_PARAM_utf8_string(SIGNET_PKEY_PARAM_LABEL, NULL, 0),                                                      \
        OSSL_PARAM_uint64(SIGNET_PKEY_PARAM_LAST_SIGN_US, NULL)

#endif
