#include "key-use.h"

#define POINT_BYTES 65 /* of P-256 */

static const CK_MECHANISM agreement = { CKM_ECDH1_DERIVE, NULL, 0 };
static const uint8_t peer[POINT_BYTES] = { 4, 1 };

static struct tok_result derive(void)
{
    uint8_t out[32];
    size_t len = sizeof(out);

    TOK_TRY(tok_key_derive_until(key, &agreement, peer, POINT_BYTES, out, &len, 0));
    if (len != 3 || memcmp(out, "www", 3) != 0) {
        return tok_fail(TOK_CODE_OTHER_KEY, "that is not the secret");
    }
    return tok_good();
}

/* How many C_DeriveKey a derivation takes. */
static unsigned calls_to_derive(void)
{
    unsigned before = mock->calls[MOCK_DeriveKey];

    OK(derive());
    assert_null(mock->secret);
    return mock->calls[MOCK_DeriveKey] - before;
}

TEST(a_token_that_takes_the_bare_point_is_asked_once)
{
    furnish();
    mock->points = MOCK_BARE_POINTS;
    assert_int_equal(calls_to_derive(), 1);
    assert_int_equal(mock->calls[MOCK_DestroyObject], 1);
}

TEST(a_token_that_wants_the_point_wrapped_refuses_one_call_and_no_more)
{
    static const CK_RV refusals[] = { CKR_MECHANISM_PARAM_INVALID,
                                      CKR_ARGUMENTS_BAD,
                                      CKR_DOMAIN_PARAMS_INVALID,
                                      CKR_DATA_INVALID,
                                      CKR_DATA_LEN_RANGE,
                                      CKR_GENERAL_ERROR,
                                      0x1b9UL };

    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        furnish();
        mock->points = MOCK_WRAPPED_POINTS;
        mock->points_refused = refusals[i];
        assert_int_equal(calls_to_derive(), 2);
        assert_int_equal(calls_to_derive(), 1);
    }
}

TEST(what_is_remembered_is_of_the_token_and_may_change_with_it)
{
    furnish();
    mock->points = MOCK_WRAPPED_POINTS;
    mock->points_refused = CKR_MECHANISM_PARAM_INVALID;
    assert_int_equal(calls_to_derive(), 2);
    mock->points = MOCK_BARE_POINTS; /* another version of it, say */
    assert_int_equal(calls_to_derive(), 2);
    assert_int_equal(calls_to_derive(), 1);
}

TEST(a_point_that_is_refused_in_either_form_is_an_error_after_two_calls)
{
    furnish();
    mock_fails(mock, MOCK_DeriveKey, CKR_MECHANISM_PARAM_INVALID, 0, 2);
    FAILS_CKR(derive(), CKR_MECHANISM_PARAM_INVALID);
    SAYS("C_DeriveKey");
    assert_int_equal(mock->calls[MOCK_DeriveKey], 2);
    assert_int_equal(calls_to_derive(), 1);
}

TEST(refusals_that_are_not_about_the_point_are_not_answered_by_another_form)
{
    furnish();
    mock_fails(mock, MOCK_DeriveKey, CKR_KEY_FUNCTION_NOT_PERMITTED, 0, 1);
    FAILS_CKR(derive(), CKR_KEY_FUNCTION_NOT_PERMITTED);
    assert_int_equal(mock->calls[MOCK_DeriveKey], 1);
}

TEST(a_session_that_is_lost_before_the_other_form_is_asked_for_is_survived)
{
    furnish();
    OK(derive());
    mock->points = MOCK_WRAPPED_POINTS;
    mock->points_refused = CKR_MECHANISM_PARAM_INVALID;
    mock_fails(mock, MOCK_DeriveKey, CKR_SESSION_HANDLE_INVALID, 1, 1);
    assert_int_equal(calls_to_derive(), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_that_takes_the_bare_point_is_asked_once),
        cmocka_unit_test(a_token_that_wants_the_point_wrapped_refuses_one_call_and_no_more),
        cmocka_unit_test(what_is_remembered_is_of_the_token_and_may_change_with_it),
        cmocka_unit_test(a_point_that_is_refused_in_either_form_is_an_error_after_two_calls),
        cmocka_unit_test(refusals_that_are_not_about_the_point_are_not_answered_by_another_form),
        cmocka_unit_test(a_session_that_is_lost_before_the_other_form_is_asked_for_is_survived),
    };

    return RUN(tests);
}
