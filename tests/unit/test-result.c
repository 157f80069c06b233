/* Results and the CKR table. */
#include "unit.h"

#include <string.h>

#include "pkcs11/result/ckr.h"
#include "pkcs11/result/result.h"

TEST(a_failure_of_a_module_names_function_and_value)
{
    struct tok_result result = tok_context(tok_fail_ckr("C_Login", CKR_PIN_LOCKED), "token '%s'", "prod");

    assert_false(tok_ok(&result));
    assert_string_equal(result.message, "token 'prod': C_Login: CKR_PIN_LOCKED (0xa4)");
    assert_true(tok_is(&result, CKR_PIN_LOCKED));
    assert_false(tok_is(&result, CKR_PIN_INCORRECT));
    assert_non_null(strstr(tok_advice(&result), "security officer"));
}

TEST(a_module_that_can_not_start_has_advice_of_its_own)
{
    struct tok_result start = tok_context(tok_fail_ckr("C_Initialize", CKR_GENERAL_ERROR), "module 'x'");
    struct tok_result sign = tok_fail_ckr("C_Sign", CKR_GENERAL_ERROR);
    struct tok_result lock = tok_fail_ckr("C_Initialize", CKR_CANT_LOCK);

    assert_non_null(strstr(tok_advice(&start), "its configuration and tokens"));
    assert_null(strstr(tok_advice(&sign), "its configuration and tokens"));
    assert_null(strstr(tok_advice(&lock), "its configuration and tokens"));
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
    static const CK_RV values[] = { CKR_PIN_INCORRECT, CKR_PIN_INVALID, CKR_PIN_LEN_RANGE, CKR_PIN_EXPIRED,
                                    CKR_PIN_LOCKED };

    for (size_t i = 0; i < COUNT_OF(values); i++) {
        assert_int_equal(tok_ckr(values[i])->recovery, TOK_GIVE_UP);
    }
}

TEST(a_failure_of_our_own_has_neither_function_nor_value)
{
    struct tok_result result = tok_fail(TOK_CODE_NO_TOKEN, "no token matches '%s'", "x");

    assert_int_equal(result.code, TOK_CODE_NO_TOKEN);
    assert_int_equal(result.rv, CKR_OK);
    assert_null(result.function);
    assert_string_equal(result.message, "no token matches 'x'");
    assert_false(tok_is(&result, CKR_OK)); /* although its value is that */
}

TEST(context_keeps_code_function_and_value)
{
    struct tok_result result = tok_context(tok_fail_ckr("C_Sign", CKR_DEVICE_ERROR), "key '%s'", "www");

    result = tok_context(result, "token '%s'", "prod");
    assert_int_equal(result.code, TOK_CODE_CKR);
    assert_int_equal(result.rv, CKR_DEVICE_ERROR);
    assert_string_equal(result.function, "C_Sign");
    assert_string_equal(result.message, "token 'prod': key 'www': C_Sign: CKR_DEVICE_ERROR (0x30)");
}

TEST(a_value_that_nobody_knows_is_shown_as_a_number)
{
    assert_string_equal(tok_fail_ckr("C_Sign", 0x7777).message, "C_Sign: CKR_unknown (0x7777)");
    assert_string_equal(tok_fail_ckr("C_Sign", 0x80000042UL).message, "C_Sign: CKR_VENDOR_DEFINED (0x80000042)");
}

TEST(a_cut_message_is_whole_characters)
{
    char name[TOK_MESSAGE_SIZE + 2];
    struct tok_result result;

    for (size_t i = 0; i + 2 < sizeof(name); i += 2) {
        memcpy(name + i, "\xc3\xa4", 3);
    }
    result = tok_fail(TOK_CODE_NO_TOKEN, "%s", name);
    assert_int_equal(strlen(result.message) % 2, 0);
    assert_true(strlen(result.message) >= TOK_MESSAGE_SIZE - 3);
}

TEST(a_cut_context_still_says_where)
{
    char name[2 * TOK_MESSAGE_SIZE];
    struct tok_result result;

    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    result = tok_context(tok_fail(TOK_CODE_NO_TOKEN, "%s", name), "token 'prod'");
    assert_int_equal(strncmp(result.message, "token 'prod': xxx", 17), 0);
}

static struct tok_result tries(struct tok_result inner, int *out_reached)
{
    TOK_TRY(inner);
    *out_reached = 1;
    return tok_good();
}

