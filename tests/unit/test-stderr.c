#include "unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/complain.h"
#include "base/stderr.h"
#include "base/trace.h"
#include "child.h"

static char folder[] = "/tmp/signet-stderr-XXXXXX";
static char file[64];

/* What a program does with descriptor 2 after it was remembered; false: the test itself failed. */
struct life {
    bool (*before)(void);
    bool (*after)(void);
};

enum { OURS = 10, NOT_OURS, BROKEN };

static int lives(void *arg)
{
    const struct life *life = arg;

    if (life->before != NULL && !life->before()) {
        return BROKEN;
    }
    stderr_remember();
    if (life->after != NULL && !life->after()) {
        return BROKEN;
    }
    stderr_remember(); /* a second library context, say */
    return stderr_is_ours() ? OURS : NOT_OURS;
}

static int after(bool (*before)(void), bool (*what)(void))
{
    struct life life = { before, what };

    return child_does(lives, &life);
}

static bool opens(int flags)
{
    close(STDERR_FILENO);
    return open(file, flags | O_CREAT, 0600) == STDERR_FILENO;
}

static bool opens_a_database(void)
{
    return opens(O_RDWR);
}

static bool is_redirected(void)
{
    return opens(O_WRONLY);
}

static bool opens_a_journal_of_data(void)
{
    return opens(O_WRONLY | O_APPEND | O_CLOEXEC);
}

static bool opens_its_log(void)
{
    return opens(O_WRONLY | O_APPEND);
}

static bool closes_it(void)
{
    return close(STDERR_FILENO) == 0;
}

static bool makes_sockets(void)
{
    int ends[2];

    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    return socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && ends[1] == STDERR_FILENO;
}

/* Accepts a connection, or makes one, under the number of standard error. */
static bool talks(bool accepts)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int listening = socket(AF_UNIX, SOCK_STREAM, 0);
    int connected = socket(AF_UNIX, SOCK_STREAM, 0);
    int accepted;

    snprintf(name.sun_path, sizeof(name.sun_path), "%s/socket", folder);
    unlink(name.sun_path);
    if (bind(listening, (struct sockaddr *)&name, sizeof(name)) != 0 || listen(listening, 1) != 0 ||
        connect(connected, (struct sockaddr *)&name, sizeof(name)) != 0) {
        return false;
    }
    accepted = accept(listening, NULL, NULL);
    unlink(name.sun_path);
    return dup2(accepts ? accepted : connected, STDERR_FILENO) == STDERR_FILENO;
}

static bool accepts_a_client(void)
{
    return talks(true);
}

static bool asks_a_database(void)
{
    return talks(false);
}

/* As an event loop that wakes itself. */
static bool makes_a_pipe(void)
{
    int ends[2];

    close(STDOUT_FILENO);
    close(STDERR_FILENO);
    return pipe(ends) == 0 && ends[0] == STDOUT_FILENO && ends[1] == STDERR_FILENO;
}

static bool makes_a_pipe_to_its_logger(void)
{
    int ends[2];

    return pipe(ends) == 0 && dup2(ends[1], STDOUT_FILENO) == STDOUT_FILENO &&
           dup2(ends[1], STDERR_FILENO) == STDERR_FILENO;
}

static bool moves_it_away_and_back(void)
{
    int elsewhere = dup(STDERR_FILENO);

    close(STDERR_FILENO);
    return dup2(elsewhere, STDERR_FILENO) == STDERR_FILENO;
}

TEST(what_it_was_from_the_start_it_is)
{
    assert_int_equal(after(NULL, NULL), OURS);
    assert_int_equal(after(NULL, moves_it_away_and_back), OURS);
    assert_int_equal(after(is_redirected, NULL), OURS); /* a shell's 2>file */
    assert_int_equal(after(opens_its_log, NULL), OURS);
    assert_int_equal(after(makes_sockets, NULL), OURS); /* of who started it */
}

TEST(what_a_daemon_opened_before_we_came_is_not)
{
    assert_int_equal(after(closes_it, NULL), NOT_OURS);
    assert_int_equal(after(opens_a_database, NULL), NOT_OURS);
    assert_int_equal(after(opens_a_journal_of_data, NULL), NOT_OURS);
    assert_int_equal(after(accepts_a_client, NULL), NOT_OURS);
    assert_int_equal(after(asks_a_database, NULL), NOT_OURS);
}

TEST(what_a_daemon_opened_in_its_place_is_not)
{
    assert_int_equal(after(NULL, closes_it), NOT_OURS);
    assert_int_equal(after(NULL, opens_a_database), NOT_OURS);
    assert_int_equal(after(NULL, makes_sockets), NOT_OURS);
    assert_int_equal(after(NULL, makes_a_pipe), NOT_OURS);
    assert_int_equal(after(closes_it, opens_a_database), NOT_OURS);
    assert_int_equal(after(opens_its_log, is_redirected), OURS); /* the same file */
    assert_int_equal(after(NULL, accepts_a_client), NOT_OURS);
}

TEST(where_a_program_has_put_its_log_it_is)
{
    assert_int_equal(after(NULL, opens_its_log), OURS);
    assert_int_equal(after(closes_it, opens_its_log), OURS);
    assert_int_equal(after(NULL, makes_a_pipe_to_its_logger), OURS);
}

/* A daemon that traces to standard error, and complains, after it has opened its database. */
static int writes_into_its_database(void *arg)
{
    const char *why;
    struct stat info;

    (void)arg;
    unlink(file);
    if (!trace_set("stderr", &why) || !opens_a_database()) {
        return 1;
    }
    trace(TRACE_KEY, "key: into the database?");
    complain("/does/not/exist", "into the database?");
    return fstat(STDERR_FILENO, &info) == 0 && info.st_size == 0 ? 0 : 2;
}

TEST(neither_traces_nor_complaints_go_into_a_daemons_database)
{
    assert_int_equal(child_does(writes_into_its_database, NULL), 0);
}

static int writes_into_its_log(void *arg)
{
    const char *why;
    struct stat info;
    off_t size;

    (void)arg;
    unlink(file);
    if (!trace_set("stderr", &why) || !opens_its_log()) {
        return 1;
    }
    trace(TRACE_KEY, "key: into the log");
    if (fstat(STDERR_FILENO, &info) != 0 || info.st_size == 0) {
        return 2;
    }
    size = info.st_size;
    complain("/does/not/exist", "into the log");
    return fstat(STDERR_FILENO, &info) == 0 && info.st_size > size ? 0 : 3;
}

TEST(but_into_its_log)
{
    assert_int_equal(child_does(writes_into_its_log, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_was_from_the_start_it_is),
        cmocka_unit_test(what_a_daemon_opened_before_we_came_is_not),
        cmocka_unit_test(what_a_daemon_opened_in_its_place_is_not),
        cmocka_unit_test(where_a_program_has_put_its_log_it_is),
        cmocka_unit_test(neither_traces_nor_complaints_go_into_a_daemons_database),
        cmocka_unit_test(but_into_its_log),
    };
    int result;

    if (mkdtemp(folder) == NULL) {
        return 99;
    }
    snprintf(file, sizeof(file), "%s/file", folder);
    result = RUN(tests);
    unlink(file);
    rmdir(folder);
    return result;
}
