#include "mock-use.h"

#include <unistd.h>

#include "child.h"

static struct tok_module *module;

static uint64_t soon(void)
{
    return clock_us() + 60 * SECOND;
}

static size_t modules_of(const char *names)
{
    SCOPED(tok_module_list_end) struct tok_module_list list = { .items = NULL };

    OK(tok_registry_modules(&list, names, NULL, soon()));
    return list.count;
}

TEST(a_module_is_loaded_once_whatever_name_it_goes_by)
{
    SCOPED(tok_module_list_end) struct tok_module_list list = { .items = NULL };
    char folder[] = "/tmp/signet-registry-XXXXXX";
    char names[512];

    assert_non_null(mkdtemp(folder));
    snprintf(names, sizeof(names), "%s/link.so", folder);
    assert_int_equal(symlink(MOCK_FILE, names), 0);
    snprintf(names, sizeof(names), "%s, %s/link.so ,%s", MOCK_FILE, folder, MOCK_FILE);
    OK(tok_registry_modules(&list, names, NULL, soon()));
    assert_int_equal(list.count, 1);
    assert_true(tok_ok(&list.trouble));
    snprintf(names, sizeof(names), "%s/link.so", folder);
    assert_true(unlink(names) == 0 && rmdir(folder) == 0);
}

TEST(a_list_keeps_its_order)
{
    SCOPED(tok_module_list_end) struct tok_module_list list = { .items = NULL };
    char names[256];
    char first[64];

    (void)mock_load(&module);
    snprintf(first, sizeof(first), "%s", mock_path);
    (void)mock_load(&module);
    snprintf(names, sizeof(names), "%s,%s", mock_path, first);
    OK(tok_registry_modules(&list, names, NULL, soon()));
    assert_int_equal(list.count, 2);
    assert_string_equal(list.items[0]->path, mock_path);
    assert_string_equal(list.items[1]->path, first);
}

TEST(a_module_that_does_not_load_is_told_and_hides_no_other)
{
    SCOPED(tok_module_list_end) struct tok_module_list list = { .items = NULL };
    char names[256];

    (void)mock_load(&module);
    snprintf(names, sizeof(names), "/does/not/exist.so,%s", mock_path);
    OK(tok_registry_modules(&list, names, NULL, soon()));
    assert_int_equal(list.count, 1);
    assert_ptr_equal(list.items[0], module);
    assert_int_equal(list.trouble.code, TOK_CODE_MODULE_LOAD);
    assert_non_null(strstr(list.trouble.message, "/does/not/exist.so"));
}

TEST(where_none_loads_the_first_reason_is_the_failure)
{
    SCOPED(tok_module_list_end) struct tok_module_list list = { .items = NULL };

    FAILS(tok_registry_modules(&list, "/does/not/exist.so,/neither/does.so", NULL, soon()), TOK_CODE_MODULE_LOAD);
    SAYS("/does/not/exist.so");
    assert_null(list.items);
}

TEST(a_failure_is_not_remembered)
{
    SCOPED(tok_module_list_end) struct tok_module_list list = { .items = NULL };
    char folder[] = "/tmp/signet-registry-XXXXXX";
    char path[64];

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/late.so", folder);
    FAILS(tok_registry_modules(&list, path, NULL, soon()), TOK_CODE_MODULE_LOAD);
    assert_int_equal(symlink(MOCK_FILE, path), 0);
    assert_int_equal(modules_of(path), 1);
    assert_true(unlink(path) == 0 && rmdir(folder) == 0);
}

TEST(the_string_for_a_module_named_by_path_is_kept)
{
    SCOPED(tok_module_list_end) struct tok_module_list list = { .items = NULL };
    char folder[] = "/tmp/signet-registry-XXXXXX";
    char command[256];
    char path[64];

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/args.so", folder);
    snprintf(command, sizeof(command), "cp '%s' %s", MOCK_FILE, path);
    assert_int_equal(system(command), 0);
    OK(tok_registry_modules(&list, path, "configDir='x'", soon()));
    assert_string_equal(list.items[0]->init_args, "configDir='x'");
    assert_true(unlink(path) == 0 && rmdir(folder) == 0);
}

static void *look(void *arg)
{
    struct tok_module_list list = { .items = NULL };
    struct tok_result result = tok_registry_modules(&list, arg, NULL, soon());
    struct tok_module *found = tok_ok(&result) ? list.items[0] : NULL;

    tok_module_list_end(&list);
    return found;
}

