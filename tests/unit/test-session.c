#include "mock-use.h"

#include <stdatomic.h>

#include "pkcs11/token/pool.h"
#include "pkcs11/recover/recover.h"

static struct mock *mock;
static struct tok_module *module;
static struct tok_token *token;

static void furnish(void)
{
    mock = mock_load(&module);
    mock_token(mock, "test");
    token = mock_looked(module);
}

static struct tok_result begin(struct tok_lease *lease, unsigned max_sessions, uint64_t wait_us)
{
    return tok_lease_begin(lease, token, max_sessions, clock_us() + wait_us);
}

TEST(a_session_is_opened_once_and_lent_again)
{
    furnish();
    for (int i = 0; i < 5; i++) {
        SCOPED(tok_lease_end) struct tok_lease lease = { .token = NULL };

        OK(begin(&lease, 0, SECOND));
        assert_int_equal(lease.epoch, token->epoch);
    }
    assert_int_equal(mock->calls[MOCK_OpenSession], 1);
    assert_int_equal(mock->calls[MOCK_CloseSession], 0);
    assert_int_equal(mock->open_sessions, 1);
}

TEST(two_leases_at_once_are_two_sessions)
{
    SCOPED(tok_lease_end) struct tok_lease a = { .token = NULL };
    SCOPED(tok_lease_end) struct tok_lease b = { .token = NULL };

    furnish();
    OK(begin(&a, 0, SECOND));
    OK(begin(&b, 0, SECOND));
    assert_int_not_equal(a.session, b.session);
    assert_int_equal(mock->open_sessions, 2);
}

TEST(ending_no_lease_or_one_twice_is_harmless)
{
    struct tok_lease lease = { .token = NULL };

    furnish();
    tok_lease_end(&lease);
    OK(begin(&lease, 0, SECOND));
    tok_lease_end(&lease);
    tok_lease_end(&lease);
    assert_int_equal(token->pool.num_idle, 1);
}

TEST(a_session_with_an_open_operation_is_closed_and_not_lent)
{
    struct tok_lease lease = { .token = NULL };

    furnish();
    OK(begin(&lease, 0, SECOND));
    lease.op_open = true;
    tok_lease_end(&lease);
    assert_int_equal(mock->open_sessions, 0);
    OK(begin(&lease, 0, SECOND));
    lease.spoilt = true;
    tok_lease_end(&lease);
    assert_int_equal(mock->open_sessions, 0);
    assert_int_equal(mock->calls[MOCK_CloseSession], 2);
    assert_int_equal(token->pool.open, 0);
}

TEST(a_failure_to_open_is_told_and_leaves_no_gap)
{
    struct tok_lease lease = { .token = NULL };

    furnish();
    mock_fails(mock, MOCK_OpenSession, CKR_DEVICE_REMOVED, 0, 1);
    FAILS_CKR(begin(&lease, 1, SECOND), CKR_DEVICE_REMOVED);
    assert_null(lease.token);
    OK(begin(&lease, 1, SECOND)); /* the one place is free again */
    tok_lease_end(&lease);
}

TEST(the_setting_limits_the_pool)
{
    SCOPED(tok_lease_end) struct tok_lease a = { .token = NULL };
    struct tok_lease b = { .token = NULL };

    furnish();
    OK(begin(&a, 1, SECOND));
    FAILS(begin(&b, 1, 50000), TOK_CODE_DEADLINE);
    assert_null(b.token);
    assert_int_equal(mock->calls[MOCK_OpenSession], 1);
}

TEST(the_limit_is_learnt_from_the_token)
{
    SCOPED(tok_lease_end) struct tok_lease a = { .token = NULL };
    SCOPED(tok_lease_end) struct tok_lease b = { .token = NULL };
    struct tok_lease c = { .token = NULL };
    unsigned opens;

    furnish();
    mock->max_sessions = 2;
    OK(begin(&a, 0, SECOND));
    OK(begin(&b, 0, SECOND));
    FAILS(begin(&c, 0, 50000), TOK_CODE_DEADLINE);
    assert_int_equal(token->pool.limit, 2);
    opens = mock->calls[MOCK_OpenSession];
    FAILS(begin(&c, 0, 50000), TOK_CODE_DEADLINE);
    assert_int_equal(mock->calls[MOCK_OpenSession], opens); /* it is not asked again */
}

