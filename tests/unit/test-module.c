#include "mock-use.h"

#include "child.h"
#include "pkcs11/token/again.h"

static struct mock *mock;
static struct tok_module *module;

static uint64_t soon(void)
{
    return clock_us() + 10 * SECOND;
}

TEST(a_file_that_is_missing_is_named)
{
    struct tok_module *none = NULL;

    FAILS(tok_module_open(&none, "/does/not/exist.so", "x", NULL), TOK_CODE_MODULE_LOAD);
    SAYS("/does/not/exist.so");
    SAYS("No such file");
    assert_null(none);
}

TEST(a_library_that_is_no_module_is_told_apart)
{
    struct tok_module *none = NULL;

    FAILS(tok_module_open(&none, "libm.so.6", "x", NULL), TOK_CODE_MODULE_LOAD);
    SAYS("C_GetFunctionList");
    assert_null(none);
}

TEST(loading_does_not_initialise)
{
    mock = mock_load(&module);
    assert_int_equal(mock_all_calls(mock), 0);
    assert_int_equal(module->state, TOK_MODULE_IDLE);
}

TEST(starting_again_is_free)
{
    mock = mock_load(&module);
    OK(tok_module_start(module, soon()));
    OK(tok_module_start(module, soon()));
    assert_int_equal(mock->calls[MOCK_Initialize], 1);
    assert_true(module->initialized_by_us);
}

TEST(the_module_is_told_to_lock_and_gets_its_string)
{
    mock = mock_load(&module);
    module->init_args = strdup("configDir='x'");
    OK(tok_module_start(module, soon()));
    assert_int_equal(mock->init_flags, CKF_OS_LOCKING_OK);
    assert_string_equal(mock->init_reserved, "configDir='x'");
}

TEST(a_failure_is_told_and_the_next_call_tries_again)
{
    mock = mock_load(&module);
    mock_fails(mock, MOCK_Initialize, CKR_DEVICE_ERROR, 0, 1);
    FAILS_CKR(tok_module_start(module, soon()), CKR_DEVICE_ERROR);
    SAYS(mock_path);
    SAYS("C_Initialize");
    OK(tok_module_start(module, soon()));
    assert_int_equal(mock->calls[MOCK_Initialize], 2);
}

TEST(what_somebody_else_initialised_is_used_but_not_ours)
{
    mock = mock_load(&module);
    mock->initialized = true;
    OK(tok_module_start(module, soon()));
    assert_false(module->initialized_by_us);
}

static void *start(void *arg)
{
    struct tok_result result = tok_module_start(module, soon());

    return tok_ok(&result) ? arg : NULL;
}

TEST(of_many_threads_one_initialises_and_the_others_wait)
{
    pthread_t threads[8];

    mock = mock_load(&module);
    mock->delay_us[MOCK_Initialize] = 100000;
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, start, mock), 0);
    }
    for (size_t i = 0; i < 8; i++) {
        void *answer = NULL;

        assert_int_equal(pthread_join(threads[i], &answer), 0);
        assert_ptr_equal(answer, mock);
    }
    assert_int_equal(mock->calls[MOCK_Initialize], 1);
}

