#include "unit.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/fork.h"
#include "child.h"

static unsigned seen_by_handler;
static char order[64]; /* of what ran */

static void note_generation(void)
{
    seen_by_handler = fork_generation();
}

/* Small letters before a fork, capitals after it. */
#define NOTES(name, before, after)                                                                                     \
    static void before_##name(void)                                                                                    \
    {                                                                                                                  \
        strcat(order, before);                                                                                         \
    }                                                                                                                  \
    static void after_##name(void)                                                                                     \
    {                                                                                                                  \
        strcat(order, after);                                                                                          \
    }
NOTES(gate, "g", "G")
NOTES(registry, "r", "R")
NOTES(keys, "k", "K")
NOTES(crew, "c", "C")

static int first_child(void *arg)
{
    (void)arg;
    return seen_by_handler == 2 && fork_generation() == 2 ? 0 : 1;
}

/* This test must be the first: nobody has asked for the generation yet. */
TEST(a_child_handler_sees_the_new_generation_even_if_nobody_asked_before)
{
    fork_handlers(FORK_ARENA, NULL, NULL, note_generation);
    assert_int_equal(child_does(first_child, NULL), 0);
}

TEST(the_generation_starts_at_one)
{
    assert_int_equal(fork_generation(), 1);
    assert_int_equal(fork_generation(), 1);
}

static int tells_generation(void *arg)
{
    (void)arg;
    return (int)fork_generation();
}

static int tells_childs_generation(void *arg)
{
    return child_does(tells_generation, arg);
}

TEST(each_fork_is_one_step)
{
    assert_int_equal(child_does(tells_generation, NULL), 2);
    assert_int_equal(child_does(tells_childs_generation, NULL), 3);
    assert_int_equal(fork_generation(), 1); /* the parent stays what it was */
}

/* A clone that runs no handlers, as some runtimes make it. */
TEST(a_bare_clone_is_noticed_by_its_process_id)
{
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0) {
        unsigned first = fork_generation();

        child_exit(first == 2 && fork_generation() == 2 ? 0 : 1);
    }
    assert_int_equal(child_ended(pid), 0);
    assert_int_equal(fork_generation(), 1);
}

static int order_is(void *expected)
{
    return strcmp(order, expected) == 0 ? 0 : 1;
}

TEST(handlers_run_in_the_order_of_their_ranks_whoever_came_first)
{
    fork_handlers(FORK_CREW, before_crew, after_crew, after_crew);
    fork_handlers(FORK_REGISTRY, before_registry, after_registry, after_registry);
    fork_handlers(FORK_KEYS, before_keys, after_keys, after_keys);
    fork_handlers(FORK_GATE, before_gate, after_gate, after_gate);
    assert_int_equal(child_does(order_is, "grkcCKRG"), 0);
    assert_string_equal(order, "grkcCKRG");
}

TEST(each_rank_has_one_owner_who_may_come_again)
{
    fork_handlers(FORK_KEYS, before_keys, after_keys, after_keys);
    fork_handlers(FORK_CREW, NULL, NULL, NULL);
    order[0] = '\0';
    assert_int_equal(child_does(order_is, "grkKRG"), 0);
    assert_string_equal(order, "grkKRG");
}

static struct lock held;

static int takes_it(void *arg)
{
    (void)arg;
    return pthread_mutex_trylock(&held.mutex);
}

static bool is_held;

static void look_whether_held(void)
{
    is_held = pthread_mutex_trylock(&held.mutex) != 0;
}

TEST(a_lock_is_held_around_a_fork_and_new_in_the_child)
{
    fork_lock(FORK_PINS, &held, NULL);
    fork_handlers(FORK_BELLS, look_whether_held, NULL, NULL);
    assert_int_equal(child_does(takes_it, NULL), 0);
    assert_true(is_held);
    assert_int_equal(takes_it(NULL), 0);
    lock_give(&held);
    fork_handlers(FORK_BELLS, NULL, NULL, NULL);
}

static void registers_at_the_gate(void)
{
    fork_handlers(FORK_CREW, before_crew, after_crew, after_crew);
}

