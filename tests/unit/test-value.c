#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/scoped.h"
#include "base/value.h"

static const struct value_word colours[] = { { "red", 1 }, { "green", 2 }, { "blue", 4 }, { NULL, 0 } };

TEST(a_flag_is_said_in_many_ways_and_in_any_case)
{
    static const char *const yes[] = { "yes", "TRUE", "On", "1" };
    static const char *const no[] = { "no", "False", "OFF", "0" };

    for (size_t i = 0; i < 4; i++) {
        bool flag = false;

        assert_null(value_flag(&flag, yes[i]));
        assert_true(flag);
        assert_null(value_flag(&flag, no[i]));
        assert_false(flag);
    }
}

TEST(what_is_no_flag_stores_nothing)
{
    static const char *const wrong[] = { "", "y", "yess", " yes", "2", "maybe" };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        bool flag = true;

        assert_string_equal(value_flag(&flag, wrong[i]), "it is neither yes nor no");
        assert_true(flag);
    }
}

TEST(words_add_up_and_an_unknown_one_stores_nothing)
{
    unsigned bits = 9;

    assert_null(value_words(&bits, colours, "red, Blue"));
    assert_int_equal(bits, 5);
    assert_non_null(value_words(&bits, colours, "red, grey"));
    assert_non_null(value_words(&bits, colours, ""));
    assert_non_null(value_words(&bits, colours, "red,"));
    assert_int_equal(bits, 5);
}

TEST(a_number_is_digits_alone_within_its_bounds)
{
    static const char *const wrong[] = {
        "", "-1", "+5", " 5", "5 ", "0x5", "5.0", "4", "11", "99999999999999999999999"
    };
    uint64_t number = 77;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_non_null(value_number(&number, wrong[i], 5, 10));
        assert_int_equal(number, 77);
    }
    assert_null(value_number(&number, "5", 5, 10));
    assert_int_equal(number, 5);
    assert_null(value_number(&number, "10", 5, 10));
    assert_int_equal(number, 10);
}

TEST(a_count_of_nothing_is_none)
{
    unsigned count = 3;

    assert_non_null(value_count(&count, "0", 8));
    assert_non_null(value_count(&count, "9", 8));
    assert_int_equal(count, 3);
    assert_null(value_count(&count, "8", 8));
    assert_int_equal(count, 8);
}

TEST(seconds_have_up_to_three_decimals)
{
    static const struct {
        const char *value;
        uint64_t us;
    } good[] = { { "1", 1000000 }, { "0.3", 300000 }, { "0.001", 1000 }, { "2.25", 2250000 }, { "60", 60000000 } };
    static const char *const wrong[] = { "", "0", "0.000", "0.0001", "60.001", "61", ".5", "1.", "1,5", "1s", "-1" };
    uint64_t us = 0;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_null(value_seconds(&us, good[i].value, 60));
        assert_int_equal(us, good[i].us);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        us = 1;
        assert_non_null(value_seconds(&us, wrong[i], 60));
        assert_int_equal(us, 1);
    }
}

TEST(a_text_takes_the_place_of_another_unless_it_is_empty)
{
    SCOPED(scoped_free) char *text = NULL;

    assert_null(value_text(&text, "one"));
    assert_null(value_text(&text, "two"));
    assert_string_equal(value_text(&text, ""), "it is empty");
    assert_string_equal(text, "two");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flag_is_said_in_many_ways_and_in_any_case),
        cmocka_unit_test(what_is_no_flag_stores_nothing),
        cmocka_unit_test(words_add_up_and_an_unknown_one_stores_nothing),
        cmocka_unit_test(a_number_is_digits_alone_within_its_bounds),
        cmocka_unit_test(a_count_of_nothing_is_none),
        cmocka_unit_test(seconds_have_up_to_three_decimals),
        cmocka_unit_test(a_text_takes_the_place_of_another_unless_it_is_empty),
    };

    return RUN(tests);
}
