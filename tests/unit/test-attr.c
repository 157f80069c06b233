#include "mock-use.h"

#include "pkcs11/object/attr.h"

static struct mock *mock;
static struct tok_module *module;
static struct tok_lease lease;
static struct tok_attrs attrs;
static char long_value[600];

static const CK_ATTRIBUTE_TYPE types[] = { CKA_ID, CKA_LABEL, CKA_MODULUS, CKA_EC_POINT };
static const size_t rooms[] = { 16, 16, 512, 16 };

/* A public object with id 7, label "name", a modulus of 600 bytes, and no point. */
static void furnish(void)
{
    struct mock_object *object;

    mock = mock_load(&module);
    mock_token(mock, "test");
    memset(long_value, 'm', sizeof(long_value));
    object = mock_object(mock, CKO_PUBLIC_KEY, "name", 7);
    mock_attr(object, CKA_MODULUS, long_value, sizeof(long_value));
    tok_lease_end(&lease);
    OK(tok_lease_begin(&lease, mock_looked(module), 0, clock_us() + SECOND));
}

/* In place of the id that it has. */
static void mock_id(struct mock_object *object, const void *id, size_t len)
{
    for (size_t i = 0; i < object->num_attrs; i++) {
        if (object->attrs[i].type == CKA_ID) {
            object->attrs[i].pValue = (void *)id;
            object->attrs[i].ulValueLen = len;
        }
    }
}

static struct tok_result read_attrs(size_t count)
{
    return tok_attrs_read(&attrs, &lease, mock->first_handle, types, rooms, count);
}

static bool value_is(CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
    struct cursor has = tok_attrs_value(&attrs, type);

    return has.left == len && (len == 0 || memcmp(has.at, value, len) == 0);
}

TEST(what_fits_costs_one_call)
{
    furnish();
    OK(read_attrs(2));
    assert_int_equal(mock->calls[MOCK_GetAttributeValue], 1);
    assert_true(value_is(CKA_ID, "\x07", 1));
    assert_true(value_is(CKA_LABEL, "name", 4));
    tok_attrs_end(&attrs);
}

TEST(where_a_module_does_not_say_what_is_missing_each_is_asked_for_alone)
{
    static const CK_RV codes[] = { CKR_ATTRIBUTE_TYPE_INVALID, CKR_ATTRIBUTE_SENSITIVE, CKR_BUFFER_TOO_SMALL };

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        furnish();
        mock->failures[MOCK_GetAttributeValue] = (struct mock_failure){ codes[i], 0, 1 };
        OK(read_attrs(4));
        assert_true(value_is(CKA_ID, "\x07", 1)); /* and not sixteen zeros, which is the room for it */
        assert_true(value_is(CKA_LABEL, "name", 4));
        assert_true(value_is(CKA_MODULUS, long_value, sizeof(long_value)));
        assert_true(value_is(CKA_EC_POINT, NULL, 0));
        tok_attrs_end(&attrs);
    }
}

TEST(an_absent_attribute_is_empty_and_costs_nothing_more)
{
    static const CK_ATTRIBUTE_TYPE some[] = { CKA_ID, CKA_EC_POINT, CKA_LABEL };

    furnish();
    OK(tok_attrs_read(&attrs, &lease, mock->first_handle, some, rooms, 3));
    assert_int_equal(mock->calls[MOCK_GetAttributeValue], 1);
    assert_true(value_is(CKA_EC_POINT, NULL, 0));
    assert_true(value_is(CKA_LABEL, "name", 4)); /* that comes after the absent one */
    assert_true(value_is(CKA_SUBJECT, NULL, 0)); /* that was never asked for */
    tok_attrs_end(&attrs);
}

TEST(what_is_longer_is_asked_for_again_alone)
{
    furnish();
    OK(read_attrs(4));
    assert_true(value_is(CKA_MODULUS, long_value, sizeof(long_value)));
    assert_true(value_is(CKA_ID, "\x07", 1));
    assert_int_equal(mock->calls[MOCK_GetAttributeValue], 2); /* which told its length */
    tok_attrs_end(&attrs);
}

