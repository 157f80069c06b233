#include "provider/settings/table.h"

#include <string.h>

#include "base/text.h"
#include "base/trace.h"
#include "base/value.h"
#include "pkcs11/module/call.h"

#define MOST_SESSIONS 100000
#define MOST_WORKERS 1000
#define SESSIONS_ALLOWED "a number from 1 to 100000"
#define PIN_ALLOWED                                                                                                    \
    "file:/PATH, env:NAME, fd:N, credential:NAME, exec:/PROGRAM, value:PIN, or the PIN itself if it has no : and no /"
#define MODULES_ALLOWED "paths, which have a slash, or names that p11-kit knows, with commas between"

static const char *set_modules(struct prov_config *config, const char *value)
{
    return value_text(&config->settings.modules, value);
}

static const char *set_init_args(struct prov_config *config, const char *value)
{
    return value_text(&config->settings.init_args, value);
}

static const char *set_source(struct tok_pin_source **out, const char *value)
{
    const char *wrong = tok_pin_source_wrong(value);
    struct tok_result result;

    if (wrong != NULL) {
        return wrong;
    }
    result = tok_pin_source_new(out, value, TOK_PIN_FROM_SETTINGS);
    return tok_ok(&result) ? NULL : value_no_memory;
}

static const char *set_pin(struct prov_config *config, const char *value)
{
    return set_source(&config->settings.pin, value);
}

static const char *set_pin_last_try(struct prov_config *config, const char *value)
{
    return value_flag(&config->settings.pin_last_try, value);
}

static const char *set_login(struct prov_config *config, const char *value)
{
    static const struct value_word words[] = {
        { "auto", TOK_LOGIN_AUTO },
        { "always", TOK_LOGIN_ALWAYS },
        { "never", TOK_LOGIN_NEVER },
        { NULL, 0 },
    };
    int policy;
    const char *wrong = value_word(&policy, words, value);

    if (wrong == NULL) {
        config->settings.login = (enum tok_login_policy)policy;
    }
    return wrong;
}

/* Another provider's flag: without it that one logs in where it must, as auto does. */
static const char *set_force_login(struct prov_config *config, const char *value)
{
    bool force = false;
    const char *wrong = value_flag(&force, value);

    if (force) {
        config->settings.login = TOK_LOGIN_ALWAYS;
    }
    return wrong;
}

static const char *set_load(struct prov_config *config, const char *value)
{
    static const struct value_word words[] = { { "lazy", 0 }, { "early", 1 }, { NULL, 0 } };
    int early;
    const char *wrong = value_word(&early, words, value);

    if (wrong == NULL) {
        config->settings.load_early = early != 0;
    }
    return wrong;
}

static const char *set_max_sessions(struct prov_config *config, const char *value)
{
    return value_count(&config->settings.max_sessions, value, MOST_SESSIONS);
}

static const char *set_idle_sessions(struct prov_config *config, const char *value)
{
    return value_count(&config->settings.idle_sessions, value, MOST_SESSIONS);
}

static const char *set_deadline(struct prov_config *config, const char *value)
{
    return value_seconds(&config->settings.deadline_us, value, 86400);
}

static const char *set_fork_wait(struct prov_config *config, const char *value)
{
    uint64_t ms;
    const char *wrong = value_number(&ms, value, 0, 60000);

    (void)config;
    if (wrong == NULL) {
        tok_gate_set_wait(ms * 1000);
    }
    return wrong;
}

static const char *set_require(struct prov_config *config, const char *value)
{
    static const struct value_word words[] = {
        { "sensitive", TOK_REQUIRE_SENSITIVE },
        { "non-extractable", TOK_REQUIRE_NON_EXTRACTABLE },
        { "local", TOK_REQUIRE_LOCAL },
        { NULL, 0 },
    };

    return value_words(&config->settings.require, words, value);
}

static const char *set_rsa_decrypt(struct prov_config *config, const char *value)
{
    static const struct value_word words[] = {
        { "oaep", PROV_DECRYPT_OAEP },
        { "tls", PROV_DECRYPT_TLS },
        { "pkcs1", PROV_DECRYPT_PKCS1 },
        { "none", 0 },
        { NULL, 0 },
    };

    return value_words(&config->rsa_decrypt, words, value);
}

static const char *set_key_types(struct prov_config *config, const char *value)
{
    static const struct value_word words[] = {
        { "rsa", PROV_KEYS_RSA },
        { "rsa-pss", PROV_KEYS_RSA_PSS },
        { "ec", PROV_KEYS_EC },
        { "ed25519", PROV_KEYS_ED25519 },
        { "ed448", PROV_KEYS_ED448 },
        { "x25519", PROV_KEYS_X25519 },
        { "x448", PROV_KEYS_X448 },
        { "ml-dsa", PROV_KEYS_ML_DSA },
        { "slh-dsa", PROV_KEYS_SLH_DSA },
        { NULL, 0 },
    };

    return value_words(&config->key_types, words, value);
}

static const char *set_key_files(struct prov_config *config, const char *value)
{
    static const struct value_word words[] = {
        { "all", PROV_FILES_ALL },
        { "signet", PROV_FILES_OWN },
        { "none", PROV_FILES_NONE },
        { NULL, 0 },
    };
    int files;
    const char *wrong = value_word(&files, words, value);

    if (wrong == NULL) {
        config->key_files = (enum prov_config_files)files;
    }
    return wrong;
}

static const char *set_trust_files(struct prov_config *config, const char *value)
{
    return value_flag(&config->settings.trust_files, value);
}

static const char *set_fips(struct prov_config *config, const char *value)
{
    return value_flag(&config->fips, value);
}

