#include "mock-use.h"

#include <stdatomic.h>

#include "base/shared.h"
#include "pkcs11/token/login.h"
#include "pkcs11/token/tie.h"
#include "child.h"

static struct mock *mock;
static struct tok_module *module;
static struct tok_token *token;
static struct tok_settings settings;
static struct tok_credentials credentials;

static unsigned asked;
static const char *typed; /* by a person; NULL: nobody is there */

static bool ask(void *arg, const char *what, struct secret *out_pin)
{
    (void)arg;
    asked++;
    assert_non_null(strstr(what, "test"));
    return typed != NULL && secret_set(out_pin, typed, strlen(typed));
}

/* The PIN of the settings; who decides that is pkcs11/key/aim.c's business. */
static void pin_is_for_token(void)
{
    struct tok_pin_line line = tok_pin_line(token, &settings);

    if (line.source != NULL) {
        OK(tok_tie(&line, token));
    }
}

/* A token with the PIN 1234, and settings that give `pin` (NULL: none). */
static void furnish(const char *pin)
{
    mock = mock_load(&module);
    mock_token(mock, "test");
    token = mock_looked(module);
    tok_settings_end(&settings);
    tok_settings_init(&settings);
    settings.modules = strdup(mock_path);
    if (pin != NULL) {
        OK(tok_pin_source_new(&settings.pin, pin, TOK_PIN_FROM_SETTINGS));
    }
    pin_is_for_token();
    credentials = (struct tok_credentials){ .settings = &settings };
    asked = 0;
}

static struct tok_result login(void)
{
    SCOPED(tok_lease_end) struct tok_lease lease = { .token = NULL };

    TOK_TRY(tok_lease_begin(&lease, token, 0, clock_us() + 10 * SECOND));
    return tok_login(&lease, &credentials, clock_us() + 10 * SECOND);
}

TEST(a_login_is_made_once)
{
    furnish("1234");
    assert_true(tok_login_needed(token, &settings));
    OK(login());
    assert_false(tok_login_needed(token, &settings));
    OK(login());
    assert_int_equal(mock->calls[MOCK_Login], 1);
    assert_true(mock->tokens[0].logged_in);
}

static void *login_in_thread(void *arg)
{
    struct tok_result result = login();

    return tok_ok(&result) ? arg : NULL;
}

TEST(of_many_threads_one_logs_in_and_the_others_wait)
{
    pthread_t threads[8];

    furnish("1234");
    mock->delay_us[MOCK_Login] = 100000;
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, login_in_thread, mock), 0);
    }
    for (size_t i = 0; i < 8; i++) {
        void *answer = NULL;

        assert_int_equal(pthread_join(threads[i], &answer), 0);
        assert_ptr_equal(answer, mock);
    }
    assert_int_equal(mock->calls[MOCK_Login], 1);
}

TEST(many_threads_with_a_wrong_pin_make_one_try)
{
    pthread_t threads[8];

    furnish("9999");
    mock->delay_us[MOCK_Login] = 50000;
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, login_in_thread, mock), 0);
    }
    for (size_t i = 0; i < 8; i++) {
        void *answer = mock;

        assert_int_equal(pthread_join(threads[i], &answer), 0);
        assert_null(answer);
    }
    assert_int_equal(mock->tokens[0].wrong_pins, 1);
}

TEST(a_wrong_pin_is_tried_once_and_its_source_named)
{
    furnish("9999");
    FAILS_CKR(login(), CKR_PIN_INCORRECT);
    SAYS("a literal PIN in the settings");
    assert_null(strstr(failure.message, "9999"));
    FAILS(login(), TOK_CODE_PIN_REFUSED);
    SAYS("a literal PIN in the settings");
    tok_token_lost(token, 0); /* a reconnect is no new try */
    FAILS(login(), TOK_CODE_PIN_REFUSED);
    assert_int_equal(mock->tokens[0].wrong_pins, 1);
}

