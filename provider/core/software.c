#include "provider/core/software.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <string.h>

#include "provider/core/ends.h"

/* Away from us. And, where the application's own default properties don't lead to a validated provider, towards
 * `default`: a third provider that captures key types (docs/design.md) must not get our software work either. The
 * property's name has a dot, since OpenSSL takes no other that it does not know (property_parse.c, parse_name). */
#define QUERY_NOT_OURS "signet.algorithm!=yes"
#define QUERY_DEFAULT "signet.algorithm!=yes,?provider=default"

#define DEEPEST 8 /* a delegation inside a delegation is never ours by design */

static _Thread_local unsigned depth;

int prov_software_enter(const struct prov_ctx *prov)
{
    if (depth >= DEEPEST) {
        return prov_raise(prov, PROV_R_SOFTWARE,
                          "providers call each other without end; name `default` in default_properties");
    }
    depth++;
    return 1;
}

void prov_software_leave(const int *entered)
{
    depth -= *entered ? 1 : 0;
}

/* The provider that serves `type` in the child when we are left out; NULL if there is none. Borrowed. */
static const char *others_provider(const struct prov_ctx *prov, const char *type)
{
    SCOPED(keymgmt_end) EVP_KEYMGMT *keymgmt = EVP_KEYMGMT_fetch(prov->child, type, QUERY_NOT_OURS);

    return keymgmt == NULL ? NULL : OSSL_PROVIDER_get0_name(EVP_KEYMGMT_get0_provider(keymgmt));
}

const char *prov_software_first_query(void)
{
    return QUERY_NOT_OURS;
}

bool prov_software_prove(struct prov_ctx *prov)
{
    const char *rsa;
    const char *ec;

    prov_err_mark(prov);
    rsa = others_provider(prov, "RSA");
    ec = others_provider(prov, "EC");
    prov_err_forget(prov);
    if ((rsa != NULL && strcmp(rsa, prov->name) == 0) || (ec != NULL && strcmp(ec, prov->name) == 0)) {
        return false;
    }
    if (rsa != NULL && ec != NULL) {
        prov->query = EVP_default_properties_is_fips_enabled(prov->child) || strcmp(rsa, "fips") == 0 ? QUERY_NOT_OURS
                                                                                                      : QUERY_DEFAULT;
        prov->software = true;
    }
    return true;
}

int prov_software_said(const struct prov_ctx *prov, int answer, const char *what)
{
    if (answer <= 0 && ERR_peek_last_error() == 0) {
        (void)prov_raise(prov, PROV_R_SOFTWARE, "%s; the provider that was asked does not say why", what);
    }
    return answer;
}

EVP_PKEY_CTX *prov_software_ctx(const struct prov_ctx *prov, EVP_PKEY *key)
{
    PROV_SOFTWARE_SCOPE(prov);

    return PROV_SOFTWARE_ENTERED ? EVP_PKEY_CTX_new_from_pkey(prov->child, key, prov->query) : NULL;
}

EVP_PKEY_CTX *prov_software_ctx_by_name(const struct prov_ctx *prov, const char *type)
{
    PROV_SOFTWARE_SCOPE(prov);

    return PROV_SOFTWARE_ENTERED ? EVP_PKEY_CTX_new_from_name(prov->child, type, prov->query) : NULL;
}

EVP_MD *prov_software_digest(const struct prov_ctx *prov, const char *name)
{
    PROV_SOFTWARE_SCOPE(prov);

    return PROV_SOFTWARE_ENTERED ? EVP_MD_fetch(prov->child, name, prov->query) : NULL;
}

bool prov_software_random(const struct prov_ctx *prov, unsigned char *out, size_t len)
{
    PROV_SOFTWARE_SCOPE(prov);

    return PROV_SOFTWARE_ENTERED && RAND_bytes_ex(prov->child, out, len, 0) > 0;
}

EVP_PKEY *prov_software_key(const struct prov_ctx *prov, const char *type, int selection, const OSSL_PARAM params[])
{
    SCOPED(pkey_ctx_end) EVP_PKEY_CTX *ctx = prov_software_ctx_by_name(prov, type);
    PROV_SOFTWARE_SCOPE(prov);
    EVP_PKEY *key = NULL;

    if (!PROV_SOFTWARE_ENTERED || ctx == NULL || EVP_PKEY_fromdata_init(ctx) <= 0 ||
        EVP_PKEY_fromdata(ctx, &key, selection, (OSSL_PARAM *)params) <= 0) {
        return NULL;
    }
    return key;
}

EVP_PKEY *prov_software_key_from_spki(const struct prov_ctx *prov, const unsigned char *der, size_t len)
{
    const unsigned char *at = der;
    PROV_SOFTWARE_SCOPE(prov);
    EVP_PKEY *key;

    if (!PROV_SOFTWARE_ENTERED || len > LONG_MAX) {
        return NULL;
    }
    key = d2i_PUBKEY_ex(NULL, &at, (long)len, prov->child, prov->query);
    if (key != NULL && at != der + len) {
        EVP_PKEY_free(key);
        return NULL;
    }
    return key;
}

static void certificate_end(X509 **certificate)
{
    X509_free(*certificate);
}

EVP_PKEY *prov_software_key_from_certificate(const struct prov_ctx *prov, const unsigned char *der, size_t len)
{
    SCOPED(certificate_end) X509 *certificate = X509_new_ex(prov->child, prov->query);
    const unsigned char *at = der;
    PROV_SOFTWARE_SCOPE(prov);

    if (!PROV_SOFTWARE_ENTERED || certificate == NULL || len > LONG_MAX ||
        d2i_X509(&certificate, &at, (long)len) == NULL) {
        return NULL;
    }
    return X509_get_pubkey(certificate);
}

bool prov_software_public_bytes(struct bytes *out, EVP_PKEY *key)
{
    size_t len = 0;

    return EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, NULL, 0, &len) && len > 0 &&
           bytes_new(out, len) && EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, out->data, len, &len);
}

int prov_software_spki(unsigned char **out_der, EVP_PKEY *key)
{
    *out_der = NULL;
    return i2d_PUBKEY(key, out_der);
}
