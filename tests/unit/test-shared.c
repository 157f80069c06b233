#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/lock.h"
#include "base/shared.h"
#include "child.h"

#define SECOND UINT64_C(1000000)

static uint64_t soon(void)
{
    return clock_us() + 20 * SECOND;
}

static uint64_t get(uint64_t name, size_t word)
{
    return atomic_load(&shared_row_look(name)->words[word]);
}

static bool add(uint64_t name, size_t word, uint64_t value)
{
    struct shared_row *row;

    if (shared_row_take(&row, name, soon()) == SHARED_BUSY) {
        return false;
    }
    atomic_store(&row->words[word], atomic_load(&row->words[word]) + value);
    shared_row_give(row);
    return true;
}

static int adds(void *arg)
{
    return add(*(uint64_t *)arg, 3, 1) ? 0 : 1;
}

static int adds_in_grandchild(void *arg)
{
    return child_does(adds, arg);
}

TEST(what_a_child_or_a_grandchild_writes_is_seen_by_all)
{
    uint64_t name = 7;

    assert_true(shared_is_shared());
    assert_int_equal(get(name, 3), 0);
    assert_int_equal(child_does(adds, &name), 0);
    assert_int_equal(child_does(adds_in_grandchild, &name), 0);
    assert_int_equal(get(name, 3), 2);
    assert_int_equal(get(name + 1, 3), 0); /* another name, another row */
}

/* The next free row serves a name whose place is taken. */
TEST(names_that_fall_on_one_place_have_rows_of_their_own)
{
    assert_true(add(100, 0, 1));
    assert_true(add(100 + SHARED_ROWS, 0, 2));
    assert_int_equal(get(100, 0), 1);
    assert_int_equal(get(100 + SHARED_ROWS, 0), 2);
}

TEST(a_child_finds_the_row_of_its_parents_name_and_the_parent_that_of_its_child)
{
    uint64_t name = 4711;

    assert_int_equal(child_does(adds, &name), 0);
    assert_int_equal(get(name, 3), 1);
    assert_int_equal(child_does(adds, &name), 0);
    assert_int_equal(get(name, 3), 2);
}

static int takes_within_100_ms(void *arg)
{
    struct shared_row *row;
    uint64_t began = clock_us();
    uint64_t ms;

    if (shared_row_take(&row, *(uint64_t *)arg, began + SECOND / 10) != SHARED_BUSY) {
        return 1;
    }
    if (clock_us() < began + SECOND / 10 || clock_us() > began + 10 * SECOND) {
        return 2;
    }
    return shared_row_holder(row, &ms) == (unsigned)getppid() && ms >= 50 ? 0 : 3;
}

TEST(who_waits_for_a_row_leaves_at_the_deadline_and_can_say_who_has_it)
{
    struct shared_row *row;
    uint64_t name = 8;
    uint64_t ms;

    assert_int_equal(shared_row_take(&row, name, soon()), SHARED_TAKEN);
    assert_int_equal(child_does(takes_within_100_ms, &name), 0);
    shared_row_give(row);
    assert_int_equal(shared_row_holder(row, &ms), 0);
    assert_int_equal(shared_row_take(&row, name, soon()), SHARED_TAKEN);
    shared_row_give(row);
}

static int dies_holding(void *arg)
{
    struct shared_row *row;

    if (shared_row_take(&row, *(uint64_t *)arg, soon()) != SHARED_TAKEN) {
        return 1;
    }
    atomic_store(&row->words[0], 99);
    raise(SIGKILL);
    return 2;
}

TEST(the_row_of_a_dead_process_goes_to_the_next_one_who_is_told)
{
    struct shared_row *row;
    uint64_t name = 9;

    assert_int_equal(child_does(dies_holding, &name), 128 + SIGKILL);
    assert_int_equal(shared_row_take(&row, name, soon()), SHARED_TAKEN_FROM_DEAD);
    assert_int_equal(atomic_load(&row->words[0]), 99); /* as it left it */
    shared_row_give(row);
    assert_int_equal(shared_row_take(&row, name, soon()), SHARED_TAKEN); /* told once */
    shared_row_give(row);
}

static void *end_holding(void *arg)
{
    struct shared_row *row;

    return shared_row_take(&row, *(uint64_t *)arg, soon()) == SHARED_TAKEN ? arg : NULL;
}

