/* Key types as rows: what OpenSSL calls a key, what a token calls it, and what TLS calls what it does.
 *
 * A row is one key management algorithm; the file of its family (alg-*.c) has it. Constant data; for the rooms of
 * provider/ from keys on. */
#ifndef SIGNET_PROVIDER_KEYS_VARIANT_H
#define SIGNET_PROVIDER_KEYS_VARIANT_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "pkcs11/object/object.h"
#include "pkcs11/result/cryptoki.h"
#include "provider/keys/family.h"

/* The types, one line each: every table that needs a function of its own for each of them is made of this list, so that
 * a new type is this line and its row. */
#define PROV_VARIANTS(ROW)                                                                                             \
    ROW(rsa)                                                                                                           \
    ROW(rsa_pss)                                                                                                       \
    ROW(ec)                                                                                                            \
    ROW(ed25519)                                                                                                       \
    ROW(ed448)                                                                                                         \
    ROW(x25519)                                                                                                        \
    ROW(x448)                                                                                                          \
    ROW(ml_dsa_44)                                                                                                     \
    ROW(ml_dsa_65)                                                                                                     \
    ROW(ml_dsa_87)                                                                                                     \
    ROW(slh_dsa_sha2_128s)                                                                                             \
    ROW(slh_dsa_sha2_128f)                                                                                             \
    ROW(slh_dsa_sha2_192s)                                                                                             \
    ROW(slh_dsa_sha2_192f)                                                                                             \
    ROW(slh_dsa_sha2_256s)                                                                                             \
    ROW(slh_dsa_sha2_256f)                                                                                             \
    ROW(slh_dsa_shake_128s)                                                                                            \
    ROW(slh_dsa_shake_128f)                                                                                            \
    ROW(slh_dsa_shake_192s)                                                                                            \
    ROW(slh_dsa_shake_192f)                                                                                            \
    ROW(slh_dsa_shake_256s)                                                                                            \
    ROW(slh_dsa_shake_256f)

/* IANA's "TLS Supported Groups", for keys whose type is one or has some. */
struct prov_tls_group {
    const char *tls_name; /* NULL ends a list */
    const char *name;     /* OpenSSL's */
    unsigned id;
    unsigned security_bits;
    bool until_1_2; /* not of TLS 1.3 */
};

/* IANA's "TLS SignatureScheme", of TLS 1.3, for types whose schemes libssl learns from providers. */
struct prov_tls_scheme {
    const char *tls_name; /* NULL: none */
    unsigned id;
    unsigned security_bits;
};

struct prov_variant {
    const char *type; /* OpenSSL's first name: "RSA" */
    /* All names and OIDs of the type, with colons between, as the default provider has them: others would make
     * conflicts in OpenSSL's map of names. */
    const char *names;
    const char *description;
    CK_KEY_TYPE key_type;
    const struct prov_family *family;
    size_t public_len; /* of a public half that is a string of bytes; 0: it is not */
    CK_ULONG set;      /* CKP_…, where the length does not tell the row; 0: it does */
    unsigned since;    /* OPENSSL_VERSION_NUMBER >> 20 from which on OpenSSL has the type; 0: always */
    bool restricted;   /* RSA-PSS: parameters of the key itself limit what it signs */
    const struct prov_tls_group *tls_groups; /* NULL: none */
    struct prov_tls_scheme tls_scheme;
};

#define PROV_VARIANT_DECLARED(id) extern const struct prov_variant prov_##id##_variant;
PROV_VARIANTS(PROV_VARIANT_DECLARED)

/* All rows; NULL-terminated. */
extern const struct prov_variant *const prov_variants[];

/* prov_variant_is_known tells whether the OpenSSL at hand has the type. */
bool prov_variant_is_known(const struct prov_variant *variant);

/* prov_variant_is_offered tells whether it is that, and not left out by the setting `key-types` (bits of enum
 * prov_config_keys; 0: nothing is). */
bool prov_variant_is_offered(const struct prov_variant *variant, unsigned key_types);

/* The following find a known row, or NULL: of a libcrypto key; by a name or OID in numbers; the first one of a token's
 * key type; and that of a key of which a token shows this. RSA-PSS keys are RSA to tokens: family->settle tells. */
const struct prov_variant *prov_variant_of(EVP_PKEY *key);
const struct prov_variant *prov_variant_named(const char *name);
const struct prov_variant *prov_variant_of_type(CK_KEY_TYPE type);
const struct prov_variant *prov_variant_of_half(const struct tok_public *half);

/* prov_variant_oid copies the OID out of the names, in numbers; false if there is none or it does not fit. */
bool prov_variant_oid(char *out, size_t room, const struct prov_variant *variant);

#endif
