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

static void find_key(void)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    OK(tok_uri_parse(&uri, "pkcs11:token=test;object=www;type=private", TOK_URI_FROM_APPLICATION));
    OK(tok_find(&items, &settings, uri, TOK_WANT_PRIVATE, NULL));
    key = tok_key_ref(items.items[0].key);
}

/* The key "www" on the token "test", found by its URI, signing already. */
static void furnish(void)
{
    furnish_settings();
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, point);
    find_key();
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
    mock_fails(mock, MOCK_SignInit, CKR_SESSION_HANDLE_INVALID, 0, 9);
    FAILS_CKR(sign(), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(module->tokens->pool.num_idle, 0);
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

static void log_out(void)
{
    mock->tokens[0].logged_in = false;
}

static void lose_all(void)
{
    lose_sessions();
    log_out();
}

/* What gets lost, so many times, each time before such a call. */
static struct {
    void (*lose)(void);
    enum mock_function before;
    unsigned times;
} loss;

static void lose_now(enum mock_function which)
{
    if (which == loss.before && loss.times > 0) {
        loss.times--;
        loss.lose();
    }
}

static void begin_losing(void (*lose)(void), enum mock_function before, unsigned times)
{
    loss.lose = lose;
    loss.before = before;
    loss.times = times;
    mock->on_call = lose_now;
}

TEST(all_sessions_lost_are_survived)
{
    furnish();
    OK(sign());
    lose_all();
    OK(sign());
}

static const enum mock_function of_a_recovery[] = { MOCK_Login, MOCK_FindObjectsInit,  MOCK_FindObjects, MOCK_SignInit,
                                                    MOCK_Sign,  MOCK_GetAttributeValue };

TEST(whatever_gets_lost_again_and_again_in_one_operation_is_survived)
{
    static void (*const losses[])(void) = { lose_sessions, log_out, lose_all };

    for (size_t i = 0; i < COUNT_OF(losses); i++) {
        for (size_t j = 0; j < COUNT_OF(of_a_recovery); j++) {
            furnish();
            OK(sign());
            lose_all();
            begin_losing(losses[i], of_a_recovery[j], 6);
            OK(sign());
            assert_true(loss.times == 0 || (losses[i] == log_out && loss.times == 5)); /* no login is needed there */
            assert_int_equal(mock->tokens[0].wrong_pins, 0);
        }
    }
}

/* It is away for some looks at it, and what was open is lost. */
static _Atomic unsigned looks_until_back;

static void go_away(enum mock_function which)
{
    if (which == MOCK_GetSlotList && looks_until_back > 0 && --looks_until_back == 0) {
        mock->tokens[0].present = true;
    }
    if (which == loss.before && loss.times > 0) {
        loss.times--;
        lose_all();
        mock->tokens[0].present = false;
        looks_until_back = 3;
    }
}

TEST(a_token_that_goes_again_and_again_in_one_operation_is_waited_for)
{
    static const enum mock_function before[] = { MOCK_OpenSession, MOCK_Login, MOCK_FindObjects, MOCK_Sign };

    for (size_t i = 0; i < COUNT_OF(before); i++) {
        furnish();
        OK(sign());
        lose_all();
        begin_losing(NULL, before[i], 4);
        mock->on_call = go_away;
        OK(sign());
        assert_int_equal(loss.times, 0);
    }
}

TEST(a_pin_that_is_refused_amid_losses_ends_them)
{
    furnish();
    OK(sign());
    lose_all();
    begin_losing(lose_all, MOCK_SignInit, 1000);
    mock_fails(mock, MOCK_Login, CKR_PIN_INCORRECT, 2, 1);
    mock->calls[MOCK_Login] = 0;
    FAILS_CKR(sign(), CKR_PIN_INCORRECT);
    assert_int_equal(mock->calls[MOCK_Login], 3);
}

TEST(losses_without_end_are_told_at_the_deadline)
{
    uint64_t began;

    furnish();
    OK(sign());
    settings.deadline_us = SECOND / 2;
    begin_losing(lose_all, MOCK_SignInit, 100000);
    mock->calls[MOCK_Login] = 0;
    began = clock_us();
    FAILS_CKR(sign(), CKR_SESSION_HANDLE_INVALID);
    assert_true(clock_us() - began < 20 * SECOND);
    assert_true(mock->calls[MOCK_Login] <= 12); /* with growing pauses */
    loss.times = 0;
    OK(sign()); /* and at once: the token has answered */
}

TEST(what_the_token_says_is_lost_and_is_not_lost_is_given_up)
{
    static const CK_RV lies[] = { CKR_SESSION_HANDLE_INVALID, CKR_USER_NOT_LOGGED_IN, CKR_KEY_HANDLE_INVALID };

    for (size_t i = 0; i < COUNT_OF(lies); i++) {
        furnish();
        OK(sign());
        mock_fails(mock, MOCK_Sign, lies[i], 0, 1000);
        mock->calls[MOCK_Login] = mock->calls[MOCK_SignInit] = 0;
        FAILS_CKR(sign(), lies[i]);
        assert_true(mock->calls[MOCK_SignInit] <= 5);
        assert_true(mock->calls[MOCK_Login] <= 4);
    }
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
    settings.never_reinit = true;
    mock_fails(mock, MOCK_SignInit, CKR_DEVICE_ERROR, 0, 1000);
    mock->calls[MOCK_SignInit] = 0;
    FAILS_CKR(sign(), CKR_DEVICE_ERROR);
    SAYS("reinit = never");
    assert_int_equal(mock->calls[MOCK_SignInit], 2);
    assert_int_equal(mock->calls[MOCK_Finalize], 0);
}

TEST(a_device_error_that_goes_with_a_new_initialisation_is_survived)
{
    furnish();
    OK(sign());
    module->again_us = 1; /* it was not started just now */
    mock_fails(mock, MOCK_SignInit, CKR_DEVICE_ERROR, 0, 2);
    OK(sign());
    assert_int_equal(mock->calls[MOCK_Finalize], 1);
    assert_int_equal(mock->calls[MOCK_Initialize], 2);
    mock_fails(mock, MOCK_SignInit, CKR_DEVICE_ERROR, 0, 1000);
    FAILS_CKR(sign(), CKR_DEVICE_ERROR);
    assert_int_equal(mock->calls[MOCK_Finalize], 1); /* not again so soon */
    mock->failures[MOCK_SignInit].times = 0;
    OK(sign());
}

TEST(failures_that_stay_leave_no_sessions_behind)
{
    furnish();
    OK(sign());
    settings.never_reinit = true;
    mock_fails(mock, MOCK_Sign, CKR_GENERAL_ERROR, 0, 100000);
    for (int i = 0; i < 50; i++) {
        FAILS_CKR(sign(), CKR_GENERAL_ERROR);
    }
    assert_true(mock->open_sessions <= 2);
    mock->failures[MOCK_Sign].times = 0;
    OK(sign());
}

TEST(all_sessions_lost_at_once_cost_each_operation_one_failed_call_and_nobody_a_session)
{
    struct tok_lease leases[6] = { { .token = NULL } };

    furnish();
    mock->reuses_handles = true;
    OK(sign());
    for (size_t i = 0; i < COUNT_OF(leases); i++) {
        OK(tok_lease_begin(&leases[i], module->tokens, 0, clock_us() + SECOND));
    }
    for (size_t i = 0; i < COUNT_OF(leases); i++) {
        tok_lease_end(&leases[i]);
    }
    memset(mock->sessions, 0, sizeof(mock->sessions));
    mock->open_sessions = 0;
    mock->tokens[0].logged_in = false;
    mock->calls[MOCK_SignInit] = 0;
    OK(sign());
    assert_true(mock->calls[MOCK_SignInit] <= 3); /* the session, and the login */
    assert_int_equal(mock->calls[MOCK_CloseSession], 0);
    assert_int_equal(mock->open_sessions, 1);
}

TEST(a_token_that_forgot_the_login_and_says_only_that_the_key_is_gone_is_logged_in_to)
{
    furnish();
    OK(sign());
    mock->tokens[0].logged_in = false;
    mock_fails(mock, MOCK_SignInit, CKR_KEY_HANDLE_INVALID, 0, 1);
    OK(sign());
    assert_int_equal(mock->calls[MOCK_Login], 2);
}

TEST(a_lost_login_is_noticed_by_a_key_whose_handle_others_made_stale)
{
    struct tok_key *first;

    furnish();
    OK(sign());
    first = key;
    key = NULL;
    find_key();
    OK(sign());
    mock_fails(mock, MOCK_SignInit, CKR_SESSION_HANDLE_INVALID, 0, 1);
    OK(sign()); /* with new handles; those of the first key are stale */
    mock->tokens[0].logged_in = false;
    tok_key_unref(key);
    key = first;
    OK(sign());
    assert_int_equal(mock->calls[MOCK_Login], 3);
}

TEST(a_key_that_was_deleted_has_the_login_doubted_once_and_not_each_time)
{
    furnish();
    OK(sign());
    mock->num_objects = 0;
    mock->first_handle = 50;
    for (int i = 0; i < 3; i++) {
        FAILS(sign(), TOK_CODE_NO_OBJECT);
        assert_int_equal(mock->calls[MOCK_Login], 2);
    }
}

TEST(one_session_is_enough_for_the_login_and_all_signatures)
{
    furnish();
    mock->max_sessions = 1;
    OK(sign());
    OK(sign());
    mock->tokens[0].logged_in = false;
    OK(sign());
    assert_int_equal(mock->calls[MOCK_OpenSession], 1);
    assert_int_equal(mock->calls[MOCK_Login], 2);
    assert_int_equal(mock->most_sessions, 1);
}

/* --- what does not answer ---------------------------------------------------------------------------------------- */

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
    module->tokens->breaker.probe_us = 0; /* a second later */
    OK(sign());
    assert_false(tok_breaker_is_open(&module->tokens->breaker));
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
    module->tokens->breaker.probe_us = 0;
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
    module->tokens->breaker.probe_us = 0;
    assert_int_equal(calls_of_eight(results), 1);
    assert_int_equal(num_refused(results), 7);
    assert_int_equal(calls_of_eight(results), 0); /* not at once again */
}