TEST(so_does_that_of_a_thread_that_ended)
{
    struct shared_row *row;
    uint64_t name = 10;
    pthread_t thread;
    void *answer = NULL;

    assert_int_equal(pthread_create(&thread, NULL, end_holding, &name), 0);
    assert_int_equal(pthread_join(thread, &answer), 0);
    assert_ptr_equal(answer, &name);
    assert_int_equal(shared_row_take(&row, name, soon()), SHARED_TAKEN_FROM_DEAD);
    shared_row_give(row);
}

static int adds_many(void *arg)
{
    for (int i = 0; i < 500; i++) {
        if (adds(arg) != 0) {
            return 1;
        }
    }
    return 0;
}

TEST(no_addition_of_sixteen_processes_is_lost)
{
    uint64_t name = 11;
    pid_t pids[16];

    fflush(NULL);
    for (size_t i = 0; i < 16; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            alarm(CHILD_SECONDS);
            child_exit(adds_many(&name));
        }
    }
    for (size_t i = 0; i < 16; i++) {
        assert_int_equal(child_ended(pids[i]), 0);
    }
    assert_int_equal(get(name, 3), 16 * 500);
}

static int tells_hash(void *arg)
{
    return shared_hash(1, "1234", 4) == *(uint64_t *)arg ? 0 : 1;
}

TEST(hashes_are_the_same_in_a_child_and_differ_by_what_they_are_about)
{
    uint64_t hash = shared_hash(1, "1234", 4);

    assert_int_equal(child_does(tells_hash, &hash), 0);
    assert_true(hash != shared_hash(2, "1234", 4));
    assert_true(hash != shared_hash(1, "1235", 4));
}

static int crowds(void *arg)
{
    (void)arg;
    for (uint64_t name = 1; name <= 3 * SHARED_ROWS; name++) {
        if (!add(name * 0x9e3779b9, 5, 1)) {
            return 1;
        }
    }
    return 0;
}

/* Last but one: the names stay. */
TEST(more_names_than_rows_share_them)
{
    uint64_t name = 1000003;

    assert_int_equal(child_does(crowds, NULL), 0);
    assert_true(add(name, 6, 1));
    assert_int_equal(get(name, 6), 1);
    assert_true(shared_row_look(name) == shared_row_look(name + SHARED_ROWS));
}

/* A program of its own, since pages are made once: with no memory to map, the rows are private, and a fork gives the
 * child new locks while another thread holds the old one. */
static int is_private(void)
{
    struct rlimit none = { 0, 0 };
    struct shared_row *row;
    pid_t pid;

    if (SANITIZED) { /* whose run-time maps memory all the time */
        return 0;
    }
    if (setrlimit(RLIMIT_AS, &none) != 0 || shared_is_shared()) {
        return 1;
    }
    if (shared_row_take(&row, 5, soon()) != SHARED_TAKEN) {
        return 2;
    }
    pid = fork();
    if (pid == 0) {
        child_exit(shared_row_take(&row, 5, clock_us() + SECOND) == SHARED_TAKEN ? 0 : 3);
    }
    shared_row_give(row);
    return child_ended(pid);
}

TEST(without_memory_to_share_each_process_has_rows_of_its_own)
{
    assert_int_equal(system("/proc/$PPID/exe private"), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_child_or_a_grandchild_writes_is_seen_by_all),
        cmocka_unit_test(names_that_fall_on_one_place_have_rows_of_their_own),
        cmocka_unit_test(a_child_finds_the_row_of_its_parents_name_and_the_parent_that_of_its_child),
        cmocka_unit_test(who_waits_for_a_row_leaves_at_the_deadline_and_can_say_who_has_it),
        cmocka_unit_test(the_row_of_a_dead_process_goes_to_the_next_one_who_is_told),
        cmocka_unit_test(so_does_that_of_a_thread_that_ended),
        cmocka_unit_test(no_addition_of_sixteen_processes_is_lost),
        cmocka_unit_test(hashes_are_the_same_in_a_child_and_differ_by_what_they_are_about),
        cmocka_unit_test(more_names_than_rows_share_them),
        cmocka_unit_test(without_memory_to_share_each_process_has_rows_of_its_own),
    };

    if (argc == 2 && strcmp(argv[1], "private") == 0) {
        return is_private();
    }
    return RUN(tests);
}