TEST(a_token_whose_sessions_others_hold_is_asked_again_until_the_deadline)
{
    struct tok_lease lease = { .token = NULL };

    furnish();
    mock_fails(mock, MOCK_OpenSession, CKR_SESSION_COUNT, 0, 3);
    OK(begin(&lease, 0, 5 * SECOND));
    assert_int_equal(token->pool.limit, 0); /* that was not our limit */
    assert_int_equal(mock->calls[MOCK_OpenSession], 4);
    lease.spoilt = true;
    tok_lease_end(&lease);
    mock_fails(mock, MOCK_OpenSession, CKR_SESSION_COUNT, 0, 1000);
    FAILS(begin(&lease, 0, 100000), TOK_CODE_DEADLINE);
    SAYS("CKR_SESSION_COUNT");
}

static _Atomic unsigned failed_leases;

static void *lease_often(void *arg)
{
    for (int i = 0; i < 100; i++) {
        SCOPED(tok_lease_end) struct tok_lease lease = { .token = NULL };
        struct tok_result result = begin(&lease, 0, 20 * SECOND);

        if (!tok_ok(&result)) {
            atomic_fetch_add(&failed_leases, 1);
        }
        lease.op_open = i % 10 == 0; /* some are spoilt */
    }
    return arg;
}

static void eight_threads_share(unsigned sessions)
{
    pthread_t threads[8];

    furnish();
    mock->max_sessions = sessions;
    atomic_store(&failed_leases, 0);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, lease_often, NULL), 0);
    }
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&failed_leases), 0);
    assert_int_equal(token->pool.open, mock->open_sessions);
    assert_true(mock->most_sessions <= sessions);
}

TEST(eight_threads_share_two_sessions)
{
    eight_threads_share(2);
}

TEST(eight_threads_share_one_session)
{
    eight_threads_share(1);
}

TEST(a_session_of_an_older_epoch_is_let_be)
{
    struct tok_lease lease = { .token = NULL };

    furnish();
    OK(begin(&lease, 0, SECOND));
    tok_token_lost(token, 0);
    lease.op_open = lease.spoilt = true;
    tok_lease_end(&lease);
    assert_int_equal(mock->calls[MOCK_CloseSession], 0); /* the number may be somebody else's by now */
    assert_int_equal(token->pool.num_idle, 0);
    assert_int_equal(token->pool.open, 0);
}

TEST(a_learnt_limit_is_tried_again_after_a_while)
{
    struct tok_lease a = { .token = NULL };
    struct tok_lease b = { .token = NULL };

    furnish();
    mock->max_sessions = 1; /* another process has the others */
    OK(begin(&a, 0, SECOND));
    FAILS(begin(&b, 0, 50000), TOK_CODE_DEADLINE);
    SAYS("the oldest of 1 operations is in no call and began 0.");
    SAYS("C_OpenSession: CKR_SESSION_COUNT"); /* which a person could do something about */
    assert_int_equal(token->pool.limit, 1);
    mock->max_sessions = 2; /* it gives one back */
    OK(begin(&b, 0, 10 * SECOND));
    tok_lease_end(&a);
    tok_lease_end(&b);
}

TEST(who_wants_a_new_session_gets_one_unless_there_are_no_more)
{
    struct tok_lease a = { .token = NULL };
    struct tok_lease b = { .token = NULL, .want_new = true };

    furnish();
    OK(begin(&a, 0, SECOND));
    assert_true(a.is_new);
    tok_lease_end(&a);
    OK(begin(&a, 0, SECOND));
    assert_false(a.is_new);
    tok_lease_end(&a);
    OK(begin(&b, 2, SECOND));
    assert_true(b.is_new);
    tok_lease_end(&b);
    b.want_new = true;
    OK(begin(&b, 2, SECOND));
    assert_false(b.is_new); /* both are open, and idle */
    tok_lease_end(&b);
    assert_int_equal(token->pool.open, 2);
}

TEST(an_idle_session_whose_number_was_given_out_again_is_not_lent_nor_closed)
{
    struct tok_lease a = { .token = NULL };
    struct tok_lease b = { .token = NULL };
    struct tok_lease c = { .token = NULL, .want_new = true };
    CK_SESSION_HANDLE stale;

    furnish();
    mock->reuses_handles = true;
    OK(begin(&a, 0, SECOND));
    OK(begin(&b, 0, SECOND));
    stale = a.session;
    tok_lease_end(&a);
    tok_lease_end(&b);
    assert_int_equal(token->pool.num_idle, 2);
    memset(mock->sessions, 0, sizeof(mock->sessions)); /* the token lost them */
    mock->open_sessions = 0;
    OK(begin(&c, 0, SECOND));
    assert_int_equal(c.session, stale);
    assert_int_equal(token->pool.num_idle, 1);
    assert_int_equal(token->pool.open, 2);
    assert_int_equal(mock->calls[MOCK_CloseSession], 0);
    tok_lease_end(&c);
}

