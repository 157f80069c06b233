#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/secret.h"
#include "child.h"

/* Whether the limit leaves room for a few maps. */
static bool may_lock(void)
{
    struct rlimit limit;

    return geteuid() == 0 || (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur >= 64 * 1024);
}

TEST(a_secret_is_kept_locked_and_terminated)
{
    SCOPED(secret_end) struct secret pin = { 0 };

    assert_true(secret_set(&pin, "1234", 4));
    assert_int_equal(pin.len, 4);
    assert_int_equal(pin.data[4], 0);
    assert_true(secret_locked() || !may_lock());
}

TEST(an_ended_secret_is_wiped)
{
    struct secret pin = { 0 };
    const uint8_t *was;

    assert_true(secret_set(&pin, "topsecret", 9));
    was = pin.data; /* the arena keeps its pages, so that they may be looked at */
    secret_end(&pin);
    for (size_t i = 0; i < 9; i++) {
        assert_int_equal(was[i], 0);
    }
    assert_false(secret_exists(&pin));
}

TEST(an_empty_secret_exists)
{
    SCOPED(secret_end) struct secret pin = { 0 };

    assert_true(secret_set(&pin, "", 0));
    assert_true(secret_exists(&pin));
}

TEST(secrets_are_compared_by_length_and_content)
{
    SCOPED(secret_end) struct secret a = { 0 };
    SCOPED(secret_end) struct secret b = { 0 };

    assert_true(secret_set(&a, "1234", 4) && secret_set(&b, "1234", 4));
    assert_true(secret_equal(&a, &b));
    assert_true(secret_set(&b, "12345", 5));
    assert_false(secret_equal(&a, &b));
    secret_end(&b);
    assert_false(secret_equal(&a, &b));
}

TEST(a_shortened_secret_gives_room_back_and_keeps_the_rest)
{
    SCOPED(secret_end) struct secret big = { 0 };
    SCOPED(secret_end) struct secret other = { 0 };

    assert_true(secret_new(&big, 4000));
    memcpy(big.data, "pin", 3);
    secret_shorten(&big, 3);
    assert_true(secret_new(&other, 3000));
    memset(other.data, 0xff, other.len);
    assert_string_equal((char *)big.data, "pin");
}

TEST(many_and_large_secrets_do_not_touch_each_other)
{
    struct secret all[300] = { { 0 } };

    for (size_t i = 0; i < COUNT_OF(all); i++) {
        assert_true(secret_new(&all[i], i * 97 % 5000));
        memset(all[i].data, (int)i, all[i].len);
    }
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        for (size_t j = 0; j < all[i].len; j++) {
            assert_int_equal(all[i].data[j], (uint8_t)i);
        }
        assert_int_equal(all[i].data[all[i].len], 0);
        secret_end(&all[i]);
    }
}

/* The exit status of a child that runs `check`. */
static int in_child(int (*check)(struct secret *), struct secret *secret)
{
    int status = -1;
    pid_t child = fork();

    if (child == 0) {
        _exit(check(secret));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int child_has_it(struct secret *secret)
{
    struct secret another = { 0 };

    return secret->len == 4 && memcmp(secret->data, "1234", 4) == 0 && (secret_locked() || !may_lock()) &&
                   secret_set(&another, "x", 1)
               ? 0
               : 1;
}

TEST(a_child_has_the_secret_and_locks_it_again)
{
    SCOPED(secret_end) struct secret pin = { 0 };

    assert_true(secret_set(&pin, "1234", 4));
    assert_int_equal(in_child(child_has_it, &pin), 0);
}

/* As an ordinary user, since root may lock what it likes. */
static int child_without_right(struct secret *secret)
{
    struct rlimit none = { 0, 0 };
    struct secret big = { 0 };

    (void)secret;
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (geteuid() == 0 && seteuid(65534) != 0)) {
        return 2;
    }
    return secret_new(&big, 100000) && !secret_locked() ? 0 : 1;
}

TEST(a_secret_that_may_not_be_locked_is_kept_all_the_same_and_told)
{
    struct secret none = { 0 };

    if (SANITIZED) {
        NOT_HERE("the sanitizer's mlock never fails");
    }
    assert_int_equal(in_child(child_without_right, &none), 0);
}

static bool all_zero(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] != 0) {
            return false;
        }
    }
    return true;
}

static bool secret_is(const struct secret *secret, const char *text)
{
    return secret_exists(secret) && secret->len == strlen(text) && strcmp((char *)secret->data, text) == 0;
}

/* Whether the kernel's flags of the map around `data` have the two letters. */
static bool map_has_flag(const void *data, const char *flag)
{
    FILE *smaps = fopen("/proc/self/smaps", "r");
    char line[512];
    bool inside = false;
    bool found = false;

    while (smaps != NULL && fgets(line, sizeof(line), smaps) != NULL) {
        unsigned long start;
        unsigned long end;

        if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
            inside = (unsigned long)data >= start && (unsigned long)data < end;
        }
        found = found || (inside && strncmp(line, "VmFlags:", 8) == 0 && strstr(line, flag) != NULL);
    }
    if (smaps != NULL) {
        fclose(smaps);
    }
    return found;
}

TEST(a_secret_can_be_set_from_a_part_of_itself)
{
    SCOPED(secret_end) struct secret secret = { 0 };

    assert_true(secret_set(&secret, "abcdef", 6));
    assert_true(secret_set(&secret, secret.data + 2, 3));
    assert_true(secret_is(&secret, "cde"));
}

TEST(what_is_replaced_is_wiped)
{
    SCOPED(secret_end) struct secret secret = { 0 };
    const uint8_t *where;

    assert_true(secret_set(&secret, "the first", 9));
    where = secret.data;
    assert_true(secret_set(&secret, "the second", 10));
    assert_true(where != secret.data);
    assert_true(all_zero(where, 9));
}

