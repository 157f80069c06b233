#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pkcs11/config/uri.h"

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
    assert_null(tok_uri_pin(uri));
    assert_false(tok_uri_names_token(uri));
}

static void assert_pin(const struct tok_uri *uri, const char *expected)
{
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result;

    assert_non_null(tok_uri_pin(uri));
    result = tok_pin_fetch(tok_uri_pin(uri), &pin);
    assert_true(tok_ok(&result));
    assert_string_equal((const char *)pin.data, expected);
}

TEST(the_query_is_decoded_and_kept_out_of_the_text)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = parsed("pkcs11:token=t?pin-value=12%2634&module-name=softhsm2");

    assert_pin(uri, "12&34");
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
        { "pkcs11:token=t&object=o", "'object' stands inside 'token': ';' parts" },
        { "pkcs11:object=o;token=t&id=%01", "'id' stands inside 'token'" },
        { "pkcs11:token=a;token=b", "twice" },
        { "pkcs11:token=t;type=privat", "type=" },
        { "pkcs11:token=%zz", "badly encoded" },
        { "pkcs11:token=t?pin-sauce=x", "'pin-sauce'" },
        { "pkcs11:token=t?pin-value=1%0", "badly encoded" },
        { "pkcs11:token=t?pin-value=1%002", "badly encoded" },
        { "pkcs11:token=t?pin-source=", "empty" },
        { "pkcs11:token=t?pin-source=|cat%20/etc/passwd", "command" },
        { "pkcs11:token=t?pin-source=exec:/bin/cat", "must be the absolute path of a file" },
        { "pkcs11:token=t?pin-source=env:PIN", "must be the absolute path of a file" },
        { "pkcs11:token=t?pin-source=fd:3", "must be the absolute path of a file" },
        { "pkcs11:token=t?module-path=lib.so", "not absolute" },
        { "pkcs11:token=t?module-path=/usr/lib/x.so&module-path=/x", "twice" },
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
    static const char *const bad[] = { "pkcs11:tokn=t?pin-value=SECRET",
                                       "pkcs11:token=t?pin-value=SECRET&pin-value=SECRET",
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
    assert_pin(uri, "99");
    assert_string_equal(tok_uri_module_name(uri), "m");
    assert_null(tok_uri_label(uri));
}

TEST(the_scheme_may_have_any_case)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = parsed("PkCs11:token=t");

    assert_true(tok_uri_has_scheme("pkcs11:"));
    assert_true(tok_uri_has_scheme("PKCS11:token=t"));
    assert_false(tok_uri_has_scheme("pkcs11"));
    assert_false(tok_uri_has_scheme(""));
    assert_false(tok_uri_has_scheme(" pkcs11:"));
    assert_false(tok_uri_has_scheme("file:pkcs11:"));
    assert_string_equal(tok_uri_text(uri), "pkcs11:token=t");
}

/* Parses what must fail, and returns the message. */
static const char *refused(const char *text)
{
    static struct tok_result result;
    struct tok_uri *uri = NULL;

    result = tok_uri_parse(&uri, text, TOK_URI_FROM_APPLICATION);
    if (tok_ok(&result)) {
        fail_msg("'%s' was accepted", text);
    }
    assert_null(uri);
    return result.message;
}

static const char *const path_attributes[] = {
    "token",
    "manufacturer",
    "serial",
    "model",
    "library-manufacturer",
    "library-version",
    "library-description",
    "slot-manufacturer",
    "slot-description",
    "slot-id",
    "object",
    "type",
    "id",
};
static const char *const query_attributes[] = { "pin-source", "pin-value", "module-name", "module-path" };

static const char *good_value(const char *name)
{
    return strcmp(name, "type") == 0                                             ? "private"
           : strcmp(name, "library-version") == 0                                ? "2.40"
           : strcmp(name, "slot-id") == 0                                        ? "1"
           : strcmp(name, "pin-source") == 0 || strcmp(name, "module-path") == 0 ? "/does/not/exist"
                                                                                 : "x";
}

/* pkcs11:NAME=VALUE, or pkcs11:?NAME=VALUE */
static const char *uri_with(const char *start, const char *name, const char *value)
{
    static char text[256];

    snprintf(text, sizeof(text), "pkcs11:%s%s=%s", start, name, value);
    return text;
}

