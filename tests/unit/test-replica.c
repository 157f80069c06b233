/* One key on three tokens, each of a module of its own. */
#include "mock-use.h"

#include <stdatomic.h>

#include "child.h"
#include "pkcs11/key/find.h"
#include "pkcs11/key/key-parts.h"
#include "pkcs11/work/worker.h"

#define NUM 3

static struct mock *mocks[NUM];
static struct tok_module *modules[NUM];
static struct tok_settings settings;
static struct tok_key *key;

static const CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };
static const char point[] = "\x04xy";
static const char *const labels[NUM] = { "a", "b", "c" };

static void name_token(size_t i, const char *uri, const char *pin)
{
    settings.tokens[i].name = strdup("n");
    OK(tok_uri_parse(&settings.tokens[i].uri, uri, TOK_URI_FROM_APPLICATION));
    OK(tok_pin_source_new(&settings.tokens[i].pin, pin, TOK_PIN_FROM_SETTINGS));
}

/* Three empty tokens, preferred in the order of `order`. */
static void furnish_tokens(const char *order)
{
    char paths[NUM * 64] = "";

    tok_key_unref(key);
    key = NULL;
    tok_settings_end(&settings);
    tok_settings_init(&settings);
    settings.deadline_us = 5 * SECOND;
    settings.tokens = calloc(NUM, sizeof(*settings.tokens));
    for (size_t i = 0; i < NUM; i++) {
        mocks[i] = mock_load(&modules[i]);
        mock_token(mocks[i], labels[i]);
        snprintf(paths + strlen(paths), sizeof(paths) - strlen(paths), "%s%s", i > 0 ? "," : "", mock_path);
    }
    settings.modules = strdup(paths);
    for (size_t i = 0; i < strlen(order); i++) {
        char uri[32];

        snprintf(uri, sizeof(uri), "pkcs11:token=%c", order[i]);
        name_token(settings.num_tokens++, uri, "1234");
    }
}

static struct tok_result find(const char *text)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    TOK_TRY(tok_uri_parse(&uri, text, TOK_URI_FROM_APPLICATION));
    TOK_TRY(tok_find(&items, &settings, uri, TOK_WANT_PRIVATE, NULL));
    key = tok_key_ref(items.items[0].key);
    return tok_good();
}

static void furnish(const char *order)
{
    furnish_tokens(order);
    for (size_t i = 0; i < NUM; i++) {
        mock_ec_key(mocks[i], CKO_PRIVATE_KEY, "www", 1, point);
    }
    OK(find("pkcs11:object=www"));
}

/* The key as a file gives it. */
static void furnish_from_file(const char *text)
{
    struct tok_public half = { .type = CKK_EC };
    struct tok_uri *uri = NULL;

    furnish_tokens("abc");
    assert_true(bytes_set(&half.params, "\x06\x01\x01", 3) && bytes_set(&half.point, point, strlen(point)));
    OK(tok_uri_parse(&uri, text, TOK_URI_FROM_FILE));
    OK(tok_key_new(&key, &settings, uri, &half));
}

static _Thread_local uint64_t unproved;

static struct tok_result sign(void)
{
    uint8_t out[64];
    size_t len = sizeof(out);

    TOK_TRY(tok_key_sign(key, &mechanism, (const uint8_t *)"digest", 6, out, &len, &unproved));
    if (len != 3 || memcmp(out, "www", 3) != 0) {
        return tok_fail(TOK_CODE_OTHER_KEY, "another key has signed: %.*s", (int)len, (char *)out);
    }
    return tok_good();
}

/* Which token has signed since the last time: 'a', 'b', 'c'; '-' for none, '+' for several. */
static char who(void)
{
    static unsigned before[NUM];
    static const struct mock *of;
    char found = '-';

    for (size_t i = 0; i < NUM; i++) {
        unsigned now = mocks[i]->calls[MOCK_Sign];

        if (now != (of == mocks[0] ? before[i] : 0)) {
            found = found == '-' ? *labels[i] : '+';
        }
        before[i] = now;
    }
    of = mocks[0];
    return found;
}

static char who_signs(void)
{
    (void)who();
    OK(sign());
    return who();
}

static void pause_ends(struct tok_health *health)
{
    assert_false(tok_health_works(health));
    atomic_store(&health->trial_us, 1);
}

