/* What a module answers is checked before anybody believes it: each test is an answer that crashed, hung or passed for
 * a result before it was. */
#include "key-use.h"

#include "pkcs11/module/answer.h"
#include "pkcs11/object/attr.h"
#include "pkcs11/object/mech.h"
#include "pkcs11/object/object.h"

/* The arguments of ODD_LENGTH and its kind, in the order of hostile.c's table. */
enum { TO_NONE, TO_MINUS_ONE, TO_ONE_MORE, TO_SIX_MORE, TO_WRAPPING, TO_ONE_LESS, NUM_LENGTHS = 16 };
#define TO_ROOM 8
#define ZEROS 0 /* a pattern */

static struct tok_lease lease;
static CK_ULONG num_found;

/* A token with the keys "www" and "two", and a session on it. */
static void furnish_session(void)
{
    tok_lease_end(&lease);
    furnish_settings();
    mock_token(mock, "test")->info.flags = CKF_TOKEN_INITIALIZED;
    mock_ec_key(mock, CKO_PUBLIC_KEY, "www", 1, point);
    mock_ec_key(mock, CKO_PUBLIC_KEY, "two", 2, point);
    OK(tok_lease_begin(&lease, mock_looked(module), 0, clock_us() + 10 * SECOND));
}

static struct tok_result search(void)
{
    SCOPED(tok_handles_end) struct tok_handles found = { .items = NULL };

    return tok_search(&found, &lease, CKO_PUBLIC_KEY, NULL, NULL, false);
}

/* --- counts ------------------------------------------------------------------------------------------------------- */

TEST(more_objects_than_were_asked_for_are_none)
{
    static const unsigned char more[] = { TO_MINUS_ONE, TO_ONE_MORE, TO_SIX_MORE, TO_WRAPPING };

    for (size_t i = 0; i < COUNT_OF(more); i++) {
        furnish_session();
        mock_odd(HOSTILE_FindObjects, 0, ODD_LENGTH, more[i], 0);
        FAILS(search(), TOK_CODE_ANSWER);
        SAYS("C_FindObjects answered");
    }
    SAYS("room for 128");
}

TEST(a_handle_that_was_not_filled_in_is_none)
{
    furnish_session();
    mock_odd(HOSTILE_FindObjects, 0, ODD_LENGTH_ONLY, TO_ROOM, 0);
    FAILS(search(), TOK_CODE_ANSWER);
}

/* Always another object. */
static CK_RV another(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *out, CK_ULONG room, CK_ULONG *count)
{
    (void)session;
    for (*count = 0; *count < room;) {
        out[(*count)++] = ++num_found;
    }
    return CKR_OK;
}

TEST(a_search_that_never_ends_is_ended)
{
    CK_FUNCTION_LIST functions;

    furnish_session();
    functions = *lease.functions;
    functions.C_FindObjects = another;
    lease.functions = &functions;
    num_found = 0;
    FAILS(search(), TOK_CODE_ANSWER);
    SAYS("room for 100000");
    assert_true(num_found <= ANSWER_MOST_OBJECTS + 128);
    assert_true(lease.op_open); /* so that its session is closed */
    lease.functions = module->functions;
}

TEST(a_search_that_goes_round_is_ended)
{
    static const int kinds[] = { ODD_FULL, ODD_LENGTH }; /* all objects the same; one more, and not written */

    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        furnish_session();
        mock->found_at_once = 1;
        mock_odd(HOSTILE_FindObjects, 0, kinds[i] | ODD_FOREVER, kinds[i] == ODD_FULL ? 7 : 9, 0);
        FAILS(search(), TOK_CODE_ANSWER);
        assert_true(mock->calls[MOCK_FindObjects] <= 5);
    }
}

TEST(a_search_is_over_at_the_deadline)
{
    furnish_session();
    lease.deadline_us = clock_us();
    for (unsigned char i = 3; i < 250; i++) {
        mock_ec_key(mock, CKO_PUBLIC_KEY, "more", i, point);
    }
    FAILS(search(), TOK_CODE_DEADLINE);
    assert_int_equal(mock->calls[MOCK_FindObjects], 1);
}

TEST(a_listing_is_over_at_the_deadline)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish_session();
    for (unsigned char i = 3; i < 100; i++) {
        mock_ec_key(mock, CKO_PUBLIC_KEY, "more", i, point);
    }
    mock->delay_us[MOCK_GetAttributeValue] = 20000;
    settings.deadline_us = 50000;
    OK(tok_uri_parse(&uri, "pkcs11:token=test;type=public", TOK_URI_FROM_APPLICATION));
    FAILS(tok_find(&items, &settings, uri, TOK_WANT_PUBLIC, NULL), TOK_CODE_DEADLINE);
    assert_true(mock->calls[MOCK_GetAttributeValue] < 10);
}

