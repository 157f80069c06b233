#include "mock-use.h"

#include <signal.h>

#include "pkcs11/token/tries.h"
#include "../token/ckr.h"
#include "child.h"

static struct tok_module *module;
static struct tok_token *token;

/* A token that nobody has seen: its row is empty. It is the same one with another model, since a fork holds the locks
 * of all that were ever loaded, and the thread sanitizer counts no more than 64. */
static void furnish(void)
{
    static unsigned models;
    char model[16];

    if (token == NULL) {
        mock_token(mock_load(&module), "test");
        token = mock_looked(module);
    }
    snprintf(model, sizeof(model), "T%u", ++models);
    mock_pad(token->info.model, sizeof(token->info.model), model);
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

static bool again; /* whether the answer to the last one was no reason not to send it again */

/* Sends the PIN, and that is the answer; a PIN that may not be sent is the result. */
static struct tok_result send(const char *text, CK_RV answer)
{
    SCOPED(tok_try_end) struct tok_try try = { .token = NULL };

    TOK_TRY(begin(&try, text, 10 * SECOND));
    tok_try_sent(&try);
    again = tok_try_answered(&try, tok_ckr(answer)->pin);
    return tok_good();
}

static int sends_wrong(void *arg)
{
    struct tok_result result = send(arg, CKR_PIN_INCORRECT);

    return (int)result.code;
}

static int sends_removed(void *arg)
{
    return (int)send(arg, CKR_DEVICE_REMOVED).code;
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

/* --- what answers say --------------------------------------------------------------------------------------------- */

static const CK_RV all_codes[] = {
#define CODE(name, value) value,
    CRYPTOKI_CKR(CODE)
#undef CODE
        0x80000001,
    0x7777,
};

/* What the table promises, told by its words and not by its rows. */
static bool proves_that_nobody_looked(CK_RV rv)
{
    return rv == CKR_SESSION_HANDLE_INVALID || rv == CKR_TOKEN_NOT_PRESENT || rv == CKR_CRYPTOKI_NOT_INITIALIZED ||
           rv == CKR_USER_ALREADY_LOGGED_IN || rv == CKR_USER_ANOTHER_ALREADY_LOGGED_IN;
}

static bool is_believed_once(CK_RV rv)
{
    return rv == CKR_DEVICE_REMOVED || rv == CKR_SESSION_CLOSED;
}

static int is_refused(void *arg)
{
    return was_refused(arg) ? 0 : 1;
}

static int is_not_refused(void *arg)
{
    return was_refused(arg) ? 1 : 0;
}

TEST(after_any_answer_but_those_that_prove_that_nobody_looked_a_pin_is_refused_to_the_whole_family)
{
    for (size_t i = 0; i < COUNT_OF(all_codes); i++) {
        CK_RV rv = all_codes[i];
        bool stays = rv == CKR_OK || proves_that_nobody_looked(rv) || is_believed_once(rv);

        furnish();
        OK(send("1111", rv));
        if (again != stays || was_refused("1111") == stays ||
            child_does(stays ? is_not_refused : is_refused, "1111") != 0) {
            fail_msg("%s: %s", tok_ckr(rv)->name, again ? "again" : "not again");
        }
        if (is_believed_once(rv)) {
            OK(send("1111", rv));
            assert_false(again);
            assert_int_equal(child_does(is_refused, "1111"), 0);
        }
    }
}

TEST(what_is_believed_once_is_believed_once_of_the_family_and_of_each_pin)
{
    furnish();
    assert_int_equal(child_does(sends_removed, "1111"), TOK_CODE_OK);
    OK(send("2222", CKR_DEVICE_REMOVED));
    assert_true(again);
    OK(send("1111", CKR_DEVICE_REMOVED));
    assert_false(again);
}

TEST(a_pin_that_was_accepted_bears_every_answer_but_that_it_is_wrong)
{
    for (size_t i = 0; i < COUNT_OF(all_codes); i++) {
        CK_RV rv = all_codes[i];
        bool wrong = rv == CKR_PIN_INCORRECT || rv == CKR_PIN_INVALID || rv == CKR_PIN_LEN_RANGE;

        furnish();
        OK(send("1111", CKR_OK));
        for (int n = 0; n < 20 && !wrong; n++) { /* CKR_PIN_LOCKED, until somebody unlocks it */
            OK(send("1111", rv));
            assert_true(again);
        }
        OK(send("1111", rv));
        assert_int_equal(again, !wrong);
        assert_int_equal(was_refused("1111"), wrong);
    }
}

TEST(an_unclear_answer_says_so_the_next_time)
{
    furnish();
    OK(send("1111", CKR_DEVICE_MEMORY));
    FAILS(send("1111", CKR_OK), TOK_CODE_PIN_UNCLEAR);
    SAYS("may mean that it is wrong");
    SAYS("restarted");
}

static int sends_right(void *arg)
{
    return (int)send(arg, CKR_OK).code;
}

TEST(of_a_pin_that_only_others_saw_accepted_a_few_unclear_answers_are_borne)
{
    furnish();
    assert_int_equal(child_does(sends_right, "1111"), TOK_CODE_OK);
    for (int i = 0; i < 3; i++) {
        OK(send("1111", CKR_DEVICE_ERROR));
        assert_true(again);
    }
    OK(send("1111", CKR_DEVICE_ERROR));
    assert_false(again);
    FAILS(send("1111", CKR_OK), TOK_CODE_PIN_UNCLEAR);
}

/* --- what a member of the family can write ------------------------------------------------------------------------ */

static struct tok_try known(const char *text)
{
    SCOPED(tok_try_end) struct tok_try try = { .token = NULL };
    struct tok_try copy;
    struct tok_result result = begin(&try, text, SECOND);

    (void)result;
    copy = try;
    copy.has_turn = false;
    return copy;
}

static int wipes(void *arg)
{
    struct shared_row *row = known(arg).family;

    for (size_t i = 0; i < SHARED_WORDS; i++) {
        atomic_store(&row->words[i], 0);
    }
    return 0;
}

TEST(a_pin_that_this_process_saw_refused_is_not_sent_whatever_the_family_forgets)
{
    furnish();
    OK(send("1111", CKR_PIN_INCORRECT));
    OK(send("3333", CKR_GENERAL_ERROR));
    assert_int_equal(child_does(wipes, "2222"), 0);
    FAILS(send("1111", CKR_OK), TOK_CODE_PIN_REFUSED);
    FAILS(send("3333", CKR_OK), TOK_CODE_PIN_UNCLEAR);
    assert_int_equal(child_does(sends_wrong, "1111"), TOK_CODE_PIN_REFUSED); /* and its children have inherited that */
}

/* The mark of the accepted PIN in every other place, and each other mark in that of the accepted one. */
static int copies(void *arg)
{
    struct shared_row *row = known(arg).family;
    uint64_t accepted = atomic_load(&row->words[0]);

    for (size_t i = 1; i < SHARED_WORDS; i++) {
        atomic_store(&row->words[i], accepted);
    }
    return 0;
}

TEST(a_copied_mark_says_nothing_elsewhere)
{
    struct tok_try first;

    furnish();
    assert_int_equal(child_does(sends_right, "1111"), TOK_CODE_OK);
    assert_int_equal(child_does(copies, "2222"), 0);
    assert_false(was_refused("1111"));
    OK(send("1111", CKR_OK));

    furnish();
    assert_int_equal(child_does(sends_wrong, "1111"), TOK_CODE_OK);
    first = known("2222");
    for (size_t i = 0; i < SHARED_WORDS; i++) {
        uint64_t refused = atomic_load(&first.family->words[i]);

        if (refused > 1000 && child_does(is_refused, "1111") == 0) {
            atomic_store(&first.family->words[0], refused); /* "accepted" */
            assert_true(was_refused("1111"));
        }
    }
    furnish(); /* another token, with the same words */
    for (size_t i = 0; i < SHARED_WORDS; i++) {
        atomic_store(&known("2222").family->words[i], atomic_load(&first.family->words[i]));
    }
    assert_false(was_refused("1111"));
}

/* What it saw accepted, others call refused. That is true where the PIN was changed, and is believed; but not for ever,
 * unless the token says that a wrong PIN came. */
TEST(a_pin_that_this_process_saw_accepted_is_not_kept_from_it_for_ever_by_a_claim)
{
    struct shared_row *own;

    furnish();
    OK(send("1111", CKR_OK));
    assert_int_equal(child_does(sends_wrong, "1111"), TOK_CODE_OK);
    FAILS(send("1111", CKR_OK), TOK_CODE_PIN_REFUSED);
    own = known("2222").own;
    assert_true(atomic_load(&own->words[3]) != 0); /* since when */
    atomic_store(&own->words[3], 1);
    token->info.flags |= CKF_USER_PIN_COUNT_LOW;
    FAILS(send("1111", CKR_OK), TOK_CODE_PIN_REFUSED);
    token->info.flags &= ~CKF_USER_PIN_COUNT_LOW;
    OK(send("1111", CKR_OK));
    assert_false(was_refused("1111"));
    assert_int_equal(child_does(is_not_refused, "1111"), 0);
}

TEST(and_if_the_claim_was_true_that_is_one_try_of_it_and_no_more)
{
    struct shared_row *own;

    furnish();
    OK(send("1111", CKR_OK));
    assert_int_equal(child_does(sends_wrong, "1111"), TOK_CODE_OK);
    FAILS(send("1111", CKR_OK), TOK_CODE_PIN_REFUSED);
    own = known("2222").own;
    atomic_store(&own->words[3], 1);
    OK(send("1111", CKR_PIN_INCORRECT));
    atomic_store(&own->words[3], 1);
    FAILS(send("1111", CKR_OK), TOK_CODE_PIN_REFUSED);
}

static int scribbles(void *arg)
{
    struct shared_row *row = known(arg).family;
    uint64_t random = 88172645463325252U;

    for (unsigned round = 0; round < 20000; round++) {
        for (size_t i = 0; i < SHARED_WORDS; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            atomic_store(&row->words[i], round % 2 == 0 ? random : UINT64_MAX);
        }
    }
    return 0;
}

TEST(who_scribbles_over_the_family_s_row_costs_a_sibling_no_try_and_no_login)
{
    pid_t pid;

    furnish();
    OK(send("1111", CKR_PIN_INCORRECT));
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        child_exit(scribbles("2222"));
    }
    for (int i = 0; i < 2000; i++) {
        OK(send("2222", i % 7 == 6 ? CKR_DEVICE_ERROR : CKR_OK));
        FAILS(send("1111", CKR_OK), TOK_CODE_PIN_REFUSED);
    }
    assert_int_equal(child_ended(pid), 0);
    assert_true(was_refused("1111"));
}

static int dies_sending(void *arg)
{
    struct tok_try try = { .token = NULL };
    struct tok_result result = begin(&try, arg, SECOND);

    if (!tok_ok(&result)) {
        return 1;
    }
    tok_try_sent(&try);
    raise(SIGKILL);
    return 2;
}

static int closes_all_and_sends(void *arg)
{
    for (int fd = 3; fd < 1024; fd++) {
        close(fd);
    }
    return (int)send(arg, CKR_PIN_INCORRECT).code;
}

TEST(processes_that_closed_all_descriptors_make_one_try_among_them_too)
{
    furnish();
    assert_int_equal(child_does(closes_all_and_sends, "1111"), TOK_CODE_OK);
    assert_int_equal(child_does(closes_all_and_sends, "1111"), TOK_CODE_PIN_REFUSED);
    assert_int_equal(child_does(dies_sending, "3333"), 128 + SIGKILL);
    assert_int_equal(child_does(closes_all_and_sends, "3333"), TOK_CODE_PIN_REFUSED);
    assert_int_equal(child_does(closes_all_and_sends, "4444"), TOK_CODE_OK);
}

/* --- who died ----------------------------------------------------------------------------------------------------- */

TEST(it_is_known_whether_the_flags_may_have_changed)
{
    SCOPED(tok_try_end) struct tok_try try = { .token = NULL };

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

/* Siblings that log in with a PIN that was right, and that try wrong ones, are killed wherever they are just then. */
static void send_until_killed(unsigned seed)
{
    for (unsigned i = 0;; i++) {
        char text[24];
        struct tok_result result;

        snprintf(text, sizeof(text), "%u.%u", seed, i);
        result = i % 2 == 0 ? send("1111", CKR_OK) : send(text, CKR_PIN_INCORRECT);
        if (!tok_ok(&result) && result.code != TOK_CODE_PIN_REFUSED) {
            child_exit(9);
        }
    }
}

TEST(deaths_at_any_point_of_a_login_keep_nobody_from_the_next)
{
    uint64_t random = 88172645463325252U;
    pid_t pids[4] = { 0 };

    furnish();
    OK(send("1111", CKR_OK));
    for (unsigned death = 0; death < 250; death++) {
        pid_t *pid = &pids[death % COUNT_OF(pids)];

        if (*pid != 0) {
            kill(*pid, SIGKILL);
            assert_int_equal(child_ended(*pid), 128 + SIGKILL);
        }
        fflush(NULL);
        *pid = fork();
        if (*pid == 0) {
            alarm(CHILD_SECONDS);
            send_until_killed(death);
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        clock_sleep_us(random % 1000);
        if (death % 10 == 0) {
            OK(send("1111", CKR_OK));
        }
    }
    for (size_t i = 0; i < COUNT_OF(pids); i++) {
        kill(pids[i], SIGKILL);
        assert_int_equal(child_ended(pids[i]), 128 + SIGKILL);
    }
    OK(send("1111", CKR_OK));
    OK(send("2222", CKR_PIN_INCORRECT));
    assert_int_equal(child_does(sends_right, "1111"), TOK_CODE_OK);
}

static int dies_waiting(void *arg)
{
    struct tok_try try = { .token = NULL };
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
    struct tok_result result = begin(&(struct tok_try){ .token = NULL }, arg, SECOND / 10);
    char process[32];

    snprintf(process, sizeof(process), "process %u ", (unsigned)getppid());
    return result.code == TOK_CODE_DEADLINE && strstr(result.message, process) != NULL ? 0 : 1;
}

TEST(a_login_that_hangs_lets_other_processes_leave_at_their_deadline)
{
    SCOPED(tok_try_end) struct tok_try try = { .token = NULL };

    furnish();
    OK(begin(&try, "1111", SECOND));
    assert_int_equal(child_does(hangs, "1111"), 0);
    assert_int_equal(child_does(hangs, "2222"), 0);
}

static int goes_on(void *arg)
{
    SCOPED(tok_try_end) struct tok_try try = { .token = NULL };
    struct tok_result result = begin(&try, arg, 10 * SECOND);

    if (!tok_ok(&result)) {
        return 1;
    }
    tok_try_sent(&try);
    return tok_try_answered(&try, TOK_PIN_RIGHT) ? 0 : 2;
}

static int is_too_late(void *arg)
{
    struct tok_result result = begin(&(struct tok_try){ .token = NULL }, arg, 3 * SECOND);

    return result.code == TOK_CODE_DEADLINE ? 0 : 1;
}

TEST(a_login_that_hangs_keeps_no_pin_waiting_that_was_right_before)
{
    SCOPED(tok_try_end) struct tok_try try = { .token = NULL };

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
        cmocka_unit_test(after_any_answer_but_those_that_prove_that_nobody_looked_a_pin_is_refused_to_the_whole_family),
        cmocka_unit_test(what_is_believed_once_is_believed_once_of_the_family_and_of_each_pin),
        cmocka_unit_test(a_pin_that_was_accepted_bears_every_answer_but_that_it_is_wrong),
        cmocka_unit_test(an_unclear_answer_says_so_the_next_time),
        cmocka_unit_test(of_a_pin_that_only_others_saw_accepted_a_few_unclear_answers_are_borne),
        cmocka_unit_test(a_pin_that_this_process_saw_refused_is_not_sent_whatever_the_family_forgets),
        cmocka_unit_test(a_copied_mark_says_nothing_elsewhere),
        cmocka_unit_test(a_pin_that_this_process_saw_accepted_is_not_kept_from_it_for_ever_by_a_claim),
        cmocka_unit_test(and_if_the_claim_was_true_that_is_one_try_of_it_and_no_more),
        cmocka_unit_test(who_scribbles_over_the_family_s_row_costs_a_sibling_no_try_and_no_login),
        cmocka_unit_test(processes_that_closed_all_descriptors_make_one_try_among_them_too),
        cmocka_unit_test(it_is_known_whether_the_flags_may_have_changed),
        cmocka_unit_test(a_pin_whose_sender_died_before_the_answer_is_not_sent_again),
        cmocka_unit_test(unless_it_was_right_before),
        cmocka_unit_test(who_died_before_sending_did_no_harm),
        cmocka_unit_test(deaths_at_any_point_of_a_login_keep_nobody_from_the_next),
        cmocka_unit_test(a_login_that_hangs_lets_other_processes_leave_at_their_deadline),
        cmocka_unit_test(a_login_that_hangs_keeps_no_pin_waiting_that_was_right_before),
        cmocka_unit_test(more_wrong_pins_than_a_row_holds_push_out_the_oldest),
    };

    return RUN(tests);
}
