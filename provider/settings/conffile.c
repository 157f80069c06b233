#include "provider/settings/conffile.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "provider/settings/config.h"

CONF *prov_conffile_read(const char *path)
{
    CONF *conf = NCONF_new(NULL);
    long line;

    if (conf != NULL && NCONF_load(conf, path, &line) <= 0) {
        NCONF_free(conf);
        conf = NULL;
    }
    return conf;
}

/* Sections that name one another in a circle are left at this depth. */
#define MAX_NESTING 8

/* What OpenSSL makes of a section is a flat list: where a value names a section, that one's keys come in its place,
 * behind the key and a dot. (NCONF_get_string would also look into the file's first, nameless section, which OpenSSL
 * doesn't.) */
static const char *flat_value(const CONF *conf, const char *section, const char *key, int depth)
{
    STACK_OF(CONF_VALUE) *values = NCONF_get_section(conf, section);
    const char *found = NULL;

    for (int i = 0; found == NULL && depth < MAX_NESTING && i < sk_CONF_VALUE_num(values); i++) {
        const CONF_VALUE *value = sk_CONF_VALUE_value(values, i);
        size_t len = strlen(value->name);

        if (strncmp(value->name, key, len) != 0) {
            continue;
        }
        if (key[len] == '.') {
            found = flat_value(conf, value->value, key + len + 1, depth + 1);
        } else if (key[len] == '\0' &&
                   (prov_config_key(key) == PROV_CONFIG_KEY_OPENSSL || NCONF_get_section(conf, value->value) == NULL)) {
            found = value->value;
        }
    }
    return found;
}

const char *prov_conffile_value(const CONF *conf, const char *section, const char *key)
{
    return flat_value(conf, section, key, 0);
}

/* In [provider_sect] a name may have a prefix that only tells it from others, and a section may say another name. */
static bool entry_is(const CONF *conf, const CONF_VALUE *entry, const char *provider)
{
    const char *dot = strchr(entry->name, '.');
    const char *identity = prov_conffile_value(conf, entry->value, "identity");

    return strcmp(identity != NULL ? identity : dot != NULL ? dot + 1 : entry->name, provider) == 0;
}

/* openssl_conf -> providers -> the provider's entry, whose value is its section. */
const char *prov_conffile_section(const CONF *conf, const char *provider)
{
    const char *init = NCONF_get_string(conf, NULL, "openssl_conf");
    const char *list = init == NULL ? NULL : NCONF_get_string(conf, init, "providers");
    STACK_OF(CONF_VALUE) *entries = list == NULL ? NULL : NCONF_get_section(conf, list);

    for (int i = 0; i < sk_CONF_VALUE_num(entries); i++) {
        const CONF_VALUE *entry = sk_CONF_VALUE_value(entries, i);

        if (entry_is(conf, entry, provider)) {
            return entry->value;
        }
    }
    return NULL;
}

/* A look through a section, and those that it takes in. */
struct inspection {
    const CONF *conf;
    const char *path;
    const char *section;
    struct prov_config_source source;
    char **out_hint;       /* the first thing that seems wrong */
    struct text *sections; /* the provider's, each between line ends */
};

static void hint_unknown(struct inspection *inspection, const char *key)
{
    size_t len;
    const char *part = prov_config_token_part(key, &len);
    const char *name = part != NULL ? part : key;
    const char *near = prov_config_nearest(name, part != NULL);
    char meant[160];
    struct text text = TEXT_OVER(meant);

    if (near != NULL) {
        text_printf(&text, "is '%.*s%s' meant?", (int)(name - key), key, near);
    } else {
        text_put(&text, "signet(7) lists all settings");
    }
    if (*inspection->out_hint == NULL && asprintf(inspection->out_hint, "%s: [%s] has an unknown setting '%s': %s",
                                                  inspection->path, inspection->section, key, meant) < 0) {
        *inspection->out_hint = NULL;
    }
}

static struct tok_result inspect_value(struct inspection *inspection, const char *key)
{
    size_t len;

