#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/trace.h"
#include "child.h"

#define LINE "^signet\\[[0-9]+\\.[0-9]+\\] [0-9]+\\.[0-9]{6} "

static char folder[] = "/tmp/signet-trace-XXXXXX";
static char path[64];
static char content[256 * 1024];

/* Traces into a new file of that name from here on. */
static void trace_into(const char *name, const char *areas)
{
    char setting[128];
    const char *why = NULL;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    snprintf(setting, sizeof(setting), "file:%s%s", path, areas);
    assert_true(trace_set(setting, &why));
}

static const char *traced(void)
{
    FILE *file = fopen(path, "r");
    size_t len;

    assert_non_null(file);
    len = fread(content, 1, sizeof(content) - 1, file);
    fclose(file);
    content[len] = '\0';
    return content;
}

static bool matches(const char *text, const char *pattern)
{
    regex_t regex;
    bool found;

    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NEWLINE | REG_NOSUB), 0);
    found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

static size_t count_lines(const char *text)
{
    size_t count = 0;

    for (; *text != '\0'; text++) {
        count += *text == '\n';
    }
    return count;
}

static int evaluated;

static int evaluate(void)
{
    return ++evaluated;
}

TEST(what_is_off_is_not_even_evaluated)
{
    const char *why;

    assert_true(trace_set("off", &why));
    trace(TRACE_LOGIN, "login: %d", evaluate());
    assert_int_equal(evaluated, 0);
    trace_into("on", ":login");
    trace(TRACE_SESSION, "session: %d", evaluate());
    assert_int_equal(evaluated, 0);
    trace(TRACE_LOGIN, "login: %d", evaluate());
    assert_int_equal(evaluated, 1);
}

TEST(a_line_says_who_and_when)
{
    char pattern[64];

    trace_into("line", "");
    trace(TRACE_SESSION, "session: opened session %d on token '%s'", 3, "prod");
    assert_true(matches(traced(), LINE "session: opened session 3 on token 'prod'$"));
    snprintf(pattern, sizeof(pattern), "^signet\\[%ld\\.%ld\\] ", (long)getpid(), (long)getpid()); /* the main thread */
    assert_true(matches(content, pattern));
}

static int traces(void *arg)
{
    (void)arg;
    trace(TRACE_KEY, "key: child is %ld", (long)getpid());
    return 0;
}

TEST(a_child_traces_under_its_own_number)
{
    trace_into("child", "");
    assert_int_equal(child_does(traces, NULL), 0);
    assert_true(matches(traced(), "^signet\\[([0-9]+)\\.\\1\\] .* child is \\1$"));
}

TEST(all_areas_have_a_name)
{
    char names[256];
    char *save = NULL;
    unsigned bits = 0;
    const char *why;

    snprintf(names, sizeof(names), "%s", trace_area_names());
    for (char *name = strtok_r(names, ", ", &save); name != NULL; name = strtok_r(NULL, ", ", &save)) {
        char setting[64];

        snprintf(setting, sizeof(setting), "stderr:%s", name);
        assert_true(trace_set(setting, &why));
        assert_int_equal(bits & atomic_load(&trace_areas), 0); /* each its own bit */
        bits |= atomic_load(&trace_areas);
    }
    assert_true(trace_set("stderr", &why));
    assert_int_equal(atomic_load(&trace_areas), bits);
    assert_int_equal(bits, TRACE_ERROR * 2 - 1);
    assert_true(trace_set("off", &why));
}

TEST(a_refused_setting_leaves_the_old_one)
{
    const char *why = NULL;

    trace_into("kept", ":login");
    assert_false(trace_set("stderr:login,nonsense", &why));
    assert_non_null(why);
    assert_false(trace_set("file:/does/not/exist/trace", &why));
    trace(TRACE_LOGIN, "login: still here");
    assert_true(matches(traced(), "login: still here$"));
}

TEST(a_path_may_have_a_colon)
{
    trace_into("a:b", "");
    trace(TRACE_TOKEN, "token: one");
    assert_int_equal(count_lines(traced()), 1);
    trace_into("a:b", ":login"); /* the last colon counts when areas follow it */
    trace(TRACE_TOKEN, "token: two");
    assert_int_equal(count_lines(traced()), 1);
}

