/* openssl.cnf: the bytes are one, and OpenSSL's own loader reads it in a new library context, which activates Signet or
 * does not. What each setting is to the provider, which asks the core, it is to the command, which reads the file. */
#include "fuzz.h"

#include <dlfcn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/provider.h>

#include "provider.h"
#include "provider/settings/conffile.h"
#include "provider/settings/table.h"
#include "safe.h"

/* `module = /some/file` and engines: no library is loaded because bytes name it. */
void *dlopen(const char *file, int flags)
{
    (void)file, (void)flags;
    return NULL;
}

static CONF *file; /* what this input says */

static char *core_text(const OSSL_CORE_HANDLE *handle, OSSL_FUNC_core_get_params_fn *get_params, const char *key)
{
    char *value = NULL;
    OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_ptr(key, &value, 0), OSSL_PARAM_construct_end() };

    return get_params(handle, params) ? value : NULL;
}

/* How many entries of the providers' list lead to that provider's name, of whatever prefix. */
static bool stands_once(const char *name)
{
    const char *init = NCONF_get_string(file, NULL, "openssl_conf");
    const char *list = init != NULL ? NCONF_get_string(file, init, "providers") : NULL;
    STACK_OF(CONF_VALUE) *entries = list != NULL ? NCONF_get_section(file, list) : NULL;
    unsigned count = 0;

    for (int i = 0; i < sk_CONF_VALUE_num(entries); i++) {
        const CONF_VALUE *entry = sk_CONF_VALUE_value(entries, i);

        count += strstr(entry->name, name) != NULL || prov_conffile_value(file, entry->value, "identity") != NULL;
    }
    return count == 1;
}

static void same_value(const OSSL_CORE_HANDLE *handle, OSSL_FUNC_core_get_params_fn *get_params, const char *section,
                       const char *key)
{
    const char *told = core_text(handle, get_params, key);
    const char *read = prov_conffile_value(file, section, key);

    if (told == NULL || read == NULL ? told != read : strcmp(told, read) != 0) {
        fprintf(stderr, "[%s] %s: the core says '%s', the file '%s'\n", section, key, told == NULL ? "(none)" : told,
                read == NULL ? "(none)" : read);
        abort();
    }
}

static void look(const OSSL_CORE_HANDLE *handle, OSSL_FUNC_core_get_params_fn *get_params)
{
    const char *name = core_text(handle, get_params, OSSL_PROV_PARAM_CORE_PROV_NAME);
    const char *section = file != NULL && name != NULL ? prov_conffile_section(file, name) : NULL;

    if (section == NULL || !stands_once(name)) {
        return;
    }
    for (size_t i = 0; i < prov_num_settings; i++) {
        same_value(handle, get_params, section, prov_settings[i].name);
    }
    same_value(handle, get_params, section, "token.a.uri");
    same_value(handle, get_params, section, "token.a.pin");
}

/* These would read other files, or stay in this process for good. */
static bool harmless(const uint8_t *data, size_t size)
{
    static const char *const words[] = { ".include", "oid_section", "include" };

    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (memmem(data, size, words[i], strlen(words[i])) != NULL) {
            return false;
        }
    }
    return true;
}

static void context_end(OSSL_LIB_CTX **libctx)
{
    OSSL_LIB_CTX_free(*libctx);
}

static void inspected(const char *provider)
{
    const char *section = file != NULL ? prov_conffile_section(file, provider) : NULL;
    char *hint = NULL;

    if (section != NULL) {
        struct tok_result result = prov_conffile_inspect_section(&hint, file, "openssl.cnf", section);

        HOLDS(tok_ok(&result) || (result.code == TOK_CODE_BAD_SETTING && result.message[0] != '\0'));
        free(hint);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED(context_end) OSSL_LIB_CTX *libctx = NULL;

    safe_begin();
    if (!harmless(data, size)) {
        return 0;
    }
    libctx = provider_context(look);
    file = prov_conffile_read(config_path(data, size));
    (void)provider_configure(libctx, data, size);
    inspected("signet");
    inspected("other");
    NCONF_free(file);
    file = NULL;
    ERR_clear_error();
    return 0;
}