TEST(every_attribute_of_the_standard_is_known)
{
    for (size_t i = 0; i < COUNT_OF(path_attributes); i++) {
        tok_uri_free(parsed(uri_with("", path_attributes[i], good_value(path_attributes[i]))));
    }
    for (size_t i = 0; i < COUNT_OF(query_attributes); i++) {
        tok_uri_free(parsed(uri_with("?", query_attributes[i], good_value(query_attributes[i]))));
    }
}

/* A typo that matched everything would take the first key there is. */
static void typos_are_named(const char *start, const char *name)
{
    char typo[64];
    size_t len = strlen(name);
    char quoted[68];

    for (size_t i = 0; i <= len; i++) {
        for (int kind = 0; kind < 3; kind++) {
            if (kind == 0 && i < len) {
                snprintf(typo, sizeof(typo), "%.*s%s", (int)i, name, name + i + 1); /* one letter left out */
            } else if (kind == 1) {
                snprintf(typo, sizeof(typo), "%.*sq%s", (int)i, name, name + i); /* one too many */
            } else {
                snprintf(typo, sizeof(typo), "%sX", name);
            }
            snprintf(quoted, sizeof(quoted), "'%s'", typo);
            assert_non_null(strstr(refused(uri_with(start, typo, good_value(name))), quoted));
        }
    }
    snprintf(typo, sizeof(typo), "%s", name);
    typo[0] = (char)(typo[0] - 'a' + 'A'); /* names have one case */
    assert_non_null(strstr(refused(uri_with(start, typo, good_value(name))), typo));
}

TEST(a_typo_in_any_attribute_is_named)
{
    for (size_t i = 0; i < COUNT_OF(path_attributes); i++) {
        typos_are_named("", path_attributes[i]);
    }
    for (size_t i = 0; i < COUNT_OF(query_attributes); i++) {
        typos_are_named("?", query_attributes[i]);
    }
}

TEST(an_unknown_attribute_comes_with_the_list_of_those_there_are)
{
    const char *message = refused("pkcs11:bogus=1");

    for (size_t i = 0; i < COUNT_OF(path_attributes); i++) {
        assert_non_null(strstr(message, path_attributes[i]));
    }
    message = refused("pkcs11:token=t?bogus=1");
    for (size_t i = 0; i < COUNT_OF(query_attributes); i++) {
        assert_non_null(strstr(message, query_attributes[i]));
    }
}

TEST(an_attribute_stands_on_its_side_of_the_question_mark)
{
    for (size_t i = 0; i < COUNT_OF(path_attributes); i++) {
        const char *name = path_attributes[i];

        assert_non_null(strstr(refused(uri_with("?", name, good_value(name))), "before it, after a ';'"));
    }
    for (size_t i = 0; i < COUNT_OF(query_attributes); i++) {
        const char *name = query_attributes[i];

        assert_non_null(strstr(refused(uri_with("", name, good_value(name))), "put '?'"));
    }
}

TEST(a_blank_a_slash_or_a_semicolon_too_many_is_named)
{
    assert_non_null(strstr(refused("pkcs11:token=t; object=www"), "a blank stands before 'object'"));
    assert_non_null(strstr(refused("pkcs11://token=t"), "write pkcs11:token="));
    assert_non_null(strstr(refused("pkcs11:token=t?pin-value=1234;object=www"), "%3B"));
    assert_null(strstr(refused("pkcs11:token=t?pin-value=1234;object=www"), "1234"));
    assert_non_null(strstr(refused("pkcs11:token=t?pin-source=pin"), "absolute path"));
    assert_non_null(strstr(refused("pkcs11:token=t?pin-value=12%0A34"), "more than one line"));
}

TEST(any_attribute_that_stands_twice_is_refused)
{
    char text[256];

    for (size_t i = 0; i < COUNT_OF(path_attributes); i++) {
        const char *name = path_attributes[i];

        snprintf(text, sizeof(text), "pkcs11:%s=%s;%s=%s", name, good_value(name), name, good_value(name));
        assert_non_null(strstr(refused(text), "twice"));
    }
    for (size_t i = 0; i < COUNT_OF(query_attributes); i++) {
        const char *name = query_attributes[i];

        snprintf(text, sizeof(text), "pkcs11:?%s=%s&%s=%s", name, good_value(name), name, good_value(name));
        assert_non_null(strstr(refused(text), "twice"));
    }
}