TEST(a_file_that_was_corrected_is_tried)
{
    char path[] = "/tmp/signet-login-XXXXXX";
    char text[64];
    int fd = mkstemp(path);

    assert_true(fd >= 0 && write(fd, "999\n", 4) == 4);
    snprintf(text, sizeof(text), "file:%s", path);
    furnish(text);
    FAILS_CKR(login(), CKR_PIN_INCORRECT);
    FAILS(login(), TOK_CODE_PIN_REFUSED);
    assert_int_equal(pwrite(fd, "1234\n", 5, 0), 5);
    OK(login());
    assert_int_equal(mock->tokens[0].wrong_pins, 1);
    close(fd);
    unlink(path);
}

TEST(a_pin_that_was_right_serves_again_when_its_source_is_gone)
{
    char path[] = "/tmp/signet-login-XXXXXX";
    char text[64];
    int fd = mkstemp(path);

    assert_true(fd >= 0 && write(fd, "1234", 4) == 4);
    close(fd);
    snprintf(text, sizeof(text), "file:%s", path);
    furnish(text);
    OK(login());
    unlink(path);
    mock->tokens[0].logged_in = false;
    tok_login_lost(token);
    OK(login());
    assert_int_equal(mock->calls[MOCK_Login], 2);
}

TEST(a_pin_that_was_changed_on_the_token_is_not_repeated_and_the_new_one_serves)
{
    char path[] = "/tmp/signet-login-XXXXXX";
    char text[64];
    int fd = mkstemp(path);

    assert_true(fd >= 0 && write(fd, "1234", 4) == 4);
    snprintf(text, sizeof(text), "file:%s", path);
    furnish(text);
    OK(login());
    strcpy(mock->tokens[0].pin, "56789");
    mock->tokens[0].logged_in = false;
    tok_login_lost(token);
    FAILS_CKR(login(), CKR_PIN_INCORRECT);
    FAILS(login(), TOK_CODE_PIN_REFUSED);
    assert_int_equal(pwrite(fd, "56789", 5, 0), 5);
    OK(login()); /* what was right once does not stand in its way */
    assert_int_equal(mock->tokens[0].wrong_pins, 1);
    close(fd);
    unlink(path);
}

TEST(the_last_try_is_left_to_a_person)
{
    furnish("1234");
    mock->tokens[0].info.flags |= CKF_USER_PIN_FINAL_TRY;
    OK(tok_tokens_look(module, clock_us() + 10 * SECOND));
    FAILS(login(), TOK_CODE_PIN_LAST_TRY);
    assert_int_equal(mock->calls[MOCK_Login], 0);
    settings.pin_last_try = true;
    OK(login());
}

TEST(the_flag_is_looked_at_after_a_wrong_pin)
{
    furnish("9999");
    FAILS_CKR(login(), CKR_PIN_INCORRECT);
    mock->tokens[0].info.flags |= CKF_USER_PIN_FINAL_TRY;
    tok_pin_source_free(settings.pin);
    OK(tok_pin_source_new(&settings.pin, "8888", TOK_PIN_FROM_SETTINGS));
    pin_is_for_token();
    FAILS(login(), TOK_CODE_PIN_LAST_TRY);
    assert_int_equal(mock->tokens[0].wrong_pins, 1);
}

TEST(a_locked_pin_is_not_sent)
{
    furnish("1234");
    mock->tokens[0].info.flags |= CKF_USER_PIN_LOCKED;
    OK(tok_tokens_look(module, clock_us() + 10 * SECOND));
    FAILS_CKR(login(), CKR_PIN_LOCKED);
    assert_int_equal(mock->calls[MOCK_Login], 0);
}

TEST(a_token_with_a_pin_pad_gets_no_pin_from_us)
{
    furnish("9999");
    mock->tokens[0].info.flags |= CKF_PROTECTED_AUTHENTICATION_PATH;
    OK(tok_tokens_look(module, clock_us() + 10 * SECOND));
    OK(login()); /* the mock would refuse a PIN here */
}

TEST(a_person_is_asked_where_nothing_is_configured)
{
    furnish(NULL);
    credentials.prompt.ask = ask;
    typed = "1234";
    OK(login());
    assert_int_equal(asked, 1);
    mock->tokens[0].logged_in = false;
    tok_login_lost(token);
    OK(login());
    assert_int_equal(asked, 1); /* what was right is remembered */
}