TEST(after_a_loss_idle_sessions_as_old_are_lent_only_where_no_other_can_be_opened)
{
    struct tok_result lost = tok_fail_ckr("C_Sign", CKR_SESSION_HANDLE_INVALID);
    struct tok_lease leases[3] = { { .token = NULL } };

    furnish();
    for (int i = 0; i < 3; i++) {
        OK(begin(&leases[i], 3, SECOND));
    }
    tok_lease_end(&leases[0]);
    tok_lease_end(&leases[1]);
    tok_note_failure(&leases[2], &lost);
    tok_lease_end(&leases[2]);
    OK(begin(&leases[0], 3, SECOND)); /* the limit is three, and two are idle */
    assert_true(leases[0].is_new);
    OK(begin(&leases[1], 3, SECOND));
    assert_false(leases[1].is_new);
    tok_lease_end(&leases[0]);
    tok_lease_end(&leases[1]);
    OK(begin(&leases[0], 3, SECOND));
    assert_false(leases[0].is_new);
    tok_lease_end(&leases[0]);
}

/* How many sessions are open after a burst of threads, and `leases` leases of one thread after it. */
static unsigned after_burst(unsigned burst, unsigned leases, unsigned idle_sessions)
{
    struct tok_lease many[MOCK_MOST_SESSIONS] = { { .token = NULL } };

    for (unsigned i = 0; i < burst; i++) {
        OK(begin(&many[i], 0, SECOND));
    }
    for (unsigned i = 0; i < burst; i++) {
        tok_lease_end(&many[i]);
    }
    for (unsigned i = 0; i < leases; i++) {
        struct tok_lease lease = { .idle_sessions = idle_sessions };

        OK(begin(&lease, 0, SECOND));
        tok_lease_end(&lease);
    }
    assert_int_equal(token->pool.open, mock->open_sessions);
    return mock->open_sessions;
}

TEST(sessions_that_nobody_needs_any_more_are_closed_but_for_some)
{
    furnish();
    assert_int_equal(after_burst(40, 100, 4), 40); /* it may come again */
    assert_int_equal(after_burst(40, 1000, 4), 5); /* four idle ones, and the one in use */
}

TEST(bursts_that_come_again_open_no_session_again)
{
    unsigned opened;

    furnish();
    assert_int_equal(after_burst(40, 100, 4), 40);
    opened = mock->calls[MOCK_OpenSession];
    for (int i = 0; i < 20; i++) {
        assert_int_equal(after_burst(40, 100, 4), 40);
    }
    assert_int_equal(mock->calls[MOCK_OpenSession], opened);
    assert_int_equal(mock->calls[MOCK_CloseSession], 0);
}

static void *sign_and_hang(void *arg)
{
    struct tok_lease *lease = arg;

    OK(begin(lease, 0, 50000));
    (void)TOK_CALL(lease->functions, C_GetSlotInfo, 0, &(CK_SLOT_INFO){ .flags = 0 });
    tok_lease_end(lease);
    return NULL;
}

static bool overdue(void)
{
    LOCKED(&token->lock);
    return tok_pool_overdue(&token->pool, clock_us()) != NULL;
}

TEST(a_call_that_does_not_return_is_overdue_until_another_is_served)
{
    struct tok_lease hanging = { .token = NULL };
    struct tok_lease waiting = { .token = NULL };
    struct tok_lease good = { .token = NULL };
    pthread_t thread;

    furnish();
    mock->hang = 1u << MOCK_GetSlotInfo;
    assert_int_equal(pthread_create(&thread, NULL, sign_and_hang, &hanging), 0);
    while (mock->hung == 0) {
        clock_sleep_us(1000);
    }
    assert_false(overdue());
    FAILS(begin(&waiting, 1, 100000), TOK_CODE_DEADLINE);
    SAYS("is in C_GetSlotInfo and began 0.");
    assert_true(overdue());
    OK(begin(&good, 0, SECOND)); /* another session serves: the token is not dead */
    tok_lease_end(&good);
    assert_false(overdue());
    mock->hang = 0;
    assert_int_equal(pthread_join(thread, NULL), 0);
}

