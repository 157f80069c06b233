#include "mock-use.h"

#include <stdatomic.h>

#include "child.h"
#include "pkcs11/find.h"
#include "pkcs11/key.h"

static struct mock *mock;
static struct tok_module *module;
static struct tok_settings settings;
static struct tok_key *key;

static const CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };
static const char point[] = "\x04xy";

static void furnish_settings(void)
{
    tok_key_unref(key);
    key = NULL;
    mock = mock_load(&module);
    tok_settings_end(&settings);
    tok_settings_init(&settings);
    settings.modules = strdup(mock_path);
    settings.deadline_us = 5 * SECOND;
    OK(tok_pin_source_new(&settings.pin, "1234", TOK_PIN_FROM_SETTINGS));
}

/* The key "www" on the token "test", found by its URI, signing already. */
static void furnish(void)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish_settings();
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, point);
    OK(tok_uri_parse(&uri, "pkcs11:token=test;object=www;type=private", TOK_URI_FROM_APPLICATION));
    OK(tok_find(&items, &settings, uri, TOK_WANT_PRIVATE, NULL));
    key = tok_key_ref(items.items[0].key);
}

/* The same key as a key file gives it: no token was asked. */
static void furnish_from_file(const char *file_point)
{
    struct tok_public half = { .type = CKK_EC };
    struct tok_uri *uri = NULL;

    furnish_settings();
    mock_token(mock, "test");
    assert_true(bytes_set(&half.params, "\x06\x01\x01", 3) && bytes_set(&half.point, file_point, strlen(file_point)));
    OK(tok_uri_parse(&uri, "pkcs11:token=test;object=www;id=%01", TOK_URI_FROM_FILE));
    OK(tok_key_new(&key, &settings, uri, &half));
    assert_int_equal(mock_all_calls(mock), 0);
}

static uint64_t unproved;

static struct tok_result sign(void)
{
    uint8_t out[64];
    size_t len = sizeof(out);

    TOK_TRY(tok_key_sign(key, &mechanism, (const uint8_t *)"digest", 6, out, &len, &unproved));
    if (len != 3 || memcmp(out, "www", 3) != 0) {
        return tok_fail(TOK_CODE_OTHER_KEY, "another key has signed: %.*s", (int)len, (char *)out);
    }
    return tok_good();
}

TEST(a_signature_is_two_calls)
{
    unsigned before;

    furnish();
    OK(sign());
    before = mock_all_calls(mock);
    OK(sign());
    assert_int_equal(mock_all_calls(mock), before + 2);
    assert_int_equal(mock->calls[MOCK_SignInit], 2);
    assert_int_equal(mock->calls[MOCK_Sign], 2);
    assert_int_equal(unproved, 0); /* the private object shows its public half */
}

TEST(a_failure_leaves_the_outputs_alone)
{
    uint8_t out[64] = "before";
    size_t len = sizeof(out);
    uint64_t mark = 77;

    furnish();
    mock_fails(mock, MOCK_Sign, CKR_KEY_FUNCTION_NOT_PERMITTED, 0, 1);
    FAILS_CKR(tok_key_sign(key, &mechanism, (const uint8_t *)"d", 1, out, &len, &mark), CKR_KEY_FUNCTION_NOT_PERMITTED);
    assert_string_equal((char *)out, "before");
    assert_int_equal(len, sizeof(out));
    assert_int_equal(mark, 77);
}

TEST(a_failure_names_key_token_function_and_value)
{
    furnish();
    OK(sign());
    mock_fails(mock, MOCK_SignInit, CKR_MECHANISM_INVALID, 0, 1);
    FAILS_CKR(sign(), CKR_MECHANISM_INVALID);
    SAYS("'www'");
    SAYS("'test'");
    SAYS("C_SignInit: CKR_MECHANISM_INVALID");
}

/* --- forks ------------------------------------------------------------------------------------------------------ */

/* These come early: a fork holds the locks of all modules, each test adds one, and the thread sanitizer counts to 64.
 */
