#include "provider/keys/keymgmt.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

#include "provider/core/ends.h"
#include "provider/keys/key.h"
#include "provider/core/software.h"
#include "signet.h"

#define PRIVATE OSSL_KEYMGMT_SELECT_PRIVATE_KEY
#define PUBLIC OSSL_KEYMGMT_SELECT_PUBLIC_KEY
#define PARAMETERS OSSL_KEYMGMT_SELECT_ALL_PARAMETERS

static OSSL_FUNC_keymgmt_free_fn keymgmt_free;
static OSSL_FUNC_keymgmt_load_fn keymgmt_load;
static OSSL_FUNC_keymgmt_has_fn keymgmt_has;
static OSSL_FUNC_keymgmt_match_fn keymgmt_match;
static OSSL_FUNC_keymgmt_import_fn keymgmt_import;
static OSSL_FUNC_keymgmt_export_fn keymgmt_export;
static OSSL_FUNC_keymgmt_get_params_fn keymgmt_get_params;
static OSSL_FUNC_keymgmt_set_params_fn keymgmt_set_params;
static OSSL_FUNC_keymgmt_dup_fn keymgmt_dup;
static OSSL_FUNC_keymgmt_validate_fn keymgmt_validate;
static OSSL_FUNC_keymgmt_gen_set_template_fn gen_set_template;
static OSSL_FUNC_keymgmt_gen_set_params_fn gen_set_params;
static OSSL_FUNC_keymgmt_gen_fn gen_run;
static OSSL_FUNC_keymgmt_gen_cleanup_fn gen_cleanup;

/* --- keys --------------------------------------------------------------------------------------------------------- */

static void keymgmt_free(void *vkey)
{
    prov_key_unref(vkey);
}

/* A store or a decoder hands over its own reference: the pointer is taken out of where it lies. */
static void *keymgmt_load(const void *reference, size_t reference_size)
{
    struct prov_key *key;

    if (reference_size != sizeof(key)) {
        return NULL;
    }
    memcpy(&key, reference, sizeof(key));
    memset((void *)reference, 0, sizeof(key));
    return key;
}

/* Parameters are part of every key that has anything; RSA's are empty. */
static int keymgmt_has(const void *vkey, int selection)
{
    const struct prov_key *key = vkey;
    int asked = selection & (PRIVATE | PUBLIC);

    if (key == NULL || (key->software == NULL && selection != 0)) {
        return 0;
    }
    return (key->parts & asked) == asked;
}

static int keymgmt_match(const void *va, const void *vb, int selection)
{
    const struct prov_key *a = va;
    const struct prov_key *b = vb;

    if (a->software == NULL || b->software == NULL) {
        return 0;
    }
    return (selection & (PRIVATE | PUBLIC)) != 0 ? EVP_PKEY_eq(a->software, b->software) == 1
                                                 : EVP_PKEY_parameters_eq(a->software, b->software) == 1;
}

/* What is selected may be absent: EVP_PKEY_fromdata selects a key pair for what may be a public key. And a public half
 * may come where the private one alone is selected: OpenSSL's own key managements take it with either, and its hybrids
 * of ECDH and ML-KEM rely on that. */
static int parts_of(const struct prov_family *family, int selection, const OSSL_PARAM params[])
{
    int parts = selection & ~(PRIVATE | PUBLIC);

    if ((selection & PRIVATE) != 0 &&
        (OSSL_PARAM_locate_const(params, family->private_param) != NULL ||
         (family->seed_param != NULL && OSSL_PARAM_locate_const(params, family->seed_param) != NULL))) {
        parts |= PRIVATE;
    }
    if ((selection & (PRIVATE | PUBLIC)) != 0 && OSSL_PARAM_locate_const(params, family->public_param) != NULL) {
        parts |= PUBLIC;
    }
    if ((parts & PRIVATE) != 0 && family->private_tells_public) {
        parts |= PUBLIC;
    }
    return parts;
}