TEST(the_login_goes_with_the_last_session)
{
    struct tok_lease lease = { .token = NULL };
    uint64_t objects;

    furnish();
    OK(begin(&lease, 0, SECOND));
    token->login = TOK_LOGGED_IN;
    objects = token->objects;
    lease.spoilt = true;
    tok_lease_end(&lease);
    assert_int_equal(token->login, TOK_LOGGED_OUT);
    assert_true(token->objects > objects); /* handles of private objects are stale */
}

static void log_out_meanwhile(enum mock_function which)
{
    if (which == MOCK_OpenSession) {
        LOCKED(&token->lock);
        token->login = TOK_LOGGED_OUT;
        token->objects++;
    }
}

TEST(a_login_that_goes_while_a_session_is_being_opened_is_not_counted_on)
{
    struct tok_lease lease = { .token = NULL };

    furnish();
    token->login = TOK_LOGGED_IN;
    mock->on_call = log_out_meanwhile;
    OK(begin(&lease, 0, SECOND));
    mock->on_call = NULL;
    assert_false(lease.logged_in);
    assert_int_equal(lease.objects, token->objects);
    tok_lease_end(&lease);
}

static void *give_back_late(void *arg)
{
    clock_sleep_us(100000);
    tok_lease_end(arg);
    return NULL;
}

static struct tok_lease last;

/* While another session is being opened, before it is. */
static void close_the_last_one(enum mock_function which)
{
    if (which == MOCK_OpenSession) {
        mock->on_call = NULL;
        tok_lease_end(&last);
    }
}

TEST(the_login_goes_with_the_last_session_though_another_is_being_opened)
{
    SCOPED(tok_lease_end) struct tok_lease lease = { .token = NULL };
    uint64_t objects;

    furnish();
    OK(begin(&last, 0, SECOND));
    token->login = TOK_LOGGED_IN;
    objects = token->objects;
    last.spoilt = true;
    mock->on_call = close_the_last_one;
    OK(begin(&lease, 0, SECOND));
    assert_int_equal(mock->calls[MOCK_CloseSession], 1);
    assert_int_equal(token->login, TOK_LOGGED_OUT);
    assert_int_not_equal(token->objects, objects);
}

static enum tok_login_state login_at_close;

static void look_at_login(enum mock_function which)
{
    if (which == MOCK_CloseSession) {
        login_at_close = token->login;
    }
}

/* One of before does not hold the login: who opens one meanwhile is to know. */
TEST(the_login_goes_with_the_last_session_though_one_of_an_older_epoch_is_lent)
{
    struct tok_lease old = { .token = NULL };
    struct tok_lease lease = { .token = NULL };

    furnish();
    OK(begin(&old, 0, SECOND));
    tok_token_lost(token, 0);
    OK(begin(&lease, 0, SECOND));
    token->login = login_at_close = TOK_LOGGED_IN;
    mock->on_call = look_at_login;
    lease.spoilt = true;
    tok_lease_end(&lease);
    assert_int_equal(login_at_close, TOK_LOGGED_OUT);
    mock->on_call = NULL;
    tok_lease_end(&old);
}

TEST(the_login_stays_while_another_session_is_open)
{
    SCOPED(tok_lease_end) struct tok_lease a = { .token = NULL };
    SCOPED(tok_lease_end) struct tok_lease b = { .token = NULL };

    furnish();
    OK(begin(&a, 0, SECOND));
    OK(begin(&b, 0, SECOND));
    token->login = TOK_LOGGED_IN;
    a.spoilt = true;
    tok_lease_end(&a); /* b is lent */
    assert_int_equal(token->login, TOK_LOGGED_IN);
    OK(begin(&a, 0, SECOND));
    tok_lease_end(&b);
    a.spoilt = true;
    tok_lease_end(&a); /* b is idle */
    assert_int_equal(token->login, TOK_LOGGED_IN);
}

