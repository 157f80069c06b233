#include "unit.h"

#include <string.h>

#include "base/bytes.h"

TEST(bytes_are_copied_and_compared)
{
    SCOPED(bytes_end) struct bytes a = { 0 };
    SCOPED(bytes_end) struct bytes b = { 0 };

    assert_true(bytes_set(&a, "abc", 3));
    assert_true(bytes_set(&b, a.data, a.len));
    assert_true(bytes_equal(&a, &b));
    assert_ptr_not_equal(a.data, b.data);
    assert_true(bytes_set(&b, "abd", 3));
    assert_false(bytes_equal(&a, &b));
}

TEST(bytes_may_be_replaced_by_a_part_of_themselves)
{
    SCOPED(bytes_end) struct bytes a = { 0 };

    assert_true(bytes_set(&a, "abcdef", 6));
    assert_true(bytes_set(&a, a.data + 2, 3));
    assert_true(bytes_is(&a, "cde", 3));
}

TEST(the_empty_string_of_bytes_needs_no_memory)
{
    SCOPED(bytes_end) struct bytes a = { 0 };

    assert_true(bytes_set(&a, NULL, 0));
    assert_null(a.data);
    assert_true(bytes_is(&a, NULL, 0));
}

TEST(der_elements_are_taken_one_after_the_other)
{
    const uint8_t der[] = { 0x04, 0x02, 0xaa, 0xbb, 0x0c, 0x01, 'x' };
    struct cursor cursor = cursor_over(der, sizeof(der));
    struct cursor first = cursor_der(&cursor, 0x04);
    struct cursor second = cursor_der(&cursor, 0x0c);

    assert_int_equal(first.left, 2);
    assert_int_equal(first.at[1], 0xbb);
    assert_int_equal(second.left, 1);
    assert_true(cursor_done(&cursor));
}

TEST(der_that_is_cut_off_or_odd_fails_and_stays_failed)
{
    static const struct {
        uint8_t der[8];
        size_t len;
    } bad[] = {
        { { 0 }, 0 },                       /* nothing */
        { { 0x04 }, 1 },                    /* no length */
        { { 0x04, 0x05, 1, 2 }, 4 },        /* shorter than it says */
        { { 0x05, 0x00 }, 2 },              /* another tag */
        { { 0x04, 0x80, 0, 0 }, 4 },        /* indefinite length */
        { { 0x04, 0x81, 0x01, 0xff }, 4 },  /* not the shortest form */
        { { 0x04, 0x82, 0x00, 0xff }, 4 },  /* leading zero */
        { { 0x04, 0x85, 1, 1, 1, 1, 1 }, 7 }, /* absurd */
    };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct cursor cursor = cursor_over(bad[i].der, bad[i].len);
        struct cursor inside = cursor_der(&cursor, 0x04);

        assert_true(inside.failed);
        assert_true(cursor.failed);
        assert_true(cursor_der(&cursor, 0x04).failed);
    }
}

TEST(der_lengths_in_the_long_form_are_read)
{
    uint8_t der[3 + 200] = { 0x04, 0x81, 200 };
    struct cursor cursor = cursor_over(der, sizeof(der));

    assert_int_equal(cursor_der(&cursor, 0x04).left, 200);
    assert_true(cursor_done(&cursor));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_copied_and_compared),
        cmocka_unit_test(bytes_may_be_replaced_by_a_part_of_themselves),
        cmocka_unit_test(the_empty_string_of_bytes_needs_no_memory),
        cmocka_unit_test(der_elements_are_taken_one_after_the_other),
        cmocka_unit_test(der_that_is_cut_off_or_odd_fails_and_stays_failed),
        cmocka_unit_test(der_lengths_in_the_long_form_are_read),
    };

    return RUN(tests);
}