static int signs_in_child(void *arg)
{
    struct tok_result result;

    (void)arg;
    mock->initialized = false; /* as a module that knows of the fork */
    mock->tokens[0].logged_in = false;
    memset(mock->sessions, 0, sizeof(mock->sessions));
    mock->open_sessions = 0;
    result = sign();
    return tok_ok(&result) ? 0 : 1;
}

TEST(a_child_signs_with_the_key_that_its_parent_loaded)
{
    furnish();
    OK(sign());
    assert_int_equal(child_does(signs_in_child, NULL), 0);
    OK(sign());
}

TEST(a_child_of_a_parent_that_never_used_the_token_signs)
{
    furnish_from_file(point);
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, point);
    assert_int_equal(child_does(signs_in_child, NULL), 0);
    assert_int_equal(mock_all_calls(mock), 0);
}

/* --- recovery --------------------------------------------------------------------------------------------------- */

TEST(one_failure_of_any_kind_from_either_call_is_survived)
{
    static const CK_RV troubles[] = { CKR_DEVICE_ERROR,     CKR_GENERAL_ERROR,          CKR_FUNCTION_FAILED,
                                      CKR_DEVICE_REMOVED,   CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED,
                                      CKR_OPERATION_ACTIVE, CKR_USER_NOT_LOGGED_IN,     CKR_KEY_HANDLE_INVALID,
                                      CKR_DEVICE_MEMORY,    CKR_TOKEN_NOT_PRESENT };

    for (size_t i = 0; i < COUNT_OF(troubles); i++) {
        for (int run = 0; run < 2; run++) {
            furnish();
            OK(sign());
            mock_fails(mock, run ? MOCK_Sign : MOCK_SignInit, troubles[i], 0, 1);
            OK(sign());
            OK(sign());
            assert_int_equal(mock->tokens[0].wrong_pins, 0);
        }
    }
}

TEST(a_failed_call_that_leaves_its_operation_open_spoils_no_later_one)
{
    furnish();
    OK(sign());
    mock->keeps_failed_operation = true;
    mock_fails(mock, MOCK_Sign, CKR_DEVICE_ERROR, 0, 1);
    OK(sign());
    mock_fails(mock, MOCK_Sign, CKR_DATA_LEN_RANGE, 0, 1);
    FAILS_CKR(sign(), CKR_DATA_LEN_RANGE);
    mock->calls[MOCK_SignInit] = 0;
    OK(sign());
    assert_int_equal(mock->calls[MOCK_SignInit], 1); /* at once, in another session */
}

