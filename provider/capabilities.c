#include "provider/capabilities.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/prov_ssl.h>
#include <strings.h>

#include "base/scoped.h"
#include "provider/keys/variant.h"

/* IANA's "TLS Supported Groups". The brainpool ones of RFC 7027 are for TLS 1.2 and before, those of RFC 8734 for
 * TLS 1.3. */
static const struct group {
    const char *tls_name;
    const char *name; /* OpenSSL's */
    const char *type; /* of its keys */
    unsigned id;
    unsigned security_bits;
    int min_tls;
    int max_tls; /* 0: no limit */
    int min_dtls;
    int max_dtls; /* likewise; -1: never */
} groups[] = {
    { "secp192k1", "secp192k1", "EC", 18, 80, TLS1_VERSION, TLS1_2_VERSION, DTLS1_VERSION, DTLS1_2_VERSION },
    { "secp192r1", "prime192v1", "EC", 19, 80, TLS1_VERSION, TLS1_2_VERSION, DTLS1_VERSION, DTLS1_2_VERSION },
    { "P-192", "prime192v1", "EC", 19, 80, TLS1_VERSION, TLS1_2_VERSION, DTLS1_VERSION, DTLS1_2_VERSION },
    { "secp224k1", "secp224k1", "EC", 20, 112, TLS1_VERSION, TLS1_2_VERSION, DTLS1_VERSION, DTLS1_2_VERSION },
    { "secp224r1", "secp224r1", "EC", 21, 112, TLS1_VERSION, TLS1_2_VERSION, DTLS1_VERSION, DTLS1_2_VERSION },
    { "P-224", "secp224r1", "EC", 21, 112, TLS1_VERSION, TLS1_2_VERSION, DTLS1_VERSION, DTLS1_2_VERSION },
    { "secp256k1", "secp256k1", "EC", 22, 128, TLS1_VERSION, TLS1_2_VERSION, DTLS1_VERSION, DTLS1_2_VERSION },
    { "secp256r1", "prime256v1", "EC", 23, 128, TLS1_VERSION, 0, DTLS1_VERSION, 0 },
    { "P-256", "prime256v1", "EC", 23, 128, TLS1_VERSION, 0, DTLS1_VERSION, 0 },
    { "secp384r1", "secp384r1", "EC", 24, 192, TLS1_VERSION, 0, DTLS1_VERSION, 0 },
    { "P-384", "secp384r1", "EC", 24, 192, TLS1_VERSION, 0, DTLS1_VERSION, 0 },
    { "secp521r1", "secp521r1", "EC", 25, 256, TLS1_VERSION, 0, DTLS1_VERSION, 0 },
    { "P-521", "secp521r1", "EC", 25, 256, TLS1_VERSION, 0, DTLS1_VERSION, 0 },
    { "brainpoolP256r1", "brainpoolP256r1", "EC", 26, 128, TLS1_VERSION, TLS1_2_VERSION, DTLS1_VERSION,
      DTLS1_2_VERSION },
    { "brainpoolP384r1", "brainpoolP384r1", "EC", 27, 192, TLS1_VERSION, TLS1_2_VERSION, DTLS1_VERSION,
      DTLS1_2_VERSION },
    { "brainpoolP512r1", "brainpoolP512r1", "EC", 28, 256, TLS1_VERSION, TLS1_2_VERSION, DTLS1_VERSION,
      DTLS1_2_VERSION },
    { "x25519", "X25519", "X25519", 29, 128, TLS1_VERSION, 0, DTLS1_VERSION, 0 },
    { "x448", "X448", "X448", 30, 224, TLS1_VERSION, 0, DTLS1_VERSION, 0 },
};

