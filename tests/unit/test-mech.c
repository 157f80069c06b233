#include "unit.h"

#include <string.h>

#include "pkcs11/mech.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_knows_what_it_holds),
        cmocka_unit_test(a_list_need_not_lie_where_numbers_lie),
        cmocka_unit_test(what_is_no_list_holds_nothing),
        cmocka_unit_test(only_a_list_of_pss_alone_is_pss_only),
    };

    return RUN(tests);
}
