/* The CKR table, against a second copy of the standard's numbers: those of p11-kit's header differ in places. */
#include "unit.h"

#include <ctype.h>
#include <string.h>

#include "base/scoped.h"
#include "pkcs11/result/ckr.h"

/* clang-format off */
/* PKCS#11 v3.1, and from 0x204 v3.2. */
static const struct {
    CK_RV rv;
    const char *name;
} standard[] = {
    { 0x000, "OK" }, { 0x001, "CANCEL" }, { 0x002, "HOST_MEMORY" }, { 0x003, "SLOT_ID_INVALID" },
    { 0x005, "GENERAL_ERROR" }, { 0x006, "FUNCTION_FAILED" }, { 0x007, "ARGUMENTS_BAD" }, { 0x008, "NO_EVENT" },
    { 0x009, "NEED_TO_CREATE_THREADS" }, { 0x00a, "CANT_LOCK" }, { 0x010, "ATTRIBUTE_READ_ONLY" },
    { 0x011, "ATTRIBUTE_SENSITIVE" }, { 0x012, "ATTRIBUTE_TYPE_INVALID" }, { 0x013, "ATTRIBUTE_VALUE_INVALID" },
    { 0x01b, "ACTION_PROHIBITED" }, { 0x020, "DATA_INVALID" }, { 0x021, "DATA_LEN_RANGE" },
    { 0x030, "DEVICE_ERROR" }, { 0x031, "DEVICE_MEMORY" }, { 0x032, "DEVICE_REMOVED" },
    { 0x040, "ENCRYPTED_DATA_INVALID" }, { 0x041, "ENCRYPTED_DATA_LEN_RANGE" }, { 0x042, "AEAD_DECRYPT_FAILED" },
    { 0x050, "FUNCTION_CANCELED" }, { 0x051, "FUNCTION_NOT_PARALLEL" }, { 0x054, "FUNCTION_NOT_SUPPORTED" },
    { 0x060, "KEY_HANDLE_INVALID" }, { 0x062, "KEY_SIZE_RANGE" }, { 0x063, "KEY_TYPE_INCONSISTENT" },
    { 0x064, "KEY_NOT_NEEDED" }, { 0x065, "KEY_CHANGED" }, { 0x066, "KEY_NEEDED" }, { 0x067, "KEY_INDIGESTIBLE" },
    { 0x068, "KEY_FUNCTION_NOT_PERMITTED" }, { 0x069, "KEY_NOT_WRAPPABLE" }, { 0x06a, "KEY_UNEXTRACTABLE" },
    { 0x070, "MECHANISM_INVALID" }, { 0x071, "MECHANISM_PARAM_INVALID" }, { 0x082, "OBJECT_HANDLE_INVALID" },
    { 0x090, "OPERATION_ACTIVE" }, { 0x091, "OPERATION_NOT_INITIALIZED" }, { 0x0a0, "PIN_INCORRECT" },
    { 0x0a1, "PIN_INVALID" }, { 0x0a2, "PIN_LEN_RANGE" }, { 0x0a3, "PIN_EXPIRED" }, { 0x0a4, "PIN_LOCKED" },
    { 0x0b0, "SESSION_CLOSED" }, { 0x0b1, "SESSION_COUNT" }, { 0x0b3, "SESSION_HANDLE_INVALID" },
    { 0x0b4, "SESSION_PARALLEL_NOT_SUPPORTED" }, { 0x0b5, "SESSION_READ_ONLY" }, { 0x0b6, "SESSION_EXISTS" },
    { 0x0b7, "SESSION_READ_ONLY_EXISTS" }, { 0x0b8, "SESSION_READ_WRITE_SO_EXISTS" },
    { 0x0c0, "SIGNATURE_INVALID" }, { 0x0c1, "SIGNATURE_LEN_RANGE" }, { 0x0d0, "TEMPLATE_INCOMPLETE" },
    { 0x0d1, "TEMPLATE_INCONSISTENT" }, { 0x0e0, "TOKEN_NOT_PRESENT" }, { 0x0e1, "TOKEN_NOT_RECOGNIZED" },
    { 0x0e2, "TOKEN_WRITE_PROTECTED" }, { 0x0f0, "UNWRAPPING_KEY_HANDLE_INVALID" },
    { 0x0f1, "UNWRAPPING_KEY_SIZE_RANGE" }, { 0x0f2, "UNWRAPPING_KEY_TYPE_INCONSISTENT" },
    { 0x100, "USER_ALREADY_LOGGED_IN" }, { 0x101, "USER_NOT_LOGGED_IN" }, { 0x102, "USER_PIN_NOT_INITIALIZED" },
    { 0x103, "USER_TYPE_INVALID" }, { 0x104, "USER_ANOTHER_ALREADY_LOGGED_IN" }, { 0x105, "USER_TOO_MANY_TYPES" },
    { 0x110, "WRAPPED_KEY_INVALID" }, { 0x112, "WRAPPED_KEY_LEN_RANGE" }, { 0x113, "WRAPPING_KEY_HANDLE_INVALID" },
    { 0x114, "WRAPPING_KEY_SIZE_RANGE" }, { 0x115, "WRAPPING_KEY_TYPE_INCONSISTENT" },
    { 0x120, "RANDOM_SEED_NOT_SUPPORTED" }, { 0x121, "RANDOM_NO_RNG" }, { 0x130, "DOMAIN_PARAMS_INVALID" },
    { 0x140, "CURVE_NOT_SUPPORTED" }, { 0x150, "BUFFER_TOO_SMALL" }, { 0x160, "SAVED_STATE_INVALID" },
    { 0x170, "INFORMATION_SENSITIVE" }, { 0x180, "STATE_UNSAVEABLE" }, { 0x190, "CRYPTOKI_NOT_INITIALIZED" },
    { 0x191, "CRYPTOKI_ALREADY_INITIALIZED" }, { 0x1a0, "MUTEX_BAD" }, { 0x1a1, "MUTEX_NOT_LOCKED" },
    { 0x1b0, "NEW_PIN_MODE" }, { 0x1b1, "NEXT_OTP" }, { 0x1b5, "EXCEEDED_MAX_ITERATIONS" },
    { 0x1b6, "FIPS_SELF_TEST_FAILED" }, { 0x1b7, "LIBRARY_LOAD_FAILED" }, { 0x1b8, "PIN_TOO_WEAK" },
    { 0x1b9, "PUBLIC_KEY_INVALID" }, { 0x200, "FUNCTION_REJECTED" }, { 0x201, "TOKEN_RESOURCE_EXCEEDED" },
    { 0x202, "OPERATION_CANCEL_FAILED" }, { 0x203, "KEY_EXHAUSTED" }, { 0x204, "PENDING" },
    { 0x205, "SESSION_ASYNC_NOT_SUPPORTED" }, { 0x206, "SEED_RANDOM_REQUIRED" },
    { 0x207, "OPERATION_NOT_VALIDATED" }, { 0x208, "TOKEN_NOT_INITIALIZED" },
    { 0x209, "PARAMETER_SET_NOT_SUPPORTED" },
};
/* clang-format on */

