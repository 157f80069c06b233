/* What a key recovers from: sessions, logins, handles, slots and modules that get lost. */
#include "key-use.h"

#include <stdatomic.h>

#include "pkcs11/token/again.h"

#include "../token/ckr.h"
#include "base/shared.h"
#include "pkcs11/result/ckr.h"
#include "child.h"

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

/* That a session is not there can't be said of one that is being opened. */
TEST(no_session_is_asked_for_time_and_again)
{
    static const CK_RV troubles[] = { CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED, CKR_OPERATION_ACTIVE };

    for (size_t i = 0; i < COUNT_OF(troubles); i++) {
        furnish();
        OK(sign());
        lose_all();
        mock_fails(mock, MOCK_OpenSession, troubles[i], 0, 1u << 30);
        mock->calls[MOCK_OpenSession] = 0;
        FAILS_CKR(sign(), troubles[i]);
        assert_true(mock->calls[MOCK_OpenSession] <= 16);
    }
}

/* Nor can it be said by who was only asked where the token is. */
TEST(slots_are_not_asked_for_time_and_again)
{
    static const CK_RV troubles[] = { CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED, CKR_USER_NOT_LOGGED_IN };

    for (size_t i = 0; i < COUNT_OF(troubles); i++) {
        furnish();
        OK(sign());
        tok_module_lost(module, module->starts);
        mock->initialized = false;
        mock_fails(mock, MOCK_GetSlotList, troubles[i], 0, 1u << 30);
        mock->calls[MOCK_GetSlotList] = 0;
        FAILS_CKR(sign(), troubles[i]);
        assert_true(mock->calls[MOCK_GetSlotList] <= 16);
    }
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

static const CK_RV all_codes[] = {
#define CODE(name, value) value,
    CRYPTOKI_CKR(CODE)
#undef CODE
        0x80000001,
    0x7777,
};

/* The mock is private to each process: what the child added to the calls. */
static int logins_of_child(void *arg)
{
    unsigned before = mock->calls[MOCK_Login];
    struct tok_result result = sign();

    (void)arg;
    (void)result;
    return (int)(mock->calls[MOCK_Login] - before);
}

/* How often it sends the PIN in two operations; + 40: the first one's error does not tell what the token said. */
static int sent_in_two(void *arg)
{
    CK_RV rv = *(const CK_RV *)arg;
    struct tok_result first = sign();
    struct tok_result second = sign();
    bool tells = !tok_ok(&first) && strstr(first.message, tok_ckr(rv)->name) != NULL;

    return (int)mock->calls[MOCK_Login] + (tells && !tok_ok(&second) ? 0 : 40);
}

/* By one child in two operations, and by its sibling: the parent does not open the module, which would not survive a
 * fork. Each code has a token that nobody has seen. */
TEST(whatever_a_token_answers_to_a_pin_that_was_never_right_it_gets_it_once)
{
    furnish_from_file(point);
    settings.deadline_us = SECOND / 5;
    for (size_t i = 0; i < COUNT_OF(all_codes); i++) {
        CK_RV rv = all_codes[i];
        bool twice = rv == CKR_SESSION_CLOSED || rv == CKR_DEVICE_REMOVED;
        char model[16];
        int sent;

        if (rv == CKR_OK || tok_ckr(rv)->pin == TOK_PIN_UNSEEN) {
            continue;
        }
        snprintf(model, sizeof(model), "R%zu", i);
        mock_pad(mock->tokens[0].info.model, sizeof(mock->tokens[0].info.model), model);
        mock_fails(mock, MOCK_Login, rv, 0, 1000);
        sent = child_does(sent_in_two, &rv);
        if (sent != (twice ? 2 : 1)) { /* once it is believed that nobody looked */
            fail_msg("%s: %d", tok_ckr(rv)->name, sent);
        }
        assert_int_equal(child_does(logins_of_child, NULL), 0);
    }
}

TEST(a_child_s_only_try_is_the_family_s)
{
    static const CK_RV answers[] = { CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED, CKR_DEVICE_ERROR,  CKR_ARGUMENTS_BAD,
                                     CKR_DEVICE_MEMORY, CKR_PIN_LOCKED,      CKR_VENDOR_DEFINED };

    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        furnish_from_file(point);
        settings.deadline_us = SECOND / 5;
        mock_fails(mock, MOCK_Login, answers[i], 0, 1000);
        assert_int_equal(child_does(logins_of_child, NULL), 1);
        assert_int_equal(child_does(logins_of_child, NULL), 0);
        failure = sign();
        assert_false(tok_ok(&failure));
        assert_int_equal(mock->calls[MOCK_Login], 0);
    }
}