/* --- which one ---------------------------------------------------------------------------------------------------- */

TEST(a_key_on_several_tokens_signs_on_the_first_of_the_settings_order)
{
    furnish("cab");
    assert_int_equal(who_signs(), 'c');
    assert_int_equal(who_signs(), 'c');
    furnish("b"); /* those without a PIN are left out */
    assert_int_equal(who_signs(), 'b');
    assert_int_equal(mocks[0]->calls[MOCK_Login] + mocks[2]->calls[MOCK_Login], 0);
}

TEST(its_uri_is_the_name_that_means_all_of_them)
{
    furnish("abc");
    assert_string_equal(tok_key_uri(key), "pkcs11:object=www");
}

static void *sign_once(void *arg)
{
    struct tok_result result = sign();

    *(bool *)arg = tok_ok(&result);
    return NULL;
}

/* Starts a signature and waits until it hangs in the token that is named. */
static void hang_in(pthread_t *thread, bool *good, size_t i)
{
    atomic_store(&mocks[i]->hang, 1u << MOCK_Sign);
    assert_int_equal(pthread_create(thread, NULL, sign_once, good), 0);
    while (atomic_load(&mocks[i]->hung) == 0) {
        usleep(1000);
    }
}

TEST(an_operation_goes_to_the_one_with_the_fewest_in_flight)
{
    pthread_t threads[NUM];
    bool good[NUM] = { false };

    furnish("abc");
    for (size_t i = 0; i < NUM; i++) {
        OK(sign()); /* on each of those that are free: the first one */
        assert_int_equal(who(), *labels[i]);
        hang_in(&threads[i], &good[i], i);
        (void)who();
    }
    for (size_t i = 0; i < NUM; i++) {
        atomic_store(&mocks[i]->hang, 0);
    }
    for (size_t i = 0; i < NUM; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_true(good[i]);
        assert_int_equal(atomic_load(&modules[i]->tokens->in_flight), 0);
    }
    (void)who();
    assert_int_equal(who_signs(), 'a');
}

