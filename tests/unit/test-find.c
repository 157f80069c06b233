#include "mock-use.h"

#include "pkcs11/key/find.h"

static struct mock *mock;
static struct tok_module *module;
static struct tok_settings settings;

/* Settings that mean the mock, with the right PIN. Tokens and objects are added after this. */
static void furnish(void)
{
    mock = mock_load(&module);
    tok_settings_end(&settings);
    tok_settings_init(&settings);
    settings.modules = strdup(mock_path);
    settings.deadline_us = 5 * SECOND;
    OK(tok_pin_source_new(&settings.pin, "1234", TOK_PIN_FROM_SETTINGS));
}

static struct tok_result find(struct tok_items *items, const char *text, unsigned wanted)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;

    tok_items_end(items);
    TOK_TRY(tok_uri_parse(&uri, text, TOK_URI_FROM_APPLICATION));
    return tok_find(items, &settings, uri, wanted, NULL);
}

TEST(a_key_is_found_by_its_name)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "mail", 2, "\x04yz");
    OK(find(&items, "pkcs11:token=test;object=mail;type=private", TOK_WANT_PRIVATE));
    assert_int_equal(items.count, 1);
    assert_int_equal(items.items[0].kind, TOK_WANT_PRIVATE);
    assert_non_null(strstr(items.items[0].uri, "object=mail"));
    assert_non_null(strstr(items.items[0].uri, "id=%02"));
    assert_true(bytes_is(&tok_key_half(items.items[0].key)->point, "\x04yz", 3));
    assert_int_equal(mock->calls[MOCK_Login], 1);
}

TEST(what_a_module_gives_under_another_name_is_not_taken_for_what_was_asked)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PUBLIC_KEY, "other", 9, "\x04qq");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "other", 9, NULL);
    mock_ec_key(mock, CKO_PUBLIC_KEY, "www", 1, "\x04xy");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, NULL);
    mock->ignores_names = true;
    OK(find(&items, "pkcs11:token=test;object=www;type=private", TOK_WANT_PRIVATE));
    assert_int_equal(items.count, 1);
    assert_non_null(strstr(items.items[0].uri, "object=www"));
    assert_true(bytes_is(&tok_key_half(items.items[0].key)->point, "\x04xy", 3));
    OK(find(&items, "pkcs11:token=test;id=%01;type=public", TOK_WANT_PUBLIC));
    assert_int_equal(items.count, 1);
    FAILS(find(&items, "pkcs11:token=test;object=mail;type=private", TOK_WANT_PRIVATE), TOK_CODE_NO_OBJECT);
}

TEST(the_uri_of_a_found_key_finds_it_again_and_holds_no_pin)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };
    char uri[256];

    furnish();
    mock_token(mock, "a token; with\x07odd bytes");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "a?b&c", 7, "\x04xy");
    OK(find(&items, "pkcs11:object=a%3Fb%26c?pin-value=1234", TOK_WANT_PRIVATE));
    snprintf(uri, sizeof(uri), "%s", items.items[0].uri);
    assert_null(strstr(uri, "1234"));
    OK(find(&items, uri, TOK_WANT_PRIVATE));
    assert_int_equal(items.count, 1);
    assert_string_equal(items.items[0].uri, uri);
}

TEST(what_is_not_there_is_told_with_what_was_looked_for)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
    FAILS(find(&items, "pkcs11:token=other;object=www", TOK_WANT_PRIVATE), TOK_CODE_NO_TOKEN);
    SAYS("pkcs11:token=other");
    SAYS("present: 'test'");
    FAILS(find(&items, "pkcs11:token=test;object=mail", TOK_WANT_PRIVATE), TOK_CODE_NO_OBJECT);
    SAYS("'test'");
    SAYS("private key");
    SAYS("object=mail");
    FAILS(find(&items, "pkcs11:type=cert", TOK_WANT_PRIVATE), TOK_CODE_NO_OBJECT);
    SAYS("a private key is asked for, and 'pkcs11:type=cert' has another type=");
    FAILS(find(&items, "pkcs11:token=test;id=01ab", TOK_WANT_PRIVATE), TOK_CODE_NO_OBJECT);
    SAYS("id=01ab is characters, bytes are written id=%01%ab");
    FAILS(find(&items, "pkcs11:token=test;id=%01%ab", TOK_WANT_PRIVATE), TOK_CODE_NO_OBJECT);
    assert_null(strstr(failure.message, "characters"));
    assert_int_equal(items.count, 0);
}

