#include "mock-use.h"

#include <poll.h>
#include <stdatomic.h>

#include "child.h"
#include "pkcs11/key/find.h"
#include "pkcs11/work/crew.h"

#define MOST_STUCK 64

static struct mock *mock;
static struct tok_module *module;
static struct tok_settings settings;
static struct tok_key *key;
static struct tok_key *other_key; /* on another token */

static const CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };

static struct tok_key *find(const char *text)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    OK(tok_uri_parse(&uri, text, TOK_URI_FROM_APPLICATION));
    OK(tok_find(&items, &settings, uri, TOK_WANT_PRIVATE, NULL));
    return tok_key_ref(items.items[0].key);
}

static void furnish(uint64_t deadline_us)
{
    tok_key_unref(key);
    tok_key_unref(other_key);
    key = other_key = NULL;
    mock = mock_load(&module);
    tok_settings_end(&settings);
    tok_settings_init(&settings);
    settings.modules = strdup(mock_path);
    settings.deadline_us = deadline_us;
    mock_named(&settings, "test", "pkcs11:token=test", "1234");
    mock_named(&settings, "other", "pkcs11:token=other", "1234");
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
    mock_token(mock, "other");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "ftp", 1, "\x04xz");
    key = find("pkcs11:token=test;object=www;type=private");
    other_key = find("pkcs11:token=other;object=ftp;type=private");
}

static struct tok_request *request_for(enum tok_work work, struct tok_key *which, struct tok_bell *bell)
{
    struct tok_request *request = NULL;

    OK(tok_request_new(&request, work, which, &mechanism, (const uint8_t *)"digest", 6, 64));
    if (bell != NULL) {
        assert_true(tok_request_on_done(request, bell, NULL, NULL));
    }
    OK(tok_request_submit(request));
    return request;
}

static struct tok_request *request_of(struct tok_key *which, struct tok_bell *bell)
{
    return request_for(TOK_WORK_SIGN, which, bell);
}

static struct tok_result take(struct tok_request *request, const char *expected)
{
    uint8_t out[64];
    size_t len = sizeof(out);
    struct tok_result result = tok_request_result(request, out, &len, NULL);

    if (tok_ok(&result) && (len != strlen(expected) || memcmp(out, expected, len) != 0)) {
        return tok_fail(TOK_CODE_OTHER_KEY, "another key has signed");
    }
    return result;
}

static bool rings(struct tok_bell *bell, int ms)
{
    struct pollfd fd = { .fd = tok_bell_fd(bell), .events = POLLIN };

    return poll(&fd, 1, ms) == 1;
}

TEST(a_request_is_carried_out_and_rings)
{
    struct tok_bell *bell = tok_bell_new();
    struct tok_request *request;

    furnish(5 * SECOND);
    mock->delay_us[MOCK_Sign] = 50000;
    request = request_of(key, bell);
    assert_false(tok_request_done(request));
    assert_true(rings(bell, 4000));
    assert_true(tok_request_done(request));
    OK(take(request, "www"));
    tok_bell_quiet(bell);
    assert_false(rings(bell, 0));
    tok_request_leave(request);
    tok_bell_free(bell);
}

TEST(a_result_that_is_there_already_rings_no_bell)
{
    struct tok_bell *bell = tok_bell_new();
    struct tok_request *request;

    furnish(5 * SECOND);
    request = request_of(key, NULL);
    tok_request_wait(request);
    assert_true(tok_request_soon(request));
    assert_false(tok_request_on_done(request, bell, NULL, NULL));
    assert_false(rings(bell, 0));
    OK(take(request, "www"));
    tok_request_leave(request);
    tok_bell_free(bell);
}

TEST(nobody_looks_for_the_result_of_a_slow_token)
{
    struct tok_request *request;

    furnish(5 * SECOND);
    for (int i = 0; i < 100; i++) { /* it is fast, */
        request = request_of(key, NULL);
        (void)tok_request_soon(request);
        tok_request_wait(request);
        tok_request_leave(request);
    }
    mock->delay_us[MOCK_Sign] = 1000000; /* and slow all at once */
    for (int i = 0; i < 2; i++) {
        uint64_t began = clock_us();

        request = request_of(key, NULL);
        assert_false(tok_request_soon(request));
        assert_true(clock_us() - began < 900000);
        tok_request_wait(request);
        OK(take(request, "www"));
        tok_request_leave(request);
    }
}