TEST(one_that_hangs_is_not_asked_by_anybody_else)
{
    pthread_t thread;
    bool good = false;

    furnish("abc");
    hang_in(&thread, &good, 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(who_signs(), 'b');
    }
    atomic_store(&modules[0]->tokens->health.stuck_us, 1); /* for more than a second */
    mocks[1]->tokens[0].present = mocks[2]->tokens[0].present = true;
    assert_int_equal(who_signs(), 'b');
    atomic_store(&mocks[0]->hang, 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(good);
    (void)who();
    assert_int_equal(who_signs(), 'a');
}

/* Which token the next operation would go to. */
static char who_is_next(void)
{
    struct tok_flight flight;

    if (!tok_flight_begin(&flight, &key->replicas, 0, clock_us())) {
        return '-';
    }
    tok_flight_end(&flight);
    return *flight.replica->token->label;
}

TEST(one_in_which_nothing_ends_for_a_second_is_asked_last_however_busy_the_others_are)
{
    struct tok_token *first;

    furnish("abc");
    OK(sign());
    first = modules[0]->tokens;
    atomic_store(&first->in_flight, 1);
    atomic_store(&modules[1]->tokens->in_flight, 2);
    atomic_store(&modules[2]->tokens->in_flight, 3);
    assert_int_equal(who_is_next(), 'a');
    atomic_store(&first->health.stuck_us, 1); /* since then */
    assert_int_equal(who_is_next(), 'b');
    atomic_fetch_add(&first->pool.served, 1);
    assert_int_equal(who_is_next(), 'a');
    for (size_t i = 0; i < NUM; i++) {
        atomic_store(&modules[i]->tokens->in_flight, 0);
    }
}

TEST(one_that_is_set_aside_for_two_reasons_is_tried_when_both_pauses_are_over)
{
    struct tok_replica *first;

    furnish("abc");
    OK(sign());
    first = key->replicas.items[0];
    tok_health_aside(&first->health, clock_us());
    tok_health_aside(&first->token->health, clock_us());
    assert_int_equal(who_is_next(), 'b');
    pause_ends(&first->health);
    assert_int_equal(who_is_next(), 'b');
    pause_ends(&first->health);
    pause_ends(&first->token->health);
    assert_int_equal(who_is_next(), 'a');
}

TEST(one_that_is_away_for_all_is_tried_once_its_one_pause_is_over)
{
    struct tok_token *first;

    furnish("abc");
    OK(sign());
    first = modules[0]->tokens;
    tok_health_away(&first->health, clock_us(), clock_us(), false, "x");
    assert_int_equal(who_signs(), 'b');
    pause_ends(&first->health);
    assert_int_equal(who_signs(), 'a');
    assert_true(tok_health_works(&first->health));
    assert_int_equal(who_signs(), 'a');
}

TEST(while_one_is_on_trial_nobody_else_tries_it)
{
    struct tok_flight trial;
    struct tok_flight other;
    uint64_t now = clock_us();

    furnish("abc");
    OK(sign());
    tok_health_aside(&modules[0]->tokens->health, now);
    assert_true(tok_flight_begin(&trial, &key->replicas, 0, now + SECOND));
    assert_ptr_equal(trial.replica->token, modules[0]->tokens);
    assert_true(tok_flight_begin(&other, &key->replicas, 0, now + 100 * SECOND));
    assert_ptr_not_equal(other.replica->token, modules[0]->tokens);
    tok_flight_end(&other);
    tok_flight_end(&trial); /* in vain */
    assert_true(tok_flight_begin(&trial, &key->replicas, 0, now + 100 * SECOND));
    assert_ptr_equal(trial.replica->token, modules[0]->tokens);
    tok_flight_end(&trial);
}

static struct tok_flight under_way;

static int ends_its_parents_flight(void *arg)
{
    (void)arg;
    tok_flight_end(&under_way);
    return atomic_load(&modules[0]->tokens->in_flight) == 0 ? 0 : 1;
}

TEST(what_was_under_way_before_a_fork_is_not_counted_out_in_the_child)
{
    furnish("abc");
    OK(sign());
    assert_true(tok_flight_begin(&under_way, &key->replicas, 0, clock_us()));
    assert_int_equal(child_does(ends_its_parents_flight, NULL), 0);
    assert_int_equal(atomic_load(&modules[0]->tokens->in_flight), 1);
    tok_flight_end(&under_way);
}

/* --- moving over -------------------------------------------------------------------------------------------------- */

TEST(whatever_one_answers_another_serves)
{
    static const CK_RV troubles[] = { CKR_DEVICE_ERROR,      CKR_GENERAL_ERROR,      CKR_DEVICE_REMOVED,
                                      CKR_TOKEN_NOT_PRESENT, CKR_FUNCTION_FAILED,    CKR_DEVICE_MEMORY,
                                      CKR_MECHANISM_INVALID, CKR_KEY_HANDLE_INVALID, CKR_SESSION_COUNT,
                                      CKR_PIN_LOCKED,        CKR_USER_NOT_LOGGED_IN };

    for (size_t i = 0; i < COUNT_OF(troubles); i++) {
        for (int run = 0; run < 2; run++) {
            uint64_t began;

            furnish("abc");
            OK(sign());
            mock_fails(mocks[0], run ? MOCK_Sign : MOCK_SignInit, troubles[i], 0, 1000);
            began = clock_us();
            OK(sign());
            assert_true(clock_us() - began < settings.deadline_us);
            (void)who();
            assert_int_equal(who_signs(), 'b'); /* the first one is not even asked */
            assert_int_equal(mocks[0]->tokens[0].wrong_pins, 0);
        }
    }
}

TEST(one_that_comes_back_is_tried_by_one_operation_and_first_again)
{
    furnish("abc");
    OK(sign());
    mock_fails(mocks[0], MOCK_SignInit, CKR_DEVICE_ERROR, 0, 1000);
    OK(sign());
    pause_ends(&modules[0]->tokens->health);
    assert_int_equal(who_signs(), 'b'); /* it was tried, and still fails */
    assert_false(tok_health_works(&modules[0]->tokens->health));
    assert_int_equal(who_signs(), 'b');
    mocks[0]->failures[MOCK_SignInit].times = 0;
    assert_int_equal(who_signs(), 'b'); /* nobody knows yet */
    pause_ends(&modules[0]->tokens->health);
    assert_int_equal(who_signs(), 'a');
    assert_true(tok_health_works(&modules[0]->tokens->health));
    assert_int_equal(who_signs(), 'a');
}

TEST(a_daemon_that_went_and_came_serves_again)
{
    furnish("abc");
    OK(sign());
    mocks[0]->down = true;
    assert_int_equal(who_signs(), 'b');
    assert_int_equal(who_signs(), 'b');
    mocks[0]->down = false;
    modules[0]->again_us = 1; /* it was not initialised just now */
    pause_ends(&modules[0]->tokens->health);
    assert_int_equal(who_signs(), 'a');
}

TEST(a_token_that_went_and_came_elsewhere_serves_again)
{
    furnish("abc");
    OK(sign());
    mocks[0]->tokens[0].present = false;
    mocks[0]->tokens[0].logged_in = false;
    memset(mocks[0]->sessions, 0, sizeof(mocks[0]->sessions));
    mocks[0]->open_sessions = 0;
    assert_int_equal(who_signs(), 'b');
    mocks[0]->tokens[0].present = true;
    mocks[0]->tokens[0].slot = 9;
    pause_ends(&modules[0]->tokens->health);
    assert_int_equal(who_signs(), 'a');
}

TEST(where_all_refuse_each_is_asked_once_and_that_is_told)
{
    furnish("abc");
    OK(sign());
    for (size_t i = 0; i < NUM; i++) {
        mocks[i]->calls[MOCK_SignInit] = 0;
        mock_fails(mocks[i], MOCK_SignInit, CKR_MECHANISM_INVALID, 0, 1000);
    }
    FAILS_CKR(sign(), CKR_MECHANISM_INVALID);
    SAYS("the last of 3");
    for (size_t i = 0; i < NUM; i++) {
        assert_int_equal(mocks[i]->calls[MOCK_SignInit], 1);
        assert_true(tok_health_works(&modules[i]->tokens->health)); /* it may be about the data */
        mocks[i]->failures[MOCK_SignInit].times = 0;
    }
    (void)who();
    assert_int_equal(who_signs(), 'a');
}

static void comes_back_when_asked_often(enum mock_function which)
{
    static unsigned times;

    if (which == MOCK_GetSlotList && ++times == 20) {
        mocks[1]->tokens[0].present = true;
    }
}

TEST(where_all_are_away_the_first_that_is_back_serves)
{
    furnish("abc");
    OK(sign());
    settings.deadline_us = 30 * SECOND;
    for (size_t i = 0; i < NUM; i++) {
        mocks[i]->tokens[0].present = false;
        mocks[i]->tokens[0].logged_in = false;
        memset(mocks[i]->sessions, 0, sizeof(mocks[i]->sessions));
        mocks[i]->open_sessions = 0;
    }
    mocks[2]->on_call = comes_back_when_asked_often;
    assert_int_equal(who_signs(), 'b');
}

TEST(where_all_stay_away_the_deadline_ends_it_and_later_ones_fail_at_once)
{
    uint64_t began;

    furnish("abc");
    OK(sign());
    settings.deadline_us = SECOND / 2;
    for (size_t i = 0; i < NUM; i++) {
        mock_fails(mocks[i], MOCK_SignInit, CKR_TOKEN_NOT_PRESENT, 0, 1000000);
        mock_fails(mocks[i], MOCK_OpenSession, CKR_TOKEN_NOT_PRESENT, 0, 1000000);
    }
    began = clock_us();
    FAILS_CKR(sign(), CKR_TOKEN_NOT_PRESENT);
    assert_true(clock_us() - began >= SECOND / 4);
    for (size_t i = 0; i < NUM; i++) {
        mocks[i]->calls[MOCK_SignInit] = mocks[i]->calls[MOCK_OpenSession] = 0;
    }
    FAILS(sign(), TOK_CODE_UNAVAILABLE);
    for (size_t i = 0; i < NUM; i++) {
        assert_int_equal(mocks[i]->calls[MOCK_SignInit] + mocks[i]->calls[MOCK_OpenSession], 0);
    }
}

/* The calls of all tokens that are about the key, each as the token's letter and what it was. */
static char decryption_log[512];

static void log_decryption(size_t i, enum mock_function which)
{
    size_t len = strlen(decryption_log);

    snprintf(decryption_log + len, sizeof(decryption_log) - len, "%s%u ", labels[i], which);
}

static void log_a(enum mock_function which)
{
    log_decryption(0, which);
}

static void log_b(enum mock_function which)
{
    log_decryption(1, which);
}

static void log_c(enum mock_function which)
{
    log_decryption(2, which);
}

/* A decryption, two signatures and another decryption. */
static CK_RV decrypt_and_go_on(const char *in)
{
    static const CK_MECHANISM unpadding = { CKM_RSA_PKCS, NULL, 0 };
    uint8_t out[8];
    size_t len = sizeof(out);
    CK_RV said;
    CK_RV ignored;

    decryption_log[0] = '\0';
    OK(tok_key_decrypt(key, &unpadding, (const uint8_t *)in, strlen(in), out, &len, &said));
    OK(sign());
    OK(sign());
    len = sizeof(out);
    OK(tok_key_decrypt(key, &unpadding, (const uint8_t *)"good", 4, out, &len, &ignored));
    return said;
}

TEST(data_that_one_token_refuses_are_not_shown_to_another_and_set_none_aside)
{
    static const CK_RV refusals[] = { CKR_ENCRYPTED_DATA_INVALID, CKR_GENERAL_ERROR,       CKR_DEVICE_ERROR,
                                      CKR_FUNCTION_FAILED,        CKR_HOST_MEMORY,         CKR_DEVICE_MEMORY,
                                      CKR_BUFFER_TOO_SMALL,       CKR_OPERATION_ACTIVE,    CKR_FUNCTION_CANCELED,
                                      CKR_KEY_HANDLE_INVALID,     CKR_TOKEN_NOT_RECOGNIZED };
    char good_log[sizeof(decryption_log)];

    furnish("abc");
    OK(sign());
    mocks[0]->on_call = log_a;
    mocks[1]->on_call = log_b;
    mocks[2]->on_call = log_c;
    (void)decrypt_and_go_on("good");
    assert_int_equal(decrypt_and_go_on("good"), CKR_OK);
    strcpy(good_log, decryption_log);
    assert_true(strlen(good_log) < sizeof(good_log) - 1);
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        mocks[0]->bad_data = refusals[i];
        mocks[0]->keeps_failed_operation = i % 2 == 1;
        assert_int_equal(decrypt_and_go_on("!"), refusals[i]);
        assert_string_equal(decryption_log, good_log);
    }
    mocks[0]->on_call = mocks[1]->on_call = mocks[2]->on_call = NULL;
}