static int keymgmt_import(void *vkey, int selection, const OSSL_PARAM params[])
{
    struct prov_key *key = vkey;
    int parts = parts_of(key->variant->family, selection, params);
    EVP_PKEY *software;

    if (key->token != NULL) {
        return prov_raise(key->prov, PROV_R_KEY_TYPE, "a key on a token can't be changed");
    }
    software = prov_software_key(key->prov, key->variant->type, (selection & PARAMETERS) | (parts & (PRIVATE | PUBLIC)),
                                 params);
    if (software == NULL) {
        return 0;
    }
    EVP_PKEY_free(key->software);
    key->software = software;
    key->parts = parts;
    return 1;
}

/* The rule on which matching, encoding and verifying rest: the public half is for everybody, the private one is not
 * there. */
static int keymgmt_export(void *vkey, int selection, OSSL_CALLBACK *callback, void *arg)
{
    struct prov_key *key = vkey;

    if (key->software == NULL) {
        return prov_raise(key->prov, PROV_R_KEY_TYPE, "an empty key has nothing to export");
    }
    if (key->token != NULL && (selection & PRIVATE) != 0) {
        return prov_raise(key->prov, PROV_R_NO_PRIVATE_EXPORT, "key '%s' stays on its token; its public half is there",
                          tok_key_uri(key->token));
    }
    return prov_software_said(key->prov, EVP_PKEY_export(key->software, selection, callback, arg),
                              "nothing was exported") > 0;
}

/* --- parameters --------------------------------------------------------------------------------------------------- */

static int get_token_params(struct prov_key *key, OSSL_PARAM params[])
{
    char token[64];
    char label[128];
    OSSL_PARAM *p;

    tok_key_names(key->token, token, sizeof(token), label, sizeof(label));
    if ((p = OSSL_PARAM_locate(params, SIGNET_PKEY_PARAM_URI)) != NULL &&
        !OSSL_PARAM_set_utf8_string(p, tok_key_uri(key->token))) {
        return 0;
    }
    if ((p = OSSL_PARAM_locate(params, SIGNET_PKEY_PARAM_TOKEN)) != NULL && !OSSL_PARAM_set_utf8_string(p, token)) {
        return 0;
    }
    if ((p = OSSL_PARAM_locate(params, SIGNET_PKEY_PARAM_LABEL)) != NULL && !OSSL_PARAM_set_utf8_string(p, label)) {
        return 0;
    }
    p = OSSL_PARAM_locate(params, SIGNET_PKEY_PARAM_LAST_SIGN_US);
    return p == NULL || OSSL_PARAM_set_uint64(p, tok_key_last_us(key->token));
}

static int keymgmt_get_params(void *vkey, OSSL_PARAM params[])
{
    struct prov_key *key = vkey;

    if (key->token != NULL && !get_token_params(key, params)) {
        return 0;
    }
    if (key->software == NULL) {
        return prov_raise(key->prov, PROV_R_KEY_TYPE, "an empty key has no parameters");
    }
    return prov_software_said(key->prov, EVP_PKEY_get_params(key->software, params),
                              "a parameter is not there, or not of this type") > 0;
}

static bool has_cofactor(const struct prov_key *key)
{
    SCOPED(number_end) BIGNUM *cofactor = NULL;

    return EVP_PKEY_get_bn_param(key->software, OSSL_PKEY_PARAM_EC_COFACTOR, &cofactor) && !BN_is_one(cofactor);
}

/* A key on a token is what it is. How its public half is written may be chosen, as of a key in a file; and a cofactor
 * of one is the same in both modes. */
static int may_set(const struct prov_key *key, const OSSL_PARAM params[])
{
    for (; params->key != NULL; params++) {
        if (strcmp(params->key, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY) == 0 ||
            strcmp(params->key, OSSL_PKEY_PARAM_PUB_KEY) == 0 || strcmp(params->key, OSSL_PKEY_PARAM_PRIV_KEY) == 0 ||
            (strcmp(params->key, OSSL_PKEY_PARAM_USE_COFACTOR_ECDH) == 0 && has_cofactor(key))) {
            return prov_raise(key->prov, PROV_R_PARAMETER, "'%s' of a key on a token can't be changed", params->key);
        }
    }
    return 1;
}