TEST(a_module_that_does_not_load_is_the_reason)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    free(settings.modules);
    settings.modules = strdup("/does/not/exist.so");
    FAILS(find(&items, "pkcs11:object=www", TOK_WANT_PRIVATE), TOK_CODE_MODULE_LOAD);
    SAYS("/does/not/exist.so");
}

TEST(the_module_of_the_uri_comes_before_that_of_the_settings)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
    FAILS(find(&items, "pkcs11:object=www?module-path=/does/not/exist.so", TOK_WANT_PRIVATE), TOK_CODE_MODULE_LOAD);
    assert_int_equal(mock_all_calls(mock), 0);
}

/* The settings' own module does not exist, so only that of the entry "prod" can have served. */
static struct tok_result find_in_named(const char *named_uri, const char *text)
{
    struct tok_named_token named = { .modules = mock_path };
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };
    struct tok_result result;

    furnish();
    free(settings.modules);
    settings.modules = strdup("/nonexistent/module.so");
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
    TOK_TRY(tok_uri_parse(&named.uri, named_uri, TOK_URI_FROM_APPLICATION));
    settings.tokens = &named;
    settings.num_tokens = 1;
    result = find(&items, text, TOK_WANT_PRIVATE);
    settings.tokens = NULL;
    settings.num_tokens = 0;
    tok_uri_free(named.uri);
    return result;
}

TEST(the_module_of_a_named_token_serves_every_uri_that_means_the_token)
{
    OK(find_in_named("pkcs11:token=test", "pkcs11:token=test;object=www;type=private"));
    OK(find_in_named("pkcs11:token=test", "pkcs11:object=www;serial=1;token=test"));
    OK(find_in_named("pkcs11:token=test;serial=1", "pkcs11:serial=1;token=%74est;id=%01"));
}

TEST(and_every_uri_that_may_mean_it)
{
    OK(find_in_named("pkcs11:token=test;serial=1", "pkcs11:token=test;object=www"));
    OK(find_in_named("pkcs11:token=test;serial=1", "pkcs11:manufacturer=Mock;object=www"));
    OK(find_in_named("pkcs11:token=test", "pkcs11:object=www"));
}

TEST(but_none_that_means_another)
{
    FAILS(find_in_named("pkcs11:token=prod", "pkcs11:token=test;object=www"), TOK_CODE_MODULE_LOAD);
    FAILS(find_in_named("pkcs11:token=test;serial=2", "pkcs11:token=test;serial=1;object=www"), TOK_CODE_MODULE_LOAD);
    FAILS(find_in_named("pkcs11:model=X", "pkcs11:model=Y;object=www"), TOK_CODE_MODULE_LOAD);
}

TEST(a_uri_without_a_name_lists_all_however_many)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    mock_token(mock, "test");
    for (unsigned i = 0; i < 190; i++) {
        mock_ec_key(mock, CKO_PRIVATE_KEY, "key", (unsigned char)i, NULL);
        mock_ec_key(mock, CKO_PUBLIC_KEY, "key", (unsigned char)i, "\x04xy");
    }
    OK(find(&items, "pkcs11:token=test;type=private", TOK_WANT_PRIVATE));
    assert_int_equal(items.count, 190);
    assert_true(mock->calls[MOCK_FindObjectsInit] <= 4); /* public halves are joined, not searched for one by one */
}

