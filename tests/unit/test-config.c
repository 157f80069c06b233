#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "provider/settings/config.h"
#include "provider/settings/conffile.h"

/* A configuration as pairs of strings, which a NULL ends. */
static const char *get(void *arg, const char *key)
{
    for (const char *const *pair = arg; pair[0] != NULL; pair += 2) {
        if (strcmp(pair[0], key) == 0) {
            return pair[1];
        }
    }
    return NULL;
}

static struct tok_result read_pairs(struct prov_config *config, const char *const *pairs)
{
    const struct prov_config_source source = { get, (void *)pairs, NULL };

    memset(config, 0, sizeof(*config));
    return prov_config_read(config, &source);
}

TEST(nothing_said_means_the_defaults)
{
    static const char *const pairs[] = { NULL };
    SCOPED(prov_config_end) struct prov_config config;
    struct tok_result result = read_pairs(&config, pairs);

    assert_true(tok_ok(&result));
    assert_null(config.settings.modules);
    assert_null(config.settings.pin);
    assert_int_equal(config.settings.deadline_us, 10000000);
    assert_int_equal(config.settings.login, TOK_LOGIN_AUTO);
    assert_int_equal(config.rsa_decrypt, 7);
    assert_false(config.fips || config.settings.trust_files || config.settings.pin_last_try ||
                 config.settings.load_early || config.settings.eager);
    assert_true(config.async);
}

TEST(every_setting_is_read)
{
    static const char *const pairs[] = {
        "pkcs11-module",
        "/a.so,b",
        "pkcs11-init-args",
        "x=y",
        "pin",
        "value:1",
        "pin-last-try",
        "yes",
        "login",
        "always",
        "load",
        "early",
        "max-sessions",
        "3",
        "idle-sessions",
        "7",
        "reinit",
        "never",
        "deadline",
        "5",
        "fork-wait",
        "100",
        "require",
        "sensitive,local",
        "rsa-decrypt",
        "oaep",
        "key-files",
        "signet",
        "key-types",
        "rsa, ml-dsa",
        "trust-files",
        "yes",
        "fips",
        "yes",
        "trace",
        "off",
        "after-fork",
        "eager",
        "async",
        "no",
        "workers",
        "4",
        "tokens",
        "a, b-2",
        "token.a.uri",
        "pkcs11:token=A",
        "token.b-2.uri",
        "pkcs11:token=B",
        "token.b-2.pin",
        "value:2",
        "token.b-2.max-sessions",
        "1",
        "token.a.pkcs11-module",
        "/c.so",
        NULL,
    };
    SCOPED(prov_config_end) struct prov_config config;
    struct tok_result result = read_pairs(&config, pairs);

    assert_true(tok_ok(&result));
    assert_string_equal(config.settings.modules, "/a.so,b");
    assert_string_equal(config.settings.init_args, "x=y");
    assert_true(config.settings.pin_last_try && config.settings.load_early && config.settings.trust_files &&
                config.fips);
    assert_int_equal(config.settings.login, TOK_LOGIN_ALWAYS);
    assert_int_equal(config.settings.max_sessions, 3);
    assert_int_equal(config.settings.idle_sessions, 7);
    assert_true(config.settings.never_reinit);
    assert_int_equal(config.settings.deadline_us, 5000000);
    assert_int_equal(config.settings.require, TOK_REQUIRE_SENSITIVE | TOK_REQUIRE_LOCAL);
    assert_int_equal(config.rsa_decrypt, PROV_DECRYPT_OAEP);
    assert_int_equal(config.key_files, PROV_FILES_OWN);
    assert_int_equal(config.key_types, PROV_KEYS_RSA | PROV_KEYS_ML_DSA);
    assert_true(config.settings.eager && !config.async);
    assert_int_equal(config.settings.workers, 4);
    assert_int_equal(config.settings.num_tokens, 2);
    assert_string_equal(config.settings.tokens[1].name, "b-2");
    assert_non_null(config.settings.tokens[1].pin);
    assert_int_equal(config.settings.tokens[1].max_sessions, 1);
    assert_string_equal(config.settings.tokens[0].modules, "/c.so");
}

