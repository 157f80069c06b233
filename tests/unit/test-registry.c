#include "mock-use.h"

static struct tok_module *module;

static size_t modules_of(const char *names)
{
    SCOPED(tok_module_list_end) struct tok_module_list list = { .items = NULL };

    OK(tok_registry_modules(&list, names, NULL));
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
    OK(tok_registry_modules(&list, names, NULL));
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
    OK(tok_registry_modules(&list, names, NULL));
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
    OK(tok_registry_modules(&list, names, NULL));
    assert_int_equal(list.count, 1);
    assert_ptr_equal(list.items[0], module);
    assert_int_equal(list.trouble.code, TOK_CODE_MODULE_LOAD);
    assert_non_null(strstr(list.trouble.message, "/does/not/exist.so"));
}

TEST(where_none_loads_the_first_reason_is_the_failure)
{
    SCOPED(tok_module_list_end) struct tok_module_list list = { .items = NULL };

    FAILS(tok_registry_modules(&list, "/does/not/exist.so,/neither/does.so", NULL), TOK_CODE_MODULE_LOAD);
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
    FAILS(tok_registry_modules(&list, path, NULL), TOK_CODE_MODULE_LOAD);
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
    OK(tok_registry_modules(&list, path, "configDir='x'"));
    assert_string_equal(list.items[0]->init_args, "configDir='x'");
    assert_true(unlink(path) == 0 && rmdir(folder) == 0);
}

static void *look(void *arg)
{
    struct tok_module_list list = { .items = NULL };
    struct tok_result result = tok_registry_modules(&list, arg, NULL);
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
    };

    return RUN(tests);
}