TEST(kinds_come_in_order_and_type_narrows_them)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };
    const unsigned all = TOK_WANT_PRIVATE | TOK_WANT_CERTIFICATE | TOK_WANT_PUBLIC;

    furnish();
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PUBLIC_KEY, "www", 1, "\x04xy");
    mock_attr(mock_object(mock, CKO_CERTIFICATE, "www", 1), CKA_VALUE, "der", 3);
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, NULL);
    OK(find(&items, "pkcs11:object=www", all));
    assert_int_equal(items.count, 3);
    assert_int_equal(items.items[0].kind, TOK_WANT_PRIVATE);
    assert_int_equal(items.items[1].kind, TOK_WANT_CERTIFICATE);
    assert_true(bytes_is(&items.items[1].certificate, "der", 3));
    assert_int_equal(items.items[2].kind, TOK_WANT_PUBLIC);
    OK(find(&items, "pkcs11:object=www;type=cert", all));
    assert_int_equal(items.count, 1);
    assert_int_equal(items.items[0].kind, TOK_WANT_CERTIFICATE);
}

TEST(a_certificate_needs_no_login)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    mock_token(mock, "test");
    mock_attr(mock_object(mock, CKO_CERTIFICATE, "www", 1), CKA_VALUE, "der", 3);
    OK(find(&items, "pkcs11:object=www;type=cert", TOK_WANT_CERTIFICATE));
    assert_int_equal(mock->calls[MOCK_Login], 0);
}

TEST(one_name_for_different_keys_is_an_error_that_lists_them)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 2, "\x04yz");
    FAILS(find(&items, "pkcs11:object=www", TOK_WANT_PRIVATE), TOK_CODE_AMBIGUOUS);
    SAYS("id=%01");
    SAYS("id=%02");
}

static struct tok_named_token *name_token(size_t i, const char *uri, const char *pin)
{
    struct tok_named_token *named = &settings.tokens[i];

    OK(tok_uri_parse(&named->uri, uri, TOK_URI_FROM_APPLICATION));
    if (pin != NULL) {
        OK(tok_pin_source_new(&named->pin, pin, TOK_PIN_FROM_SETTINGS));
    }
    return named;
}

TEST(replicas_of_a_key_are_one)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    settings.tokens = calloc(2, sizeof(*settings.tokens));
    settings.num_tokens = 2;
    name_token(0, "pkcs11:token=a", "1234");
    name_token(1, "pkcs11:token=b", "1234");
    mock_token(mock, "a");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
    mock_token(mock, "b");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
    OK(find(&items, "pkcs11:object=www", TOK_WANT_PRIVATE));
    assert_int_equal(items.count, 1);
    assert_non_null(strstr(items.items[0].uri, "token=a"));
}

TEST(a_pin_is_not_tried_on_several_tokens)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    mock_token(mock, "a");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
    strcpy(mock_token(mock, "b")->pin, "5678");
    FAILS(find(&items, "pkcs11:object=www", TOK_WANT_PRIVATE), TOK_CODE_PIN_OWN);
    SAYS("several tokens");
    assert_int_equal(mock->calls[MOCK_Login], 0);
}

/* Two tokens, of which the settings have a PIN for b, where 5678 is right. */
static void furnish_two(const char *pin_of_b)
{
    furnish();
    settings.tokens = calloc(1, sizeof(*settings.tokens));
    settings.num_tokens = 1;
    name_token(0, "pkcs11:token=b", pin_of_b);
    mock_token(mock, "a");
    strcpy(mock_token(mock, "b")->pin, "5678");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
}

TEST(of_several_tokens_those_with_a_pin_of_their_own_are_logged_in_to)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish_two("5678");
    OK(find(&items, "pkcs11:object=www", TOK_WANT_PRIVATE));
    assert_int_equal(items.count, 1);
    assert_int_equal(mock->tokens[0].wrong_pins + mock->tokens[1].wrong_pins, 0);
    assert_false(mock->tokens[0].logged_in);
}

