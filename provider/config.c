#include "provider/config.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/call.h"

/* A value is set by its row's function, which says what is wrong with it as a static text, or NULL. */
struct setting {
    const char *name;
    const char *aliases[3];   /* in configurations of other providers; a NULL ends them */
    const char *variables[3]; /* likewise in their environment */
    const char *allowed;      /* for messages and the man page */
    const char *otherwise;    /* the default, in words */
    bool secret;
    bool idle; /* checked, so that a configuration can be written for later versions; without effect in this one */
    const char *(*set)(struct config *config, const char *value);
    const char *help; /* NULL: not ours, and no man page shows it */
};

/* What token.NAME may have beside its uri. */
struct token_setting {
    const char *name;
    const char *allowed;
    bool secret;
    bool idle;
    const char *(*set)(struct tok_named_token *token, const char *value);
    const char *help; /* NULL: as the general setting of that name */
};

#define MOST_SESSIONS 100000
#define MOST_WORKERS 1000
#define SESSIONS_ALLOWED "a number from 1 to 100000"
#define PIN_ALLOWED "file:/PATH, env:NAME, fd:N, credential:NAME, exec:/PROGRAM, value:PIN, or the PIN itself"
#define MODULES_ALLOWED "paths, which have a slash, or names that p11-kit knows, with commas between"

/* How many names a NULL-terminated list has. */
static size_t names_count(const char *const *names)
{
    size_t count = 0;

    while (names[count] != NULL) {
        count++;
    }
    return count;
}

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

static const char *set_word(int *out, const struct word *words, const char *value)
{
    return word_value(out, words, value) ? NULL : "it is unknown";
}