TEST(many_requests_have_many_sessions)
{
    struct tok_request *requests[40];

    furnish(60 * SECOND);
    mock->hang = 1U << MOCK_Sign;
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        requests[i] = request_of(key, NULL);
    }
    assert_true(mock_hung(mock, 5));
    mock->hang = 0;
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        tok_request_wait(requests[i]);
        OK(take(requests[i], "www"));
        tok_request_leave(requests[i]);
    }
    assert_true(mock->most_sessions > 4);
}

TEST(workers_are_no_more_than_the_setting)
{
    struct tok_request *requests[10];

    furnish(60 * SECOND);
    settings.workers = 1;
    usleep(20000);
    mock->most_sessions = 0;
    mock->delay_us[MOCK_Sign] = 5000;
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        requests[i] = request_of(key, NULL);
    }
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        tok_request_wait(requests[i]);
        OK(take(requests[i], "www"));
        tok_request_leave(requests[i]);
    }
    assert_true(mock->most_sessions <= 2); /* one for each token that was searched */
}

TEST(a_request_may_be_left_whenever)
{
    struct tok_request *requests[30];

    furnish(60 * SECOND);
    mock->delay_us[MOCK_Sign] = 3000;
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        requests[i] = request_of(key, NULL);
        if (i % 3 == 0) {
            tok_request_leave(requests[i]);
        }
    }
    usleep(10000);
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        if (i % 3 == 1) {
            tok_request_leave(requests[i]);
        } else if (i % 3 == 2) {
            tok_request_wait(requests[i]);
            OK(take(requests[i], "www"));
            tok_request_leave(requests[i]);
        }
    }
}

TEST(a_call_that_hangs_is_given_up_at_the_deadline)
{
    struct tok_bell *bell = tok_bell_new();
    struct tok_request *request;
    uint64_t began;

    furnish(SECOND / 5);
    mock->hang = 1U << MOCK_Sign;
    began = clock_us();
    request = request_of(key, bell);
    assert_true(rings(bell, 20000));
    assert_true(clock_us() - began >= SECOND / 5);
    assert_true(tok_request_done(request));
    FAILS(take(request, ""), TOK_CODE_DEADLINE);
    SAYS("C_Sign");
    tok_request_leave(request);
    mock->hang = 0;
    tok_bell_free(bell);
}

/* Requests of the first token, of which so many hang in C_Sign. */
static void hang(struct tok_request **stuck, unsigned count, unsigned workers)
{
    furnish(60 * SECOND);
    settings.workers = workers;
    mock->hang = 1U << MOCK_Sign;
    for (unsigned i = 0; i < count; i++) {
        stuck[i] = request_of(key, NULL);
    }
}

static void hang_no_more(struct tok_request **stuck, unsigned count)
{
    mock->hang = 0;
    for (unsigned i = 0; i < count; i++) {
        tok_request_wait(stuck[i]);
        OK(take(stuck[i], "www"));
        tok_request_leave(stuck[i]);
    }
}

static unsigned num_workers(void)
{
    LOCKED(&crew.lock);
    return crew.num_workers;
}

/* Workers of other tests end when they have been idle for a while. */
static void wait_until_nobody_works(void)
{
    for (unsigned i = 0; i < 3000 && num_workers() > 0; i++) {
        usleep(10000);
    }
    assert_int_equal(num_workers(), 0);
}

/* When the watch is to look again, at the latest. */
static uint64_t watch_until(void)
{
    LOCKED(&crew.lock);
    return crew.watch_until;
}

/* A request of the other token, which does not come to hang itself. */
static struct tok_request *refused_one(void)
{
    mock_fails(mock, MOCK_DecryptInit, CKR_KEY_FUNCTION_NOT_PERMITTED, 0, 1);
    return request_for(TOK_WORK_DECRYPT, other_key, NULL);
}

static void is_refused(struct tok_request *request)
{
    tok_request_wait(request);
    FAILS_CKR(take(request, ""), CKR_KEY_FUNCTION_NOT_PERMITTED);
    tok_request_leave(request);
}

TEST(a_token_that_hangs_does_not_keep_another_one_waiting)
{
    struct tok_request *stuck[6];

    hang(stuck, 6, 4);
    assert_true(mock_hung(mock, 2));
    is_refused(refused_one());
    assert_false(tok_request_done(stuck[0]));
    hang_no_more(stuck, 6);
}