static int keymgmt_set_params(void *vkey, const OSSL_PARAM params[])
{
    struct prov_key *key = vkey;

    if (params == NULL || params->key == NULL) {
        return 1;
    }
    if (key->software == NULL) {
        return prov_raise(key->prov, PROV_R_KEY_TYPE, "an empty key has no parameters");
    }
    if (key->token != NULL && !may_set(key, params)) {
        return 0;
    }
    if (prov_software_said(key->prov, EVP_PKEY_set_params(key->software, (OSSL_PARAM *)params),
                           "a parameter was refused") <= 0) {
        return 0;
    }
    if (OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY) != NULL) {
        key->parts |= PUBLIC;
    }
    return 1;
}

/* --- copies ------------------------------------------------------------------------------------------------------- */

static EVP_PKEY *software_part(const struct prov_key *key, int selection)
{
    SCOPED(params_end) OSSL_PARAM *params = NULL;

    if ((selection & (PRIVATE | PUBLIC)) == 0) { /* keys of X25519 have no parameters that could be exported */
        SCOPED(pkey_end) EVP_PKEY *part = EVP_PKEY_new();

        return part != NULL && EVP_PKEY_copy_parameters(part, key->software) == 1 ? STEAL(part) : NULL;
    }
    if (EVP_PKEY_todata(key->software, selection, &params) <= 0) {
        return NULL;
    }
    return prov_software_key(key->prov, key->variant->type, selection, params);
}

static void *keymgmt_dup(const void *vkey, int selection)
{
    const struct prov_key *key = vkey;
    SCOPED(prov_key_end) struct prov_key *copy = NULL;
    int parts = key->parts & (selection & (PRIVATE | PUBLIC));

    copy = prov_key_new(key->prov, key->variant);
    if (copy == NULL || key->software == NULL) {
        return STEAL(copy);
    }
    if (key->token != NULL && (selection & PRIVATE) != 0) {
        copy->token = tok_key_ref(key->token);
        selection |= PUBLIC; /* the public half is the key */
        parts |= key->parts & PUBLIC;
    }
    copy->parts = parts | (selection & PARAMETERS);
    copy->software = parts == (key->parts & (PRIVATE | PUBLIC)) ? EVP_PKEY_dup(key->software)
                                                                : software_part(key, parts | (selection & PARAMETERS));
    return copy->software == NULL ? NULL : STEAL(copy);
}

/* A key on a token is what its public half says; that the private one belongs to it shows in its first signature. */
static int keymgmt_validate(const void *vkey, int selection, int check_type)
{
    const struct prov_key *key = vkey;
    SCOPED(pkey_ctx_end) EVP_PKEY_CTX *ctx = key->software == NULL ? NULL : prov_software_ctx(key->prov, key->software);
    bool quick = check_type == OSSL_KEYMGMT_VALIDATE_QUICK_CHECK;

    if (ctx == NULL) {
        return 0;
    }
    if (key->token != NULL) {
        selection &= ~PRIVATE;
    }
    if ((selection & (PRIVATE | PUBLIC)) == (PRIVATE | PUBLIC)) {
        return EVP_PKEY_check(ctx) == 1;
    }
    if ((selection & PRIVATE) != 0) {
        return EVP_PKEY_private_check(ctx) == 1;
    }
    if ((selection & PUBLIC) != 0) {
        return (quick ? EVP_PKEY_public_check_quick(ctx) : EVP_PKEY_public_check(ctx)) == 1;
    }
    return (quick ? EVP_PKEY_param_check_quick(ctx) : EVP_PKEY_param_check(ctx)) == 1;
}

/* Operations have private names, which nobody else's key can meet; those that we don't have are the others' own. */
static const char *operation_name(const struct prov_family *family, int operation)
{
    switch (operation) {
    case OSSL_OP_SIGNATURE:
        return family->signature;
    case OSSL_OP_ASYM_CIPHER:
        return family->asym_cipher;
    case OSSL_OP_KEYEXCH:
        return family->key_exchange;
    case OSSL_OP_KEM:
        return family->key_encapsulation;
    default:
        return NULL;
    }
}

/* --- generation: always of software keys -------------------------------------------------------------------------- */

struct generation {
    struct prov_ctx *prov;
    const struct prov_variant *variant;
    int selection;
    EVP_PKEY_CTX *ctx;
    OSSL_PARAM *params; /* all that were set: a template makes a new context, which needs them again */
};