TEST(a_session_that_the_module_complained_of_is_not_kept)
{
    furnish();
    OK(sign());
    mock_fails(mock, MOCK_SignInit, CKR_SESSION_HANDLE_INVALID, 0, 2);
    FAILS_CKR(sign(), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(module->tokens->pool.num_idle, 0);
}

TEST(all_sessions_lost_are_survived)
{
    furnish();
    OK(sign());
    for (unsigned i = 0; i < MOCK_MOST_SESSIONS; i++) {
        mock->sessions[i].open = false;
    }
    mock->open_sessions = 0;
    mock->tokens[0].logged_in = false;
    OK(sign());
}

TEST(a_logout_by_somebody_else_is_survived)
{
    furnish();
    OK(sign());
    mock->tokens[0].logged_in = false;
    OK(sign());
    assert_int_equal(mock->calls[MOCK_Login], 2);
}

TEST(handles_that_all_changed_are_found_again)
{
    furnish();
    OK(sign());
    mock->first_handle = 1000;
    OK(sign());
}

TEST(a_token_plugged_in_elsewhere_is_found_again)
{
    furnish();
    OK(sign());
    for (unsigned i = 0; i < MOCK_MOST_SESSIONS; i++) {
        mock->sessions[i].open = false;
    }
    mock->open_sessions = 0;
    mock->tokens[0].logged_in = false;
    mock->tokens[0].slot = 9;
    OK(sign());
}

TEST(a_module_finalised_by_somebody_else_is_started_again)
{
    furnish();
    OK(sign());
    mock->initialized = false;
    mock->tokens[0].logged_in = false;
    OK(sign());
    assert_int_equal(mock->calls[MOCK_Initialize], 2);
}

TEST(what_stays_broken_is_given_up_after_one_try_of_each_kind)
{
    furnish();
    OK(sign());
    mock_fails(mock, MOCK_SignInit, CKR_DEVICE_ERROR, 0, 1000);
    mock->calls[MOCK_SignInit] = 0;
    FAILS_CKR(sign(), CKR_DEVICE_ERROR);
    assert_int_equal(mock->calls[MOCK_SignInit], 2);
}

TEST(a_busy_token_is_waited_for_until_the_deadline_and_no_longer)
{
    uint64_t began;

    furnish();
    OK(sign());
    settings.deadline_us = 400000;
    mock_fails(mock, MOCK_SignInit, CKR_DEVICE_MEMORY, 0, 100000);
    began = clock_us();
    FAILS_CKR(sign(), CKR_DEVICE_MEMORY);
    assert_true(clock_us() - began < 3 * SECOND);
    assert_true(mock->calls[MOCK_SignInit] < 60);
}

TEST(a_wrong_pin_after_a_reconnect_is_not_repeated)
{
    furnish();
    OK(sign());
    strcpy(mock->tokens[0].pin, "5678");
    mock->tokens[0].logged_in = false;
    FAILS_CKR(sign(), CKR_PIN_INCORRECT);
    FAILS(sign(), TOK_CODE_PIN_REFUSED);
    FAILS(sign(), TOK_CODE_PIN_REFUSED);
    assert_int_equal(mock->tokens[0].wrong_pins, 1);
}

/* --- identity --------------------------------------------------------------------------------------------------- */

TEST(another_key_under_the_name_does_not_sign)
{
    furnish();
    OK(sign());
    mock->objects[0].attrs[5].pValue = "\x04zz"; /* replaced by another key of the same name */
    mock->first_handle = 50;
    FAILS(sign(), TOK_CODE_OTHER_KEY);
    SAYS("none is the one that was loaded");
}

TEST(among_keys_of_one_name_the_one_that_was_loaded_signs)
{
    furnish_from_file(point);
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04zz");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, point);
    OK(sign());
    assert_int_equal(mock->sessions[0].object, 1);
    assert_int_equal(unproved, 0);
}

TEST(a_key_file_loads_without_a_call_and_signs_when_asked)
{
    furnish_from_file(point);
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, point);
    assert_string_equal(tok_key_uri(key), "pkcs11:token=test;object=www;id=%01");
    OK(sign());
    assert_int_equal(mock->calls[MOCK_Login], 1);
}

TEST(where_the_token_shows_nothing_the_result_is_unproved_until_it_is_proved)
{
    uint64_t first;

    furnish_from_file(point);
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, NULL);
    OK(sign());
    first = unproved;
    assert_int_not_equal(first, 0);
    OK(sign());
    assert_int_equal(unproved, first);
    tok_key_prove(key, first + 1); /* of another time */
    OK(sign());
    assert_int_not_equal(unproved, 0);
    tok_key_prove(key, first);
    OK(sign());
    assert_int_equal(unproved, 0);
    mock->first_handle = 50; /* found again: to be proved again */
    OK(sign());
    assert_int_not_equal(unproved, 0);
    assert_int_not_equal(unproved, first);
}

TEST(keys_that_can_not_be_told_apart_do_not_sign)
{
    furnish_from_file(point);
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, NULL);
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, NULL);
    FAILS(sign(), TOK_CODE_AMBIGUOUS);
    assert_int_equal(mock->calls[MOCK_SignInit], 0);
}

TEST(a_key_that_is_gone_is_told_by_its_uri)
{
    furnish_from_file(point);
    FAILS(sign(), TOK_CODE_NO_OBJECT);
    SAYS("pkcs11:token=test;object=www;id=%01");
}

