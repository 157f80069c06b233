#include <string.h>

#include "pkcs11/module/breaker.h"
#include "unit.h"

#define SECOND UINT64_C(1000000)
#define NOW (1000 * SECOND)

TEST(a_new_one_is_closed)
{
    struct tok_breaker breaker = { .pause_us = 0 };

    assert_false(tok_breaker_is_open(&breaker));
}

TEST(after_a_failure_the_first_probe_comes_in_a_second_and_is_one_callers)
{
    struct tok_breaker breaker = { .pause_us = 0 };

    tok_breaker_trip(&breaker, NOW, NOW - 10 * SECOND, false, "C_Sign: CKR_DEVICE_ERROR");
    assert_true(tok_breaker_is_open(&breaker));
    assert_false(tok_breaker_probe(&breaker, NOW));
    assert_false(tok_breaker_probe(&breaker, NOW + SECOND - 1));
    assert_true(tok_breaker_probe(&breaker, NOW + SECOND));
    assert_false(tok_breaker_probe(&breaker, NOW + SECOND));
    assert_false(tok_breaker_probe(&breaker, NOW + 60 * SECOND)); /* it has not come back */
}

TEST(a_probe_that_never_comes_back_is_followed_by_another_after_two_minutes)
{
    struct tok_breaker breaker = { .pause_us = 0 };

    tok_breaker_trip(&breaker, NOW, NOW, true, "x");
    assert_true(tok_breaker_probe(&breaker, NOW));
    assert_false(tok_breaker_probe(&breaker, NOW + 120 * SECOND - 1));
    assert_true(tok_breaker_probe(&breaker, NOW + 120 * SECOND));
    assert_false(tok_breaker_probe(&breaker, NOW + 120 * SECOND + 1));
    assert_true(tok_breaker_probe(&breaker, NOW + 240 * SECOND));
}

TEST(where_nobody_has_asked_yet_the_first_probe_comes_at_once)
{
    struct tok_breaker breaker = { .pause_us = 0 };

    tok_breaker_trip(&breaker, NOW, NOW - 10 * SECOND, true, "x");
    assert_true(tok_breaker_probe(&breaker, NOW));
    assert_false(tok_breaker_probe(&breaker, NOW));
}

TEST(pauses_double_up_to_half_a_minute)
{
    static const unsigned pauses[] = { 1, 2, 4, 8, 16, 30, 30 };
    struct tok_breaker breaker = { .pause_us = 0 };
    uint64_t now = NOW + SECOND;

    tok_breaker_trip(&breaker, NOW, NOW, false, "x");
    for (size_t i = 0; i < COUNT_OF(pauses); i++) {
        assert_true(tok_breaker_probe(&breaker, now));
        tok_breaker_probed(&breaker, now);
        assert_false(tok_breaker_probe(&breaker, now + pauses[i] * SECOND - 1));
        now += pauses[i] * SECOND;
    }
}

TEST(a_success_closes_it_and_the_next_failure_starts_over)
{
    struct tok_breaker breaker = { .pause_us = 0 };

    tok_breaker_trip(&breaker, NOW, NOW, true, "x");
    assert_true(tok_breaker_probe(&breaker, NOW));
    tok_breaker_probed(&breaker, NOW);
    tok_breaker_close(&breaker);
    assert_false(tok_breaker_is_open(&breaker));
    tok_breaker_trip(&breaker, NOW, NOW, false, "y");
    assert_true(tok_breaker_probe(&breaker, NOW + SECOND));
}

TEST(late_failures_of_others_move_no_probe)
{
    struct tok_breaker breaker = { .pause_us = 0 };

    tok_breaker_trip(&breaker, NOW, NOW - SECOND, false, "first");
    tok_breaker_trip(&breaker, NOW + SECOND / 2, NOW, false, "second");
    assert_true(tok_breaker_probe(&breaker, NOW + SECOND));
}

TEST(the_refusal_says_since_when_why_and_when_it_is_asked_again)
{
    struct tok_breaker breaker = { .pause_us = 0 };
    struct tok_result refusal;

    tok_breaker_trip(&breaker, NOW, NOW - 10 * SECOND, false, "C_Sign: CKR_DEVICE_ERROR");
    refusal = tok_breaker_refusal(&breaker, NOW + SECOND / 2);
    assert_int_equal(refusal.code, TOK_CODE_UNAVAILABLE);
    assert_string_equal(refusal.message, "no answer for 10.5 s (C_Sign: CKR_DEVICE_ERROR); it is asked again in 0.5 s");
    assert_true(tok_breaker_probe(&breaker, NOW + SECOND));
    refusal = tok_breaker_refusal(&breaker, NOW + 3 * SECOND);
    assert_string_equal(refusal.message,
                        "no answer for 13.0 s (C_Sign: CKR_DEVICE_ERROR); it is being asked again since 2.0 s");
}

TEST(the_first_reason_stays)
{
    struct tok_breaker breaker = { .pause_us = 0 };
    struct tok_result refusal;

    tok_breaker_trip(&breaker, NOW, NOW - SECOND, false, "C_Sign: CKR_DEVICE_ERROR");
    tok_breaker_trip(&breaker, NOW, NOW - SECOND, false, "another");
    refusal = tok_breaker_refusal(&breaker, NOW);
    assert_non_null(strstr(refusal.message, "(C_Sign: CKR_DEVICE_ERROR)"));
}

TEST(a_long_reason_is_cut)
{
    struct tok_breaker breaker = { .pause_us = 0 };
    char why[1000];

    memset(why, 'x', sizeof(why) - 1);
    why[sizeof(why) - 1] = '\0';
    tok_breaker_trip(&breaker, NOW, NOW, false, why);
    assert_true(strlen(breaker.why) < sizeof(breaker.why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_one_is_closed),
        cmocka_unit_test(after_a_failure_the_first_probe_comes_in_a_second_and_is_one_callers),
        cmocka_unit_test(a_probe_that_never_comes_back_is_followed_by_another_after_two_minutes),
        cmocka_unit_test(where_nobody_has_asked_yet_the_first_probe_comes_at_once),
        cmocka_unit_test(pauses_double_up_to_half_a_minute),
        cmocka_unit_test(a_success_closes_it_and_the_next_failure_starts_over),
        cmocka_unit_test(late_failures_of_others_move_no_probe),
        cmocka_unit_test(the_refusal_says_since_when_why_and_when_it_is_asked_again),
        cmocka_unit_test(the_first_reason_stays),
        cmocka_unit_test(a_long_reason_is_cut),
    };

    return RUN(tests);
}
