#include <openssl/conf.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "command.h"
#include "provider/provider.h"
#include "provider/settings/conffile.h"

/* --module may be given repeatedly. */
static void module_add(const char *path)
{
    static char list[4096];
    static struct text text;

    if (text.size == 0) {
        text = TEXT_OVER(list);
    }
    text_printf(&text, "%s%s", text.len > 0 ? "," : "", path);
    prov_config_override("pkcs11-module", "--module", list);
}

bool common_option(struct common_options *options, int option, const char *argument)
{
    switch (option) {
    case 'C':
        options->file = argument;
        return true;
    case 'P':
        options->provider = argument;
        return true;
    case 'M':
        module_add(argument);
        return true;
    case 'p':
        prov_config_override("pin", "--pin", argument);
        return true;
    default:
        return false;
    }
}

const char *common_provider(const struct common_options *options)
{
    return options->provider != NULL ? options->provider : "signet";
}

/* The configuration that was read, and the provider's section in it; no section says nothing. */
struct lookup {
    char *path;
    CONF *conf;
    const char *section;
};

static void lookup_end(struct lookup *lookup)
{
    OPENSSL_free(lookup->path);
    NCONF_free(lookup->conf);
}

static const char *lookup_get(void *arg, const char *key)
{
    const struct lookup *lookup = arg;

    return lookup->section == NULL ? NULL : prov_conffile_value(lookup->conf, lookup->section, key);
}

/* libcrypto's first error is the cause; for a line that makes no sense its data ends in the line's number. */
static struct tok_result unreadable(const char *path)
{
    const char *data = "";
    int flags = 0;
    unsigned long code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags);
    const char *reason = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    const char *line = strstr(data, "line ");

    return tok_fail(TOK_CODE_BAD_ARGUMENT, "the configuration file '%s' can't be read: %s%s%s", path,
                    reason != NULL ? reason : "unknown error", line != NULL ? ", " : "", line != NULL ? line : "");
}

/* OpenSSL goes on without its own file where that does not exist; so do we, but say so if it was named. Likewise where
 * it says nothing of the provider. */
static struct tok_result lookup_open(struct lookup *lookup, const struct common_options *options)
{
    const char *provider = common_provider(options);
    bool named = secure_getenv("OPENSSL_CONF") != NULL;

    ERR_clear_error();
    lookup->path = options->file != NULL ? OPENSSL_strdup(options->file) : CONF_get1_default_config_file();
    lookup->conf = lookup->path == NULL ? NULL : prov_conffile_read(lookup->path);
    if (lookup->conf != NULL) {
        lookup->section = prov_conffile_section(lookup->conf, provider);
    } else if (options->file != NULL || (lookup->path != NULL && access(lookup->path, F_OK) == 0)) {
        return unreadable(lookup->path);
    } else if (named) {
        tell("the configuration file '%s' (OPENSSL_CONF) does not exist", lookup->path);
    }
    if (lookup->conf == NULL || lookup->section != NULL) {
        return tok_good();
    }
    if (options->file != NULL || options->provider != NULL) {
        return tok_fail(TOK_CODE_BAD_ARGUMENT, "the configuration file '%s' has no provider '%s'", lookup->path,
                        provider);
    }
    if (named) {
        tell("the configuration file '%s' (OPENSSL_CONF) has no provider '%s': no settings are read", lookup->path,
             provider);
    }
    return tok_good();
}

struct tok_result common_config(struct prov_config *out_config, const struct common_options *options)
{
    SCOPED(lookup_end) struct lookup lookup = { .conf = NULL };
    SCOPED(scoped_free) char *hint = NULL;
    struct prov_config_source source = { lookup_get, &lookup, NULL };

    TOK_TRY(lookup_open(&lookup, options));
    source.file = lookup.path;
    if (lookup.section != NULL) {
        TOK_TRY(prov_conffile_inspect_section(&hint, lookup.conf, lookup.path, lookup.section));
    }
    if (hint != NULL) {
        tell("%s", hint);
    }
    ERR_clear_error();
    return prov_config_read(out_config, &source);
}

/* What comes from a token or a file must not reach the terminal as control characters. */
static void print_line(char *line)
{
    fflush(stdout);
    (void)text_clean(line);
    fprintf(stderr, "signet: %s\n", line);
}

void tell(const char *format, ...)
{
    char line[2048];
    struct text text = TEXT_OVER(line);
    va_list args;

    va_start(args, format);
    text_vprintf(&text, format, args);
    va_end(args);
    print_line(line);
}

int report(const struct tok_result *failure)
{
    const char *advice = tok_advice(failure);

    tell("%s%s%s", failure->message, advice[0] != '\0' ? ". " : "", advice);
    return 1;
}

/* Our own code serves as the provider, with the settings of the configuration's section for it, or of the environment.
 */
OSSL_LIB_CTX *common_library(const struct common_options *options, struct prov_ctx **out_instance)
{
    const char *name = common_provider(options);
    OSSL_LIB_CTX *library = OSSL_LIB_CTX_new();
    OSSL_PROVIDER *provider;
    char *file = options->file == NULL ? CONF_get1_default_config_file() : NULL;

    if (library == NULL || !OSSL_PROVIDER_add_builtin(library, name, prov_init)) {
        OPENSSL_free(file);
        OSSL_LIB_CTX_free(library);
        return NULL;
    }
    ERR_set_mark();
    (void)OSSL_LIB_CTX_load_config(library, options->file != NULL ? options->file : file);
    ERR_pop_to_mark();
    OPENSSL_free(file);
    provider = OSSL_PROVIDER_load(library, "default") == NULL ? NULL : OSSL_PROVIDER_load(library, name);
    if (provider == NULL) {
        OSSL_LIB_CTX_free(library);
        return NULL;
    }
    if (out_instance != NULL) {
        *out_instance = OSSL_PROVIDER_get0_provider_ctx(provider);
    }
    return library;
}