/* Here none is idle, and none comes back. */
TEST(the_first_request_of_another_token_has_a_worker_at_once)
{
    struct tok_request *stuck[MOST_STUCK];
    struct tok_request *request;
    const unsigned before = 2;

    wait_until_nobody_works();
    hang(stuck, before, 0);
    assert_true(mock_hung(mock, before));
    assert_int_equal(num_workers(), before);
    request = refused_one();
    assert_int_equal(num_workers(), before + 1);
    is_refused(request);
    assert_int_equal(mock->hung, before);
    hang_no_more(stuck, before);
}

TEST(another_request_of_a_token_that_hangs_is_looked_at_soon_though_nobody_else_comes)
{
    struct tok_request *stuck[MOST_STUCK];
    const unsigned before = 2;

    wait_until_nobody_works();
    hang(stuck, before, 0);
    assert_true(mock_hung(mock, before));
    stuck[before] = request_of(key, NULL);
    /* Unless it was looked at already, on a busy machine. */
    assert_true(watch_until() <= stuck[before]->submitted_us + CREW_WAITS_US || num_workers() > before);
    assert_true(mock_hung(mock, before + 1));
    hang_no_more(stuck, before + 1);
}

TEST(one_of_two_workers_is_left_for_another_token)
{
    struct tok_request *stuck[4];

    hang(stuck, 4, 2);
    assert_true(mock_hung(mock, 1));
    is_refused(refused_one());
    assert_int_equal(mock->hung, 1);
    hang_no_more(stuck, 4);
}

static bool waits_beside_an_idle_worker(void)
{
    LOCKED(&crew.lock);
    return crew.idle != NULL && crew.lanes.num_queued > 0;
}

/* The setting, or what is known of a token's sessions, may grow while requests wait and workers are idle. */
TEST(a_request_that_may_be_served_is_not_left_beside_an_idle_worker)
{
    struct tok_request *stuck[5];

    hang(stuck, 5, 8);
    assert_true(mock_hung(mock, 5));
    hang_no_more(stuck, 5); /* some are idle now, for a while */
    hang(stuck, 2, 1);      /* one hangs, one waits */
    assert_true(mock_hung(mock, 1));
    settings.workers = 8;
    stuck[2] = request_of(key, NULL);
    assert_false(waits_beside_an_idle_worker());
    hang_no_more(stuck, 3);
}

TEST(a_failure_is_the_requests_own)
{
    struct tok_request *request;

    furnish(5 * SECOND);
    mock_fails(mock, MOCK_Sign, CKR_KEY_FUNCTION_NOT_PERMITTED, 0, 1);
    request = request_of(key, NULL);
    tok_request_wait(request);
    FAILS_CKR(take(request, ""), CKR_KEY_FUNCTION_NOT_PERMITTED);
    tok_request_leave(request);
    request = request_of(key, NULL);
    tok_request_wait(request);
    OK(take(request, "www"));
    tok_request_leave(request);
}

TEST(too_little_room_is_an_error)
{
    struct tok_request *request;
    uint8_t out[2];
    size_t len = sizeof(out);

    furnish(5 * SECOND);
    request = request_of(key, NULL);
    tok_request_wait(request);
    FAILS(tok_request_result(request, out, &len, NULL), TOK_CODE_BAD_ARGUMENT);
    tok_request_leave(request);
}

TEST(settings_may_go_once_no_worker_needs_them)
{
    struct tok_request *request;

    furnish(60 * SECOND);
    mock->delay_us[MOCK_Sign] = 50000;
    request = request_of(key, NULL);
    while (mock->calls[MOCK_SignInit] == 0) {
        usleep(1000);
    }
    assert_true(tok_workers_leave(&settings));
    assert_true(tok_request_done(request));
    tok_request_leave(request);
    mock->hang = 1U << MOCK_Sign;
    request = request_of(key, NULL);
    assert_true(mock_hung(mock, 1));
    assert_false(tok_workers_leave(&settings));
    mock->hang = 0;
    tok_request_wait(request);
    tok_request_leave(request);
}

static struct tok_request *inherited;
static struct tok_bell *inherited_bell;

static int child_of_a_job(void *arg)
{
    struct tok_result result;

    (void)arg;
    if (!tok_request_done(inherited) || tok_bell_fd(inherited_bell) != -1) {
        return 1;
    }
    result = take(inherited, "");
    if (result.code != TOK_CODE_JOB_IS_GONE || strstr(result.message, "fork") == NULL) {
        return 2;
    }
    tok_request_leave(inherited);
    tok_bell_free(inherited_bell);
    return 0;
}