TEST(a_file_is_appended_to_and_for_its_owner_alone)
{
    struct stat info;

    trace_into("twice", "");
    trace(TRACE_TOKEN, "token: one");
    trace_into("twice", "");
    trace(TRACE_TOKEN, "token: two");
    assert_int_equal(count_lines(traced()), 2);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

TEST(a_long_event_is_one_line_cut)
{
    char long_text[5000];

    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    trace_into("long", "");
    trace(TRACE_FIND, "find: %s", long_text);
    trace(TRACE_FIND, "find: the next");
    assert_int_equal(count_lines(traced()), 2);
    assert_true(matches(content, LINE "find: x+$"));
    assert_true(matches(content, LINE "find: the next$"));
    assert_true(strlen(content) < 2000);
}

TEST(a_label_with_a_line_end_forges_no_line)
{
    trace_into("forged", "");
    trace(TRACE_TOKEN, "token: '%s'", "a\nsignet[1.1] 0.000000 login: it was the administrator\r\033[2J\x7f");
    assert_int_equal(count_lines(traced()), 1);
    assert_null(strpbrk(content, "\r\033\x7f"));
}

TEST(tracing_keeps_errno)
{
    trace_into("errno", "");
    errno = EXDEV;
    trace(TRACE_KEY, "key: one");
    assert_int_equal(errno, EXDEV);
}

/* The descriptor that the trace has is the lowest that was free. */
static int lets_go_of_the_descriptor(void *arg)
{
    char stranger[96];
    struct stat info;
    int fd = open("/dev/null", O_RDONLY);
    int others;

    (void)arg;
    trace_into("closed", "");
    close(fd);
    for (others = fd; others < fd + 8; others++) { /* as a program that becomes a daemon */
        close(others);
    }
    snprintf(stranger, sizeof(stranger), "%s/stranger", folder);
    for (others = 0; others < 8; others++) {
        if (open(stranger, O_WRONLY | O_CREAT | O_APPEND, 0600) < 0) {
            return 1;
        }
    }
    errno = EXDEV;
    trace(TRACE_KEY, "key: into the stranger's file?");
    return errno == EXDEV && stat(stranger, &info) == 0 && info.st_size == 0 ? 0 : 2;
}

TEST(a_descriptor_that_means_another_file_by_now_is_not_written_to)
{
    assert_int_equal(child_does(lets_go_of_the_descriptor, NULL), 0);
}

static void *trace_often(void *arg)
{
    for (int i = 0; i < 300; i++) {
        trace(TRACE_CALLS, "calls: %0100d of %s", i, (const char *)arg);
    }
    return NULL;
}

TEST(lines_of_threads_do_not_mix)
{
    pthread_t threads[4];
    char *rest;
    char *line;

    trace_into("threads", "");
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, trace_often, "one"), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    (void)traced();
    assert_int_equal(count_lines(content), 1200);
    for (line = strtok_r(content, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        assert_true(matches(line, LINE "calls: [0-9]{100} of one$"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_off_is_not_even_evaluated),
        cmocka_unit_test(a_line_says_who_and_when),
        cmocka_unit_test(a_child_traces_under_its_own_number),
        cmocka_unit_test(all_areas_have_a_name),
        cmocka_unit_test(a_refused_setting_leaves_the_old_one),
        cmocka_unit_test(a_path_may_have_a_colon),
        cmocka_unit_test(a_file_is_appended_to_and_for_its_owner_alone),
        cmocka_unit_test(a_long_event_is_one_line_cut),
        cmocka_unit_test(a_label_with_a_line_end_forges_no_line),
        cmocka_unit_test(tracing_keeps_errno),
        cmocka_unit_test(a_descriptor_that_means_another_file_by_now_is_not_written_to),
        cmocka_unit_test(lines_of_threads_do_not_mix),
    };
    char command[64];
    int failed;

    if (mkdtemp(folder) == NULL) {
        return 99;
    }
    failed = RUN(tests);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command) == 0 ? failed : 99;
}