TEST(a_token_that_tells_no_length_of_what_does_not_fit_is_asked_too)
{
    furnish();
    mock->tells_no_lengths = true;
    OK(read_attrs(3));
    assert_true(value_is(CKA_MODULUS, long_value, sizeof(long_value)));
    tok_attrs_end(&attrs);
}

TEST(a_token_that_refuses_a_whole_list_is_asked_one_by_one)
{
    furnish();
    mock->all_or_nothing = true;
    OK(read_attrs(4));
    assert_true(value_is(CKA_ID, "\x07", 1));
    assert_true(value_is(CKA_LABEL, "name", 4));
    assert_true(value_is(CKA_MODULUS, long_value, sizeof(long_value)));
    assert_true(value_is(CKA_EC_POINT, NULL, 0));
    tok_attrs_end(&attrs);
}

/* All that a module may do when some of a list are missing and others too long; and none of it loses a value. */
static const struct shape {
    bool all_or_nothing;
    bool tells_no_lengths;
    bool stops_at_missing;
    bool skips_missing;
    CK_RV of_missing;
} shapes[] = {
    { .tells_no_lengths = true },
    { .all_or_nothing = true },
    { .stops_at_missing = true },
    { .skips_missing = true },
    { .of_missing = CKR_ATTRIBUTE_SENSITIVE },
    { .of_missing = CKR_ATTRIBUTE_SENSITIVE, .stops_at_missing = true },
    { .of_missing = CKR_FUNCTION_FAILED },
    { .of_missing = CKR_FUNCTION_FAILED, .all_or_nothing = true },
    { .of_missing = CKR_GENERAL_ERROR, .stops_at_missing = true },
    { .of_missing = CKR_ARGUMENTS_BAD },
    { .of_missing = CKR_DEVICE_MEMORY, .stops_at_missing = true },
    { .of_missing = CKR_VENDOR_DEFINED + 7 },
};

TEST(what_is_missing_or_too_long_hides_nothing_else_whatever_the_module_does)
{
    static const CK_KEY_TYPE rsa = CKK_RSA;
    static const CK_BBOOL yes = CK_TRUE;
    static const CK_ATTRIBUTE_TYPE some[] = {
        CKA_KEY_TYPE, CKA_ID, CKA_EC_POINT, CKA_LABEL, CKA_MODULUS, CKA_SENSITIVE
    };
    static const size_t some_rooms[] = { sizeof(CK_ULONG), 16, 16, 16, 512, 1 };

    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        struct mock_object *object;

        furnish();
        object = &mock->objects[0];
        mock_attr(object, CKA_KEY_TYPE, &rsa, sizeof(rsa));
        mock_id(object, long_value, 300);
        mock_attr(object, CKA_SENSITIVE, &yes, 1);
        mock->all_or_nothing = shapes[i].all_or_nothing;
        mock->tells_no_lengths = shapes[i].tells_no_lengths;
        mock->stops_at_missing = shapes[i].stops_at_missing;
        mock->skips_missing = shapes[i].skips_missing;
        mock->of_missing = shapes[i].of_missing;
        OK(tok_attrs_read(&attrs, &lease, mock->first_handle, some, some_rooms, COUNT_OF(some)));
        assert_int_equal(tok_attrs_ulong(&attrs, CKA_KEY_TYPE, 99), CKK_RSA);
        assert_true(value_is(CKA_ID, long_value, 300));
        assert_true(value_is(CKA_LABEL, "name", 4));
        assert_true(value_is(CKA_MODULUS, long_value, sizeof(long_value)));
        assert_true(tok_attrs_bool(&attrs, CKA_SENSITIVE, false));
        assert_true(value_is(CKA_EC_POINT, NULL, 0));
        assert_true(mock->calls[MOCK_GetAttributeValue] <= 1 + 6 + 3 * 2); /* each alone, once, and by its length */
        tok_attrs_end(&attrs);
    }
}

