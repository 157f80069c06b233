#include "mock-use.h"

#include "pkcs11/result/ckr.h"
#include "pkcs11/token/login.h"
#include "pkcs11/recover/recover.h"

static struct mock *mock;
static struct tok_module *module;
static struct tok_token *token;
static struct tok_attempts attempts;

static void begin(uint64_t wait_us)
{
    struct tok_settings settings;

    tok_settings_init(&settings);
    tok_attempts_begin(&attempts, &settings, clock_us() + wait_us, 0);
}

static void furnish(void)
{
    mock = mock_load(&module);
    mock_token(mock, "test");
    token = mock_looked(module);
    begin(10 * SECOND);
}

/* With a session that is new, as after an earlier failure. */
static bool recover(CK_RV rv)
{
    struct tok_lease lease = { .token = token, .is_new = true, .epoch = token->epoch };

    failure = tok_fail_ckr("C_Sign", rv);
    tok_note_failure(&lease, &failure);
    return tok_recover(&attempts, token, &lease, &failure);
}

TEST(what_is_final_is_not_tried_again)
{
    static const CK_RV final[] = { CKR_PIN_INCORRECT, CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_DATA_LEN_RANGE, 0x80001234 };
    struct tok_result ours = tok_fail(TOK_CODE_NO_OBJECT, "x");
    struct tok_lease lease = { .epoch = 1 };
    unsigned before;

    furnish();
    before = mock_all_calls(mock);
    for (size_t i = 0; i < COUNT_OF(final); i++) {
        assert_false(recover(final[i]));
    }
    assert_false(tok_recover(&attempts, token, &lease, &ours));
    assert_int_equal(mock_all_calls(mock), before);
    assert_int_equal(token->epoch, 1);
}

TEST(each_kind_is_tried_once_and_kinds_do_not_hinder_each_other)
{
    furnish();
    assert_true(recover(CKR_OPERATION_ACTIVE));
    assert_false(recover(CKR_OPERATION_NOT_INITIALIZED)); /* the same kind */
    assert_true(recover(CKR_USER_NOT_LOGGED_IN));
    assert_true(recover(CKR_KEY_HANDLE_INVALID));
    assert_true(recover(CKR_GENERAL_ERROR));
    assert_true(recover(CKR_DEVICE_REMOVED));
    assert_true(recover(CKR_CRYPTOKI_NOT_INITIALIZED));
    assert_false(recover(CKR_USER_NOT_LOGGED_IN));
    assert_false(recover(CKR_OBJECT_HANDLE_INVALID));
    assert_false(recover(CKR_FUNCTION_FAILED));
    assert_false(recover(CKR_CRYPTOKI_NOT_INITIALIZED));
}

/* What failed was of before another thread initialised the module again: doing so once more would undo its work. */
TEST(a_module_that_another_thread_has_initialised_again_is_tried_as_it_is)
{
    struct tok_lease lease = { .is_new = true };

    furnish();
    lease.epoch = token->epoch;
    assert_true(recover(CKR_DEVICE_ERROR));
    tok_token_lost(token, 0);
    atomic_fetch_add(&token->pool.served, 1); /* that thread's */
    failure = tok_fail_ckr("C_Sign", CKR_DEVICE_ERROR);
    assert_true(tok_recover(&attempts, token, &lease, &failure));
    assert_int_equal(mock->calls[MOCK_Finalize], 0);
}

/* Another failure of the kind, with a lease during which `meanwhile` happened. */
static bool recover_again(CK_RV rv, void (*meanwhile)(void))
{
    struct tok_lease lease = { .token = NULL };

    OK(tok_lease_begin(&lease, token, 0, attempts.deadline_us));
    token->login = TOK_LOGGED_IN;
    lease.objects = token->objects;
    mock->tokens[0].logged_in = true;
    meanwhile();
    failure = tok_fail_ckr("C_Sign", rv);
    tok_attempts_note(&attempts, token, &lease, &failure);
    tok_lease_end(&lease);
    return tok_recover(&attempts, token, &lease, &failure);
}

static void nothing(void)
{
}

static void login_goes(void)
{
    mock->tokens[0].logged_in = false;
}

static void another_thread_meets_it(void)
{
    login_goes();
    tok_login_lost(token);
}

static void another_thread_logs_in_again(void)
{
    another_thread_meets_it();
    mock->tokens[0].logged_in = true;
    token->login = TOK_LOGGED_IN;
}

