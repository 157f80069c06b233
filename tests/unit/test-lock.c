#include "unit.h"

#include <signal.h>
#include <sys/time.h>

#include "base/lock.h"
#include "base/pause.h"

#define MS 1000u

static struct lock lock;
static int shared;

static bool is_free(void)
{
    bool taken = pthread_mutex_trylock(&lock.mutex) == 0;

    if (taken) {
        lock_give(&lock);
    }
    return taken;
}

static void *tell_is_free(void *arg)
{
    *(bool *)arg = is_free();
    return NULL;
}

/* As another thread sees it. */
static bool others_may_take(void)
{
    pthread_t thread;
    bool answer = false;

    assert_int_equal(pthread_create(&thread, NULL, tell_is_free, &answer), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    return answer;
}

TEST(a_scope_holds_its_lock_to_its_end)
{
    lock_init(&lock);
    {
        LOCKED(&lock);
        assert_false(others_may_take());
    }
    assert_true(others_may_take());
    lock_end(&lock);
}

static int returns_early(void)
{
    LOCKED(&lock);
    return 1;
}

TEST(an_early_return_gives_the_lock_back)
{
    lock_init(&lock);
    assert_int_equal(returns_early(), 1);
    assert_true(others_may_take());
    lock_end(&lock);
}

static void *count_up(void *arg)
{
    for (int i = 0; i < 20000; i++) {
        LOCKED(&lock);
        shared++;
    }
    return arg;
}

TEST(one_thread_at_a_time)
{
    pthread_t threads[4];

    lock_init(&lock);
    shared = 0;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(shared, 80000);
    lock_end(&lock);
}

TEST(a_deadline_in_the_past_does_not_wait)
{
    uint64_t began = clock_us();

    lock_init(&lock);
    lock_take(&lock);
    assert_false(lock_wait(&lock, began - 1));
    assert_false(lock_wait(&lock, 0));
    assert_true(clock_us() < began + 5000 * MS);
    lock_give(&lock);
    lock_end(&lock);
}

static void *announce(void *arg)
{
    clock_sleep_us(20 * MS);
    LOCKED(&lock);
    shared = 1;
    lock_wake(&lock);
    return arg;
}

TEST(a_deadline_that_never_comes_is_no_overflow)
{
    pthread_t thread;

    lock_init(&lock);
    shared = 0;
    assert_int_equal(pthread_create(&thread, NULL, announce, NULL), 0);
    {
        LOCKED(&lock);
        while (shared == 0) {
            assert_true(lock_wait(&lock, UINT64_MAX));
        }
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    lock_end(&lock);
}

TEST(the_clock_never_goes_back)
{
    uint64_t before = clock_us();

    for (int i = 0; i < 10000; i++) {
        uint64_t now = clock_us();

        assert_true(now >= before);
        before = now;
    }
}

static volatile sig_atomic_t interruptions;

static void on_signal(int number)
{
    (void)number;
    interruptions++;
}

TEST(a_sleep_goes_on_after_signals)
{
    struct sigaction action = { .sa_handler = on_signal };
    struct itimerval every_5_ms = { { 0, 5000 }, { 0, 5000 } };
    struct itimerval never = { { 0, 0 }, { 0, 0 } };
    uint64_t began = clock_us();

    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &every_5_ms, NULL), 0);
    clock_sleep_us(60 * MS);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_true(clock_us() >= began + 60 * MS);
    assert_true(interruptions > 0);
}

static struct lock_signal signals[2];
static int woken[2];

static void *wait_for_signal(void *arg)
{
    size_t which = (size_t)(uintptr_t)arg;

    LOCKED(&lock);
    while (shared != (int)which + 1 && lock_signal_wait(&signals[which], &lock, clock_us() + 20 * 1000 * MS)) {
    }
    woken[which]++;
    return NULL;
}

TEST(pauses_double_up_to_the_longest)
{
    static const uint64_t expected[] = { 10, 20, 40, 80, 160, 200, 200 };
    uint64_t pause_us = 0;

    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        pause_us = pause_after(pause_us, &pauses_to_wait);
        assert_int_equal(pause_us, expected[i] * MS);
    }
    assert_int_equal(pause_after(200 * MS, &pauses_to_probe), 1000 * MS); /* after one of another kind */
}

TEST(a_signal_of_its_own_wakes_one_waiter_alone)
{
    pthread_t threads[2];

    lock_init(&lock);
    shared = 0;
    for (size_t i = 0; i < 2; i++) {
        lock_signal_init(&signals[i]);
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_signal, (void *)(uintptr_t)i), 0);
    }
    for (size_t i = 2; i-- > 0;) {
        LOCKED(&lock);
        shared = (int)i + 1;
        lock_signal_send(&signals[i]);
        lock_wake(&lock); /* nobody waits for this one */
        lock_give(&lock);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        lock_take(&lock);
        assert_int_equal(woken[i], 1);
        assert_int_equal(woken[0] + woken[1], 2 - (int)i);
    }
    lock_signal_end(&signals[0]);
    lock_signal_end(&signals[1]);
    lock_end(&lock);
}

TEST(a_wait_for_a_signal_ends_at_the_deadline)
{
    uint64_t began = clock_us();

    lock_init(&lock);
    lock_signal_init(&signals[0]);
    {
        LOCKED(&lock);
        while (lock_signal_wait(&signals[0], &lock, began + 50 * MS)) {
        }
        assert_false(others_may_take());
    }
    assert_true(clock_us() >= began + 50 * MS);
    lock_signal_end(&signals[0]);
    lock_end(&lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scope_holds_its_lock_to_its_end),
        cmocka_unit_test(an_early_return_gives_the_lock_back),
        cmocka_unit_test(one_thread_at_a_time),
        cmocka_unit_test(a_deadline_in_the_past_does_not_wait),
        cmocka_unit_test(a_deadline_that_never_comes_is_no_overflow),
        cmocka_unit_test(the_clock_never_goes_back),
        cmocka_unit_test(a_sleep_goes_on_after_signals),
        cmocka_unit_test(pauses_double_up_to_the_longest),
        cmocka_unit_test(a_signal_of_its_own_wakes_one_waiter_alone),
        cmocka_unit_test(a_wait_for_a_signal_ends_at_the_deadline),
    };

    return RUN(tests);
}