TEST(a_token_that_is_left_out_does_not_hide_the_failure_of_another)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish_two("9999");
    FAILS(find(&items, "pkcs11:object=www", TOK_WANT_PRIVATE), TOK_CODE_CKR);
    SAYS("CKR_PIN_INCORRECT");
    SAYS("'b'");
    assert_int_equal(mock->tokens[1].wrong_pins, 1);
}

TEST(what_the_policy_refuses_is_an_error_by_name_and_left_out_of_a_list)
{
    static const CK_BBOOL no = CK_FALSE;
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    settings.require = TOK_REQUIRE_NON_EXTRACTABLE;
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "weak", 1, "\x04xy");
    mock_attr(mock_ec_key(mock, CKO_PRIVATE_KEY, "strong", 2, "\x04yz"), CKA_EXTRACTABLE, &no, 1);
    FAILS(find(&items, "pkcs11:object=weak", TOK_WANT_PRIVATE), TOK_CODE_POLICY);
    SAYS("'weak' is not non-extractable");
    OK(find(&items, "pkcs11:token=test", TOK_WANT_PRIVATE));
    assert_int_equal(items.count, 1);
    assert_non_null(strstr(items.items[0].uri, "object=strong"));
}

TEST(a_key_without_a_public_half_says_what_is_missing)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, NULL);
    FAILS(find(&items, "pkcs11:object=www", TOK_WANT_PRIVATE), TOK_CODE_NO_PUBLIC_HALF);
    SAYS("'www'");
}

TEST(a_wrong_pin_is_the_failure_and_sent_once)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    strcpy(mock_token(mock, "test")->pin, "5678");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
    FAILS_CKR(find(&items, "pkcs11:object=www", TOK_WANT_PRIVATE), CKR_PIN_INCORRECT);
    SAYS("token 'test'");
    FAILS(find(&items, "pkcs11:object=www", TOK_WANT_PRIVATE), TOK_CODE_PIN_REFUSED);
    assert_int_equal(mock->tokens[0].wrong_pins, 1);
}

/* Each call of a search, failing once with each trouble that need not be final. */
TEST(a_search_survives_one_failure_of_any_call)
{
    static const enum mock_function functions[] = { MOCK_OpenSession, MOCK_FindObjectsInit, MOCK_FindObjects,
                                                    MOCK_FindObjectsFinal, MOCK_GetAttributeValue };
    static const CK_RV troubles[] = { CKR_DEVICE_ERROR, CKR_SESSION_HANDLE_INVALID, CKR_GENERAL_ERROR };
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    for (size_t f = 0; f < COUNT_OF(functions); f++) {
        for (size_t t = 0; t < COUNT_OF(troubles); t++) {
            furnish();
            mock_token(mock, "test");
            mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
            mock_fails(mock, functions[f], troubles[t], 0, 1);
            OK(find(&items, "pkcs11:object=www", TOK_WANT_PRIVATE));
            assert_int_equal(items.count, 1);
        }
    }
}

TEST(what_a_failed_search_had_found_is_not_listed_twice)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "mail", 2, "\x04yz");
    mock_fails(mock, MOCK_GetAttributeValue, CKR_DEVICE_ERROR, 1, 1); /* reading the second one */
    OK(find(&items, "pkcs11:token=test", TOK_WANT_PRIVATE));
    assert_int_equal(items.count, 2);
}

TEST(a_token_that_stays_broken_is_named)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    mock_token(mock, "test");
    mock_fails(mock, MOCK_FindObjectsInit, CKR_DEVICE_ERROR, 0, 1000);
    FAILS_CKR(find(&items, "pkcs11:object=www", TOK_WANT_PRIVATE), CKR_DEVICE_ERROR);
    SAYS("token 'test'");
    SAYS("C_FindObjectsInit");
}