TEST(object_type_is_another_name_of_type)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = parsed("pkcs11:object-type=cert;token=t");
    CK_OBJECT_CLASS class;

    assert_true(tok_uri_class(uri, &class) && class == CKO_CERTIFICATE);
    assert_string_equal(tok_uri_text(uri), "pkcs11:type=cert;token=t");
    assert_non_null(strstr(refused("pkcs11:type=private;object-type=cert"), "'type' stands twice"));
}

TEST(every_type_has_its_class)
{
    static const struct {
        const char *text;
        CK_OBJECT_CLASS class;
    } types[] = {
        { "pkcs11:type=private", CKO_PRIVATE_KEY }, { "pkcs11:type=public", CKO_PUBLIC_KEY },
        { "pkcs11:type=cert", CKO_CERTIFICATE },    { "pkcs11:type=secret-key", CKO_SECRET_KEY },
        { "pkcs11:type=data", CKO_DATA },
    };

    for (size_t i = 0; i < COUNT_OF(types); i++) {
        SCOPED(tok_uri_end) struct tok_uri *uri = parsed(types[i].text);
        CK_OBJECT_CLASS class;

        assert_true(tok_uri_class(uri, &class) && class == types[i].class);
    }
}

TEST(a_value_that_makes_no_sense_is_named_with_its_attribute)
{
    static const struct {
        const char *text;
        const char *says;
    } bad[] = {
        { "pkcs11:token=t;slot-id=", "'slot-id='" }, /* would be slot 0 */
        { "pkcs11:token=t;slot-id=x", "'slot-id=x'" },
        { "pkcs11:token=t;slot-id=-1", "'slot-id=-1'" },
        { "pkcs11:token=t;library-version=x", "'library-version=x'" },
        { "pkcs11:token=t;library-version=300.1", "'library-version=300.1'" },
        { "pkcs11:token=123456789012345678901234567890123", "'token=" },
        { "pkcs11:token=t;serial=12345678901234567", "'serial=" },
        { "pkcs11:token=t;id=%", "'id=%'" },
        { "pkcs11:token=t;id=%0", "'id=%0'" },
        { "pkcs11:token=t;type=", "'type='" },
        { "pkcs11:token=t;;id=%01", "unknown attribute ''" },
        { "pkcs11:=t", "unknown attribute ''" },
        { "pkcs11:token=a\nb", "control character" },
        { "pkcs11:token=t?module-name=x\n", "control character" },
        { "pkcs11", "starts with" },
        { "", "starts with" },
    };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const char *message = refused(bad[i].text);

        if (strstr(message, bad[i].says) == NULL) {
            fail_msg("'%s': '%s' does not say '%s'", bad[i].text, message, bad[i].says);
        }
    }
}

TEST(an_empty_id_or_label_is_there_and_empty)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = parsed("pkcs11:id=;object=");

    assert_non_null(tok_uri_id(uri));
    assert_int_equal(tok_uri_id(uri)->len, 0);
    assert_non_null(tok_uri_label(uri));
    assert_int_equal(tok_uri_label(uri)->len, 0);
}

/* Other tools write all of a token's fields, empty ones too. */
TEST(an_empty_field_matches_an_empty_field_alone)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = parsed("pkcs11:model=;manufacturer=Maker;serial=42;token=t");
    CK_TOKEN_INFO info = token_named("t");

    assert_false(tok_uri_matches_token(uri, &info));
    pad(info.model, sizeof(info.model), "");
    assert_true(tok_uri_matches_token(uri, &info));
}

TEST(an_id_may_hold_every_byte)
{
    char text[16 + 3 * 256] = "pkcs11:id=";
    uint8_t all[256];
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;

    for (unsigned i = 0; i < 256; i++) {
        snprintf(text + strlen(text), 4, "%%%02x", i);
        all[i] = (uint8_t)i;
    }
    uri = parsed(text);
    assert_true(bytes_is(tok_uri_id(uri), all, sizeof(all)));
}

