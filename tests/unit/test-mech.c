#include "mock-use.h"

#include <string.h>

#include "pkcs11/object/mech.h"

static struct bytes list_of(const CK_MECHANISM_TYPE *types, size_t count)
{
    return (struct bytes){ (uint8_t *)types, count * sizeof(*types) };
}

TEST(a_list_knows_what_it_holds)
{
    static const CK_MECHANISM_TYPE types[] = { CKM_ECDSA, CKM_RSA_PKCS_PSS };
    struct bytes list = list_of(types, 2);

    assert_int_equal(tok_mech_count(&list), 2);
    assert_true(tok_mech_among(&list, CKM_RSA_PKCS_PSS));
    assert_false(tok_mech_among(&list, CKM_RSA_PKCS));
}

TEST(a_list_need_not_lie_where_numbers_lie)
{
    static const CK_MECHANISM_TYPE type = CKM_ECDSA;
    uint8_t room[1 + sizeof(type)];
    struct bytes list = { room + 1, sizeof(type) };

    memcpy(room + 1, &type, sizeof(type));
    assert_true(tok_mech_among(&list, CKM_ECDSA));
}

TEST(what_is_no_list_holds_nothing)
{
    static const CK_MECHANISM_TYPE type = CKM_RSA_PKCS_PSS;
    struct bytes cut = { (uint8_t *)&type, sizeof(type) - 1 };
    struct bytes empty = { NULL, 0 };

    assert_int_equal(tok_mech_count(&cut), 0);
    assert_false(tok_mech_among(&cut, CKM_RSA_PKCS_PSS));
    assert_false(tok_mech_pss_only(&cut));
    assert_int_equal(tok_mech_count(&empty), 0);
}

/* An empty list means any mechanism: such a key is not restricted. */
TEST(only_a_list_of_pss_alone_is_pss_only)
{
    static const CK_MECHANISM_TYPE pss[] = { CKM_RSA_PKCS_PSS, CKM_SHA512_RSA_PKCS_PSS };
    static const CK_MECHANISM_TYPE mixed[] = { CKM_RSA_PKCS_PSS, CKM_RSA_PKCS };
    struct bytes list = list_of(pss, 2);
    struct bytes empty = { NULL, 0 };

    assert_true(tok_mech_pss_only(&list));
    list = list_of(mixed, 2);
    assert_false(tok_mech_pss_only(&list));
    assert_false(tok_mech_pss_only(&empty));
}

/* --- what a slot offers ----------------------------------------------------------------------------------------- */

static struct mock *mock;

static struct tok_token *furnish(CK_ULONG num_mechanisms)
{
    struct tok_module *module;

    mock = mock_load(&module);
    mock_token(mock, "test");
    mock->num_mechanisms = num_mechanisms;
    return mock_looked(module);
}

TEST(a_slot_is_asked_once)
{
    struct tok_token *token = furnish(2);

    assert_null(tok_mech_offered(token));
    tok_mech_ask(token, clock_us() + 10 * SECOND);
    tok_mech_ask(token, clock_us() + 10 * SECOND);
    assert_int_equal(mock->calls[MOCK_GetMechanismList], 1);
    assert_true(tok_mech_among(tok_mech_offered(token), CKM_ECDSA + 1));
    assert_false(tok_mech_among(tok_mech_offered(token), CKM_ECDSA + 2));
}

TEST(a_list_of_any_length_is_read)
{
    struct tok_token *token = furnish(600);

    tok_mech_ask(token, clock_us() + 10 * SECOND);
    assert_int_equal(mock->calls[MOCK_GetMechanismList], 2);
    assert_int_equal(tok_mech_count(tok_mech_offered(token)), 600);
    assert_true(tok_mech_among(tok_mech_offered(token), CKM_ECDSA + 599));
}

/* No list is another thing than a list without anything: nothing is refused for it. */
TEST(a_slot_that_offers_nothing_is_not_known)
{
    struct tok_token *token = furnish(0);

    tok_mech_ask(token, clock_us() + 10 * SECOND);
    tok_mech_ask(token, clock_us() + 10 * SECOND);
    assert_null(tok_mech_offered(token));
    assert_int_equal(mock->calls[MOCK_GetMechanismList], 1);
}

TEST(a_slot_that_failed_to_tell_is_asked_again)
{
    struct tok_token *token = furnish(2);

    mock_fails(mock, MOCK_GetMechanismList, CKR_DEVICE_ERROR, 0, 1);
    tok_mech_ask(token, clock_us() + 10 * SECOND);
    assert_null(tok_mech_offered(token));
    tok_mech_ask(token, clock_us() + 10 * SECOND);
    assert_int_equal(tok_mech_count(tok_mech_offered(token)), 2);
}

TEST(mechanisms_have_names)
{
    assert_string_equal(tok_mech_name(CKM_RSA_PKCS_PSS), "CKM_RSA_PKCS_PSS");
    assert_string_equal(tok_mech_name(0x80001234UL), "a mechanism");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_knows_what_it_holds),
        cmocka_unit_test(a_list_need_not_lie_where_numbers_lie),
        cmocka_unit_test(what_is_no_list_holds_nothing),
        cmocka_unit_test(only_a_list_of_pss_alone_is_pss_only),
        cmocka_unit_test(a_slot_is_asked_once),
        cmocka_unit_test(a_list_of_any_length_is_read),
        cmocka_unit_test(a_slot_that_offers_nothing_is_not_known),
        cmocka_unit_test(a_slot_that_failed_to_tell_is_asked_again),
        cmocka_unit_test(mechanisms_have_names),
    };

    return RUN(tests);
}