TEST(the_way_to_a_token_survives_one_failure_of_any_call)
{
    static const enum mock_function calls[] = { MOCK_Initialize, MOCK_GetSlotList, MOCK_GetTokenInfo, MOCK_GetInfo,
                                                MOCK_GetSlotInfo };
    static const CK_RV codes[] = { CKR_DEVICE_ERROR, CKR_CRYPTOKI_NOT_INITIALIZED, CKR_DEVICE_MEMORY,
                                   CKR_SESSION_HANDLE_INVALID };

    for (size_t i = 0; i < COUNT_OF(calls) * COUNT_OF(codes); i++) {
        SCOPED(tok_items_end) struct tok_items items = { .items = NULL };
        char uri[100];

        furnish();
        mock_token(mock, "test");
        mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
        /* asks for the module and the slot, too */
        snprintf(uri, sizeof(uri), "pkcs11:library-manufacturer=Mock;slot-id=%lu;object=www", mock->tokens[0].slot);
        mock_fails(mock, calls[i / COUNT_OF(codes)], codes[i % COUNT_OF(codes)], 0, 1);
        OK(find(&items, uri, TOK_WANT_PRIVATE));
        assert_int_equal(mock->failures[calls[i / COUNT_OF(codes)]].times, 0); /* it did fail */
    }
}

TEST(a_module_that_is_busy_for_good_is_not_waited_for_until_the_deadline)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };
    uint64_t from = clock_us();

    furnish();
    settings.deadline_us = 60 * SECOND;
    mock_token(mock, "test");
    mock_fails(mock, MOCK_GetSlotList, CKR_DEVICE_MEMORY, 0, 1000);
    FAILS_CKR(find(&items, "pkcs11:object=www", TOK_WANT_PRIVATE), CKR_DEVICE_MEMORY);
    assert_true(clock_us() - from < 30 * SECOND); /* another module may have the token */
}

TEST(a_slot_that_fails_to_tell_is_the_reason_where_nothing_is_found)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
    mock_fails(mock, MOCK_GetTokenInfo, CKR_DEVICE_ERROR, 0, 1000);
    FAILS_CKR(find(&items, "pkcs11:token=test;object=www", TOK_WANT_PRIVATE), CKR_DEVICE_ERROR);
    SAYS("C_GetTokenInfo");
    SAYS("slot ");
    SAYS("no token matches 'pkcs11:token=test;object=www'");
    mock_fails(mock, MOCK_GetTokenInfo, CKR_DEVICE_ERROR, 0, 0);
    OK(find(&items, "pkcs11:token=test;object=www", TOK_WANT_PRIVATE));
}

TEST(a_slot_that_fails_to_tell_hides_no_other)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    mock_token(mock, "broken");
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
    mock_fails(mock, MOCK_GetTokenInfo, CKR_DEVICE_ERROR, 0, 1);
    OK(find(&items, "pkcs11:token=test;object=www", TOK_WANT_PRIVATE));
    assert_int_equal(mock->calls[MOCK_GetSlotList], 1); /* and costs no second look */
}

TEST(an_empty_slot_is_no_trouble)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    mock_token(mock, "test");
    mock_fails(mock, MOCK_GetTokenInfo, CKR_TOKEN_NOT_PRESENT, 0, 1000);
    FAILS(find(&items, "pkcs11:token=test;object=www", TOK_WANT_PRIVATE), TOK_CODE_NO_TOKEN);
    SAYS("present: none");
}

TEST(a_login_that_was_lost_behind_our_back_is_made_again)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };
    struct mock_token *mine;

    furnish();
    mock_token(mock, "test");
    mine = &mock->tokens[0];
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
    OK(find(&items, "pkcs11:token=test;object=www", TOK_WANT_PRIVATE));
    mine->logged_in = false; /* the session stays, and so does what we believe */
    OK(find(&items, "pkcs11:token=test;object=www", TOK_WANT_PRIVATE));
    assert_int_equal(items.count, 1);
    assert_int_equal(mock->calls[MOCK_Login], 2);
    FAILS(find(&items, "pkcs11:token=test;object=mail", TOK_WANT_PRIVATE), TOK_CODE_NO_OBJECT);
    assert_int_equal(mock->calls[MOCK_Login], 2); /* it is there, and the key is not */
}