TEST(an_ampersand_in_a_name_is_an_ampersand)
{
    static const char *const good[] = { "pkcs11:token=R&D", "pkcs11:token=R&object", "pkcs11:token=R%26object=x",
                                        "pkcs11:token=&&=" };

    for (size_t i = 0; i < COUNT_OF(good); i++) {
        SCOPED(tok_uri_end) struct tok_uri *uri = NULL;

        struct tok_result result = tok_uri_parse(&uri, good[i], TOK_URI_FROM_APPLICATION);

        assert_true(tok_ok(&result));
    }
}

TEST(a_space_in_a_name_is_a_space)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = parsed("pkcs11:token=my token;object=a  b");
    SCOPED(tok_uri_end) struct tok_uri *copy = NULL;
    CK_TOKEN_INFO right = token_named("my token");
    CK_TOKEN_INFO wrong = token_named("mytoken");
    struct tok_result result;

    assert_true(tok_uri_matches_token(uri, &right));
    assert_false(tok_uri_matches_token(uri, &wrong));
    assert_true(bytes_is(tok_uri_label(uri), "a  b", 4));
    assert_string_equal(tok_uri_text(uri), "pkcs11:token=my%20token;object=a%20%20b");
    result = tok_uri_dup(&copy, uri);
    assert_true(tok_ok(&result));
    assert_string_equal(tok_uri_text(copy), tok_uri_text(uri));
}

TEST(a_semicolon_at_the_end_and_an_empty_query_are_nothing)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = parsed("pkcs11:token=t;?");

    assert_string_equal(tok_uri_text(uri), "pkcs11:token=t");
    assert_null(tok_uri_pin(uri));
}

TEST(what_is_asked_of_a_module_is_matched)
{
    SCOPED(tok_uri_end) struct tok_uri *maker = parsed("pkcs11:library-manufacturer=SoftHSM");
    SCOPED(tok_uri_end) struct tok_uri *version = parsed("pkcs11:library-version=2.6");
    SCOPED(tok_uri_end) struct tok_uri *description = parsed("pkcs11:library-description=Soft%20token");
    CK_INFO info;

    memset(&info, 0, sizeof(info));
    pad(info.manufacturerID, sizeof(info.manufacturerID), "SoftHSM");
    pad(info.libraryDescription, sizeof(info.libraryDescription), "Soft token");
    info.libraryVersion = (CK_VERSION){ 2, 6 };
    assert_true(tok_uri_asks_module(maker) && tok_uri_matches_module(maker, &info));
    assert_true(tok_uri_asks_module(version) && tok_uri_matches_module(version, &info));
    assert_true(tok_uri_asks_module(description) && tok_uri_matches_module(description, &info));
    pad(info.manufacturerID, sizeof(info.manufacturerID), "Somebody");
    pad(info.libraryDescription, sizeof(info.libraryDescription), "Hard token");
    info.libraryVersion.minor = 7;
    assert_false(tok_uri_matches_module(maker, &info));
    assert_false(tok_uri_matches_module(version, &info));
    assert_false(tok_uri_matches_module(description, &info));
}

TEST(slots_are_matched_by_maker_and_description_too)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = parsed("pkcs11:slot-description=Reader%201;slot-manufacturer=Maker");
    SCOPED(tok_uri_end) struct tok_uri *first = parsed("pkcs11:slot-id=0");
    CK_SLOT_INFO info;

    memset(&info, 0, sizeof(info));
    pad(info.slotDescription, sizeof(info.slotDescription), "Reader 1");
    pad(info.manufacturerID, sizeof(info.manufacturerID), "Maker");
    assert_true(tok_uri_asks_slot(uri));
    assert_true(tok_uri_matches_slot(uri, 5, &info));
    pad(info.slotDescription, sizeof(info.slotDescription), "Reader 2");
    assert_false(tok_uri_matches_slot(uri, 5, &info));
    assert_true(tok_uri_asks_slot(first)); /* 0 is a number, too */
    assert_true(tok_uri_matches_slot(first, 0, &info));
    assert_false(tok_uri_matches_slot(first, 1, &info));
}