TEST(shortening_wipes_the_rest)
{
    SCOPED(secret_end) struct secret secret = { 0 };

    assert_true(secret_new(&secret, 1000));
    memset(secret.data, 'x', 1000);
    secret_shorten(&secret, 3);
    assert_true(secret_is(&secret, "xxx"));
    assert_true(all_zero(secret.data + 3, 997));
}

TEST(a_big_secret_has_a_map_of_its_own_which_goes_with_it)
{
    struct secret secret = { 0 };
    unsigned char resident;
    uint8_t *where;

    assert_true(secret_new(&secret, 1024 * 1024));
    where = secret.data;
    memset(where, 'x', secret.len);
    assert_int_equal((uintptr_t)where % 4096, 0);
    assert_int_equal(mincore(where, 1, &resident), 0);
    secret_end(&secret);
    assert_int_equal(mincore(where, 1, &resident), -1);
    assert_int_equal(errno, ENOMEM);
}

TEST(without_memory_the_old_secret_stays)
{
    SCOPED(secret_end) struct secret secret = { 0 };

    if (SANITIZED) {
        NOT_HERE("the sanitizer ends the process");
    }
    assert_true(secret_set(&secret, "kept", 4));
    assert_false(secret_new(&secret, SIZE_MAX));
    assert_false(secret_new(&secret, SIZE_MAX / 4));
    assert_true(secret_is(&secret, "kept"));
}

TEST(wiping_overwrites)
{
    uint8_t data[] = "secret";

    secret_wipe(data, sizeof(data));
    assert_true(all_zero(data, sizeof(data)));
    secret_wipe(NULL, 0);
}

TEST(secrets_are_locked_in_memory_and_left_out_of_dumps)
{
    SCOPED(secret_end) struct secret secret = { 0 };

    if (SANITIZED || !may_lock()) {
        NOT_HERE("nothing may be locked");
    }
    assert_true(secret_set(&secret, "1234", 4));
    assert_true(secret_locked());
    assert_true(map_has_flag(secret.data, " lo"));
    assert_true(map_has_flag(secret.data, " dd"));
}

static int reads_and_is_locked(void *arg)
{
    struct secret *secret = arg;

    if (!secret_is(secret, "1234")) {
        return 1;
    }
    return secret_locked() && map_has_flag(secret->data, " lo") ? 0 : 2;
}

TEST(the_kernel_says_that_a_child_has_locked_its_copy)
{
    SCOPED(secret_end) struct secret secret = { 0 };

    if (SANITIZED || !may_lock()) {
        NOT_HERE("nothing may be locked");
    }
    assert_true(secret_set(&secret, "1234", 4));
    assert_int_equal(child_does(reads_and_is_locked, &secret), 0);
}

static int forks_where_locking_is_refused(void *arg)
{
    struct rlimit none = { 0, 0 };

    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)) {
        return 1;
    }
    return child_does(reads_and_is_locked, arg) == 2 ? 0 : 2; /* read, but not locked, and said so */
}

TEST(a_child_that_may_not_lock_still_reads_the_secret_and_tells)
{
    SCOPED(secret_end) struct secret secret = { 0 };

    if (SANITIZED || !may_lock()) {
        NOT_HERE("nothing may be locked");
    }
    assert_true(secret_set(&secret, "1234", 4));
    assert_int_equal(child_does(forks_where_locking_is_refused, &secret), 0);
}

static _Atomic bool hammering;

static void *hammer(void *arg)
{
    while (atomic_load(&hammering)) {
        struct secret secret = { 0 };

        if (!secret_set(&secret, "1234", 4)) {
            abort();
        }
        secret_end(&secret);
    }
    return arg;
}

static int uses_the_arena(void *arg)
{
    struct secret secret = { 0 };

    (void)arg;
    return secret_set(&secret, "5678", 4) && secret_is(&secret, "5678") ? 0 : 1;
}

TEST(a_child_forked_amid_busy_threads_can_use_the_arena)
{
    pthread_t threads[4];

    atomic_store(&hammering, true);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, NULL), 0);
    }
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(child_does(uses_the_arena, NULL), 0);
    }
    atomic_store(&hammering, false);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secret_is_kept_locked_and_terminated),
        cmocka_unit_test(an_ended_secret_is_wiped),
        cmocka_unit_test(an_empty_secret_exists),
        cmocka_unit_test(secrets_are_compared_by_length_and_content),
        cmocka_unit_test(a_shortened_secret_gives_room_back_and_keeps_the_rest),
        cmocka_unit_test(many_and_large_secrets_do_not_touch_each_other),
        cmocka_unit_test(a_child_has_the_secret_and_locks_it_again),
        cmocka_unit_test(a_secret_that_may_not_be_locked_is_kept_all_the_same_and_told),
        cmocka_unit_test(a_secret_can_be_set_from_a_part_of_itself),
        cmocka_unit_test(what_is_replaced_is_wiped),
        cmocka_unit_test(shortening_wipes_the_rest),
        cmocka_unit_test(a_big_secret_has_a_map_of_its_own_which_goes_with_it),
        cmocka_unit_test(without_memory_the_old_secret_stays),
        cmocka_unit_test(wiping_overwrites),
        cmocka_unit_test(secrets_are_locked_in_memory_and_left_out_of_dumps),
        cmocka_unit_test(the_kernel_says_that_a_child_has_locked_its_copy),
        cmocka_unit_test(a_child_that_may_not_lock_still_reads_the_secret_and_tells),
        cmocka_unit_test(a_child_forked_amid_busy_threads_can_use_the_arena),
    };

    return RUN(tests);
}
