#include <string.h>

#include "pkcs11/module/health.h"
#include "unit.h"

#define SECOND UINT64_C(1000000)
#define NOW (1000 * SECOND)

TEST(a_new_one_works)
{
    struct tok_health health = { .pause_us = 0 };

    assert_true(tok_health_works(&health));
    assert_false(tok_health_is_away(&health));
    assert_true(tok_health_is_due(&health, NOW));
    assert_true(tok_health_try(&health, NOW));
    tok_health_failed(&health, NOW); /* that was no trial */
    assert_true(tok_health_works(&health));
}

TEST(after_a_failure_the_first_trial_comes_in_a_second_and_is_one_callers)
{
    struct tok_health health = { .pause_us = 0 };

    tok_health_away(&health, NOW, NOW - 10 * SECOND, false, "C_Sign: CKR_DEVICE_ERROR");
    assert_true(tok_health_is_away(&health));
    assert_false(tok_health_try(&health, NOW));
    assert_false(tok_health_try(&health, NOW + SECOND - 1));
    assert_true(tok_health_try(&health, NOW + SECOND));
    assert_false(tok_health_try(&health, NOW + SECOND));
    assert_false(tok_health_try(&health, NOW + 60 * SECOND)); /* it has not come back */
}

TEST(a_trial_that_never_comes_back_is_followed_by_another_after_two_minutes)
{
    struct tok_health health = { .pause_us = 0 };

    tok_health_away(&health, NOW, NOW, true, "x");
    assert_true(tok_health_try(&health, NOW));
    assert_false(tok_health_try(&health, NOW + 120 * SECOND - 1));
    assert_true(tok_health_try(&health, NOW + 120 * SECOND));
    assert_false(tok_health_try(&health, NOW + 120 * SECOND + 1));
    assert_true(tok_health_try(&health, NOW + 240 * SECOND));
}

TEST(where_nobody_has_asked_yet_the_first_trial_comes_at_once)
{
    struct tok_health health = { .pause_us = 0 };

    tok_health_away(&health, NOW, NOW - 10 * SECOND, true, "x");
    assert_true(tok_health_try(&health, NOW));
    assert_false(tok_health_try(&health, NOW));
}

static void pauses_double(struct tok_health *health, uint64_t now, const unsigned *pauses, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_false(tok_health_is_due(health, now + pauses[i] * SECOND - 1));
        assert_false(tok_health_try(health, now + pauses[i] * SECOND - 1));
        now += pauses[i] * SECOND;
        assert_true(tok_health_is_due(health, now));
        assert_true(tok_health_try(health, now));
        tok_health_failed(health, now);
    }
}

TEST(pauses_double_up_to_half_a_minute_whatever_the_state)
{
    static const unsigned pauses[] = { 1, 2, 4, 8, 16, 30, 30 };
    struct tok_health away = { .pause_us = 0 };
    struct tok_health at_once = { .pause_us = 0 };
    struct tok_health aside = { .pause_us = 0 };

    tok_health_away(&away, NOW, NOW, false, "x");
    pauses_double(&away, NOW, pauses, COUNT_OF(pauses));
    tok_health_aside(&aside, NOW);
    pauses_double(&aside, NOW, pauses, COUNT_OF(pauses));
    tok_health_away(&at_once, NOW, NOW, true, "x");
    assert_true(tok_health_try(&at_once, NOW));
    tok_health_failed(&at_once, NOW);
    pauses_double(&at_once, NOW, pauses, COUNT_OF(pauses));
}

TEST(what_is_set_aside_is_refused_to_nobody_and_is_on_trial_by_one_caller_until_that_has_failed)
{
    struct tok_health health = { .pause_us = 0 };

    tok_health_aside(&health, NOW);
    assert_false(tok_health_works(&health));
    assert_false(tok_health_is_away(&health));
    tok_health_aside(&health, NOW + SECOND / 2); /* many failed at once: the first one counts */
    assert_true(tok_health_try(&health, NOW + SECOND));
    assert_false(tok_health_try(&health, NOW + 60 * SECOND));
    tok_health_failed(&health, NOW + 60 * SECOND);
    tok_health_failed(&health, NOW + 61 * SECOND); /* that one was not on trial */
    assert_true(tok_health_try(&health, NOW + 62 * SECOND));
}

TEST(what_is_set_aside_may_yet_be_put_away_for_all_and_then_not_the_other_way_round)
{
    struct tok_health health = { .pause_us = 0 };

    tok_health_aside(&health, NOW);
    tok_health_away(&health, NOW + SECOND / 2, NOW, false, "x");
    assert_true(tok_health_is_away(&health));
    tok_health_aside(&health, NOW + SECOND);
    assert_true(tok_health_is_away(&health));
    assert_false(tok_health_try(&health, NOW + SECOND)); /* and it has one schedule */
    assert_true(tok_health_try(&health, NOW + SECOND * 3 / 2));
}

