#include "mock-use.h"

#include <stddef.h>
#include <sys/mman.h>

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

/* --- lists of functions --------------------------------------------------------------------------------------------
 */

static CK_FUNCTION_LIST list;
static size_t missing; /* which member, by its offset */
static CK_VERSION version;
static CK_FUNCTION_LIST *short_list; /* one that ends before C_WaitForSlotEvent, and so does its memory */

static CK_FUNCTION_LIST *edit(CK_FUNCTION_LIST *whole)
{
    list = *whole;
    list.version = version;
    if (missing != 0) {
        memset((char *)&list + missing, 0, sizeof(void (*)(void)));
    }
    if (short_list != NULL) {
        memcpy(short_list, &list, offsetof(CK_FUNCTION_LIST, C_WaitForSlotEvent));
        return short_list;
    }
    return &list;
}

/* Loads a copy of the mock, whose list of functions is edited, as often as a test likes. */
static struct tok_result load(struct tok_module **out_module)
{
    char command[256];
    char path[] = "/tmp/signet-list-XXXXXX";
    struct tok_result result;
    int fd = mkstemp(path);

    *out_module = NULL;
    assert_true(fd >= 0 && close(fd) == 0);
    snprintf(command, sizeof(command), "cp '%s' %s", MOCK_FILE, path);
    assert_int_equal(system(command), 0);
    mock_calls_back("SIGNET_MOCK_LIST", (void (*)(void))edit);
    result = tok_module_open(out_module, path, "listed", NULL);
    assert_true(tok_ok(&result));
    result = tok_module_ask_functions(*out_module);
    mock_calls_back("SIGNET_MOCK_LIST", NULL);
    assert_int_equal(unlink(path), 0);
    return result;
}

static void furnish_list(size_t without, unsigned char major, unsigned char minor)
{
    missing = without;
    version = (CK_VERSION){ major, minor };
}

#define OFFSET(function) offsetof(CK_FUNCTION_LIST, function)

TEST(a_module_without_what_every_use_needs_is_refused_by_name)
{
    static const struct {
        size_t offset;
        const char *says;
    } rows[] = {
        { OFFSET(C_Initialize), "has no C_Initialize" },
        { OFFSET(C_GetSlotList), "has no C_GetSlotList" },
        { OFFSET(C_GetTokenInfo), "has no C_GetTokenInfo" },
        { OFFSET(C_OpenSession), "has no C_OpenSession" },
        { OFFSET(C_CloseSession), "has no C_CloseSession" },
        { OFFSET(C_FindObjectsInit), "has no C_FindObjectsInit" },
        { OFFSET(C_FindObjects), "has no C_FindObjects" },
        { OFFSET(C_FindObjectsFinal), "has no C_FindObjectsFinal" },
        { OFFSET(C_GetAttributeValue), "has no C_GetAttributeValue" },
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(tok_module_close) struct tok_module *poor = NULL;

        furnish_list(rows[i].offset, 2, 40);
        FAILS(load(&poor), TOK_CODE_MODULE_LOAD);
        SAYS(rows[i].says);
    }
}

/* Whether a call of a module that has not the function says so. */
#define NOT_SUPPORTED(function, ...)                                                                                   \
    do {                                                                                                               \
        SCOPED(tok_module_close) struct tok_module *poor = NULL;                                                       \
                                                                                                                       \
        furnish_list(OFFSET(function), 2, 40);                                                                         \
        OK(load(&poor));                                                                                               \
        assert_int_equal(TOK_CALL(poor->functions, function, __VA_ARGS__), CKR_FUNCTION_NOT_SUPPORTED);                \
    } while (0)

TEST(what_a_module_has_not_beyond_that_is_not_supported)
{
    CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };
    CK_OBJECT_HANDLE object = 1;
    CK_SLOT_INFO slot;
    CK_ULONG count = 0;
    CK_BYTE byte = 0;
    CK_INFO info;

    NOT_SUPPORTED(C_GetInfo, &info);
    NOT_SUPPORTED(C_GetSlotInfo, 0, &slot);
    NOT_SUPPORTED(C_GetMechanismList, 0, NULL, &count);
    NOT_SUPPORTED(C_GetSessionInfo, 1, NULL);
    NOT_SUPPORTED(C_Login, 1, CKU_USER, NULL, 0);
    NOT_SUPPORTED(C_SignInit, 1, &mechanism, 1);
    NOT_SUPPORTED(C_Sign, 1, &byte, 1, &byte, &count);
    NOT_SUPPORTED(C_DecryptInit, 1, &mechanism, 1);
    NOT_SUPPORTED(C_Decrypt, 1, &byte, 1, &byte, &count);
    NOT_SUPPORTED(C_DeriveKey, 1, &mechanism, 1, NULL, 0, &object);
    NOT_SUPPORTED(C_DestroyObject, 1, 1);
    NOT_SUPPORTED(C_Finalize, NULL);
}