TEST(a_value_that_makes_no_sense_is_told_with_what_is_allowed)
{
    static const struct {
        const char *key;
        const char *value;
        const char *says;
    } bad[] = {
        { "pin-last-try", "perhaps", "yes or no" },
        { "login", "often", "auto, always or never" },
        { "load", "late", "lazy or early" },
        { "max-sessions", "0", "from 1" },
        { "max-sessions", "-1", "whole number" },
        { "max-sessions", "9999999999999999999999", "out of range" },
        { "idle-sessions", "0", "from 1" },
        { "reinit", "yes", "auto or never" },
        { "deadline", "10s", "no number" },
        { "deadline", ".5", "no number" },
        { "deadline", "1.", "no number" },
        { "deadline", "0.0005", "no number" },
        { "deadline", "0.000", "out of range" },
        { "deadline", "86400.001", "out of range" },
        { "deadline", "0", "out of range" },
        { "fork-wait", "", "whole number" },
        { "require", "sensitive,secret", "a word of it is unknown" },
        { "rsa-decrypt", "raw", "a word of it is unknown" },
        { "key-types", "rsa,ecdsa", "a word of it is unknown" },
        { "key-types", "rsa,ecdsa", "ed25519" },
        { "key-files", "yes", "all, signet or none" },
        { "trust-files", "2", "yes or no" },
        { "fips", "maybe", "yes or no" },
        { "after-fork", "soon", "lazy or eager" },
        { "async", "4", "yes or no" },
        { "workers", "0", "from 1" },
        { "trace", "syslog", "stderr" },
        { "pkcs11-module", "", "empty" },
        { "tokens", "Prod", "a-z" },
        { "tokens", "a,a", "twice" },
        { "tokens", "prod", "token.prod.uri" },
    };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const char *const pairs[] = { bad[i].key, bad[i].value, NULL };
        struct prov_config config;
        struct tok_result result = read_pairs(&config, pairs);

        assert_int_equal(result.code, TOK_CODE_BAD_SETTING);
        if (strstr(result.message, bad[i].says) == NULL) {
            fail_msg("%s = %s: '%s' does not say '%s'", bad[i].key, bad[i].value, result.message, bad[i].says);
        }
    }
}

TEST(a_deadline_may_be_part_of_a_second)
{
    static const struct {
        const char *text;
        uint64_t us;
    } rows[] = {
        { "0.3", 300000 }, { "1.05", 1050000 }, { "0.001", 1000 }, { "12", 12000000 }, { "86400", 86400000000 }
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *const pairs[] = { "deadline", rows[i].text, NULL };
        SCOPED(prov_config_end) struct prov_config config;
        struct tok_result result = read_pairs(&config, pairs);

        assert_true(tok_ok(&result));
        assert_int_equal(config.settings.deadline_us, rows[i].us);
    }
}

TEST(a_secret_value_is_never_shown)
{
    static const char *const pairs[] = { "pin", "fd:SECRET", NULL };
    struct prov_config config;
    struct tok_result result = read_pairs(&config, pairs);

    assert_int_equal(result.code, TOK_CODE_BAD_SETTING);
    assert_null(strstr(result.message, "SECRET"));
}

TEST(names_of_other_providers_are_understood)
{
    static const char *const pairs[] = { "pkcs11-module-path",
                                         "/x.so",
                                         "pkcs11-module-token-pin",
                                         "4321",
                                         "pkcs11-module-load-behavior",
                                         "early",
                                         "force_login",
                                         "true",
                                         NULL };
    SCOPED(prov_config_end) struct prov_config config;
    struct tok_result result = read_pairs(&config, pairs);

    assert_true(tok_ok(&result));
    assert_string_equal(config.settings.modules, "/x.so");
    assert_non_null(config.settings.pin);
    assert_true(config.settings.load_early);
    assert_int_equal(config.settings.login, TOK_LOGIN_ALWAYS);
}