TEST(who_waits_is_served_when_a_session_comes_back)
{
    struct tok_lease held = { .token = NULL };
    struct tok_lease lease = { .token = NULL };
    uint64_t began;
    pthread_t thread;

    furnish();
    OK(begin(&held, 1, SECOND));
    began = clock_us();
    assert_int_equal(pthread_create(&thread, NULL, give_back_late, &held), 0);
    OK(begin(&lease, 1, 20 * SECOND));
    assert_true(clock_us() - began < 10 * SECOND);
    assert_int_equal(mock->calls[MOCK_OpenSession], 1);
    tok_lease_end(&lease);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

struct wait {
    uint64_t wait_us;
    bool served;
};

static void *wait_for_session(void *arg)
{
    struct wait *wait = arg;
    SCOPED(tok_lease_end) struct tok_lease lease = { .token = NULL };
    struct tok_result result = begin(&lease, 1, wait->wait_us);

    wait->served = tok_ok(&result);
    return NULL;
}

TEST(a_lease_that_is_alone_waits_for_all_others_and_lets_nobody_in)
{
    struct tok_lease one = { .token = NULL };
    struct tok_lease alone = { .alone = true };
    pthread_t thread;

    furnish();
    OK(begin(&one, 0, SECOND));
    FAILS(begin(&alone, 0, SECOND / 50), TOK_CODE_DEADLINE);
    assert_int_equal(pthread_create(&thread, NULL, give_back_late, &one), 0);
    OK(begin(&alone, 0, 20 * SECOND));
    assert_int_equal(pthread_join(thread, NULL), 0);
    FAILS(begin(&one, 0, SECOND / 50), TOK_CODE_DEADLINE);
    alone.op_open = true; /* closed in place of being given back, it is in nobody's way either */
    tok_lease_end(&alone);
    OK(begin(&one, 0, SECOND));
    tok_lease_end(&one);
}

static pthread_t waiting_thread;
static _Atomic bool alone_served;

static void *wait_alone_long(void *arg)
{
    SCOPED(tok_lease_end) struct tok_lease lease = { .alone = true };
    struct tok_result result = begin(&lease, 0, 600 * SECOND);

    alone_served = tok_ok(&result);
    return arg;
}

static bool somebody_waits(void)
{
    LOCKED(&token->lock);
    return token->pool.waiting != NULL;
}

/* While a session is being opened all others get lost, and somebody comes who wants the token for himself. */
static void lose_and_wait(enum mock_function which)
{
    if (which == MOCK_OpenSession) {
        mock->on_call = NULL;
        tok_token_lost(token, 0);
        (void)pthread_create(&waiting_thread, NULL, wait_alone_long, NULL);
        while (!somebody_waits()) {
            clock_sleep_us(1000);
        }
    }
}

TEST(a_session_of_an_older_epoch_that_could_not_be_opened_is_in_nobodys_way)
{
    struct tok_lease lease = { .token = NULL };

    furnish();
    mock->on_call = lose_and_wait;
    mock_fails(mock, MOCK_OpenSession, CKR_DEVICE_ERROR, 0, 1);
    FAILS_CKR(begin(&lease, 0, SECOND), CKR_DEVICE_ERROR);
    for (unsigned i = 0; i < 30000 && !alone_served; i++) {
        clock_sleep_us(1000);
    }
    assert_true(alone_served); /* long before its deadline */
    assert_int_equal(pthread_join(waiting_thread, NULL), 0);
}

TEST(who_leaves_the_queue_early_locks_nobody_out)
{
    struct wait waits[3] = { { 60 * SECOND, false }, { 100000, false }, { 60 * SECOND, false } };
    struct tok_lease held = { .token = NULL };
    pthread_t threads[3];
    uint64_t began;

    furnish();
    OK(begin(&held, 1, SECOND));
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_session, &waits[i]), 0);
        clock_sleep_us(50000);
    }
    assert_int_equal(pthread_join(threads[1], NULL), 0);
    began = clock_us();
    tok_lease_end(&held);
    assert_int_equal(pthread_join(threads[0], NULL), 0);
    assert_int_equal(pthread_join(threads[2], NULL), 0);
    assert_true(waits[0].served && !waits[1].served && waits[2].served);
    assert_true(clock_us() - began < 30 * SECOND);
}

static void *wait_alone(void *arg)
{
    SCOPED(tok_lease_end) struct tok_lease lease = { .alone = true };
    struct tok_result result = begin(&lease, 0, SECOND / 2);

    *(bool *)arg = tok_ok(&result);
    return NULL;
}