TEST(threads_that_ask_at_once_get_the_same_module)
{
    char folder[] = "/tmp/signet-registry-XXXXXX";
    pthread_t threads[8];
    char command[256];
    char path[64];
    void *first = NULL;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/threads.so", folder);
    snprintf(command, sizeof(command), "cp '%s' %s", MOCK_FILE, path);
    assert_int_equal(system(command), 0);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, look, path), 0);
    }
    for (size_t i = 0; i < 8; i++) {
        void *found = NULL;

        assert_int_equal(pthread_join(threads[i], &found), 0);
        assert_non_null(found);
        assert_true(first == NULL || found == first);
        first = found;
    }
    assert_true(unlink(path) == 0 && rmdir(folder) == 0);
}

static int looks(void *path)
{
    return look(path) != NULL ? 0 : 1;
}

/* The module's C_GetFunctionList hangs: its own thread waits, and nobody else, neither a fork. */
TEST(a_module_whose_function_list_hangs_holds_its_own_thread_and_no_other)
{
    char folder[] = "/tmp/signet-registry-XXXXXX";
    struct tok_module_list list = { .items = NULL };
    char command[512];
    char inside[64];
    char gate[64];
    char path[64];
    char other[64];
    pthread_t thread;
    uint64_t began;
    void *found = NULL;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/hangs.so", folder);
    snprintf(other, sizeof(other), "%s/other.so", folder);
    snprintf(gate, sizeof(gate), "%s/gate", folder);
    snprintf(inside, sizeof(inside), "%s/gate.inside", folder);
    snprintf(command, sizeof(command), "cp '%s' %s && cp '%s' %s && : >%s", MOCK_FILE, path, MOCK_FILE, other, gate);
    assert_int_equal(system(command), 0);
    setenv("SIGNET_MOCK_GATE", gate, 1);
    assert_int_equal(pthread_create(&thread, NULL, look, path), 0);
    for (int i = 0; i < 30000 && access(inside, F_OK) != 0; i++) {
        clock_sleep_us(1000);
    }
    assert_int_equal(modules_of(other), 1);
    began = clock_us();
    FAILS(tok_registry_modules(&list, path, NULL, began + 200000), TOK_CODE_DEADLINE);
    assert_true(clock_us() - began >= 200000);
    SAYS(path);
    SAYS("C_GetFunctionList");
    began = clock_us();
    FAILS(tok_registry_modules(&list, path, NULL, soon()), TOK_CODE_DEADLINE); /* nobody waits a second time */
    assert_true(clock_us() - began < 30 * SECOND);
    assert_int_equal(child_does(looks, path), 0);
    assert_int_equal(unlink(inside), 0);
    assert_int_equal(pthread_join(thread, &found), 0);
    assert_non_null(found);
    assert_ptr_equal(look(path), found);
    unsetenv("SIGNET_MOCK_GATE");
    assert_true(unlink(path) == 0 && unlink(other) == 0 && rmdir(folder) == 0);
}

/* --- constructors ------------------------------------------------------------------------------------------------- */

static char folder[64];
static char path[96];

/* A copy of the mock that is not loaded yet, whose constructor is this function. */
static void furnish(const char *name, void (*constructor)(void))
{
    char command[512];

    strcpy(folder, "/tmp/signet-registry-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/%s.so", folder, name);
    snprintf(command, sizeof(command), "cp '%s' %s", MOCK_FILE, path);
    assert_int_equal(system(command), 0);
    mock_calls_back("SIGNET_MOCK_CONSTRUCTOR", constructor);
}

static void clear(void)
{
    unsetenv("SIGNET_MOCK_CONSTRUCTOR");
    assert_true(unlink(path) == 0 && rmdir(folder) == 0);
}

static _Atomic bool constructing;
static _Atomic bool go_on;

static void hang(void)
{
    constructing = true;
    while (!go_on) {
        clock_sleep_us(1000);
    }
}

static int looks_at_the_healthy(void *arg)
{
    struct tok_module *healthy = arg;

    return look(healthy->path) == healthy ? 0 : 1;
}