TEST(who_waits_leaves_at_the_deadline_and_says_for_what)
{
    pthread_t thread;

    mock = mock_load(&module);
    mock->hang = 1U << MOCK_Initialize;
    assert_int_equal(pthread_create(&thread, NULL, start, mock), 0);
    assert_true(mock_hung(mock, 1));
    FAILS(tok_module_start(module, clock_us() + 100000), TOK_CODE_DEADLINE);
    SAYS("C_Initialize");
    SAYS(mock_path);
    mock->hang = 0;
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static struct tok_result from_inside;

static void come_back(enum mock_function which)
{
    if (which == MOCK_Initialize) {
        from_inside = tok_module_start(module, soon());
    }
}

TEST(an_initialisation_that_takes_too_long_only_to_fail_is_tried_again_by_one_now_and_then)
{
    uint64_t quickest = UINT64_MAX;

    mock = mock_load(&module);
    mock->delay_us[MOCK_Initialize] = 200000;
    mock_fails(mock, MOCK_Initialize, CKR_DEVICE_ERROR, 0, 2);
    FAILS_CKR(tok_module_start(module, clock_us() + 100000), CKR_DEVICE_ERROR);
    for (int i = 0; i < 5; i++) {
        uint64_t began = clock_us();

        FAILS(tok_module_start(module, soon()), TOK_CODE_UNAVAILABLE);
        quickest = clock_us() - began < quickest ? clock_us() - began : quickest;
    }
    SAYS(mock_path);
    SAYS("(C_Initialize: CKR_DEVICE_ERROR); it is asked again in ");
    assert_true(quickest < 50000);
    assert_int_equal(mock->calls[MOCK_Initialize], 1);
    module->breaker.probe_us = 0; /* a second later */
    FAILS_CKR(tok_module_start(module, soon()), CKR_DEVICE_ERROR);
    FAILS(tok_module_start(module, soon()), TOK_CODE_UNAVAILABLE);
    module->breaker.probe_us = 0;
    OK(tok_module_start(module, soon()));
    assert_false(tok_breaker_is_open(&module->breaker));
}

TEST(a_module_that_comes_back_to_us_gets_an_error_and_no_deadlock)
{
    mock = mock_load(&module);
    mock->on_call = come_back;
    OK(tok_module_start(module, soon()));
    assert_int_equal(from_inside.code, TOK_CODE_RECURSION);
}

TEST(a_module_that_forgot_is_initialised_again)
{
    struct tok_token *token;

    mock = mock_load(&module);
    mock_token(mock, "test");
    token = mock_looked(module);
    mock->initialized = false;
    tok_module_lost(module, module->starts);
    OK(tok_module_start(module, soon()));
    assert_int_equal(mock->calls[MOCK_Initialize], 2);
    assert_int_equal(token->epoch, 2); /* its sessions are gone */
}

TEST(its_own_description_is_asked_for_once)
{
    CK_INFO info;

    mock = mock_load(&module);
    OK(tok_module_start(module, soon()));
    OK(tok_module_info(module, &info, clock_us() + 10 * SECOND));
    OK(tok_module_info(module, &info, clock_us() + 10 * SECOND));
    assert_int_equal(info.libraryVersion.minor, 2);
    assert_int_equal(mock->calls[MOCK_GetInfo], 1);
}

static int starts(void *arg)
{
    struct tok_result result;

    (void)arg;
    mock->initialized = false; /* as a module that knows of the fork */
    result = tok_module_start(module, soon());
    return tok_ok(&result) && mock->calls[MOCK_Initialize] == 2 ? 0 : 1;
}

TEST(a_child_initialises_for_itself)
{
    mock = mock_load(&module);
    OK(tok_module_start(module, soon()));
    assert_int_equal(child_does(starts, NULL), 0);
    OK(tok_module_start(module, soon()));
    assert_int_equal(mock->calls[MOCK_Initialize], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_is_missing_is_named),
        cmocka_unit_test(a_library_that_is_no_module_is_told_apart),
        cmocka_unit_test(loading_does_not_initialise),
        cmocka_unit_test(starting_again_is_free),
        cmocka_unit_test(the_module_is_told_to_lock_and_gets_its_string),
        cmocka_unit_test(a_failure_is_told_and_the_next_call_tries_again),
        cmocka_unit_test(what_somebody_else_initialised_is_used_but_not_ours),
        cmocka_unit_test(of_many_threads_one_initialises_and_the_others_wait),
        cmocka_unit_test(who_waits_leaves_at_the_deadline_and_says_for_what),
        cmocka_unit_test(an_initialisation_that_takes_too_long_only_to_fail_is_tried_again_by_one_now_and_then),
        cmocka_unit_test(a_module_that_comes_back_to_us_gets_an_error_and_no_deadlock),
        cmocka_unit_test(a_module_that_forgot_is_initialised_again),
        cmocka_unit_test(its_own_description_is_asked_for_once),
        cmocka_unit_test(a_child_initialises_for_itself),
    };

    return RUN(tests);
}