TEST(the_configuration_comes_before_the_environment_and_ours_before_others)
{
    static const char *const pairs[] = { "deadline", "3", NULL };
    static const char *const none[] = { NULL };
    SCOPED(prov_config_end) struct prov_config config;
    struct tok_result result;

    setenv("SIGNET_DEADLINE", "4", 1);
    setenv("PKCS11_MODULE_PATH", "/theirs.so", 1);
    result = read_pairs(&config, pairs);
    assert_true(tok_ok(&result));
    assert_int_equal(config.settings.deadline_us, 3000000);
    prov_config_end(&config);
    setenv("SIGNET_PKCS11_MODULE", "/ours.so", 1);
    result = read_pairs(&config, none);
    assert_true(tok_ok(&result));
    assert_int_equal(config.settings.deadline_us, 4000000);
    assert_string_equal(config.settings.modules, "/ours.so");
    unsetenv("SIGNET_DEADLINE");
    unsetenv("SIGNET_PKCS11_MODULE");
    unsetenv("PKCS11_MODULE_PATH");
}

TEST(known_settings_are_told_from_typos)
{
    static const char *const known[] = { "pin", "init_args", "force_login", "token.prod.uri",
                                         "token.prod.max-sessions" };
    static const char *const unknown[] = { "pinn",       "stats", "token.prod.url",  "token",
                                           "token.prod", "Pin",   "token.prod.uri.x" };

    for (size_t i = 0; i < COUNT_OF(known); i++) {
        assert_int_equal(prov_config_key(known[i]), PROV_CONFIG_KEY_KNOWN);
    }
    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        assert_int_equal(prov_config_key(unknown[i]), PROV_CONFIG_KEY_UNKNOWN);
    }
    assert_int_equal(prov_config_key("activate"), PROV_CONFIG_KEY_OPENSSL);
    assert_int_equal(prov_config_key("token.prod.quirks"), PROV_CONFIG_KEY_KNOWN);
}

TEST(a_message_has_the_name_that_the_administrator_wrote)
{
    static const char *const pairs[] = { "pkcs11-module-login-behavior", "sometimes", NULL };
    static const char *const none[] = { NULL };
    struct prov_config config;
    struct tok_result result = read_pairs(&config, pairs);

    assert_int_equal(result.code, TOK_CODE_BAD_SETTING);
    assert_non_null(strstr(result.message, "pkcs11-module-login-behavior = sometimes"));
    setenv("SIGNET_MAX_SESSIONS", "many", 1);
    result = read_pairs(&config, none);
    unsetenv("SIGNET_MAX_SESSIONS");
    assert_int_equal(result.code, TOK_CODE_BAD_SETTING);
    assert_non_null(strstr(result.message, "SIGNET_MAX_SESSIONS = many"));
}

TEST(a_message_has_the_file_that_the_value_is_from)
{
    static const char *const pairs[] = { "deadline", "soon", NULL };
    static const char *const named[] = { "tokens", "a", NULL };
    static const char *const none[] = { NULL };
    struct prov_config_source source = { get, (void *)pairs, "/etc/x.cnf" };
    struct prov_config config;
    struct tok_result result = prov_config_read(&config, &source);

    assert_true(strncmp(result.message, "/etc/x.cnf: deadline = soon: ", 29) == 0);
    source.arg = (void *)named;
    result = prov_config_read(&config, &source);
    assert_true(strncmp(result.message, "/etc/x.cnf: tokens has 'a'", 26) == 0);
    source.arg = (void *)none;
    setenv("SIGNET_DEADLINE", "soon", 1);
    result = prov_config_read(&config, &source);
    unsetenv("SIGNET_DEADLINE");
    assert_true(strncmp(result.message, "SIGNET_DEADLINE = soon: ", 24) == 0);
}

TEST(a_named_token_is_told_about_in_the_environment_too)
{
    static const char *const pairs[] = { "tokens", "b-2", "token.b-2.pin", "value:1", NULL };
    SCOPED(prov_config_end) struct prov_config config;
    struct tok_result result;

    setenv("SIGNET_TOKEN_B_2_URI", "pkcs11:token=B", 1);
    setenv("SIGNET_TOKEN_B_2_PIN", "fd:x", 1); /* the configuration comes first */
    result = read_pairs(&config, pairs);
    unsetenv("SIGNET_TOKEN_B_2_URI");
    unsetenv("SIGNET_TOKEN_B_2_PIN");
    assert_true(tok_ok(&result));
    assert_string_equal(tok_uri_text(config.settings.tokens[0].uri), "pkcs11:token=B");
}