TEST(a_module_that_loads_for_long_holds_its_own_thread_and_no_other)
{
    struct tok_module_list list = { .items = NULL };
    struct tok_module *healthy;
    char command[512];
    char other[128];
    pthread_t thread;
    void *found = NULL;

    (void)mock_load(&healthy);
    furnish("slow", hang);
    constructing = go_on = false;
    assert_int_equal(pthread_create(&thread, NULL, look, path), 0);
    for (int i = 0; i < 30000 && !constructing; i++) {
        clock_sleep_us(1000);
    }
    assert_true(constructing);
    alarm(CHILD_SECONDS);                           /* instead of times that are measured */
    assert_ptr_equal(look(healthy->path), healthy); /* what is loaded serves */
    FAILS(tok_registry_modules(&list, path, NULL, clock_us() + 200000), TOK_CODE_DEADLINE);
    SAYS(path);
    SAYS("dlopen, called by another thread ");
    FAILS(tok_registry_modules(&list, path, NULL, soon()), TOK_CODE_DEADLINE); /* nobody waits a second time */
    snprintf(other, sizeof(other), "%s/other.so", folder);
    snprintf(command, sizeof(command), "cp '%s' %s", MOCK_FILE, other);
    assert_int_equal(system(command), 0);
    FAILS(tok_registry_modules(&list, other, NULL, clock_us() + 200000),
          TOK_CODE_DEADLINE); /* libc loads one at a time */
    SAYS(path);
    SAYS(other);
    assert_int_equal(unlink(other), 0);
    unsetenv("SIGNET_MOCK_CONSTRUCTOR");
    assert_int_equal(child_does(looks_at_the_healthy, healthy), 0);
    go_on = true;
    assert_int_equal(pthread_join(thread, &found), 0);
    alarm(0);
    assert_non_null(found);
    assert_ptr_equal(look(path), found);
    clear();
}

static int constructor_child;

static int does_nothing(void *arg)
{
    (void)arg;
    return 7;
}

static void fork_inside(void)
{
    constructor_child = child_does(does_nothing, NULL);
}

TEST(a_module_that_forks_while_it_is_loaded_is_loaded)
{
    furnish("forks", fork_inside);
    constructor_child = 0;
    alarm(CHILD_SECONDS);
    assert_non_null(look(path));
    alarm(0);
    assert_int_equal(constructor_child, 7);
    clear();
}

static pid_t left_behind;

/* As a module that makes a daemon of the process: its child goes on. */
static void daemonise(void)
{
    unsetenv("SIGNET_MOCK_CONSTRUCTOR");
    fflush(NULL);
    left_behind = fork();
    if (left_behind == 0) {
        alarm(CHILD_SECONDS);
    }
}

TEST(and_in_the_child_of_such_a_fork_as_well)
{
    void *found;

    furnish("daemon", daemonise);
    left_behind = -1;
    alarm(CHILD_SECONDS);
    found = look(path);
    if (left_behind == 0) {
        child_exit(found != NULL && look(path) == found ? 7 : 1);
    }
    assert_non_null(found);
    assert_int_equal(child_ended(left_behind), 7);
    alarm(0);
    clear();
}

static struct tok_result from_inside[2];

/* As a module that uses libcrypto, whose provider we are. */
static void come_back(void)
{
    SCOPED(tok_module_list_end) struct tok_module_list list = { .items = NULL };

    from_inside[0] = tok_registry_modules(&list, path, NULL, soon());
    from_inside[1] = tok_registry_modules(&list, NULL, NULL, soon());
}

TEST(a_module_that_comes_back_to_us_while_it_is_loaded_gets_an_error_and_no_deadlock)
{
    furnish("recursive", come_back);
    alarm(CHILD_SECONDS);
    assert_non_null(look(path));
    alarm(0);
    assert_int_equal(from_inside[0].code, TOK_CODE_RECURSION);
    assert_int_equal(from_inside[1].code, TOK_CODE_RECURSION);
    clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_module_is_loaded_once_whatever_name_it_goes_by),
        cmocka_unit_test(a_list_keeps_its_order),
        cmocka_unit_test(a_module_that_does_not_load_is_told_and_hides_no_other),
        cmocka_unit_test(where_none_loads_the_first_reason_is_the_failure),
        cmocka_unit_test(a_failure_is_not_remembered),
        cmocka_unit_test(the_string_for_a_module_named_by_path_is_kept),
        cmocka_unit_test(threads_that_ask_at_once_get_the_same_module),
        cmocka_unit_test(a_module_whose_function_list_hangs_holds_its_own_thread_and_no_other),
        cmocka_unit_test(a_module_that_loads_for_long_holds_its_own_thread_and_no_other),
        cmocka_unit_test(a_module_that_forks_while_it_is_loaded_is_loaded),
        cmocka_unit_test(and_in_the_child_of_such_a_fork_as_well),
        cmocka_unit_test(a_module_that_comes_back_to_us_while_it_is_loaded_gets_an_error_and_no_deadlock),
    };

    return RUN(tests);
}
