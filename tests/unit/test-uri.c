#include "unit.h"

#include <string.h>

#include "pkcs11/uri.h"

static void pad(unsigned char *field, size_t size, const char *text)
{
    memset(field, ' ', size);
    memcpy(field, text, strlen(text));
}

static CK_TOKEN_INFO token_named(const char *label)
{
    CK_TOKEN_INFO info;

    memset(&info, 0, sizeof(info));
    pad(info.label, sizeof(info.label), label);
    pad(info.serialNumber, sizeof(info.serialNumber), "42");
    pad(info.manufacturerID, sizeof(info.manufacturerID), "Maker");
    pad(info.model, sizeof(info.model), "M1");
    return info;
}

static struct tok_uri *parsed(const char *text)
{
    struct tok_uri *uri = NULL;
    struct tok_result result = tok_uri_parse(&uri, text, TOK_URI_FROM_APPLICATION);

    assert_true(tok_ok(&result));
    return uri;
}

TEST(a_uri_names_token_and_object)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = parsed("pkcs11:token=my%20token;id=%01%02;object=www;type=private");
    CK_TOKEN_INFO right = token_named("my token");
    CK_TOKEN_INFO wrong = token_named("other");
    CK_OBJECT_CLASS class;

    assert_true(tok_uri_matches_token(uri, &right));
    assert_false(tok_uri_matches_token(uri, &wrong));
    assert_true(bytes_is(tok_uri_id(uri), "\x01\x02", 2));
    assert_true(bytes_is(tok_uri_label(uri), "www", 3));
    assert_true(tok_uri_class(uri, &class) && class == CKO_PRIVATE_KEY);
    assert_true(tok_uri_names_token(uri));
    assert_false(tok_uri_asks_slot(uri));
    assert_false(tok_uri_asks_module(uri));
}

TEST(what_is_absent_is_absent)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = parsed("PKCS11:");
    CK_TOKEN_INFO any = token_named("any");
    CK_OBJECT_CLASS class;

    assert_true(tok_uri_matches_token(uri, &any));
    assert_null(tok_uri_id(uri));
    assert_null(tok_uri_label(uri));
    assert_false(tok_uri_class(uri, &class));
    assert_null(tok_uri_pin_value(uri));
    assert_null(tok_uri_pin_source(uri));
    assert_false(tok_uri_names_token(uri));
}

TEST(the_query_is_decoded_and_kept_out_of_the_text)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = parsed("pkcs11:token=t?pin-value=12%2634&module-name=softhsm2");

    assert_string_equal(tok_uri_pin_value(uri), "12&34");
    assert_string_equal(tok_uri_module_name(uri), "softhsm2");
    assert_string_equal(tok_uri_text(uri), "pkcs11:token=t");
}

TEST(slots_are_matched_by_number_and_description)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = parsed("pkcs11:slot-id=7");
    CK_SLOT_INFO info;

    memset(&info, ' ', sizeof(info));
    assert_true(tok_uri_asks_slot(uri));
    assert_true(tok_uri_matches_slot(uri, 7, &info));
    assert_false(tok_uri_matches_slot(uri, 8, &info));
}

TEST(what_is_wrong_with_a_uri_is_named)
{
    static const struct {
        const char *text;
        const char *says;
    } bad[] = {
        { "pkcs12:token=t", "starts with" },
        { "pkcs11:tokn=t", "'tokn'" },
        { "pkcs11:token", "has no value" },
        { "pkcs11:token=a;token=b", "twice" },
        { "pkcs11:token=t;type=privat", "type=" },
        { "pkcs11:token=%zz", "badly encoded" },
        { "pkcs11:token=t?pin-sauce=x", "'pin-sauce'" },
        { "pkcs11:token=t?pin-value=1%0", "badly encoded" },
        { "pkcs11:token=t?pin-value=1%002", "badly encoded" },
        { "pkcs11:token=t?pin-source=", "empty" },
        { "pkcs11:token=t?pin-source=|cat%20/etc/passwd", "command" },
        { "pkcs11:token=t?pin-source=exec:/bin/cat", "must be a file" },
        { "pkcs11:token=t?pin-source=env:PIN", "must be a file" },
        { "pkcs11:token=t?pin-source=fd:3", "must be a file" },
        { "pkcs11:token=t?module-path=lib.so", "not absolute" },
        { "pkcs11:token=t?module-path=/tmp/lib.so&module-path=/x", "twice" },
    };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
        struct tok_result result = tok_uri_parse(&uri, bad[i].text, TOK_URI_FROM_APPLICATION);

        if (result.code != TOK_CODE_BAD_URI) {
            fail_msg("'%s' is %d", bad[i].text, (int)result.code);
        }
        if (strstr(result.message, bad[i].says) == NULL) {
            fail_msg("'%s': '%s' does not say '%s'", bad[i].text, result.message, bad[i].says);
        }
        assert_null(uri);
    }
}