/* --- which tokens have it ----------------------------------------------------------------------------------------- */

TEST(a_key_file_that_names_no_token_is_served_by_those_that_hold_the_key)
{
    furnish_from_file("pkcs11:object=www;type=private");
    mock_ec_key(mocks[0], CKO_PRIVATE_KEY, "www", 1, "\x04zz"); /* another key of this name, */
    mock_ec_key(mocks[1], CKO_PRIVATE_KEY, "mail", 1, point);   /* and the key by another name */
    mock_ec_key(mocks[2], CKO_PRIVATE_KEY, "www", 1, point);
    assert_int_equal(who_signs(), 'c');
    assert_int_equal(who_signs(), 'c');
    assert_int_equal(mocks[0]->calls[MOCK_SignInit] + mocks[1]->calls[MOCK_SignInit], 0);
}

TEST(different_keys_of_one_name_are_no_replicas)
{
    furnish_tokens("abc");
    mock_ec_key(mocks[0], CKO_PRIVATE_KEY, "www", 1, point);
    mock_ec_key(mocks[1], CKO_PRIVATE_KEY, "www", 1, "\x04zz");
    FAILS(find("pkcs11:object=www"), TOK_CODE_AMBIGUOUS);
    SAYS("token=a");
    SAYS("token=b");
}

