/* PINs from programs: what these get of us, how they end, and one run for all threads and children. */
#include "pin-use.h"

#include <pthread.h>
#include <signal.h>

#include "base/lock.h"
#include "child.h"

TEST(a_program_that_does_not_end_is_ended)
{
    char got[512];
    uint64_t began = clock_us();

    snprintf(setting, sizeof(setting), "exec:%s", file_with("hangs", "#!/bin/sh\nsleep 90\n", 19, 0700));
    assert_false(gives(setting, got, sizeof(got)));
    assert_non_null(strstr(got, "5 s"));
    assert_true(clock_us() - began < 50000000);
}

TEST(a_program_gets_nothing_of_ours)
{
    static const char script[] =
        "#!/bin/sh\n"
        "[ -z \"$MY_SECRET\" ] || echo environment\n"
        "[ \"$(ls /proc/self/fd | wc -l)\" -le 4 ] || echo descriptors\n" /* 0 to 2, and that of ls */
        "[ -z \"$(cat)\" ] || echo input\n"
        "echo \"$#\"\n";
    char got[64];
    int fd = open("/dev/null", O_RDONLY); /* without O_CLOEXEC */

    setenv("MY_SECRET", "1", 1);
    assert_true(gives(exec_of("looks", script), got, sizeof(got)));
    assert_string_equal(got, "0");
    close(fd);
}

TEST(a_program_that_fails_gives_no_pin_even_if_it_printed_one)
{
    const char *message = complaint(exec_of("killed", "#!/bin/sh\necho SECRET\nkill -9 $$\n"));

    assert_non_null(strstr(message, "signal"));
    assert_null(strstr(message, "SECRET"));
    message = complaint(exec_of("fails-late", "#!/bin/sh\necho SECRET\nexit 7\n"));
    assert_non_null(strstr(message, "status 7"));
    assert_null(strstr(message, "SECRET"));
}

TEST(what_can_not_be_run_is_told)
{
    snprintf(setting, sizeof(setting), "exec:%s", file_with("no-program", "text", 4, 0700));
    assert_non_null(strstr(complaint(setting), "Exec format error"));
    snprintf(setting, sizeof(setting), "exec:%s", file_with("not-executable", "#!/bin/sh\necho 1\n", 17, 0600));
    assert_non_null(strstr(complaint(setting), "Permission denied"));
    snprintf(setting, sizeof(setting), "exec:%s", folder);
    assert_non_null(strstr(complaint(setting), "Permission denied"));
}

TEST(a_program_that_others_may_change_is_not_run)
{
    const char *program = file_with("loose", "#!/bin/sh\necho 1\n", 17, 0700);

    snprintf(setting, sizeof(setting), "exec:%s", program);
    assert_int_equal(chmod(program, 0707), 0);
    assert_non_null(strstr(complaint(setting), "may be written to by others"));
    if (geteuid() != 0) {
        NOT_HERE("one that belongs to somebody else: only root makes that");
    }
    assert_true(chmod(program, 0755) == 0 && chown(program, 65534, (gid_t)-1) == 0);
    assert_non_null(strstr(complaint(setting), "belongs to user 65534"));
}

/* Waits for the process whose number stands in the file to be gone. */
static bool is_gone(const char *file)
{
    FILE *stream = fopen(file, "r");
    int pid = 0;

    assert_non_null(stream);
    assert_int_equal(fscanf(stream, "%d", &pid), 1);
    fclose(stream);
    for (int i = 0; i < 200 && kill(pid, 0) == 0; i++) {
        char state[64];
        char line[256] = "";

        snprintf(state, sizeof(state), "/proc/%d/stat", pid);
        stream = fopen(state, "r");
        if (stream == NULL || fgets(line, sizeof(line), stream) == NULL || strstr(line, ") Z ") != NULL) {
            if (stream != NULL) {
                fclose(stream);
            }
            return true; /* whoever it was given to has not waited for it yet */
        }
        fclose(stream);
        clock_sleep_us(10000);
    }
    return kill(pid, 0) != 0;
}

/* Three ways not to end; in threads, since each takes the 5 s. */
struct hang {
    char text[128];
    char message[TOK_MESSAGE_SIZE];
    uint64_t took_us;
    int gave;
};

static void *run_hang(void *arg)
{
    struct hang *hang = arg;
    uint64_t began = clock_us();

    hang->gave = gives(hang->text, hang->message, sizeof(hang->message));
    hang->took_us = clock_us() - began;
    return NULL;
}

TEST(a_program_that_does_not_end_is_ended_with_its_whole_group)
{
    static struct hang hangs[3];
    char script[3][256];
    pthread_t threads[3];

    /* it closes its output; a child of its own keeps the output open; it listens to no friendly signal */
    snprintf(script[0], sizeof(script[0]), "#!/bin/sh\necho $$ >%s/p0\necho 1234\nexec >&-\nsleep 60\n", folder);
    snprintf(script[1], sizeof(script[1]), "#!/bin/sh\nsleep 60 &\necho $! >%s/p1\necho 1234\n", folder);
    snprintf(script[2], sizeof(script[2]),
             "#!/bin/sh\ntrap '' TERM HUP INT\necho $$ >%s/p2\nwhile :; do sleep 1; done\n", folder);
    for (size_t i = 0; i < 3; i++) {
        char what[16];

        snprintf(what, sizeof(what), "hang%zu", i);
        snprintf(hangs[i].text, sizeof(hangs[i].text), "%s", exec_of(what, script[i]));
    }
    /* Once all are written: a process that starts while one is being written holds it open, and it can't be run. */
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_hang, &hangs[i]), 0);
    }
    for (size_t i = 0; i < 3; i++) {
        char pid_file[64];

        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(hangs[i].gave, 0);
        assert_non_null(strstr(hangs[i].message, "did not end within 5 s"));
        assert_true(hangs[i].took_us >= 4900000 && hangs[i].took_us < 40000000);
        snprintf(pid_file, sizeof(pid_file), "%s/p%zu", folder, i);
        assert_true(is_gone(pid_file));
    }
}