TEST(the_table_is_the_standard_s_no_row_more_or_less)
{
    size_t count;
    const struct tok_ckr *rows = tok_ckr_rows(&count);

    for (size_t i = 0; i < COUNT_OF(standard) && i < count; i++) {
        assert_string_equal(rows[i].name + strlen("CKR_"), standard[i].name);
        assert_int_equal(rows[i].rv, standard[i].rv);
    }
    assert_int_equal(count, COUNT_OF(standard));
}

/* Every value of 16 bits: a search that the sort misleads would give a neighbour. */
TEST(each_value_finds_its_row_or_none)
{
    size_t next = 0;

    for (CK_RV rv = 0; rv < 0x10000; rv++) {
        const struct tok_ckr *row = tok_ckr(rv);

        if (next < COUNT_OF(standard) && standard[next].rv == rv) {
            assert_int_equal(row->rv, rv);
            assert_string_equal(row->name + strlen("CKR_"), standard[next++].name);
        } else {
            assert_string_equal(row->name, "CKR_unknown");
        }
    }
    assert_int_equal(next, COUNT_OF(standard));
}

TEST(vendors_values_are_known_as_such_and_final)
{
    static const CK_RV values[] = { CKR_VENDOR_DEFINED, CKR_VENDOR_DEFINED + 1, 0xffffffffUL, ~0UL };

    for (size_t i = 0; i < COUNT_OF(values); i++) {
        assert_string_equal(tok_ckr(values[i])->name, "CKR_VENDOR_DEFINED");
        assert_int_equal(tok_ckr(values[i])->recovery, TOK_GIVE_UP);
    }
    assert_int_equal(tok_ckr(0x7fffffffUL)->recovery, TOK_GIVE_UP);
}