TEST(when_the_first_in_the_queue_gives_up_the_next_one_is_served_at_once)
{
    struct tok_lease held = { .token = NULL };
    struct tok_lease lease = { .token = NULL };
    bool served = true;
    uint64_t began;
    pthread_t thread;

    furnish();
    OK(begin(&held, 0, SECOND));
    assert_int_equal(pthread_create(&thread, NULL, wait_alone, &served), 0);
    for (bool waits = false; !waits; clock_sleep_us(1000)) {
        LOCKED(&token->lock);
        waits = token->pool.waiting != NULL;
    }
    began = clock_us();
    OK(begin(&lease, 0, 20 * SECOND)); /* there is a session for it, but it is not its turn */
    assert_true(clock_us() - began < 10 * SECOND);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(served);
    tok_lease_end(&lease);
    tok_lease_end(&held);
}

TEST(a_session_that_the_module_forgot_is_not_closed_since_its_number_may_be_anothers)
{
    struct tok_result lost = tok_fail_ckr("C_Sign", CKR_SESSION_HANDLE_INVALID);
    struct tok_lease a = { .token = NULL };

    furnish();
    OK(begin(&a, 0, SECOND));
    tok_note_failure(&a, &lost);
    tok_lease_end(&a);
    assert_int_equal(mock->calls[MOCK_CloseSession], 0);
    assert_int_equal(token->pool.open, 0);
}

TEST(a_number_that_is_given_out_again_while_a_thread_still_uses_it_is_not_shared)
{
    struct tok_lease a = { .token = NULL };
    struct tok_lease b = { .token = NULL };

    furnish();
    mock->reuses_handles = true;
    OK(begin(&a, 0, SECOND));
    mock->sessions[0].open = false; /* the token lost it */
    mock->open_sessions = 0;
    OK(begin(&b, 0, SECOND));
    assert_int_not_equal(a.session, b.session);
    assert_int_equal(token->pool.open, 2);
    assert_int_equal(mock->open_sessions, 2);
    tok_lease_end(&a);
    tok_lease_end(&b);
    assert_int_equal(token->pool.num_idle, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_is_opened_once_and_lent_again),
        cmocka_unit_test(two_leases_at_once_are_two_sessions),
        cmocka_unit_test(ending_no_lease_or_one_twice_is_harmless),
        cmocka_unit_test(a_session_with_an_open_operation_is_closed_and_not_lent),
        cmocka_unit_test(a_failure_to_open_is_told_and_leaves_no_gap),
        cmocka_unit_test(the_setting_limits_the_pool),
        cmocka_unit_test(the_limit_is_learnt_from_the_token),
        cmocka_unit_test(a_token_whose_sessions_others_hold_is_asked_again_until_the_deadline),
        cmocka_unit_test(eight_threads_share_two_sessions),
        cmocka_unit_test(eight_threads_share_one_session),
        cmocka_unit_test(a_session_of_an_older_epoch_is_let_be),
        cmocka_unit_test(a_learnt_limit_is_tried_again_after_a_while),
        cmocka_unit_test(who_wants_a_new_session_gets_one_unless_there_are_no_more),
        cmocka_unit_test(an_idle_session_whose_number_was_given_out_again_is_not_lent_nor_closed),
        cmocka_unit_test(after_a_loss_idle_sessions_as_old_are_lent_only_where_no_other_can_be_opened),
        cmocka_unit_test(sessions_that_nobody_needs_any_more_are_closed_but_for_some),
        cmocka_unit_test(bursts_that_come_again_open_no_session_again),
        cmocka_unit_test(a_call_that_does_not_return_is_overdue_until_another_is_served),
        cmocka_unit_test(the_login_goes_with_the_last_session),
        cmocka_unit_test(the_login_goes_with_the_last_session_though_another_is_being_opened),
        cmocka_unit_test(the_login_goes_with_the_last_session_though_one_of_an_older_epoch_is_lent),
        cmocka_unit_test(the_login_stays_while_another_session_is_open),
        cmocka_unit_test(a_login_that_goes_while_a_session_is_being_opened_is_not_counted_on),
        cmocka_unit_test(who_waits_is_served_when_a_session_comes_back),
        cmocka_unit_test(a_lease_that_is_alone_waits_for_all_others_and_lets_nobody_in),
        cmocka_unit_test(a_session_of_an_older_epoch_that_could_not_be_opened_is_in_nobodys_way),
        cmocka_unit_test(who_leaves_the_queue_early_locks_nobody_out),
        cmocka_unit_test(when_the_first_in_the_queue_gives_up_the_next_one_is_served_at_once),
        cmocka_unit_test(a_session_that_the_module_forgot_is_not_closed_since_its_number_may_be_anothers),
        cmocka_unit_test(a_number_that_is_given_out_again_while_a_thread_still_uses_it_is_not_shared),
    };

    return RUN(tests);
}