TEST(a_serial_number_names_a_token_as_its_label_does_but_a_model_does_not)
{
    SCOPED(tok_uri_end) struct tok_uri *serial = parsed("pkcs11:serial=42");
    SCOPED(tok_uri_end) struct tok_uri *model = parsed("pkcs11:model=M1;manufacturer=Maker");

    assert_true(tok_uri_names_token(serial));
    assert_false(tok_uri_names_token(model));
}

TEST(the_pin_is_decoded_byte_by_byte)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = parsed("pkcs11:token=t?pin-value=%31+%20%C3%a4%26%3B%3f=");

    assert_pin(uri, "1+ \xc3\xa4&;?=");
}

TEST(a_pin_in_the_wrong_place_is_not_told)
{
    static const char *const bad[] = {
        "pkcs11:token=t;pin-value=SECRET",                /* ; for ? */
        "pkcs11:token=t&pin-value=SECRET",                /* & for ? */
        "pkcs11:token=t?module-path=/x?pin-value=SECRET", /* ? for & */
        "pkcs11:token=t?module-name=x;pin-value=SECRET",  /* ; for & */
        "pkcs11:token=t?module-path=/x&PIN-VALUE=SECRET",
        "pkcs11:token=t?pin-source=x?Pin-Value=SECRET",
        "pkcs11:token=t?pin-value:SECRET",
        "pkcs11:token=t?pin-value%3DSECRET",
        "pkcs11:token=t?pin-value SECRET",
        "pkcs11:token=t?pin-value=SECRET\n",
        "pkcs11:token=t?pin-value=%00SECRET",
        "pkcs11:token=t?pin-value=SECRET&bogus=1",
        "pkcs11:slot-id=x?pin-value=SECRET",
        "pkcs11:token=t?pin-value=SECRET&module-path=relative",
        "pkcs11:token=t?pin-value=SECRET&pin-source=|cat",
        "pkcs12:token=t?pin-value=SECRET",
    };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        if (strstr(refused(bad[i]), "SECRET") != NULL) {
            fail_msg("'%s' is answered by '%s'", bad[i], refused(bad[i]));
        }
    }
}

TEST(the_text_of_a_uri_never_holds_the_pin)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = parsed("pkcs11:token=t;id=%01?module-name=m&pin-value=SECRET");
    SCOPED(tok_uri_end) struct tok_uri *copy = NULL;
    struct tok_result result = tok_uri_dup(&copy, uri);

    assert_true(tok_ok(&result));
    assert_string_equal(tok_uri_text(uri), "pkcs11:token=t;id=%01");
    assert_string_equal(tok_uri_text(copy), "pkcs11:token=t;id=%01");
    assert_pin(copy, "SECRET");
    assert_string_equal(tok_uri_module_name(copy), "m");
}

/* Each copy would be one more place in memory, and one more to wipe. */
TEST(copies_of_a_uri_share_its_pin_and_the_last_one_keeps_it)
{
    struct tok_uri *uri = parsed("pkcs11:token=t?pin-value=SECRET");
    SCOPED(tok_uri_end) struct tok_uri *copy = NULL;
    SCOPED(tok_uri_end) struct tok_uri *like = NULL;
    struct tok_result result = tok_uri_dup(&copy, uri);

    assert_true(tok_ok(&result));
    result = tok_uri_parse_like(&like, "pkcs11:token=t;id=%01", copy);
    assert_true(tok_ok(&result));
    assert_ptr_equal(tok_uri_pin(copy), tok_uri_pin(uri));
    assert_ptr_equal(tok_uri_pin(like), tok_uri_pin(uri));
    tok_uri_free(uri);
    assert_pin(copy, "SECRET");
    assert_pin(like, "SECRET");
}

TEST(of_two_pins_of_a_uri_the_value_counts)
{
    SCOPED(tok_uri_end) struct tok_uri *first = parsed("pkcs11:token=t?pin-value=12&pin-source=/does/not/exist");
    SCOPED(tok_uri_end) struct tok_uri *last = parsed("pkcs11:token=t?pin-source=/does/not/exist&pin-value=12");

    assert_pin(first, "12");
    assert_pin(last, "12");
}

