/* The provider, from start to end: what it is given, what it offers, and what it answers about itself. */
#include "provider/provider.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>

#include "base/shared.h"
#include "pkcs11/key/child.h"
#include "pkcs11/token/login.h"
#include "pkcs11/work/worker.h"
#include "provider/capabilities.h"
#include "provider/core/context.h"
#include "provider/files/decoder.h"
#include "provider/files/encoder.h"
#include "provider/files/store.h"
#include "provider/keys/keymgmt.h"
#include "provider/keys/prover.h"
#include "provider/operations/asymcipher.h"
#include "provider/operations/encapsulation.h"
#include "provider/operations/exchange.h"
#include "provider/operations/signature.h"
#include "provider/settings/config.h"

static OSSL_FUNC_provider_teardown_fn prov_teardown;
static OSSL_FUNC_provider_gettable_params_fn prov_gettable_params;
static OSSL_FUNC_provider_get_params_fn prov_get_params;
static OSSL_FUNC_provider_query_operation_fn prov_query_operation;
static OSSL_FUNC_provider_get_reason_strings_fn prov_get_reason_strings;

#define NUM_TABLES (OSSL_OP__HIGHEST + 1)

/* An instance, with the algorithms that it offers. */
struct instance {
    struct prov_ctx ctx;                /* first: to all functions that OpenSSL calls, an instance is its context */
    char *properties;                   /* of our algorithms: "provider=NAME,signet.algorithm=yes[,fips=yes]" */
    char *unapproved;                   /* of those that FIPS 140 does not have: the same without fips=yes */
    OSSL_ALGORITHM *tables[NUM_TABLES]; /* by OSSL_OP_ number; constant after start; NULL: none */
};

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

static bool table_has(const OSSL_ALGORITHM *table, const char *names)
{
    for (; table != NULL && table->algorithm_names != NULL; table++) {
        if (strcmp(table->algorithm_names, names) == 0) {
            return true;
        }
    }
    return false;
}

static const char *properties_of(const struct instance *instance, const struct prov_variant *variant)
{
    return variant != NULL && variant->family->unapproved ? instance->unapproved : instance->properties;
}

/* Families share a name where one set of functions serves both. */
static bool operation_add(struct instance *instance, int operation, const char *name, const OSSL_DISPATCH *functions)
{
    OSSL_ALGORITHM **table = &instance->tables[operation];

    return name == NULL || table_has(*table, name) ||
           table_add(table, name, instance->properties, NULL, functions, NULL);
}

static bool variant_add(struct instance *instance, const struct prov_variant *variant)
{
    const struct prov_family *family = variant->family;

    return table_add(&instance->tables[OSSL_OP_KEYMGMT], variant->names, properties_of(instance, variant), NULL,
                     prov_keymgmt_functions(variant), variant->description) &&
           operation_add(instance, OSSL_OP_SIGNATURE, family->signature, prov_signature_functions(family)) &&
           operation_add(instance, OSSL_OP_ASYM_CIPHER, family->asym_cipher, prov_asym_cipher_functions) &&
           operation_add(instance, OSSL_OP_KEYEXCH, family->key_exchange, prov_exchange_functions) &&
           operation_add(instance, OSSL_OP_KEM, family->key_encapsulation, prov_encapsulation_functions);
}

/* Those of no type are left out unless they are asked for. */
static bool coders_add(struct instance *instance, int operation, const struct prov_coder_row *rows, bool untyped)
{
    bool good = true;

    for (; good && rows->functions != NULL; rows++) {
        if (rows->variant == NULL ? untyped : prov_variant_is_offered(rows->variant, instance->ctx.key_types)) {
            good = table_add(&instance->tables[operation], rows->variant != NULL ? rows->variant->names : rows->names,
                             properties_of(instance, rows->variant), rows->properties_suffix, rows->functions, NULL);
        }
    }
    return good;
}