TEST(nobody_is_asked_where_a_pin_is_configured_even_if_it_is_wrong)
{
    furnish("9999");
    credentials.prompt.ask = ask;
    typed = "1234";
    FAILS_CKR(login(), CKR_PIN_INCORRECT);
    FAILS(login(), TOK_CODE_PIN_REFUSED);
    assert_int_equal(asked, 0);
}

TEST(without_any_pin_the_failure_says_so)
{
    furnish(NULL);
    FAILS(login(), TOK_CODE_PIN_NEEDED);
    credentials.prompt.ask = ask;
    typed = NULL;
    FAILS(login(), TOK_CODE_PIN_NEEDED);
    assert_int_equal(mock->calls[MOCK_Login], 0);
    assert_true(tok_login_needed(token, &settings)); /* and nobody is left waiting */
}

TEST(a_source_that_fails_is_the_failure_and_costs_no_try)
{
    furnish("file:/does/not/exist");
    FAILS(login(), TOK_CODE_PIN_SOURCE);
    SAYS("file:/does/not/exist");
    assert_int_equal(mock->calls[MOCK_Login], 0);
}

TEST(the_pin_of_the_uri_comes_before_that_of_the_settings)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;

    furnish("9999");
    OK(tok_uri_parse(&uri, "pkcs11:token=test?pin-value=1234", TOK_URI_FROM_APPLICATION));
    credentials.uri = uri;
    OK(login());
    assert_int_equal(mock->tokens[0].wrong_pins, 0);
}

TEST(the_pin_of_the_tokens_own_entry_comes_before_the_general_one)
{
    struct tok_named_token *named = calloc(1, sizeof(*named));

    furnish("9999");
    assert_non_null(named);
    OK(tok_uri_parse(&named->uri, "pkcs11:token=test", TOK_URI_FROM_APPLICATION));
    OK(tok_pin_source_new(&named->pin, "1234", TOK_PIN_FROM_SETTINGS));
    settings.tokens = named;
    settings.num_tokens = 1;
    pin_is_for_token();
    OK(login());
    assert_int_equal(mock->tokens[0].wrong_pins, 0);
}

TEST(a_login_that_somebody_else_made_is_good)
{
    furnish("1234");
    mock->tokens[0].logged_in = true;
    OK(login());
    assert_false(tok_login_needed(token, &settings));
}

TEST(a_failure_that_proves_that_nobody_looked_does_not_condemn_the_pin)
{
    furnish("1234");
    mock_fails(mock, MOCK_Login, CKR_TOKEN_NOT_PRESENT, 0, 1);
    FAILS_CKR(login(), CKR_TOKEN_NOT_PRESENT);
    OK(login());
}

TEST(any_other_failure_may_mean_that_it_is_wrong_and_the_error_says_so)
{
    furnish("1234");
    mock_fails(mock, MOCK_Login, CKR_DEVICE_ERROR, 0, 1);
    FAILS(login(), TOK_CODE_PIN_UNCLEAR);
    SAYS("a literal PIN in the settings: C_Login: CKR_DEVICE_ERROR (0x30)");
    SAYS("not tried again");
    FAILS(login(), TOK_CODE_PIN_UNCLEAR);
    SAYS("a literal PIN in the settings");
    assert_int_equal(mock->calls[MOCK_Login], 1);
    tok_pin_source_free(settings.pin);
    OK(tok_pin_source_new(&settings.pin, "9999", TOK_PIN_FROM_SETTINGS));
    pin_is_for_token();
    FAILS_CKR(login(), CKR_PIN_INCORRECT); /* another one is tried */
}

static void lose_login(void)
{
    mock->tokens[0].logged_in = false;
    tok_login_lost(token);
}

TEST(a_pin_that_was_accepted_serves_again_when_it_is_unlocked)
{
    static const CK_RV barred[] = { CKR_PIN_LOCKED, CKR_PIN_EXPIRED, CKR_DEVICE_ERROR, CKR_VENDOR_DEFINED };

    for (size_t i = 0; i < COUNT_OF(barred); i++) {
        furnish("1234");
        OK(login());
        lose_login();
        mock_fails(mock, MOCK_Login, barred[i], 0, 2);
        FAILS_CKR(login(), barred[i]);
        FAILS_CKR(login(), barred[i]);
        OK(login());
        assert_int_equal(mock->calls[MOCK_Login], 4);
    }
}

