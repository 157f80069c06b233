#include "mock-use.h"

#include "pkcs11/config/settings.h"

static struct mock *mock;
static struct tok_module *module;

static size_t num_present(void)
{
    size_t count = 0;

    for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
        count += token->present;
    }
    return count;
}

/* How many tokens the URI means; the last of them is in *out_last. */
static size_t num_matching(const char *text, struct tok_token **out_last)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    struct tok_token *token = NULL;
    size_t count = 0;

    OK(tok_uri_parse(&uri, text, TOK_URI_FROM_APPLICATION));
    for (;;) {
        OK(tok_token_matching(&token, module, uri, clock_us() + 10 * SECOND));
        if (token == NULL) {
            return count;
        }
        *out_last = token;
        count++;
    }
}

TEST(a_look_costs_one_call_and_one_for_each_token)
{
    struct tok_token *token;

    mock = mock_load(&module);
    mock_token(mock, "first");
    mock_token(mock, "second");
    token = mock_looked(module);
    assert_int_equal(mock->calls[MOCK_GetSlotList], 1);
    assert_int_equal(mock->calls[MOCK_GetTokenInfo], 2);
    assert_string_equal(token->label, "first");
    assert_string_equal(token->next->label, "second");
    assert_null(token->next->next);
}

TEST(a_module_without_tokens_is_no_failure)
{
    mock = mock_load(&module);
    assert_null(mock_looked(module));
}

TEST(a_blank_token_is_left_out)
{
    mock = mock_load(&module);
    mock_token(mock, "blank")->info.flags &= ~CKF_TOKEN_INITIALIZED;
    mock_token(mock, "good");
    assert_string_equal(mock_looked(module)->label, "good");
    assert_null(module->tokens->next);
}

TEST(more_slots_than_fit_at_first_are_all_seen)
{
    char label[16];

    mock = mock_load(&module);
    for (unsigned i = 0; i < MOCK_MOST_TOKENS; i++) {
        snprintf(label, sizeof(label), "t%u", i);
        mock_token(mock, label);
    }
    (void)mock_looked(module);
    assert_int_equal(num_present(), MOCK_MOST_TOKENS);
}

/* What a module reads of a token that another process is writing: the label is there, the serial number not yet. */
static void serial_is_torn(enum mock_function which)
{
    if (which == MOCK_GetTokenInfo) {
        mock_pad(mock->tokens[0].info.serialNumber, 16, mock->calls[which] > 0 ? "1" : "");
    }
}

TEST(half_a_token_is_none_of_its_own)
{
    struct tok_token *token;

    mock = mock_load(&module);
    mock_token(mock, "test");
    mock->on_call = serial_is_torn;
    token = mock_looked(module);
    assert_string_equal(token->label, "test");
    assert_memory_equal(token->info.serialNumber, "1 ", 2);
    assert_null(token->next);
    assert_int_equal(mock->calls[MOCK_GetTokenInfo], 2);
}

TEST(half_a_token_whose_rest_can_not_be_read_is_trouble_and_no_token)
{
    uint64_t at;

    mock = mock_load(&module);
    mock_token(mock, "test");
    mock->on_call = serial_is_torn;
    mock_fails(mock, MOCK_GetTokenInfo, CKR_GENERAL_ERROR, 1, 1);
    assert_null(mock_looked(module));
    FAILS_CKR(tok_module_trouble(module, &at), CKR_GENERAL_ERROR);
    OK(tok_tokens_look(module, clock_us() + 10 * SECOND));
    assert_string_equal(module->tokens->label, "test");
    assert_null(module->tokens->next);
}

TEST(half_of_a_token_that_is_known_is_trouble_however_often_it_is_said)
{
    uint64_t at;

    mock = mock_load(&module);
    mock_token(mock, "test");
    (void)mock_looked(module);
    mock_pad(mock->tokens[0].info.serialNumber, 16, "");
    OK(tok_tokens_look(module, clock_us() + 10 * SECOND));
    FAILS_CKR(tok_module_trouble(module, &at), CKR_GENERAL_ERROR);
    assert_null(module->tokens->next);
    assert_int_equal(num_present(), 0);
}

TEST(half_a_token_where_another_one_was_is_a_token)
{
    mock = mock_load(&module);
    mock_token(mock, "test");
    (void)mock_looked(module);
    mock_pad(mock->tokens[0].info.label, 32, "other");
    mock_pad(mock->tokens[0].info.serialNumber, 16, "");
    OK(tok_tokens_look(module, clock_us() + 10 * SECOND));
    assert_string_equal(module->tokens->next->label, "other");
    assert_int_equal(num_present(), 1);
}

TEST(half_a_token_in_another_slot_is_a_token)
{
    mock = mock_load(&module);
    mock_token(mock, "test");
    (void)mock_looked(module);
    mock_pad(mock_token(mock, "test")->info.serialNumber, 16, "");
    OK(tok_tokens_look(module, clock_us() + 10 * SECOND));
    assert_int_equal(num_present(), 2);
}