static int ignores_children(void *arg)
{
    char got[64];

    signal(SIGCHLD, SIG_IGN); /* the kernel waits for all children */
    return gives(arg, got, sizeof(got)) && strcmp(got, "88") == 0 ? 0 : 1;
}

TEST(a_program_serves_where_the_application_ignores_its_children)
{
    char text[128];

    snprintf(text, sizeof(text), "%s", exec_of("ignored", "#!/bin/sh\necho 88\n"));
    assert_int_equal(child_does(ignores_children, text), 0);
}

static int has_no_standard_descriptors(void *arg)
{
    char got[64];

    close(0);
    close(1);
    close(2);
    return gives(arg, got, sizeof(got)) && strcmp(got, "88") == 0 ? 0 : 1;
}

TEST(a_program_serves_where_the_standard_descriptors_are_closed)
{
    char text[128];

    snprintf(text, sizeof(text), "%s", exec_of("closed", "#!/bin/sh\necho 88\n"));
    assert_int_equal(child_does(has_no_standard_descriptors, text), 0);
}

static void *fetch(void *arg)
{
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result = tok_pin_fetch(arg, &pin);

    return tok_ok(&result) && strcmp((char *)pin.data, "1") == 0 ? arg : NULL;
}

TEST(of_many_threads_one_runs_the_program_and_all_get_the_pin)
{
    pthread_t threads[8];
    char script[256];
    struct tok_pin_source *source;
    struct stat info;

    snprintf(script, sizeof(script), "#!/bin/sh\nprintf x >>%s/runs\nsleep 0.2\necho 1\n", folder);
    source = source_of(exec_of("counts", script));
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, fetch, source), 0);
    }
    for (size_t i = 0; i < 8; i++) {
        void *answer = NULL;

        assert_int_equal(pthread_join(threads[i], &answer), 0);
        assert_ptr_equal(answer, source);
    }
    snprintf(name, sizeof(name), "%s/runs", folder);
    assert_int_equal(stat(name, &info), 0);
    assert_int_equal(info.st_size, 1);
    tok_pin_source_free(source);
}

static int fetches(void *arg)
{
    return fetch(arg) == arg ? 0 : 1;
}

/* The child inherits "somebody is reading", but not the somebody; and the fork does not wait for the program. */
TEST(a_child_forked_amid_a_fetch_fetches_for_itself)
{
    struct tok_pin_source *source;
    void *answer = NULL;
    pthread_t thread;
    char script[256];
    char begun[128];
    pid_t pid;

    snprintf(begun, sizeof(begun), "%s/begun", folder);
    snprintf(script, sizeof(script), "#!/bin/sh\n: >%s/begun\nwhile ! [ -e %s/go ]; do sleep 0.05; done\necho 1\n",
             folder, folder);
    source = source_of(exec_of("slow", script));
    assert_int_equal(pthread_create(&thread, NULL, fetch, source), 0);
    for (int i = 0; i < 5000 && access(begun, F_OK) != 0; i++) {
        clock_sleep_us(1000);
    }
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        child_exit(fetches(source));
    }
    file_with("go", "", 0, 0600); /* only now the program can end */
    assert_int_equal(child_ended(pid), 0);
    assert_int_equal(pthread_join(thread, &answer), 0);
    assert_ptr_equal(answer, source);
    tok_pin_source_free(source);
}

TEST(a_child_has_what_its_parent_fetched)
{
    struct tok_pin_source *source;
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result;

    snprintf(setting, sizeof(setting), "file:%s", file_with("root-only", "1", 1, 0600));
    source = source_of(setting);
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    assert_int_equal(unlink(name), 0); /* as a worker that has become another user finds it */
    assert_int_equal(child_does(fetches, source), 0);
    tok_pin_source_free(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_that_does_not_end_is_ended),
        cmocka_unit_test(a_program_gets_nothing_of_ours),
        cmocka_unit_test(a_program_that_fails_gives_no_pin_even_if_it_printed_one),
        cmocka_unit_test(what_can_not_be_run_is_told),
        cmocka_unit_test(a_program_that_others_may_change_is_not_run),
        cmocka_unit_test(a_program_that_does_not_end_is_ended_with_its_whole_group),
        cmocka_unit_test(a_program_serves_where_the_application_ignores_its_children),
        cmocka_unit_test(a_program_serves_where_the_standard_descriptors_are_closed),
        cmocka_unit_test(of_many_threads_one_runs_the_program_and_all_get_the_pin),
        cmocka_unit_test(a_child_forked_amid_a_fetch_fetches_for_itself),
        cmocka_unit_test(a_child_has_what_its_parent_fetched),
    };

    return RUN_IN_FOLDER(tests);
}