static void gen_cleanup(void *vgen)
{
    struct generation *gen = vgen;

    if (gen != NULL) {
        EVP_PKEY_CTX_free(gen->ctx);
        OSSL_PARAM_free(gen->params);
        free(gen);
    }
}

static int gen_begin(struct generation *gen)
{
    if (gen->ctx == NULL) {
        return 0;
    }
    return ((gen->selection & (PRIVATE | PUBLIC)) != 0 ? EVP_PKEY_keygen_init(gen->ctx)
                                                       : EVP_PKEY_paramgen_init(gen->ctx)) > 0;
}

static void *gen_new(void *vprov, const struct prov_variant *variant, int selection, const OSSL_PARAM params[])
{
    struct generation *gen = calloc(1, sizeof(*gen));

    if (gen == NULL) {
        prov_raise(vprov, PROV_R_NO_MEMORY, "a generation");
        return NULL;
    }
    gen->prov = vprov;
    gen->variant = variant;
    gen->selection = selection;
    gen->ctx = prov_software_ctx_by_name(vprov, variant->type);
    if (!gen_begin(gen) || !gen_set_params(gen, params)) {
        gen_cleanup(gen);
        return NULL;
    }
    return gen;
}

static int gen_set_params(void *vgen, const OSSL_PARAM params[])
{
    struct generation *gen = vgen;
    OSSL_PARAM *merged;

    if (params == NULL || params->key == NULL) {
        return 1;
    }
    if (EVP_PKEY_CTX_set_params(gen->ctx, params) <= 0) {
        return 0;
    }
    merged = gen->params == NULL ? OSSL_PARAM_dup(params) : NULL;
    if (gen->params != NULL) {
        SCOPED(params_end) OSSL_PARAM *both = OSSL_PARAM_merge(gen->params, params);

        merged = both == NULL ? NULL : OSSL_PARAM_dup(both);
    }
    if (merged == NULL) {
        return 0;
    }
    OSSL_PARAM_free(gen->params);
    gen->params = merged;
    return 1;
}

static int gen_set_template(void *vgen, void *vtemplate)
{
    struct generation *gen = vgen;
    struct prov_key *template = vtemplate;

    if (template->software == NULL) {
        return 0;
    }
    EVP_PKEY_CTX_free(gen->ctx);
    gen->ctx = prov_software_ctx(gen->prov, template->software);
    return gen_begin(gen) && (gen->params == NULL || EVP_PKEY_CTX_set_params(gen->ctx, gen->params) > 0);
}

static void *gen_run(void *vgen, OSSL_CALLBACK *callback, void *arg)
{
    struct generation *gen = vgen;
    SCOPED(prov_key_end) struct prov_key *key = prov_key_new(gen->prov, gen->variant);

    (void)callback; /* progress: the delegate does not report it */
    (void)arg;
    if (key == NULL || EVP_PKEY_generate(gen->ctx, &key->software) <= 0) {
        return NULL;
    }
    key->parts = gen->selection;
    return STEAL(key);
}

/* --- what OpenSSL asks without a key in hand ---------------------------------------------------------------------- */

