#include "unit.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/secret.h"

TEST(a_secret_is_kept_locked_and_terminated)
{
    SCOPED(secret_end) struct secret pin = { 0 };

    assert_true(secret_set(&pin, "1234", 4));
    assert_int_equal(pin.len, 4);
    assert_int_equal(pin.data[4], 0);
    assert_true(secret_locked());
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

    return secret->len == 4 && memcmp(secret->data, "1234", 4) == 0 && secret_locked() && secret_set(&another, "x", 1) ? 0 : 1;
}

TEST(a_child_has_the_secret_and_locks_it_again)
{
    SCOPED(secret_end) struct secret pin = { 0 };

    assert_true(secret_set(&pin, "1234", 4));
    assert_int_equal(in_child(child_has_it, &pin), 0);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* whose mlock does nothing, and never fails */
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

    assert_int_equal(in_child(child_without_right, &none), 0);
}
#endif

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
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(a_secret_that_may_not_be_locked_is_kept_all_the_same_and_told),
#endif
    };

    return RUN(tests);
}
