/* Tokens that are inserted, replaced, moved and initialised after the start. */
#include "key-use.h"

#include <dirent.h>

static void no_token_yet(void)
{
    furnish_settings();
    settings.deadline_us = SECOND / 2;
}

static struct mock_token *token_with_key(const char *label, const char *key_point)
{
    struct mock_token *token = mock_token(mock, label);

    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, key_point);
    return token;
}

static struct tok_result find(const char *text)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    tok_key_unref(key);
    key = NULL;
    TOK_TRY(tok_uri_parse(&uri, text, TOK_URI_FROM_APPLICATION));
    TOK_TRY(tok_find(&items, &settings, uri, TOK_WANT_PRIVATE, NULL));
    key = tok_key_ref(items.items[0].key);
    return tok_good();
}

/* Pulled: its sessions are gone, and its login. */
static void pull(unsigned i)
{
    mock->tokens[i].present = false;
    mock->tokens[i].logged_in = false;
    for (unsigned s = 0; s < MOCK_MOST_SESSIONS; s++) {
        if (mock->sessions[s].open && mock->sessions[s].token == i) {
            mock->sessions[s].open = false;
            mock->open_sessions--;
        }
    }
}

static void insert(unsigned i, CK_SLOT_ID slot)
{
    mock->tokens[i].slot = slot;
    mock->tokens[i].present = true;
}

/* A test may ask again at once, where a server would after a second. */
static void health_forgets(void)
{
    for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
        tok_health_good(&token->health);
    }
}

TEST(a_token_inserted_after_the_start_is_found_when_a_key_is_asked_for)
{
    no_token_yet();
    token_with_key("test", point);
    pull(0);
    FAILS(find("pkcs11:token=test;object=www"), TOK_CODE_NO_TOKEN);
    SAYS("present: none");
    insert(0, 0);
    OK(find("pkcs11:token=test;object=www"));
    OK(sign());
}

TEST(a_key_file_signs_once_its_token_is_inserted)
{
    struct tok_public half = { .type = CKK_EC };
    struct tok_uri *uri = NULL;

    no_token_yet();
    token_with_key("test", point);
    pull(0);
    assert_true(bytes_set(&half.params, "\x06\x01\x01", 3) && bytes_set(&half.point, point, strlen(point)));
    OK(tok_uri_parse(&uri, "pkcs11:token=test;object=www", TOK_URI_FROM_FILE));
    OK(tok_key_new(&key, &settings, uri, &half));
    FAILS(sign(), TOK_CODE_NO_TOKEN);
    FAILS(sign(), TOK_CODE_NO_TOKEN);
    insert(0, 5);
    OK(sign());
}

TEST(a_token_initialised_after_the_start_is_found_when_a_key_is_asked_for)
{
    no_token_yet();
    token_with_key("test", point)->info.flags &= ~(CK_FLAGS)CKF_TOKEN_INITIALIZED;
    FAILS(find("pkcs11:token=test;object=www"), TOK_CODE_NO_TOKEN);
    assert_int_equal(mock->calls[MOCK_OpenSession], 0);
    mock->tokens[0].info.flags |= CKF_TOKEN_INITIALIZED;
    OK(find("pkcs11:token=test;object=www"));
    OK(sign());
}

TEST(a_token_that_is_plugged_in_elsewhere_is_followed)
{
    no_token_yet();
    token_with_key("test", point);
    OK(find("pkcs11:token=test;object=www"));
    OK(sign());
    for (CK_SLOT_ID slot = 1; slot < 5; slot++) {
        pull(0);
        insert(0, slot);
        OK(sign());
    }
    assert_null(module->tokens->next); /* it was one token all the time */
}

TEST(two_tokens_that_change_places_keep_their_keys)
{
    struct tok_key *first;

    no_token_yet();
    token_with_key("a", point);
    token_with_key("b", "\x04zz");
    mock_named(&settings, "b", "pkcs11:token=b", "1234");
    OK(find("pkcs11:token=a;object=www"));
    OK(sign());
    first = tok_key_ref(key);
    OK(find("pkcs11:token=b;object=www"));
    OK(sign());
    pull(0);
    pull(1);
    insert(0, 1);
    insert(1, 0);
    OK(sign());
    tok_key_unref(key);
    key = first;
    OK(sign());
    assert_int_equal(mock->tokens[0].wrong_pins + mock->tokens[1].wrong_pins, 0);
}

TEST(another_token_in_its_slot_gets_neither_its_pin_nor_its_work)
{
    no_token_yet();
    token_with_key("test", point);
    OK(find("pkcs11:token=test;object=www"));
    OK(sign());
    strcpy(token_with_key("other", "\x04zz")->pin, "5678"); /* with a key of the same name */
    pull(0);
    insert(1, 0);
    mock->calls[MOCK_Login] = mock->calls[MOCK_Sign] = 0;
    FAILS_CKR(sign(), CKR_TOKEN_NOT_PRESENT);
    assert_int_equal(mock->calls[MOCK_Login] + mock->calls[MOCK_Sign], 0);
    assert_int_equal(mock->tokens[1].wrong_pins, 0);
}