TEST(who_registers_while_a_fork_waits_at_the_gate_is_asked_for_it)
{
    fork_handlers(FORK_GATE, registers_at_the_gate, NULL, NULL);
    order[0] = '\0';
    assert_int_equal(child_does(order_is, "rkcCKR"), 0);
    assert_string_equal(order, "rkcCKR");
}

static pthread_t late;

static void *registers_a_gate(void *arg)
{
    fork_handlers(FORK_GATE, before_gate, after_gate, after_gate);
    return arg;
}

static void starts_one_who_registers_a_gate(void)
{
    (void)pthread_create(&late, NULL, registers_a_gate, NULL);
}

TEST(a_gate_that_comes_too_late_for_a_fork_is_not_opened_after_it)
{
    fork_handlers(FORK_GATE, NULL, NULL, NULL);
    fork_handlers(FORK_CREW, starts_one_who_registers_a_gate, NULL, NULL);
    order[0] = '\0';
    assert_int_equal(child_does(order_is, "rkKR"), 0);
    assert_int_equal(pthread_join(late, NULL), 0);
    assert_string_equal(order, "rkKR");
    fork_handlers(FORK_CREW, NULL, NULL, NULL);
    order[0] = '\0';
    assert_int_equal(child_does(order_is, "grkKRG"), 0);
    assert_string_equal(order, "grkKRG");
}

static bool marked_early;
static bool marked_late;

static void look_early(void)
{
    marked_early = process_exiting();
}

/* Registered first, so it runs last, as the destructors of a module would. */
static void judge(void)
{
    marked_late = process_exiting();
    child_exit(!marked_early && marked_late ? 0 : 1);
}

static int exits(void *arg)
{
    (void)arg;
    if (process_exiting()) {
        return 2;
    }
    (void)atexit(judge);
    process_watch_exit();
    (void)atexit(look_early);
    exit(3);
}

TEST(exit_is_marked_before_what_was_registered_before_the_watch)
{
    assert_int_equal(child_does(exits, NULL), 0);
    assert_false(process_exiting());
}

static void judge_late_only(void)
{
    child_exit(process_exiting() ? 0 : 1);
}

static int watches_often(void *arg)
{
    (void)arg;
    (void)atexit(judge_late_only);
    for (int i = 0; i < 1000; i++) {
        process_watch_exit();
    }
    exit(3);
}

TEST(watching_a_thousand_times_is_as_good_as_once)
{
    assert_int_equal(child_does(watches_often, NULL), 0);
}

static void *ask_often(void *arg)
{
    for (int i = 0; i < 10000; i++) {
        if (fork_generation() != 2) {
            return "another generation";
        }
    }
    return arg;
}

TEST(threads_of_a_bare_clone_agree_on_one_step)
{
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0) {
        pthread_t threads[4];
        int wrong = 0;

        for (size_t i = 0; i < 4; i++) {
            wrong += pthread_create(&threads[i], NULL, ask_often, NULL) != 0;
        }
        for (size_t i = 0; i < 4; i++) {
            void *answer = NULL;

            wrong += pthread_join(threads[i], &answer) != 0 || answer != NULL;
        }
        child_exit(wrong);
    }
    assert_int_equal(child_ended(pid), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_handler_sees_the_new_generation_even_if_nobody_asked_before),
        cmocka_unit_test(the_generation_starts_at_one),
        cmocka_unit_test(each_fork_is_one_step),
        cmocka_unit_test(a_bare_clone_is_noticed_by_its_process_id),
        cmocka_unit_test(handlers_run_in_the_order_of_their_ranks_whoever_came_first),
        cmocka_unit_test(each_rank_has_one_owner_who_may_come_again),
        cmocka_unit_test(a_lock_is_held_around_a_fork_and_new_in_the_child),
        cmocka_unit_test(who_registers_while_a_fork_waits_at_the_gate_is_asked_for_it),
        cmocka_unit_test(a_gate_that_comes_too_late_for_a_fork_is_not_opened_after_it),
        cmocka_unit_test(exit_is_marked_before_what_was_registered_before_the_watch),
        cmocka_unit_test(watching_a_thousand_times_is_as_good_as_once),
        cmocka_unit_test(threads_of_a_bare_clone_agree_on_one_step),
    };

    return RUN(tests);
}
