#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "provider/config.h"

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

static struct tok_result read_pairs(struct config *config, const char *const *pairs)
{
    const struct config_source source = { get, (void *)pairs };

    memset(config, 0, sizeof(*config));
    return config_read(config, &source);
}

TEST(nothing_said_means_the_defaults)
{
    static const char *const pairs[] = { NULL };
    SCOPED(config_end) struct config config;
    struct tok_result result = read_pairs(&config, pairs);

    assert_true(tok_ok(&result));
    assert_null(config.settings.modules);
    assert_null(config.settings.pin);
    assert_int_equal(config.settings.deadline_us, 10000000);
    assert_int_equal(config.settings.login, TOK_LOGIN_AUTO);
    assert_int_equal(config.rsa_decrypt, 7);
    assert_false(config.fips || config.settings.trust_files || config.settings.pin_last_try ||
                 config.settings.load_early);
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
        "deadline",
        "5",
        "fork-wait",
        "100",
        "require",
        "sensitive,local",
        "rsa-decrypt",
        "oaep",
        "trust-files",
        "yes",
        "fips",
        "yes",
        "trace",
        "off",
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
    SCOPED(config_end) struct config config;
    struct tok_result result = read_pairs(&config, pairs);

    assert_true(tok_ok(&result));
    assert_string_equal(config.settings.modules, "/a.so,b");
    assert_string_equal(config.settings.init_args, "x=y");
    assert_true(config.settings.pin_last_try && config.settings.load_early && config.settings.trust_files &&
                config.fips);
    assert_int_equal(config.settings.login, TOK_LOGIN_ALWAYS);
    assert_int_equal(config.settings.max_sessions, 3);
    assert_int_equal(config.settings.deadline_us, 5000000);
    assert_int_equal(config.settings.require, TOK_REQUIRE_SENSITIVE | TOK_REQUIRE_LOCAL);
    assert_int_equal(config.rsa_decrypt, CONFIG_DECRYPT_OAEP);
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
        { "deadline", "10s", "whole number" },
        { "deadline", "0", "out of range" },
        { "fork-wait", "", "whole number" },
        { "require", "sensitive,secret", "a word of it is unknown" },
        { "rsa-decrypt", "raw", "a word of it is unknown" },
        { "trust-files", "2", "yes or no" },
        { "fips", "maybe", "yes or no" },
        { "trace", "syslog", "stderr" },
        { "pkcs11-module", "", "empty" },
        { "tokens", "Prod", "a-z" },
        { "tokens", "a,a", "twice" },
        { "tokens", "prod", "token.prod.uri" },
    };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const char *const pairs[] = { bad[i].key, bad[i].value, NULL };
        struct config config;
        struct tok_result result = read_pairs(&config, pairs);

        assert_int_equal(result.code, TOK_CODE_BAD_SETTING);
        if (strstr(result.message, bad[i].says) == NULL) {
            fail_msg("%s = %s: '%s' does not say '%s'", bad[i].key, bad[i].value, result.message, bad[i].says);
        }
    }
}

TEST(a_secret_value_is_never_shown)
{
    static const char *const pairs[] = { "pin", "fd:SECRET", NULL };
    struct config config;
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
    SCOPED(config_end) struct config config;
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
    SCOPED(config_end) struct config config;
    struct tok_result result;

    setenv("SIGNET_DEADLINE", "4", 1);
    setenv("PKCS11_MODULE_PATH", "/theirs.so", 1);
    result = read_pairs(&config, pairs);
    assert_true(tok_ok(&result));
    assert_int_equal(config.settings.deadline_us, 3000000);
    config_end(&config);
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
    assert_true(config_known("pin") && config_known("token.prod.uri") && config_known("activate") &&
                config_known("init_args"));
    assert_false(config_known("pinn") || config_known("token.prod.url") || config_known("token"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_said_means_the_defaults),
        cmocka_unit_test(every_setting_is_read),
        cmocka_unit_test(a_value_that_makes_no_sense_is_told_with_what_is_allowed),
        cmocka_unit_test(a_secret_value_is_never_shown),
        cmocka_unit_test(names_of_other_providers_are_understood),
        cmocka_unit_test(the_configuration_comes_before_the_environment_and_ours_before_others),
        cmocka_unit_test(known_settings_are_told_from_typos),
    };

    return RUN(tests);
}
