#include "unit.h"

#include <fcntl.h>
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
    return atomic_load(&shared_row_of_family(name)->words[word]);
}

static bool add(uint64_t name, size_t word, uint64_t value)
{
    struct shared_row *row = shared_row_of_family(name);

    if (shared_turn_take(name, soon()) != SHARED_TURN) {
        return false;
    }
    atomic_store(&row->words[word], atomic_load(&row->words[word]) + value);
    shared_turn_give(name);
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

static int writes_own(void *arg)
{
    struct shared_row *row = shared_row_of_process(*(uint64_t *)arg);
    bool copied = atomic_load(&row->words[3]) == 5;

    atomic_store(&row->words[3], 6);
    return copied ? 0 : 1;
}

TEST(of_a_process_s_own_row_its_child_gets_a_copy)
{
    uint64_t name = 12;

    atomic_store(&shared_row_of_process(name)->words[3], 5);
    assert_int_equal(child_does(writes_own, &name), 0);
    assert_int_equal(atomic_load(&shared_row_of_process(name)->words[3]), 5);
    assert_int_equal(get(name, 3), 0);
}

static int takes_within_100_ms(void *arg)
{
    uint64_t name = *(uint64_t *)arg;
    uint64_t began = clock_us();

    if (shared_turn_take(name, began + SECOND / 10) != SHARED_BUSY) {
        return 1;
    }
    return clock_us() >= began + SECOND / 10 && shared_turn_holder(name) == (unsigned)getppid() ? 0 : 2;
}

TEST(who_waits_for_a_turn_leaves_at_the_deadline_and_can_say_who_has_it)
{
    uint64_t name = 8;

    assert_int_equal(shared_turn_take(name, soon()), SHARED_TURN);
    assert_int_equal(shared_turn_holder(name), getpid());
    assert_int_equal(child_does(takes_within_100_ms, &name), 0);
    shared_turn_give(name);
    assert_int_equal(shared_turn_holder(name), 0);
    assert_int_equal(shared_turn_take(name, soon()), SHARED_TURN);
    shared_turn_give(name);
}

static void *takes_in_thread(void *arg)
{
    return shared_turn_take(*(uint64_t *)arg, clock_us() + SECOND / 10) == SHARED_BUSY ? arg : NULL;
}

TEST(threads_of_one_process_wait_for_each_other_too)
{
    uint64_t name = 10;
    pthread_t thread;
    void *answer = NULL;

    assert_int_equal(shared_turn_take(name, soon()), SHARED_TURN);
    assert_int_equal(pthread_create(&thread, NULL, takes_in_thread, &name), 0);
    assert_int_equal(pthread_join(thread, &answer), 0);
    assert_ptr_equal(answer, &name);
    shared_turn_give(name);
    assert_true(add(name, 0, 1));
}

static int dies_holding(void *arg)
{
    if (shared_turn_take(*(uint64_t *)arg, soon()) != SHARED_TURN) {
        return 1;
    }
    raise(SIGKILL);
    return 2;
}

TEST(the_turn_of_a_dead_process_is_the_next_one_s)
{
    uint64_t name = 9;

    assert_int_equal(child_does(dies_holding, &name), 128 + SIGKILL);
    assert_true(add(name, 0, 1));
}

static int has_what_its_parent_has(void *arg)
{
    uint64_t name = *(uint64_t *)arg;

    return shared_turn_take(name, clock_us() + SECOND / 10) == SHARED_BUSY ? 0 : 1;
}

static int takes(void *arg)
{
    return add(*(uint64_t *)arg, 1, 1) ? 0 : 1;
}

/* A child's memory says that a thread has the turn, which stayed behind. */
TEST(a_turn_is_not_inherited_nor_given_by_a_child_s_end)
{
    uint64_t name = 13;

    assert_int_equal(shared_turn_take(name, soon()), SHARED_TURN);
    assert_int_equal(child_does(has_what_its_parent_has, &name), 0);
    assert_int_equal(child_does(has_what_its_parent_has, &name), 0); /* the end of the first gave nothing away */
    shared_turn_give(name);
    assert_int_equal(child_does(takes, &name), 0);
}

static int loses_its_descriptors(void *arg)
{
    uint64_t name = *(uint64_t *)arg;
    int other;

    for (int fd = 3; fd < 1024; fd++) {
        close(fd);
    }
    if (shared_turn_take(name, soon()) != SHARED_TURN_ALONE) {
        return 1;
    }
    shared_turn_give(name);
    other = open("/dev/null", O_RDWR); /* what takes the number now is not touched */
    for (int fd = 3; fd < 200; fd++) {
        (void)dup2(other, fd);
    }
    return shared_turn_take(name, soon()) == SHARED_TURN_ALONE && shared_turn_holder(name + 1) == 0 ? 0 : 2;
}

TEST(a_process_that_closed_all_descriptors_is_told_that_it_takes_turns_alone)
{
    uint64_t name = 14;

    assert_int_equal(child_does(loses_its_descriptors, &name), 0);
    assert_true(add(name, 0, 1));
}

static int is_nobody_in_a_chroot(void *arg)
{
    if (geteuid() == 0 && (chroot("/var/empty") != 0 && chroot("/tmp") != 0)) {
        return 1;
    }
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) {
        return 2;
    }
    return takes(arg) + has_what_its_parent_has(&(uint64_t){ 16 });
}

TEST(turns_are_taken_without_rights_and_without_proc)
{
    uint64_t name = 15;

    assert_int_equal(shared_turn_take(16, soon()), SHARED_TURN);
    assert_int_equal(child_does(is_nobody_in_a_chroot, &name), 0);
    shared_turn_give(16);
}