TEST(a_named_tokens_settings_are_checked_and_its_pin_is_not_shown)
{
    static const struct {
        const char *key;
        const char *value;
        const char *says;
    } bad[] = {
        { "token.a.pin", "fd:SECRET", "token.a.pin = (not shown)" },
        { "token.a.max-sessions", "0", "token.a.max-sessions = 0: it is out of range" },
        { "token.a.pkcs11-module", "", "token.a.pkcs11-module" },
        { "token.a.quirks", "fork=often", "fork=share" },
    };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const char *const pairs[] = { "tokens", "a", "token.a.uri", "pkcs11:token=A", bad[i].key, bad[i].value, NULL };
        struct prov_config config;
        struct tok_result result = read_pairs(&config, pairs);

        assert_int_equal(result.code, TOK_CODE_BAD_SETTING);
        assert_non_null(strstr(result.message, bad[i].says));
        assert_null(strstr(result.message, "SECRET"));
    }
}

TEST(another_providers_flag_to_log_in_gives_way_to_login)
{
    static const char *const no[] = { "force_login", "no", NULL };
    static const char *const both[] = { "login", "never", "force_login", "yes", NULL };
    SCOPED(prov_config_end) struct prov_config config;
    struct tok_result result = read_pairs(&config, no);

    assert_true(tok_ok(&result));
    assert_int_equal(config.settings.login, TOK_LOGIN_AUTO);
    prov_config_end(&config);
    result = read_pairs(&config, both);
    assert_true(tok_ok(&result));
    assert_int_equal(config.settings.login, TOK_LOGIN_NEVER);
}

/* --- files -------------------------------------------------------------------------------------------------------- */

/* A file with the provider's section as given; the caller frees it by NCONF_free. */
static CONF *file_with(const char *section)
{
    char path[] = "/tmp/signet-test-config.XXXXXX";
    int fd = mkstemp(path);
    CONF *conf;

    assert_true(fd >= 0);
    assert_true(dprintf(fd,
                        "openssl_conf = init_sect\npin = value:1\n[init_sect]\nproviders = provider_sect\n"
                        "[provider_sect]\ndefault = default_sect\nsignet = signet_sect\n[default_sect]\n"
                        "activate = 1\n[other_sect]\nx = y\n[empty_sect]\n[signet_sect]\n%s\n",
                        section) > 0);
    assert_int_equal(close(fd), 0);
    conf = prov_conffile_read(path);
    unlink(path);
    assert_non_null(conf);
    return conf;
}

TEST(a_value_is_found_where_openssl_finds_it)
{
    CONF *conf = file_with("token = tokens_sect\ntoken.b.uri = flat\nlogin = never\n"
                           "[tokens_sect]\na = a_sect\n[a_sect]\nuri = deep");
    const char *section = prov_conffile_section(conf, "signet");

    assert_string_equal(section, "signet_sect");
    assert_string_equal(prov_conffile_value(conf, section, "login"), "never");
    assert_string_equal(prov_conffile_value(conf, section, "token.a.uri"), "deep");
    assert_string_equal(prov_conffile_value(conf, section, "token.b.uri"), "flat");
    assert_null(prov_conffile_value(conf, section, "pin")); /* stands outside any section */
    assert_null(prov_conffile_value(conf, section, "token.a"));
    assert_null(prov_conffile_section(conf, "none"));
    NCONF_free(conf);
}

TEST(a_section_may_say_under_which_name_the_provider_is_known)
{
    CONF *conf = file_with("identity = hsm\nactivate = 1");

    assert_string_equal(prov_conffile_section(conf, "hsm"), "signet_sect");
    assert_null(prov_conffile_section(conf, "signet"));
    NCONF_free(conf);
}

