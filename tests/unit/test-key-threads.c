/* Eight threads with one key, while what it stands on gets lost. */
#include "key-use.h"

#include <stdatomic.h>

#define NUM_THREADS 8

static _Atomic unsigned failed_signatures;
static _Atomic unsigned signatures[NUM_THREADS];
static _Atomic bool enough;
static pthread_t threads[NUM_THREADS];

static void *sign_often(void *arg)
{
    _Atomic unsigned *made = arg;

    while (!atomic_load(&enough)) {
        uint8_t out[64];
        size_t len = sizeof(out);
        uint64_t mark;
        struct tok_result result = tok_key_sign(key, &mechanism, (const uint8_t *)"d", 1, out, &len, &mark);

        if (!tok_ok(&result) || len != 3) {
            printf("# %s\n", tok_ok(&result) ? "not three bytes" : result.message);
            atomic_fetch_add(&failed_signatures, 1);
        }
        atomic_fetch_add(made, 1);
    }
    return NULL;
}

static void all_begin(void)
{
    atomic_store(&failed_signatures, 0);
    atomic_store(&enough, false);
    for (size_t i = 0; i < NUM_THREADS; i++) {
        atomic_store(&signatures[i], 0);
        assert_int_equal(pthread_create(&threads[i], NULL, sign_often, &signatures[i]), 0);
    }
}

/* Waits until whatever was under way is over. */
static void wait_for_all(void)
{
    for (size_t i = 0; i < NUM_THREADS; i++) {
        unsigned before = atomic_load(&signatures[i]);

        while (atomic_load(&signatures[i]) < before + 2) {
            clock_sleep_us(500);
        }
    }
}

static void all_end_well(void)
{
    wait_for_all();
    atomic_store(&enough, true);
    for (size_t i = 0; i < NUM_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&failed_signatures), 0);
}

TEST(eight_threads_sign_with_one_session_while_it_is_lost_again_and_again)
{
    furnish();
    settings.deadline_us = 30 * SECOND;
    mock->max_sessions = 1;
    mock->delay_us[MOCK_Sign] = 100;
    all_begin();
    for (unsigned i = 0; i < 10; i++) {
        wait_for_all();
        lose_sessions();
    }
    all_end_well();
    assert_true(mock->calls[MOCK_OpenSession] > 10); /* each loss was noticed */
    assert_true(mock->most_sessions <= 1);
}

/* Numbers are used again at once, so that closing or lending a stale one would hit another thread. */
TEST(eight_threads_sign_while_all_sessions_get_lost_and_their_numbers_are_given_out_again)
{
    furnish();
    settings.deadline_us = 30 * SECOND;
    mock->reuses_handles = true;
    mock->delay_us[MOCK_Sign] = 500;
    all_begin();
    for (int i = 0; i < 10; i++) {
        wait_for_all();
        lose_sessions();
    }
    all_end_well();
}

TEST(eight_threads_sign_while_sessions_and_login_get_lost_faster_than_they_recover)
{
    furnish();
    settings.deadline_us = 30 * SECOND;
    mock->delay_us[MOCK_Login] = mock->delay_us[MOCK_SignInit] = mock->delay_us[MOCK_Sign] = 300;
    all_begin();
    for (unsigned i = 0; i < 500; i++) {
        clock_sleep_us(i % 10 == 0 ? 10000 : 500);
        lose_all();
    }
    all_end_well();
    assert_int_equal(mock->tokens[0].wrong_pins, 0);
}

TEST(eight_threads_sign_while_the_daemon_goes_and_comes)
{
    furnish();
    settings.deadline_us = 30 * SECOND;
    mock->delay_us[MOCK_Sign] = 1000;
    all_begin();
    for (int i = 0; i < 3; i++) {
        clock_sleep_us(30000);
        mock->down = true;
        clock_sleep_us(100000);
        mock->down = false;
        wait_for_all();
    }
    all_end_well();
    assert_true(mock->calls[MOCK_Finalize] >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_threads_sign_with_one_session_while_it_is_lost_again_and_again),
        cmocka_unit_test(eight_threads_sign_while_all_sessions_get_lost_and_their_numbers_are_given_out_again),
        cmocka_unit_test(eight_threads_sign_while_sessions_and_login_get_lost_faster_than_they_recover),
        cmocka_unit_test(eight_threads_sign_while_the_daemon_goes_and_comes),
    };

    return RUN(tests);
}
