#include <openssl/conf.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "provider/conffile.h"

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
        config_override("pkcs11-module", argument);
        return true;
    case 'p':
        config_override("pin", argument);
        return true;
    default:
        return false;
    }
}

struct lookup {
    CONF *conf;          /* NULL: none */
    const char *section; /* NULL: it has none for the provider */
};

/* `token.NAME.key` may stand flat in the section, or as `key` in a section that token.NAME names. */
static const char *nested(const struct lookup *lookup, const char *key)
{
    const char *last = strrchr(key, '.');
    char parent[128];
    const char *section;

    if (last == NULL || (size_t)(last - key) >= sizeof(parent)) {
        return NULL;
    }
    memcpy(parent, key, (size_t)(last - key));
    parent[last - key] = '\0';
    section = NCONF_get_string(lookup->conf, lookup->section, parent);
    return section == NULL ? NULL : NCONF_get_string(lookup->conf, section, last + 1);
}

static const char *get(void *arg, const char *key)
{
    const struct lookup *lookup = arg;
    const char *value;

    if (lookup->section == NULL) {
        return NULL;
    }
    value = NCONF_get_string(lookup->conf, lookup->section, key);
    return value != NULL ? value : nested(lookup, key);
}

struct tok_result common_config(struct config *out_config, const struct common_options *options)
{
    struct lookup lookup = { .conf = config_file(options->file) };
    const struct config_source source = { get, &lookup };
    struct tok_result result;

    if (options->file != NULL && lookup.conf == NULL) {
        return tok_fail(TOK_CODE_BAD_SETTING, "the configuration file '%s' can't be read", options->file);
    }
    if (lookup.conf != NULL) {
        lookup.section = config_section(lookup.conf, options->provider != NULL ? options->provider : "signet");
    }
    result = config_read(out_config, &source);
    NCONF_free(lookup.conf);
    ERR_clear_error();
    return result;
}

int report(const struct tok_result *failure)
{
    const char *advice = tok_advice(failure);

    fprintf(stderr, "signet: %s%s%s\n", failure->message, advice[0] != '\0' ? ". " : "", advice);
    return 1;
}