TEST(a_token_that_came_after_the_start_is_found)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    FAILS(find(&items, "pkcs11:token=test", TOK_WANT_PRIVATE), TOK_CODE_NO_TOKEN);
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
    OK(find(&items, "pkcs11:token=test", TOK_WANT_PRIVATE));
}

TEST(one_token_in_two_slots_is_one)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };
    struct mock_token *alias;

    furnish();
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
    alias = mock_token(mock, "test"); /* the same label, serial number, model and maker */
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
    OK(find(&items, "pkcs11:token=test;type=private", TOK_WANT_PRIVATE));
    assert_int_equal(items.count, 1);
    assert_int_equal(mock->calls[MOCK_Login], 1);

    furnish();
    mock_token(mock, "test");
    alias = mock_token(mock, "test");
    mock_pad(alias->info.serialNumber, sizeof(alias->info.serialNumber), "2");
    FAILS(find(&items, "pkcs11:token=test;object=www", TOK_WANT_PRIVATE), TOK_CODE_PIN_OWN); /* these are two */
}

static void nuls(unsigned char *field, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        field[i] = field[i] == ' ' ? '\0' : field[i];
    }
}

TEST(names_padded_with_nuls_are_those_padded_with_blanks)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };
    static const char *const uris[] = {
        "pkcs11:token=test;object=www;type=private",
        "pkcs11:token=test%00%00;object=www;type=private",
        "pkcs11:token=test%20%20;manufacturer=Mock;object=www%20;type=private",
        "pkcs11:token=test;object=www%00;type=private",
    };
    struct mock_token *token;
    char uri[256];

    furnish();
    token = mock_token(mock, "test");
    nuls(token->info.label, sizeof(token->info.label));
    nuls(token->info.serialNumber, sizeof(token->info.serialNumber));
    nuls(token->info.manufacturerID, sizeof(token->info.manufacturerID));
    nuls(token->info.model, sizeof(token->info.model));
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www  ", 1, "\x04xy");
    for (size_t i = 0; i < COUNT_OF(uris); i++) {
        OK(find(&items, uris[i], TOK_WANT_PRIVATE));
        assert_int_equal(items.count, 1);
    }
    assert_null(strstr(items.items[0].uri, "%00"));
    snprintf(uri, sizeof(uri), "%s", items.items[0].uri);
    OK(find(&items, uri, TOK_WANT_PRIVATE));
    FAILS(find(&items, "pkcs11:token=tes;object=www", TOK_WANT_PRIVATE), TOK_CODE_NO_TOKEN);
    FAILS(find(&items, "pkcs11:token=test;object=ww", TOK_WANT_PRIVATE), TOK_CODE_NO_OBJECT);
    mock_ec_key(mock, CKO_PRIVATE_KEY, "", 2, "\x04yz"); /* no label is none that differs at its end */
    FAILS(find(&items, "pkcs11:token=test;object=ww", TOK_WANT_PRIVATE), TOK_CODE_NO_OBJECT);
}

TEST(a_token_that_asks_for_no_login_is_logged_in_to_where_a_key_is_not_seen_and_there_is_a_pin)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    mock_token(mock, "test")->info.flags &= ~(CK_FLAGS)CKF_LOGIN_REQUIRED;
    mock_ec_key(mock, CKO_PRIVATE_KEY, "open", 1, "\x04xy")->is_private = false;
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 2, "\x04yz");
    OK(find(&items, "pkcs11:token=test;object=open;type=private", TOK_WANT_PRIVATE));
    assert_int_equal(mock->calls[MOCK_Login], 0);
    OK(find(&items, "pkcs11:token=test;object=www;type=private", TOK_WANT_PRIVATE));
    assert_int_equal(items.count, 1);
    assert_int_equal(mock->calls[MOCK_Login], 1);

    furnish();
    mock_token(mock, "test")->info.flags &= ~(CK_FLAGS)CKF_LOGIN_REQUIRED;
    tok_pin_source_free(settings.pin);
    settings.pin = NULL;
    FAILS(find(&items, "pkcs11:token=test;object=www;type=private", TOK_WANT_PRIVATE), TOK_CODE_NO_OBJECT);
    assert_int_equal(mock->calls[MOCK_Login], 0);
}

