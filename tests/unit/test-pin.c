#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/lock.h"
#include "child.h"
#include "pkcs11/pin.h"
#include "pkcs11/uri.h"

static char folder[] = "/tmp/signet-pin-XXXXXX";
static char name[64];
static char setting[128];

static const char *file_with(const char *what, const void *content, size_t len, mode_t mode)
{
    int fd;

    snprintf(name, sizeof(name), "%s/%s", folder, what);
    unlink(name);
    fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    assert_true(fd >= 0 && write(fd, content, len) == (ssize_t)len);
    close(fd);
    assert_int_equal(chmod(name, mode), 0);
    return name;
}

/* What a source gives: 1 and the PIN, or 0 and the message. */
static int gives(const char *text, char *out, size_t size)
{
    struct tok_pin_source *source = NULL;
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result = tok_pin_source_new(&source, text, TOK_PIN_FROM_SETTINGS);

    if (tok_ok(&result)) {
        result = tok_pin_fetch(source, &pin);
    }
    snprintf(out, size, "%.*s", (int)size - 1, tok_ok(&result) ? (char *)pin.data : result.message);
    tok_pin_source_free(source);
    return tok_ok(&result);
}

TEST(a_pin_comes_from_any_source)
{
    char got[256];
    int ends[2];

    snprintf(setting, sizeof(setting), "file:%s", file_with("pin", "1234\n", 5, 0600));
    assert_true(gives(setting, got, sizeof(got)));
    assert_string_equal(got, "1234");
    assert_true(gives("value:/a:b", got, sizeof(got)));
    assert_string_equal(got, "/a:b");
    setenv("TEST_PIN", "55 66", 1);
    assert_true(gives("env:TEST_PIN", got, sizeof(got)));
    assert_string_equal(got, "55 66");
    assert_true(gives("value:file:/x", got, sizeof(got)));
    assert_string_equal(got, "file:/x");
    assert_true(gives("0000", got, sizeof(got)));
    assert_string_equal(got, "0000");
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "77\r\n", 4), 4);
    close(ends[1]);
    snprintf(setting, sizeof(setting), "fd:%d", ends[0]);
    assert_true(gives(setting, got, sizeof(got)));
    assert_string_equal(got, "77");
    snprintf(setting, sizeof(setting), "exec:%s", file_with("give", "#!/bin/sh\necho 88\n", 18, 0700));
    assert_true(gives(setting, got, sizeof(got)));
    assert_string_equal(got, "88");
    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    assert_true(gives("credential:pin", got, sizeof(got)));
    assert_string_equal(got, "1234");
}

TEST(a_source_that_is_malformed_is_refused_when_it_is_made)
{
    static const char *const bad[] = { "file:relative", "file:",           "env:",        "env:A=B",  "fd:",  "fd:x",
                                       "fd:-1",         "credential:../x", "credential:", "exec:cat", "exec:" };
    static const char *const mistaken[] = { "/etc/signet/pin", "flie:/etc/pin", "file/etc/pin", "File:/etc/pin",
                                            "evn:PIN" };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct tok_pin_source *source = NULL;
        struct tok_result result = tok_pin_source_new(&source, bad[i], TOK_PIN_FROM_SETTINGS);

        assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
    }
    for (size_t i = 0; i < COUNT_OF(mistaken); i++) { /* sent as PINs, they would cost a try */
        struct tok_pin_source *source = NULL;
        struct tok_result result = tok_pin_source_new(&source, mistaken[i], TOK_PIN_FROM_SETTINGS);

        assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
        assert_non_null(strstr(result.message, "value:PIN"));
    }
}

