#include "provider/capabilities.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/prov_ssl.h>
#include <strings.h>

#include "base/scoped.h"
#include "provider/core/context.h"
#include "provider/keys/variant.h"

/* Versions of TLS and DTLS as libssl has them: 0 is no limit, -1 never. */
#define NO_LIMIT 0
#define NEVER (-1)

static int tell_group(const struct prov_variant *variant, const struct prov_tls_group *group, OSSL_CALLBACK *callback,
                      void *arg)
{
    unsigned id = group->id;
    unsigned security_bits = group->security_bits;
    int min_tls = TLS1_VERSION;
    int max_tls = group->until_1_2 ? TLS1_2_VERSION : NO_LIMIT;
    int min_dtls = DTLS1_VERSION;
    int max_dtls = group->until_1_2 ? DTLS1_2_VERSION : NO_LIMIT;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_CAPABILITY_TLS_GROUP_NAME, (char *)group->tls_name, 0),
        OSSL_PARAM_construct_utf8_string(OSSL_CAPABILITY_TLS_GROUP_NAME_INTERNAL, (char *)group->name, 0),
        OSSL_PARAM_construct_utf8_string(OSSL_CAPABILITY_TLS_GROUP_ALG, (char *)variant->type, 0),
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

static int tell_groups(const struct prov_variant *variant, OSSL_CALLBACK *callback, void *arg)
{
    const struct prov_tls_group *group = variant->tls_groups;

    for (; group != NULL && group->tls_name != NULL; group++) {
        if (!tell_group(variant, group, callback, arg)) {
            return 0;
        }
    }
    return 1;
}

/* libssl (3.5 and later) drops a scheme whose key type it fetches from another provider than the one that told it. */
static int tell_scheme(const struct prov_variant *variant, OSSL_CALLBACK *callback, void *arg)
{
    const struct prov_tls_scheme *scheme = &variant->tls_scheme;
    char oid[64] = "";
    bool is_told = scheme->tls_name != NULL && prov_variant_oid(oid, sizeof(oid), variant);
    unsigned id = scheme->id;
    unsigned security_bits = scheme->security_bits;
    int min_tls = TLS1_3_VERSION;
    int max_tls = NO_LIMIT;
    int dtls = NEVER;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string("tls-sigalg-iana-name", (char *)scheme->tls_name, 0),
        OSSL_PARAM_construct_utf8_string("tls-sigalg-name", (char *)variant->type, 0),
        OSSL_PARAM_construct_utf8_string("tls-sigalg-oid", oid, 0),
        OSSL_PARAM_construct_uint("tls-sigalg-code-point", &id),
        OSSL_PARAM_construct_uint("tls-sigalg-sec-bits", &security_bits),
        OSSL_PARAM_construct_int("tls-min-tls", &min_tls),
        OSSL_PARAM_construct_int("tls-max-tls", &max_tls),
        OSSL_PARAM_construct_int("tls-min-dtls", &dtls),
        OSSL_PARAM_construct_int("tls-max-dtls", &dtls),
        OSSL_PARAM_construct_end(),
    };

    return !is_told || callback(params, arg); /* the parameters have the lengths of their texts by now */
}

static const struct {
    const char *name;
    int (*tell)(const struct prov_variant *variant, OSSL_CALLBACK *callback, void *arg);
} capabilities[] = {
    { "TLS-GROUP", tell_groups },
    { "TLS-SIGALG", tell_scheme },
};

/* A capability that we don't know is 1, too: 0 would make SSL_CTX_new fail. */
int prov_capabilities_get(void *provctx, const char *name, OSSL_CALLBACK *callback, void *arg)
{
    const struct prov_ctx *prov = provctx;

    for (size_t i = 0; i < COUNT_OF(capabilities); i++) {
        for (size_t j = 0; strcasecmp(name, capabilities[i].name) == 0 && prov_variants[j] != NULL; j++) {
            if (prov_variant_is_offered(prov_variants[j], prov->key_types) &&
                !capabilities[i].tell(prov_variants[j], callback, arg)) {
                return 0;
            }
        }
    }
    return 1;
}