TEST(one_that_looks_alike_but_for_its_serial_number_is_another)
{
    no_token_yet();
    token_with_key("test", point);
    OK(find("pkcs11:token=test;object=www"));
    OK(sign());
    mock_pad(token_with_key("test", "\x04zz")->info.serialNumber, 16, "2"); /* it was initialised anew */
    pull(0);
    insert(1, 0);
    mock->calls[MOCK_Sign] = 0;
    assert_false(tok_ok(&(struct tok_result[]){ sign() }[0]));
    assert_int_equal(mock->calls[MOCK_Sign], 0);
    FAILS(find("pkcs11:token=test;object=www"), TOK_CODE_PIN_TIED); /* and the PIN was the other one's */
    SAYS("'test' (serial 1)");
    SAYS("'test' (serial 2)");
    assert_int_equal(mock->calls[MOCK_Login], 1);
    mock_named(&settings, "new", "pkcs11:token=test;serial=2", "1234");
    OK(find("pkcs11:token=test;object=www")); /* asked for by name, it is the one that is there */
    OK(sign());
    assert_int_equal(mock->calls[MOCK_Sign], 1);
}

TEST(its_own_key_signs_again_when_it_is_back_beside_the_other)
{
    no_token_yet();
    token_with_key("test", point);
    OK(find("pkcs11:token=test;object=www"));
    OK(sign());
    strcpy(token_with_key("other", "\x04zz")->pin, "5678");
    pull(0);
    insert(1, 0);
    assert_false(tok_ok(&(struct tok_result[]){ sign() }[0]));
    insert(0, 7);
    health_forgets();
    OK(sign());
    assert_int_equal(mock->tokens[0].wrong_pins + mock->tokens[1].wrong_pins, 0);
}

static unsigned num_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    unsigned count = 0;

    while (tasks != NULL && readdir(tasks) != NULL) {
        count++;
    }
    closedir(tasks);
    return count - 2; /* "." and ".." */
}

TEST(a_reader_that_is_seen_only_when_slots_are_counted_is_found_with_its_token)
{
    no_token_yet();
    mock->lists_what_was_counted = true;
    token_with_key("test", point);
    OK(find("pkcs11:token=test;object=www"));
    OK(sign());
}

TEST(one_that_is_plugged_in_beside_another_too)
{
    no_token_yet();
    mock->lists_what_was_counted = true;
    token_with_key("other", "\x04zz");
    mock_named(&settings, "test", "pkcs11:token=test", "1234");
    OK(find("pkcs11:token=other;object=www"));
    token_with_key("test", point); /* now the list is not empty, and still not all */
    OK(find("pkcs11:token=test;object=www"));
    OK(sign());
}

TEST(and_one_that_comes_back)
{
    no_token_yet();
    mock->lists_what_was_counted = true;
    token_with_key("test", point);
    OK(find("pkcs11:token=test;object=www"));
    pull(0);
    assert_false(tok_ok(&(struct tok_result[]){ sign() }[0]));
    health_forgets();
    insert(0, 3);
    OK(sign());
}

TEST(where_a_token_is_found_no_slots_are_counted)
{
    no_token_yet();
    token_with_key("test", point);
    OK(find("pkcs11:token=test;object=www"));
    assert_int_equal(mock->calls[MOCK_GetSlotList], 1);
    FAILS(find("pkcs11:token=none;object=www"), TOK_CODE_NO_TOKEN);
    assert_int_equal(mock->calls[MOCK_GetSlotList], 4); /* a look, the count, another look */
}

TEST(no_thread_looks_for_tokens)
{
    unsigned before = num_threads();

    no_token_yet();
    token_with_key("test", point);
    OK(find("pkcs11:token=test;object=www"));
    pull(0);
    assert_false(tok_ok(&(struct tok_result[]){ sign() }[0]));
    assert_int_equal(num_threads(), before); /* a sanitizer has one of its own */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_inserted_after_the_start_is_found_when_a_key_is_asked_for),
        cmocka_unit_test(a_key_file_signs_once_its_token_is_inserted),
        cmocka_unit_test(a_token_initialised_after_the_start_is_found_when_a_key_is_asked_for),
        cmocka_unit_test(a_token_that_is_plugged_in_elsewhere_is_followed),
        cmocka_unit_test(two_tokens_that_change_places_keep_their_keys),
        cmocka_unit_test(another_token_in_its_slot_gets_neither_its_pin_nor_its_work),
        cmocka_unit_test(one_that_looks_alike_but_for_its_serial_number_is_another),
        cmocka_unit_test(its_own_key_signs_again_when_it_is_back_beside_the_other),
        cmocka_unit_test(a_reader_that_is_seen_only_when_slots_are_counted_is_found_with_its_token),
        cmocka_unit_test(one_that_is_plugged_in_beside_another_too),
        cmocka_unit_test(and_one_that_comes_back),
        cmocka_unit_test(where_a_token_is_found_no_slots_are_counted),
        cmocka_unit_test(no_thread_looks_for_tokens),
    };

    return RUN(tests);
}