TEST(a_key_file_that_means_several_tokens_tells_which)
{
    struct tok_public half = { .type = CKK_EC };
    struct tok_uri *uri = NULL;

    furnish_settings();
    mock_token(mock, "a");
    mock_token(mock, "b");
    OK(tok_uri_parse(&uri, "pkcs11:object=www", TOK_URI_FROM_FILE));
    OK(tok_key_new(&key, &settings, uri, &half));
    FAILS(sign(), TOK_CODE_AMBIGUOUS);
    SAYS("'a' and 'b'");
    assert_int_equal(mock->calls[MOCK_Login], 0);
}

TEST(names_are_known_once_the_key_was_found)
{
    char token[16];
    char label[3];

    furnish_from_file(point);
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, point);
    tok_key_names(key, token, sizeof(token), label, sizeof(label));
    assert_string_equal(token, "");
    OK(tok_key_locate(key, NULL));
    assert_int_equal(mock->calls[MOCK_SignInit], 0);
    tok_key_names(key, token, sizeof(token), label, sizeof(label));
    assert_string_equal(token, "test");
    assert_string_equal(label, "ww"); /* cut to the room */
}

/* --- always-authenticate, decryption ---------------------------------------------------------------------------- */

static enum mock_function order[16];
static size_t num_order;

static void note_order(enum mock_function which)
{
    if (num_order < COUNT_OF(order)) {
        order[num_order++] = which;
    }
}

TEST(a_key_that_always_authenticates_logs_in_between_the_two_calls)
{
    static const CK_BBOOL yes = CK_TRUE;
    struct mock_object *object;

    furnish_from_file(point);
    object = mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, point);
    object->always_authenticate = true;
    mock_attr(object, CKA_ALWAYS_AUTHENTICATE, &yes, 1);
    OK(sign());
    mock->on_call = note_order;
    num_order = 0;
    OK(sign());
    assert_int_equal(num_order, 3);
    assert_int_equal(order[0], MOCK_SignInit);
    assert_int_equal(order[1], MOCK_Login);
    assert_int_equal(order[2], MOCK_Sign);
    mock->on_call = NULL;
}

TEST(a_failed_decryption_is_not_tried_again_where_that_would_tell_something)
{
    uint8_t out[64];
    size_t len = sizeof(out);

    furnish();
    OK(tok_key_decrypt(key, &mechanism, (const uint8_t *)"c", 1, out, &len));
    assert_int_equal(len, 3);
    mock->calls[MOCK_Decrypt] = 0;
    mock_fails(mock, MOCK_Decrypt, CKR_GENERAL_ERROR, 0, 1);
    len = sizeof(out);
    FAILS_CKR(tok_key_decrypt(key, &mechanism, (const uint8_t *)"c", 1, out, &len), CKR_GENERAL_ERROR);
    assert_int_equal(mock->calls[MOCK_Decrypt], 1);
    mock_fails(mock, MOCK_DecryptInit, CKR_GENERAL_ERROR, 0, 1); /* which has not seen the data yet */
    OK(tok_key_decrypt(key, &mechanism, (const uint8_t *)"c", 1, out, &len));
}

/* --- threads -------------------------------------------------------------------------------------------------- */

#define NUM_THREADS 8
#define NUM_SIGNATURES 100

static _Atomic unsigned failed_signatures;
static _Atomic unsigned signatures[NUM_THREADS];

static void *sign_often(void *arg)
{
    _Atomic unsigned *made = arg;

    for (int i = 0; i < NUM_SIGNATURES; i++) {
        uint8_t out[64];
        size_t len = sizeof(out);
        uint64_t mark;
        struct tok_result result = tok_key_sign(key, &mechanism, (const uint8_t *)"d", 1, out, &len, &mark);

        if (!tok_ok(&result) || len != 3) {
            atomic_fetch_add(&failed_signatures, 1);
        }
        atomic_fetch_add(made, 1);
    }
    return NULL;
}

static void lose_sessions(void)
{
    pthread_mutex_lock(&mock->lock);
    for (unsigned i = 0; i < MOCK_MOST_SESSIONS; i++) {
        mock->sessions[i].open = false;
    }
    mock->open_sessions = 0;
    pthread_mutex_unlock(&mock->lock);
}

