#include "provider/settings/config.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "provider/settings/table.h"

/* --- reading ------------------------------------------------------------------------------------------------------ */

static struct {
    const char *key;
    const char *option;
    const char *value;
} overrides[8];

void prov_config_override(const char *key, const char *option, const char *value)
{
    for (size_t i = 0; i < COUNT_OF(overrides); i++) {
        if (overrides[i].key == NULL || strcmp(overrides[i].key, key) == 0) {
            overrides[i].key = key;
            overrides[i].option = option;
            overrides[i].value = value;
            return;
        }
    }
}

/* A value, and the name under which the administrator said it. */
struct found {
    const char *value; /* borrowed; NULL: nobody said anything */
    const char *name;
    const char *file; /* that says so; NULL: the environment, an option, or not known */
    char key[128];
    char variable[160];
};

static void look_in_options(struct found *found, const char *key)
{
    for (size_t i = 0; i < COUNT_OF(overrides) && overrides[i].key != NULL; i++) {
        if (strcmp(overrides[i].key, key) == 0) {
            found->value = overrides[i].value;
            found->name = overrides[i].option;
        }
    }
}

static void look_in_source(struct found *found, const struct prov_config_source *source, const char *key)
{
    if (found->value == NULL) {
        found->value = source->get(source->arg, key);
        found->name = key;
        found->file = source->file;
    }
}

/* Gives nothing in a set-user-id process. */
static void look_in_environment(struct found *found, const char *variable)
{
    if (found->value == NULL) {
        found->value = secure_getenv(variable);
        found->name = variable;
        found->file = NULL;
    }
}

/* SIGNET_PIN_LAST_TRY for pin-last-try. */
static void own_variable(struct found *found, const char *key)
{
    struct text text = TEXT_OVER(found->variable);

    text_printf(&text, "SIGNET_%s", key);
    for (char *at = found->variable; *at != '\0'; at++) {
        *at = *at == '-' || *at == '.' ? '_' : (char)toupper((unsigned char)*at);
    }
    look_in_environment(found, found->variable);
}

static void setting_find(struct found *found, const struct prov_setting *setting,
                         const struct prov_config_source *source)
{
    *found = (struct found){ .value = NULL };
    look_in_options(found, setting->name);
    look_in_source(found, source, setting->name);
    for (const char *const *alias = setting->aliases; *alias != NULL; alias++) {
        look_in_source(found, source, *alias);
    }
    own_variable(found, setting->name);
    for (const char *const *variable = setting->variables; *variable != NULL; variable++) {
        look_in_environment(found, *variable);
    }
}

static void token_find(struct found *found, const struct tok_named_token *token, const char *name,
                       const struct prov_config_source *source)
{
    struct text text;

    *found = (struct found){ .value = NULL };
    text = TEXT_OVER(found->key);
    text_printf(&text, "token.%s.%s", token->name, name);
    look_in_source(found, source, found->key);
    own_variable(found, found->key);
}

static struct tok_result in_file(struct tok_result result, const char *file)
{
    return file != NULL ? tok_context(result, "%s", file) : result;
}

static struct tok_result bad(const struct found *found, bool secret, const char *wrong, const char *allowed)
{
    return in_file(tok_fail(TOK_CODE_BAD_SETTING, "%s = %s: %s; it may be %s", found->name,
                            secret ? "(not shown)" : found->value, wrong, allowed),
                   found->file);
}

static struct tok_result setting_read(struct prov_config *config, const struct prov_setting *setting,
                                      const struct prov_config_source *source)
{
    struct found found;
    const char *wrong;

    setting_find(&found, setting, source);
    wrong = found.value == NULL ? NULL : setting->set(config, found.value);
    return wrong == NULL ? tok_good() : bad(&found, setting->secret, wrong, setting->allowed);
}

static struct tok_result token_setting_read(struct tok_named_token *token, const struct prov_token_setting *setting,
                                            const struct prov_config_source *source)
{
    struct found found;
    const char *wrong;

    token_find(&found, token, setting->name, source);
    wrong = found.value == NULL ? NULL : setting->set(token, found.value);
    return wrong == NULL ? tok_good() : bad(&found, setting->secret, wrong, setting->allowed);
}

static struct tok_result token_read(struct tok_named_token *token, const struct prov_config_source *source)
{
    struct found found;

    token_find(&found, token, "uri", source);
    if (found.value == NULL) {
        return in_file(tok_fail(TOK_CODE_BAD_SETTING,
                                "tokens has '%s', but there is no %s (a value is lost, too, if a section of the file "
                                "bears its name)",
                                token->name, found.key),
                       source->file);
    }
    TOK_TRY(in_file(tok_context(tok_uri_parse(&token->uri, found.value, TOK_URI_FROM_APPLICATION), "%s", found.name),
                    found.file));
    for (size_t i = 0; i < prov_num_token_settings; i++) {
        TOK_TRY(token_setting_read(token, &prov_token_settings[i], source));
    }
    return tok_good();
}

struct tok_result prov_config_read(struct prov_config *out_config, const struct prov_config_source *source)
{
    SCOPED(prov_config_end)
    struct prov_config config = { .rsa_decrypt = PROV_DECRYPT_OAEP | PROV_DECRYPT_TLS | PROV_DECRYPT_PKCS1,
                                  .async = true };