TEST(replicas_may_have_other_ids_and_a_uri_with_a_token_means_that_one)
{
    furnish_tokens("abc");
    mock_ec_key(mocks[0], CKO_PRIVATE_KEY, "www", 1, point);
    mock_ec_key(mocks[1], CKO_PRIVATE_KEY, "www", 2, point);
    OK(find("pkcs11:object=www"));
    assert_int_equal(who_signs(), 'a');
    mocks[0]->down = true;
    assert_int_equal(who_signs(), 'b');
    tok_key_unref(key);
    mocks[0]->down = false;
    modules[0]->again_us = 1;
    OK(find("pkcs11:token=b;object=www"));
    assert_int_equal(who_signs(), 'b');
    mocks[1]->first_handle = 500; /* it is found by its own id */
    assert_int_equal(who_signs(), 'b');
}

TEST(a_token_that_came_after_the_key_was_loaded_serves_once_it_was_seen)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    SCOPED(tok_token_list_end) struct tok_token_list list = { .items = NULL };

    furnish_tokens("abc");
    for (size_t i = 0; i < NUM; i++) {
        mock_ec_key(mocks[i], CKO_PRIVATE_KEY, "www", 1, point);
        mocks[i]->tokens[0].present = i == 2;
    }
    OK(find("pkcs11:object=www"));
    assert_int_equal(who_signs(), 'c');
    mocks[0]->tokens[0].present = true;
    assert_int_equal(who_signs(), 'c');
    OK(tok_uri_parse(&uri, "pkcs11:", TOK_URI_FROM_APPLICATION)); /* somebody looks */
    OK(tok_find_tokens(&list, &settings, uri, clock_us() + 10 * SECOND));
    assert_int_equal(who_signs(), 'a');
    mocks[0]->down = true;
    assert_int_equal(who_signs(), 'c');
}