TEST(a_source_that_fails_is_named_with_the_reason)
{
    char got[512];

    assert_false(gives("file:/does/not/exist", got, sizeof(got)));
    assert_non_null(strstr(got, "file:/does/not/exist: No such file"));
    assert_false(gives("file:/tmp", got, sizeof(got)));
    assert_non_null(strstr(got, "neither a file nor a pipe"));
    snprintf(setting, sizeof(setting), "file:%s", file_with("empty", "\n", 1, 0600));
    assert_false(gives(setting, got, sizeof(got)));
    assert_non_null(strstr(got, "empty"));
    unsetenv("NO_SUCH_PIN");
    assert_false(gives("env:NO_SUCH_PIN", got, sizeof(got)));
    assert_non_null(strstr(got, "env:NO_SUCH_PIN"));
    assert_false(gives("exec:/does/not/exist", got, sizeof(got)));
    assert_non_null(strstr(got, "No such file"));
    snprintf(setting, sizeof(setting), "exec:%s", file_with("fails", "#!/bin/sh\necho 1\nexit 3\n", 24, 0700));
    assert_false(gives(setting, got, sizeof(got)));
    assert_non_null(strstr(got, "status 3"));
    assert_false(gives("fd:987654", got, sizeof(got)));
    assert_non_null(strstr(got, "fd:987654"));
}

TEST(a_program_that_does_not_end_is_ended)
{
    char got[512];
    uint64_t began = clock_us();

    snprintf(setting, sizeof(setting), "exec:%s", file_with("hangs", "#!/bin/sh\nsleep 90\n", 19, 0700));
    assert_false(gives(setting, got, sizeof(got)));
    assert_non_null(strstr(got, "5 s"));
    assert_true(clock_us() - began < 50000000);
}

TEST(a_long_pin_is_whole_and_one_that_is_too_long_is_refused)
{
    static char content[70000];
    struct tok_pin_source *source = NULL;
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result;

    memset(content, 'p', sizeof(content));
    snprintf(setting, sizeof(setting), "file:%s", file_with("long", content, 65536, 0600));
    result = tok_pin_source_new(&source, setting, TOK_PIN_FROM_SETTINGS);
    assert_true(tok_ok(&result));
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    assert_int_equal(pin.len, 65536);
    tok_pin_source_free(source);
    file_with("long", content, sizeof(content), 0600);
    result = tok_pin_source_new(&source, setting, TOK_PIN_FROM_SETTINGS);
    assert_true(tok_ok(&result));
    result = tok_pin_fetch(source, &pin);
    assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
    tok_pin_source_free(source);
}

TEST(the_environment_is_copied_when_the_source_is_made)
{
    struct tok_pin_source *source = NULL;
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result;

    setenv("WIPED_PIN", "31415", 1);
    result = tok_pin_source_new(&source, "env:WIPED_PIN", TOK_PIN_FROM_SETTINGS);
    assert_true(tok_ok(&result));
    unsetenv("WIPED_PIN");
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    assert_string_equal((char *)pin.data, "31415");
    tok_pin_source_free(source);
}

TEST(a_file_is_read_again_after_a_refusal_if_it_changed)
{
    struct tok_pin_source *source = NULL;
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result;

    snprintf(setting, sizeof(setting), "file:%s", file_with("changes", "old", 3, 0600));
    result = tok_pin_source_new(&source, setting, TOK_PIN_FROM_SETTINGS);
    assert_true(tok_ok(&result));
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    assert_false(tok_pin_refused(source));
    file_with("changes", "newer", 5, 0600);
    assert_true(tok_pin_refused(source));
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    assert_string_equal((char *)pin.data, "newer");
    tok_pin_source_free(source);
}

TEST(the_name_of_a_literal_pin_does_not_hold_it)
{
    struct tok_pin_source *source = NULL;
    struct tok_result result = tok_pin_source_new(&source, "value:SECRET", TOK_PIN_FROM_SETTINGS);

    assert_true(tok_ok(&result));
    assert_null(strstr(tok_pin_source_name(source), "SECRET"));
    tok_pin_source_free(source);
}

static struct tok_pin_source *source_of(const char *text)
{
    struct tok_pin_source *source = NULL;
    struct tok_result result = tok_pin_source_new(&source, text, TOK_PIN_FROM_SETTINGS);

    assert_true(tok_ok(&result));
    return source;
}

static const char *exec_of(const char *what, const char *script)
{
    static char text[128];

    snprintf(text, sizeof(text), "exec:%s", file_with(what, script, strlen(script), 0700));
    return text;
}

/* The message of a source that gives nothing. */
static const char *complaint(const char *text)
{
    static char message[TOK_MESSAGE_SIZE];

    assert_false(gives(text, message, sizeof(message)));
    return message;
}

