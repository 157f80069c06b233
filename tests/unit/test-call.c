#include "mock-use.h"

#include <signal.h>
#include <stdatomic.h>

#include "base/fork.h"
#include "child.h"

static struct mock *mock;
static struct tok_module *module;

static CK_RV call(void)
{
    CK_INFO info;

    return TOK_CALL(module->functions, C_GetInfo, &info);
}

static void furnish(void)
{
    mock = mock_load(&module);
    mock->initialized = true;
}

TEST(a_call_goes_through_and_its_answer_comes_back)
{
    furnish();
    assert_int_equal(call(), CKR_OK);
    mock_fails(mock, MOCK_GetInfo, CKR_DEVICE_ERROR, 0, 1);
    assert_int_equal(call(), CKR_DEVICE_ERROR);
    assert_int_equal(mock->calls[MOCK_GetInfo], 2);
}

TEST(a_result_names_the_function_that_failed)
{
    CK_INFO info;

    furnish();
    mock_fails(mock, MOCK_GetInfo, CKR_DEVICE_ERROR, 0, 1);
    FAILS_CKR(TOK_DO(module->functions, C_GetInfo, &info), CKR_DEVICE_ERROR);
    assert_string_equal(failure.function, "C_GetInfo");
    OK(TOK_DO(module->functions, C_GetInfo, &info));
}

static bool inside_seen;

static void see_inside(enum mock_function which)
{
    (void)which;
    inside_seen = tok_inside_module();
}

TEST(a_thread_knows_when_it_is_inside_a_module)
{
    furnish();
    mock->on_call = see_inside;
    assert_false(tok_inside_module());
    assert_int_equal(call(), CKR_OK);
    assert_true(inside_seen);
    assert_false(tok_inside_module());
}

/* --- SIGPIPE ---------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t pipes_caught;

static void on_pipe(int number)
{
    (void)number;
    pipes_caught++;
}

static void write_to_nobody(enum mock_function which)
{
    int ends[2];

    (void)which;
    if (pipe(ends) == 0) {
        close(ends[0]);
        (void)!write(ends[1], "x", 1); /* as a client does whose daemon died */
        close(ends[1]);
    }
}

static int survives(void *arg)
{
    (void)arg;
    signal(SIGPIPE, SIG_DFL);
    return call() == CKR_OK ? 0 : 1;
}

TEST(a_dead_daemon_does_not_kill_the_process)
{
    furnish();
    mock->on_call = write_to_nobody;
    assert_int_equal(child_does(survives, NULL), 0);
}

static bool pipe_is(int (*ask)(const sigset_t *set, int number), int (*get)(sigset_t *set))
{
    sigset_t set;

    return get(&set) == 0 && ask(&set, SIGPIPE) == 1;
}

static int get_blocked(sigset_t *set)
{
    return pthread_sigmask(SIG_BLOCK, NULL, set);
}

TEST(the_applications_handler_does_not_hear_of_it_and_the_mask_is_as_before)
{
    furnish();
    mock->on_call = write_to_nobody;
    signal(SIGPIPE, on_pipe);
    pipes_caught = 0;
    assert_int_equal(call(), CKR_OK);
    assert_int_equal(pipes_caught, 0);
    assert_false(pipe_is(sigismember, get_blocked));
    assert_int_equal(raise(SIGPIPE), 0); /* one that is not the module's */
    assert_int_equal(pipes_caught, 1);
    signal(SIGPIPE, SIG_DFL);
}

TEST(a_signal_that_was_pending_before_stays_pending)
{
    sigset_t set;

    furnish();
    mock->on_call = write_to_nobody;
    signal(SIGPIPE, on_pipe);
    pipes_caught = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    assert_int_equal(raise(SIGPIPE), 0);
    assert_int_equal(call(), CKR_OK);
    assert_true(pipe_is(sigismember, sigpending));
    assert_true(pipe_is(sigismember, get_blocked));
    assert_int_equal(pthread_sigmask(SIG_UNBLOCK, &set, NULL), 0);
    assert_int_equal(pipes_caught, 1);
    signal(SIGPIPE, SIG_DFL);
}

TEST(holding_nests)
{
    furnish();
    {
        TOK_SIGPIPE_HELD();
        assert_true(pipe_is(sigismember, get_blocked));
        assert_int_equal(call(), CKR_OK);
        assert_true(pipe_is(sigismember, get_blocked));
    }
    assert_false(pipe_is(sigismember, get_blocked));
}

/* --- fork and exit ---------------------------------------------------------------------------------------------- */

static void *call_in_thread(void *arg)
{
    return call() == CKR_OK ? arg : NULL;
}

static int calls(void *arg)
{
    (void)arg;
    mock->on_call = NULL;
    mock->hang = 0;
    return call() == CKR_OK ? 0 : 1;
}

static _Atomic unsigned inside;

static void stay_inside(enum mock_function which)
{
    (void)which;
    inside++;
    usleep(300);
    inside--;
}

static void stay_inside_long(enum mock_function which)
{
    (void)which;
    inside++;
    usleep(300000);
    inside--;
}

/* Forks while another thread is inside, where it stays for 0.3 s, or until the fork is over. True if nobody was inside
 * any more when the fork happened. */
