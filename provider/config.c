#include "provider/config.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/call.h"

/* A value is set by its row's function, which says what is wrong with it as a static text, or NULL. */
struct setting {
    const char *name;
    const char *aliases[3];   /* in configurations of other providers */
    const char *variables[2]; /* likewise in their environment */
    const char *allowed;      /* for messages and the man page */
    const char *otherwise;    /* the default, in words */
    bool secret;
    const char *(*set)(struct config *config, const char *value);
    const char *help;
};

static const char *const no_memory = "there is no memory for it";

/* --- kinds of values ---------------------------------------------------------------------------------------------- */

struct word {
    const char *word;
    int value;
};

/* The value of a word; false if it is not in the list, which a NULL ends. */
static bool word_value(int *out, const struct word *words, const char *word)
{
    for (; words->word != NULL; words++) {
        if (text_same_word(words->word, word)) {
            *out = words->value;
            return true;
        }
    }
    return false;
}

static const struct word yes_no[] = {
    { "yes", 1 }, { "no", 0 }, { "true", 1 }, { "false", 0 }, { "on", 1 },
    { "off", 0 }, { "1", 1 },  { "0", 0 },    { NULL, 0 },
};

static const char *set_flag(bool *out, const char *value)
{
    int flag;

    if (!word_value(&flag, yes_no, value)) {
        return "it is neither yes nor no";
    }
    *out = flag != 0;
    return NULL;
}

static const char *set_words(unsigned *out, const struct word *words, const char *value)
{
    SCOPED(scoped_free) char *copy = strdup(value);
    char *rest = copy;
    char *item;
    unsigned bits = 0;

    while ((item = text_next_item(&rest)) != NULL) {
        int bit;

        if (!word_value(&bit, words, item)) {
            return "a word of it is unknown";
        }
        bits |= (unsigned)bit;
    }
    *out = bits;
    return copy == NULL ? no_memory : NULL;
}

static const char *set_number(uint64_t *out, const char *value, uint64_t least, uint64_t most)
{
    char *end;
    unsigned long long number;

    if (!isdigit((unsigned char)value[0])) {
        return "it is no whole number";
    }
    number = strtoull(value, &end, 10);
    if (*end != '\0') {
        return "it is no whole number";
    }
    if (number < least || number > most) {
        return "it is out of range";
    }
    *out = number;
    return NULL;
}