TEST(a_list_of_slots_is_no_longer_than_its_room)
{
    static const unsigned char more[] = { TO_MINUS_ONE, TO_ONE_MORE, TO_SIX_MORE, TO_WRAPPING };

    for (size_t i = 0; i < COUNT_OF(more); i++) {
        furnish_settings();
        mock_token(mock, "test");
        OK(tok_module_start(module, clock_us() + SECOND));
        mock_odd(HOSTILE_GetSlotList, 0, ODD_LENGTH, more[i], 0);
        FAILS(tok_tokens_look(module, clock_us() + SECOND), TOK_CODE_ANSWER);
        SAYS("C_GetSlotList answered");
    }
}

TEST(room_that_is_too_small_for_ever_is_given_up)
{
    for (unsigned char length = 0; length < NUM_LENGTHS; length++) {
        furnish_settings();
        mock_token(mock, "test");
        OK(tok_module_start(module, clock_us() + SECOND));
        mock_odd(HOSTILE_GetSlotList, 0, ODD_LENGTH_SMALL | ODD_FOREVER, length, 0);
        FAILS(tok_tokens_look(module, clock_us() + 60 * SECOND), TOK_CODE_ANSWER);
        assert_true(mock->calls[MOCK_GetSlotList] <= 10);
    }
}

TEST(a_slot_that_is_listed_twice_is_looked_into_once)
{
    furnish_settings();
    mock_token(mock, "test");
    OK(tok_module_start(module, clock_us() + SECOND));
    mock_odd(HOSTILE_GetSlotList, 0, ODD_FULL, ZEROS, 0);
    OK(tok_tokens_look(module, clock_us() + SECOND));
    assert_int_equal(mock->calls[MOCK_GetTokenInfo], 1);
    assert_null(module->tokens->next);
}

TEST(a_list_of_mechanisms_that_cannot_be_is_not_known)
{
    for (unsigned char length = 0; length < NUM_LENGTHS; length++) {
        struct tok_token *token;

        furnish_settings();
        mock_token(mock, "test");
        mock->num_mechanisms = 3;
        token = mock_looked(module);
        mock_odd(HOSTILE_GetMechanismList, 0, ODD_LENGTH_SMALL | ODD_FOREVER, length, 0);
        tok_mech_ask(token, clock_us() + 10 * SECOND);
        assert_null(tok_mech_offered(token));
        assert_true(mock->calls[MOCK_GetMechanismList] <= 10);
        mock_odd(HOSTILE_GetMechanismList, 0, ODD_LENGTH, TO_WRAPPING, 0);
        tok_mech_ask(token, clock_us() + 10 * SECOND);
        assert_null(tok_mech_offered(token));
    }
}

/* --- attributes --------------------------------------------------------------------------------------------------- */

static const CK_ATTRIBUTE_TYPE types[] = { CKA_ID, CKA_LABEL, CKA_EC_POINT, CKA_MODULUS };
static const size_t rooms[] = { 16, 16, 2, 16 };

/* The list that was read is within what was allocated for it. */
static void values_are_touched(const struct tok_attrs *attrs)
{
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        struct cursor value = tok_attrs_value(attrs, types[i]);

        assert_true(value.left <= 16);
        assert_false(value.left > 0 && memchr(value.at, 0xa7, value.left) != NULL);
    }
}

TEST(a_value_above_its_room_is_not_read_whether_asked_for_at_once_or_alone)
{
    struct tok_attrs attrs = { .count = 0 };

    for (unsigned char call = 0; call < 3; call++) {
        for (unsigned char length = 0; length < NUM_LENGTHS; length++) {
            for (unsigned char part = 0; part < COUNT_OF(types); part++) {
                struct tok_result result;

                furnish_session();
                mock_odd(HOSTILE_GetAttributeValue, call, ODD_LENGTH, length, part);
                result = tok_attrs_read(&attrs, &lease, mock->first_handle, types, rooms, COUNT_OF(types));
                assert_true(tok_ok(&result) || result.code == TOK_CODE_ANSWER);
                if (tok_ok(&result)) {
                    values_are_touched(&attrs);
                }
                tok_attrs_end(&attrs);
            }
        }
    }
}

TEST(types_and_pointers_of_the_list_stay_the_callers)
{
    struct tok_attrs attrs = { .count = 0 };

    furnish_session();
    mock_odd(HOSTILE_GetAttributeValue, 0, ODD_TEMPLATE, 0, 0);
    OK(tok_attrs_read(&attrs, &lease, mock->first_handle, types, rooms, 2));
    assert_int_equal(tok_attrs_value(&attrs, CKA_LABEL).left, 3);
    assert_memory_equal(tok_attrs_value(&attrs, CKA_LABEL).at, "www", 3);
    tok_attrs_end(&attrs);
}