TEST(in_the_child_of_a_fork_a_request_is_gone)
{
    furnish(5 * SECOND);
    mock->delay_us[MOCK_Sign] = 50000;
    inherited_bell = tok_bell_new();
    inherited = request_of(key, inherited_bell);
    assert_int_equal(child_does(child_of_a_job, NULL), 0);
    assert_true(rings(inherited_bell, 4000));
    assert_true(tok_request_done(inherited));
    OK(take(inherited, "www"));
    tok_request_leave(inherited);
    tok_bell_free(inherited_bell);
}

static void *wait_for_it(void *arg)
{
    tok_request_wait(arg);
    return NULL;
}

static unsigned num_waiting(void)
{
    LOCKED(&crew.lock);
    return crew.num_waiting;
}

static int child_waits_for_nobody(void *arg)
{
    (void)arg;
    return (int)num_waiting();
}

TEST(in_the_child_of_a_fork_nobody_waits_for_a_worker)
{
    struct tok_request *stuck[1];
    pthread_t thread;

    hang(stuck, 1, 1);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_it, stuck[0]), 0);
    while (num_waiting() == 0) {
        clock_sleep_us(1000);
    }
    assert_int_equal(child_does(child_waits_for_nobody, NULL), 0);
    mock->hang = 0;
    assert_int_equal(pthread_join(thread, NULL), 0);
    tok_request_leave(stuck[0]);
}

static _Atomic bool forking;
static _Atomic bool forked;

static void note_forking(void)
{
    forking = true;
}

static void *fork_a_child(void *arg)
{
    pid_t pid = fork();

    if (pid == 0) {
        child_exit(0);
    }
    forked = true;
    assert_int_equal(child_ended(pid), 0);
    return arg;
}

/* The loop of a server's events submits while another thread forks, which waits for a call that is inside the module.
 */
TEST(while_a_fork_waits_for_a_call_requests_are_taken)
{
    struct tok_request *stuck[1];
    struct tok_bell *bell;
    struct tok_request *request;
    pthread_t thread;

    hang(stuck, 1, 0);
    assert_true(mock_hung(mock, 1));
    pthread_atfork(note_forking, NULL, NULL); /* the latest one runs first */
    tok_gate_set_wait(20 * SECOND);
    assert_int_equal(pthread_create(&thread, NULL, fork_a_child, NULL), 0);
    while (!forking) {
        clock_sleep_us(1000);
    }
    clock_sleep_us(50000); /* now it is at the gate */
    bell = tok_bell_new();
    request = request_of(other_key, bell);
    assert_false(tok_request_done(request)); /* its worker waits before the gate, */
    assert_false(forked);                    /* as long as the fork does */
    mock->hang = 0;
    assert_int_equal(pthread_join(thread, NULL), 0);
    tok_request_wait(request);
    OK(take(request, "ftp"));
    tok_request_leave(request);
    hang_no_more(stuck, 1);
    tok_gate_set_wait(250000);
    tok_bell_free(bell);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_the_child_of_a_fork_a_request_is_gone),
        cmocka_unit_test(a_request_is_carried_out_and_rings),
        cmocka_unit_test(while_a_fork_waits_for_a_call_requests_are_taken),
        cmocka_unit_test(in_the_child_of_a_fork_nobody_waits_for_a_worker),
        cmocka_unit_test(a_result_that_is_there_already_rings_no_bell),
        cmocka_unit_test(nobody_looks_for_the_result_of_a_slow_token),
        cmocka_unit_test(many_requests_have_many_sessions),
        cmocka_unit_test(workers_are_no_more_than_the_setting),
        cmocka_unit_test(a_request_may_be_left_whenever),
        cmocka_unit_test(a_call_that_hangs_is_given_up_at_the_deadline),
        cmocka_unit_test(a_token_that_hangs_does_not_keep_another_one_waiting),
        cmocka_unit_test(the_first_request_of_another_token_has_a_worker_at_once),
        cmocka_unit_test(another_request_of_a_token_that_hangs_is_looked_at_soon_though_nobody_else_comes),
        cmocka_unit_test(one_of_two_workers_is_left_for_another_token),
        cmocka_unit_test(a_request_that_may_be_served_is_not_left_beside_an_idle_worker),
        cmocka_unit_test(a_failure_is_the_requests_own),
        cmocka_unit_test(too_little_room_is_an_error),
        cmocka_unit_test(settings_may_go_once_no_worker_needs_them),
    };

    return RUN(tests);
}
