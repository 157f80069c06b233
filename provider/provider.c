/* The provider, from start to end: what it is given, what it offers, and what it answers about itself. */
#include "provider/provider.h"

#include <ctype.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

#include "base/shared.h"
#include "base/trace.h"
#include "pkcs11/key/child.h"
#include "pkcs11/work/worker.h"
#include "provider/operations/asymcipher.h"
#include "provider/capabilities.h"
#include "provider/settings/conffile.h"
#include "provider/settings/config.h"
#include "provider/files/decoder.h"
#include "provider/files/encoder.h"
#include "provider/operations/exchange.h"
#include "provider/keys/keymgmt.h"
#include "provider/operations/signature.h"
#include "provider/core/software.h"
#include "provider/files/store.h"

static OSSL_FUNC_provider_teardown_fn prov_teardown;
static OSSL_FUNC_provider_gettable_params_fn prov_gettable_params;
static OSSL_FUNC_provider_get_params_fn prov_get_params;
static OSSL_FUNC_provider_query_operation_fn prov_query_operation;
static OSSL_FUNC_provider_get_reason_strings_fn prov_get_reason_strings;

/* --- the tables of algorithms ------------------------------------------------------------------------------------- */

/* A table grows row by row; the properties of all its rows are one text, or one with a suffix of the row. */
static bool table_add(OSSL_ALGORITHM **table, const char *names, const char *properties, const char *suffix,
                      const OSSL_DISPATCH *functions, const char *description)
{
    size_t count = 0;
    size_t size = strlen(properties) + (suffix != NULL ? strlen(suffix) : 0) + 2;
    char *own = malloc(size);
    OSSL_ALGORITHM *grown;

    while (*table != NULL && (*table)[count].algorithm_names != NULL) {
        count++;
    }
    grown = reallocarray(*table, count + 2, sizeof(*grown));
    if (grown != NULL) {
        *table = grown;
        memset(&grown[count], 0, 2 * sizeof(*grown));
    }
    if (grown == NULL || own == NULL) {
        free(own);
        return false;
    }
    (void)snprintf(own, size, "%s%s%s", properties, suffix != NULL ? "," : "", suffix != NULL ? suffix : "");
    grown[count] = (OSSL_ALGORITHM){ names, own, functions, description };
    return true;
}

static void table_free(OSSL_ALGORITHM *table)
{
    for (size_t i = 0; table != NULL && table[i].algorithm_names != NULL; i++) {
        free((char *)table[i].property_definition);
    }
    free(table);
}

static const char *properties_of(const struct prov_ctx *prov, const struct prov_variant *variant)
{
    return variant != NULL && variant->family->unapproved ? prov->unapproved : prov->properties;
}

/* One for each family, however many rows it has. */
static bool signatures_make(struct prov_ctx *prov)
{
    const struct prov_family *before = NULL;
    bool good = true;

    for (size_t i = 0; prov_variants[i] != NULL; i++) {
        const struct prov_family *family = prov_variants[i]->family;

        if (family != before && family->operation != NULL && prov_variant_is_known(prov_variants[i])) {
            good = good && table_add(&prov->signature, family->operation, prov->properties, NULL,
                                     prov_signature_functions, NULL);
        }
        before = family;
    }
    return good;
}

static bool coders_make(OSSL_ALGORITHM **table, const struct prov_ctx *prov, const struct prov_coder_row *rows)
{
    bool good = true;

    for (; rows->names != NULL; rows++) {
        if (rows->variant == NULL || prov_variant_is_known(rows->variant)) {
            good = good && table_add(table, rows->names, properties_of(prov, rows->variant), rows->properties_suffix,
                                     rows->functions, NULL);
        }
    }
    return good;
}

static bool tables_make(struct prov_ctx *prov)
{
    const char *properties = prov->properties;
    bool good = true;

    for (size_t i = 0; prov_variants[i] != NULL; i++) {
        const struct prov_variant *variant = prov_variants[i];

        if (prov_variant_is_known(variant)) {
            good = good && table_add(&prov->keymgmt, variant->names, properties_of(prov, variant), NULL,
                                     prov_keymgmt_functions(variant), variant->description);
        }
    }
    return good && coders_make(&prov->decoder, prov, prov_decoders) &&
           coders_make(&prov->encoder, prov, prov_encoders) && signatures_make(prov) &&
           table_add(&prov->asym_cipher, prov_rsa.asym_cipher, properties, NULL, prov_asym_cipher_functions, NULL) &&
           table_add(&prov->key_exchange, prov_ec.key_exchange, properties, NULL, prov_exchange_functions, NULL) &&
           table_add(&prov->store, "pkcs11", properties, NULL, prov_store_functions, "PKCS#11 URIs (RFC 7512)");
}

