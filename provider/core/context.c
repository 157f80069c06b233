#include "provider/core/context.h"

#include <ctype.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <string.h>

#include "base/stderr.h"
#include "base/trace.h"
#include "provider/core/software.h"
#include "provider/settings/conffile.h"
#include "provider/settings/config.h"

/* --- settings ----------------------------------------------------------------------------------------------------- */

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

/* Around what a child of a fork does by itself (pkcs11/key/child.h): a module may leave errors on the queue. */
static void quiet_begin(void *prov)
{
    prov_err_mark(prov);
}

static void quiet_end(void *prov)
{
    prov_err_forget(prov);
}

static struct tok_result configure(struct prov_ctx *prov, struct core *core)
{
    const struct prov_config_source source = { core_text, core, NULL };
    struct prov_config config;

    tok_settings_init(&prov->settings);
    TOK_TRY(prov_config_read(&config, &source));
    tok_settings_end(&prov->settings);
    prov->settings = config.settings; /* moved, so that the config is not ended */
    prov->settings.quiet = (struct tok_quiet){ quiet_begin, quiet_end, prov };
    prov->key_types = config.key_types;
    prov->key_files = (int)config.key_files;
    prov->rsa_decrypt = config.rsa_decrypt;
    prov->async = config.async;
    prov->fips = config.fips;
    return tok_good();
}

/* A bad setting is reported whenever a key is loaded: failing at the start would harm processes that need no key, and
 * leave those that do with an "unregistered scheme". */
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
    result = prov_conffile_inspect(&hint, prov->name);
    prov_err_forget(prov);
    if (hint != NULL && !atomic_compare_exchange_strong(&prov->hint, &none, hint)) {
        free(hint);
    }
    if (prov->trouble == NULL) {
        (void)trouble_keep(prov, &result);
    }
}

int prov_ctx_ready(struct prov_ctx *prov)
{
    inspect(prov);
    if (prov->trouble != NULL) {
        return prov_fail(prov, prov->trouble);
    }
    if (!prov->software && !prov_software_prove(prov)) {
        return prov_raise(prov, PROV_R_SOFTWARE, "the query '%s' does not keep our own algorithms away", prov->query);
    }
    if (!prov->software) {
        return prov_raise(prov, PROV_R_NO_SOFTWARE,
                          "no other provider serves RSA and EC: add `default = default_sect` to the "
                          "providers of openssl.cnf, with [default_sect] activate = 1");
    }
    return 1;
}

static void fetch(struct tok_pin_source *source)
{
    SCOPED(secret_end) struct secret pin = { 0 };

    if (source != NULL) {
        struct tok_result ignored = tok_pin_fetch(source, &pin);

        (void)ignored;
    }
}

void prov_ctx_fetch_pins(struct prov_ctx *prov)
{
    fetch(prov->settings.pin);
    for (size_t i = 0; i < prov->settings.num_tokens; i++) {
        fetch(prov->settings.tokens[i].pin);
    }
}

/* --- start and end ------------------------------------------------------------------------------------------------ */

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

int prov_ctx_begin(struct prov_ctx *prov, const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in)
{
    struct core core = { .handle = handle };
    struct tok_result result;

    stderr_remember(); /* before the application becomes a daemon */
    for (const OSSL_DISPATCH *at = in; at->function_id != 0; at++) {
        switch (at->function_id) {
        case OSSL_FUNC_CORE_GET_PARAMS:
            core.get_params = OSSL_FUNC_core_get_params(at);
            break;
        case OSSL_FUNC_BIO_READ_EX:
            prov->bio_read = OSSL_FUNC_BIO_read_ex(at);
            break;
        case OSSL_FUNC_BIO_GETS:
            prov->bio_gets = OSSL_FUNC_BIO_gets(at);
            break;
        case OSSL_FUNC_BIO_CTRL:
            prov->bio_ctrl = OSSL_FUNC_BIO_ctrl(at);
            break;
        default:
            break;
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
    prov->query = prov_software_first_query();
    prov->child = OSSL_LIB_CTX_new_child(handle, in);
    result = configure(prov, &core);
    return (prov->child != NULL && trouble_keep(prov, &result)) ||
           prov_raise(prov, PROV_R_NO_MEMORY, "starting the provider");
}

void prov_ctx_end(struct prov_ctx *prov)
{
    tok_settings_end(&prov->settings);
    OSSL_LIB_CTX_free(prov->child);
    free(prov->trouble);
    free(prov->hint);
}
