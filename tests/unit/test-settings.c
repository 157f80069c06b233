#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "pkcs11/config/settings.h"

TEST(the_defaults_are_cautious)
{
    struct tok_settings settings;

    memset(&settings, 0xff, sizeof(settings)); /* whatever was on the stack */
    tok_settings_init(&settings);
    assert_null(settings.modules);
    assert_null(settings.init_args);
    assert_null(settings.pin);
    assert_false(settings.pin_last_try);
    assert_null(settings.tokens);
    assert_int_equal(settings.num_tokens, 0);
    assert_int_equal(settings.login, TOK_LOGIN_AUTO);
    assert_false(settings.load_early);
    assert_int_equal(settings.max_sessions, 0);
    assert_int_equal(settings.idle_sessions, 0); /* the pool knows the default */
    assert_false(settings.never_reinit);
    assert_int_equal(settings.deadline_us, 10 * 1000 * 1000);
    assert_int_equal(settings.require, 0);
    assert_false(settings.trust_files);
    tok_settings_end(&settings);
}

/* Leaks show under the address sanitizer and valgrind; what is checked here is that nothing dangles. */
TEST(everything_that_was_set_is_given_back_once)
{
    struct tok_settings settings;
    struct tok_result result;

    tok_settings_init(&settings);
    settings.modules = strdup("/usr/lib/module.so");
    settings.init_args = strdup("configDir='x'");
    settings.tokens = calloc(3, sizeof(struct tok_named_token));
    settings.num_tokens = 3;
    assert_true(settings.modules != NULL && settings.init_args != NULL && settings.tokens != NULL);
    result = tok_pin_source_new(&settings.pin, "value:1234", TOK_PIN_FROM_SETTINGS);
    assert_true(tok_ok(&result));
    settings.tokens[0].name = strdup("prod");
    settings.tokens[0].modules = strdup("/usr/lib/other.so");
    result = tok_uri_parse(&settings.tokens[0].uri, "pkcs11:token=prod?pin-value=1234", TOK_URI_FROM_APPLICATION);
    assert_true(tok_ok(&result));
    result = tok_pin_source_new(&settings.tokens[0].pin, "env:HOME", TOK_PIN_FROM_SETTINGS);
    assert_true(tok_ok(&result));
    settings.tokens[1].name = strdup("half-read"); /* the others are as a failed reading leaves them */
    tok_settings_end(&settings);
    assert_null(settings.modules);
    assert_null(settings.pin);
    assert_null(settings.tokens);
    assert_int_equal(settings.num_tokens, 0);
    tok_settings_end(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_cautious),
        cmocka_unit_test(everything_that_was_set_is_given_back_once),
    };

    return RUN(tests);
}
