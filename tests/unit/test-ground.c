/* The small rooms of base/: lock, fork, trace. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/lock.h"
#include "base/trace.h"

TEST(a_wait_ends_at_its_deadline)
{
    struct lock lock;
    uint64_t began = clock_us();

    lock_init(&lock);
    lock_take(&lock);
    while (lock_wait(&lock, began + 20000)) {
    }
    lock_give(&lock);
    assert_true(clock_us() - began >= 20000);
    lock_end(&lock);
}

static struct lock shared;
static bool arrived;

static void *waker(void *unused)
{
    LOCKED(&shared);
    arrived = true;
    lock_wake(&shared);
    return unused;
}

TEST(a_waiter_is_woken)
{
    pthread_t thread;

    lock_init(&shared);
    lock_take(&shared);
    assert_int_equal(pthread_create(&thread, NULL, waker, NULL), 0);
    while (!arrived) {
        assert_true(lock_wait(&shared, clock_us() + 5000000) || arrived);
    }
    lock_give(&shared);
    pthread_join(thread, NULL);
    lock_end(&shared);
}

TEST(each_child_is_a_generation)
{
    unsigned mine = fork_generation();
    int status;
    pid_t child = fork();

    if (child == 0) {
        _exit(fork_generation() == mine + 1 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(fork_generation(), mine);
}

TEST(a_process_is_exiting_only_once_it_is)
{
    process_watch_exit();
    assert_false(process_exiting());
}

TEST(settings_of_traces_that_make_no_sense_are_refused)
{
    static const char *const bad[] = { "", "stdout", "file:relative", "stderr:nonsense",
                                       "file:/does/not/exist/at/all" };
    const char *why;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        why = NULL;
        assert_false(trace_set(bad[i], &why));
        assert_non_null(why);
    }
}

TEST(a_trace_writes_the_areas_that_were_asked_for)
{
    char path[] = "/tmp/signet-trace-XXXXXX";
    char setting[80];
    char text[512] = "";
    const char *why;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    snprintf(setting, sizeof(setting), "file:%s:login,token", path);
    assert_true(trace_set(setting, &why));
    trace(TRACE_LOGIN, "login: one %d", 1);
    trace(TRACE_SESSION, "session: two");
    assert_true(trace_set("off", &why));
    trace(TRACE_LOGIN, "login: three");
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    assert_non_null(strstr(text, "login: one 1\n"));
    assert_null(strstr(text, "two"));
    assert_null(strstr(text, "three"));
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_ends_at_its_deadline),
        cmocka_unit_test(a_waiter_is_woken),
        cmocka_unit_test(each_child_is_a_generation),
        cmocka_unit_test(a_process_is_exiting_only_once_it_is),
        cmocka_unit_test(settings_of_traces_that_make_no_sense_are_refused),
        cmocka_unit_test(a_trace_writes_the_areas_that_were_asked_for),
    };

    return RUN(tests);
}