TEST(a_loss_after_another_is_recovered_from_if_the_token_confirms_it)
{
    furnish();
    assert_true(recover(CKR_USER_NOT_LOGGED_IN));
    for (int i = 0; i < 10; i++) {
        assert_true(recover_again(CKR_USER_NOT_LOGGED_IN, i % 2 == 0 ? login_goes : another_thread_meets_it));
    }
    assert_false(recover_again(CKR_USER_NOT_LOGGED_IN, nothing));
}

TEST(a_loss_that_others_have_mended_since_is_believed_a_few_times)
{
    furnish();
    assert_true(recover(CKR_USER_NOT_LOGGED_IN));
    for (int i = 0; i < 3; i++) {
        assert_true(recover_again(CKR_USER_NOT_LOGGED_IN, another_thread_logs_in_again));
    }
    assert_false(recover_again(CKR_USER_NOT_LOGGED_IN, another_thread_logs_in_again));
}

TEST(nothing_is_tried_beyond_the_deadline)
{
    furnish();
    attempts.deadline_us = clock_us() - 1;
    assert_false(recover(CKR_SESSION_HANDLE_INVALID));
    assert_false(recover(CKR_SESSION_COUNT));
}

TEST(waiting_is_repeated_with_growing_pauses_until_the_deadline)
{
    uint64_t began;
    unsigned pauses = 0;

    furnish();
    began = clock_us();
    attempts.deadline_us = began + SECOND;
    while (recover(CKR_SESSION_COUNT)) {
        pauses++;
    }
    assert_true(pauses >= 1 && pauses <= 8); /* 10, 20, 40, 80, 160, and then 200 ms each */
    assert_true(clock_us() < began + 20 * SECOND);
}

TEST(a_lost_session_keeps_the_login_and_makes_handles_stale)
{
    struct tok_lease lease = { .token = NULL };

    furnish();
    OK(tok_lease_begin(&lease, token, 0, attempts.deadline_us));
    tok_lease_end(&lease);
    token->login = TOK_LOGGED_IN;
    assert_true(recover(CKR_SESSION_HANDLE_INVALID));
    assert_true(attempts.want_new);
    assert_int_equal(token->pool.num_idle, 1); /* whether that one is lost, too, is not known */
    assert_int_equal(token->login, TOK_LOGGED_IN);
    assert_int_equal(token->objects, 2);
    assert_int_equal(token->epoch, 1);
}

TEST(idle_sessions_may_turn_out_to_be_lost_one_after_another)
{
    struct tok_lease lease = { .epoch = 1 };

    furnish();
    lease.token = token;
    for (int i = 0; i < 5; i++) {
        failure = tok_fail_ckr("C_SignInit", CKR_SESSION_HANDLE_INVALID);
        tok_note_failure(&lease, &failure);
        assert_true(tok_recover(&attempts, token, &lease, &failure));
    }
    for (int i = 0; i < 3; i++) {
        assert_true(recover(CKR_SESSION_HANDLE_INVALID)); /* new ones were lost as well */
    }
    assert_false(recover(CKR_SESSION_HANDLE_INVALID)); /* but that is enough */
}

TEST(what_is_not_found_after_a_loss_may_be_behind_a_login)
{
    struct tok_lease lease = { .epoch = 1 };

    furnish();
    token->login = TOK_LOGGED_IN;
    failure = tok_fail(TOK_CODE_NO_OBJECT, "no private key there");
    assert_false(tok_recover(&attempts, token, &lease, &failure));
    assert_true(recover(CKR_KEY_HANDLE_INVALID));
    failure = tok_fail(TOK_CODE_NO_OBJECT, "no private key there");
    assert_true(tok_recover(&attempts, token, &lease, &failure));
    assert_int_equal(token->login, TOK_LOGGED_OUT);
    assert_false(tok_recover(&attempts, token, &lease, &failure)); /* it is really gone */
}

TEST(no_memory_means_no_login_where_there_was_one)
{
    furnish();
    token->login = TOK_LOGGED_IN;
    assert_true(recover(CKR_HOST_MEMORY));
    assert_int_equal(token->login, TOK_LOGGED_OUT);
    begin(SECOND);
    token->wants_login = false;
    assert_true(recover(CKR_HOST_MEMORY)); /* a pause, where there was none */
    assert_false(token->wants_login);
    assert_false(recover(CKR_HOST_MEMORY));
}

TEST(what_passes_or_never_does_is_waited_for_a_few_times)
{
    unsigned tries = 0;

    furnish();
    while (recover(CKR_USER_PIN_NOT_INITIALIZED)) {
        tries++;
    }
    assert_int_equal(tries, 5);
}