/* Static from the start, so that nothing is cached which will not be true later (*no_store stays 0). No digests,
 * ciphers or random numbers: those are not the private key's business. */
static const OSSL_ALGORITHM *prov_query_operation(void *vprov, int operation, int *no_store)
{
    struct prov_ctx *prov = vprov;

    *no_store = 0;
    switch (operation) {
    case OSSL_OP_KEYMGMT:
        return prov->keymgmt;
    case OSSL_OP_SIGNATURE:
        return prov->signature;
    case OSSL_OP_ASYM_CIPHER:
        return prov->asym_cipher;
    case OSSL_OP_KEYEXCH:
        return prov->key_exchange;
    case OSSL_OP_STORE:
        return prov->store;
    case OSSL_OP_DECODER:
        return prov->decoder;
    case OSSL_OP_ENCODER:
        return prov->encoder;
    default:
        return NULL;
    }
}

/* --- about itself ------------------------------------------------------------------------------------------------- */

static const OSSL_PARAM *prov_gettable_params(void *vprov)
{
    static const OSSL_PARAM known[] = {
        OSSL_PARAM_DEFN(OSSL_PROV_PARAM_NAME, OSSL_PARAM_UTF8_PTR, NULL, 0),
        OSSL_PARAM_DEFN(OSSL_PROV_PARAM_VERSION, OSSL_PARAM_UTF8_PTR, NULL, 0),
        OSSL_PARAM_DEFN(OSSL_PROV_PARAM_BUILDINFO, OSSL_PARAM_UTF8_PTR, NULL, 0),
        OSSL_PARAM_DEFN(OSSL_PROV_PARAM_STATUS, OSSL_PARAM_INTEGER, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vprov;
    return known;
}

static int prov_get_params(void *vprov, OSSL_PARAM params[])
{
    const struct prov_ctx *prov = vprov;
    OSSL_PARAM *p;

    if ((p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_NAME)) != NULL && !OSSL_PARAM_set_utf8_ptr(p, "Signet")) {
        return 0;
    }
    if ((p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_VERSION)) != NULL &&
        !OSSL_PARAM_set_utf8_ptr(p, PACKAGE_VERSION)) {
        return 0;
    }
    if ((p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_BUILDINFO)) != NULL &&
        !OSSL_PARAM_set_utf8_ptr(p, PACKAGE_STRING)) {
        return 0;
    }
    p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS);
    return p == NULL || OSSL_PARAM_set_int(p, prov->trouble == NULL);
}

static const OSSL_ITEM *prov_get_reason_strings(void *vprov)
{
    (void)vprov;
    return prov_reason_strings();
}

/* A setting that makes no sense is told whenever a key is loaded: failing here would harm processes that need no key,
 * and leave those that do with an "unregistered scheme". */
static bool trouble_keep(struct prov_ctx *prov, const struct tok_result *result)
{
    struct tok_result *kept;

    if (tok_ok(result)) {
        return true;
    }
    kept = malloc(sizeof(*kept));
    if (kept == NULL) {
        return false;
    }
    *kept = *result;
    prov->trouble = kept;
    trace(TRACE_CONFIG, "config: %s", result->message);
    return true;
}

/* Once, at the first key: the file is parsed for what the core does not tell. Two threads may both do so; one result
 * stays. */
static void inspect(struct prov_ctx *prov)
{
    char *hint = NULL;
    char *none = NULL;
    struct tok_result result;

    if (prov->inspected || atomic_exchange(&prov->inspected, true)) {
        return;
    }
    prov_err_mark(prov);
    result = config_inspect(&hint, prov->name);
    prov_err_forget(prov);
    if (hint != NULL && !atomic_compare_exchange_strong(&prov->hint, &none, hint)) {
        free(hint);
    }
    if (prov->trouble == NULL) {
        (void)trouble_keep(prov, &result);
    }
}

int prov_ready(struct prov_ctx *prov)
{
    inspect(prov);
    if (prov->trouble != NULL) {
        return prov_fail(prov, prov->trouble);
    }
    if (!prov->software && !software_prove(prov)) {
        return prov_raise(prov, PROV_R_SOFTWARE, "the query '%s' does not keep our own algorithms away", prov->query);
    }
    if (!prov->software) {
        return prov_raise(prov, PROV_R_NO_SOFTWARE,
                          "no other provider serves RSA and EC: add `default = default_sect` to the "
                          "providers of openssl.cnf, with [default_sect] activate = 1");
    }
    return 1;
}

/* --- start and end ------------------------------------------------------------------------------------------------ */