TEST(no_source_has_an_empty_pin)
{
    static const char *const bad[] = { "", "value:" };
    struct tok_pin_source *source = NULL;
    struct tok_result result;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        result = tok_pin_source_new(&source, bad[i], TOK_PIN_FROM_SETTINGS);
        assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
    }
    result = tok_pin_source_value(&source, "");
    assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
    assert_null(source);
    setenv("EMPTY_PIN", "", 1);
    assert_non_null(strstr(complaint("env:EMPTY_PIN"), "empty"));
    setenv("EMPTY_PIN", "\n", 1);
    assert_non_null(strstr(complaint("env:EMPTY_PIN"), "empty"));
    snprintf(setting, sizeof(setting), "file:%s", file_with("zero", "", 0, 0600));
    assert_non_null(strstr(complaint(setting), "empty"));
    assert_non_null(strstr(complaint(exec_of("silent", "#!/bin/sh\n")), "empty"));
}

TEST(one_line_end_is_cut_and_no_more)
{
    static const struct {
        const char *content;
        const char *pin;
    } files[] = { { "12\n", "12" },   { "12\r\n", "12" },   { "12\n\n", "12\n" }, { "12\r", "12\r" },
                  { " 12 ", " 12 " }, { "1\n2\n", "1\n2" }, { "\n12", "\n12" } };
    char got[64];

    for (size_t i = 0; i < COUNT_OF(files); i++) {
        const char *content = files[i].content;

        snprintf(setting, sizeof(setting), "file:%s", file_with("lines", content, strlen(content), 0600));
        assert_true(gives(setting, got, sizeof(got)));
        assert_string_equal(got, files[i].pin);
    }
}

TEST(the_limit_does_not_count_the_line_end)
{
    static char content[65536 + 2];
    static char got[65536 + 8];

    memset(content, 'p', sizeof(content));
    memcpy(content + 65536, "\r\n", 2);
    snprintf(setting, sizeof(setting), "file:%s", file_with("limit", content, sizeof(content), 0600));
    assert_true(gives(setting, got, sizeof(got)));
    assert_int_equal(strlen(got), 65536);
    file_with("limit", content, 65537, 0600); /* the \r alone is no line end */
    assert_non_null(strstr(complaint(setting), "more than 64 KiB"));
}

TEST(an_endless_source_is_cut_short)
{
    uint64_t began = clock_us();

    assert_non_null(strstr(complaint(exec_of("endless", "#!/bin/sh\nexec cat /dev/zero\n")), "64 KiB"));
    assert_true(clock_us() < began + 4000000); /* not by its deadline */
    assert_non_null(strstr(complaint("file:/dev/zero"), "neither a file nor a pipe"));
}

TEST(a_uri_may_name_a_file_and_nothing_else)
{
    static const char *const good[] = { "/does/not/exist", "file:/does/not/exist", "file:///does/not/exist" };
    static const char *const bad[] = { "1234",          "value:1234",     "env:PIN", "fd:0",
                                       "exec:/bin/cat", "credential:pin", "|cat",    "pin",
                                       "file:pin",      "file:",          "",        "file://host/pin",
                                       "//host/pin" };
    struct tok_pin_source *source = NULL;

    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct tok_result result = tok_pin_source_new(&source, good[i], TOK_PIN_FROM_URI);

        assert_true(tok_ok(&result));
        assert_string_equal(tok_pin_source_name(source), "file:/does/not/exist");
        tok_pin_source_free(source);
        source = NULL;
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct tok_result result = tok_pin_source_new(&source, bad[i], TOK_PIN_FROM_URI);

        assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
        assert_null(source);
        assert_null(strstr(result.message, "1234"));
    }
}

TEST(a_name_says_where_a_literal_pin_stands)
{
    struct tok_pin_source *source = source_of("1234");
    struct tok_result result;

    assert_string_equal(tok_pin_source_name(source), "a literal PIN in the settings");
    tok_pin_source_free(source);
    source = source_of("value:1234");
    assert_string_equal(tok_pin_source_name(source), "a literal PIN in the settings");
    tok_pin_source_free(source);
    result = tok_pin_source_value(&source, "1234");
    assert_true(tok_ok(&result));
    assert_string_equal(tok_pin_source_name(source), "pin-value of the URI");
    tok_pin_source_free(source);
    source = source_of("env:HOME");
    assert_string_equal(tok_pin_source_name(source), "env:HOME");
    tok_pin_source_free(source);
    tok_pin_source_free(NULL);
}