TEST(a_number_that_was_left_as_it_was_is_none)
{
    static const CK_ATTRIBUTE_TYPE some[] = { CKA_KEY_TYPE, CKA_SENSITIVE, CKA_ID };
    static const size_t some_rooms[] = { sizeof(CK_ULONG), 1, 16 };

    furnish();
    mock->skips_missing = true;
    OK(tok_attrs_read(&attrs, &lease, mock->first_handle, some, some_rooms, 3));
    assert_int_equal(tok_attrs_ulong(&attrs, CKA_KEY_TYPE, 99), 99); /* and not CKK_RSA, which is 0 */
    assert_true(tok_attrs_bool(&attrs, CKA_SENSITIVE, true));
    assert_true(value_is(CKA_ID, "\x07", 1));
    tok_attrs_end(&attrs);
}

TEST(any_byte_may_be_an_id)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t len = 1; len <= 16; len += 5) {
            char id[16];

            memset(id, (int)byte, sizeof(id));
            furnish();
            mock_id(&mock->objects[0], id, len);
            OK(read_attrs(2));
            assert_true(value_is(CKA_ID, id, len));
            tok_attrs_end(&attrs);
        }
    }
}

TEST(a_token_in_trouble_is_not_asked_for_one_attribute_after_another)
{
    furnish();
    mock_fails(mock, MOCK_GetAttributeValue, CKR_GENERAL_ERROR, 0, 100);
    FAILS_CKR(read_attrs(4), CKR_GENERAL_ERROR);
    assert_true(mock->calls[MOCK_GetAttributeValue] <= 5);
    tok_attrs_end(&attrs);
}

TEST(a_lost_session_or_login_is_for_recovery)
{
    static const CK_RV codes[] = { CKR_SESSION_HANDLE_INVALID, CKR_SESSION_CLOSED, CKR_USER_NOT_LOGGED_IN,
                                   CKR_TOKEN_NOT_PRESENT,      CKR_DEVICE_REMOVED, CKR_CRYPTOKI_NOT_INITIALIZED };

    for (size_t i = 0; i < COUNT_OF(codes); i++) {
        furnish();
        mock_fails(mock, MOCK_GetAttributeValue, codes[i], 0, 1);
        FAILS_CKR(read_attrs(4), codes[i]);
        assert_int_equal(mock->calls[MOCK_GetAttributeValue], 1);
        tok_attrs_end(&attrs);
    }
}

TEST(a_failure_is_a_failure_and_not_an_absence)
{
    furnish();
    mock_fails(mock, MOCK_GetAttributeValue, CKR_DEVICE_ERROR, 0, 1);
    FAILS_CKR(read_attrs(2), CKR_DEVICE_ERROR);
    tok_attrs_end(&attrs);
    mock_fails(mock, MOCK_GetAttributeValue, CKR_DEVICE_ERROR, 1, 1); /* of the second call */
    FAILS_CKR(read_attrs(3), CKR_DEVICE_ERROR);
    tok_attrs_end(&attrs);
    FAILS_CKR(tok_attrs_read(&attrs, &lease, 99, types, rooms, 2), CKR_OBJECT_HANDLE_INVALID);
    tok_attrs_end(&attrs);
}