static bool fork_amid_call(bool for_ever)
{
    pthread_t thread;
    void *answer = NULL;
    unsigned found;
    pid_t pid;

    furnish();
    inside = 0;
    mock->hang = for_ever ? 1U << MOCK_GetInfo : 0;
    mock->on_call = for_ever ? NULL : stay_inside_long;
    assert_int_equal(pthread_create(&thread, NULL, call_in_thread, mock), 0);
    while (inside == 0 && mock->hung == 0) {
        clock_sleep_us(1000);
    }
    fflush(NULL);
    pid = fork();
    found = inside + (mock->hang != 0 ? mock->hung : 0);
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        pthread_mutex_init(&mock->lock, NULL);
        child_exit(calls(NULL) == 0 ? (int)found : 99);
    }
    mock->hang = 0;
    found = (unsigned)child_ended(pid); /* what the child found: the parent's threads have gone on since */
    assert_true(found <= 1);
    assert_int_equal(pthread_join(thread, &answer), 0);
    assert_ptr_equal(answer, mock); /* the gate is open again */
    mock->on_call = NULL;
    assert_int_equal(call(), CKR_OK);
    return found == 0;
}

TEST(a_fork_waits_until_nobody_is_inside_a_module)
{
    tok_gate_set_wait(60 * SECOND);
    assert_true(fork_amid_call(false));
    tok_gate_set_wait(250000);
}

TEST(but_not_for_ever)
{
    tok_gate_set_wait(100000);
    assert_false(fork_amid_call(true));
    tok_gate_set_wait(250000);
}

static int forked_inside;

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void fork_inside(enum mock_function which)
{
    (void)which;
    mock->on_call = NULL;
    forked_inside = child_does(nothing, NULL);
}

TEST(a_thread_that_forks_from_inside_does_not_wait_for_itself)
{
    uint64_t began = clock_us();

    furnish();
    tok_gate_set_wait(20 * SECOND);
    mock->on_call = fork_inside;
    forked_inside = -1;
    assert_int_equal(call(), CKR_OK);
    assert_int_equal(forked_inside, 0);
    assert_true(clock_us() < began + 10 * SECOND);
    tok_gate_set_wait(250000);
}

static _Atomic bool stop;

static void *call_on(void *arg)
{
    while (!stop) {
        if (call() != CKR_OK) {
            return NULL;
        }
    }
    return arg;
}

/* The child's copy of the counter is how it was at the fork. */
static int anybody_inside(void *arg)
{
    (void)arg;
    return inside == 0 ? 0 : 1;
}

static void *fork_often(void *arg)
{
    for (int i = 0; i < 100; i++) {
        if (child_does(anybody_inside, NULL) != 0) {
            return NULL;
        }
    }
    return arg;
}

TEST(threads_that_fork_at_once_each_find_nobody_inside)
{
    pthread_t callers[2];
    pthread_t forkers[2];
    void *answer = NULL;

    furnish();
    tok_gate_set_wait(20 * SECOND);
    mock->on_call = stay_inside;
    stop = false;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&callers[i], NULL, call_on, mock), 0);
        assert_int_equal(pthread_create(&forkers[i], NULL, fork_often, mock), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(forkers[i], &answer), 0);
        assert_ptr_equal(answer, mock);
    }
    stop = true;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(callers[i], &answer), 0);
        assert_ptr_equal(answer, mock);
    }
    mock->on_call = NULL;
    tok_gate_set_wait(250000);
}

static int calls_and_forks(void *arg)
{
    uint64_t began = clock_us();

    (void)arg;
    return call() == CKR_OK && child_does(calls, NULL) == 0 && clock_us() < began + 10 * SECOND ? 0 : 1;
}

static bool is_child;

static void fork_and_go_on(enum mock_function which)
{
    pid_t pid;

    (void)which;
    mock->on_call = NULL;
    fflush(NULL);
    pid = fork();
    is_child = pid == 0;
    if (pid != 0) {
        forked_inside = child_ended(pid);
    }
}

/* As a module does that daemonises: the child returns from the call, makes others, and forks. */
TEST(a_child_that_was_forked_inside_a_module_leaves_it_as_its_parent_would)
{
    furnish();
    tok_gate_set_wait(20 * SECOND);
    mock->on_call = fork_and_go_on;
    forked_inside = -1;
    assert_int_equal(call(), CKR_OK);
    if (is_child) {
        alarm(CHILD_SECONDS);
        child_exit(tok_inside_module() ? 2 : calls_and_forks(NULL));
    }
    assert_int_equal(forked_inside, 0);
    tok_gate_set_wait(250000);
}

static void judge_exit(void)
{
    unsigned before = mock->calls[MOCK_GetInfo];

    child_exit(call() == CKR_CRYPTOKI_NOT_INITIALIZED && mock->calls[MOCK_GetInfo] == before ? 0 : 1);
}

static int exits(void *arg)
{
    (void)arg;
    if (call() != CKR_OK) {
        return 2;
    }
    (void)atexit(judge_exit); /* runs after what is registered behind it */
    process_watch_exit();
    exit(3);
}

TEST(once_exit_has_begun_no_call_is_made)
{
    furnish();
    assert_int_equal(child_does(exits, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_goes_through_and_its_answer_comes_back),
        cmocka_unit_test(a_result_names_the_function_that_failed),
        cmocka_unit_test(a_thread_knows_when_it_is_inside_a_module),
        cmocka_unit_test(a_dead_daemon_does_not_kill_the_process),
        cmocka_unit_test(the_applications_handler_does_not_hear_of_it_and_the_mask_is_as_before),
        cmocka_unit_test(a_signal_that_was_pending_before_stays_pending),
        cmocka_unit_test(holding_nests),
        cmocka_unit_test(a_fork_waits_until_nobody_is_inside_a_module),
        cmocka_unit_test(but_not_for_ever),
        cmocka_unit_test(a_thread_that_forks_from_inside_does_not_wait_for_itself),
        cmocka_unit_test(threads_that_fork_at_once_each_find_nobody_inside),
        cmocka_unit_test(a_child_that_was_forked_inside_a_module_leaves_it_as_its_parent_would),
        cmocka_unit_test(once_exit_has_begun_no_call_is_made),
    };

    return RUN(tests);
}