static const char *set_trace(struct prov_config *config, const char *value)
{
    const char *why;

    (void)config;
    return trace_set(value, &why) ? NULL : why;
}

static const char *set_tokens(struct prov_config *config, const char *value)
{
    SCOPED(scoped_free) char *copy = strdup(value);
    char *rest = copy;
    char *item;

    if (copy == NULL) {
        return value_no_memory;
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
            return value_no_memory;
        }
        config->settings.tokens = grown;
        grown[config->settings.num_tokens] = (struct tok_named_token){ .name = strdup(item) };
        if (grown[config->settings.num_tokens].name == NULL) {
            return value_no_memory;
        }
        config->settings.num_tokens++;
    }
    return NULL;
}

static const char *set_after_fork(struct prov_config *config, const char *value)
{
    static const struct value_word words[] = { { "lazy", 0 }, { "eager", 1 }, { NULL, 0 } };
    int eager;
    const char *wrong = value_word(&eager, words, value);

    if (wrong == NULL) {
        config->settings.eager = eager != 0;
    }
    return wrong;
}

static const char *set_reinit(struct prov_config *config, const char *value)
{
    static const struct value_word words[] = { { "auto", 0 }, { "never", 1 }, { NULL, 0 } };
    int never;
    const char *wrong = value_word(&never, words, value);

    if (wrong == NULL) {
        config->settings.never_reinit = never != 0;
    }
    return wrong;
}

static const char *set_async(struct prov_config *config, const char *value)
{
    return value_flag(&config->async, value);
}

static const char *set_workers(struct prov_config *config, const char *value)
{
    return value_count(&config->settings.workers, value, MOST_WORKERS);
}

static const char *set_token_quirks(struct tok_named_token *token, const char *value)
{
    static const struct value_word words[] = {
        { "fork=share", TOK_FORK_SHARE },
        { "fork=finalize", TOK_FORK_FINALIZE },
        { "fork=refuse", TOK_FORK_REFUSE },
        { NULL, 0 },
    };
    int fork;
    const char *wrong = value_word(&fork, words, value);

    if (wrong == NULL) {
        token->fork = (enum tok_fork)fork;
    }
    return wrong;
}

static const char *set_token_modules(struct tok_named_token *token, const char *value)
{
    return value_text(&token->modules, value);
}

static const char *set_token_pin(struct tok_named_token *token, const char *value)
{
    return set_source(&token->pin, value);
}

static const char *set_token_max_sessions(struct tok_named_token *token, const char *value)
{
    return value_count(&token->max_sessions, value, MOST_SESSIONS);
}

const struct prov_setting prov_settings[] = {
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
      .help = "Where the PIN comes from. It is read at the first load of a key, and tried once, on one token: see "
              "PINS." },
    { .name = "pin-last-try",
      .allowed = "yes or no",
      .otherwise = "no",
      .set = set_pin_last_try,
      .help = "Whether the last try that the token has left before it locks the PIN may be used." },
    { .name = "tokens",
      .allowed = "names of a-z, 0-9, _ and -, with commas between",
      .otherwise = "none",
      .set = set_tokens,
      .help = "Tokens of which the configuration says more, each with token.NAME.uri. The order is that of "
              "preference for a key that is on several." },
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
    { .name = "key-types",
      .allowed = "rsa, rsa-pss, ec, ed25519, ed448, x25519, x448, ml-dsa and slh-dsa, with commas between",
      .otherwise = "all that OpenSSL knows",
      .set = set_key_types,
      .help = "Which types of keys are served. Each one makes OpenSSL 3.0 slower at reading certificates and keys of "
              "others, too; those that no token has may be left out." },
    { .name = "key-files",
      .allowed = "all, signet or none",
      .otherwise = "all",
      .set = set_key_files,
      .help = "Which key files are read: Signet's and those of other providers (all), Signet's alone, whose PEM the "
              "default provider decodes (signet), or none, where keys come by URI. Fewer make OpenSSL 3.0 faster at "
              "reading certificates and keys of others." },
    { .name = "trust-files",
      .allowed = "yes or no",
      .otherwise = "no",
      .set = set_trust_files,
      .help = "Whether a URI in a key file may name a module or a PIN, and choose the token that the setting pin is "
              "for." },
    { .name = "fips",
      .aliases = { "pkcs11-module-assume-fips" },
      .allowed = "yes or no",
      .otherwise = "no",
      .set = set_fips,
      .help = "Whether the provider's algorithms have the property fips=yes, which applications with "
              "default_properties = fips=yes ask for. It says that the tokens are validated, which you have to know." },
    { .name = "trace",
      .allowed =
          "off, stderr or file:/PATH, each with areas after a colon (config, module, token, login, session, find, "
          "key, store, calls, error)",
      .otherwise = "off",
      .set = set_trace,
      .help = "Where to write what happens, a line an event; never a secret. stderr:error is each error, also one that "
              "the application keeps to itself." },
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
          "The maximum number of threads for the operations of ASYNC jobs. They start as jobs have to wait, no more "
          "than a token has sessions, and end when there is nothing to do." },
};

const struct prov_token_setting prov_token_settings[] = {
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

const char *const prov_openssl_keys[] = { "identity", "module", "activate", "soft_load", NULL };

const char *const prov_other_keys[] = {
    "pkcs11-module-allow-export",
    "pkcs11-module-cache-pins",
    "pkcs11-module-cache-keys",
    "pkcs11-module-cache-sessions",
    "pkcs11-module-quirks",
    "pkcs11-module-block-operations",
    "pkcs11-module-encode-provider-uri-to-pem",
    "debug_level",
    NULL,
};

const size_t prov_num_settings = COUNT_OF(prov_settings);
const size_t prov_num_token_settings = COUNT_OF(prov_token_settings);