TEST(the_directory_of_credentials_is_kept_from_the_start)
{
    struct tok_pin_source *source;
    struct tok_pin_source *late;
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result;

    file_with("kept", "2718", 4, 0600);
    unsetenv("CREDENTIALS_DIRECTORY");
    late = source_of("credential:kept");
    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    source = source_of("credential:kept");
    unsetenv("CREDENTIALS_DIRECTORY");
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    assert_string_equal((char *)pin.data, "2718");
    assert_string_equal(tok_pin_source_name(source), "credential:kept");
    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    result = tok_pin_fetch(late, &pin); /* what was not there then is not looked for now */
    assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
    assert_non_null(strstr(result.message, "CREDENTIALS_DIRECTORY"));
    unsetenv("CREDENTIALS_DIRECTORY");
    tok_pin_source_free(source);
    tok_pin_source_free(late);
}

TEST(a_file_that_goes_away_is_remembered)
{
    struct tok_pin_source *source;
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result;

    snprintf(setting, sizeof(setting), "file:%s", file_with("gone", "1234", 4, 0600));
    source = source_of(setting);
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    assert_int_equal(unlink(name), 0);
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    assert_string_equal((char *)pin.data, "1234");
    assert_false(tok_pin_refused(source)); /* nothing else to be had */
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    tok_pin_source_free(source);
}

TEST(a_failure_is_not_remembered)
{
    struct tok_pin_source *source;
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result;

    snprintf(setting, sizeof(setting), "file:%s", file_with("late", "", 0, 0600));
    source = source_of(setting);
    result = tok_pin_fetch(source, &pin);
    assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
    assert_false(secret_exists(&pin));
    file_with("late", "1234", 4, 0600);
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    tok_pin_source_free(source);
}

TEST(a_refusal_changes_nothing_but_a_file)
{
    static const char *const settings[] = { "1234", "env:REFUSED_PIN", "credential:refused" };
    SCOPED(secret_end) struct secret pin = { 0 };

    setenv("REFUSED_PIN", "1234", 1);
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        struct tok_pin_source *source = source_of(settings[i]);

        assert_false(tok_pin_refused(source)); /* even before it was fetched */
        tok_pin_source_free(source);
    }
    setenv("REFUSED_PIN", "5678", 1);
    for (size_t i = 0; i < 2; i++) {
        struct tok_pin_source *source = source_of(settings[i]);
        struct tok_result result = tok_pin_fetch(source, &pin);

        assert_true(tok_ok(&result));
        assert_false(tok_pin_refused(source));
        tok_pin_source_free(source);
    }
}

/* --- descriptors -------------------------------------------------------------------------------------------------- */

/* A source over the reading end of a pipe that holds `content`. */
static struct tok_pin_source *fd_source(const char *content, int *out_fd)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], content, strlen(content)), (ssize_t)strlen(content));
    close(ends[1]);
    snprintf(setting, sizeof(setting), "fd:%d", ends[0]);
    *out_fd = ends[0];
    return source_of(setting);
}

TEST(a_descriptor_is_read_once_closed_and_remembered)
{
    SCOPED(secret_end) struct secret pin = { 0 };
    int fd;
    struct tok_pin_source *source = fd_source("1234\n", &fd);
    struct tok_result result = tok_pin_fetch(source, &pin);

    assert_true(tok_ok(&result));
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    secret_end(&pin);
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    assert_string_equal((char *)pin.data, "1234");
    tok_pin_source_free(source);
}

TEST(a_descriptor_that_gave_nothing_is_never_read_again)
{
    SCOPED(secret_end) struct secret pin = { 0 };
    int fd;
    struct tok_pin_source *source = fd_source("", &fd);
    struct tok_result result = tok_pin_fetch(source, &pin);
    char left[8] = "";

    assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
    file_with("stranger", "stranger", 8, 0600);
    assert_int_equal(open(name, O_RDONLY), fd); /* its number means another file by now */
    result = tok_pin_fetch(source, &pin);
    assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
    assert_non_null(strstr(result.message, "read before"));
    assert_int_equal(read(fd, left, sizeof(left)), 8); /* nobody has read or closed it */
    close(fd);
    tok_pin_source_free(source);
}

