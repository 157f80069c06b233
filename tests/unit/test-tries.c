#include "mock-use.h"

#include <signal.h>

#include "pkcs11/token/tries.h"
#include "child.h"

static struct tok_module *module;
static struct tok_token *token;

/* A token that nobody has seen: its row is empty. */
static void furnish(void)
{
    struct mock *mock = mock_load(&module);

    mock_token(mock, "test");
    token = mock_looked(module);
}

static bool was_refused(const char *text)
{
    SCOPED(secret_end) struct secret pin = { 0 };

    return secret_set(&pin, text, strlen(text)) && tok_pin_was_refused(token, &pin);
}

static struct tok_result begin(struct tok_try *try, const char *text, uint64_t wait_us)
{
    SCOPED(secret_end) struct secret pin = { 0 };

    return secret_set(&pin, text, strlen(text)) ? tok_try_begin(try, token, &pin, "a test", clock_us() + wait_us)
                                                : tok_fail(TOK_CODE_NO_MEMORY, "a PIN");
}

/* Sends the PIN, and that is the answer; a PIN that may not be sent is the result. */
static struct tok_result send(const char *text, CK_RV answer)
{
    SCOPED(tok_try_end) struct tok_try try = { .row = NULL };

    TOK_TRY(begin(&try, text, 10 * SECOND));
    tok_try_sent(&try);
    tok_try_answered(&try, answer);
    return tok_good();
}

static int sends_wrong(void *arg)
{
    struct tok_result result = send(arg, CKR_PIN_INCORRECT);

    return (int)result.code;
}

TEST(what_one_process_learns_all_know)
{
    furnish();
    assert_false(was_refused("9999"));
    assert_int_equal(child_does(sends_wrong, "9999"), TOK_CODE_OK);
    assert_true(was_refused("9999"));
    assert_int_equal(child_does(sends_wrong, "9999"), TOK_CODE_PIN_REFUSED);
    FAILS(send("9999", CKR_OK), TOK_CODE_PIN_REFUSED);
    SAYS("a test");
    assert_null(strstr(failure.message, "9999"));
}

TEST(another_pin_is_tried_and_the_ones_before_are_not_forgotten)
{
    furnish();
    OK(send("1111", CKR_PIN_INCORRECT));
    OK(send("2222", CKR_PIN_LEN_RANGE));
    OK(send("3333", CKR_PIN_INCORRECT));
    FAILS(send("1111", CKR_OK), TOK_CODE_PIN_REFUSED);
    FAILS(send("2222", CKR_OK), TOK_CODE_PIN_REFUSED);
    FAILS(send("3333", CKR_OK), TOK_CODE_PIN_REFUSED);
}

TEST(a_pin_that_another_token_refused_is_tried_here)
{
    furnish();
    OK(send("1111", CKR_PIN_INCORRECT));
    furnish();
    OK(send("1111", CKR_OK));
}

/* As a worker does that was started with the wrong one, while its siblings have read the corrected file. */
TEST(a_wrong_pin_stays_wrong_when_another_was_accepted)
{
    furnish();
    OK(send("1111", CKR_PIN_INCORRECT));
    OK(send("2222", CKR_OK));
    FAILS(send("1111", CKR_OK), TOK_CODE_PIN_REFUSED);
}

TEST(when_the_pin_was_changed_on_the_token_it_may_be_one_that_was_wrong)
{
    furnish();
    OK(send("1111", CKR_PIN_INCORRECT));
    OK(send("2222", CKR_OK));
    OK(send("2222", CKR_PIN_INCORRECT));
    OK(send("1111", CKR_OK));
    FAILS(send("2222", CKR_OK), TOK_CODE_PIN_REFUSED);
}

TEST(a_right_pin_that_was_changed_is_refused_for_all)
{
    furnish();
    OK(send("1111", CKR_OK));
    OK(send("1111", CKR_PIN_INCORRECT));
    FAILS(send("1111", CKR_OK), TOK_CODE_PIN_REFUSED);
}

TEST(an_answer_that_is_not_about_the_pin_leaves_it_alone)
{
    furnish();
    OK(send("1111", CKR_DEVICE_ERROR));
    OK(send("1111", CKR_GENERAL_ERROR));
    OK(send("1111", CKR_USER_ALREADY_LOGGED_IN));
    assert_false(was_refused("1111"));
}

TEST(it_is_known_whether_the_flags_may_have_changed)
{
    SCOPED(tok_try_end) struct tok_try try = { .row = NULL };

    furnish();
    OK(begin(&try, "2222", SECOND));
    assert_false(try.after_refusal);
    tok_try_end(&try);
    OK(send("1111", CKR_PIN_INCORRECT));
    OK(begin(&try, "2222", SECOND));
    assert_true(try.after_refusal);
    tok_try_end(&try);
    OK(send("2222", CKR_OK));
    OK(begin(&try, "2222", SECOND));
    assert_false(try.after_refusal);
}