TEST(a_lost_login_is_forgotten)
{
    furnish();
    token->login = TOK_LOGGED_IN;
    assert_true(recover(CKR_USER_NOT_LOGGED_IN));
    assert_int_equal(token->login, TOK_LOGGED_OUT);
    assert_int_equal(token->epoch, 1);
}

TEST(a_stale_handle_makes_all_handles_stale_and_nothing_else)
{
    furnish();
    assert_true(recover(CKR_KEY_HANDLE_INVALID));
    assert_int_equal(token->objects, 2);
    assert_int_equal(token->epoch, 1);
}

TEST(a_token_that_is_gone_is_looked_for)
{
    furnish();
    mock->tokens[0].slot = 5; /* plugged in elsewhere */
    assert_true(recover(CKR_DEVICE_REMOVED));
    assert_int_equal(token->slot, 5);
    assert_true(token->epoch > 1);
}

static void *comes_back(void *arg)
{
    clock_sleep_us(300000);
    mock->tokens[0].present = true;
    mock->down = false;
    return arg;
}

static void later(pthread_t *thread)
{
    assert_int_equal(pthread_create(thread, NULL, comes_back, NULL), 0);
}

TEST(a_token_that_is_away_is_waited_for)
{
    pthread_t thread;

    furnish();
    mock->tokens[0].present = false;
    later(&thread);
    assert_true(recover(CKR_TOKEN_NOT_PRESENT));
    assert_true(tok_token_present(token));
    assert_int_equal(mock->calls[MOCK_Finalize], 0); /* its reader is there: the module is well */
    assert_int_equal(pthread_join(thread, NULL), 0);
}

TEST(but_no_longer_than_the_deadline)
{
    uint64_t began;

    furnish();
    mock->tokens[0].present = false;
    began = clock_us();
    begin(200000);
    assert_false(recover(CKR_TOKEN_NOT_PRESENT));
    assert_true(clock_us() - began < 20 * SECOND);
    assert_true(attempts.out_of_time);
}

TEST(a_look_that_fails_is_repeated)
{
    furnish();
    mock_fails(mock, MOCK_GetSlotList, CKR_DEVICE_ERROR, 0, 1);
    assert_true(recover(CKR_DEVICE_ERROR));
}