    if (prov_config_key(key) == PROV_CONFIG_KEY_UNKNOWN) {
        hint_unknown(inspection, key);
    }
    if (prov_config_token_part(key, &len) != NULL && !prov_config_has_token(&inspection->source, key + 6, len)) {
        return tok_fail(TOK_CODE_BAD_SETTING, "%s in [%s]: '%.*s' is not among the names in the setting tokens", key,
                        inspection->section, (int)len, key + 6);
    }
    return tok_good();
}

/* `token = section` and `token.NAME = section` are meant that way. */
static bool group_of_tokens(const char *key)
{
    return strcmp(key, "token") == 0 || (strncmp(key, "token.", 6) == 0 && strchr(key + 6, '.') == NULL);
}

static struct tok_result inspect_section(struct inspection *inspection, const char *section, const char *prefix,
                                         int depth);

/* One value of a section; what it takes in, where it names another one. */
static struct tok_result inspect_entry(struct inspection *inspection, const CONF_VALUE *value, const char *prefix,
                                       int depth)
{
    bool nested = NCONF_get_section(inspection->conf, value->value) != NULL;
    char key[128];
    struct text text = TEXT_OVER(key);
    enum prov_config_key kind;

    text_printf(&text, "%s%s", prefix, value->name);
    kind = prov_config_key(key);
    if (nested && kind == PROV_CONFIG_KEY_KNOWN) {
        return tok_fail(TOK_CODE_BAD_SETTING,
                        "%s in [%s]: a section of the file bears the name that is its value, so that OpenSSL took "
                        "the section in its place; rename the section (ours end in _sect)",
                        key, inspection->section);
    }
    if (!nested || (kind == PROV_CONFIG_KEY_UNKNOWN && !group_of_tokens(key))) {
        TOK_TRY(inspect_value(inspection, key));
    }
    text_put(&text, ".");
    return nested ? inspect_section(inspection, value->value, key, depth + 1) : tok_good();
}

static struct tok_result inspect_section(struct inspection *inspection, const char *section, const char *prefix,
                                         int depth)
{
    STACK_OF(CONF_VALUE) *values = NCONF_get_section(inspection->conf, section);

    text_printf(inspection->sections, "%s\n", section);
    if (depth >= MAX_NESTING) {
        return tok_fail(TOK_CODE_BAD_SETTING,
                        "%.*s in [%s]: its value names a section that has it in itself; OpenSSL refuses all of it",
                        (int)strcspn(prefix, "."), prefix, inspection->section);
    }
    for (int i = 0; i < sk_CONF_VALUE_num(values); i++) {
        TOK_TRY(inspect_entry(inspection, sk_CONF_VALUE_value(values, i), prefix, depth));
    }
    return tok_good();
}

struct lookup {
    const CONF *conf;
    const char *section;
};

static const char *lookup_get(void *arg, const char *key)
{
    const struct lookup *lookup = arg;

    return prov_conffile_value(lookup->conf, lookup->section, key);
}

struct tok_result prov_conffile_inspect_section(char **out_hint, const CONF *conf, const char *path,
                                                const char *section)
{
    struct lookup lookup = { conf, section };
    char names[2048];
    struct text sections = TEXT_OVER(names);
    struct inspection inspection = { conf, path, section, { lookup_get, &lookup, path }, out_hint, &sections };

    *out_hint = NULL;
    text_put(&sections, "\n");
    TOK_TRY(tok_context(inspect_section(&inspection, section, "", 0), "%s", path));
    return prov_conffile_inspect_pins(path, names);
}

static void conf_end(CONF **conf)
{
    NCONF_free(*conf);
}

static void path_end(char **path)
{
    OPENSSL_free(*path);
}

struct tok_result prov_conffile_inspect(char **out_hint, const char *provider)
{
    SCOPED(path_end) char *path = CONF_get1_default_config_file();
    SCOPED(conf_end) CONF *conf = path == NULL ? NULL : prov_conffile_read(path);
    const char *section = conf == NULL ? NULL : prov_conffile_section(conf, provider);

    *out_hint = NULL;
    return section == NULL ? tok_good() : prov_conffile_inspect_section(out_hint, conf, path, section);
}
