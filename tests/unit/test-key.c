/* A key that signs: its calls, its errors, its identity, its children. test-key-*.c have what goes wrong with it. */
#include "key-use.h"

#include <sys/wait.h>

#include "child.h"
#include "pkcs11/token/tries.h"

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
    assert_memory_not_equal(out, "www", 3);
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
    OK(tok_uri_parse(&uri, "pkcs11:manufacturer=Mock", TOK_URI_FROM_FILE));
    OK(tok_key_new(&key, &settings, uri, &half));
    FAILS(sign(), TOK_CODE_AMBIGUOUS);
    SAYS("'a' and 'b'");
    assert_int_equal(mock->calls[MOCK_Login], 0);
}

TEST(a_key_file_that_means_several_tokens_has_no_pin_tried_on_any)
{
    struct tok_public half = { .type = CKK_EC };
    struct tok_uri *uri = NULL;

    furnish_settings();
    mock_token(mock, "a");
    mock_token(mock, "b");
    OK(tok_uri_parse(&uri, "pkcs11:object=www", TOK_URI_FROM_FILE));
    OK(tok_key_new(&key, &settings, uri, &half));
    FAILS(sign(), TOK_CODE_PIN_OWN);
    SAYS("'a' has no PIN of its own");
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

/* --- always-authenticate ------------------------------------------------------------------------------------------ */

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

static void use_pin(const char *pin)
{
    tok_pin_source_free(settings.pin);
    OK(tok_pin_source_new(&settings.pin, pin, TOK_PIN_FROM_SETTINGS));
}

TEST(neither_a_refused_pin_nor_the_last_try_nor_a_locked_pin_is_sent_for_a_key_that_always_authenticates)
{
    static const CK_BBOOL yes = CK_TRUE;
    struct mock_object *object;
    unsigned logins;

    furnish_from_file(point);
    object = mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, point);
    object->always_authenticate = true;
    mock_attr(object, CKA_ALWAYS_AUTHENTICATE, &yes, 1);
    OK(sign());
    strcpy(mock->tokens[0].pin, "5678"); /* somebody changed it */
    FAILS_CKR(sign(), CKR_PIN_INCORRECT);
    logins = mock->calls[MOCK_Login];
    FAILS(sign(), TOK_CODE_PIN_REFUSED);
    mock->tokens[0].info.flags |= CKF_USER_PIN_FINAL_TRY;
    use_pin("5678");
    FAILS(sign(), TOK_CODE_PIN_LAST_TRY);
    mock->tokens[0].info.flags |= CKF_USER_PIN_LOCKED;
    tok_token_lost(module->tokens, 0);
    FAILS_CKR(sign(), CKR_PIN_LOCKED);
    assert_int_equal(mock->calls[MOCK_Login], logins);
}

/* Another process that has the turn to send a PIN, and keeps it; *out_fd ends it. */
static pid_t somebody_keeps_the_turn(int *out_fd)
{
    int ready[2];
    int end[2];
    char byte;
    pid_t child;

    assert_true(pipe(ready) == 0 && pipe(end) == 0);
    child = fork();
    if (child == 0) {
        struct tok_try try = { .token = NULL };
        struct secret pin = { 0 };
        struct tok_result result = secret_set(&pin, "1234", 4)
                                       ? tok_try_begin(&try, module->tokens, &pin, "a test", clock_us() + SECOND)
                                       : tok_fail(TOK_CODE_NO_MEMORY, "a PIN");

        close(end[1]);
        _exit(tok_ok(&result) && write(ready[1], "r", 1) == 1 && read(end[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(ready[1]);
    close(end[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    *out_fd = end[1];
    return child;
}

TEST(the_login_of_a_key_that_always_authenticates_has_no_more_time_than_its_operation)
{
    static const CK_BBOOL yes = CK_TRUE;
    struct mock_object *object;
    uint8_t out[8];
    size_t len = sizeof(out);
    unsigned logins;
    pid_t child;
    int fd;

    furnish_from_file(point);
    object = mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, point);
    object->always_authenticate = true;
    mock_attr(object, CKA_ALWAYS_AUTHENTICATE, &yes, 1);
    settings.deadline_us = 60 * SECOND;
    OK(sign());
    logins = mock->calls[MOCK_Login];
    child = somebody_keeps_the_turn(&fd);
    FAILS(tok_key_sign_until(key, &mechanism, (const uint8_t *)"digest", 6, out, &len, &unproved,
                             clock_us() + SECOND / 4),
          TOK_CODE_DEADLINE);
    assert_int_equal(mock->calls[MOCK_Login], logins);
    close(fd);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

/* In the child the module numbers its slots anew, and another token has a key of that name. */
static int signs_amid_other_slots(void *arg)
{
    struct tok_result result;

    (void)arg;
    mock->initialized = false;
    memset(mock->sessions, 0, sizeof(mock->sessions));
    mock->tokens[0].logged_in = false;
    mock->tokens[0].slot = 1;
    mock->tokens[1].slot = 0;
    result = sign();
    if (!tok_ok(&result)) {
        fprintf(stderr, "# %s\n", result.message);
        return 1;
    }
    return mock->tokens[0].logged_in && !mock->tokens[1].logged_in && mock->tokens[1].wrong_pins == 0 ? 0 : 2;
}

TEST(a_child_finds_the_token_by_its_identity_and_not_by_its_slot)
{
    furnish();
    mock_token(mock, "other");
    strcpy(mock->tokens[1].pin, "9999");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, point);
    OK(sign());
    assert_int_equal(child_does(signs_amid_other_slots, NULL), 0);
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
        /* first, since a fork holds the locks of all modules, of which the thread sanitizer counts 64 at the most */
        cmocka_unit_test(a_child_finds_the_token_by_its_identity_and_not_by_its_slot),
        cmocka_unit_test(a_child_signs_with_the_key_that_its_parent_loaded),
        cmocka_unit_test(a_child_of_a_parent_that_never_used_the_token_signs),
        cmocka_unit_test(a_signature_is_two_calls),
        cmocka_unit_test(a_failure_leaves_the_outputs_alone),
        cmocka_unit_test(a_failure_names_key_token_function_and_value),
        cmocka_unit_test(another_key_under_the_name_does_not_sign),
        cmocka_unit_test(among_keys_of_one_name_the_one_that_was_loaded_signs),
        cmocka_unit_test(a_key_file_loads_without_a_call_and_signs_when_asked),
        cmocka_unit_test(where_the_token_shows_nothing_the_result_is_unproved_until_it_is_proved),
        cmocka_unit_test(keys_that_can_not_be_told_apart_do_not_sign),
        cmocka_unit_test(a_key_that_is_gone_is_told_by_its_uri),
        cmocka_unit_test(a_key_file_that_means_several_tokens_tells_which),
        cmocka_unit_test(a_key_file_that_means_several_tokens_has_no_pin_tried_on_any),
        cmocka_unit_test(names_are_known_once_the_key_was_found),
        cmocka_unit_test(a_key_that_always_authenticates_logs_in_between_the_two_calls),
        cmocka_unit_test(
            neither_a_refused_pin_nor_the_last_try_nor_a_locked_pin_is_sent_for_a_key_that_always_authenticates),
        cmocka_unit_test(the_login_of_a_key_that_always_authenticates_has_no_more_time_than_its_operation),
        cmocka_unit_test(the_last_reference_frees_the_key),
    };

    return RUN(tests);
}