static const char *set_text(char **out, const char *value)
{
    char *copy;

    if (value[0] == '\0') {
        return "it is empty";
    }
    copy = strdup(value);
    if (copy == NULL) {
        return no_memory;
    }
    free(*out);
    *out = copy;
    return NULL;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

static const char *set_modules(struct config *config, const char *value)
{
    return set_text(&config->settings.modules, value);
}

static const char *set_init_args(struct config *config, const char *value)
{
    return set_text(&config->settings.init_args, value);
}

static const char *set_pin(struct config *config, const char *value)
{
    struct tok_result result = tok_pin_source_new(&config->settings.pin, value, TOK_PIN_FROM_SETTINGS);

    return tok_ok(&result) ? NULL : "it names a source that is malformed";
}

static const char *set_pin_last_try(struct config *config, const char *value)
{
    return set_flag(&config->settings.pin_last_try, value);
}

static const char *set_login(struct config *config, const char *value)
{
    static const struct word words[] = {
        { "auto", TOK_LOGIN_AUTO },   { "always", TOK_LOGIN_ALWAYS },
        { "never", TOK_LOGIN_NEVER }, { "yes", TOK_LOGIN_ALWAYS },
        { "true", TOK_LOGIN_ALWAYS }, { "1", TOK_LOGIN_ALWAYS },
        { "0", TOK_LOGIN_AUTO },      { NULL, 0 },
    };
    int policy;

    if (!word_value(&policy, words, value)) {
        return "it is unknown";
    }
    config->settings.login = (enum tok_login_policy)policy;
    return NULL;
}

static const char *set_load(struct config *config, const char *value)
{
    static const struct word words[] = { { "lazy", 0 }, { "early", 1 }, { NULL, 0 } };
    int early;

    if (!word_value(&early, words, value)) {
        return "it is unknown";
    }
    config->settings.load_early = early != 0;
    return NULL;
}

static const char *set_max_sessions(struct config *config, const char *value)
{
    uint64_t number;
    const char *wrong = set_number(&number, value, 1, 100000);

    if (wrong == NULL) {
        config->settings.max_sessions = (unsigned)number;
    }
    return wrong;
}

static const char *set_deadline(struct config *config, const char *value)
{
    uint64_t seconds;
    const char *wrong = set_number(&seconds, value, 1, 86400);

    if (wrong == NULL) {
        config->settings.deadline_us = seconds * 1000000;
    }
    return wrong;
}

static const char *set_fork_wait(struct config *config, const char *value)
{
    uint64_t ms;
    const char *wrong = set_number(&ms, value, 0, 60000);

    (void)config;
    if (wrong == NULL) {
        tok_gate_set_wait(ms * 1000);
    }
    return wrong;
}

static const char *set_require(struct config *config, const char *value)
{
    static const struct word words[] = {
        { "sensitive", TOK_REQUIRE_SENSITIVE },
        { "non-extractable", TOK_REQUIRE_NON_EXTRACTABLE },
        { "local", TOK_REQUIRE_LOCAL },
        { NULL, 0 },
    };

    return set_words(&config->settings.require, words, value);
}

static const char *set_rsa_decrypt(struct config *config, const char *value)
{
    static const struct word words[] = {
        { "oaep", CONFIG_DECRYPT_OAEP },
        { "tls", CONFIG_DECRYPT_TLS },
        { "pkcs1", CONFIG_DECRYPT_PKCS1 },
        { "none", 0 },
        { NULL, 0 },
    };

    return set_words(&config->rsa_decrypt, words, value);
}

static const char *set_trust_files(struct config *config, const char *value)
{
    return set_flag(&config->settings.trust_files, value);
}

static const char *set_fips(struct config *config, const char *value)
{
    return set_flag(&config->fips, value);
}

static const char *set_trace(struct config *config, const char *value)
{
    const char *why;

    (void)config;
    return trace_set(value, &why) ? NULL : why;
}

static const char *set_tokens(struct config *config, const char *value)
{
    SCOPED(scoped_free) char *copy = strdup(value);
    char *rest = copy;
    char *item;

    while ((item = text_next_item(&rest)) != NULL) {
        struct tok_named_token *grown;

        if (item[0] == '\0' || strspn(item, "abcdefghijklmnopqrstuvwxyz0123456789_-") != strlen(item)) {
            return "a name in it is not made of a-z, 0-9, _ and -";
        }
        for (size_t i = 0; i < config->settings.num_tokens; i++) {
            if (strcmp(config->settings.tokens[i].name, item) == 0) {
                return "a name stands in it twice";
            }
        }
        grown = reallocarray(config->settings.tokens, config->settings.num_tokens + 1, sizeof(*grown));
        if (grown == NULL) {
            return no_memory;
        }
        config->settings.tokens = grown;
        grown[config->settings.num_tokens] = (struct tok_named_token){ .name = strdup(item) };
        if (grown[config->settings.num_tokens].name == NULL) {
            return no_memory;
        }
        config->settings.num_tokens++;
    }
    return NULL;
}

static const struct setting settings[] = {
    { .name = "pkcs11-module",
      .aliases = { "pkcs11-module-path", "pkcs11_module" },
      .variables = { "PKCS11_PROVIDER_MODULE", "PKCS11_MODULE_PATH" },
      .allowed = "paths, which have a slash, or names that p11-kit knows, with commas between",
      .otherwise = "every module that p11-kit has registered",
      .set = set_modules,
      .help = "The PKCS#11 modules to use." },
    { .name = "pkcs11-init-args",
      .aliases = { "pkcs11-module-init-args", "init_args" },
      .allowed = "a text",
      .otherwise = "none, or x-init-reserved of p11-kit's configuration",
      .set = set_init_args,
      .help = "What the module is initialised with (pReserved of C_Initialize). NSS needs it." },
    { .name = "pin",
      .aliases = { "pkcs11-module-token-pin" },
      .variables = { "PKCS11_PIN" },
      .allowed = "file:/PATH, env:NAME, fd:N, credential:NAME, exec:/PROGRAM, value:PIN, or the PIN itself",
      .otherwise = "the application is asked",
      .secret = true,
      .set = set_pin,
      .help = "Where the PIN comes from. It is read at the first load of a key, and tried once." },
    { .name = "pin-last-try",
      .allowed = "yes or no",
      .otherwise = "no",
      .set = set_pin_last_try,
      .help = "Whether the last try that the token has left before it locks the PIN may be used." },
    { .name = "tokens",
      .allowed = "names of a-z, 0-9, _ and -, with commas between",
      .otherwise = "none",
      .set = set_tokens,
      .help = "Tokens of which the configuration says more, each with token.NAME.uri." },
    { .name = "login",
      .aliases = { "pkcs11-module-login-behavior", "force_login" },
      .variables = { "PKCS11_FORCE_LOGIN" },
      .allowed = "auto, always or never",
      .otherwise = "auto",
      .set = set_login,
      .help = "Whether to log in: auto does so for private keys on a token that requires it." },
    { .name = "load",
      .aliases = { "pkcs11-module-load-behavior" },
      .allowed = "lazy or early",
      .otherwise = "lazy",
      .set = set_load,
      .help = "When a key from a key file is looked for on its token: at its first use, or when it is loaded, so that "
              "a check of a "
              "server's configuration tells." },
    { .name = "max-sessions",
      .allowed = "a number from 1 to 100000",
      .otherwise = "as many as the token has",
      .set = set_max_sessions,
      .help = "How many sessions to open on a token at the most." },
    { .name = "deadline",
      .allowed = "seconds, from 1 to 86400",
      .otherwise = "10",
      .set = set_deadline,
      .help = "How long an operation may wait and try again before it fails." },
    { .name = "fork-wait",
      .allowed = "milliseconds, from 0 to 60000",
      .otherwise = "250",
      .set = set_fork_wait,
      .help = "How long a fork waits for calls into a module to end." },
    { .name = "require",
      .allowed = "sensitive, non-extractable and local, with commas between",
      .otherwise = "nothing",
      .set = set_require,
      .help = "Attributes without which a key is refused." },
    { .name = "rsa-decrypt",
      .allowed = "oaep, tls and pkcs1, with commas between, or none",
      .otherwise = "oaep, tls, pkcs1",
      .set = set_rsa_decrypt,
      .help = "Which kinds of RSA decryption are served." },
    { .name = "trust-files",
      .allowed = "yes or no",
      .otherwise = "no",
      .set = set_trust_files,
      .help = "Whether a URI in a key file may name a module or a PIN." },
    { .name = "fips",
      .aliases = { "pkcs11-module-assume-fips" },
      .allowed = "yes or no",
      .otherwise = "no",
      .set = set_fips,
      .help = "Whether the provider's algorithms have the property fips=yes." },
    { .name = "trace",
      .allowed =
          "off, stderr or file:/PATH, each with areas after a colon (config, module, token, login, session, find, "
          "key, store, calls)",
      .otherwise = "off",
      .set = set_trace,
      .help = "Where to write what happens, a line an event; never a secret." },
};

/* What tokens.NAME may have. */
static const char *const token_keys[] = { "uri", "pkcs11-module", "pin", "max-sessions" };

/* OpenSSL's own keys in a provider's section, and what other providers know that needs no counterpart here. */
static const char *const other_keys[] = {
    "identity",
    "module",
    "activate",
    "soft_load",
    "pkcs11-module-allow-export",
    "pkcs11-module-cache-pins",
    "pkcs11-module-cache-keys",
    "pkcs11-module-cache-sessions",
    "pkcs11-module-quirks",
    "pkcs11-module-block-operations",
    "pkcs11-module-encode-provider-uri-to-pem",
    "debug_level",
};

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* SIGNET_PIN_LAST_TRY for pin-last-try. */
static const char *variable_value(const char *name)
{
    char variable[64];
    struct text text = TEXT_OVER(variable);

    text_printf(&text, "SIGNET_%s", name);
    for (char *at = variable; *at != '\0'; at++) {
        *at = *at == '-' || *at == '.' ? '_' : (char)toupper((unsigned char)*at);
    }
    return secure_getenv(variable);
}

static struct {
    const char *key;
    const char *value;
} overrides[8];

void config_override(const char *key, const char *value)
{
    for (size_t i = 0; i < COUNT_OF(overrides); i++) {
        if (overrides[i].key == NULL || strcmp(overrides[i].key, key) == 0) {
            overrides[i].key = key;
            overrides[i].value = value;
            return;
        }
    }
}

static const char *override_of(const char *key)
{
    for (size_t i = 0; i < COUNT_OF(overrides) && overrides[i].key != NULL; i++) {
        if (strcmp(overrides[i].key, key) == 0) {
            return overrides[i].value;
        }
    }
    return NULL;
}

static const char *setting_value(const struct setting *setting, const struct config_source *source)
{
    const char *value = override_of(setting->name);

    if (value == NULL) {
        value = source->get(source->arg, setting->name);
    }

    for (size_t i = 0; value == NULL && i < COUNT_OF(setting->aliases) && setting->aliases[i] != NULL; i++) {
        value = source->get(source->arg, setting->aliases[i]);
    }
    if (value == NULL) {
        value = variable_value(setting->name);
    }
    for (size_t i = 0; value == NULL && i < COUNT_OF(setting->variables) && setting->variables[i] != NULL; i++) {
        value = secure_getenv(setting->variables[i]);
    }
    return value;
}

static struct tok_result bad(const char *name, const char *value, bool secret, const char *wrong, const char *allowed)
{
    return tok_fail(TOK_CODE_BAD_SETTING, "%s = %s: %s; it may be %s", name, secret ? "(not shown)" : value, wrong,
                    allowed);
}

static struct tok_result setting_apply(struct config *config, const struct setting *setting, const char *value)
{
    const char *wrong = setting->set(config, value);

    return wrong == NULL ? tok_good() : bad(setting->name, value, setting->secret, wrong, setting->allowed);
}

static const char *token_value(const struct config_source *source, const struct tok_named_token *token, const char *key,
                               char name[128])
{
    struct text text = text_over(name, 128);

    text_printf(&text, "token.%s.%s", token->name, key);
    return source->get(source->arg, name);
}

static struct tok_result token_read(struct tok_named_token *token, const struct config_source *source)
{
    char name[128];
    const char *value = token_value(source, token, "uri", name);
    uint64_t number;
    const char *wrong;

    if (value == NULL) {
        return tok_fail(TOK_CODE_BAD_SETTING,
                        "tokens has '%s', but there is no %s (a value is lost, too, if a section of the file bears "
                        "its name)",
                        token->name, name);
    }
    TOK_TRY(tok_context(tok_uri_parse(&token->uri, value, TOK_URI_FROM_APPLICATION), "%s", name));
    if ((value = token_value(source, token, "pkcs11-module", name)) != NULL &&
        (wrong = set_text(&token->modules, value)) != NULL) {
        return bad(name, value, false, wrong, "a path or a name that p11-kit knows");
    }
    if ((value = token_value(source, token, "pin", name)) != NULL) {
        TOK_TRY(tok_context(tok_pin_source_new(&token->pin, value, TOK_PIN_FROM_SETTINGS), "%s", name));
    }
    if ((value = token_value(source, token, "max-sessions", name)) != NULL) {
        if ((wrong = set_number(&number, value, 1, 100000)) != NULL) {
            return bad(name, value, false, wrong, "a number from 1 to 100000");
        }
        token->max_sessions = (unsigned)number;
    }
    return tok_good();
}

struct tok_result config_read(struct config *out_config, const struct config_source *source)
{
    SCOPED(config_end)
    struct config config = { .rsa_decrypt = CONFIG_DECRYPT_OAEP | CONFIG_DECRYPT_TLS | CONFIG_DECRYPT_PKCS1 };

    tok_settings_init(&config.settings);
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        const char *value = setting_value(&settings[i], source);

        if (value != NULL) {
            TOK_TRY(setting_apply(&config, &settings[i], value));
        }
    }
    for (size_t i = 0; i < config.settings.num_tokens; i++) {
        TOK_TRY(token_read(&config.settings.tokens[i], source));
    }
    *out_config = STEAL(config);
    return tok_good();
}