TEST(an_empty_pin_is_refused_with_its_uri)
{
    assert_non_null(strstr(refused("pkcs11:token=t?pin-value="), "empty"));
}

TEST(one_uri_names_one_module)
{
    assert_non_null(strstr(refused("pkcs11:token=t?module-path=/usr/lib/x.so,/tmp/evil.so"), "comma"));
    assert_non_null(strstr(refused("pkcs11:token=t?module-path=/usr/lib/x.so%2c/tmp/evil.so"), "comma"));
    assert_non_null(strstr(refused("pkcs11:token=t?module-path=/usr/lib/x.so%20"), "space at its end"));
    assert_non_null(strstr(refused("pkcs11:token=t?module-path=/usr/$LIB/x.so"), "'$'")); /* not as dlopen reads it */
    assert_non_null(strstr(refused("pkcs11:token=t?module-path=/usr/%24%7BLIB%7D/x.so"), "'$'"));
    assert_non_null(strstr(refused("pkcs11:token=t?module-name=/tmp/evil.so"), "module-path"));
    assert_non_null(strstr(refused("pkcs11:token=t?module-name=../tmp/evil.so"), "module-path"));
    assert_non_null(strstr(refused("pkcs11:token=t?module-name=a,b"), "module-name"));
    assert_non_null(strstr(refused("pkcs11:token=t?module-path=relative.so"), "not absolute"));
}

static char folder[] = "/tmp/signet-uri-XXXXXX";

/* Whether root may name a module by a URI, with those owners and modes. */
static bool module_accepted(uid_t folder_owner, mode_t folder_mode, uid_t owner, mode_t mode)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    char path[64];
    char text[128];
    struct tok_result result;
    int fd;

    snprintf(path, sizeof(path), "%s/module.so", folder);
    snprintf(text, sizeof(text), "pkcs11:token=t?module-path=%s", path);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0 && fchown(fd, owner, (gid_t)-1) == 0 && fchmod(fd, mode) == 0);
    close(fd);
    assert_true(chown(folder, folder_owner, (gid_t)-1) == 0 && chmod(folder, folder_mode) == 0);
    result = tok_uri_parse(&uri, text, TOK_URI_FROM_APPLICATION);
    if (!tok_ok(&result)) {
        assert_int_equal(result.code, TOK_CODE_BAD_URI);
        assert_non_null(strstr(result.message, "may be changed by others than root: '/"));
        assert_non_null(strstr(result.message, path));
    }
    assert_int_equal(unlink(path), 0);
    return tok_ok(&result);
}

TEST(root_takes_no_module_that_others_may_change)
{
    const uid_t nobody = 65534;
    char loose[48];
    char target[64];
    char link[64];
    char text[128];

    if (geteuid() != 0) {
        NOT_HERE("only root changes owners");
    }
    assert_non_null(mkdtemp(folder));
    assert_true(module_accepted(0, 0755, 0, 0644));
    assert_false(module_accepted(0, 0755, 0, 0664));      /* its group */
    assert_false(module_accepted(0, 0755, 0, 0646));      /* everybody */
    assert_false(module_accepted(0, 0755, nobody, 0644)); /* its owner */
    assert_false(module_accepted(0, 0775, 0, 0644));      /* may be replaced */
    assert_false(module_accepted(0, 0757, 0, 0644));
    assert_false(module_accepted(nobody, 0755, 0, 0644));
    assert_true(module_accepted(0, 01777, 0, 0644)); /* /tmp: only the owner may replace a file */
    assert_false(module_accepted(0, 01777, nobody, 0644));
    assert_false(module_accepted(0, 01777, 0, 01666)); /* the bit means nothing on a file */

    /* behind a link that is safe itself */
    assert_int_equal(chmod(folder, 0755), 0);
    snprintf(target, sizeof(target), "%s/evil.so", folder);
    snprintf(link, sizeof(link), "%s/link.so", folder);
    snprintf(text, sizeof(text), "pkcs11:token=t?module-path=%s", link);
    close(open(target, O_WRONLY | O_CREAT, 0600));
    assert_true(chmod(target, 0666) == 0 && symlink(target, link) == 0);
    assert_non_null(strstr(refused(text), "may be changed by others"));
    assert_true(unlink(target) == 0 && unlink(link) == 0);

    /* and a link to where files may be replaced */
    snprintf(loose, sizeof(loose), "%s/loose", folder);
    snprintf(target, sizeof(target), "%s/module.so", loose);
    assert_true(mkdir(loose, 0700) == 0 && chmod(loose, 0777) == 0);
    close(open(target, O_WRONLY | O_CREAT, 0644));
    assert_int_equal(symlink(target, link), 0);
    assert_non_null(strstr(refused(text), "may be changed by others"));
    assert_true(unlink(target) == 0 && unlink(link) == 0);

    /* and what is root's inside a stranger's folder, which moves away as a whole */
    snprintf(target, sizeof(target), "%s/roots", loose);
    snprintf(text, sizeof(text), "pkcs11:token=t?module-path=%s/module.so", target);
    assert_true(chmod(loose, 0755) == 0 && mkdir(target, 0755) == 0 && chown(loose, nobody, (gid_t)-1) == 0);
    assert_non_null(strstr(refused(text), "loose' belongs to user 65534"));
    assert_true(rmdir(target) == 0 && rmdir(loose) == 0 && rmdir(folder) == 0);
}