TEST(a_list_that_was_left_as_it_was_has_no_values)
{
    struct tok_attrs attrs = { .count = 0 };

    furnish_session();
    mock_odd(HOSTILE_GetAttributeValue, 0, ODD_SILENCE | ODD_FOREVER, 0, 0);
    OK(tok_attrs_read(&attrs, &lease, mock->first_handle, types, (const size_t[]){ 16, 16, 16, 16 }, 4));
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        assert_int_equal(tok_attrs_value(&attrs, types[i]).left, 0);
    }
    tok_attrs_end(&attrs);
}

TEST(a_modulus_of_zeros_is_no_key)
{
    static const CK_KEY_TYPE rsa = CKK_RSA;
    static const char zeros[128];
    SCOPED(tok_private_end) struct tok_private found = { .handle = 0 };
    struct mock_object *object;

    furnish_session();
    object = mock_object(mock, CKO_PUBLIC_KEY, "rsa", 9);
    mock_attr(object, CKA_KEY_TYPE, &rsa, sizeof(rsa));
    mock_attr(object, CKA_MODULUS, zeros, sizeof(zeros));
    mock_attr(object, CKA_PUBLIC_EXPONENT, "\x01\x00\x01", 3);
    OK(tok_private_read(&found, &lease, mock->first_handle + 2));
    assert_false(tok_public_known(&found.half));
}

/* --- sessions ----------------------------------------------------------------------------------------------------- */

TEST(a_session_without_a_number_is_none)
{
    furnish_settings();
    mock_token(mock, "test");
    mock_odd(HOSTILE_OpenSession, 0, ODD_FILL | ODD_FOREVER, ZEROS, 0);
    FAILS(tok_lease_begin(&lease, mock_looked(module), 0, clock_us() + 60 * SECOND), TOK_CODE_ANSWER);
    SAYS("C_OpenSession");
    assert_true(mock->calls[MOCK_OpenSession] <= 16);
}

TEST(a_session_that_is_lost_before_it_was_opened_is_not_tried_for_ever)
{
    furnish_from_file(point);
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, point);
    mock_fails(mock, MOCK_OpenSession, CKR_SESSION_HANDLE_INVALID, 0, 1000);
    failure = sign();
    assert_true(tok_is(&failure, CKR_SESSION_HANDLE_INVALID));
    assert_true(mock->calls[MOCK_OpenSession] <= 4);
}

TEST(a_session_that_exists_for_ever_is_given_up)
{
    struct tok_lease other = { .token = NULL };

    furnish_settings();
    mock_token(mock, "test");
    mock_odd(HOSTILE_OpenSession, 0, ODD_FILL | ODD_FOREVER, 2, 0);
    OK(tok_lease_begin(&other, mock_looked(module), 0, clock_us() + 60 * SECOND));
    FAILS(tok_lease_begin(&lease, module->tokens, 0, clock_us() + 60 * SECOND), TOK_CODE_ANSWER);
    assert_true(mock->calls[MOCK_OpenSession] <= 17);
    tok_lease_end(&other);
}

/* --- operations --------------------------------------------------------------------------------------------------- */

/* With what an engine that believes everything would take for a signature in its room. */
static struct tok_result sign_in(size_t room)
{
    uint8_t out[64];
    size_t len = room;

    memset(out, 0xa7, sizeof(out));
    return tok_key_sign(key, &mechanism, (const uint8_t *)"digest", 6, out, &len, &unproved);
}

TEST(an_odd_signature_is_made_again)
{
    furnish();
    mock_odd(HOSTILE_Sign, 0, ODD_LENGTH, TO_MINUS_ONE, 0);
    OK(sign());
    assert_int_equal(mock->calls[MOCK_Sign], 2);
}

TEST(what_is_no_signature_is_an_error_however_often_it_comes)
{
    static const struct {
        int kind;
        unsigned char arg;
        const char *says;
    } rows[] = {
        { ODD_LENGTH, TO_NONE, "C_Sign answered nothing" },
        { ODD_LENGTH, TO_ONE_MORE, "C_Sign answered 65 bytes, where there is room for 64" },
        { ODD_LENGTH, TO_MINUS_ONE, "room for 64" },
        { ODD_LENGTH_ONLY, TO_ROOM, "C_Sign answered 64 bytes of zeros" },
        { ODD_SILENCE, 0, "C_Sign answered 64 bytes of zeros" },
        { ODD_FILL, ZEROS, "C_Sign answered 3 bytes of zeros" },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        furnish();
        mock_odd(HOSTILE_Sign, 0, rows[i].kind | ODD_FOREVER, rows[i].arg, 0);
        FAILS(sign_in(64), TOK_CODE_ANSWER);
        SAYS(rows[i].says);
    }
}

