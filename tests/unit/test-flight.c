#include "unit.h"

#include <pthread.h>
#include <string.h>

#include "base/flight.h"
#include "child.h"

#define SECOND UINT64_C(1000000)

static struct lock lock;
static struct flight flight;
static _Atomic(const char *) inside;
static _Atomic unsigned waiting;

static void furnish(void)
{
    lock_init(&lock);
    atomic_store(&inside, "C_Initialize");
    waiting = 0;
    LOCKED(&lock);
    flight_begin(&flight, &inside);
}

/* Waits as all users do: good (NULL) once it is off. */
static const char *waited(uint64_t deadline_us, char *room, size_t size)
{
    struct text why = text_over(room, size);

    LOCKED(&lock);
    waiting++;
    while (flight.on) {
        if (!flight_wait(&flight, &lock, deadline_us) && flight.on) {
            flight_late(&flight, &why);
            return room;
        }
    }
    return NULL;
}

static void *wait_long(void *arg)
{
    char why[100];

    return waited(clock_us() + 60 * SECOND, why, sizeof(why)) == NULL ? arg : NULL;
}

/* As if it had begun earlier. */
static void age(uint64_t us)
{
    LOCKED(&lock);
    flight.since_us -= us;
}

TEST(all_who_wait_go_on_when_it_ends)
{
    pthread_t threads[4];

    furnish();
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, wait_long, &lock), 0);
    }
    while (waiting < 4) {
        clock_sleep_us(1000);
    }
    {
        LOCKED(&lock);
        flight_end(&flight, &lock);
    }
    for (size_t i = 0; i < 4; i++) {
        void *answer = NULL;

        assert_int_equal(pthread_join(threads[i], &answer), 0);
        assert_ptr_equal(answer, &lock);
    }
}

TEST(who_leaves_at_the_deadline_says_for_which_call)
{
    char why[100];

    furnish();
    age(3 * SECOND / 2);
    assert_non_null(waited(clock_us(), why, sizeof(why)));
    assert_string_equal(why, "C_Initialize, called by another thread 1.5 s ago, has not returned");
    atomic_store(&inside, "C_Login"); /* a later one of the same thread's */
    assert_non_null(waited(clock_us(), why, sizeof(why)));
    assert_non_null(strstr(why, "C_Login, called by another thread "));
    atomic_store(&inside, NULL);
    assert_non_null(waited(clock_us(), why, sizeof(why)));
    assert_non_null(strstr(why, "another thread began with it "));
}

TEST(after_the_first_who_waited_in_vain_nobody_waits_for_that_one)
{
    char why[100];

    furnish();
    age(SECOND);
    assert_non_null(waited(clock_us(), why, sizeof(why)));
    alarm(CHILD_SECONDS); /* instead of a time that is measured */
    assert_non_null(waited(clock_us() + 3600 * SECOND, why, sizeof(why)));
    alarm(0);
}

TEST(one_that_has_only_begun_is_waited_for_by_the_next)
{
    char why[100];

    furnish();
    assert_non_null(waited(clock_us(), why, sizeof(why)));
    LOCKED(&lock);
    assert_true(!flight.late || clock_us() - flight.since_us >= SECOND / 10); /* on a machine that slow it may be */
}

TEST(the_next_one_starts_with_a_clean_sheet)
{
    char why[100];

    furnish();
    age(SECOND);
    assert_non_null(waited(clock_us(), why, sizeof(why)));
    LOCKED(&lock);
    flight_end(&flight, &lock);
    assert_false(flight.on);
    flight_begin(&flight, &inside);
    assert_true(flight.on);
    assert_false(flight.late);
}

/* In the child of a fork, which forgot it, the thread that was inside comes back. */
TEST(ending_one_that_is_off_does_nothing)
{
    furnish();
    LOCKED(&lock);
    flight_end(&flight, &lock);
    flight_end(&flight, &lock);
    assert_false(flight.on);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_who_wait_go_on_when_it_ends),
        cmocka_unit_test(who_leaves_at_the_deadline_says_for_which_call),
        cmocka_unit_test(after_the_first_who_waited_in_vain_nobody_waits_for_that_one),
        cmocka_unit_test(one_that_has_only_begun_is_waited_for_by_the_next),
        cmocka_unit_test(the_next_one_starts_with_a_clean_sheet),
        cmocka_unit_test(ending_one_that_is_off_does_nothing),
    };

    return RUN(tests);
}