TEST(advice_is_one_sentence_that_begins_with_a_capital)
{
    size_t count;
    const struct tok_ckr *rows = tok_ckr_rows(&count);

    for (size_t i = 0; i < count; i++) {
        const char *advice = rows[i].advice;

        assert_non_null(advice);
        if (advice[0] != '\0') {
            assert_true(isupper((unsigned char)advice[0]));
            assert_int_not_equal(advice[strlen(advice) - 1], '.');
            assert_null(strchr(advice, '\n'));
            assert_true(strlen(advice) < 200);
        }
    }
}

TEST(what_an_administrator_meets_comes_with_advice)
{
    static const CK_RV values[] = {
        CKR_PIN_INCORRECT,
        CKR_PIN_LOCKED,
        CKR_PIN_EXPIRED,
        CKR_PIN_LEN_RANGE,
        CKR_USER_PIN_NOT_INITIALIZED,
        CKR_USER_NOT_LOGGED_IN,
        CKR_TOKEN_NOT_PRESENT,
        CKR_DEVICE_REMOVED,
        CKR_DEVICE_ERROR,
        CKR_GENERAL_ERROR,
        CKR_FUNCTION_FAILED,
        CKR_SESSION_COUNT,
        CKR_DEVICE_MEMORY,
        CKR_MECHANISM_INVALID,
        CKR_KEY_FUNCTION_NOT_PERMITTED,
        CKR_ARGUMENTS_BAD,
        CKR_HOST_MEMORY,
    };

    for (size_t i = 0; i < COUNT_OF(values); i++) {
        if (tok_ckr(values[i])->advice[0] == '\0') {
            fail_msg("%s has no advice", tok_ckr(values[i])->name);
        }
    }
}

/* Another row here is another answer after which a PIN that may be wrong is sent again. */
TEST(few_answers_say_that_nobody_looked_at_a_pin_or_that_the_token_went_amid_the_look)
{
    static const CK_RV unseen[] = { CKR_SESSION_HANDLE_INVALID, CKR_TOKEN_NOT_PRESENT, CKR_USER_ALREADY_LOGGED_IN,
                                    CKR_USER_ANOTHER_ALREADY_LOGGED_IN, CKR_CRYPTOKI_NOT_INITIALIZED };
    static const CK_RV cut_short[] = { CKR_DEVICE_REMOVED, CKR_SESSION_CLOSED };
    size_t count;
    const struct tok_ckr *rows = tok_ckr_rows(&count);
    size_t num[2] = { 0, 0 };

    for (size_t i = 0; i < count; i++) {
        num[0] += rows[i].pin == TOK_PIN_UNSEEN;
        num[1] += rows[i].pin == TOK_PIN_CUT_SHORT;
    }
    assert_int_equal(num[0], COUNT_OF(unseen));
    assert_int_equal(num[1], COUNT_OF(cut_short));
    for (size_t i = 0; i < COUNT_OF(unseen); i++) {
        assert_int_equal(tok_ckr(unseen[i])->pin, TOK_PIN_UNSEEN);
    }
    for (size_t i = 0; i < COUNT_OF(cut_short); i++) {
        assert_int_equal(tok_ckr(cut_short[i])->pin, TOK_PIN_CUT_SHORT);
    }
}