TEST(what_openssl_would_lose_or_refuse_in_a_file_is_an_error)
{
    static const struct {
        const char *section;
        const char *says;
    } bad[] = {
        { "pin = other_sect", "pin in [signet_sect]: a section" },
        { "pin = empty_sect", "pin in [signet_sect]: a section" },
        { "pkcs11-module-path = other_sect", "pkcs11-module-path in [signet_sect]: a section" },
        { "tokens = a\ntoken.a.uri = other_sect", "token.a.uri in [signet_sect]: a section" },
        { "tokens = a\ntoken.a = a_sect\n[a_sect]\npin = other_sect", "token.a.pin in [signet_sect]: a section" },
        { "token.a.uri = pkcs11:", "'a' is not among" },
        { "tokens = ab\ntoken.a.uri = pkcs11:", "'a' is not among" },
        { "token = tokens_sect\n[tokens_sect]\na = a_sect\n[a_sect]\nuri = pkcs11:", "'a' is not among" },
        { "identity = signet_sect", "has it in itself" },
    };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CONF *conf = file_with(bad[i].section);
        char *hint = NULL;
        struct tok_result result = prov_conffile_inspect_section(&hint, conf, "/etc/x.cnf", "signet_sect");

        assert_int_equal(result.code, TOK_CODE_BAD_SETTING);
        if (strstr(result.message, bad[i].says) == NULL) {
            fail_msg("%s: '%s' does not say '%s'", bad[i].section, result.message, bad[i].says);
        }
        free(hint);
        NCONF_free(conf);
    }
}

TEST(an_unknown_setting_in_a_file_is_a_hint)
{
    static const struct {
        const char *section;
        const char *says; /* NULL: nothing */
    } files[] = {
        { "pinn = 1", "/etc/x.cnf: [signet_sect] has an unknown setting 'pinn': is 'pin' meant?" },
        { "PIN = 1", "is 'pin' meant?" },
        { "laod = early", "is 'load' meant?" },
        { "max_session = 1", "is 'max-sessions' meant?" },
        { "stats = off", "unknown setting 'stats': signet(7) lists all" },
        { "foo = other_sect", "unknown setting 'foo': signet(7) lists all" },
        { "tokens = a\ntoken.a = a_sect\n[a_sect]\nurl = pkcs11:", "'token.a.url': is 'token.a.uri' meant?" },
        { "tokens = a\ntoken.a.uri = pkcs11:\ntoken.a.quirk = x", "is 'token.a.quirks' meant?" },
        { "token.a = none_sect", "unknown setting 'token.a'" },
        { "activate = 1\nmodule = /x.so\npin = value:1\ntokens = a\ntoken.a = a_sect\n[a_sect]\nuri = pkcs11:", NULL },
    };

    for (size_t i = 0; i < COUNT_OF(files); i++) {
        CONF *conf = file_with(files[i].section);
        char *hint = NULL;
        struct tok_result result = prov_conffile_inspect_section(&hint, conf, "/etc/x.cnf", "signet_sect");

        assert_true(tok_ok(&result));
        if (files[i].says == NULL ? hint != NULL : (hint == NULL || strstr(hint, files[i].says) == NULL)) {
            fail_msg("%s: '%s' does not say '%s'", files[i].section, hint, files[i].says);
        }
        free(hint);
        NCONF_free(conf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_said_means_the_defaults),
        cmocka_unit_test(every_setting_is_read),
        cmocka_unit_test(a_value_that_makes_no_sense_is_told_with_what_is_allowed),
        cmocka_unit_test(a_deadline_may_be_part_of_a_second),
        cmocka_unit_test(a_secret_value_is_never_shown),
        cmocka_unit_test(names_of_other_providers_are_understood),
        cmocka_unit_test(the_configuration_comes_before_the_environment_and_ours_before_others),
        cmocka_unit_test(known_settings_are_told_from_typos),
        cmocka_unit_test(a_message_has_the_name_that_the_administrator_wrote),
        cmocka_unit_test(a_message_has_the_file_that_the_value_is_from),
        cmocka_unit_test(a_named_token_is_told_about_in_the_environment_too),
        cmocka_unit_test(a_named_tokens_settings_are_checked_and_its_pin_is_not_shown),
        cmocka_unit_test(another_providers_flag_to_log_in_gives_way_to_login),
        cmocka_unit_test(a_value_is_found_where_openssl_finds_it),
        cmocka_unit_test(a_section_may_say_under_which_name_the_provider_is_known),
        cmocka_unit_test(what_openssl_would_lose_or_refuse_in_a_file_is_an_error),
        cmocka_unit_test(an_unknown_setting_in_a_file_is_a_hint),
    };

    return RUN(tests);
}