static int tell_group(const struct group *group, OSSL_CALLBACK *callback, void *arg)
{
    unsigned id = group->id;
    unsigned security_bits = group->security_bits;
    int min_tls = group->min_tls;
    int max_tls = group->max_tls;
    int min_dtls = group->min_dtls;
    int max_dtls = group->max_dtls;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_CAPABILITY_TLS_GROUP_NAME, (char *)group->tls_name, 0),
        OSSL_PARAM_construct_utf8_string(OSSL_CAPABILITY_TLS_GROUP_NAME_INTERNAL, (char *)group->name, 0),
        OSSL_PARAM_construct_utf8_string(OSSL_CAPABILITY_TLS_GROUP_ALG, (char *)group->type, 0),
        OSSL_PARAM_construct_uint(OSSL_CAPABILITY_TLS_GROUP_ID, &id),
        OSSL_PARAM_construct_uint(OSSL_CAPABILITY_TLS_GROUP_SECURITY_BITS, &security_bits),
        OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MIN_TLS, &min_tls),
        OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MAX_TLS, &max_tls),
        OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MIN_DTLS, &min_dtls),
        OSSL_PARAM_construct_int(OSSL_CAPABILITY_TLS_GROUP_MAX_DTLS, &max_dtls),
        OSSL_PARAM_construct_end(),
    };

    return callback(params, arg);
}

/* Signature schemes of TLS 1.3 whose keys we serve: libssl (3.5 and later) drops a scheme whose key type it fetches
 * from another provider than the one that told it. DTLS: never. */
static const struct sigalg {
    const char *tls_name;
    const struct prov_variant *variant;
    const char *oid;
    unsigned id;
    unsigned security_bits;
} sigalgs[] = {
    { "mldsa44", &prov_ml_dsa_44_variant, "2.16.840.1.101.3.4.3.17", 0x0904, 128 },
    { "mldsa65", &prov_ml_dsa_65_variant, "2.16.840.1.101.3.4.3.18", 0x0905, 192 },
    { "mldsa87", &prov_ml_dsa_87_variant, "2.16.840.1.101.3.4.3.19", 0x0906, 256 },
};

static int tell_sigalg(const struct sigalg *sigalg, OSSL_CALLBACK *callback, void *arg)
{
    unsigned id = sigalg->id;
    unsigned security_bits = sigalg->security_bits;
    int min_tls = TLS1_3_VERSION;
    int none = 0;
    int never = -1;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string("tls-sigalg-iana-name", (char *)sigalg->tls_name, 0),
        OSSL_PARAM_construct_utf8_string("tls-sigalg-name", (char *)sigalg->variant->type, 0),
        OSSL_PARAM_construct_utf8_string("tls-sigalg-oid", (char *)sigalg->oid, 0),
        OSSL_PARAM_construct_uint("tls-sigalg-code-point", &id),
        OSSL_PARAM_construct_uint("tls-sigalg-sec-bits", &security_bits),
        OSSL_PARAM_construct_int("tls-min-tls", &min_tls),
        OSSL_PARAM_construct_int("tls-max-tls", &none),
        OSSL_PARAM_construct_int("tls-min-dtls", &never),
        OSSL_PARAM_construct_int("tls-max-dtls", &never),
        OSSL_PARAM_construct_end(),
    };

    return callback(params, arg);
}

/* A capability that we don't know is 1, too: 0 would make SSL_CTX_new fail. */
int prov_get_capabilities(void *provctx, const char *capability, OSSL_CALLBACK *callback, void *arg)
{
    (void)provctx;
    for (size_t i = 0; strcasecmp(capability, "TLS-GROUP") == 0 && i < COUNT_OF(groups); i++) {
        if (!tell_group(&groups[i], callback, arg)) {
            return 0;
        }
    }
    for (size_t i = 0; strcasecmp(capability, "TLS-SIGALG") == 0 && i < COUNT_OF(sigalgs); i++) {
        if (prov_variant_is_known(sigalgs[i].variant) && !tell_sigalg(&sigalgs[i], callback, arg)) {
            return 0;
        }
    }
    return 1;
}