TEST(the_module_of_a_uri_is_the_file_that_was_checked)
{
    char place[] = "/tmp/signet-uri-XXXXXX";
    char target[64];
    char text[128];
    char link[64];

    assert_non_null(mkdtemp(place));
    snprintf(target, sizeof(target), "%s/module.so", place);
    snprintf(link, sizeof(link), "%s/link.so", place);
    snprintf(text, sizeof(text), "pkcs11:token=t?module-path=%s", link);
    close(open(target, O_WRONLY | O_CREAT, 0600));
    assert_int_equal(symlink("module.so", link), 0);
    {
        SCOPED(tok_uri_end) struct tok_uri *uri = parsed(text);

        assert_string_equal(tok_uri_module_path(uri), target);
    }
    assert_true(unlink(target) == 0 && unlink(link) == 0 && rmdir(place) == 0);
}

TEST(a_module_that_is_missing_is_for_the_loader_to_tell)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = parsed("pkcs11:token=t?module-path=/does/not/exist.so");

    assert_string_equal(tok_uri_module_path(uri), "/does/not/exist.so");
}

TEST(a_file_asks_in_vain_even_in_the_wrong_order_and_its_errors_stay_errors)
{
    struct tok_uri *uri = NULL;
    struct tok_result result = tok_uri_parse(&uri, "pkcs11:token=t?bogus=1&pin-value=1", TOK_URI_FROM_FILE);

    assert_int_equal(result.code, TOK_CODE_BAD_URI);
    result = tok_uri_parse(&uri, "pkcs11:token=t?pin-value=SECRET", TOK_URI_FROM_FILE);
    assert_int_equal(result.code, TOK_CODE_TRUST);
    assert_non_null(strstr(result.message, "pin-value"));
    assert_null(strstr(result.message, "SECRET"));
    assert_null(uri);
}

TEST(a_trusted_file_is_held_to_the_same_rules)
{
    struct tok_uri *uri = NULL;
    struct tok_result result = tok_uri_parse(&uri, "pkcs11:token=t?pin-source=|id", TOK_URI_FROM_TRUSTED_FILE);

    assert_int_equal(result.code, TOK_CODE_BAD_URI);
    result = tok_uri_parse(&uri, "pkcs11:token=t?pin-source=%7cid", TOK_URI_FROM_TRUSTED_FILE);
    assert_int_equal(result.code, TOK_CODE_BAD_URI);
    result = tok_uri_parse(&uri, "pkcs11:token=t?module-path=x.so", TOK_URI_FROM_TRUSTED_FILE);
    assert_int_equal(result.code, TOK_CODE_BAD_URI);
    assert_null(uri);
}