TEST(an_error_never_holds_the_pin)
{
    static const char *const bad[] = { "pkcs11:tokn=t?pin-value=SECRET", "pkcs11:token=t?pin-value=SECRET&pin-value=SECRET",
                                       "pkcs11:token=t?pin-value=SECRET%0", "pkcs11:type=x?pin-value=SECRET" };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct tok_uri *uri = NULL;
        struct tok_result result = tok_uri_parse(&uri, bad[i], TOK_URI_FROM_APPLICATION);

        assert_false(tok_ok(&result));
        assert_null(strstr(result.message, "SECRET"));
    }
}

TEST(a_key_file_may_name_neither_module_nor_pin)
{
    static const char *const texts[] = { "pkcs11:token=t?pin-value=1", "pkcs11:token=t?pin-source=/x",
                                         "pkcs11:token=t?module-path=/usr/lib/x.so", "pkcs11:token=t?module-name=x" };

    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        struct tok_uri *uri = NULL;
        struct tok_result result = tok_uri_parse(&uri, texts[i], TOK_URI_FROM_FILE);

        assert_int_equal(result.code, TOK_CODE_TRUST);
        result = tok_uri_parse(&uri, texts[i], TOK_URI_FROM_TRUSTED_FILE);
        assert_true(tok_ok(&result));
        tok_uri_free(uri);
    }
}

TEST(an_object_gets_the_uri_that_finds_it)
{
    CK_TOKEN_INFO info = token_named("my token");
    struct bytes id = { (uint8_t *)"\x07", 1 };
    struct bytes label = { (uint8_t *)"a/b;c", 5 };
    SCOPED(scoped_free) char *text = NULL;
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    struct tok_result result = tok_uri_of_object(&text, &info, CKO_PRIVATE_KEY, &id, &label);

    assert_true(tok_ok(&result));
    uri = parsed(text);
    assert_true(tok_uri_matches_token(uri, &info));
    assert_true(bytes_equal(tok_uri_id(uri), &id));
    assert_true(bytes_equal(tok_uri_label(uri), &label));
}

TEST(a_uri_of_our_own_takes_over_module_and_pin)
{
    SCOPED(tok_uri_end) struct tok_uri *like = parsed("pkcs11:object=x?pin-value=99&module-name=m");
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    struct tok_result result = tok_uri_parse_like(&uri, "pkcs11:token=t;id=%01", like);

    assert_true(tok_ok(&result));
    assert_string_equal(tok_uri_pin_value(uri), "99");
    assert_string_equal(tok_uri_module_name(uri), "m");
    assert_null(tok_uri_label(uri));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_uri_names_token_and_object),
        cmocka_unit_test(what_is_absent_is_absent),
        cmocka_unit_test(the_query_is_decoded_and_kept_out_of_the_text),
        cmocka_unit_test(slots_are_matched_by_number_and_description),
        cmocka_unit_test(what_is_wrong_with_a_uri_is_named),
        cmocka_unit_test(an_error_never_holds_the_pin),
        cmocka_unit_test(a_key_file_may_name_neither_module_nor_pin),
        cmocka_unit_test(an_object_gets_the_uri_that_finds_it),
        cmocka_unit_test(a_uri_of_our_own_takes_over_module_and_pin),
    };

    return RUN(tests);
}