TEST(a_token_without_a_serial_number_is_a_token)
{
    mock = mock_load(&module);
    mock_pad(mock_token(mock, "plain")->info.serialNumber, 16, "");
    assert_string_equal(mock_looked(module)->label, "plain");
    assert_null(module->tokens->next);
}

TEST(a_slot_that_fails_hides_no_other)
{
    mock = mock_load(&module);
    mock_token(mock, "bad");
    mock_token(mock, "good");
    mock_fails(mock, MOCK_GetTokenInfo, CKR_DEVICE_ERROR, 0, 1);
    assert_string_equal(mock_looked(module)->label, "good");
    OK(tok_tokens_look(module, clock_us() + 10 * SECOND)); /* and the next look sees it */
    assert_int_equal(num_present(), 2);
}

TEST(a_look_that_fails_names_module_and_function)
{
    mock = mock_load(&module);
    mock_fails(mock, MOCK_GetSlotList, CKR_DEVICE_ERROR, 0, 1);
    OK(tok_module_start(module, clock_us() + SECOND));
    FAILS_CKR(tok_tokens_look(module, clock_us() + 10 * SECOND), CKR_DEVICE_ERROR);
    SAYS("C_GetSlotList");
    SAYS(mock_path);
}

TEST(a_token_that_comes_back_is_the_same)
{
    struct tok_token *token;

    mock = mock_load(&module);
    mock_token(mock, "test");
    token = mock_looked(module);
    mock->tokens[0].present = false;
    OK(tok_tokens_look(module, clock_us() + 10 * SECOND));
    assert_false(token->present);
    mock->tokens[0].present = true;
    OK(tok_tokens_look(module, clock_us() + 10 * SECOND));
    assert_true(token->present);
    assert_ptr_equal(module->tokens, token);
    assert_null(token->next);
}

static void *look_again(void *arg)
{
    *(struct tok_result *)arg = tok_tokens_look(module, clock_us() + 60 * SECOND);
    return NULL;
}

/* Stands where another thread's look writes down what it saw: it waits for the lock of the token that we hold. */
static void wait_until_held_up(void)
{
    for (unsigned times = 0; times < 20; times++) {
        clock_sleep_us(1000);
        if (pthread_mutex_trylock(&module->lock.mutex) == 0) {
            lock_give(&module->lock);
            times = 0;
        }
    }
}