static void prov_teardown(void *vprov)
{
    struct prov_ctx *prov = vprov;

    if (prov == NULL || !tok_workers_leave(&prov->settings)) { /* a worker that hangs in a module still needs it */
        return;
    }
    table_free(prov->keymgmt);
    table_free(prov->signature);
    table_free(prov->asym_cipher);
    table_free(prov->key_exchange);
    table_free(prov->store);
    table_free(prov->decoder);
    table_free(prov->encoder);
    tok_child_forget(&prov->settings);
    tok_settings_end(&prov->settings);
    OSSL_LIB_CTX_free(prov->child);
    free(prov->properties);
    free(prov->unapproved);
    free(prov->trouble);
    free(prov->hint);
    free(prov);
}

static void prov_end(struct prov_ctx **prov)
{
    prov_teardown(*prov);
}

/* The core's functions that the start itself needs. */
struct core {
    OSSL_FUNC_core_get_params_fn *get_params;
    const OSSL_CORE_HANDLE *handle;
};

static const char *core_text(void *vcore, const char *key)
{
    const struct core *core = vcore;
    char *value = NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_ptr(key, &value, 0),
        OSSL_PARAM_construct_end(),
    };

    return core->get_params != NULL && core->get_params(core->handle, params) ? value : NULL;
}

/* The name becomes part of a property definition, where some characters have a meaning. */
static struct tok_result name_check(const char *name)
{
    for (const char *at = name; *at != '\0'; at++) {
        if (!isalnum((unsigned char)*at) && strchr("_.-", *at) == NULL) {
            return tok_fail(TOK_CODE_BAD_SETTING,
                            "the provider can't be activated as '%s': a name is of letters, digits, '_', '-' "
                            "and '.', since it becomes the property provider=NAME",
                            name);
        }
    }
    return tok_good();
}

static bool properties_make(struct prov_ctx *prov, bool fips)
{
    size_t size = strlen(prov->name) + sizeof("provider=,signet.algorithm=yes,fips=yes");

    prov->properties = malloc(size);
    prov->unapproved = malloc(size);
    if (prov->properties == NULL || prov->unapproved == NULL) {
        return false;
    }
    (void)snprintf(prov->unapproved, size, "provider=%s,signet.algorithm=yes", prov->name);
    (void)snprintf(prov->properties, size, "%s%s", prov->unapproved, fips ? ",fips=yes" : "");
    return true;
}

/* Around what a child of a fork does by itself (pkcs11/key/child.h): a module may leave errors on the queue. */
static void quiet_begin(void *prov)
{
    prov_err_mark(prov);
}

static void quiet_end(void *prov)
{
    prov_err_forget(prov);
}

static struct tok_result configure(struct prov_ctx *prov, struct core *core, bool *out_fips)
{
    const struct config_source source = { core_text, core, NULL };
    struct config config;

    *out_fips = false;
    tok_settings_init(&prov->settings);
    TOK_TRY(config_read(&config, &source));
    tok_settings_end(&prov->settings);
    prov->settings = config.settings; /* moved, so that the config is not ended */
    prov->settings.quiet = (struct tok_quiet){ quiet_begin, quiet_end, prov };
    prov->rsa_decrypt = config.rsa_decrypt;
    prov->async = config.async;
    *out_fips = config.fips;
    return tok_good();
}

static const OSSL_DISPATCH prov_functions[] = {
    { OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))prov_teardown },
    { OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void))prov_gettable_params },
    { OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void))prov_get_params },
    { OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))prov_query_operation },
    { OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))prov_get_capabilities },
    { OSSL_FUNC_PROVIDER_GET_REASON_STRINGS, (void (*)(void))prov_get_reason_strings },
    { 0, NULL },
};

int prov_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **provctx)
{
    SCOPED(prov_end) struct prov_ctx *prov = calloc(1, sizeof(*prov));
    struct core core = { .handle = handle };
    struct tok_result result;
    bool fips = false;

    if (prov == NULL) {
        return 0;
    }
    shared_begin(); /* before the application forks */
    for (const OSSL_DISPATCH *at = in; at->function_id != 0; at++) {
        if (at->function_id == OSSL_FUNC_CORE_GET_PARAMS) {
            core.get_params = OSSL_FUNC_core_get_params(at);
        }
    }
    prov->handle = handle;
    prov_err_init(&prov->err, in);
    prov->name = core_text(&core, OSSL_PROV_PARAM_CORE_PROV_NAME);
    if (prov->name == NULL) {
        prov->name = "signet";
    }
    result = name_check(prov->name);
    if (!tok_ok(&result)) {
        return prov_fail(prov, &result);
    }
    prov->query = software_first_query();
    prov->child = OSSL_LIB_CTX_new_child(handle, in);
    result = configure(prov, &core, &fips);
    if (prov->child == NULL || !trouble_keep(prov, &result) || !properties_make(prov, fips) || !tables_make(prov)) {
        return prov_raise(prov, PROV_R_NO_MEMORY, "starting the provider");
    }
    *out = prov_functions;
    *provctx = STEAL(prov);
    return 1;
}
