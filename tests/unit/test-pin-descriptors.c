/* PINs from descriptors and pipes, which are read once, and may keep one waiting. */
#include "pin-use.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "base/lock.h"
#include "child.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_descriptor_is_read_once_closed_and_remembered),
        cmocka_unit_test(a_descriptor_that_gave_nothing_is_never_read_again),
        cmocka_unit_test(standard_input_stays_open),
        cmocka_unit_test(a_slow_writer_is_waited_for_amid_signals),
        cmocka_unit_test(a_named_pipe_is_waited_for_until_somebody_writes),
    };

    return RUN_IN_FOLDER(tests);
}