TEST(a_token_in_trouble_while_the_key_is_loaded_delays_nothing_and_serves_later)
{
    uint64_t began;

    furnish_tokens("abc");
    settings.deadline_us = 60 * SECOND;
    for (size_t i = 0; i < NUM; i++) {
        mock_ec_key(mocks[i], CKO_PRIVATE_KEY, "www", 1, point);
    }
    mock_fails(mocks[1], MOCK_OpenSession, CKR_TOKEN_NOT_PRESENT, 0, 1000000);
    mock_fails(mocks[0], MOCK_OpenSession, CKR_DEVICE_MEMORY, 0, 1000000);
    began = clock_us();
    OK(find("pkcs11:object=www"));
    assert_int_equal(who_signs(), 'c');
    assert_true(clock_us() - began < settings.deadline_us / 2);
    mocks[0]->failures[MOCK_OpenSession].times = 0;
    mocks[1]->failures[MOCK_OpenSession].times = 0;
    pause_ends(&modules[0]->tokens->health);
    assert_int_equal(who_signs(), 'a');
}

TEST(where_all_are_in_trouble_while_the_key_is_loaded_they_are_waited_for)
{
    furnish_tokens("abc");
    for (size_t i = 0; i < NUM; i++) {
        mock_ec_key(mocks[i], CKO_PRIVATE_KEY, "www", 1, point);
        mock_fails(mocks[i], MOCK_OpenSession, CKR_DEVICE_MEMORY, 0, 3);
    }
    OK(find("pkcs11:object=www"));
    OK(sign());
}

TEST(the_pin_of_a_uri_is_for_one_token)
{
    furnish_tokens("abc");
    for (size_t i = 0; i < NUM; i++) {
        mock_ec_key(mocks[i], CKO_PRIVATE_KEY, "www", 1, point);
    }
    OK(find("pkcs11:object=www?pin-value=9999"));
    OK(sign());
    for (size_t i = 0; i < NUM; i++) {
        assert_int_equal(mocks[i]->tokens[0].wrong_pins, 0);
    }
}

TEST(a_wrong_pin_on_one_is_sent_once_and_the_others_serve)
{
    furnish_from_file("pkcs11:object=www");
    for (size_t i = 0; i < NUM; i++) {
        mock_ec_key(mocks[i], CKO_PRIVATE_KEY, "www", 1, point);
    }
    strcpy(mocks[0]->tokens[0].pin, "5678");
    for (int i = 0; i < 5; i++) {
        assert_int_equal(who_signs(), 'b');
    }
    assert_int_equal(mocks[0]->tokens[0].wrong_pins, 1);
}