/* Waits until whatever was under way is over: an operation recovers from one loss, not from two. */
static void wait_for_all(void)
{
    for (size_t i = 0; i < NUM_THREADS; i++) {
        unsigned before = atomic_load(&signatures[i]);

        while (atomic_load(&signatures[i]) < before + 2 && atomic_load(&signatures[i]) < NUM_SIGNATURES) {
            clock_sleep_us(500);
        }
    }
}

TEST(eight_threads_sign_with_one_session_while_it_is_lost_again_and_again)
{
    pthread_t threads[NUM_THREADS];

    furnish();
    settings.deadline_us = 30 * SECOND;
    mock->max_sessions = 1;
    mock->delay_us[MOCK_Sign] = 100;
    atomic_store(&failed_signatures, 0);
    for (size_t i = 0; i < NUM_THREADS; i++) {
        atomic_store(&signatures[i], 0);
        assert_int_equal(pthread_create(&threads[i], NULL, sign_often, &signatures[i]), 0);
    }
    for (unsigned i = 0; i < 10; i++) {
        wait_for_all();
        lose_sessions();
    }
    for (size_t i = 0; i < NUM_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&failed_signatures), 0);
    assert_true(mock->calls[MOCK_OpenSession] > 5); /* losses were noticed */
    assert_true(mock->most_sessions <= 1);
}

TEST(the_last_reference_frees_the_key)
{
    struct tok_key *none = NULL;

    furnish();
    tok_key_unref(tok_key_ref(key));
    OK(sign());
    tok_key_end(&none);
    tok_key_unref(NULL);
    tok_key_unref(key);
    key = NULL;
    tok_settings_end(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signature_is_two_calls),
        cmocka_unit_test(a_failure_leaves_the_outputs_alone),
        cmocka_unit_test(a_failure_names_key_token_function_and_value),
        cmocka_unit_test(a_child_signs_with_the_key_that_its_parent_loaded),
        cmocka_unit_test(a_child_of_a_parent_that_never_used_the_token_signs),
        cmocka_unit_test(one_failure_of_any_kind_from_either_call_is_survived),
        cmocka_unit_test(a_failed_call_that_leaves_its_operation_open_spoils_no_later_one),
        cmocka_unit_test(a_session_that_the_module_complained_of_is_not_kept),
        cmocka_unit_test(all_sessions_lost_are_survived),
        cmocka_unit_test(a_logout_by_somebody_else_is_survived),
        cmocka_unit_test(handles_that_all_changed_are_found_again),
        cmocka_unit_test(a_token_plugged_in_elsewhere_is_found_again),
        cmocka_unit_test(a_module_finalised_by_somebody_else_is_started_again),
        cmocka_unit_test(what_stays_broken_is_given_up_after_one_try_of_each_kind),
        cmocka_unit_test(a_busy_token_is_waited_for_until_the_deadline_and_no_longer),
        cmocka_unit_test(a_wrong_pin_after_a_reconnect_is_not_repeated),
        cmocka_unit_test(another_key_under_the_name_does_not_sign),
        cmocka_unit_test(among_keys_of_one_name_the_one_that_was_loaded_signs),
        cmocka_unit_test(a_key_file_loads_without_a_call_and_signs_when_asked),
        cmocka_unit_test(where_the_token_shows_nothing_the_result_is_unproved_until_it_is_proved),
        cmocka_unit_test(keys_that_can_not_be_told_apart_do_not_sign),
        cmocka_unit_test(a_key_that_is_gone_is_told_by_its_uri),
        cmocka_unit_test(a_key_file_that_means_several_tokens_tells_which),
        cmocka_unit_test(names_are_known_once_the_key_was_found),
        cmocka_unit_test(a_key_that_always_authenticates_logs_in_between_the_two_calls),
        cmocka_unit_test(a_failed_decryption_is_not_tried_again_where_that_would_tell_something),
        cmocka_unit_test(eight_threads_sign_with_one_session_while_it_is_lost_again_and_again),
        cmocka_unit_test(the_last_reference_frees_the_key),
    };

    return RUN(tests);
}
