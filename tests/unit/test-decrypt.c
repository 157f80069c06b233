/* What a token says of the data that it is to decrypt must not show: not in its calls, nor in those of the operations
 * that follow. Whoever can tell good padding from bad can decrypt (Bleichenbacher 1998, Manger 2001). */
#include "key-use.h"

#include "base/text.h"
#include "pkcs11/result/ckr.h"
#include "pkcs11/work/worker.h"

static const CK_MECHANISM unpadding = { CKM_RSA_PKCS, NULL, 0 };
static const CK_MECHANISM raw = { CKM_RSA_X_509, NULL, 0 };
static const CK_MECHANISM oaep = { CKM_RSA_PKCS_OAEP, NULL, 0 };

/* --- the log of calls --------------------------------------------------------------------------------------------- */

static char log_text[4096];
static struct text calls_log;

static void note_call(enum mock_function which)
{
    static const char *const names[] = {
#define MOCK_NAME(name) #name,
        MOCK_FUNCTIONS(MOCK_NAME)
#undef MOCK_NAME
    };

    text_printf(&calls_log, "%s ", names[which]);
}

static void log_begin(void)
{
    calls_log = text_over(log_text, sizeof(log_text));
    mock->on_call = note_call;
}

static void log_next(void)
{
    text_put(&calls_log, "| ");
}

/* --- one situation after the other -------------------------------------------------------------------------------- */

struct situation {
    const char *name;
    const CK_MECHANISM *mechanism;
    bool in_a_worker;
    bool always_authenticate;
    bool keeps_operation; /* the token, of data that it refuses */
    unsigned sessions;    /* that are idle before */
    unsigned max_sessions;
};

static const struct situation situations[] = {
    { .name = "PKCS#1", .mechanism = &unpadding, .sessions = 1 },
    { .name = "OAEP", .mechanism = &oaep, .sessions = 1 },
    { .name = "in a worker", .mechanism = &unpadding, .sessions = 1, .in_a_worker = true },
    { .name = "three sessions", .mechanism = &unpadding, .sessions = 3 },
    { .name = "one session at most", .mechanism = &unpadding, .sessions = 1, .max_sessions = 1 },
    { .name = "always authenticates", .mechanism = &unpadding, .sessions = 1, .always_authenticate = true },
    { .name = "always authenticates, three sessions", .mechanism = &oaep, .sessions = 3, .always_authenticate = true },
    { .name = "the operation stays active", .mechanism = &unpadding, .sessions = 1, .keeps_operation = true },
    { .name = "the operation stays active, three sessions",
      .mechanism = &oaep,
      .sessions = 3,
      .keeps_operation = true },
    { .name = "the operation stays active, in a worker",
      .mechanism = &unpadding,
      .sessions = 1,
      .keeps_operation = true,
      .in_a_worker = true },
    { .name = "the operation stays active, one session at most",
      .mechanism = &unpadding,
      .sessions = 1,
      .max_sessions = 1,
      .keeps_operation = true },
    { .name = "the operation stays active, always authenticates",
      .mechanism = &oaep,
      .sessions = 1,
      .keeps_operation = true,
      .always_authenticate = true },
};

static void idle_sessions(unsigned num)
{
    struct tok_lease leases[4];

    assert_true(num <= COUNT_OF(leases));
    memset(leases, 0, sizeof(leases));
    for (unsigned i = 0; i < num; i++) {
        OK(tok_lease_begin(&leases[i], module->tokens, 0, clock_us() + SECOND));
    }
    for (unsigned i = 0; i < num; i++) {
        tok_lease_end(&leases[i]);
    }
}

static void furnish_for(const struct situation *situation)
{
    static const CK_BBOOL yes = CK_TRUE;
    struct mock_object *object;

    furnish_from_file(point);
    object = mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, point);
    if (situation->always_authenticate) {
        object->always_authenticate = true;
        mock_attr(object, CKA_ALWAYS_AUTHENTICATE, &yes, 1);
    }
    settings.max_sessions = situation->max_sessions;
    OK(sign());
    idle_sessions(situation->sessions);
    mock->keeps_failed_operation = situation->keeps_operation;
    mock->bad_data = CKR_OK;
}

static CK_RV refusal;

static struct tok_result decrypt(const struct situation *situation, const char *in)
{
    SCOPED(tok_request_end) struct tok_request *request = NULL;
    uint8_t out[64];
    size_t len = sizeof(out);

    if (!situation->in_a_worker) {
        return tok_key_decrypt(key, situation->mechanism, (const uint8_t *)in, strlen(in), out, &len, &refusal);
    }
    TOK_TRY(tok_request_new(&request, TOK_WORK_DECRYPT, key, situation->mechanism, (const uint8_t *)in, strlen(in),
                            sizeof(out)));
    TOK_TRY(tok_request_submit(request));
    tok_request_wait(request);
    refusal = tok_request_refusal(request);
    return tok_request_result(request, out, &len, NULL);
}

/* The calls of a decryption, and of the operations after it. What was said of the data. */
static CK_RV log_of(const struct situation *situation, const char *in)
{
    CK_RV said;

    log_begin();
    OK(decrypt(situation, in));
    said = refusal;
    log_next();
    OK(sign());
    log_next();
    OK(decrypt(situation, "good"));
    log_next();
    OK(sign());
    return said;
}

