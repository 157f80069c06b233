/* Results and the CKR table. */
#include "unit.h"

#include <string.h>

#include "pkcs11/ckr.h"
#include "pkcs11/result.h"

TEST(a_failure_of_a_module_names_function_and_value)
{
    struct tok_result result = tok_context(tok_fail_ckr("C_Login", CKR_PIN_LOCKED), "token '%s'", "prod");

    assert_false(tok_ok(&result));
    assert_string_equal(result.message, "token 'prod': C_Login: CKR_PIN_LOCKED (0xa4)");
    assert_true(tok_is(&result, CKR_PIN_LOCKED));
    assert_false(tok_is(&result, CKR_PIN_INCORRECT));
    assert_non_null(strstr(tok_advice(&result), "security officer"));
}

TEST(context_leaves_a_good_result_alone)
{
    struct tok_result result = tok_context(tok_good(), "anything");

    assert_true(tok_ok(&result));
}

TEST(a_message_that_is_too_long_is_cut)
{
    char name[2000];
    struct tok_result result;

    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    result = tok_context(tok_fail(TOK_CODE_NO_TOKEN, "%s", name), "%s", name);
    assert_true(strlen(result.message) < TOK_MESSAGE_SIZE);
}

TEST(every_code_has_a_reason)
{
    for (int code = 0; code < TOK_NUM_CODES; code++) {
        assert_non_null(tok_code_reason((enum tok_code)code));
        assert_true(strlen(tok_code_reason((enum tok_code)code)) > 3);
    }
}

TEST(the_ckr_table_is_sorted_and_finds_each_row)
{
    size_t count;
    const struct tok_ckr *rows = tok_ckr_rows(&count);

    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(tok_ckr(rows[i].rv), &rows[i]);
        assert_true(i == 0 || rows[i - 1].rv < rows[i].rv);
        assert_int_equal(strncmp(rows[i].name, "CKR_", 4), 0);
    }
}

TEST(values_that_nobody_knows_have_a_row)
{
    assert_string_equal(tok_ckr(CKR_VENDOR_DEFINED | 0x1234)->name, "CKR_VENDOR_DEFINED");
    assert_string_equal(tok_ckr(0x7777)->name, "CKR_unknown");
}

TEST(what_concerns_a_pin_is_never_tried_again)
{
    static const CK_RV values[] = { CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE, CKR_PIN_EXPIRED, CKR_PIN_LOCKED };

    for (size_t i = 0; i < COUNT_OF(values); i++) {
        assert_int_equal(tok_ckr(values[i])->recovery, TOK_GIVE_UP);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_of_a_module_names_function_and_value),
        cmocka_unit_test(context_leaves_a_good_result_alone),
        cmocka_unit_test(a_message_that_is_too_long_is_cut),
        cmocka_unit_test(every_code_has_a_reason),
        cmocka_unit_test(the_ckr_table_is_sorted_and_finds_each_row),
        cmocka_unit_test(values_that_nobody_knows_have_a_row),
        cmocka_unit_test(what_concerns_a_pin_is_never_tried_again),
    };

    return RUN(tests);
}