/* A row's one-liners and its table; no logic. */
#define KEYMGMT_TABLE(id, variant)                                                                                     \
    static OSSL_FUNC_keymgmt_new_fn id##_new;                                                                          \
    static OSSL_FUNC_keymgmt_gen_init_fn id##_gen_init;                                                                \
    static OSSL_FUNC_keymgmt_query_operation_name_fn id##_operation_name;                                              \
    static OSSL_FUNC_keymgmt_import_types_fn id##_key_params;                                                          \
    static OSSL_FUNC_keymgmt_gettable_params_fn id##_readable;                                                         \
    static OSSL_FUNC_keymgmt_settable_params_fn id##_writable;                                                         \
    static OSSL_FUNC_keymgmt_gen_settable_params_fn id##_generation;                                                   \
    static void *id##_new(void *prov)                                                                                  \
    {                                                                                                                  \
        return prov_key_new(prov, &(variant));                                                                         \
    }                                                                                                                  \
    static void *id##_gen_init(void *prov, int selection, const OSSL_PARAM params[])                                   \
    {                                                                                                                  \
        return gen_new(prov, &(variant), selection, params);                                                           \
    }                                                                                                                  \
    static const char *id##_operation_name(int operation)                                                              \
    {                                                                                                                  \
        return operation_name((variant).family, operation);                                                            \
    }                                                                                                                  \
    static const OSSL_PARAM *id##_key_params(int selection)                                                            \
    {                                                                                                                  \
        (void)selection;                                                                                               \
        return (variant).family->key_params;                                                                           \
    }                                                                                                                  \
    static const OSSL_PARAM *id##_readable(void *prov)                                                                 \
    {                                                                                                                  \
        (void)prov;                                                                                                    \
        return (variant).family->readable;                                                                             \
    }                                                                                                                  \
    static const OSSL_PARAM *id##_writable(void *prov)                                                                 \
    {                                                                                                                  \
        (void)prov;                                                                                                    \
        return (variant).family->writable;                                                                             \
    }                                                                                                                  \
    static const OSSL_PARAM *id##_generation(void *gen, void *prov)                                                    \
    {                                                                                                                  \
        (void)gen;                                                                                                     \
        (void)prov;                                                                                                    \
        return (variant).family->generation;                                                                           \
    }                                                                                                                  \
    static const OSSL_DISPATCH id##_functions[] = {                                                                    \
        { OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))id##_new },                                                           \
        { OSSL_FUNC_KEYMGMT_FREE, (void (*)(void))keymgmt_free },                                                      \
        { OSSL_FUNC_KEYMGMT_LOAD, (void (*)(void))keymgmt_load },                                                      \
        { OSSL_FUNC_KEYMGMT_HAS, (void (*)(void))keymgmt_has },                                                        \
        { OSSL_FUNC_KEYMGMT_MATCH, (void (*)(void))keymgmt_match },                                                    \
        { OSSL_FUNC_KEYMGMT_IMPORT, (void (*)(void))keymgmt_import },                                                  \
        { OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (void (*)(void))id##_key_params },                                           \
        { OSSL_FUNC_KEYMGMT_EXPORT, (void (*)(void))keymgmt_export },                                                  \
        { OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (void (*)(void))id##_key_params },                                           \
        { OSSL_FUNC_KEYMGMT_GET_PARAMS, (void (*)(void))keymgmt_get_params },                                          \
        { OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, (void (*)(void))id##_readable },                                          \
        { OSSL_FUNC_KEYMGMT_SET_PARAMS, (void (*)(void))keymgmt_set_params },                                          \
        { OSSL_FUNC_KEYMGMT_SETTABLE_PARAMS, (void (*)(void))id##_writable },                                          \
        { OSSL_FUNC_KEYMGMT_DUP, (void (*)(void))keymgmt_dup },                                                        \
        { OSSL_FUNC_KEYMGMT_VALIDATE, (void (*)(void))keymgmt_validate },                                              \
        { OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, (void (*)(void))id##_operation_name },                               \
        { OSSL_FUNC_KEYMGMT_GEN_INIT, (void (*)(void))id##_gen_init },                                                 \
        { OSSL_FUNC_KEYMGMT_GEN_SET_TEMPLATE, (void (*)(void))gen_set_template },                                      \
        { OSSL_FUNC_KEYMGMT_GEN_SET_PARAMS, (void (*)(void))gen_set_params },                                          \
        { OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS, (void (*)(void))id##_generation },                                    \
        { OSSL_FUNC_KEYMGMT_GEN, (void (*)(void))gen_run },                                                            \
        { OSSL_FUNC_KEYMGMT_GEN_CLEANUP, (void (*)(void))gen_cleanup },                                                \
        { 0, NULL },                                                                                                   \
    };

#define KEYMGMT_ROW(id) KEYMGMT_TABLE(id, prov_##id##_variant)
PROV_VARIANTS(KEYMGMT_ROW)

#define TABLE_ROW(id) { &prov_##id##_variant, id##_functions },

static const struct {
    const struct prov_variant *variant;
    const OSSL_DISPATCH *functions;
} tables[] = { PROV_VARIANTS(TABLE_ROW) };

const OSSL_DISPATCH *prov_keymgmt_functions(const struct prov_variant *variant)
{
    for (size_t i = 0; i < COUNT_OF(tables); i++) {
        if (tables[i].variant == variant) {
            return tables[i].functions;
        }
    }
    return NULL;
}