TEST(with_load_early_all_are_logged_in_to)
{
    furnish_from_file("pkcs11:object=www");
    settings.load_early = true;
    for (size_t i = 0; i < NUM; i++) {
        mock_ec_key(mocks[i], CKO_PRIVATE_KEY, "www", 1, point);
    }
    mocks[1]->down = true; /* but for one that is not there */
    OK(tok_key_locate(key, NULL));
    assert_int_equal(mocks[0]->calls[MOCK_Login], 1);
    assert_int_equal(mocks[2]->calls[MOCK_Login], 1);
}

TEST(a_result_that_was_another_keys_lets_another_token_serve)
{
    furnish_from_file("pkcs11:object=www");
    for (size_t i = 0; i < NUM; i++) {
        mock_ec_key(mocks[i], CKO_PRIVATE_KEY, "www", 1, NULL);
    }
    assert_int_equal(who_signs(), 'a');
    assert_true(unproved != 0);
    assert_true(tok_key_disprove(key, unproved));
    assert_int_equal(who_signs(), 'b');
    tok_key_prove(key, unproved);
    assert_int_equal(who_signs(), 'b');
    assert_int_equal(unproved, 0);
}

TEST(two_tokens_of_one_module_are_replicas_as_well)
{
    furnish_tokens("ab");
    mock_ec_key(mocks[0], CKO_PRIVATE_KEY, "www", 1, point);
    mock_token(mocks[0], "d");
    mock_ec_key(mocks[0], CKO_PRIVATE_KEY, "www", 1, point);
    name_token(settings.num_tokens++, "pkcs11:token=d", "1234");
    OK(find("pkcs11:object=www"));
    OK(sign());
    mocks[0]->tokens[0].present = false;
    OK(sign());
    assert_int_equal(mocks[0]->calls[MOCK_Finalize], 0);
    assert_true(mocks[0]->tokens[1].logged_in);
}

/* --- forks, requests, threads ------------------------------------------------------------------------------------- */

static int signs_in_child(void *arg)
{
    struct tok_result result;

    (void)arg;
    for (size_t i = 0; i < NUM; i++) { /* as modules that know of the fork */
        mocks[i]->initialized = false;
        mocks[i]->tokens[0].logged_in = false;
        memset(mocks[i]->sessions, 0, sizeof(mocks[i]->sessions));
        mocks[i]->open_sessions = 0;
    }
    mocks[0]->down = true;
    result = sign();
    return tok_ok(&result) && who() == 'b' && atomic_load(&modules[0]->tokens->in_flight) == 0 ? 0 : 1;
}

TEST(a_child_moves_over_as_well_and_does_not_count_what_its_parent_has_in_flight)
{
    pthread_t thread;
    bool good = false;

    furnish("abc");
    OK(sign());
    hang_in(&thread, &good, 0);
    (void)who();
    assert_int_equal(child_does(signs_in_child, NULL), 0);
    atomic_store(&mocks[0]->hang, 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(good);
    assert_int_equal(atomic_load(&modules[0]->tokens->in_flight), 0);
}

TEST(requests_are_spread_and_move_over)
{
    struct tok_request *requests[12];

    furnish("abc");
    OK(sign());
    for (size_t i = 0; i < NUM; i++) {
        mocks[i]->delay_us[MOCK_Sign] = 50 * 1000;
        mocks[i]->calls[MOCK_Sign] = 0;
    }
    mocks[1]->down = true;
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        OK(tok_request_new(&requests[i], TOK_WORK_SIGN, key, &mechanism, (const uint8_t *)"d", 1, 64));
        OK(tok_request_submit(requests[i]));
    }
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        uint8_t out[64];
        size_t len = sizeof(out);

        tok_request_wait(requests[i]);
        OK(tok_request_result(requests[i], out, &len, &unproved));
        tok_request_leave(requests[i]);
    }
    assert_true(mocks[0]->calls[MOCK_Sign] >= 2);
    assert_true(mocks[2]->calls[MOCK_Sign] >= 2);
}

static _Atomic unsigned failed_signatures;
static _Atomic unsigned good_signatures;
static _Atomic bool enough;

static void *sign_on(void *unused)
{
    (void)unused;
    while (!atomic_load(&enough)) {
        struct tok_result result = sign();

        atomic_fetch_add(tok_ok(&result) ? &good_signatures : &failed_signatures, 1);
    }
    return NULL;
}