TEST(a_daemon_that_is_away_is_looked_for_by_the_probe_alone)
{
    struct tok_result results[8];

    furnish();
    OK(sign());
    settings.deadline_us = 300000;
    module->again_us = 1; /* it was not started just now */
    mock->down = true;
    FAILS_CKR(sign(), CKR_DEVICE_ERROR);
    assert_true(mock->calls[MOCK_Finalize] > 0);
    assert_int_equal(calls_of_eight(results), 0);
    assert_int_equal(num_refused(results), 8);
    module->tokens->breaker.probe_us = 0;
    assert_true(calls_of_eight(results) > 0);
    assert_int_equal(num_refused(results), 7);
    mock->down = false;
    module->tokens->breaker.probe_us = 0;
    module->again_us = 1; /* a second later */
    OK(sign());
    assert_int_equal(calls_of_eight(results) % 2, 0);
    assert_int_equal(num_refused(results), 0);
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
    module->tokens->breaker.probe_us = 0;
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
    module->tokens->breaker.probe_us = 0;
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
    FAILS(sign(), TOK_CODE_PIN_NEEDED);
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

static _Atomic unsigned failed_signatures;
static _Atomic unsigned signatures[NUM_THREADS];

static _Atomic bool enough;

static void *sign_often(void *arg)
{
    _Atomic unsigned *made = arg;

    while (!atomic_load(&enough)) {
        uint8_t out[64];
        size_t len = sizeof(out);
        uint64_t mark;
        struct tok_result result = tok_key_sign(key, &mechanism, (const uint8_t *)"d", 1, out, &len, &mark);

        if (!tok_ok(&result) || len != 3) {
            printf("# %s\n", tok_ok(&result) ? "not three bytes" : result.message);
            atomic_fetch_add(&failed_signatures, 1);
        }
        atomic_fetch_add(made, 1);
    }
    return NULL;
}

/* Waits until whatever was under way is over. */
static void wait_for_all(void)
{
    for (size_t i = 0; i < NUM_THREADS; i++) {
        unsigned before = atomic_load(&signatures[i]);

        while (atomic_load(&signatures[i]) < before + 2) {
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
    atomic_store(&enough, false);
    for (size_t i = 0; i < NUM_THREADS; i++) {
        atomic_store(&signatures[i], 0);
        assert_int_equal(pthread_create(&threads[i], NULL, sign_often, &signatures[i]), 0);
    }
    for (unsigned i = 0; i < 10; i++) {
        wait_for_all();
        lose_sessions();
    }
    wait_for_all();
    atomic_store(&enough, true);
    for (size_t i = 0; i < NUM_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&failed_signatures), 0);
    assert_true(mock->calls[MOCK_OpenSession] > 10); /* each loss was noticed */
    assert_true(mock->most_sessions <= 1);
}

/* Numbers are used again at once, so that closing or lending a stale one would hit another thread. */
TEST(eight_threads_sign_while_all_sessions_get_lost_and_their_numbers_are_given_out_again)
{
    pthread_t threads[NUM_THREADS];

    furnish();
    settings.deadline_us = 30 * SECOND;
    mock->reuses_handles = true;
    mock->delay_us[MOCK_Sign] = 500;
    atomic_store(&failed_signatures, 0);
    atomic_store(&enough, false);
    for (size_t i = 0; i < NUM_THREADS; i++) {
        atomic_store(&signatures[i], 0);
        assert_int_equal(pthread_create(&threads[i], NULL, sign_often, &signatures[i]), 0);
    }
    for (int i = 0; i < 10; i++) {
        wait_for_all();
        lose_sessions();
    }
    wait_for_all();
    atomic_store(&enough, true);
    for (size_t i = 0; i < NUM_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&failed_signatures), 0);
}

TEST(eight_threads_sign_while_sessions_and_login_get_lost_faster_than_they_recover)
{
    pthread_t threads[NUM_THREADS];

    furnish();
    settings.deadline_us = 30 * SECOND;
    mock->delay_us[MOCK_Login] = mock->delay_us[MOCK_SignInit] = mock->delay_us[MOCK_Sign] = 300;
    atomic_store(&failed_signatures, 0);
    atomic_store(&enough, false);
    for (size_t i = 0; i < NUM_THREADS; i++) {
        atomic_store(&signatures[i], 0);
        assert_int_equal(pthread_create(&threads[i], NULL, sign_often, &signatures[i]), 0);
    }
    for (unsigned i = 0; i < 500; i++) {
        clock_sleep_us(i % 10 == 0 ? 10000 : 500);
        lose_all();
    }
    wait_for_all();
    atomic_store(&enough, true);
    for (size_t i = 0; i < NUM_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&failed_signatures), 0);
    assert_int_equal(mock->tokens[0].wrong_pins, 0);
}

