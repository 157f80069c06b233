#include "mock-use.h"

#include "pkcs11/object/half.h"

static struct mock *mock;
static struct tok_module *module;
static struct tok_lease lease;
static struct tok_private key;
static struct tok_result why;

static const CK_BBOOL yes = CK_TRUE;

static const CK_KEY_TYPE rsa = CKK_RSA;

/* Objects are added after this; all are public, so that no login is needed. */
static void furnish(void)
{
    mock = mock_load(&module);
    mock_token(mock, "test");
    tok_lease_end(&lease);
    OK(tok_lease_begin(&lease, mock_looked(module), 0, clock_us() + SECOND));
}

/* A private key without a point of its own. The mock's signatures begin with the key's label: a point that is 4 and
 * the label is its own. */
static struct mock_object *private_key(const char *label, unsigned char id)
{
    struct mock_object *object = mock_ec_key(mock, CKO_PRIVATE_KEY, label, id, NULL);

    object->is_private = false;
    return object;
}

static void id_is_empty(struct mock_object *object)
{
    object->attrs[2].ulValueLen = 0;
}

/* --- a prover whose mathematics are easy ------------------------------------------------------------------------- */

static unsigned asked;
static bool can_ask;

static void read_half(void *arg, struct tok_public *half)
{
    (void)arg;
    if (half->certificate.len > 1 && half->certificate.data[0] == 4) { /* a certificate is its point */
        half->type = CKK_EC;
        assert_true(bytes_set(&half->point, half->certificate.data, half->certificate.len));
    }
}

static bool ask(void *arg, const struct tok_public *half, unsigned way, CK_MECHANISM *out_mechanism,
                const uint8_t **out_in, size_t *out_in_len, size_t *out_room)
{
    (void)arg;
    (void)half;
    asked++;
    *out_mechanism = (CK_MECHANISM){ CKM_ECDSA, NULL, 0 };
    *out_in = (const uint8_t *)"text";
    *out_in_len = 4;
    *out_room = 64;
    return can_ask && way == 0;
}

static bool verify(void *arg, const struct tok_public *half, const uint8_t *sig, size_t sig_len)
{
    (void)arg;
    return half->point.len > 1 && sig_len >= half->point.len - 1 &&
           memcmp(half->point.data + 1, sig, half->point.len - 1) == 0;
}

static bool can_agree;

static bool agree(void *arg, const struct tok_public *half, const uint8_t **out_point, size_t *out_point_len,
                  size_t *out_len)
{
    (void)arg;
    (void)half;
    *out_point = (const uint8_t *)"\x04" "point";
    *out_point_len = 6;
    *out_len = 32;
    return can_agree;
}

/* The mock's secrets are the key's label. */
static bool agreed(void *arg, const struct tok_public *half, const uint8_t *secret, size_t len)
{
    (void)arg;
    return half->point.len == len + 1 && memcmp(half->point.data + 1, secret, len) == 0;
}

static const struct tok_prover prover = { read_half, ask, verify, agree, agreed, NULL };
static const struct tok_evidence proof = { .prover = &prover };
static const struct tok_evidence nothing;

static void resolve_by(const struct tok_evidence *evidence)
{
    SCOPED(tok_halves_end) struct tok_halves halves = { .rows = NULL };

    tok_private_end(&key);
    key = (struct tok_private){ .handle = 0 };
    OK(tok_private_read(&key, &lease, mock->first_handle));
    mock->calls[MOCK_FindObjectsInit] = 0;
    mock->calls[MOCK_SignInit] = 0;
    mock->calls[MOCK_DeriveKey] = 0;
    asked = 0;
    can_ask = true;
    OK(tok_half_resolve(&key, &why, &lease, &halves, evidence));
    assert_int_equal(tok_ok(&why), tok_public_known(&key.half));
}

#define IS_POINT(text) assert_true(bytes_is(&key.half.point, text, strlen(text)))

/* --- without a prover --------------------------------------------------------------------------------------------- */

