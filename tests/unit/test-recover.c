#include "mock-use.h"

#include "pkcs11/ckr.h"
#include "pkcs11/recover.h"

static struct mock *mock;
static struct tok_module *module;
static struct tok_token *token;
static struct tok_attempts attempts;

static void furnish(void)
{
    mock = mock_load(&module);
    mock_token(mock, "test");
    token = mock_looked(module);
    attempts = (struct tok_attempts){ .deadline_us = clock_us() + 10 * SECOND };
}

static bool recover(CK_RV rv)
{
    struct tok_result result = tok_fail_ckr("C_Sign", rv);

    return tok_recover(&attempts, token, token->epoch, &result);
}

TEST(what_is_final_is_not_tried_again)
{
    static const CK_RV final[] = { CKR_PIN_INCORRECT, CKR_KEY_FUNCTION_NOT_PERMITTED, CKR_DATA_LEN_RANGE, 0x80001234 };
    struct tok_result ours = tok_fail(TOK_CODE_NO_OBJECT, "x");
    unsigned before;

    furnish();
    before = mock_all_calls(mock);
    for (size_t i = 0; i < COUNT_OF(final); i++) {
        assert_false(recover(final[i]));
    }
    assert_false(tok_recover(&attempts, token, token->epoch, &ours));
    assert_int_equal(mock_all_calls(mock), before);
    assert_int_equal(token->epoch, 1);
}

TEST(each_kind_is_tried_once_and_kinds_do_not_hinder_each_other)
{
    furnish();
    assert_true(recover(CKR_SESSION_HANDLE_INVALID));
    assert_false(recover(CKR_SESSION_CLOSED)); /* the same kind */
    assert_true(recover(CKR_USER_NOT_LOGGED_IN));
    assert_true(recover(CKR_KEY_HANDLE_INVALID));
    assert_true(recover(CKR_DEVICE_ERROR));
    assert_true(recover(CKR_CRYPTOKI_NOT_INITIALIZED));
    assert_false(recover(CKR_USER_NOT_LOGGED_IN));
    assert_false(recover(CKR_OBJECT_HANDLE_INVALID));
    assert_false(recover(CKR_FUNCTION_FAILED));
    assert_false(recover(CKR_CRYPTOKI_NOT_INITIALIZED));
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
    attempts.deadline_us = began + 400000;
    while (recover(CKR_SESSION_COUNT)) {
        pauses++;
    }
    assert_true(pauses >= 1 && pauses <= 8); /* 10, 20, 40, 80, 160 ms */
    assert_true(clock_us() < began + 3 * SECOND);
}

TEST(a_lost_session_drains_the_idle_ones_and_keeps_the_login)
{
    struct tok_lease a = { .token = NULL };
    struct tok_lease b = { .token = NULL };

    furnish();
    OK(tok_lease_begin(&a, token, 0, attempts.deadline_us));
    OK(tok_lease_begin(&b, token, 0, attempts.deadline_us));
    token->login = TOK_LOGGED_IN;
    tok_lease_end(&b);
    assert_true(recover(CKR_SESSION_HANDLE_INVALID));
    assert_int_equal(token->pool.num_idle, 0);
    assert_int_equal(token->login, TOK_LOGGED_IN);
    tok_lease_end(&a);
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

TEST(a_look_that_fails_ends_the_recovery)
{
    furnish();
    mock_fails(mock, MOCK_GetSlotList, CKR_DEVICE_ERROR, 0, 1);
    assert_false(recover(CKR_DEVICE_ERROR));
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
        { CKR_SESSION_HANDLE_INVALID, true }, { CKR_OPERATION_ACTIVE, true },         { CKR_DEVICE_ERROR, true },
        { CKR_GENERAL_ERROR, true },          { CKR_CRYPTOKI_NOT_INITIALIZED, true }, { CKR_KEY_HANDLE_INVALID, false },
        { CKR_PIN_INCORRECT, false },         { CKR_USER_NOT_LOGGED_IN, false },      { CKR_MECHANISM_INVALID, false },
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
        cmocka_unit_test(nothing_is_tried_beyond_the_deadline),
        cmocka_unit_test(waiting_is_repeated_with_growing_pauses_until_the_deadline),
        cmocka_unit_test(a_lost_session_drains_the_idle_ones_and_keeps_the_login),
        cmocka_unit_test(a_lost_login_is_forgotten),
        cmocka_unit_test(a_stale_handle_makes_all_handles_stale_and_nothing_else),
        cmocka_unit_test(a_token_that_is_gone_is_looked_for),
        cmocka_unit_test(a_look_that_fails_ends_the_recovery),
        cmocka_unit_test(a_module_that_was_finalised_is_started_again),
        cmocka_unit_test(a_failure_spoils_the_session_where_it_says_so),
    };

    return RUN(tests);
}