TEST(a_module_whose_daemon_went_is_initialised_again_until_it_is_back)
{
    pthread_t thread;

    furnish();
    module->again_us = 1; /* it was not started just now */
    mock->down = true;
    later(&thread);
    assert_true(recover(CKR_DEVICE_ERROR));
    assert_true(mock->calls[MOCK_Finalize] >= 2); /* once while it was away, and when it was back */
    assert_true(tok_token_present(token));
    assert_true(token->epoch > 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

TEST(but_not_while_it_serves_others_and_only_fails_to_tell_its_slots)
{
    furnish();
    OK(tok_attempts_enter(&attempts, token));
    module->again_us = 1;
    mock_fails(mock, MOCK_GetSlotList, CKR_GENERAL_ERROR, 0, 3);
    token->pool.served++;
    assert_true(recover(CKR_DEVICE_ERROR));
    assert_int_equal(mock->calls[MOCK_Finalize], 0);
}

TEST(and_so_is_one_that_can_not_even_be_initialised_meanwhile)
{
    pthread_t thread;

    furnish();
    mock->down = true;
    mock->down_fails_init = true;
    later(&thread);
    assert_true(recover(CKR_DEVICE_ERROR));
    assert_true(tok_token_present(token));
    assert_int_equal(pthread_join(thread, NULL), 0);
}

TEST(one_that_can_not_be_initialised_at_all_is_the_reason_that_people_are_told)
{
    furnish();
    module->again_us = 1; /* it was not started just now */
    mock->down = true;
    mock_fails(mock, MOCK_Initialize, CKR_GENERAL_ERROR, 0, 1000);
    begin(300000);
    assert_false(recover(CKR_DEVICE_ERROR));
    SAYS("C_Sign: CKR_DEVICE_ERROR");
    SAYS("C_Initialize: ");
    assert_string_equal(failure.function, "C_Initialize");
    assert_non_null(strstr(tok_advice(&failure), "can't start"));
}

TEST(a_module_that_another_initialised_is_not_finalised)
{
    furnish();
    module->initialized_by_us = false;
    mock->down = true;
    begin(300000);
    assert_false(recover(CKR_DEVICE_ERROR));
    assert_int_equal(mock->calls[MOCK_Finalize], 0);
    SAYS("CKR_DEVICE_ERROR");
    SAYS("initialised by another part of this process");
    SAYS("must be restarted");
}

TEST(nor_one_whose_setting_forbids_it)
{
    furnish();
    attempts.never_reinit = true;
    mock->down = true;
    attempts.deadline_us = clock_us() + 300000;
    assert_false(recover(CKR_DEVICE_ERROR));
    assert_int_equal(mock->calls[MOCK_Finalize], 0);
    SAYS("reinit = never");
}

TEST(a_module_that_loses_each_new_session_is_asked_for_its_slots)
{
    unsigned before;

    furnish();
    before = mock->calls[MOCK_GetSlotList];
    assert_true(recover(CKR_SESSION_HANDLE_INVALID));
    assert_int_equal(mock->calls[MOCK_GetSlotList], before);
    assert_true(recover(CKR_SESSION_HANDLE_INVALID));
    assert_int_equal(mock->calls[MOCK_GetSlotList], before + 1);
}

TEST(a_device_error_that_stays_has_the_module_initialised_again)
{
    furnish();
    assert_true(recover(CKR_DEVICE_ERROR));
    assert_int_equal(mock->calls[MOCK_Finalize], 0);
    module->again_us = 0;
    assert_true(recover(CKR_DEVICE_ERROR));
    assert_int_equal(mock->calls[MOCK_Finalize], 1);
    assert_false(recover(CKR_DEVICE_ERROR));
}

TEST(and_whom_the_token_served_before_the_first_try_does_not_hinder_that)
{
    furnish();
    OK(tok_attempts_enter(&attempts, token));
    atomic_fetch_add(&token->pool.served, 1);
    assert_true(recover(CKR_DEVICE_ERROR));
    module->again_us = 0;
    assert_true(recover(CKR_DEVICE_ERROR));
    assert_int_equal(mock->calls[MOCK_Finalize], 1);
}

static bool shuts_out(unsigned others_served)
{
    struct tok_result late = tok_fail(TOK_CODE_DEADLINE, "x");

    furnish();
    begin(0);
    OK(tok_attempts_enter(&attempts, token));
    atomic_fetch_add(&token->pool.served, others_served);
    tok_attempts_end(&attempts, token, &late);
    return tok_health_is_away(&token->health);
}

TEST(who_is_late_shuts_a_token_out_unless_it_served_others_meanwhile)
{
    assert_true(shuts_out(0));
    assert_false(shuts_out(1));
}

TEST(so_does_a_token_that_is_said_to_be_removed_though_it_is_listed)
{
    furnish();
    assert_true(recover(CKR_DEVICE_REMOVED));
    assert_int_equal(mock->calls[MOCK_Finalize], 0);
    module->again_us = 0;
    assert_true(recover(CKR_DEVICE_REMOVED));
    assert_int_equal(mock->calls[MOCK_Finalize], 1);
    assert_false(recover(CKR_DEVICE_REMOVED));
}

TEST(but_one_that_is_not_listed_is_waited_for)
{
    furnish();
    assert_true(recover(CKR_DEVICE_REMOVED));
    mock->tokens[0].present = false;
    attempts.deadline_us = clock_us() + 300000;
    module->again_us = 0;
    assert_false(recover(CKR_DEVICE_REMOVED));
    assert_int_equal(mock->calls[MOCK_Finalize], 0);
    SAYS("the token is not there any more");
}

TEST(so_does_a_general_error_of_a_module_that_never_connects_again)
{
    furnish();
    strcpy(mock->manufacturer, "tpm2-software.github.io");
    assert_true(recover(CKR_GENERAL_ERROR));
    assert_int_equal(mock->calls[MOCK_Finalize], 0);
    module->again_us = 0;
    assert_true(recover(CKR_GENERAL_ERROR));
    assert_int_equal(mock->calls[MOCK_Finalize], 1);
    assert_false(recover(CKR_GENERAL_ERROR));
}

TEST(and_of_no_other)
{
    furnish();
    assert_true(recover(CKR_GENERAL_ERROR));
    module->again_us = 0;
    assert_false(recover(CKR_GENERAL_ERROR));
    assert_int_equal(mock->calls[MOCK_Finalize], 0);
}

TEST(but_not_while_others_are_served)
{
    furnish();
    OK(tok_attempts_enter(&attempts, token));
    assert_true(recover(CKR_DEVICE_ERROR));
    token->pool.served++;
    module->again_us = 0;
    assert_false(recover(CKR_DEVICE_ERROR));
    assert_int_equal(mock->calls[MOCK_Finalize], 0);
}

TEST(a_module_that_was_finalised_is_started_again)
{
    furnish();
    mock->initialized = false;
    assert_true(recover(CKR_CRYPTOKI_NOT_INITIALIZED));
    assert_true(mock->initialized);
    assert_true(token->epoch > 1);
}

TEST(a_failure_spoils_the_session_where_it_says_so)
{
    static const struct {
        CK_RV rv;
        bool spoils;
    } failures[] = {
        { CKR_SESSION_HANDLE_INVALID, true },
        { CKR_OPERATION_ACTIVE, true },
        { CKR_DEVICE_ERROR, true },
        { CKR_GENERAL_ERROR, true },
        { CKR_CRYPTOKI_NOT_INITIALIZED, true },
        { CKR_KEY_HANDLE_INVALID, false },
        { CKR_OPERATION_NOT_INITIALIZED, false },
        { CKR_PIN_INCORRECT, false },
        { CKR_USER_NOT_LOGGED_IN, false },
        { CKR_MECHANISM_INVALID, false },
    };

    for (size_t i = 0; i < COUNT_OF(failures); i++) {
        struct tok_lease lease = { .token = NULL };
        struct tok_result result = tok_fail_ckr("C_Sign", failures[i].rv);

        tok_note_failure(&lease, &result);
        if (lease.spoilt != failures[i].spoils) {
            fail_msg("%s", result.message);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_final_is_not_tried_again),
        cmocka_unit_test(each_kind_is_tried_once_and_kinds_do_not_hinder_each_other),
        cmocka_unit_test(a_module_that_another_thread_has_initialised_again_is_tried_as_it_is),
        cmocka_unit_test(a_loss_after_another_is_recovered_from_if_the_token_confirms_it),
        cmocka_unit_test(a_loss_that_others_have_mended_since_is_believed_a_few_times),
        cmocka_unit_test(nothing_is_tried_beyond_the_deadline),
        cmocka_unit_test(waiting_is_repeated_with_growing_pauses_until_the_deadline),
        cmocka_unit_test(a_lost_session_keeps_the_login_and_makes_handles_stale),
        cmocka_unit_test(idle_sessions_may_turn_out_to_be_lost_one_after_another),
        cmocka_unit_test(what_is_not_found_after_a_loss_may_be_behind_a_login),
        cmocka_unit_test(no_memory_means_no_login_where_there_was_one),
        cmocka_unit_test(what_passes_or_never_does_is_waited_for_a_few_times),
        cmocka_unit_test(a_lost_login_is_forgotten),
        cmocka_unit_test(a_stale_handle_makes_all_handles_stale_and_nothing_else),
        cmocka_unit_test(a_token_that_is_gone_is_looked_for),
        cmocka_unit_test(a_token_that_is_away_is_waited_for),
        cmocka_unit_test(but_no_longer_than_the_deadline),
        cmocka_unit_test(a_look_that_fails_is_repeated),
        cmocka_unit_test(a_module_whose_daemon_went_is_initialised_again_until_it_is_back),
        cmocka_unit_test(but_not_while_it_serves_others_and_only_fails_to_tell_its_slots),
        cmocka_unit_test(and_so_is_one_that_can_not_even_be_initialised_meanwhile),
        cmocka_unit_test(one_that_can_not_be_initialised_at_all_is_the_reason_that_people_are_told),
        cmocka_unit_test(a_module_that_another_initialised_is_not_finalised),
        cmocka_unit_test(nor_one_whose_setting_forbids_it),
        cmocka_unit_test(a_module_that_loses_each_new_session_is_asked_for_its_slots),
        cmocka_unit_test(a_device_error_that_stays_has_the_module_initialised_again),
        cmocka_unit_test(and_whom_the_token_served_before_the_first_try_does_not_hinder_that),
        cmocka_unit_test(who_is_late_shuts_a_token_out_unless_it_served_others_meanwhile),
        cmocka_unit_test(so_does_a_token_that_is_said_to_be_removed_though_it_is_listed),
        cmocka_unit_test(but_one_that_is_not_listed_is_waited_for),
        cmocka_unit_test(so_does_a_general_error_of_a_module_that_never_connects_again),
        cmocka_unit_test(and_of_no_other),
        cmocka_unit_test(but_not_while_others_are_served),
        cmocka_unit_test(a_module_that_was_finalised_is_started_again),
        cmocka_unit_test(a_failure_spoils_the_session_where_it_says_so),
    };

    return RUN(tests);
}