/* The mock's file has another name, so it is at best something in front of SoftHSM, whose answers may be its own. */
TEST(who_says_of_itself_that_it_is_softhsm_is_not_sent_a_pin_twice)
{
    static const CK_RV answers[] = { CKR_GENERAL_ERROR, CKR_USER_PIN_NOT_INITIALIZED };

    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        furnish("1234");
        strcpy(mock->manufacturer, "SoftHSM");
        mock_fails(mock, MOCK_Login, answers[i], 0, 20);
        FAILS(login(), TOK_CODE_PIN_UNCLEAR);
        FAILS(login(), TOK_CODE_PIN_UNCLEAR);
        assert_int_equal(mock->calls[MOCK_Login], 1);
    }
}

TEST(what_is_known_of_softhsm_is_that_it_reads_the_token_before_it_looks)
{
    static const CK_RV unseen[] = { CKR_GENERAL_ERROR, CKR_USER_PIN_NOT_INITIALIZED };

    for (size_t i = 0; i < COUNT_OF(unseen); i++) {
        char *path;

        furnish("1234");
        path = module->path;
        module->path = (char[]){ "/usr/lib/softhsm/libsofthsm2.so" };
        mock_fails(mock, MOCK_Login, unseen[i], 0, 20);
        for (int n = 0; n < 20; n++) {
            FAILS_CKR(login(), unseen[i]);
        }
        OK(login());
        module->path = path;
    }
}

TEST(at_a_pin_pad_nobody_is_asked_twice_for_one_operation)
{
    furnish(NULL);
    mock->tokens[0].info.flags |= CKF_PROTECTED_AUTHENTICATION_PATH;
    OK(tok_tokens_look(module, clock_us() + 10 * SECOND));
    mock_fails(mock, MOCK_Login, CKR_DEVICE_MEMORY, 0, 1);
    FAILS(login(), TOK_CODE_PIN_UNCLEAR);
    SAYS("PIN pad");
    OK(login());
}

TEST(the_login_of_an_operation_obeys_the_same_table)
{
    SCOPED(tok_lease_end) struct tok_lease lease = { .token = NULL };

    furnish("1234");
    mock->tokens[0].logged_in = true; /* by the application: we have sent no PIN yet */
    OK(tok_lease_begin(&lease, token, 0, clock_us() + SECOND));
    mock_fails(mock, MOCK_Login, CKR_FUNCTION_FAILED, 0, 100);
    FAILS(tok_login_for_operation(&lease, &credentials, clock_us() + SECOND), TOK_CODE_PIN_UNCLEAR);
    FAILS(tok_login_for_operation(&lease, &credentials, clock_us() + SECOND), TOK_CODE_PIN_UNCLEAR);
    assert_int_equal(mock->calls[MOCK_Login], 1);
}

TEST(who_waits_for_a_login_leaves_at_the_deadline)
{
    SCOPED(tok_lease_end) struct tok_lease lease = { .token = NULL };
    pthread_t thread;

    furnish("1234");
    mock->hang = 1U << MOCK_Login;
    assert_int_equal(pthread_create(&thread, NULL, login_in_thread, mock), 0);
    assert_true(mock_hung(mock, 1));
    OK(tok_lease_begin(&lease, token, 0, clock_us() + SECOND));
    FAILS(tok_login(&lease, &credentials, clock_us() + 100000), TOK_CODE_DEADLINE);
    mock->hang = 0;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(mock->calls[MOCK_Login], 1);
}

