#include "mock-use.h"

#include "pkcs11/token/session.h"

/* The functions that sign messages, which the mock has not. */
static struct {
    CK_RV init;
    CK_RV sign;
    unsigned inits;
    unsigned signs;
    unsigned finals;
} said;

static CK_RV message_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    (void)session;
    (void)mechanism;
    (void)key;
    said.inits++;
    return said.init;
}

static CK_RV message_sign(CK_SESSION_HANDLE session, void *params, CK_ULONG params_len, CK_BYTE *data,
                          CK_ULONG data_len, CK_BYTE *sig, CK_ULONG *sig_len)
{
    (void)session;
    (void)params;
    (void)params_len;
    (void)data;
    (void)data_len;
    said.signs++;
    if (said.sign == CKR_OK) {
        memcpy(sig, "sig", 3);
        *sig_len = 3;
    }
    return said.sign;
}

static CK_RV message_final(CK_SESSION_HANDLE session)
{
    (void)session;
    said.finals++;
    return CKR_OK;
}

static const struct tok_functions_3 functions = {
    .C_MessageSignInit = message_init,
    .C_SignMessage = message_sign,
    .C_MessageSignFinal = message_final,
};

static const CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };
static struct tok_module *module;
static struct tok_lease lease;
static enum tok_message_verdict verdict;

/* A lease that wants to sign with the object 5, by handles of now. */
static void furnish(void)
{
    memset(&said, 0, sizeof(said));
    (void)mock_token(mock_load(&module), "test");
    lease = (struct tok_lease){ .token = mock_looked(module), .messages = &functions, .objects = 7 };
    assert_true(tok_message_make(&lease.wants, 5, 7, &mechanism));
}

static struct tok_result sign(void)
{
    uint8_t out[8] = "before";
    size_t len = sizeof(out);
    struct tok_result result = tok_message_sign(&lease, &verdict, &mechanism, (const uint8_t *)"d", 1, out, &len);

    if (tok_ok(&result)) {
        assert_int_equal(len, 3);
        assert_memory_equal(out, "sig", 3);
    } else {
        assert_int_equal(len, sizeof(out));
        assert_string_not_equal((char *)out, "sig");
    }
    return result;
}

TEST(a_session_is_told_once_and_each_signature_is_a_call)
{
    furnish();
    for (int i = 0; i < 3; i++) {
        OK(sign());
    }
    assert_int_equal(said.inits, 1);
    assert_int_equal(said.signs, 3);
    assert_int_equal(said.finals, 0);
}

TEST(another_key_is_told_after_the_first_one_was_ended)
{
    furnish();
    OK(sign());
    assert_true(tok_message_make(&lease.wants, 6, 7, &mechanism));
    OK(sign());
    assert_int_equal(said.finals, 1);
    assert_int_equal(said.inits, 2);
}

TEST(a_handle_of_a_time_that_is_gone_is_told_again_though_its_number_is_the_same)
{
    furnish();
    OK(sign());
    lease.objects = 8;
    assert_true(tok_message_make(&lease.wants, 5, 8, &mechanism));
    OK(sign());
    assert_int_equal(said.finals, 1);
    assert_int_equal(said.inits, 2);
}

TEST(and_it_is_not_wanted_by_a_lease_of_now)
{
    furnish();
    OK(sign());
    lease.objects = 8; /* what it wants is of before */
    tok_message_settle(&lease);
    assert_int_equal(lease.wants.objects, 0);
    assert_int_equal(said.finals, 1);
}

TEST(a_refusal_is_the_keys_or_the_tokens)
{
    static const struct {
        CK_RV rv;
        enum tok_message_verdict verdict;
    } rows[] = {
        { CKR_MECHANISM_INVALID, TOK_MESSAGE_REFUSED },      { CKR_FUNCTION_NOT_SUPPORTED, TOK_MESSAGE_NEVER },
        { CKR_CRYPTOKI_NOT_INITIALIZED, TOK_MESSAGE_NEVER }, { CKR_DEVICE_ERROR, TOK_MESSAGE_TRIED },
        { CKR_OPERATION_ACTIVE, TOK_MESSAGE_TRIED },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        furnish();
        said.init = rows[i].rv;
        FAILS_CKR(sign(), rows[i].rv);
        assert_int_equal(verdict, rows[i].verdict);
        assert_int_equal(said.signs, 0);
        assert_int_equal(lease.op_open, rows[i].rv == CKR_OPERATION_ACTIVE); /* which closes the session */
    }
}

TEST(after_a_failure_of_the_signature_no_operation_is_left_to_the_next_one)
{
    furnish();
    said.sign = CKR_DATA_LEN_RANGE; /* two calls are tried next, in this session */
    FAILS_CKR(sign(), CKR_DATA_LEN_RANGE);
    assert_int_equal(verdict, TOK_MESSAGE_REFUSED);
    assert_int_equal(said.finals, 1);
    assert_true(lease.spoilt);
    furnish();
    said.sign = CKR_DEVICE_ERROR; /* tried again in another one */
    FAILS_CKR(sign(), CKR_DEVICE_ERROR);
    assert_int_equal(verdict, TOK_MESSAGE_TRIED);
    assert_true(lease.op_open);
}

TEST(what_points_elsewhere_or_is_long_is_not_compared)
{
    struct tok_eddsa_params params = { .context = (uint8_t *)"x", .context_len = 1 };
    CK_MECHANISM eddsa = { CKM_EDDSA, &params, sizeof(params) };
    struct tok_sign_context more = { .context = (uint8_t *)"x", .context_len = 1 };
    CK_MECHANISM ml_dsa = { CKM_ML_DSA, &more, sizeof(more) };
    char long_params[64] = "";
    CK_MECHANISM odd = { CKM_ECDSA, long_params, sizeof(long_params) };
    struct tok_message message;

    assert_false(tok_message_make(&message, 5, 7, &eddsa));
    assert_false(tok_message_make(&message, 5, 7, &ml_dsa));
    assert_false(tok_message_make(&message, 5, 7, &odd));
    params.context = NULL;
    assert_true(tok_message_make(&message, 5, 7, &eddsa));
    more = (struct tok_sign_context){ .hedge = CKH_DETERMINISTIC_REQUIRED };
    assert_true(tok_message_make(&message, 5, 7, &ml_dsa));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_is_told_once_and_each_signature_is_a_call),
        cmocka_unit_test(another_key_is_told_after_the_first_one_was_ended),
        cmocka_unit_test(a_handle_of_a_time_that_is_gone_is_told_again_though_its_number_is_the_same),
        cmocka_unit_test(and_it_is_not_wanted_by_a_lease_of_now),
        cmocka_unit_test(a_refusal_is_the_keys_or_the_tokens),
        cmocka_unit_test(after_a_failure_of_the_signature_no_operation_is_left_to_the_next_one),
        cmocka_unit_test(what_points_elsewhere_or_is_long_is_not_compared),
    };

    return RUN(tests);
}