TEST(more_than_the_room_is_no_plaintext)
{
    uint8_t out[16];
    size_t len = sizeof(out);
    CK_RV refusal;

    furnish();
    mock_odd(HOSTILE_Decrypt, 0, ODD_LENGTH | ODD_FOREVER, TO_SIX_MORE, 0);
    OK(tok_key_decrypt(key, &mechanism, (const uint8_t *)"c", 1, out, &len, &refusal));
    assert_int_equal(refusal, CKR_GENERAL_ERROR);
    assert_int_equal(len, 0);
    assert_int_equal(mock->calls[MOCK_Decrypt], 1); /* nothing that data may decide is done again */
}

TEST(what_was_there_before_is_no_plaintext)
{
    uint8_t out[16];
    size_t len = sizeof(out);
    CK_RV refusal;

    furnish();
    memset(out, 0xa7, sizeof(out));
    mock_odd(HOSTILE_Decrypt, 0, ODD_SILENCE, 0, 0);
    OK(tok_key_decrypt(key, &mechanism, (const uint8_t *)"c", 1, out, &len, &refusal));
    assert_null(memchr(out, 0xa7, sizeof(out)));
}

static struct tok_result derive(void)
{
    static const CK_MECHANISM agreement = { CKM_ECDH1_DERIVE, NULL, 0 };
    static const uint8_t peer[65] = { 4, 1 };
    uint8_t out[32];
    size_t len = sizeof(out);

    memset(out, 0xa7, sizeof(out));
    return tok_key_derive_until(key, &agreement, peer, sizeof(peer), out, &len, 0);
}

TEST(what_is_no_secret_is_an_error)
{
    static const struct {
        enum hostile_function which;
        int kind;
        unsigned char arg;
    } rows[] = {
        { HOSTILE_DeriveKey, ODD_SILENCE, 0 },
        { HOSTILE_DeriveKey, ODD_FILL, ZEROS },
        { HOSTILE_GetAttributeValue, ODD_SILENCE, 0 },
        { HOSTILE_GetAttributeValue, ODD_FILL, ZEROS },
        { HOSTILE_GetAttributeValue, ODD_LENGTH, 0 },
        { HOSTILE_GetAttributeValue, ODD_LENGTH, TO_MINUS_ONE },
        { HOSTILE_GetAttributeValue, ODD_LENGTH, TO_ONE_MORE },
        { HOSTILE_GetAttributeValue, ODD_FULL, 0 },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        furnish();
        mock_odd(rows[i].which, 0, rows[i].kind | ODD_FOREVER, rows[i].arg, 0);
        failure = derive();
        assert_false(tok_ok(&failure));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_objects_than_were_asked_for_are_none),
        cmocka_unit_test(a_handle_that_was_not_filled_in_is_none),
        cmocka_unit_test(a_search_that_never_ends_is_ended),
        cmocka_unit_test(a_search_that_goes_round_is_ended),
        cmocka_unit_test(a_search_is_over_at_the_deadline),
        cmocka_unit_test(a_listing_is_over_at_the_deadline),
        cmocka_unit_test(a_list_of_slots_is_no_longer_than_its_room),
        cmocka_unit_test(room_that_is_too_small_for_ever_is_given_up),
        cmocka_unit_test(a_slot_that_is_listed_twice_is_looked_into_once),
        cmocka_unit_test(a_list_of_mechanisms_that_cannot_be_is_not_known),
        cmocka_unit_test(a_value_above_its_room_is_not_read_whether_asked_for_at_once_or_alone),
        cmocka_unit_test(types_and_pointers_of_the_list_stay_the_callers),
        cmocka_unit_test(a_list_that_was_left_as_it_was_has_no_values),
        cmocka_unit_test(a_modulus_of_zeros_is_no_key),
        cmocka_unit_test(a_session_without_a_number_is_none),
        cmocka_unit_test(a_session_that_is_lost_before_it_was_opened_is_not_tried_for_ever),
        cmocka_unit_test(a_session_that_exists_for_ever_is_given_up),
        cmocka_unit_test(an_odd_signature_is_made_again),
        cmocka_unit_test(what_is_no_signature_is_an_error_however_often_it_comes),
        cmocka_unit_test(more_than_the_room_is_no_plaintext),
        cmocka_unit_test(what_was_there_before_is_no_plaintext),
        cmocka_unit_test(what_is_no_secret_is_an_error),
    };

    return RUN(tests);
}