TEST(it_is_stuck_while_somebody_is_inside_and_nobody_was_served_for_a_second)
{
    struct tok_health health = { .pause_us = 0 };

    assert_false(tok_health_is_stuck(&health, 0, 7, NOW));
    assert_false(tok_health_is_stuck(&health, 1, 7, NOW + SECOND));
    assert_true(tok_health_is_stuck(&health, 1, 7, NOW + SECOND + 1));
    assert_true(tok_health_is_stuck(&health, 2, 7, NOW + 9 * SECOND));
    assert_false(tok_health_is_stuck(&health, 2, 8, NOW + 9 * SECOND));
    assert_true(tok_health_is_stuck(&health, 2, 8, NOW + 11 * SECOND));
    assert_false(tok_health_is_stuck(&health, 0, 8, NOW + 11 * SECOND));
}

TEST(a_success_ends_it_and_the_next_failure_starts_over)
{
    struct tok_health health = { .pause_us = 0 };

    tok_health_away(&health, NOW, NOW, true, "x");
    assert_true(tok_health_try(&health, NOW));
    tok_health_failed(&health, NOW);
    tok_health_good(&health);
    assert_false(tok_health_is_away(&health));
    tok_health_away(&health, NOW, NOW, false, "y");
    assert_true(tok_health_try(&health, NOW + SECOND));
}

TEST(late_failures_of_others_move_no_probe)
{
    struct tok_health health = { .pause_us = 0 };

    tok_health_away(&health, NOW, NOW - SECOND, false, "first");
    tok_health_away(&health, NOW + SECOND / 2, NOW, false, "second");
    assert_true(tok_health_try(&health, NOW + SECOND));
}

TEST(the_refusal_says_since_when_why_and_when_it_is_asked_again)
{
    struct tok_health health = { .pause_us = 0 };
    struct tok_result refusal;

    tok_health_away(&health, NOW, NOW - 10 * SECOND, false, "C_Sign: CKR_DEVICE_ERROR");
    refusal = tok_health_refusal(&health, NOW + SECOND / 2);
    assert_int_equal(refusal.code, TOK_CODE_UNAVAILABLE);
    assert_string_equal(refusal.message, "no answer for 10.5 s (C_Sign: CKR_DEVICE_ERROR); it is asked again in 0.5 s");
    assert_true(tok_health_try(&health, NOW + SECOND));
    refusal = tok_health_refusal(&health, NOW + 3 * SECOND);
    assert_string_equal(refusal.message,
                        "no answer for 13.0 s (C_Sign: CKR_DEVICE_ERROR); it is being asked again since 2.0 s");
}

TEST(the_first_reason_stays)
{
    struct tok_health health = { .pause_us = 0 };
    struct tok_result refusal;

    tok_health_away(&health, NOW, NOW - SECOND, false, "C_Sign: CKR_DEVICE_ERROR");
    tok_health_away(&health, NOW, NOW - SECOND, false, "another");
    refusal = tok_health_refusal(&health, NOW);
    assert_non_null(strstr(refusal.message, "(C_Sign: CKR_DEVICE_ERROR)"));
}

TEST(a_long_reason_is_cut)
{
    struct tok_health health = { .pause_us = 0 };
    char why[1000];

    memset(why, 'x', sizeof(why) - 1);
    why[sizeof(why) - 1] = '\0';
    tok_health_away(&health, NOW, NOW, false, why);
    assert_true(strlen(health.why) < sizeof(health.why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_one_works),
        cmocka_unit_test(after_a_failure_the_first_trial_comes_in_a_second_and_is_one_callers),
        cmocka_unit_test(a_trial_that_never_comes_back_is_followed_by_another_after_two_minutes),
        cmocka_unit_test(where_nobody_has_asked_yet_the_first_trial_comes_at_once),
        cmocka_unit_test(pauses_double_up_to_half_a_minute_whatever_the_state),
        cmocka_unit_test(what_is_set_aside_is_refused_to_nobody_and_is_on_trial_by_one_caller_until_that_has_failed),
        cmocka_unit_test(what_is_set_aside_may_yet_be_put_away_for_all_and_then_not_the_other_way_round),
        cmocka_unit_test(it_is_stuck_while_somebody_is_inside_and_nobody_was_served_for_a_second),
        cmocka_unit_test(a_success_ends_it_and_the_next_failure_starts_over),
        cmocka_unit_test(late_failures_of_others_move_no_probe),
        cmocka_unit_test(the_refusal_says_since_when_why_and_when_it_is_asked_again),
        cmocka_unit_test(the_first_reason_stays),
        cmocka_unit_test(a_long_reason_is_cut),
    };

    return RUN(tests);
}
