#include "unit.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/complain.h"
#include "child.h"

static char folder[] = "/tmp/signet-complain-XXXXXX";
static char path[64];
static char told[4096];

/* A syslog of our own. */
static int listen_there(void)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (path[0] == '\0') {
        assert_non_null(mkdtemp(folder));
        snprintf(path, sizeof(path), "%s/log", folder);
    }
    unlink(path);
    strcpy(name.sun_path, path);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0);
    return fd;
}

static void hear(int fd)
{
    ssize_t len = read(fd, told, sizeof(told) - 1);

    told[len > 0 ? len : 0] = '\0';
}

struct saying {
    const char *where;
    const char *what;
    int to; /* stderr */
};

static int says(void *arg)
{
    const struct saying *saying = arg;

    dup2(saying->to, STDERR_FILENO);
    complain(saying->where, saying->what);
    return 0;
}

static void say_in_child(const char *where, const char *what, int to)
{
    struct saying saying = { where, what, to };

    assert_int_equal(child_does(says, &saying), 0);
}

TEST(a_line_goes_to_stderr_and_to_syslog)
{
    int ends[2];
    int syslog = listen_there();

    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    say_in_child(path, "no token", ends[1]);
    hear(ends[0]);
    assert_int_equal(strncmp(told, "signet[", 7), 0);
    assert_non_null(strstr(told, "]: no token\n"));
    hear(syslog);
    assert_int_equal(strncmp(told, "<27>signet[", 11), 0);
    assert_non_null(strstr(told, "]: no token"));
    assert_null(strchr(told, '\n'));
    close(syslog);
    close(ends[0]);
    close(ends[1]);
}

TEST(a_label_with_a_line_end_is_one_line_of_syslog)
{
    int syslog = listen_there();
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    say_in_child(path, "token 'a\n<0>kernel: panic\033[2J\xff'", ends[1]);
    hear(ends[0]);
    assert_non_null(strstr(told, "]: token 'a?<0>kernel: panic?[2J?'\n"));
    hear(syslog);
    assert_non_null(strstr(told, "]: token 'a?<0>kernel: panic?[2J?'"));
    assert_null(strpbrk(told, "\n\033\xff"));
    close(syslog);
    close(ends[0]);
    close(ends[1]);
}

TEST(without_a_syslog_stderr_has_it)
{
    int ends[2];
    char long_path[300];

    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    say_in_child("/does/not/exist", "no token", ends[1]);
    hear(ends[0]);
    assert_non_null(strstr(told, "no token"));
    say_in_child(long_path, "no card", ends[1]);
    hear(ends[0]);
    assert_non_null(strstr(told, "no card"));
    close(ends[0]);
    close(ends[1]);
}

static int says_often(void *arg)
{
    const struct saying *saying = arg;

    dup2(saying->to, STDERR_FILENO);
    for (int i = 0; i < 2000; i++) {
        complain(saying->where, saying->what);
    }
    return 0;
}

TEST(a_syslog_that_does_not_read_is_not_waited_for)
{
    int syslog = listen_there();
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct saying saying = { path, "again", null };

    assert_int_equal(child_does(says_often, &saying), 0); /* 142: it hung */
    close(syslog);
    close(null);
}

TEST(a_stderr_that_is_a_network_connection_is_left_alone)
{
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(name);
    int to = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int from = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_int_equal(bind(from, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(getsockname(from, (struct sockaddr *)&name, &len), 0);
    assert_int_equal(connect(to, (struct sockaddr *)&name, sizeof(name)), 0);
    say_in_child("/does/not/exist", "no token", to);
    hear(from);
    assert_string_equal(told, "");
    assert_int_equal(write(to, "x", 1), 1); /* it would have come */
    hear(from);
    assert_string_equal(told, "x");
    close(to);
    close(from);
}

TEST(a_long_line_is_cut_and_ends_as_a_line)
{
    static char text[5000];
    int ends[2];

    memset(text, 'x', sizeof(text) - 1);
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    say_in_child("/does/not/exist", text, ends[1]);
    hear(ends[0]);
    assert_true(strlen(told) > 1000 && strlen(told) < 1500);
    assert_int_equal(told[strlen(told) - 1], '\n');
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_goes_to_stderr_and_to_syslog),
        cmocka_unit_test(a_label_with_a_line_end_is_one_line_of_syslog),
        cmocka_unit_test(without_a_syslog_stderr_has_it),
        cmocka_unit_test(a_syslog_that_does_not_read_is_not_waited_for),
        cmocka_unit_test(a_stderr_that_is_a_network_connection_is_left_alone),
        cmocka_unit_test(a_long_line_is_cut_and_ends_as_a_line),
    };
    int failed = RUN(tests);

    unlink(path);
    rmdir(folder);
    return failed;
}
