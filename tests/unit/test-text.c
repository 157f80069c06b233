#include "unit.h"

#include <string.h>

#include "base/scoped.h"
#include "base/text.h"

TEST(text_grows_piece_by_piece)
{
    char buffer[32];
    struct text text = TEXT_OVER(buffer);

    text_put(&text, "token ");
    text_printf(&text, "'%s' %d", "a", 7);
    text_put_hex(&text, "\x01\xfe", 2);
    assert_string_equal(buffer, "token 'a' 701fe");
    assert_false(text.truncated);
}

TEST(text_that_does_not_fit_is_cut_and_marked)
{
    char buffer[8];
    struct text text = TEXT_OVER(buffer);

    text_put(&text, "0123456789");
    assert_string_equal(buffer, "0123456");
    assert_true(text.truncated);
    text_put(&text, "more");
    assert_string_equal(buffer, "0123456");
}

TEST(a_cut_leaves_no_half_of_a_character)
{
    char buffer[6];
    struct text put = TEXT_OVER(buffer);

    text_put(&put, "abcd\xc3\xa4"); /* five bytes of room, the last character has two */
    assert_string_equal(buffer, "abcd");
    put = TEXT_OVER(buffer);
    text_printf(&put, "%s", "abcd\xc3\xa4");
    assert_string_equal(buffer, "abcd");
}

TEST(a_printed_text_of_just_the_size_is_whole)
{
    char buffer[5];
    struct text text = TEXT_OVER(buffer);

    text_printf(&text, "%s", "abcd");
    assert_string_equal(buffer, "abcd");
    assert_false(text.truncated);
}

TEST(lists_are_walked_item_by_item)
{
    char list[] = " one,two ,,three";
    char *rest = list;

    assert_string_equal(text_next_item(&rest), "one");
    assert_string_equal(text_next_item(&rest), "two");
    assert_string_equal(text_next_item(&rest), "");
    assert_string_equal(text_next_item(&rest), "three");
    assert_null(text_next_item(&rest));
    assert_null(text_next_item(&rest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_grows_piece_by_piece),
        cmocka_unit_test(text_that_does_not_fit_is_cut_and_marked),
        cmocka_unit_test(a_cut_leaves_no_half_of_a_character),
        cmocka_unit_test(a_printed_text_of_just_the_size_is_whole),
        cmocka_unit_test(lists_are_walked_item_by_item),
    };

    return RUN(tests);
}