TEST(functions_of_a_version_that_nobody_knows_are_not_called)
{
    static const struct {
        CK_VERSION version;
        bool known;
    } rows[] = { { { 2, 0 }, true },  { { 2, 1 }, true },  { { 2, 40 }, true },
                 { { 3, 0 }, true },  { { 3, 2 }, true },  { { 9, 9 }, false },
                 { { 0, 0 }, false }, { { 1, 0 }, false }, { { 255, 255 }, false } };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        SCOPED(tok_module_close) struct tok_module *versed = NULL;

        furnish_list(0, rows[i].version.major, rows[i].version.minor);
        failure = load(&versed);
        assert_int_equal(tok_ok(&failure), rows[i].known);
        assert_true(rows[i].known || strstr(failure.message, "neither 2.x nor 3.x") != NULL);
    }
}

TEST(a_list_of_2_0_is_not_read_beyond_its_end)
{
    SCOPED(tok_module_close) struct tok_module *old = NULL;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(pages != MAP_FAILED && mprotect(pages + page, page, PROT_NONE) == 0);
    short_list = (CK_FUNCTION_LIST *)(void *)(pages + page - OFFSET(C_WaitForSlotEvent));
    furnish_list(0, 2, 0);
    OK(load(&old));
    short_list = NULL;
    assert_int_equal(munmap(pages, 2 * page), 0);
}

TEST(a_list_that_changes_later_changes_nothing)
{
    SCOPED(tok_module_close) struct tok_module *fickle = NULL;
    CK_ULONG count = 0;

    furnish_list(0, 2, 40);
    OK(load(&fickle));
    memset(&list, 0, sizeof(list));
    assert_int_equal(TOK_CALL(fickle->functions, C_GetSlotList, CK_TRUE, NULL, &count), CKR_CRYPTOKI_NOT_INITIALIZED);
}

static struct tok_functions_3 threes;
static struct tok_interface interface;
static struct tok_interface *given;

static CK_RV get_interface(CK_BYTE *name, CK_VERSION *which, struct tok_interface **out_interface, CK_FLAGS flags)
{
    (void)name;
    (void)which;
    (void)flags;
    *out_interface = given;
    return CKR_OK;
}

static CK_RV message_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    (void)session;
    (void)mechanism;
    (void)key;
    return CKR_DEVICE_REMOVED;
}

static CK_RV message_sign(CK_SESSION_HANDLE session, void *params, CK_ULONG params_len, CK_BYTE *data,
                          CK_ULONG data_len, CK_BYTE *sig, CK_ULONG *sig_len)
{
    (void)session, (void)params, (void)params_len, (void)data, (void)data_len, (void)sig, (void)sig_len;
    return CKR_OK;
}

static CK_RV message_final(CK_SESSION_HANDLE session)
{
    (void)session;
    return CKR_OK;
}

/* Whether the module is loaded and signs messages with what the test has put into `given`. */
static bool signs_messages(void)
{
    SCOPED(tok_module_close) struct tok_module *three = NULL;

    furnish_list(0, 2, 40);
    mock_calls_back("SIGNET_MOCK_INTERFACE", (void (*)(void))get_interface);
    OK(load(&three));
    mock_calls_back("SIGNET_MOCK_INTERFACE", NULL);
    if (three->messages == NULL) {
        return false;
    }
    memset(&threes, 0, sizeof(threes)); /* it changes its mind */
    return TOK_CALL(three->messages, C_MessageSignInit, 1, NULL, 1) == CKR_DEVICE_REMOVED;
}

static void furnish_interface(unsigned char major, CK_FLAGS flags)
{
    threes = (struct tok_functions_3){ .base.version = { major, 0 } };
    threes.C_MessageSignInit = message_init;
    threes.C_SignMessage = message_sign;
    threes.C_MessageSignFinal = message_final;
    interface = (struct tok_interface){ "PKCS 11", &threes, flags };
    given = &interface;
}

TEST(an_interface_that_is_not_whole_is_none)
{
    furnish_interface(3, 0);
    assert_true(signs_messages());
    furnish_interface(3, ~0UL); /* flags are no reason */
    assert_true(signs_messages());
    given = NULL; /* though it said CKR_OK */
    assert_false(signs_messages());
    furnish_interface(3, 0);
    interface.functions = NULL;
    assert_false(signs_messages());
    furnish_interface(9, 0);
    assert_false(signs_messages());
    furnish_interface(3, 0);
    threes.C_MessageSignInit = NULL;
    assert_false(signs_messages());
    furnish_interface(3, 0);
    threes.C_SignMessage = NULL;
    assert_false(signs_messages());
    furnish_interface(3, 0);
    threes.C_MessageSignFinal = NULL;
    assert_false(signs_messages());
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
    module->health.trial_us = 0; /* a second later */
    FAILS_CKR(tok_module_start(module, soon()), CKR_DEVICE_ERROR);
    FAILS(tok_module_start(module, soon()), TOK_CODE_UNAVAILABLE);
    module->health.trial_us = 0;
    OK(tok_module_start(module, soon()));
    assert_false(tok_health_is_away(&module->health));
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
        cmocka_unit_test(a_module_without_what_every_use_needs_is_refused_by_name),
        cmocka_unit_test(what_a_module_has_not_beyond_that_is_not_supported),
        cmocka_unit_test(functions_of_a_version_that_nobody_knows_are_not_called),
        cmocka_unit_test(a_list_of_2_0_is_not_read_beyond_its_end),
        cmocka_unit_test(a_list_that_changes_later_changes_nothing),
        cmocka_unit_test(an_interface_that_is_not_whole_is_none),
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