TEST(a_login_in_a_session_of_a_time_that_is_gone_keeps_nobody_waiting)
{
    SCOPED(tok_lease_end) struct tok_lease lease = { .token = NULL };

    furnish("1234");
    OK(tok_lease_begin(&lease, token, 0, clock_us() + SECOND));
    tok_token_lost(token, 0);
    OK(tok_login(&lease, &credentials, clock_us() + SECOND));
    tok_lease_end(&lease);
    OK(tok_lease_begin(&lease, token, 0, clock_us() + SECOND));
    OK(tok_login(&lease, &credentials, clock_us() + SECOND));
    assert_false(tok_login_needed(token, &settings));
}

TEST(a_remembered_pin_is_wiped_when_the_last_context_goes_and_the_token_stays_logged_in)
{
    furnish("1234");
    tok_pins_hold();
    tok_pins_hold();
    OK(login());
    assert_true(secret_exists(&token->pin));
    tok_pins_release();
    assert_true(secret_exists(&token->pin));
    tok_pins_release();
    assert_false(secret_exists(&token->pin));
    assert_true(mock->tokens[0].logged_in);
    assert_false(tok_login_needed(token, &settings));
    tok_pins_hold(); /* and a context that comes later has to have a PIN */
    mock->tokens[0].logged_in = false;
    tok_login_lost(token);
    OK(login());
    assert_true(secret_exists(&token->pin));
    tok_pins_release();
    assert_false(secret_exists(&token->pin));
}

TEST(the_policy_says_when_a_login_is_needed)
{
    furnish("1234");
    settings.login = TOK_LOGIN_NEVER;
    assert_false(tok_login_needed(token, &settings));
    settings.login = TOK_LOGIN_AUTO;
    mock->tokens[0].info.flags &= ~CKF_LOGIN_REQUIRED;
    OK(tok_tokens_look(module, clock_us() + 10 * SECOND));
    assert_false(tok_login_needed(token, &settings));
    settings.login = TOK_LOGIN_ALWAYS;
    assert_true(tok_login_needed(token, &settings));
    settings.login = TOK_LOGIN_AUTO;
    tok_login_lost(token); /* it answered CKR_USER_NOT_LOGGED_IN, whatever its flags say */
    assert_true(tok_login_needed(token, &settings));
}

TEST(a_key_that_always_authenticates_costs_one_login_and_nothing_else)
{
    SCOPED(tok_lease_end) struct tok_lease lease = { .token = NULL };
    CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };
    unsigned before;

    furnish("1234");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "key", 1, NULL)->always_authenticate = true;
    OK(tok_lease_begin(&lease, token, 0, clock_us() + SECOND));
    OK(tok_login(&lease, &credentials, clock_us() + SECOND));
    assert_int_equal(TOK_CALL(lease.functions, C_SignInit, lease.session, &mechanism, mock->first_handle), CKR_OK);
    before = mock_all_calls(mock);
    OK(tok_login_for_operation(&lease, &credentials, clock_us() + 10 * SECOND));
    assert_int_equal(mock_all_calls(mock), before + 1);
    lease.op_open = true;
}

/* The mock is private to each process, so its counters tell who sent what. */
static int login_says(void *arg)
{
    struct tok_result result = login();

    (void)arg;
    return (int)result.code;
}

TEST(a_pin_that_a_child_found_wrong_is_not_sent_by_its_parent_or_another_child)
{
    furnish("9999");
    assert_int_equal(child_does(login_says, NULL), TOK_CODE_CKR);
    assert_int_equal(child_does(login_says, NULL), TOK_CODE_PIN_REFUSED);
    FAILS(login(), TOK_CODE_PIN_REFUSED);
    assert_int_equal(mock->calls[MOCK_Login], 0);
}

static int login_with_the_old_pin(void *arg)
{
    (void)arg;
    strcpy(mock->tokens[0].pin, "5678"); /* as somebody has set it */
    mock->tokens[0].logged_in = false;
    tok_login_lost(token);
    return login_says(NULL);
}

TEST(a_pin_that_was_right_and_that_a_child_found_changed_is_looked_up_in_its_source)
{
    furnish("1234");
    OK(login());
    assert_int_equal(child_does(login_with_the_old_pin, NULL), TOK_CODE_CKR);
    strcpy(mock->tokens[0].pin, "5678");
    mock->tokens[0].logged_in = false;
    tok_login_lost(token);
    tok_pin_source_free(settings.pin);
    OK(tok_pin_source_new(&settings.pin, "5678", TOK_PIN_FROM_SETTINGS));
    pin_is_for_token();
    OK(login());
    assert_int_equal(mock->tokens[0].wrong_pins, 0);
}