TEST(what_the_key_itself_shows_is_not_looked_for)
{
    furnish();
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 9, "\x04xy")->is_private = false;
    resolve_by(&proof);
    assert_int_equal(mock->calls[MOCK_FindObjectsInit], 0);
    assert_int_equal(asked, 0);
}

TEST(the_public_key_with_the_same_id_shows_the_half)
{
    struct mock_object *stranger;

    furnish();
    private_key("www", 9);
    mock_ec_key(mock, CKO_PUBLIC_KEY, "other", 8, "\x04no");
    stranger = mock_object(mock, CKO_PUBLIC_KEY, "rsa", 9); /* the same id, another type */
    mock_attr(stranger, CKA_KEY_TYPE, &rsa, sizeof(rsa));
    mock_attr(stranger, CKA_MODULUS, "m", 1);
    mock_attr(stranger, CKA_PUBLIC_EXPONENT, "e", 1);
    mock_ec_key(mock, CKO_PUBLIC_KEY, "www", 9, "\x04xy");
    resolve_by(&nothing);
    IS_POINT("\x04xy");
    assert_int_equal(key.half.modulus.len, 0);
    assert_false(key.half.by_key_itself);
}

TEST(else_the_certificate_does)
{
    furnish();
    private_key("www", 9);
    mock_attr(mock_object(mock, CKO_CERTIFICATE, "other", 8), CKA_VALUE, "wrong", 5);
    mock_attr(mock_object(mock, CKO_CERTIFICATE, "www", 9), CKA_VALUE, "right", 5);
    resolve_by(&nothing);
    assert_true(bytes_is(&key.half.certificate, "right", 5));
}

TEST(a_key_that_nothing_shows_stays_unknown_and_one_without_an_id_is_not_guessed)
{
    furnish();
    private_key("www", 9);
    resolve_by(&nothing);
    assert_false(tok_public_known(&key.half));
    assert_non_null(strstr(why.message, "neither a public key nor a certificate on the token fits it"));

    furnish();
    id_is_empty(private_key("www", 9));
    id_is_empty(mock_ec_key(mock, CKO_PUBLIC_KEY, "other", 0, "\x04xy"));
    resolve_by(&nothing);
    assert_false(tok_public_known(&key.half));
    assert_int_equal(mock->calls[MOCK_FindObjectsInit], 0);
}

TEST(a_failure_to_look_is_a_failure)
{
    SCOPED(tok_halves_end) struct tok_halves halves = { .rows = NULL };

    furnish();
    private_key("www", 9);
    tok_private_end(&key);
    OK(tok_private_read(&key, &lease, mock->first_handle));
    mock_fails(mock, MOCK_FindObjectsInit, CKR_DEVICE_ERROR, 0, 1);
    FAILS_CKR(tok_half_resolve(&key, &why, &lease, &halves, &nothing), CKR_DEVICE_ERROR);
    tok_lease_end(&lease);
}

/* --- with one ----------------------------------------------------------------------------------------------------- */

TEST(of_two_public_keys_with_the_id_the_one_that_verifies_the_keys_signature_is_its_own)
{
    furnish();
    private_key("www", 9);
    mock_ec_key(mock, CKO_PUBLIC_KEY, "first", 9, "\x04" "wrx");
    mock_ec_key(mock, CKO_PUBLIC_KEY, "second", 9, "\x04www");
    resolve_by(&proof);
    IS_POINT("\x04www");
    assert_true(key.half.by_key_itself);
    assert_int_equal(mock->calls[MOCK_SignInit], 1);
}

TEST(another_keys_half_is_never_given_whatever_its_name)
{
    furnish();
    private_key("www", 9);
    mock_ec_key(mock, CKO_PUBLIC_KEY, "www", 9, "\x04xyz");
    resolve_by(&proof);
    assert_false(tok_public_known(&key.half));
    assert_int_equal(why.code, TOK_CODE_NO_PUBLIC_HALF);
    assert_non_null(strstr(why.message, "none fits what it signs or agrees on"));
    assert_int_equal(mock->calls[MOCK_SignInit], 1); /* by label, and among all, too */
}