static int takes_stdin(void *arg)
{
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_pin_source *source = source_of("fd:0");
    int ends[2];
    struct tok_result result;

    (void)arg;
    if (pipe(ends) != 0 || write(ends[1], "1234", 4) != 4 || dup2(ends[0], 0) != 0) {
        return 1;
    }
    close(ends[0]);
    close(ends[1]);
    result = tok_pin_fetch(source, &pin);
    tok_pin_source_free(source);
    if (!tok_ok(&result) || pin.len != 4) {
        return 2;
    }
    return fcntl(0, F_GETFD) >= 0 && open("/dev/null", O_RDONLY) > 2 ? 0 : 3;
}

TEST(standard_input_stays_open)
{
    assert_int_equal(child_does(takes_stdin, NULL), 0);
}

static void on_alarm(int number)
{
    (void)number;
}

static void *write_late(void *arg)
{
    int fd = *(int *)arg;

    for (const char *at = "1234"; *at != '\0'; at++) {
        clock_sleep_us(30000);
        if (write(fd, at, 1) != 1) {
            return NULL;
        }
    }
    close(fd);
    return arg;
}

TEST(a_slow_writer_is_waited_for_amid_signals)
{
    struct sigaction action = { .sa_handler = on_alarm }; /* without SA_RESTART */
    struct itimerval often = { { 0, 7000 }, { 0, 7000 } };
    struct itimerval never = { { 0, 0 }, { 0, 0 } };
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_pin_source *source;
    struct tok_result result;
    pthread_t thread;
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0); /* as an event loop leaves them */
    snprintf(setting, sizeof(setting), "fd:%d", ends[0]);
    source = source_of(setting);
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, write_late, &ends[1]), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    result = tok_pin_fetch(source, &pin);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(tok_ok(&result));
    assert_string_equal((char *)pin.data, "1234");
    tok_pin_source_free(source);
}

static void *write_into_fifo(void *arg)
{
    int fd;

    clock_sleep_us(100000);
    fd = open(arg, O_WRONLY);
    return fd >= 0 && write(fd, "1234\n", 5) == 5 && close(fd) == 0 ? arg : NULL;
}

TEST(a_named_pipe_is_waited_for_until_somebody_writes)
{
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_pin_source *source;
    struct tok_result result;
    char fifo[64];
    pthread_t thread;

    snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    snprintf(setting, sizeof(setting), "file:%s", fifo);
    source = source_of(setting);
    assert_int_equal(pthread_create(&thread, NULL, write_into_fifo, fifo), 0);
    result = tok_pin_fetch(source, &pin);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(tok_ok(&result));
    assert_string_equal((char *)pin.data, "1234");
    tok_pin_source_free(source);
}

/* --- programs ----------------------------------------------------------------------------------------------------- */

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

/* --- threads and forks -------------------------------------------------------------------------------------------- */

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

/* --- set-user-id -------------------------------------------------------------------------------------------------- */

/* This program again, as a set-user-id one started by somebody else; see main. */
static int set_user_id(const char *what)
{
    char copy[64];
    char command[256];
    pid_t pid;

    snprintf(copy, sizeof(copy), "%s/set-user-id", folder);
    snprintf(command, sizeof(command), "cp /proc/%ld/exe %s && chmod 4755 %s && chmod 755 %s", (long)getpid(), copy,
             copy, folder);
    assert_int_equal(system(command), 0);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0) {
            child_exit(90);
        }
        setenv("STARTERS_PIN", "1234", 1);
        setenv("CREDENTIALS_DIRECTORY", "/etc", 1);
        execl(copy, copy, what, (char *)NULL);
        child_exit(91);
    }
    return child_ended(pid);
}

static int is_refused(const char *text, enum tok_code code)
{
    struct tok_uri *uri = NULL;
    struct tok_result result = tok_uri_parse(&uri, text, TOK_URI_FROM_APPLICATION);

    tok_uri_free(uri);
    return result.code == code;
}