TEST(the_flags_are_looked_at_again_after_another_process_used_up_a_try)
{
    furnish("9999");
    assert_int_equal(child_does(login_says, NULL), TOK_CODE_CKR);
    mock->tokens[0].info.flags |= CKF_USER_PIN_FINAL_TRY; /* which we have not looked at since */
    tok_pin_source_free(settings.pin);
    OK(tok_pin_source_new(&settings.pin, "8888", TOK_PIN_FROM_SETTINGS));
    pin_is_for_token();
    FAILS(login(), TOK_CODE_PIN_LAST_TRY);
    assert_int_equal(mock->calls[MOCK_Login], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pin_that_a_child_found_wrong_is_not_sent_by_its_parent_or_another_child),
        cmocka_unit_test(a_pin_that_was_right_and_that_a_child_found_changed_is_looked_up_in_its_source),
        cmocka_unit_test(the_flags_are_looked_at_again_after_another_process_used_up_a_try),
        cmocka_unit_test(a_login_is_made_once),
        cmocka_unit_test(of_many_threads_one_logs_in_and_the_others_wait),
        cmocka_unit_test(many_threads_with_a_wrong_pin_make_one_try),
        cmocka_unit_test(a_wrong_pin_is_tried_once_and_its_source_named),
        cmocka_unit_test(a_file_that_was_corrected_is_tried),
        cmocka_unit_test(a_pin_that_was_right_serves_again_when_its_source_is_gone),
        cmocka_unit_test(a_pin_that_was_changed_on_the_token_is_not_repeated_and_the_new_one_serves),
        cmocka_unit_test(the_last_try_is_left_to_a_person),
        cmocka_unit_test(the_flag_is_looked_at_after_a_wrong_pin),
        cmocka_unit_test(a_locked_pin_is_not_sent),
        cmocka_unit_test(a_token_with_a_pin_pad_gets_no_pin_from_us),
        cmocka_unit_test(a_person_is_asked_where_nothing_is_configured),
        cmocka_unit_test(nobody_is_asked_where_a_pin_is_configured_even_if_it_is_wrong),
        cmocka_unit_test(without_any_pin_the_failure_says_so),
        cmocka_unit_test(a_source_that_fails_is_the_failure_and_costs_no_try),
        cmocka_unit_test(the_pin_of_the_uri_comes_before_that_of_the_settings),
        cmocka_unit_test(the_pin_of_the_tokens_own_entry_comes_before_the_general_one),
        cmocka_unit_test(a_login_that_somebody_else_made_is_good),
        cmocka_unit_test(a_failure_that_proves_that_nobody_looked_does_not_condemn_the_pin),
        cmocka_unit_test(any_other_failure_may_mean_that_it_is_wrong_and_the_error_says_so),
        cmocka_unit_test(a_pin_that_was_accepted_serves_again_when_it_is_unlocked),
        cmocka_unit_test(who_says_of_itself_that_it_is_softhsm_is_not_sent_a_pin_twice),
        cmocka_unit_test(what_is_known_of_softhsm_is_that_it_reads_the_token_before_it_looks),
        cmocka_unit_test(at_a_pin_pad_nobody_is_asked_twice_for_one_operation),
        cmocka_unit_test(the_login_of_an_operation_obeys_the_same_table),
        cmocka_unit_test(who_waits_for_a_login_leaves_at_the_deadline),
        cmocka_unit_test(a_login_in_a_session_of_a_time_that_is_gone_keeps_nobody_waiting),
        cmocka_unit_test(a_remembered_pin_is_wiped_when_the_last_context_goes_and_the_token_stays_logged_in),
        cmocka_unit_test(the_policy_says_when_a_login_is_needed),
        cmocka_unit_test(a_key_that_always_authenticates_costs_one_login_and_nothing_else),
    };

    shared_begin(); /* before the first fork */
    return RUN(tests);
}