TEST(without_an_id_the_label_leads_to_it_and_without_that_the_type)
{
    furnish();
    id_is_empty(private_key("www", 0));
    mock_ec_key(mock, CKO_PUBLIC_KEY, "other", 8, "\x04no");
    id_is_empty(mock_ec_key(mock, CKO_PUBLIC_KEY, "www", 0, "\x04www"));
    resolve_by(&proof);
    IS_POINT("\x04www");

    furnish();
    id_is_empty(private_key("www", 0));
    mock_ec_key(mock, CKO_PUBLIC_KEY, "other", 8, "\x04no");
    mock_ec_key(mock, CKO_PUBLIC_KEY, "strange", 7, "\x04www");
    resolve_by(&proof);
    IS_POINT("\x04www");
    assert_true(key.half.by_key_itself);
}

TEST(a_certificate_under_any_name_will_do)
{
    furnish();
    private_key("www", 9);
    mock_ec_key(mock, CKO_PUBLIC_KEY, "www", 9, "\x04no");
    mock_attr(mock_object(mock, CKO_CERTIFICATE, "strange", 7), CKA_VALUE, "\x04www", 4);
    resolve_by(&proof);
    IS_POINT("\x04www");
}

TEST(a_given_half_is_the_only_candidate_and_has_to_be_proved)
{
    struct tok_public given = { .type = CKK_EC, .params = { (uint8_t *)"\x06\x01\x2a", 3 }, .point = { (uint8_t *)"\x04www", 4 } };
    const struct tok_evidence evidence = { .prover = &prover, .given = &given };

    furnish();
    private_key("www", 9);
    mock_ec_key(mock, CKO_PUBLIC_KEY, "www", 9, "\x04no");
    resolve_by(&evidence);
    IS_POINT("\x04www");
    assert_true(key.half.by_key_itself);
    given.point = (struct bytes){ (uint8_t *)"\x04yyy", 4 };
    resolve_by(&evidence);
    assert_false(tok_public_known(&key.half));
    assert_int_equal(why.code, TOK_CODE_OTHER_KEY);
}

TEST(a_key_that_can_not_sign_is_believed_by_its_id_alone_and_only_one_half)
{
    furnish();
    private_key("www", 9);
    mock_ec_key(mock, CKO_PUBLIC_KEY, "www", 9, "\x04xyz");
    mock_fails(mock, MOCK_SignInit, CKR_KEY_FUNCTION_NOT_PERMITTED, 0, 9);
    resolve_by(&proof);
    IS_POINT("\x04xyz");
    assert_false(key.half.by_key_itself);
    mock_ec_key(mock, CKO_PUBLIC_KEY, "second", 9, "\x04www");
    resolve_by(&proof);
    assert_false(tok_public_known(&key.half));
    assert_non_null(strstr(why.message, "since it neither signs nor agrees on a secret"));
}

TEST(a_key_that_only_agrees_on_secrets_proves_itself_by_one)
{
    furnish();
    private_key("www", 9);
    mock_ec_key(mock, CKO_PUBLIC_KEY, "www", 9, "\x04xyz");
    mock_fails(mock, MOCK_SignInit, CKR_KEY_FUNCTION_NOT_PERMITTED, 0, 9);
    can_agree = true;
    resolve_by(&proof);
    assert_false(tok_public_known(&key.half));
    assert_non_null(strstr(why.message, "none fits what it signs or agrees on"));
    assert_int_equal(mock->calls[MOCK_DeriveKey], 1);
    assert_null(mock->secret);
    mock_ec_key(mock, CKO_PUBLIC_KEY, "second", 9, "\x04www");
    resolve_by(&proof);
    IS_POINT("\x04www");
    assert_true(key.half.by_key_itself);
    assert_int_equal(mock->calls[MOCK_SignInit], 1);
    assert_int_equal(mock->calls[MOCK_DeriveKey], 1);

    mock_fails(mock, MOCK_DeriveKey, CKR_KEY_TYPE_INCONSISTENT, 0, 9); /* nor does it do this */
    resolve_by(&proof);
    assert_false(tok_public_known(&key.half));
    can_agree = false;
}

