/* Tokens that do not answer: what is waited for, for how long, and what those are told who came after. */
#include "key-use.h"

static uint64_t sign_took_us; /* of the quickest of a few: the machine may be busy */

/* sign() five times, which is to fail each time with `code`. */
static void refused(enum tok_code code)
{
    sign_took_us = UINT64_MAX;
    for (int i = 0; i < 5; i++) {
        uint64_t began = clock_us();

        FAILS(sign(), code);
        sign_took_us = clock_us() - began < sign_took_us ? clock_us() - began : sign_took_us;
    }
}

TEST(a_token_that_is_away_is_waited_for_once_and_then_refused_at_once_until_it_is_back)
{
    uint64_t began;

    furnish();
    OK(sign());
    settings.deadline_us = 300000;
    mock->tokens[0].present = false;
    mock_fails(mock, MOCK_SignInit, CKR_DEVICE_REMOVED, 0, 1);
    began = clock_us();
    FAILS_CKR(sign(), CKR_DEVICE_REMOVED);
    assert_true(clock_us() - began > 100000);
    refused(TOK_CODE_UNAVAILABLE);
    SAYS("'www'");
    SAYS("no answer for ");
    SAYS("it is asked again in ");
    assert_true(sign_took_us < 50000);
    mock->tokens[0].present = true;
    FAILS(sign(), TOK_CODE_UNAVAILABLE);
    module->tokens->health.trial_us = 0; /* a second later */
    OK(sign());
    assert_false(tok_health_is_away(&module->tokens->health));
    OK(sign());
}

TEST(a_probe_that_finds_nothing_does_not_wait)
{
    uint64_t began;

    furnish();
    OK(sign());
    settings.deadline_us = 300000;
    mock->tokens[0].present = false;
    mock_fails(mock, MOCK_SignInit, CKR_DEVICE_REMOVED, 0, 1);
    FAILS_CKR(sign(), CKR_DEVICE_REMOVED);
    settings.deadline_us = 30 * SECOND;
    module->tokens->health.trial_us = 0;
    began = clock_us();
    FAILS_CKR(sign(), CKR_TOKEN_NOT_PRESENT);
    assert_true(clock_us() - began < 10 * SECOND);
    refused(TOK_CODE_UNAVAILABLE); /* and the next one comes later */
}

static void *signs_once(void *arg)
{
    struct tok_result *result = arg;
    uint8_t out[64];
    size_t len = sizeof(out);
    uint64_t mark;

    *result = tok_key_sign(key, &mechanism, (const uint8_t *)"d", 1, out, &len, &mark);
    return NULL;
}

/* What of the module's functions was called by eight threads that sign at one moment. */
static unsigned calls_of_eight(struct tok_result results[8])
{
    unsigned before = mock_all_calls(mock);
    pthread_t threads[8];

    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, signs_once, &results[i]), 0);
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    return mock_all_calls(mock) - before;
}

static unsigned num_refused(const struct tok_result results[8])
{
    unsigned count = 0;

    for (size_t i = 0; i < 8; i++) {
        count += results[i].code == TOK_CODE_UNAVAILABLE;
    }
    return count;
}

TEST(of_many_at_one_moment_one_probes_and_the_others_make_no_call)
{
    struct tok_result results[8];

    furnish();
    OK(sign());
    settings.deadline_us = 200000;
    mock_fails(mock, MOCK_SignInit, CKR_DEVICE_MEMORY, 0, 100000);
    FAILS_CKR(sign(), CKR_DEVICE_MEMORY);
    mock->delay_us[MOCK_SignInit] = 50000; /* while the probe is inside */
    assert_int_equal(calls_of_eight(results), 0);
    assert_int_equal(num_refused(results), 8);
    module->tokens->health.trial_us = 0;
    assert_int_equal(calls_of_eight(results), 1);
    assert_int_equal(num_refused(results), 7);
    assert_int_equal(calls_of_eight(results), 0); /* not at once again */
}

TEST(a_daemon_that_is_away_is_looked_for_by_the_probe_alone)
{
    struct tok_result results[8];
    unsigned finalized;

    furnish();
    OK(sign());
    settings.deadline_us = 300000;
    module->again_us = 1; /* it was not started just now */
    mock->down = true;
    FAILS_CKR(sign(), CKR_DEVICE_ERROR);
    assert_true(mock->calls[MOCK_Finalize] > 0);
    assert_int_equal(calls_of_eight(results), 0);
    assert_int_equal(num_refused(results), 8);
    module->tokens->health.trial_us = 0;
    assert_true(calls_of_eight(results) > 0);
    assert_int_equal(num_refused(results), 7);
    mock->down = false;
    module->tokens->health.trial_us = 0;
    module->again_us = 1; /* a second later */
    OK(sign());
    finalized = mock->calls[MOCK_Finalize];
    assert_true(calls_of_eight(results) >= 16); /* and for sessions */
    for (size_t i = 0; i < COUNT_OF(results); i++) {
        OK(results[i]);
    }
    assert_int_equal(mock->calls[MOCK_Finalize], finalized);
}

TEST(a_token_that_refuses_has_answered)
{
    furnish();
    OK(sign());
    settings.deadline_us = 200000;
    mock_fails(mock, MOCK_SignInit, CKR_DEVICE_MEMORY, 0, 100000);
    FAILS_CKR(sign(), CKR_DEVICE_MEMORY);
    refused(TOK_CODE_UNAVAILABLE);
    mock_fails(mock, MOCK_SignInit, CKR_KEY_FUNCTION_NOT_PERMITTED, 0, 1);
    module->tokens->health.trial_us = 0;
    FAILS_CKR(sign(), CKR_KEY_FUNCTION_NOT_PERMITTED);
    OK(sign());
}