/* Siblings take turns and add one, and are killed wherever they are just then: a thousand times. Nobody waits for a
 * dead one, and what the living did is not lost. */
static void add_until_killed(uint64_t name)
{
    for (;;) {
        (void)add(name, 0, 1);
    }
}

TEST(a_thousand_deaths_at_any_point_keep_nobody_waiting)
{
    uint64_t name = 17;
    uint64_t random = 88172645463325252U;
    pid_t pids[4] = { 0 };
    uint64_t busy = 0;

    for (unsigned death = 0; death < 1000; death++) {
        pid_t *pid = &pids[death % 4];

        if (*pid != 0) {
            kill(*pid, SIGKILL);
            assert_int_equal(child_ended(*pid), 128 + SIGKILL);
        }
        fflush(NULL);
        *pid = fork();
        if (*pid == 0) {
            alarm(CHILD_SECONDS);
            add_until_killed(name);
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        clock_sleep_us(random % 1500);
        busy += shared_turn_take(name, soon()) != SHARED_TURN;
        shared_turn_give(name);
    }
    for (size_t i = 0; i < 4; i++) {
        kill(pids[i], SIGKILL);
        assert_int_equal(child_ended(pids[i]), 128 + SIGKILL);
    }
    assert_int_equal(busy, 0);
    assert_true(get(name, 0) > 1000);
    assert_true(add(name, 1, 1));
}

static int adds_many(void *arg)
{
    for (int i = 0; i < 100; i++) {
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
    assert_int_equal(get(name, 3), 16 * 100);
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
    assert_true(shared_row_of_family(name) == shared_row_of_family(name + SHARED_ROWS));
}

/* Every word of the family's memory, again and again. The name is a multiple of SHARED_ROWS: its row is the first. */
static int scribbles(void *arg)
{
    struct shared_row *first = shared_row_of_family(*(uint64_t *)arg);
    uint64_t random = (uint64_t)getpid() * 0x9e3779b97f4a7c15U;

    for (unsigned round = 0; round < 200; round++) {
        for (size_t i = 0; i < SHARED_ROWS * sizeof(*first) / sizeof(uint64_t); i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            atomic_store((_Atomic uint64_t *)first + i, round % 3 == 0 ? UINT64_MAX : random);
        }
    }
    return 0;
}

/* A child of its own, since names stay. */
static int lives_with_a_scribbler(void *arg)
{
    static uint64_t canary[512];
    const struct shared_row *first = shared_row_of_family(*(uint64_t *)arg);
    pid_t pid;

    memset(canary, 0x5a, sizeof(canary));
    pid = fork();
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        child_exit(scribbles(arg));
    }
    for (uint64_t name = 1; name < 2000; name++) {
        struct shared_row *row = shared_row_of_family(name * 0x9e3779b9);

        if (row < first || row >= first + SHARED_ROWS) {
            return 3;
        }
        atomic_store(&row->words[name % SHARED_WORDS], name);
        if (shared_turn_take(name, soon()) != SHARED_TURN) {
            return 1;
        }
        shared_turn_give(name);
    }
    for (size_t i = 0; i < COUNT_OF(canary); i++) {
        if (canary[i] != 0x5a5a5a5a5a5a5a5aU) {
            return 2;
        }
    }
    return child_ended(pid);
}

TEST(who_overwrites_all_that_is_shared_keeps_nobody_from_a_turn)
{
    uint64_t name = SHARED_ROWS;

    assert_int_equal(child_does(lives_with_a_scribbler, &name), 0);
    assert_true(add(name, 1, 1)); /* nor those that come later */
}

/* A program of its own, since memory is made once: with none to map, the rows are private; turns are the kernel's. */
static int is_private(void)
{
    struct rlimit none = { 0, 0 };
    uint64_t name = 5;

    if (SANITIZED) { /* whose run-time maps memory all the time */
        return 0;
    }
    if (setrlimit(RLIMIT_AS, &none) != 0 || shared_is_shared()) {
        return 1;
    }
    if (shared_turn_take(name, soon()) != SHARED_TURN || child_does(has_what_its_parent_has, &name) != 0) {
        return 2;
    }
    shared_turn_give(name);
    return child_does(takes, &name) == 0 && get(name, 1) == 0 ? 0 : 3;
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
        cmocka_unit_test(of_a_process_s_own_row_its_child_gets_a_copy),
        cmocka_unit_test(who_waits_for_a_turn_leaves_at_the_deadline_and_can_say_who_has_it),
        cmocka_unit_test(threads_of_one_process_wait_for_each_other_too),
        cmocka_unit_test(the_turn_of_a_dead_process_is_the_next_one_s),
        cmocka_unit_test(a_turn_is_not_inherited_nor_given_by_a_child_s_end),
        cmocka_unit_test(a_process_that_closed_all_descriptors_is_told_that_it_takes_turns_alone),
        cmocka_unit_test(turns_are_taken_without_rights_and_without_proc),
        cmocka_unit_test(a_thousand_deaths_at_any_point_keep_nobody_waiting),
        cmocka_unit_test(no_addition_of_sixteen_processes_is_lost),
        cmocka_unit_test(hashes_are_the_same_in_a_child_and_differ_by_what_they_are_about),
        cmocka_unit_test(more_names_than_rows_share_them),
        cmocka_unit_test(who_overwrites_all_that_is_shared_keeps_nobody_from_a_turn),
        cmocka_unit_test(without_memory_to_share_each_process_has_rows_of_its_own),
    };

    if (argc == 2 && strcmp(argv[1], "private") == 0) {
        return is_private();
    }
    return RUN(tests);
}