TEST(numbers_and_flags_have_their_size_or_the_default)
{
    static const CK_ULONG number = 5;
    static const CK_BBOOL yes = CK_TRUE;
    static const CK_BBOOL no = CK_FALSE;
    static const CK_ATTRIBUTE_TYPE some[] = { CKA_KEY_TYPE, CKA_LOCAL, CKA_SENSITIVE, CKA_MODULUS_BITS,
                                              CKA_EXTRACTABLE };
    static const size_t some_rooms[] = { 8, 1, 1, 8, 8 };
    struct mock_object *object;

    furnish();
    object = &mock->objects[0];
    mock_attr(object, CKA_KEY_TYPE, &number, sizeof(number));
    mock_attr(object, CKA_LOCAL, &yes, 1);
    mock_attr(object, CKA_SENSITIVE, &no, 1);
    mock_attr(object, CKA_MODULUS_BITS, "\1\2\3\4", 4); /* as a module built for 32 bits gives it */
    mock_attr(object, CKA_EXTRACTABLE, &number, sizeof(number));
    OK(tok_attrs_read(&attrs, &lease, mock->first_handle, some, some_rooms, 5));
    assert_int_equal(tok_attrs_ulong(&attrs, CKA_KEY_TYPE, 9), 5);
    assert_int_equal(tok_attrs_ulong(&attrs, CKA_MODULUS_BITS, 9), 9);
    assert_int_equal(tok_attrs_ulong(&attrs, CKA_SUBJECT, 9), 9);
    assert_true(tok_attrs_bool(&attrs, CKA_LOCAL, false));
    assert_false(tok_attrs_bool(&attrs, CKA_SENSITIVE, true));
    assert_true(tok_attrs_bool(&attrs, CKA_EXTRACTABLE, true)); /* of a wrong size */
    assert_false(tok_attrs_bool(&attrs, CKA_EXTRACTABLE, false));
    tok_attrs_end(&attrs);
}

TEST(a_copy_outlives_the_list)
{
    SCOPED(bytes_end) struct bytes label = { 0 };
    SCOPED(bytes_end) struct bytes point = { 0 };

    furnish();
    assert_true(bytes_set(&point, "old", 3));
    OK(read_attrs(4));
    OK(tok_attrs_copy(&label, &attrs, CKA_LABEL));
    OK(tok_attrs_copy(&point, &attrs, CKA_EC_POINT));
    tok_attrs_end(&attrs);
    assert_true(bytes_is(&label, "name", 4));
    assert_int_equal(point.len, 0);
}

TEST(more_attributes_than_a_list_holds_are_refused)
{
    CK_ATTRIBUTE_TYPE many[TOK_MAX_ATTRS + 1] = { 0 };
    size_t many_rooms[TOK_MAX_ATTRS + 1] = { 0 };

    furnish();
    FAILS(tok_attrs_read(&attrs, &lease, mock->first_handle, many, many_rooms, TOK_MAX_ATTRS + 1),
          TOK_CODE_BAD_ARGUMENT);
    tok_attrs_end(&attrs);
}

TEST(a_list_can_be_read_into_again)
{
    furnish();
    OK(read_attrs(4));
    OK(read_attrs(1));
    assert_true(value_is(CKA_ID, "\x07", 1));
    assert_true(value_is(CKA_MODULUS, NULL, 0));
    tok_attrs_end(&attrs);
    tok_lease_end(&lease);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_costs_one_call),
        cmocka_unit_test(where_a_module_does_not_say_what_is_missing_each_is_asked_for_alone),
        cmocka_unit_test(an_absent_attribute_is_empty_and_costs_nothing_more),
        cmocka_unit_test(what_is_longer_is_asked_for_again_alone),
        cmocka_unit_test(a_token_that_tells_no_length_of_what_does_not_fit_is_asked_too),
        cmocka_unit_test(a_token_that_refuses_a_whole_list_is_asked_one_by_one),
        cmocka_unit_test(what_is_missing_or_too_long_hides_nothing_else_whatever_the_module_does),
        cmocka_unit_test(a_number_that_was_left_as_it_was_is_none),
        cmocka_unit_test(any_byte_may_be_an_id),
        cmocka_unit_test(a_token_in_trouble_is_not_asked_for_one_attribute_after_another),
        cmocka_unit_test(a_lost_session_or_login_is_for_recovery),
        cmocka_unit_test(a_failure_is_a_failure_and_not_an_absence),
        cmocka_unit_test(numbers_and_flags_have_their_size_or_the_default),
        cmocka_unit_test(a_copy_outlives_the_list),
        cmocka_unit_test(more_attributes_than_a_list_holds_are_refused),
        cmocka_unit_test(a_list_can_be_read_into_again),
    };

    return RUN(tests);
}
