#include "provider/conffile.h"

#include <stdio.h>
#include <string.h>

#include "provider/config.h"

CONF *config_file(const char *path)
{
    char *standard = path == NULL ? CONF_get1_default_config_file() : NULL;
    CONF *conf = NCONF_new(NULL);
    long line;

    if (conf != NULL && NCONF_load(conf, path != NULL ? path : standard, &line) <= 0) {
        NCONF_free(conf);
        conf = NULL;
    }
    OPENSSL_free(standard);
    return conf;
}

/* openssl_conf -> providers -> the provider's entry, whose value is its section. */
const char *config_section(const CONF *conf, const char *provider)
{
    const char *main_section = NCONF_get_string(conf, NULL, "openssl_conf");
    const char *list = NCONF_get_string(conf, main_section != NULL ? main_section : "openssl_init", "providers");

    return list == NULL ? NULL : NCONF_get_string(conf, list, provider);
}

static void conf_end(CONF **conf)
{
    NCONF_free(*conf);
}

/* A value of which OpenSSL makes a section; `token.NAME = section` is meant that way. */
static bool value_lost(const CONF *conf, const CONF_VALUE *value)
{
    bool whole_token = strncmp(value->name, "token.", 6) == 0 && strchr(value->name + 6, '.') == NULL;

    return !whole_token && config_known(value->name) && NCONF_get_section(conf, value->value) != NULL;
}

static struct tok_result section_inspect(char **out_hint, const CONF *conf, const char *section)
{
    STACK_OF(CONF_VALUE) *values = NCONF_get_section(conf, section);

    for (int i = 0; values != NULL && i < sk_CONF_VALUE_num(values); i++) {
        const CONF_VALUE *value = sk_CONF_VALUE_value(values, i);
        bool whole_token = strncmp(value->name, "token.", 6) == 0 && strchr(value->name + 6, '.') == NULL;

        if (value_lost(conf, value)) {
            return tok_fail(TOK_CODE_BAD_SETTING,
                            "%s in [%s]: a section of the file bears the name that is its value, so that OpenSSL "
                            "took the section in its place; rename the section (ours end in _sect)",
                            value->name, section);
        }
        if (*out_hint == NULL && !whole_token && !config_known(value->name) &&
            asprintf(out_hint, "[%s] has an unknown setting '%s'", section, value->name) < 0) {
            *out_hint = NULL;
        }
    }
    return tok_good();
}

struct tok_result config_inspect(char **out_hint, const char *provider)
{
    SCOPED(conf_end) CONF *conf = config_file(NULL);
    const char *section = conf == NULL ? NULL : config_section(conf, provider);

    *out_hint = NULL;
    return section == NULL ? tok_good() : section_inspect(out_hint, conf, section);
}