static int dies_sending(void *arg)
{
    struct tok_try try = { .row = NULL };
    struct tok_result result = begin(&try, arg, SECOND);

    if (!tok_ok(&result)) {
        return 1;
    }
    tok_try_sent(&try);
    raise(SIGKILL);
    return 2;
}

TEST(a_pin_whose_sender_died_before_the_answer_is_not_sent_again)
{
    furnish();
    assert_int_equal(child_does(dies_sending, "1111"), 128 + SIGKILL);
    FAILS(send("1111", CKR_OK), TOK_CODE_PIN_REFUSED);
    SAYS("died");
    SAYS("restarted");
    OK(send("2222", CKR_OK));
}

TEST(unless_it_was_right_before)
{
    furnish();
    OK(send("1111", CKR_OK));
    assert_int_equal(child_does(dies_sending, "1111"), 128 + SIGKILL);
    OK(send("1111", CKR_OK));
}

static int dies_waiting(void *arg)
{
    struct tok_try try = { .row = NULL };
    struct tok_result result = begin(&try, arg, SECOND);

    raise(SIGKILL);
    return (int)result.code;
}

TEST(who_died_before_sending_did_no_harm)
{
    furnish();
    assert_int_equal(child_does(dies_waiting, "1111"), 128 + SIGKILL);
    OK(send("1111", CKR_OK));
}

static int hangs(void *arg)
{
    struct tok_result result = begin(&(struct tok_try){ .row = NULL }, arg, SECOND / 10);
    char process[32];

    snprintf(process, sizeof(process), "process %u ", (unsigned)getppid());
    return result.code == TOK_CODE_DEADLINE && strstr(result.message, process) != NULL ? 0 : 1;
}

TEST(a_login_that_hangs_lets_other_processes_leave_at_their_deadline)
{
    SCOPED(tok_try_end) struct tok_try try = { .row = NULL };

    furnish();
    OK(begin(&try, "1111", SECOND));
    assert_int_equal(child_does(hangs, "1111"), 0);
    assert_int_equal(child_does(hangs, "2222"), 0);
}

static int goes_on(void *arg)
{
    SCOPED(tok_try_end) struct tok_try try = { .row = NULL };
    struct tok_result result = begin(&try, arg, 10 * SECOND);

    if (!tok_ok(&result)) {
        return 1;
    }
    tok_try_sent(&try);
    tok_try_answered(&try, CKR_OK);
    return 0;
}

static int is_too_late(void *arg)
{
    struct tok_result result = begin(&(struct tok_try){ .row = NULL }, arg, 3 * SECOND);

    return result.code == TOK_CODE_DEADLINE ? 0 : 1;
}

TEST(a_login_that_hangs_keeps_no_pin_waiting_that_was_right_before)
{
    SCOPED(tok_try_end) struct tok_try try = { .row = NULL };

    furnish();
    OK(send("1111", CKR_OK));
    OK(begin(&try, "1111", SECOND));
    assert_int_equal(child_does(goes_on, "1111"), 0);
    assert_int_equal(child_does(goes_on, "1111"), 0);
    assert_int_equal(child_does(is_too_late, "2222"), 0); /* nobody knows of it: one try at a time */
}

TEST(more_wrong_pins_than_a_row_holds_push_out_the_oldest)
{
    char text[16];

    furnish();
    for (unsigned i = 0; i < 100; i++) {
        snprintf(text, sizeof(text), "%04u", i);
        OK(send(text, CKR_PIN_INCORRECT));
        assert_true(was_refused(text));
    }
    assert_true(was_refused("0098"));
    assert_false(was_refused("0000"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_one_process_learns_all_know),
        cmocka_unit_test(another_pin_is_tried_and_the_ones_before_are_not_forgotten),
        cmocka_unit_test(a_pin_that_another_token_refused_is_tried_here),
        cmocka_unit_test(a_wrong_pin_stays_wrong_when_another_was_accepted),
        cmocka_unit_test(when_the_pin_was_changed_on_the_token_it_may_be_one_that_was_wrong),
        cmocka_unit_test(a_right_pin_that_was_changed_is_refused_for_all),
        cmocka_unit_test(an_answer_that_is_not_about_the_pin_leaves_it_alone),
        cmocka_unit_test(it_is_known_whether_the_flags_may_have_changed),
        cmocka_unit_test(a_pin_whose_sender_died_before_the_answer_is_not_sent_again),
        cmocka_unit_test(unless_it_was_right_before),
        cmocka_unit_test(who_died_before_sending_did_no_harm),
        cmocka_unit_test(a_login_that_hangs_lets_other_processes_leave_at_their_deadline),
        cmocka_unit_test(a_login_that_hangs_keeps_no_pin_waiting_that_was_right_before),
        cmocka_unit_test(more_wrong_pins_than_a_row_holds_push_out_the_oldest),
    };

    return RUN(tests);
}