TEST(trying_returns_at_a_failure_and_goes_on_after_success)
{
    int reached = 0;
    struct tok_result result = tries(tok_fail(TOK_CODE_EXITING, "the process is exiting"), &reached);

    assert_int_equal(result.code, TOK_CODE_EXITING);
    assert_int_equal(reached, 0);
    result = tries(tok_good(), &reached);
    assert_true(tok_ok(&result));
    assert_int_equal(reached, 1);
}

/* A module's CKR_GENERAL_ERROR is 5, "true" in one dialect; CKR_OK is 0, "false" in it. */
TEST(a_failure_is_a_failure_whatever_its_number)
{
    static const unsigned long values[] = { CKR_GENERAL_ERROR, CKR_CANCEL, CKR_VENDOR_DEFINED, CKR_OK };

    for (size_t i = 0; i < COUNT_OF(values); i++) {
        struct tok_result result = tok_fail_ckr("C_Sign", values[i]);

        assert_false(tok_ok(&result));
    }
}

TEST(who_must_act_is_told_what_to_write_where)
{
    static const struct {
        enum tok_code code;
        const char *says;
    } advice[] = {
        { TOK_CODE_PIN_NEEDED, "pin = file:/path" },
        { TOK_CODE_PIN_NEEDED, "pin-source=file:/path" },
        { TOK_CODE_PIN_OWN, "token.NAME.pin" },
        { TOK_CODE_NO_MODULE, "pkcs11-module = " },
        { TOK_CODE_MODULE_LOAD, "pkcs11-module" },
        { TOK_CODE_NO_TOKEN, "signet list" },
        { TOK_CODE_NO_OBJECT, "signet list" },
        { TOK_CODE_PIN_LAST_TRY, "pin-last-try = yes" },
        { TOK_CODE_TRUST, "trust-files = yes" },
        { TOK_CODE_AMBIGUOUS, "id=" },
        { TOK_CODE_DEADLINE, "deadline" },
        { TOK_CODE_BAD_URI, "pkcs11:" },
        { TOK_CODE_NO_PUBLIC_HALF, "key file" },
    };

    for (size_t i = 0; i < COUNT_OF(advice); i++) {
        struct tok_result result = tok_fail(advice[i].code, "x");

        if (strstr(tok_advice(&result), advice[i].says) == NULL) {
            fail_msg("'%s' does not say '%s'", tok_advice(&result), advice[i].says);
        }
    }
}

TEST(every_code_has_advice_or_none_but_never_no_text)
{
    for (int code = 0; code < TOK_NUM_CODES; code++) {
        struct tok_result result = tok_fail((enum tok_code)code, "x");

        assert_non_null(tok_advice(&result));
    }
}

TEST(reasons_differ_from_each_other)
{
    for (int a = 0; a < TOK_NUM_CODES; a++) {
        for (int b = 0; b < a; b++) {
            assert_string_not_equal(tok_code_reason((enum tok_code)a), tok_code_reason((enum tok_code)b));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_of_a_module_names_function_and_value),
        cmocka_unit_test(a_module_that_can_not_start_has_advice_of_its_own),
        cmocka_unit_test(context_leaves_a_good_result_alone),
        cmocka_unit_test(a_message_that_is_too_long_is_cut),
        cmocka_unit_test(every_code_has_a_reason),
        cmocka_unit_test(the_ckr_table_is_sorted_and_finds_each_row),
        cmocka_unit_test(values_that_nobody_knows_have_a_row),
        cmocka_unit_test(what_concerns_a_pin_is_never_tried_again),
        cmocka_unit_test(a_failure_of_our_own_has_neither_function_nor_value),
        cmocka_unit_test(context_keeps_code_function_and_value),
        cmocka_unit_test(a_value_that_nobody_knows_is_shown_as_a_number),
        cmocka_unit_test(a_cut_message_is_whole_characters),
        cmocka_unit_test(a_cut_context_still_says_where),
        cmocka_unit_test(trying_returns_at_a_failure_and_goes_on_after_success),
        cmocka_unit_test(a_failure_is_a_failure_whatever_its_number),
        cmocka_unit_test(who_must_act_is_told_what_to_write_where),
        cmocka_unit_test(every_code_has_advice_or_none_but_never_no_text),
        cmocka_unit_test(reasons_differ_from_each_other),
    };

    return RUN(tests);
}