TEST(a_key_that_asks_for_the_pin_each_time_is_never_asked_and_of_several_halves_none_is_chosen)
{
    furnish();
    mock_attr(private_key("www", 9), CKA_ALWAYS_AUTHENTICATE, &yes, sizeof(yes));
    mock_ec_key(mock, CKO_PUBLIC_KEY, "www", 9, "\x04xyz");
    mock_ec_key(mock, CKO_PUBLIC_KEY, "www", 9, "\x04www");
    can_agree = true;
    resolve_by(&proof);
    can_agree = false;
    assert_false(tok_public_known(&key.half));
    assert_non_null(strstr(why.message, "since it wants a PIN for each use"));
    assert_int_equal(mock->calls[MOCK_SignInit], 0);
    assert_int_equal(mock->calls[MOCK_DeriveKey], 0);
}

TEST(a_key_that_asks_for_the_pin_each_time_is_not_asked_where_its_id_has_one_half)
{
    furnish();
    mock_attr(private_key("www", 9), CKA_ALWAYS_AUTHENTICATE, &yes, sizeof(yes));
    mock_ec_key(mock, CKO_PUBLIC_KEY, "www", 9, "\x04xyz");
    resolve_by(&proof);
    IS_POINT("\x04xyz");
    assert_int_equal(mock->calls[MOCK_SignInit], 0);
    assert_false(key.half.by_key_itself); /* its first signature tells */
}

TEST(a_failure_of_the_signature_is_a_failure_unless_it_says_what_the_key_can_not_do)
{
    SCOPED(tok_halves_end) struct tok_halves halves = { .rows = NULL };

    furnish();
    private_key("www", 9);
    mock_ec_key(mock, CKO_PUBLIC_KEY, "www", 9, "\x04www");
    tok_private_end(&key);
    OK(tok_private_read(&key, &lease, mock->first_handle));
    mock_fails(mock, MOCK_Sign, CKR_DEVICE_ERROR, 0, 1);
    FAILS_CKR(tok_half_resolve(&key, &why, &lease, &halves, &proof), CKR_DEVICE_ERROR);
    tok_lease_end(&lease);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_key_itself_shows_is_not_looked_for),
        cmocka_unit_test(the_public_key_with_the_same_id_shows_the_half),
        cmocka_unit_test(else_the_certificate_does),
        cmocka_unit_test(a_key_that_nothing_shows_stays_unknown_and_one_without_an_id_is_not_guessed),
        cmocka_unit_test(a_failure_to_look_is_a_failure),
        cmocka_unit_test(of_two_public_keys_with_the_id_the_one_that_verifies_the_keys_signature_is_its_own),
        cmocka_unit_test(another_keys_half_is_never_given_whatever_its_name),
        cmocka_unit_test(without_an_id_the_label_leads_to_it_and_without_that_the_type),
        cmocka_unit_test(a_certificate_under_any_name_will_do),
        cmocka_unit_test(a_given_half_is_the_only_candidate_and_has_to_be_proved),
        cmocka_unit_test(a_key_that_can_not_sign_is_believed_by_its_id_alone_and_only_one_half),
        cmocka_unit_test(a_key_that_only_agrees_on_secrets_proves_itself_by_one),
        cmocka_unit_test(a_key_that_asks_for_the_pin_each_time_is_never_asked_and_of_several_halves_none_is_chosen),
        cmocka_unit_test(a_key_that_asks_for_the_pin_each_time_is_not_asked_where_its_id_has_one_half),
        cmocka_unit_test(a_failure_of_the_signature_is_a_failure_unless_it_says_what_the_key_can_not_do),
    };

    return RUN(tests);
}