static void wait_for_signatures(unsigned more)
{
    unsigned until = atomic_load(&good_signatures) + more;

    while (atomic_load(&good_signatures) < until && atomic_load(&failed_signatures) == 0) {
        usleep(1000);
    }
}

TEST(eight_threads_lose_nothing_while_one_after_the_other_goes_and_comes)
{
    pthread_t threads[8];

    furnish("abc");
    settings.deadline_us = 30 * SECOND;
    atomic_store(&failed_signatures, 0);
    atomic_store(&enough, false);
    for (size_t i = 0; i < NUM; i++) {
        mocks[i]->delay_us[MOCK_Sign] = 500;
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, sign_on, NULL), 0);
    }
    for (int i = 0; i < 6; i++) {
        struct mock *mock = mocks[i % NUM];

        wait_for_signatures(50);
        atomic_store(&mock->down, true);
        wait_for_signatures(50);
        atomic_store(&mock->down, false);
    }
    atomic_store(&enough, true);
    for (size_t i = 0; i < COUNT_OF(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&failed_signatures), 0);
    for (size_t i = 0; i < NUM; i++) {
        assert_int_equal(atomic_load(&modules[i]->tokens->in_flight), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_moves_over_as_well_and_does_not_count_what_its_parent_has_in_flight),
        cmocka_unit_test(what_was_under_way_before_a_fork_is_not_counted_out_in_the_child),
        cmocka_unit_test(a_key_on_several_tokens_signs_on_the_first_of_the_settings_order),
        cmocka_unit_test(its_uri_is_the_name_that_means_all_of_them),
        cmocka_unit_test(an_operation_goes_to_the_one_with_the_fewest_in_flight),
        cmocka_unit_test(one_that_hangs_is_not_asked_by_anybody_else),
        cmocka_unit_test(one_in_which_nothing_ends_for_a_second_is_asked_last_however_busy_the_others_are),
        cmocka_unit_test(one_that_is_set_aside_for_two_reasons_is_tried_when_both_pauses_are_over),
        cmocka_unit_test(one_that_is_away_for_all_is_tried_once_its_one_pause_is_over),
        cmocka_unit_test(while_one_is_on_trial_nobody_else_tries_it),
        cmocka_unit_test(whatever_one_answers_another_serves),
        cmocka_unit_test(one_that_comes_back_is_tried_by_one_operation_and_first_again),
        cmocka_unit_test(a_daemon_that_went_and_came_serves_again),
        cmocka_unit_test(a_token_that_went_and_came_elsewhere_serves_again),
        cmocka_unit_test(where_all_refuse_each_is_asked_once_and_that_is_told),
        cmocka_unit_test(where_all_are_away_the_first_that_is_back_serves),
        cmocka_unit_test(where_all_stay_away_the_deadline_ends_it_and_later_ones_fail_at_once),
        cmocka_unit_test(data_that_one_token_refuses_are_not_shown_to_another_and_set_none_aside),
        cmocka_unit_test(a_key_file_that_names_no_token_is_served_by_those_that_hold_the_key),
        cmocka_unit_test(different_keys_of_one_name_are_no_replicas),
        cmocka_unit_test(replicas_may_have_other_ids_and_a_uri_with_a_token_means_that_one),
        cmocka_unit_test(a_token_that_came_after_the_key_was_loaded_serves_once_it_was_seen),
        cmocka_unit_test(a_token_in_trouble_while_the_key_is_loaded_delays_nothing_and_serves_later),
        cmocka_unit_test(where_all_are_in_trouble_while_the_key_is_loaded_they_are_waited_for),
        cmocka_unit_test(the_pin_of_a_uri_is_for_one_token),
        cmocka_unit_test(a_wrong_pin_on_one_is_sent_once_and_the_others_serve),
        cmocka_unit_test(with_load_early_all_are_logged_in_to),
        cmocka_unit_test(a_result_that_was_another_keys_lets_another_token_serve),
        cmocka_unit_test(two_tokens_of_one_module_are_replicas_as_well),
        cmocka_unit_test(requests_are_spread_and_move_over),
        cmocka_unit_test(eight_threads_lose_nothing_while_one_after_the_other_goes_and_comes),
    };

    return RUN(tests);
}