    tok_settings_init(&config.settings);
    for (size_t i = 0; i < prov_num_settings; i++) {
        TOK_TRY(setting_read(&config, &prov_settings[i], source));
    }
    for (size_t i = 0; i < config.settings.num_tokens; i++) {
        TOK_TRY(token_read(&config.settings.tokens[i], source));
    }
    *out_config = STEAL(config);
    return tok_good();
}

void prov_config_end(struct prov_config *config)
{
    tok_settings_end(&config->settings);
}

/* --- asking about keys -------------------------------------------------------------------------------------------- */

/* A NULL ends the words. */
static bool listed(const char *const *words, const char *word)
{
    for (; *words != NULL; words++) {
        if (strcmp(*words, word) == 0) {
            return true;
        }
    }
    return false;
}

static const struct prov_setting *setting_by_key(const char *key)
{
    for (size_t i = 0; i < prov_num_settings; i++) {
        if (strcmp(prov_settings[i].name, key) == 0 || listed(prov_settings[i].aliases, key)) {
            return &prov_settings[i];
        }
    }
    return NULL;
}

const char *prov_config_token_part(const char *key, size_t *out_len)
{
    const char *dot = strncmp(key, "token.", 6) == 0 ? strchr(key + 6, '.') : NULL;

    *out_len = dot != NULL ? (size_t)(dot - key) - 6 : 0;
    return dot != NULL ? dot + 1 : NULL;
}

/* Likewise for what stands behind token.NAME. */
static enum prov_config_key token_key_kind(const char *part)
{
    for (size_t i = 0; i < prov_num_token_settings; i++) {
        if (strcmp(prov_token_settings[i].name, part) == 0) {
            return PROV_CONFIG_KEY_KNOWN;
        }
    }
    return strcmp(part, "uri") == 0 ? PROV_CONFIG_KEY_KNOWN : PROV_CONFIG_KEY_UNKNOWN;
}

enum prov_config_key prov_config_key(const char *key)
{
    size_t len;
    const char *part = prov_config_token_part(key, &len);

    if (listed(prov_openssl_keys, key)) {
        return PROV_CONFIG_KEY_OPENSSL;
    }
    if (setting_by_key(key) != NULL || listed(prov_other_keys, key)) {
        return PROV_CONFIG_KEY_KNOWN;
    }
    return part == NULL ? PROV_CONFIG_KEY_UNKNOWN : token_key_kind(part);
}

/* Whether `name` is near enough to be meant, and nearer than what was found before. */
static bool nearer(const char *name, const char *misspelt, size_t *nearest)
{
    size_t distance = text_distance(name, misspelt);

    if (distance > 2 || distance * 2 > strlen(misspelt) || distance >= *nearest) {
        return false;
    }
    *nearest = distance;
    return true;
}

const char *prov_config_nearest(const char *name, bool of_token)
{
    size_t nearest = SIZE_MAX;
    const char *found = NULL;

    for (size_t i = 0; !of_token && i < prov_num_settings; i++) {
        found = nearer(prov_settings[i].name, name, &nearest) ? prov_settings[i].name : found;
    }
    for (size_t i = 0; of_token && i < prov_num_token_settings; i++) {
        found = nearer(prov_token_settings[i].name, name, &nearest) ? prov_token_settings[i].name : found;
    }
    return of_token && nearer("uri", name, &nearest) ? "uri" : found;
}

bool prov_config_has_token(const struct prov_config_source *source, const char *name, size_t len)
{
    struct found found;
    SCOPED(scoped_free) char *copy = NULL;
    char *rest;
    char *item;

    setting_find(&found, setting_by_key("tokens"), source);
    copy = found.value != NULL ? strdup(found.value) : NULL;
    rest = copy;
    while ((item = text_next_item(&rest)) != NULL) {
        if (strlen(item) == len && strncmp(item, name, len) == 0) {
            return true;
        }
    }
    return false;
}

/* --- the man page ------------------------------------------------------------------------------------------------- */

static void print_names(FILE *out, const char *what, const char *const *names)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        fprintf(out, "%s\n.BR %s%s\n", i == 0 ? what : "and", names[i], names[i + 1] == NULL ? " ." : "");
    }
}

static void print_setting(FILE *out, const struct prov_setting *setting)
{
    fprintf(out, ".TP\n.B %s\n%s\nIt may be %s.\nDefault: %s.\n", setting->name, setting->help, setting->allowed,
            setting->otherwise);
    print_names(out, "Other providers call it", setting->aliases);
    print_names(out, "Also read from the environment variable", setting->variables);
}

static void print_token_setting(FILE *out, const struct prov_token_setting *setting)
{
    fprintf(out, ".TP\n.BI token. NAME .%s\n", setting->name);
    if (setting->help == NULL) {
        fputs("As the setting of that name, for this token alone.\n", out);
    } else {
        fprintf(out, "%s\nIt may be %s.\n", setting->help, setting->allowed);
    }
}

void prov_config_print_man(FILE *out)
{
    for (size_t i = 0; i < prov_num_settings; i++) {
        if (prov_settings[i].help != NULL) {
            print_setting(out, &prov_settings[i]);
        }
    }
    fputs(".TP\n.BI token. NAME .uri\nWhich token NAME is: a PKCS#11 URI. Needed for each name in tokens.\n", out);
    for (size_t i = 0; i < prov_num_token_settings; i++) {
        print_token_setting(out, &prov_token_settings[i]);
    }
}