void config_end(struct config *config)
{
    tok_settings_end(&config->settings);
}

/* --- what is known ------------------------------------------------------------------------------------------------ */

static bool token_key_known(const char *key)
{
    const char *last = strrchr(key, '.');

    for (size_t i = 0; strncmp(key, "token.", 6) == 0 && i < COUNT_OF(token_keys); i++) {
        if (last != NULL && strcmp(last + 1, token_keys[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool config_known(const char *key)
{
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        if (strcmp(settings[i].name, key) == 0) {
            return true;
        }
        for (size_t j = 0; j < COUNT_OF(settings[i].aliases) && settings[i].aliases[j] != NULL; j++) {
            if (strcmp(settings[i].aliases[j], key) == 0) {
                return true;
            }
        }
    }
    for (size_t i = 0; i < COUNT_OF(other_keys); i++) {
        if (strcmp(other_keys[i], key) == 0) {
            return true;
        }
    }
    return token_key_known(key);
}

/* --- the man page ------------------------------------------------------------------------------------------------- */

void config_print_man(FILE *out)
{
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        const struct setting *setting = &settings[i];

        fprintf(out, ".TP\n.B %s\n%s\nIt may be %s.\nDefault: %s.\n", setting->name, setting->help, setting->allowed,
                setting->otherwise);
        for (size_t j = 0; j < COUNT_OF(setting->aliases) && setting->aliases[j] != NULL; j++) {
            fprintf(out, "%s\n.BR %s%s\n", j == 0 ? "Also read:" : "and", setting->aliases[j],
                    j + 1 < COUNT_OF(setting->aliases) && setting->aliases[j + 1] != NULL ? "" : " .");
        }
    }
    for (size_t i = 0; i < COUNT_OF(token_keys); i++) {
        fprintf(out, ".TP\n.BI token. NAME .%s\n%s\n", token_keys[i],
                i == 0 ? "Which token NAME is: a PKCS#11 URI. Needed for each name in tokens."
                       : "As the setting of that name, for this token alone.");
    }
}