/* A thread that signs and hangs in this function. */
static void hang_in(pthread_t *thread, struct tok_result *result, enum mock_function which)
{
    unsigned before = mock->hung;

    mock->hang |= 1u << which;
    assert_int_equal(pthread_create(thread, NULL, signs_once, result), 0);
    while (mock->hung == before) {
        clock_sleep_us(1000);
    }
}

TEST(a_signature_that_hangs_keeps_its_own_thread_one_probe_and_nobody_else)
{
    struct tok_result results[2];
    pthread_t threads[2];

    furnish();
    OK(sign());
    settings.deadline_us = 200000;
    hang_in(&threads[0], &results[0], MOCK_Sign);
    clock_sleep_us(800000);                       /* the deadline, half a second of grace, and a little */
    hang_in(&threads[1], &results[1], MOCK_Sign); /* whoever comes next asks the token */
    refused(TOK_CODE_UNAVAILABLE);
    SAYS("an operation in C_Sign has not ended");
    SAYS("it is being asked again since ");
    assert_true(sign_took_us < 50000);
    mock->hang = 0;
    assert_true(pthread_join(threads[0], NULL) == 0 && pthread_join(threads[1], NULL) == 0);
    assert_true(tok_ok(&results[0]) && tok_ok(&results[1]));
    OK(sign());
}

TEST(a_login_that_hangs_is_named_to_those_who_wait_and_later_ones_are_refused_at_once)
{
    struct tok_result result;
    pthread_t thread;
    uint64_t began;

    furnish_from_file(point);
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, point);
    OK(sign());
    mock->tokens[0].logged_in = false;
    settings.deadline_us = 300000;
    hang_in(&thread, &result, MOCK_Login);
    began = clock_us();
    FAILS(sign(), TOK_CODE_DEADLINE);
    SAYS("C_Login");
    SAYS(" s ago");
    assert_true(clock_us() - began < 3 * SECOND);
    refused(TOK_CODE_UNAVAILABLE);
    assert_true(sign_took_us < 50000);
    mock->hang = 0;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(tok_ok(&result));
    OK(sign());
}

TEST(an_initialisation_that_hangs_is_named_and_waited_for_by_one)
{
    struct tok_result result;
    pthread_t thread;

    furnish_from_file(point);
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, point);
    settings.deadline_us = 300000;
    hang_in(&thread, &result, MOCK_Initialize);
    FAILS(sign(), TOK_CODE_DEADLINE);
    SAYS("C_Initialize, called by another thread ");
    refused(TOK_CODE_DEADLINE);
    assert_true(sign_took_us < 50000);
    mock->hang = 0;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(tok_ok(&result));
    OK(sign());
}

TEST(a_look_at_the_slots_that_hangs_is_waited_for_until_the_deadline)
{
    struct tok_result result;
    pthread_t thread;

    furnish();
    OK(sign());
    settings.deadline_us = 300000;
    mock_fails(mock, MOCK_SignInit, CKR_DEVICE_REMOVED, 0, 2);
    hang_in(&thread, &result, MOCK_GetSlotList);
    FAILS(sign(), TOK_CODE_DEADLINE);
    SAYS("C_GetSlotList, called by another thread ");
    mock->hang = 0;
    assert_int_equal(pthread_join(thread, NULL), 0);
    module->tokens->health.trial_us = 0;
    OK(sign());
}

TEST(a_daemon_that_was_down_at_the_start_is_tried_again_by_the_next_operation)
{
    for (int fails_init = 0; fails_init < 2; fails_init++) {
        furnish_from_file(point);
        mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, point);
        mock->down = true;
        mock->down_fails_init = fails_init != 0;
        failure = sign();
        assert_false(tok_ok(&failure));
        assert_int_equal(failure.code, fails_init ? TOK_CODE_CKR : TOK_CODE_NO_TOKEN);
        mock->down = false;
        clock_sleep_us(250000); /* a module without slots is not initialised again at each operation */
        OK(sign());
    }
}

TEST(a_daemon_that_comes_back_within_the_deadline_fails_nothing)
{
    struct tok_result result;
    pthread_t thread;

    furnish();
    OK(sign());
    mock->down = true;
    mock->tokens[0].logged_in = false;
    assert_int_equal(pthread_create(&thread, NULL, signs_once, &result), 0);
    clock_sleep_us(400000);
    mock->down = false;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(tok_ok(&result));
    OK(sign());
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_that_is_away_is_waited_for_once_and_then_refused_at_once_until_it_is_back),
        cmocka_unit_test(a_probe_that_finds_nothing_does_not_wait),
        cmocka_unit_test(of_many_at_one_moment_one_probes_and_the_others_make_no_call),
        cmocka_unit_test(a_daemon_that_is_away_is_looked_for_by_the_probe_alone),
        cmocka_unit_test(a_token_that_refuses_has_answered),
        cmocka_unit_test(a_signature_that_hangs_keeps_its_own_thread_one_probe_and_nobody_else),
        cmocka_unit_test(a_login_that_hangs_is_named_to_those_who_wait_and_later_ones_are_refused_at_once),
        cmocka_unit_test(an_initialisation_that_hangs_is_named_and_waited_for_by_one),
        cmocka_unit_test(a_look_at_the_slots_that_hangs_is_waited_for_until_the_deadline),
        cmocka_unit_test(a_daemon_that_was_down_at_the_start_is_tried_again_by_the_next_operation),
        cmocka_unit_test(a_daemon_that_comes_back_within_the_deadline_fails_nothing),
        cmocka_unit_test(a_busy_token_is_waited_for_until_the_deadline_and_no_longer),
        cmocka_unit_test(a_wrong_pin_after_a_reconnect_is_not_repeated),
    };

    return RUN(tests);
}