/* It may have been changed on the token, which says so in its own words: but for an unclear answer or two nobody gives
 * a key up, and none of these is for ever. */
TEST(a_pin_that_was_right_is_sent_a_few_times_in_one_operation_and_serves_when_the_trouble_is_over)
{
    for (size_t i = 0; i < COUNT_OF(all_codes); i++) {
        CK_RV rv = all_codes[i];

        if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN || tok_ckr(rv)->pin == TOK_PIN_WRONG) {
            continue;
        }
        furnish();
        OK(sign());
        settings.deadline_us = SECOND / 5;
        log_out();
        mock_fails(mock, MOCK_Login, rv, 0, 1000);
        mock->calls[MOCK_Login] = 0;
        failure = sign();
        assert_false(tok_ok(&failure));
        if (mock->calls[MOCK_Login] < 1 || mock->calls[MOCK_Login] > 5) {
            fail_msg("%s: %u times in one operation", tok_ckr(rv)->name, mock->calls[MOCK_Login]);
        }
        mock->failures[MOCK_Login].times = 0;
        settings.deadline_us = 5 * SECOND;
        for (int n = 0; n < 100 && (failure = sign(), failure.code == TOK_CODE_UNAVAILABLE); n++) {
            clock_sleep_us(50000);
        }
        if (!tok_ok(&failure)) {
            fail_msg("%s: %s", tok_ckr(rv)->name, failure.message);
        }
    }
}

TEST(the_login_of_an_operation_is_not_repeated_for_ever)
{
    static const CK_RV answers[] = { CKR_GENERAL_ERROR, CKR_DEVICE_ERROR, CKR_DEVICE_MEMORY, CKR_SESSION_COUNT };
    static const CK_BBOOL yes = CK_TRUE;
    struct mock_object *object;

    for (size_t i = 0; i < COUNT_OF(answers); i++) {
        furnish_from_file(point);
        object = mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, point);
        object->always_authenticate = true;
        mock_attr(object, CKA_ALWAYS_AUTHENTICATE, &yes, 1);
        OK(sign());
        settings.deadline_us = SECOND / 2;
        mock->calls[MOCK_Login] = 0;
        mock_fails(mock, MOCK_Login, answers[i], 0, 1000);
        failure = sign();
        assert_false(tok_ok(&failure));
        assert_true(mock->calls[MOCK_Login] >= 1 && mock->calls[MOCK_Login] <= 4);
    }
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_a_token_answers_to_a_pin_that_was_never_right_it_gets_it_once),
        cmocka_unit_test(a_child_s_only_try_is_the_family_s),
        cmocka_unit_test(one_failure_of_any_kind_from_either_call_is_survived),
        cmocka_unit_test(a_failed_call_that_leaves_its_operation_open_spoils_no_later_one),
        cmocka_unit_test(a_session_that_the_module_complained_of_is_not_kept),
        cmocka_unit_test(no_session_is_asked_for_time_and_again),
        cmocka_unit_test(slots_are_not_asked_for_time_and_again),
        cmocka_unit_test(all_sessions_lost_are_survived),
        cmocka_unit_test(whatever_gets_lost_again_and_again_in_one_operation_is_survived),
        cmocka_unit_test(a_token_that_goes_again_and_again_in_one_operation_is_waited_for),
        cmocka_unit_test(a_pin_that_is_refused_amid_losses_ends_them),
        cmocka_unit_test(a_pin_that_was_right_is_sent_a_few_times_in_one_operation_and_serves_when_the_trouble_is_over),
        cmocka_unit_test(the_login_of_an_operation_is_not_repeated_for_ever),
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
    };

    shared_begin();
    return RUN(tests);
}
