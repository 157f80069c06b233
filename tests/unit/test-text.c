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

TEST(a_distance_is_the_number_of_letters_to_change)
{
    char longest[65];

    memset(longest, 'a', 64);
    longest[64] = '\0';
    assert_int_equal(text_distance("pin", "pin"), 0);
    assert_int_equal(text_distance("pin", "PIN"), 0);
    assert_int_equal(text_distance("pinn", "pin"), 1);
    assert_int_equal(text_distance("pin", "pn"), 1);
    assert_int_equal(text_distance("laod", "load"), 2);
    assert_int_equal(text_distance("", "pin"), 3);
    assert_int_equal(text_distance("kitten", "sitting"), 3);
    assert_true(text_distance(longest, "a") == SIZE_MAX);
    assert_int_equal(text_distance(longest + 1, "a"), 62);
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

#define E_ACUTE "\xc3\xa9"
#define EURO "\xe2\x82\xac"
#define KEY "\xf0\x9f\x94\x91"

TEST(a_buffer_of_one_byte_holds_the_empty_text)
{
    char buffer[2] = { 'x', 'y' };
    struct text text = text_over(buffer, 1);

    text_put(&text, "a");
    text_printf(&text, "%s", "b");
    assert_string_equal(buffer, "");
    assert_int_equal(buffer[1], 'y');
}

/* Every character of every length at every place of the cut. */
TEST(a_cut_leaves_whole_characters_wherever_it_falls)
{
    static const char line[] = "a" E_ACUTE EURO KEY "b" KEY EURO E_ACUTE "c";

    for (size_t size = 1; size <= sizeof(line); size++) {
        char put[sizeof(line)];
        char printed[sizeof(line)];
        struct text text = text_over(put, size);
        size_t whole = size - 1;

        text_put(&text, line);
        text = text_over(printed, size);
        text_printf(&text, "%s", line);
        while (((unsigned char)line[whole] & 0xc0) == 0x80) {
            whole--;
        }
        assert_int_equal(strlen(put), whole);
        assert_memory_equal(put, line, whole);
        assert_string_equal(printed, put);
        assert_int_equal(text.truncated, size < sizeof(line));
    }
}

TEST(bytes_that_are_no_characters_are_cut_anywhere)
{
    char buffer[4];
    struct text text = TEXT_OVER(buffer);

    text_put(&text, "\x80\x81\x82\x83\x84");
    assert_int_equal(strlen(buffer), 3);
    assert_true(text.truncated);
}

/* --- text that may be anybody's ------------------------------------------------------------------------------------
 */

static const struct {
    const char *given;
    const char *shown;
} anybodys[] = {
    { "", "" },
    { "plain 'text', 100 %", "plain 'text', 100 %" },
    { "K\303\266ln \342\202\254 \360\237\224\221",
      "K\303\266ln \342\202\254 \360\237\224\221" }, /* two to four bytes each */
    { "a\nb\r\tc\033[2Jd\177", "a?b??c?[2Jd?" },
    { "\302\205\302\233x", "??x" },                               /* C1: next line, and ESC [ in one */
    { "a\342\200\250b\342\200\251", "a?b?" },                     /* separators of lines and paragraphs */
    { "\342\200\256gnp.exe\342\200\254", "?gnp.exe?" },           /* written from right to left */
    { "\342\201\246x\342\201\251\342\200\217\330\234", "?x???" }, /* isolates and marks */
    { "\377\376a\200", "??a?" },                                  /* no UTF-8 */
    { "K\366ln", "K?ln" },                                        /* Latin-1 */
    { "\300\212\340\200\212", "?????" },                          /* a line end in more bytes than it has */
    { "\355\240\200\364\220\200\200", "???????" },                /* a surrogate, and beyond the last character */
    { "end\342\202", "end??" },                                   /* cut off */
    { "\370\210\200\200\212", "?????" },
};

TEST(what_may_be_anybodys_is_made_one_clean_line)
{
    for (size_t i = 0; i < COUNT_OF(anybodys); i++) {
        char room[64];
        struct text text = TEXT_OVER(room);

        text_put_clean(&text, anybodys[i].given, strlen(anybodys[i].given));
        assert_string_equal(room, anybodys[i].shown);
        assert_int_equal(text.len, strlen(anybodys[i].shown));
        strcpy(room, anybodys[i].given);
        assert_int_equal(text_clean(room), strlen(anybodys[i].shown));
        assert_string_equal(room, anybodys[i].shown);
        assert_int_equal(text_clean(room), strlen(anybodys[i].shown)); /* a second time changes nothing */
    }
}

TEST(no_byte_hurts_wherever_it_stands)
{
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            char bytes[] = { (char)first, (char)second, 'x' };
            char room[8];
            struct text text = TEXT_OVER(room);

            text_put_clean(&text, bytes, sizeof(bytes));
            assert_true(text.len <= 3 && strlen(room) == text.len);
            assert_int_equal(room[text.len - 1], 'x'); /* no byte swallows what follows */
            for (size_t i = 0; i < text.len; i++) {
                assert_true((unsigned char)room[i] >= ' ' && room[i] != 0x7f);
            }
        }
    }
}

TEST(clean_text_is_cut_like_any)
{
    char room[6];
    struct text text = TEXT_OVER(room);

    text_put_clean(&text, "abcd\303\244", 6);
    assert_string_equal(room, "abcd");
    assert_true(text.truncated);
    text_put_clean(&text, "e", 1);
    assert_string_equal(room, "abcd");
}

TEST(words_are_the_same_in_any_case)
{
    assert_true(text_same_word("Yes", "yES"));
    assert_false(text_same_word("yes", "yess"));
    assert_false(text_same_word("", "y"));
}

TEST(empty_items_are_items)
{
    char list[] = ",  ,x,";
    char *rest = list;

    assert_string_equal(text_next_item(&rest), "");
    assert_string_equal(text_next_item(&rest), "");
    assert_string_equal(text_next_item(&rest), "x");
    assert_string_equal(text_next_item(&rest), "");
    assert_null(text_next_item(&rest));
}

TEST(an_empty_list_has_one_empty_item)
{
    char list[] = "";
    char *rest = list;

    assert_string_equal(text_next_item(&rest), "");
    assert_null(text_next_item(&rest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_grows_piece_by_piece),
        cmocka_unit_test(text_that_does_not_fit_is_cut_and_marked),
        cmocka_unit_test(a_cut_leaves_no_half_of_a_character),
        cmocka_unit_test(a_printed_text_of_just_the_size_is_whole),
        cmocka_unit_test(a_distance_is_the_number_of_letters_to_change),
        cmocka_unit_test(lists_are_walked_item_by_item),
        cmocka_unit_test(a_buffer_of_one_byte_holds_the_empty_text),
        cmocka_unit_test(a_cut_leaves_whole_characters_wherever_it_falls),
        cmocka_unit_test(bytes_that_are_no_characters_are_cut_anywhere),
        cmocka_unit_test(what_may_be_anybodys_is_made_one_clean_line),
        cmocka_unit_test(no_byte_hurts_wherever_it_stands),
        cmocka_unit_test(clean_text_is_cut_like_any),
        cmocka_unit_test(words_are_the_same_in_any_case),
        cmocka_unit_test(empty_items_are_items),
        cmocka_unit_test(an_empty_list_has_one_empty_item),
    };

    return RUN(tests);
}