/* What runs there. 77: the file system does not honour the bit. */
static int as_set_user_id(void)
{
    char got[512];

    if (getauxval(AT_SECURE) == 0) {
        return 77;
    }
    if (gives("env:STARTERS_PIN", got, sizeof(got)) || strstr(got, "set-user-id") == NULL) {
        return 1;
    }
    if (gives("credential:hostname", got, sizeof(got))) {
        return 2;
    }
    if (!gives("1234", got, sizeof(got))) { /* the settings are root's own */
        return 3;
    }
    if (!is_refused("pkcs11:token=t?module-path=/usr/lib/x.so", TOK_CODE_TRUST) ||
        !is_refused("pkcs11:token=t?module-name=x", TOK_CODE_TRUST) ||
        !is_refused("pkcs11:token=t?pin-source=/etc/shadow", TOK_CODE_TRUST)) {
        return 4;
    }
    return is_refused("pkcs11:token=t?pin-value=1234", TOK_CODE_OK) ? 0 : 5;
}

TEST(who_starts_a_set_user_id_program_chooses_neither_pin_nor_module)
{
    int status;

    if (geteuid() != 0) {
        NOT_HERE("only root makes a set-user-id program");
    }
    status = set_user_id("as-set-user-id");
    if (status == 77) {
        NOT_HERE("/tmp does not honour the set-user-id bit");
    }
    assert_int_equal(status, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pin_comes_from_any_source),
        cmocka_unit_test(a_source_that_is_malformed_is_refused_when_it_is_made),
        cmocka_unit_test(a_source_that_fails_is_named_with_the_reason),
        cmocka_unit_test(a_program_that_does_not_end_is_ended),
        cmocka_unit_test(a_long_pin_is_whole_and_one_that_is_too_long_is_refused),
        cmocka_unit_test(the_environment_is_copied_when_the_source_is_made),
        cmocka_unit_test(a_file_is_read_again_after_a_refusal_if_it_changed),
        cmocka_unit_test(the_name_of_a_literal_pin_does_not_hold_it),
        cmocka_unit_test(no_source_has_an_empty_pin),
        cmocka_unit_test(one_line_end_is_cut_and_no_more),
        cmocka_unit_test(the_limit_does_not_count_the_line_end),
        cmocka_unit_test(an_endless_source_is_cut_short),
        cmocka_unit_test(a_uri_may_name_a_file_and_nothing_else),
        cmocka_unit_test(a_name_says_where_a_literal_pin_stands),
        cmocka_unit_test(the_directory_of_credentials_is_kept_from_the_start),
        cmocka_unit_test(a_file_that_goes_away_is_remembered),
        cmocka_unit_test(a_failure_is_not_remembered),
        cmocka_unit_test(a_refusal_changes_nothing_but_a_file),
        cmocka_unit_test(a_descriptor_is_read_once_closed_and_remembered),
        cmocka_unit_test(a_descriptor_that_gave_nothing_is_never_read_again),
        cmocka_unit_test(standard_input_stays_open),
        cmocka_unit_test(a_slow_writer_is_waited_for_amid_signals),
        cmocka_unit_test(a_named_pipe_is_waited_for_until_somebody_writes),
        cmocka_unit_test(a_program_gets_nothing_of_ours),
        cmocka_unit_test(a_program_that_fails_gives_no_pin_even_if_it_printed_one),
        cmocka_unit_test(what_can_not_be_run_is_told),
        cmocka_unit_test(a_program_that_does_not_end_is_ended_with_its_whole_group),
        cmocka_unit_test(a_program_serves_where_the_application_ignores_its_children),
        cmocka_unit_test(a_program_serves_where_the_standard_descriptors_are_closed),
        cmocka_unit_test(of_many_threads_one_runs_the_program_and_all_get_the_pin),
        cmocka_unit_test(a_child_forked_amid_a_fetch_fetches_for_itself),
        cmocka_unit_test(a_child_has_what_its_parent_fetched),
        cmocka_unit_test(who_starts_a_set_user_id_program_chooses_neither_pin_nor_module),
    };
    char command[64];
    int failed;

    if (argc > 1 && strcmp(argv[1], "as-set-user-id") == 0) {
        return as_set_user_id();
    }
    if (mkdtemp(folder) == NULL) {
        return 99;
    }
    failed = RUN(tests);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command) == 0 ? failed : 99;
}