static const char *set_words(unsigned *out, const struct word *words, const char *value)
{
    SCOPED(scoped_free) char *copy = strdup(value);
    char *rest = copy;
    char *item;
    unsigned bits = 0;

    if (copy == NULL) {
        return no_memory;
    }
    while ((item = text_next_item(&rest)) != NULL) {
        int bit;

        if (!word_value(&bit, words, item)) {
            return "a word of it is unknown";
        }
        bits |= (unsigned)bit;
    }
    *out = bits;
    return NULL;
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

static const char *set_source(struct tok_pin_source **out, const char *value)
{
    struct tok_result result = tok_pin_source_new(out, value, TOK_PIN_FROM_SETTINGS);

    return tok_ok(&result) ? NULL : "it names a source that is malformed";
}

static const char *set_pin(struct config *config, const char *value)
{
    return set_source(&config->settings.pin, value);
}

static const char *set_pin_last_try(struct config *config, const char *value)
{
    return set_flag(&config->settings.pin_last_try, value);
}

static const char *set_login(struct config *config, const char *value)
{
    static const struct word words[] = {
        { "auto", TOK_LOGIN_AUTO },
        { "always", TOK_LOGIN_ALWAYS },
        { "never", TOK_LOGIN_NEVER },
        { NULL, 0 },
    };
    int policy;
    const char *wrong = set_word(&policy, words, value);

    if (wrong == NULL) {
        config->settings.login = (enum tok_login_policy)policy;
    }
    return wrong;
}

/* Another provider's flag: without it that one logs in where it must, as auto does. */
static const char *set_force_login(struct config *config, const char *value)
{
    bool force = false;
    const char *wrong = set_flag(&force, value);

    if (force) {
        config->settings.login = TOK_LOGIN_ALWAYS;
    }
    return wrong;
}

static const char *set_load(struct config *config, const char *value)
{
    static const struct word words[] = { { "lazy", 0 }, { "early", 1 }, { NULL, 0 } };
    int early;
    const char *wrong = set_word(&early, words, value);

    if (wrong == NULL) {
        config->settings.load_early = early != 0;
    }
    return wrong;
}

static const char *set_count(unsigned *out, const char *value, unsigned most)
{
    uint64_t number;
    const char *wrong = set_number(&number, value, 1, most);

    if (wrong == NULL) {
        *out = (unsigned)number;
    }
    return wrong;
}

static const char *set_max_sessions(struct config *config, const char *value)
{
    return set_count(&config->settings.max_sessions, value, MOST_SESSIONS);
}

static const char *set_idle_sessions(struct config *config, const char *value)
{
    return set_count(&config->settings.idle_sessions, value, MOST_SESSIONS);
}

/* Seconds with up to three decimals, as microseconds. No strtod: what a decimal point is would depend on the locale. */
static const char *set_seconds(uint64_t *out_us, const char *value, uint64_t most)
{
    unsigned long long whole;
    uint64_t us = 0;
    char *end;

    if (!isdigit((unsigned char)value[0])) {
        return "it is no number";
    }
    whole = strtoull(value, &end, 10);
    if (*end == '.' && isdigit((unsigned char)end[1])) {
        end++;
        for (uint64_t unit = 100000; unit >= 1000 && isdigit((unsigned char)*end); unit /= 10, end++) {
            us += unit * (uint64_t)(*end - '0');
        }
    }
    if (*end != '\0') {
        return "it is no number";
    }
    if (whole > most || (whole == most && us > 0) || (whole == 0 && us == 0)) {
        return "it is out of range";
    }
    *out_us = whole * 1000000 + us;
    return NULL;
}

static const char *set_deadline(struct config *config, const char *value)
{
    return set_seconds(&config->settings.deadline_us, value, 86400);
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

    if (copy == NULL) {
        return no_memory;
    }
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

static const char *set_after_fork(struct config *config, const char *value)
{
    static const struct word words[] = { { "lazy", 0 }, { "eager", 1 }, { NULL, 0 } };
    int eager;
    const char *wrong = set_word(&eager, words, value);

    if (wrong == NULL) {
        config->settings.eager = eager != 0;
    }
    return wrong;
}

static const char *set_reinit(struct config *config, const char *value)
{
    static const struct word words[] = { { "auto", 0 }, { "never", 1 }, { NULL, 0 } };
    int never;
    const char *wrong = set_word(&never, words, value);

    if (wrong == NULL) {
        config->settings.never_reinit = never != 0;
    }
    return wrong;
}

static const char *set_async(struct config *config, const char *value)
{
    return set_flag(&config->async, value);
}

static const char *set_workers(struct config *config, const char *value)
{
    return set_count(&config->settings.workers, value, MOST_WORKERS);
}

/* What later versions give a meaning to. */
static const char *check_stats(struct config *config, const char *value)
{
    (void)config;
    return text_same_word(value, "off") || value[0] == '/' ? NULL : "it is neither off nor an absolute path";
}

static const char *set_token_quirks(struct tok_named_token *token, const char *value)
{
    static const struct word words[] = {
        { "fork=share", TOK_FORK_SHARE },
        { "fork=finalize", TOK_FORK_FINALIZE },
        { "fork=refuse", TOK_FORK_REFUSE },
        { NULL, 0 },
    };
    int fork;
    const char *wrong = set_word(&fork, words, value);

    if (wrong == NULL) {
        token->fork = (enum tok_fork)fork;
    }
    return wrong;
}

static const char *set_token_modules(struct tok_named_token *token, const char *value)
{
    return set_text(&token->modules, value);
}

static const char *set_token_pin(struct tok_named_token *token, const char *value)
{
    return set_source(&token->pin, value);
}

static const char *set_token_max_sessions(struct tok_named_token *token, const char *value)
{
    return set_count(&token->max_sessions, value, MOST_SESSIONS);
}

static const struct setting settings[] = {
    { .name = "pkcs11-module",
      .aliases = { "pkcs11-module-path", "pkcs11_module" },
      .variables = { "PKCS11_PROVIDER_MODULE", "PKCS11_MODULE_PATH" },
      .allowed = MODULES_ALLOWED,
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
      .allowed = PIN_ALLOWED,
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
    { .name = "force_login", /* before login, which may say otherwise */
      .variables = { "PKCS11_FORCE_LOGIN" },
      .allowed = "yes or no",
      .set = set_force_login },
    { .name = "login",
      .aliases = { "pkcs11-module-login-behavior" },
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
              "a check of a server's configuration tells." },
    { .name = "max-sessions",
      .allowed = SESSIONS_ALLOWED,
      .otherwise = "as many as the token has",
      .set = set_max_sessions,
      .help = "How many sessions to open on a token at the most." },
    { .name = "idle-sessions",
      .allowed = SESSIONS_ALLOWED,
      .otherwise = "16",
      .set = set_idle_sessions,
      .help = "How many sessions stay open on a token though the last few hundred operations did not need them." },
    { .name = "deadline",
      .allowed = "seconds, from 0.001 to 86400",
      .otherwise = "10",
      .set = set_deadline,
      .help = "How long an operation may wait and try again before it fails." },
    { .name = "reinit",
      .allowed = "auto or never",
      .otherwise = "auto",
      .set = set_reinit,
      .help = "Whether a module that does not come to itself (its daemon was restarted, say) is finalised and "
              "initialised again. Only one that this provider initialised itself in the process ever is, while none of "
              "its sessions is in use." },
    { .name = "fork-wait",
      .allowed = "milliseconds, from 0 to 60000",
      .otherwise = "250",
      .set = set_fork_wait,
      .help = "How long a fork waits for calls into a module to end." },
    { .name = "after-fork",
      .allowed = "lazy or eager",
      .otherwise = "lazy",
      .set = set_after_fork,
      .help = "When a forked child initialises its modules again and logs in: at its first use of a key, or at once, "
              "before it gives up its rights or enters its chroot. See FORKING SERVERS." },
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
    { .name = "async",
      .allowed = "yes or no",
      .otherwise = "yes",
      .set = set_async,
      .help = "Whether an operation inside an ASYNC job of OpenSSL, which an application starts where it sets "
              "SSL_MODE_ASYNC, lets the job pause until the token has answered. If not, its thread waits." },
    { .name = "workers",
      .allowed = "a number from 1 to 1000",
      .otherwise = "64",
      .set = set_workers,
      .help =
          "At most so many threads carry out the operations of ASYNC jobs. They start as jobs have to wait, no more "
          "than a token has sessions, and end when there is nothing to do." },
    { .name = "stats", .allowed = "off, or the absolute path of a directory", .idle = true, .set = check_stats },
};

static const struct token_setting token_settings[] = {
    { .name = "pkcs11-module", .allowed = MODULES_ALLOWED, .set = set_token_modules },
    { .name = "pin", .allowed = PIN_ALLOWED, .secret = true, .set = set_token_pin },
    { .name = "max-sessions", .allowed = SESSIONS_ALLOWED, .set = set_token_max_sessions },
    { .name = "quirks",
      .allowed = "fork=share, fork=finalize or fork=refuse",
      .set = set_token_quirks,
      .help = "What to do in the child of a fork with a module that does not notice it: use the copy of its parent's "
              "state (share), initialise it anew (finalize), or fail (refuse). For modules that Signet knows it is "
              "decided; with others it fails, because a module whose random numbers repeat gives keys away." },
};

/* OpenSSL's own keys in a provider's section. */
static const char *const openssl_keys[] = { "identity", "module", "activate", "soft_load" };

/* What other providers know, and needs no counterpart here. */
static const char *const other_keys[] = {
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

/* A value, and the name under which the administrator said it. */
struct found {
    const char *value; /* borrowed; NULL: nobody said anything */
    const char *name;
    char key[128];
    char variable[160];
};

static void look_in_source(struct found *found, const struct config_source *source, const char *key)
{
    if (found->value == NULL) {
        found->value = source->get(source->arg, key);
        found->name = key;
    }
}

/* Gives nothing in a set-user-id process. */
static void look_in_environment(struct found *found, const char *variable)
{
    if (found->value == NULL) {
        found->value = secure_getenv(variable);
        found->name = variable;
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

static void setting_find(struct found *found, const struct setting *setting, const struct config_source *source)
{
    found->value = override_of(setting->name);
    found->name = setting->name;
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
                       const struct config_source *source)
{
    struct text text = TEXT_OVER(found->key);

    text_printf(&text, "token.%s.%s", token->name, name);
    found->value = NULL;
    look_in_source(found, source, found->key);
    own_variable(found, found->key);
}

static struct tok_result bad(const struct found *found, bool secret, const char *wrong, const char *allowed)
{
    return tok_fail(TOK_CODE_BAD_SETTING, "%s = %s: %s; it may be %s", found->name,
                    secret ? "(not shown)" : found->value, wrong, allowed);
}

static struct tok_result setting_read(struct config *config, const struct setting *setting,
                                      const struct config_source *source)
{
    struct found found;
    const char *wrong;

    setting_find(&found, setting, source);
    wrong = found.value == NULL ? NULL : setting->set(config, found.value);
    return wrong == NULL ? tok_good() : bad(&found, setting->secret, wrong, setting->allowed);
}

static struct tok_result token_setting_read(struct tok_named_token *token, const struct token_setting *setting,
                                            const struct config_source *source)
{
    struct found found;
    const char *wrong;

    token_find(&found, token, setting->name, source);
    wrong = found.value == NULL ? NULL : setting->set(token, found.value);
    return wrong == NULL ? tok_good() : bad(&found, setting->secret, wrong, setting->allowed);
}

static struct tok_result token_read(struct tok_named_token *token, const struct config_source *source)
{
    struct found found;

    token_find(&found, token, "uri", source);
    if (found.value == NULL) {
        return tok_fail(TOK_CODE_BAD_SETTING,
                        "tokens has '%s', but there is no %s (a value is lost, too, if a section of the file bears "
                        "its name)",
                        token->name, found.key);
    }
    TOK_TRY(tok_context(tok_uri_parse(&token->uri, found.value, TOK_URI_FROM_APPLICATION), "%s", found.name));
    for (size_t i = 0; i < COUNT_OF(token_settings); i++) {
        TOK_TRY(token_setting_read(token, &token_settings[i], source));
    }
    return tok_good();
}

struct tok_result config_read(struct config *out_config, const struct config_source *source)
{
    SCOPED(config_end)
    struct config config = { .rsa_decrypt = CONFIG_DECRYPT_OAEP | CONFIG_DECRYPT_TLS | CONFIG_DECRYPT_PKCS1,
                             .async = true };

    tok_settings_init(&config.settings);
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        TOK_TRY(setting_read(&config, &settings[i], source));
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

/* --- asking about keys -------------------------------------------------------------------------------------------- */

static bool listed(const char *const *words, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(words[i], word) == 0) {
            return true;
        }
    }
    return false;
}

static const struct setting *setting_by_key(const char *key)
{
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        if (strcmp(settings[i].name, key) == 0 || listed(settings[i].aliases, names_count(settings[i].aliases), key)) {
            return &settings[i];
        }
    }
    return NULL;
}

const char *config_token_part(const char *key, size_t *out_len)
{
    const char *dot = strncmp(key, "token.", 6) == 0 ? strchr(key + 6, '.') : NULL;

    *out_len = dot != NULL ? (size_t)(dot - key) - 6 : 0;
    return dot != NULL ? dot + 1 : NULL;
}

/* Likewise for what stands behind token.NAME. */
static enum config_key token_key_kind(const char *part)
{
    for (size_t i = 0; i < COUNT_OF(token_settings); i++) {
        if (strcmp(token_settings[i].name, part) == 0) {
            return token_settings[i].idle ? CONFIG_KEY_IDLE : CONFIG_KEY_KNOWN;
        }
    }
    return strcmp(part, "uri") == 0 ? CONFIG_KEY_KNOWN : CONFIG_KEY_UNKNOWN;
}

enum config_key config_key(const char *key)
{
    const struct setting *setting = setting_by_key(key);
    size_t len;
    const char *part = config_token_part(key, &len);

    if (setting != NULL) {
        return setting->idle ? CONFIG_KEY_IDLE : CONFIG_KEY_KNOWN;
    }
    if (listed(openssl_keys, COUNT_OF(openssl_keys), key)) {
        return CONFIG_KEY_OPENSSL;
    }
    if (listed(other_keys, COUNT_OF(other_keys), key)) {
        return CONFIG_KEY_KNOWN;
    }
    return part == NULL ? CONFIG_KEY_UNKNOWN : token_key_kind(part);
}

bool config_has_token(const struct config_source *source, const char *name, size_t len)
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

static void print_setting(FILE *out, const struct setting *setting)
{
    fprintf(out, ".TP\n.B %s\n%s\nIt may be %s.\nDefault: %s.\n", setting->name, setting->help, setting->allowed,
            setting->otherwise);
    print_names(out, "Other providers call it", setting->aliases);
    print_names(out, "Also read from the environment variable", setting->variables);
}

static void print_token_setting(FILE *out, const struct token_setting *setting)
{
    fprintf(out, ".TP\n.BI token. NAME .%s\n", setting->name);
    if (setting->help == NULL) {
        fputs("As the setting of that name, for this token alone.\n", out);
    } else {
        fprintf(out, "%s\nIt may be %s.\n", setting->help, setting->allowed);
    }
}

void config_print_man(FILE *out)
{
    const char *separator = "";

    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        if (settings[i].help != NULL) {
            print_setting(out, &settings[i]);
        }
    }
    fputs(".TP\n.BI token. NAME .uri\nWhich token NAME is: a PKCS#11 URI. Needed for each name in tokens.\n", out);
    for (size_t i = 0; i < COUNT_OF(token_settings); i++) {
        if (!token_settings[i].idle) {
            print_token_setting(out, &token_settings[i]);
        }
    }
    fputs(".PP\nThese are checked, so that a configuration can be written for later versions, and have no effect in "
          "this one:\n",
          out);
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        if (settings[i].idle) {
            fprintf(out, "%s%s", separator, settings[i].name);
            separator = ", ";
        }
    }
    for (size_t i = 0; i < COUNT_OF(token_settings); i++) {
        if (token_settings[i].idle) {
            fprintf(out, ", token.NAME.%s", token_settings[i].name);
        }
    }
    fputs(".\n", out);
}