static bool tables_make(struct instance *instance)
{
    int files = instance->ctx.key_files;
    bool good = true;

    for (size_t i = 0; good && prov_variants[i] != NULL; i++) {
        good = !prov_variant_is_offered(prov_variants[i], instance->ctx.key_types) ||
               variant_add(instance, prov_variants[i]);
    }
    return good &&
           (files == PROV_FILES_NONE ||
            coders_add(instance, OSSL_OP_DECODER, prov_decoders, files == PROV_FILES_ALL)) &&
           coders_add(instance, OSSL_OP_ENCODER, prov_encoders, true) &&
           table_add(&instance->tables[OSSL_OP_STORE], "pkcs11", instance->properties, NULL, prov_store_functions,
                     "PKCS#11 URIs (RFC 7512)");
}

/* Static from the start, so that nothing is cached which will not be true later (*no_store stays 0). No digests,
 * ciphers or random numbers: those are not the private key's business. */
static const OSSL_ALGORITHM *prov_query_operation(void *vinstance, int operation, int *no_store)
{
    const struct instance *instance = vinstance;

    *no_store = 0;
    return operation > 0 && operation < NUM_TABLES ? instance->tables[operation] : NULL;
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
    return prov_err_reasons();
}

static const OSSL_DISPATCH prov_functions[] = {
    { OSSL_FUNC_PROVIDER_TEARDOWN, (void (*)(void))prov_teardown },
    { OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, (void (*)(void))prov_gettable_params },
    { OSSL_FUNC_PROVIDER_GET_PARAMS, (void (*)(void))prov_get_params },
    { OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))prov_query_operation },
    { OSSL_FUNC_PROVIDER_GET_CAPABILITIES, (void (*)(void))prov_capabilities_get },
    { OSSL_FUNC_PROVIDER_GET_REASON_STRINGS, (void (*)(void))prov_get_reason_strings },
    { 0, NULL },
};

/* --- start and end ------------------------------------------------------------------------------------------------ */

static void prov_teardown(void *vinstance)
{
    struct instance *instance = vinstance;

    if (instance == NULL || !tok_workers_leave(&instance->ctx.settings)) {
        return; /* a worker that hangs in a module still needs it */
    }
    tok_child_forget(&instance->ctx.settings);
    for (size_t i = 0; i < NUM_TABLES; i++) {
        table_free(instance->tables[i]);
    }
    free(instance->properties);
    free(instance->unapproved);
    tok_pins_release();
    prov_ctx_end(&instance->ctx);
    free(instance);
}

static void instance_end(struct instance **instance)
{
    prov_teardown(*instance);
}

static bool properties_make(struct instance *instance)
{
    const struct prov_ctx *prov = &instance->ctx;
    size_t size = strlen(prov->name) + sizeof("provider=,signet.algorithm=yes,fips=yes");

    instance->properties = malloc(size);
    instance->unapproved = malloc(size);
    if (instance->properties == NULL || instance->unapproved == NULL) {
        return false;
    }
    (void)snprintf(instance->unapproved, size, "provider=%s,signet.algorithm=yes", prov->name);
    (void)snprintf(instance->properties, size, "%s%s", instance->unapproved, prov->fips ? ",fips=yes" : "");
    return true;
}

int prov_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **provctx)
{
    SCOPED(instance_end) struct instance *instance = calloc(1, sizeof(*instance));

    if (instance == NULL) {
        return 0;
    }
    tok_pins_hold();
    shared_begin(); /* before the application forks */
    if (!prov_ctx_begin(&instance->ctx, handle, in)) {
        return 0;
    }
    instance->ctx.settings.prover = prov_prover_lender(&instance->ctx);
    if (!properties_make(instance) || !tables_make(instance)) {
        return prov_raise(&instance->ctx, PROV_R_NO_MEMORY, "starting the provider");
    }
    *out = prov_functions;
    *provctx = STEAL(instance);
    return 1;
}
