#include "mock-use.h"

#include "pkcs11/object/object.h"

static struct mock *mock;
static struct tok_module *module;
static struct tok_lease lease;

static const CK_BBOOL yes = CK_TRUE;
static const CK_BBOOL no = CK_FALSE;

/* Objects are added after this; all are public, so that no login is needed. */
static void furnish(void)
{
    mock = mock_load(&module);
    mock_token(mock, "test");
    tok_lease_end(&lease);
    OK(tok_lease_begin(&lease, mock_looked(module), 0, clock_us() + SECOND));
}

static struct mock_object *key_object(const char *label, unsigned char id, const char *point)
{
    struct mock_object *object = mock_ec_key(mock, CKO_PRIVATE_KEY, label, id, point);

    object->is_private = false;
    return object;
}

static struct bytes borrowed(const char *text)
{
    return (struct bytes){ (uint8_t *)text, strlen(text) };
}

/* --- comparing -------------------------------------------------------------------------------------------------- */

TEST(halves_are_compared_by_what_both_show)
{
    struct tok_public modulus = { .type = CKK_RSA, .modulus = borrowed("\x81\x02") };
    struct tok_public padded = { .type = CKK_RSA, .modulus = { (uint8_t *)"\x00\x81\x02", 3 } };
    struct tok_public other = { .type = CKK_RSA, .modulus = borrowed("\x81\x03") };
    struct tok_public point = { .type = CKK_EC, .point = borrowed("\x04xy") };
    struct tok_public same_point = { .type = CKK_EC, .point = borrowed("\x04xy") };
    struct tok_public other_point = { .type = CKK_EC, .point = borrowed("\x04xz") };
    struct tok_public silent = { .type = CKK_EC };

    assert_int_equal(tok_public_compare(&modulus, &padded), TOK_SAME); /* leading zeros are no difference */
    assert_int_equal(tok_public_compare(&modulus, &other), TOK_DIFFERENT);
    assert_int_equal(tok_public_compare(&point, &same_point), TOK_SAME);
    assert_int_equal(tok_public_compare(&point, &other_point), TOK_DIFFERENT);
    assert_int_equal(tok_public_compare(&modulus, &point), TOK_DIFFERENT);
    assert_int_equal(tok_public_compare(&point, &silent), TOK_CANT_TELL);
    assert_int_equal(tok_public_compare(&silent, &silent), TOK_CANT_TELL);
}

TEST(a_half_is_known_when_a_key_can_be_made_of_it)
{
    assert_false(tok_public_known(&(struct tok_public){ .type = CKK_RSA }));
    assert_false(tok_public_known(&(struct tok_public){ .modulus = borrowed("m") }));
    assert_false(tok_public_known(&(struct tok_public){ .point = borrowed("p") }));
    assert_true(tok_public_known(&(struct tok_public){ .modulus = borrowed("m"), .exponent = borrowed("e") }));
    assert_true(tok_public_known(&(struct tok_public){ .params = borrowed("c"), .point = borrowed("p") }));
    assert_true(tok_public_known(&(struct tok_public){ .spki = borrowed("s") }));
    assert_true(tok_public_known(&(struct tok_public){ .certificate = borrowed("c") }));
}

TEST(completing_moves_what_is_missing_and_overwrites_nothing)
{
    SCOPED(tok_public_end) struct tok_public to = { .type = CKK_EC };
    SCOPED(tok_public_end) struct tok_public from = { .type = CKK_EC };

    assert_true(bytes_set(&to.params, "mine", 4));
    assert_true(bytes_set(&from.params, "theirs", 6) && bytes_set(&from.point, "point", 5));
    tok_public_complete(&to, &from);
    assert_true(bytes_is(&to.params, "mine", 4));
    assert_true(bytes_is(&to.point, "point", 5));
    assert_int_equal(from.point.len, 0);
}

/* --- searching -------------------------------------------------------------------------------------------------- */

TEST(a_search_finds_by_class_id_and_label)
{
    SCOPED(tok_handles_end) struct tok_handles found = { .items = NULL };
    struct bytes id = borrowed("\x02");
    struct bytes label = borrowed("b");

    furnish();
    key_object("a", 1, NULL);
    key_object("b", 2, NULL);
    mock_object(mock, CKO_CERTIFICATE, "b", 2);
    OK(tok_search(&found, &lease, CKO_PRIVATE_KEY, NULL, NULL, false));
    assert_int_equal(found.count, 2);
    tok_handles_end(&found);
    OK(tok_search(&found, &lease, CKO_PRIVATE_KEY, &id, &label, false));
    assert_int_equal(found.count, 1);
    assert_int_equal(found.items[0], mock->first_handle + 1);
    tok_handles_end(&found);
    OK(tok_search(&found, &lease, CKO_DATA, NULL, NULL, false));
    assert_int_equal(found.count, 0);
    assert_false(lease.op_open);
}