TEST(who_asks_in_the_middle_of_a_look_sees_no_token_gone_that_is_there)
{
    struct tok_result result;
    struct tok_token *first;
    pthread_t thread;

    mock = mock_load(&module);
    mock_token(mock, "first");
    mock_token(mock, "second");
    first = mock_looked(module);
    {
        LOCKED(&first->next->lock);
        assert_int_equal(pthread_create(&thread, NULL, look_again, &result), 0);
        wait_until_held_up();
        assert_true(tok_token_present(first));
        assert_true(first->next->present);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    OK(result);
    assert_true(tok_token_present(first) && tok_token_present(first->next));
}

TEST(a_token_that_moves_is_the_same_but_its_sessions_are_gone)
{
    struct tok_token *token;

    mock = mock_load(&module);
    mock_token(mock, "test");
    token = mock_looked(module);
    token->login = TOK_LOGGED_IN;
    mock->tokens[0].slot = 7;
    OK(tok_tokens_look(module, clock_us() + 10 * SECOND));
    assert_ptr_equal(module->tokens, token);
    assert_null(token->next);
    assert_int_equal(token->slot, 7);
    assert_int_equal(token->epoch, 2);
    assert_int_equal(token->login, TOK_LOGGED_OUT);
}

TEST(tokens_that_look_alike_are_two)
{
    struct tok_token *first;

    mock = mock_load(&module);
    mock_token(mock, "twin");
    mock_token(mock, "twin");
    first = mock_looked(module);
    assert_non_null(first->next);
    assert_null(first->next->next);
    OK(tok_tokens_look(module, clock_us() + 10 * SECOND));
    assert_null(first->next->next);
    assert_int_equal(first->slot, 0);
    assert_int_equal(first->next->slot, 1);
}

TEST(a_loss_counts_once_however_many_notice_it)
{
    struct tok_token *token;

    mock = mock_load(&module);
    mock_token(mock, "test");
    token = mock_looked(module);
    tok_token_lost(token, 1);
    tok_token_lost(token, 1); /* the second one comes too late */
    assert_int_equal(token->epoch, 2);
    tok_token_lost(token, 0);
    assert_int_equal(token->epoch, 3);
}

TEST(flags_are_read_again_only_when_they_may_have_changed)
{
    struct tok_token *token;

    mock = mock_load(&module);
    mock_token(mock, "test");
    token = mock_looked(module);
    OK(tok_token_refresh(token));
    assert_int_equal(mock->calls[MOCK_GetTokenInfo], 1); /* by the look */
    token->info_fresh = false;
    mock->tokens[0].info.flags |= CKF_USER_PIN_FINAL_TRY;
    OK(tok_token_refresh(token));
    assert_int_equal(mock->calls[MOCK_GetTokenInfo], 2);
    assert_true((token->info.flags & CKF_USER_PIN_FINAL_TRY) != 0);
}

TEST(another_token_in_the_slot_is_not_taken_for_it)
{
    struct tok_token *token;

    mock = mock_load(&module);
    mock_token(mock, "test");
    token = mock_looked(module);
    token->info_fresh = false;
    mock_pad(mock->tokens[0].info.serialNumber, 16, "2");
    FAILS_CKR(tok_token_refresh(token), CKR_TOKEN_NOT_PRESENT);
}

TEST(a_uri_means_the_tokens_that_match_and_are_present)
{
    struct tok_token *last = NULL;

    mock = mock_load(&module);
    mock_token(mock, "a");
    mock_token(mock, "b");
    mock_token(mock, "b");
    (void)mock_looked(module);
    assert_int_equal(num_matching("pkcs11:", &last), 3);
    assert_int_equal(num_matching("pkcs11:token=b", &last), 2);
    assert_int_equal(num_matching("pkcs11:token=c", &last), 0);
    assert_int_equal(mock->calls[MOCK_GetSlotInfo], 0); /* asked only where the URI names a slot */
    assert_int_equal(mock->calls[MOCK_GetInfo], 0);
    assert_int_equal(num_matching("pkcs11:token=b;slot-id=2", &last), 1);
    assert_int_equal(last->slot, 2);
    assert_int_equal(num_matching("pkcs11:slot-description=Mock%20slot%201", &last), 1);
    assert_int_equal(last->slot, 1);
    assert_int_equal(num_matching("pkcs11:library-manufacturer=Mock", &last), 3);
    assert_int_equal(num_matching("pkcs11:library-manufacturer=Other", &last), 0);
    mock->tokens[1].present = false;
    OK(tok_tokens_look(module, clock_us() + 10 * SECOND));
    assert_int_equal(num_matching("pkcs11:token=b", &last), 1);
}

TEST(the_configuration_knows_a_token_by_its_uri)
{
    struct tok_named_token named[2] = { { .name = "x", .max_sessions = 5 }, { .name = "y" } };
    struct tok_settings settings;
    struct tok_token *a;

    mock = mock_load(&module);
    mock_token(mock, "a");
    mock_token(mock, "b");
    mock_token(mock, "c");
    a = mock_looked(module);
    tok_settings_init(&settings);
    settings.max_sessions = 9;
    assert_int_equal(tok_token_max_sessions(a, &settings), 9);
    OK(tok_uri_parse(&named[0].uri, "pkcs11:token=a", TOK_URI_FROM_APPLICATION));
    OK(tok_uri_parse(&named[1].uri, "pkcs11:token=b", TOK_URI_FROM_APPLICATION));
    settings.tokens = named;
    settings.num_tokens = 2;
    assert_ptr_equal(tok_token_settings(a, &settings), &named[0]);
    assert_ptr_equal(tok_token_settings(a->next, &settings), &named[1]);
    assert_null(tok_token_settings(a->next->next, &settings));
    assert_int_equal(tok_token_max_sessions(a, &settings), 5);
    assert_int_equal(tok_token_max_sessions(a->next, &settings), 9);
    tok_uri_free(named[0].uri);
    tok_uri_free(named[1].uri);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_look_costs_one_call_and_one_for_each_token),
        cmocka_unit_test(a_module_without_tokens_is_no_failure),
        cmocka_unit_test(a_blank_token_is_left_out),
        cmocka_unit_test(more_slots_than_fit_at_first_are_all_seen),
        cmocka_unit_test(a_slot_that_fails_hides_no_other),
        cmocka_unit_test(a_look_that_fails_names_module_and_function),
        cmocka_unit_test(a_token_that_comes_back_is_the_same),
        cmocka_unit_test(who_asks_in_the_middle_of_a_look_sees_no_token_gone_that_is_there),
        cmocka_unit_test(a_token_that_moves_is_the_same_but_its_sessions_are_gone),
        cmocka_unit_test(tokens_that_look_alike_are_two),
        cmocka_unit_test(a_loss_counts_once_however_many_notice_it),
        cmocka_unit_test(half_a_token_is_none_of_its_own),
        cmocka_unit_test(half_a_token_whose_rest_can_not_be_read_is_trouble_and_no_token),
        cmocka_unit_test(half_of_a_token_that_is_known_is_trouble_however_often_it_is_said),
        cmocka_unit_test(half_a_token_where_another_one_was_is_a_token),
        cmocka_unit_test(half_a_token_in_another_slot_is_a_token),
        cmocka_unit_test(a_token_without_a_serial_number_is_a_token),
        cmocka_unit_test(flags_are_read_again_only_when_they_may_have_changed),
        cmocka_unit_test(another_token_in_the_slot_is_not_taken_for_it),
        cmocka_unit_test(a_uri_means_the_tokens_that_match_and_are_present),
        cmocka_unit_test(the_configuration_knows_a_token_by_its_uri),
    };

    return RUN(tests);
}