TEST(eight_threads_sign_while_the_daemon_goes_and_comes)
{
    pthread_t threads[NUM_THREADS];

    furnish();
    settings.deadline_us = 30 * SECOND;
    mock->delay_us[MOCK_Sign] = 1000;
    atomic_store(&failed_signatures, 0);
    atomic_store(&enough, false);
    for (size_t i = 0; i < NUM_THREADS; i++) {
        atomic_store(&signatures[i], 0);
        assert_int_equal(pthread_create(&threads[i], NULL, sign_often, &signatures[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        clock_sleep_us(30000);
        mock->down = true;
        clock_sleep_us(100000);
        mock->down = false;
        wait_for_all();
    }
    atomic_store(&enough, true);
    for (size_t i = 0; i < NUM_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&failed_signatures), 0);
    assert_true(mock->calls[MOCK_Finalize] >= 1);
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
        cmocka_unit_test(a_signature_is_two_calls),
        cmocka_unit_test(a_failure_leaves_the_outputs_alone),
        cmocka_unit_test(a_failure_names_key_token_function_and_value),
        cmocka_unit_test(a_child_signs_with_the_key_that_its_parent_loaded),
        cmocka_unit_test(a_child_of_a_parent_that_never_used_the_token_signs),
        cmocka_unit_test(a_child_finds_the_token_by_its_identity_and_not_by_its_slot),
        cmocka_unit_test(one_failure_of_any_kind_from_either_call_is_survived),
        cmocka_unit_test(a_failed_call_that_leaves_its_operation_open_spoils_no_later_one),
        cmocka_unit_test(a_session_that_the_module_complained_of_is_not_kept),
        cmocka_unit_test(all_sessions_lost_are_survived),
        cmocka_unit_test(whatever_gets_lost_again_and_again_in_one_operation_is_survived),
        cmocka_unit_test(a_token_that_goes_again_and_again_in_one_operation_is_waited_for),
        cmocka_unit_test(a_pin_that_is_refused_amid_losses_ends_them),
        cmocka_unit_test(losses_without_end_are_told_at_the_deadline),
        cmocka_unit_test(what_the_token_says_is_lost_and_is_not_lost_is_given_up),
        cmocka_unit_test(a_logout_by_somebody_else_is_survived),
        cmocka_unit_test(handles_that_all_changed_are_found_again),
        cmocka_unit_test(a_token_plugged_in_elsewhere_is_found_again),
        cmocka_unit_test(a_module_finalised_by_somebody_else_is_started_again),
        cmocka_unit_test(what_stays_broken_is_given_up_after_one_try_of_each_kind),
        cmocka_unit_test(a_device_error_that_goes_with_a_new_initialisation_is_survived),
        cmocka_unit_test(failures_that_stay_leave_no_sessions_behind),
        cmocka_unit_test(all_sessions_lost_at_once_cost_each_operation_one_failed_call_and_nobody_a_session),
        cmocka_unit_test(a_token_that_forgot_the_login_and_says_only_that_the_key_is_gone_is_logged_in_to),
        cmocka_unit_test(a_lost_login_is_noticed_by_a_key_whose_handle_others_made_stale),
        cmocka_unit_test(a_key_that_was_deleted_has_the_login_doubted_once_and_not_each_time),
        cmocka_unit_test(one_session_is_enough_for_the_login_and_all_signatures),
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
        cmocka_unit_test(a_failed_decryption_is_not_tried_again_where_that_would_tell_something),
        cmocka_unit_test(eight_threads_sign_with_one_session_while_it_is_lost_again_and_again),
        cmocka_unit_test(eight_threads_sign_while_all_sessions_get_lost_and_their_numbers_are_given_out_again),
        cmocka_unit_test(eight_threads_sign_while_sessions_and_login_get_lost_faster_than_they_recover),
        cmocka_unit_test(eight_threads_sign_while_the_daemon_goes_and_comes),
        cmocka_unit_test(the_last_reference_frees_the_key),
    };

    return RUN(tests);
}