TEST(a_search_takes_all_there_are_however_few_come_at_once)
{
    SCOPED(tok_handles_end) struct tok_handles found = { .items = NULL };

    furnish();
    for (unsigned i = 0; i < 300; i++) {
        key_object("k", (unsigned char)i, NULL);
    }
    OK(tok_search(&found, &lease, CKO_PRIVATE_KEY, NULL, NULL, false));
    assert_int_equal(found.count, 300);
    tok_handles_end(&found);
    mock->found_at_once = 7;
    OK(tok_search(&found, &lease, CKO_PRIVATE_KEY, NULL, NULL, false));
    assert_int_equal(found.count, 300);
    tok_handles_end(&found);
    mock->calls[MOCK_FindObjects] = 0;
    OK(tok_search(&found, &lease, CKO_PRIVATE_KEY, NULL, NULL, true));
    assert_int_equal(mock->calls[MOCK_FindObjects], 1);
}

TEST(a_search_that_fails_half_way_is_not_left_open)
{
    SCOPED(tok_handles_end) struct tok_handles found = { .items = NULL };

    furnish();
    mock_fails(mock, MOCK_FindObjects, CKR_DEVICE_ERROR, 0, 1);
    FAILS_CKR(tok_search(&found, &lease, CKO_PRIVATE_KEY, NULL, NULL, false), CKR_DEVICE_ERROR);
    SAYS("C_FindObjects");
    assert_true(lease.op_open);
    tok_lease_end(&lease);
    assert_int_equal(mock->open_sessions, 0); /* the session went with its search */
    OK(tok_lease_begin(&lease, module->tokens, 0, clock_us() + SECOND));
    OK(tok_search(&found, &lease, CKO_PRIVATE_KEY, NULL, NULL, false));
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

TEST(a_private_key_tells_what_it_is_in_one_call)
{
    SCOPED(tok_private_end) struct tok_private key = { .handle = 0 };
    struct mock_object *object;

    furnish();
    object = key_object("www", 9, "\x04xy");
    mock_attr(object, CKA_SENSITIVE, &yes, 1);
    mock_attr(object, CKA_EXTRACTABLE, &no, 1);
    mock_attr(object, CKA_ALWAYS_AUTHENTICATE, &yes, 1);
    mock_attr(object, CKA_LOCAL, &yes, 1);
    OK(tok_private_read(&key, &lease, mock->first_handle));
    assert_int_equal(mock->calls[MOCK_GetAttributeValue], 1);
    assert_int_equal(key.handle, mock->first_handle);
    assert_true(bytes_is(&key.id, "\x09", 1) && bytes_is(&key.label, "www", 3));
    assert_true(key.sensitive && !key.extractable && key.always_authenticate && key.local);
    assert_int_equal(key.half.type, CKK_EC);
    assert_true(key.half.by_key_itself);
}

/* A key's list lacks some attribute on every token, and of the two codes it may be that one which is answered: then
 * nothing says that another one was too long. */
TEST(a_curve_written_out_is_read_where_other_attributes_are_missing)
{
    static const char curve[600] = "\x30\x82\x02\x54";
    SCOPED(tok_private_end) struct tok_private key = { .handle = 0 };

    furnish();
    mock_attr(key_object("www", 9, NULL), CKA_EC_PARAMS, curve, sizeof(curve));
    mock->tells_no_lengths = true;
    OK(tok_private_read(&key, &lease, mock->first_handle));
    assert_true(bytes_is(&key.half.params, curve, sizeof(curve)));
}

TEST(a_long_certificate_is_read_where_other_attributes_are_missing)
{
    static char der[60000]; /* SLH-DSA-SHA2-256f signs with 49856 bytes */
    SCOPED(bytes_end) struct bytes value = { 0 };
    SCOPED(bytes_end) struct bytes id = { 0 };
    SCOPED(bytes_end) struct bytes label = { 0 };
    struct mock_object *object;

    furnish();
    memset(der, 'd', sizeof(der));
    object = mock_object(mock, CKO_CERTIFICATE, "www", 9);
    object->attrs[1].type = CKA_SUBJECT; /* it has an id, and no label */
    mock_attr(object, CKA_VALUE, der, sizeof(der));
    mock->tells_no_lengths = true;
    OK(tok_certificate_read(&value, &id, &label, &lease, mock->first_handle));
    assert_true(bytes_is(&value, der, sizeof(der)));
}

TEST(what_a_key_does_not_say_is_taken_for_the_worse)
{
    SCOPED(tok_private_end) struct tok_private key = { .handle = 0 };

    furnish();
    key_object("www", 9, NULL);
    OK(tok_private_read(&key, &lease, mock->first_handle));
    assert_true(!key.sensitive && key.extractable && !key.local);
    assert_false(key.always_authenticate);
    assert_false(key.half.by_key_itself);
}

/* Some tokens give the bare point, others a DER OCTET STRING around it. */
TEST(a_point_is_read_with_or_without_its_octet_string)
{
    static const struct {
        const char *given;
        const char *point;
    } points[] = {
        { "\x04xy", "\x04xy" },           /* no length that fits */
        { "\x04\x03\x04xy", "\x04xy" },   /* wrapped */
        { "\x02x", "\x02x" },             /* compressed */
        { "\x04\x02\x03x", "\x03x" },     /* compressed and wrapped */
        { "\x04\x05xy", "\x04\x05xy" },   /* a length too long, */
        { "\x04\x02xyz", "\x04\x02xyz" }, /* and one too short */
    };

    for (size_t i = 0; i < COUNT_OF(points); i++) {
        SCOPED(tok_private_end) struct tok_private key = { .handle = 0 };

        furnish();
        key_object("www", 9, points[i].given);
        OK(tok_private_read(&key, &lease, mock->first_handle));
        assert_true(bytes_is(&key.half.point, points[i].point, strlen(points[i].point)));
    }
}

/* Lengths tell where the first bytes could mean either. */
TEST(a_point_that_looks_like_an_octet_string_is_still_a_point)
{
    static const struct {
        CK_KEY_TYPE type;
        size_t given_len;
        const char *start;
        size_t point_len;
    } points[] = {
        { CKK_EC, 65, "\x04\x3f", 65 },           /* P-256, whose first coordinate starts with what might be a length */
        { CKK_EC, 67, "\x04\x41\x04", 65 },       /* wrapped */
        { CKK_EC, 97, "\x04\x5f", 97 },           /* P-384 */
        { CKK_EC, 136, "\x04\x81\x85\x04", 133 }, /* P-521, wrapped */
        { CKK_EC, 133, "\x04\x81\x82", 133 },
        { CKK_EC_EDWARDS, 32, "\x04\x1e", 32 }, /* Ed25519 */
        { CKK_EC_EDWARDS, 34, "\x04\x20", 32 },
        { CKK_EC_EDWARDS, 57, "\x04\x37", 57 }, /* Ed448 */
        { CKK_EC_EDWARDS, 59, "\x04\x39", 57 },
        { CKK_EC, 45, "\x04\x2b\x04", 43 }, /* of a binary field, wrapped: no length that is known, so that it fits */
    };

    for (size_t i = 0; i < COUNT_OF(points); i++) {
        SCOPED(tok_private_end) struct tok_private key = { .handle = 0 };
        char point[200] = { 0 };
        struct mock_object *object;

        furnish();
        memset(point, 0x77, points[i].given_len);
        memcpy(point, points[i].start, strlen(points[i].start));
        object = mock_object(mock, CKO_PRIVATE_KEY, "www", 9);
        object->is_private = false;
        mock_attr(object, CKA_KEY_TYPE, &points[i].type, sizeof(points[i].type));
        mock_attr(object, CKA_EC_POINT, point, points[i].given_len);
        OK(tok_private_read(&key, &lease, mock->first_handle));
        assert_int_equal(key.half.point.len, points[i].point_len);
        assert_memory_equal(key.half.point.data, point + points[i].given_len - points[i].point_len,
                            points[i].point_len);
    }
}

TEST(a_certificate_longer_than_its_room_is_whole)
{
    static char der[90000];
    SCOPED(bytes_end) struct bytes value = { 0 };
    SCOPED(bytes_end) struct bytes id = { 0 };
    SCOPED(bytes_end) struct bytes label = { 0 };

    furnish();
    memset(der, 'd', sizeof(der));
    mock_attr(mock_object(mock, CKO_CERTIFICATE, "www", 9), CKA_VALUE, der, sizeof(der));
    OK(tok_certificate_read(&value, &id, &label, &lease, mock->first_handle));
    assert_true(bytes_is(&value, der, sizeof(der)));
    assert_true(bytes_is(&id, "\x09", 1) && bytes_is(&label, "www", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_are_compared_by_what_both_show),
        cmocka_unit_test(a_half_is_known_when_a_key_can_be_made_of_it),
        cmocka_unit_test(completing_moves_what_is_missing_and_overwrites_nothing),
        cmocka_unit_test(a_search_finds_by_class_id_and_label),
        cmocka_unit_test(a_search_takes_all_there_are_however_few_come_at_once),
        cmocka_unit_test(a_search_that_fails_half_way_is_not_left_open),
        cmocka_unit_test(a_private_key_tells_what_it_is_in_one_call),
        cmocka_unit_test(a_curve_written_out_is_read_where_other_attributes_are_missing),
        cmocka_unit_test(a_long_certificate_is_read_where_other_attributes_are_missing),
        cmocka_unit_test(what_a_key_does_not_say_is_taken_for_the_worse),
        cmocka_unit_test(a_point_is_read_with_or_without_its_octet_string),
        cmocka_unit_test(a_point_that_looks_like_an_octet_string_is_still_a_point),
        cmocka_unit_test(a_certificate_longer_than_its_room_is_whole),
    };

    return RUN(tests);
}
