#include "unit.h"

#include <stdlib.h>
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
        { { 0 }, 0 },                         /* nothing */
        { { 0x04 }, 1 },                      /* no length */
        { { 0x04, 0x05, 1, 2 }, 4 },          /* shorter than it says */
        { { 0x05, 0x00 }, 2 },                /* another tag */
        { { 0x04, 0x80, 0, 0 }, 4 },          /* indefinite length */
        { { 0x04, 0x81, 0x01, 0xff }, 4 },    /* not the shortest form */
        { { 0x04, 0x82, 0x00, 0xff }, 4 },    /* leading zero */
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

/* SEQUENCE { OCTET STRING 01 02 03, SEQUENCE { INTEGER 5 } } */
static const uint8_t nested[] = { 0x30, 0x0a, 0x04, 0x03, 1, 2, 3, 0x30, 0x03, 0x02, 0x01, 5 };

static bool nested_reads(const uint8_t *data, size_t len)
{
    struct cursor all = cursor_over(data, len);
    struct cursor outer = cursor_der(&all, 0x30);
    struct cursor octets = cursor_der(&outer, 0x04);
    struct cursor inner = cursor_der(&outer, 0x30);
    struct cursor number = cursor_der(&inner, 0x02);

    return octets.left == 3 && number.left == 1 && number.at[0] == 5 && cursor_done(&inner) && cursor_done(&outer) &&
           cursor_done(&all);
}

TEST(new_bytes_are_zero)
{
    SCOPED(bytes_end) struct bytes bytes = { 0 };

    assert_true(bytes_new(&bytes, 100));
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(bytes.data[i], 0);
    }
}

TEST(without_memory_the_old_bytes_stay)
{
    SCOPED(bytes_end) struct bytes bytes = { 0 };
    volatile size_t too_much = SIZE_MAX / 2;

    if (SANITIZED) {
        NOT_HERE("the sanitizer ends the process");
    }
    assert_true(bytes_set(&bytes, "kept", 4));
    assert_false(bytes_new(&bytes, too_much));
    assert_true(bytes_is(&bytes, "kept", 4));
}

TEST(ending_twice_is_harmless)
{
    struct bytes bytes = { 0 };

    assert_true(bytes_set(&bytes, "abc", 3));
    bytes_end(&bytes);
    bytes_end(&bytes);
    assert_null(bytes.data);
    assert_int_equal(bytes.len, 0);
}

TEST(stealing_leaves_nothing_behind)
{
    struct bytes bytes = { 0 };
    struct bytes stolen;

    assert_true(bytes_set(&bytes, "abc", 3));
    stolen = STEAL(bytes);
    assert_null(bytes.data);
    assert_true(bytes_is(&stolen, "abc", 3));
    bytes_end(&stolen);
}

TEST(the_cursor_reads_nested_elements)
{
    assert_true(nested_reads(nested, sizeof(nested)));
}

TEST(every_truncation_is_noticed)
{
    for (size_t len = 0; len < sizeof(nested); len++) {
        uint8_t *copy = malloc(len > 0 ? len : 1); /* of just that size, so that a sanitizer sees a step too far */

        assert_non_null(copy);
        memcpy(copy, nested, len);
        assert_false(nested_reads(copy, len));
        free(copy);
    }
}

TEST(a_failed_cursor_yields_failed_ones)
{
    struct cursor empty = cursor_over(NULL, 0);
    struct cursor inside = cursor_der(&empty, 0x00);
    struct cursor deeper = cursor_der(&inside, 0x00);

    assert_true(empty.failed && inside.failed && deeper.failed);
    assert_false(cursor_done(&deeper));
}

TEST(what_follows_an_element_is_noticed)
{
    static const uint8_t data[] = { 0x04, 0x01, 7, 0 };
    struct cursor cursor = cursor_over(data, sizeof(data));

    assert_int_equal(cursor_der(&cursor, 0x04).left, 1);
    assert_false(cursor.failed);
    assert_false(cursor_done(&cursor));
}

TEST(a_length_of_four_bytes_does_not_overflow)
{
    static const uint8_t data[] = { 0x04, 0x84, 0xff, 0xff, 0xff, 0xff, 7 };
    struct cursor cursor = cursor_over(data, sizeof(data));

    assert_true(cursor_der(&cursor, 0x04).failed);
}

TEST(bytes_are_appended)
{
    SCOPED(bytes_end) struct bytes a = { 0 };

    assert_true(bytes_add(&a, "", 0));
    assert_true(bytes_add(&a, "ab", 2));
    assert_true(bytes_add(&a, "c", 1));
    assert_true(bytes_add(&a, NULL, 0));
    assert_true(bytes_is(&a, "abc", 3));
}

TEST(what_no_memory_could_hold_is_not_appended)
{
    SCOPED(bytes_end) struct bytes a = { 0 };

    assert_true(bytes_add(&a, "ab", 2));
    assert_false(bytes_add(&a, "c", SIZE_MAX - 1));
    assert_true(bytes_is(&a, "ab", 2));
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
        cmocka_unit_test(new_bytes_are_zero),
        cmocka_unit_test(without_memory_the_old_bytes_stay),
        cmocka_unit_test(ending_twice_is_harmless),
        cmocka_unit_test(stealing_leaves_nothing_behind),
        cmocka_unit_test(the_cursor_reads_nested_elements),
        cmocka_unit_test(every_truncation_is_noticed),
        cmocka_unit_test(a_failed_cursor_yields_failed_ones),
        cmocka_unit_test(what_follows_an_element_is_noticed),
        cmocka_unit_test(a_length_of_four_bytes_does_not_overflow),
        cmocka_unit_test(bytes_are_appended),
        cmocka_unit_test(what_no_memory_could_hold_is_not_appended),
    };

    return RUN(tests);
}