/* Codes that are said of the library, the session, the token or the login, before anybody looks at data. */
static bool is_loss(CK_RV rv)
{
    return rv == CKR_OK || rv == CKR_CRYPTOKI_NOT_INITIALIZED || rv == CKR_SESSION_HANDLE_INVALID ||
           rv == CKR_SESSION_CLOSED || rv == CKR_DEVICE_REMOVED || rv == CKR_TOKEN_NOT_PRESENT ||
           rv == CKR_USER_NOT_LOGGED_IN || rv == CKR_OPERATION_NOT_INITIALIZED;
}

static void compare(const struct situation *situation, const char *good_log, CK_RV rv)
{
    mock->bad_data = rv;
    assert_int_equal(log_of(situation, "!"), rv);
    if (strcmp(log_text, good_log) != 0) {
        fail_msg("%s, %s: good: %s, bad: %s", situation->name, tok_ckr(rv)->name, good_log, log_text);
    }
}

TEST(good_data_and_bad_cost_the_same_calls_now_and_later_whatever_the_token_says)
{
    size_t num_rows;
    const struct tok_ckr *rows = tok_ckr_rows(&num_rows);

    for (size_t i = 0; i < COUNT_OF(situations); i++) {
        char good_log[sizeof(log_text)];

        furnish_for(&situations[i]);
        (void)log_of(&situations[i], "good"); /* what is remembered afterwards is so in either case */
        assert_int_equal(log_of(&situations[i], "good"), CKR_OK);
        strcpy(good_log, log_text);
        for (size_t row = 0; row < num_rows; row++) {
            if (!is_loss(rows[row].rv)) {
                compare(&situations[i], good_log, rows[row].rv);
            }
        }
        compare(&situations[i], good_log, CKR_VENDOR_DEFINED | 7);
        compare(&situations[i], good_log, 0x7777);
        mock->on_call = NULL;
    }
}

TEST(a_refusal_is_an_error_only_for_whom_may_know)
{
    struct tok_result result;

    furnish_for(&situations[0]);
    mock->bad_data = CKR_GENERAL_ERROR;
    OK(decrypt(&situations[0], "!"));
    assert_int_equal(refusal, CKR_GENERAL_ERROR);
    result = tok_key_refused(key, refusal);
    assert_true(tok_is(&result, CKR_GENERAL_ERROR));
    assert_string_equal(result.message,
                        "decrypting with key 'www' on token 'test': C_Decrypt: CKR_GENERAL_ERROR (0x5)");
}

TEST(raw_rsa_costs_two_calls_and_keeps_the_login_even_if_it_is_refused)
{
    static const struct situation plain = { .mechanism = &raw, .sessions = 1 };
    unsigned logins;

    furnish_for(&plain);
    (void)log_of(&plain, "good");
    assert_string_equal(log_text, "DecryptInit Decrypt | SignInit Sign | DecryptInit Decrypt | SignInit Sign ");
    logins = mock->calls[MOCK_Login];
    mock->bad_data = CKR_GENERAL_ERROR;
    mock->keeps_failed_operation = true;
    assert_int_equal(log_of(&plain, "!"), CKR_GENERAL_ERROR);
    assert_int_equal(mock->calls[MOCK_Login], logins);
    mock->on_call = NULL;
}

TEST(what_is_said_before_data_are_looked_at_is_recovered_from)
{
    size_t num_rows;
    const struct tok_ckr *rows = tok_ckr_rows(&num_rows);
    unsigned recovered = 0;

    furnish_for(&situations[0]);
    for (size_t row = 0; row < num_rows; row++) {
        if (rows[row].rv != CKR_OK && is_loss(rows[row].rv)) {
            mock_fails(mock, MOCK_Decrypt, rows[row].rv, 0, 1);
            OK(decrypt(&situations[0], "good"));
            assert_int_equal(refusal, CKR_OK);
            recovered++;
        }
    }
    assert_int_equal(recovered, 7);
    mock_fails(mock, MOCK_DecryptInit, CKR_GENERAL_ERROR, 0, 1); /* has not seen the data either */
    OK(decrypt(&situations[0], "good"));
}

TEST(a_session_that_is_not_to_be_had_beside_the_old_one_costs_no_decryption)
{
    static const CK_RV failures[] = { CKR_SESSION_COUNT, CKR_DEVICE_REMOVED, CKR_GENERAL_ERROR, CKR_DEVICE_MEMORY };

    for (size_t i = 0; i < COUNT_OF(failures); i++) {
        furnish_for(&situations[0]);
        mock_fails(mock, MOCK_OpenSession, failures[i], 0, 1);
        OK(decrypt(&situations[0], "good"));
        assert_int_equal(refusal, CKR_OK);
        assert_int_equal(mock->failures[MOCK_OpenSession].times, 0);
        assert_int_equal(mock->open_sessions, 0);
        OK(sign());
        assert_int_equal(mock->calls[MOCK_Login], 2); /* with the last session the login went */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refusal_is_an_error_only_for_whom_may_know),
        cmocka_unit_test(raw_rsa_costs_two_calls_and_keeps_the_login_even_if_it_is_refused),
        cmocka_unit_test(a_session_that_is_not_to_be_had_beside_the_old_one_costs_no_decryption),
        cmocka_unit_test(what_is_said_before_data_are_looked_at_is_recovered_from),
        cmocka_unit_test(good_data_and_bad_cost_the_same_calls_now_and_later_whatever_the_token_says),
    };

    return RUN(tests);
}