/* What tokens were seen to answer, and what made them serve again. */
TEST(each_trouble_asks_for_the_recovery_that_helped)
{
    static const struct {
        CK_RV rv;
        enum tok_recovery recovery;
    } seen[] = {
        /* a token gone, or its daemon */
        { CKR_DEVICE_ERROR, TOK_LOOK_AGAIN },
        { CKR_DEVICE_REMOVED, TOK_SLOT_AGAIN },
        { CKR_GENERAL_ERROR, TOK_LOOK_AGAIN },
        { CKR_FUNCTION_FAILED, TOK_LOOK_AGAIN },
        { CKR_TOKEN_NOT_PRESENT, TOK_SLOT_AGAIN },
        { CKR_TOKEN_NOT_RECOGNIZED, TOK_SLOT_AGAIN },
        { CKR_SLOT_ID_INVALID, TOK_SLOT_AGAIN },
        /* a session lost, or with an operation left open */
        { CKR_SESSION_HANDLE_INVALID, TOK_NEW_SESSION },
        { CKR_SESSION_CLOSED, TOK_NEW_SESSION },
        { CKR_OPERATION_ACTIVE, TOK_NEW_SESSION },
        { CKR_OPERATION_NOT_INITIALIZED, TOK_NEW_SESSION },
        { 0x202, TOK_NEW_SESSION }, /* CKR_OPERATION_CANCEL_FAILED */
        /* a login lost, a handle lost, a module finalised by somebody else */
        { CKR_USER_NOT_LOGGED_IN, TOK_LOG_IN_AGAIN },
        { CKR_KEY_HANDLE_INVALID, TOK_FIND_AGAIN },
        { CKR_OBJECT_HANDLE_INVALID, TOK_FIND_AGAIN },
        { CKR_CRYPTOKI_NOT_INITIALIZED, TOK_INITIALIZE },
        /* a limit reached */
        { CKR_SESSION_COUNT, TOK_WAIT },
        { CKR_DEVICE_MEMORY, TOK_WAIT },
        { 0x201, TOK_WAIT }, /* CKR_TOKEN_RESOURCE_EXCEEDED */
        /* NSS's word for a key used without a login; SoftHSM's, when many processes start at once */
        { CKR_HOST_MEMORY, TOK_LOG_IN_AGAIN },
        { CKR_USER_PIN_NOT_INITIALIZED, TOK_MOMENT },
        /* answers that no second try betters */
        { CKR_PIN_INCORRECT, TOK_GIVE_UP },
        { CKR_PIN_LOCKED, TOK_GIVE_UP },
        { CKR_PIN_EXPIRED, TOK_GIVE_UP },
        { CKR_PIN_LEN_RANGE, TOK_GIVE_UP },
        { CKR_PIN_INVALID, TOK_GIVE_UP },
        { CKR_MECHANISM_INVALID, TOK_GIVE_UP },
        { CKR_KEY_FUNCTION_NOT_PERMITTED, TOK_GIVE_UP },
        { CKR_DATA_LEN_RANGE, TOK_GIVE_UP },
        { CKR_OK, TOK_GIVE_UP },
    };

    for (size_t i = 0; i < COUNT_OF(seen); i++) {
        int stays = seen[i].rv == CKR_DEVICE_ERROR || seen[i].rv == CKR_DEVICE_REMOVED;

        if (tok_ckr(seen[i].rv)->recovery != seen[i].recovery) {
            fail_msg("%s asks for recovery %d", tok_ckr(seen[i].rv)->name, (int)tok_ckr(seen[i].rv)->recovery);
        }
        assert_int_equal(tok_ckr(seen[i].rv)->then, stays ? TOK_REINITIALIZE : TOK_GIVE_UP);
    }
}

TEST(mechanisms_have_names)
{
    assert_string_equal(tok_ckm_name(0x0001), "CKM_RSA_PKCS");
    assert_string_equal(tok_ckm_name(0x0000), "CKM_RSA_PKCS_KEY_PAIR_GEN");
    assert_string_equal(tok_ckm_name(0x000d), "CKM_RSA_PKCS_PSS");
    assert_string_equal(tok_ckm_name(0x1041), "CKM_ECDSA");
    assert_string_equal(tok_ckm_name(0x1050), "CKM_ECDH1_DERIVE");
    assert_string_equal(tok_ckm_name(0x1055), "CKM_EC_EDWARDS_KEY_PAIR_GEN");
    assert_string_equal(tok_ckm_name(0x1056), "CKM_EC_MONTGOMERY_KEY_PAIR_GEN");
    assert_string_equal(tok_ckm_name(0x1057), "CKM_EDDSA");
    assert_null(tok_ckm_name(0x7777));
    assert_null(tok_ckm_name(CK_UNAVAILABLE_INFORMATION));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_the_standard_s_no_row_more_or_less),
        cmocka_unit_test(each_value_finds_its_row_or_none),
        cmocka_unit_test(vendors_values_are_known_as_such_and_final),
        cmocka_unit_test(advice_is_one_sentence_that_begins_with_a_capital),
        cmocka_unit_test(what_an_administrator_meets_comes_with_advice),
        cmocka_unit_test(few_answers_say_that_nobody_looked_at_a_pin_or_that_the_token_went_amid_the_look),
        cmocka_unit_test(each_trouble_asks_for_the_recovery_that_helped),
        cmocka_unit_test(mechanisms_have_names),
    };

    return RUN(tests);
}