TEST(an_object_without_id_and_label_gets_a_uri_too)
{
    CK_TOKEN_INFO info = token_named("t");
    struct bytes none = { 0 };
    SCOPED(scoped_free) char *text = NULL;
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    struct tok_result result = tok_uri_of_object(&text, &info, CKO_CERTIFICATE, &none, &none);
    CK_OBJECT_CLASS class;

    assert_true(tok_ok(&result));
    uri = parsed(text);
    assert_null(tok_uri_id(uri));
    assert_null(tok_uri_label(uri));
    assert_true(tok_uri_class(uri, &class) && class == CKO_CERTIFICATE);
}

TEST(a_token_gets_the_uri_that_finds_it_whatever_its_label)
{
    static const char *const labels[] = { "t", "with space", "a;b?c&d=e%20/", "\xc3\xa4\xf6 broken", "" };

    for (size_t i = 0; i < COUNT_OF(labels); i++) {
        CK_TOKEN_INFO info = token_named(labels[i]);
        CK_TOKEN_INFO other = token_named("other");
        SCOPED(scoped_free) char *text = NULL;
        SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
        struct tok_result result = tok_uri_of_token(&text, &info);

        assert_true(tok_ok(&result));
        uri = parsed(text);
        assert_true(tok_uri_matches_token(uri, &info));
        assert_false(tok_uri_matches_token(uri, &other));
        assert_true(tok_uri_names_token(uri));
    }
}

TEST(freeing_nothing_is_fine)
{
    struct tok_uri *none = NULL;

    tok_uri_free(NULL);
    tok_uri_end(&none);
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
        cmocka_unit_test(the_scheme_may_have_any_case),
        cmocka_unit_test(every_attribute_of_the_standard_is_known),
        cmocka_unit_test(a_typo_in_any_attribute_is_named),
        cmocka_unit_test(an_unknown_attribute_comes_with_the_list_of_those_there_are),
        cmocka_unit_test(an_attribute_stands_on_its_side_of_the_question_mark),
        cmocka_unit_test(a_blank_a_slash_or_a_semicolon_too_many_is_named),
        cmocka_unit_test(any_attribute_that_stands_twice_is_refused),
        cmocka_unit_test(object_type_is_another_name_of_type),
        cmocka_unit_test(every_type_has_its_class),
        cmocka_unit_test(a_value_that_makes_no_sense_is_named_with_its_attribute),
        cmocka_unit_test(an_empty_id_or_label_is_there_and_empty),
        cmocka_unit_test(an_empty_field_matches_an_empty_field_alone),
        cmocka_unit_test(an_id_may_hold_every_byte),
        cmocka_unit_test(an_ampersand_in_a_name_is_an_ampersand),
        cmocka_unit_test(a_space_in_a_name_is_a_space),
        cmocka_unit_test(a_semicolon_at_the_end_and_an_empty_query_are_nothing),
        cmocka_unit_test(what_is_asked_of_a_module_is_matched),
        cmocka_unit_test(slots_are_matched_by_maker_and_description_too),
        cmocka_unit_test(a_serial_number_names_a_token_as_its_label_does_but_a_model_does_not),
        cmocka_unit_test(the_pin_is_decoded_byte_by_byte),
        cmocka_unit_test(a_pin_in_the_wrong_place_is_not_told),
        cmocka_unit_test(the_text_of_a_uri_never_holds_the_pin),
        cmocka_unit_test(copies_of_a_uri_share_its_pin_and_the_last_one_keeps_it),
        cmocka_unit_test(of_two_pins_of_a_uri_the_value_counts),
        cmocka_unit_test(an_empty_pin_is_refused_with_its_uri),
        cmocka_unit_test(one_uri_names_one_module),
        cmocka_unit_test(root_takes_no_module_that_others_may_change),
        cmocka_unit_test(the_module_of_a_uri_is_the_file_that_was_checked),
        cmocka_unit_test(a_module_that_is_missing_is_for_the_loader_to_tell),
        cmocka_unit_test(a_file_asks_in_vain_even_in_the_wrong_order_and_its_errors_stay_errors),
        cmocka_unit_test(a_trusted_file_is_held_to_the_same_rules),
        cmocka_unit_test(an_object_without_id_and_label_gets_a_uri_too),
        cmocka_unit_test(a_token_gets_the_uri_that_finds_it_whatever_its_label),
        cmocka_unit_test(freeing_nothing_is_fine),
    };

    return RUN(tests);
}