TEST(a_token_without_a_pin_gives_the_keys_that_need_none)
{
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish();
    mock_token(mock, "test")->info.flags &= ~(CK_FLAGS)CKF_USER_PIN_INITIALIZED;
    mock_ec_key(mock, CKO_PRIVATE_KEY, "open", 1, "\x04xy")->is_private = false;
    tok_pin_source_free(settings.pin);
    settings.pin = NULL;
    OK(find(&items, "pkcs11:token=test;object=open;type=private", TOK_WANT_PRIVATE));
    assert_int_equal(items.count, 1);
    FAILS(find(&items, "pkcs11:token=test;object=www;type=private", TOK_WANT_PRIVATE), TOK_CODE_PIN_NEEDED);
    assert_int_equal(mock->calls[MOCK_Login], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_found_by_its_name),
        cmocka_unit_test(what_a_module_gives_under_another_name_is_not_taken_for_what_was_asked),
        cmocka_unit_test(the_uri_of_a_found_key_finds_it_again_and_holds_no_pin),
        cmocka_unit_test(what_is_not_there_is_told_with_what_was_looked_for),
        cmocka_unit_test(a_module_that_does_not_load_is_the_reason),
        cmocka_unit_test(the_module_of_the_uri_comes_before_that_of_the_settings),
        cmocka_unit_test(the_module_of_a_named_token_serves_every_uri_that_means_the_token),
        cmocka_unit_test(and_every_uri_that_may_mean_it),
        cmocka_unit_test(but_none_that_means_another),
        cmocka_unit_test(a_uri_without_a_name_lists_all_however_many),
        cmocka_unit_test(kinds_come_in_order_and_type_narrows_them),
        cmocka_unit_test(a_certificate_needs_no_login),
        cmocka_unit_test(one_name_for_different_keys_is_an_error_that_lists_them),
        cmocka_unit_test(replicas_of_a_key_are_one),
        cmocka_unit_test(a_pin_is_not_tried_on_several_tokens),
        cmocka_unit_test(of_several_tokens_those_with_a_pin_of_their_own_are_logged_in_to),
        cmocka_unit_test(a_token_that_is_left_out_does_not_hide_the_failure_of_another),
        cmocka_unit_test(what_the_policy_refuses_is_an_error_by_name_and_left_out_of_a_list),
        cmocka_unit_test(a_key_without_a_public_half_says_what_is_missing),
        cmocka_unit_test(a_wrong_pin_is_the_failure_and_sent_once),
        cmocka_unit_test(a_search_survives_one_failure_of_any_call),
        cmocka_unit_test(what_a_failed_search_had_found_is_not_listed_twice),
        cmocka_unit_test(a_token_that_stays_broken_is_named),
        cmocka_unit_test(the_way_to_a_token_survives_one_failure_of_any_call),
        cmocka_unit_test(a_module_that_is_busy_for_good_is_not_waited_for_until_the_deadline),
        cmocka_unit_test(a_slot_that_fails_to_tell_is_the_reason_where_nothing_is_found),
        cmocka_unit_test(a_slot_that_fails_to_tell_hides_no_other),
        cmocka_unit_test(an_empty_slot_is_no_trouble),
        cmocka_unit_test(a_login_that_was_lost_behind_our_back_is_made_again),
        cmocka_unit_test(a_token_that_came_after_the_start_is_found),
        cmocka_unit_test(one_token_in_two_slots_is_one),
        cmocka_unit_test(names_padded_with_nuls_are_those_padded_with_blanks),
        cmocka_unit_test(a_token_that_asks_for_no_login_is_logged_in_to_where_a_key_is_not_seen_and_there_is_a_pin),
        cmocka_unit_test(a_token_without_a_pin_gives_the_keys_that_need_none),
    };

    return RUN(tests);
}
