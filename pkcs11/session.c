#include "pkcs11/session.h"

#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/ckr.h"

#define OPEN_AGAIN_AFTER_US (20 * 1000) /* when other processes hold all sessions of the token */
#define LIMIT_HOLDS_US (1000 * 1000)    /* a learnt limit: others may have given sessions back since */
#define WINDOW 256                      /* leases after which we know how many sessions are needed */
#define IDLE_SESSIONS 16                /* that stay, unless a setting says otherwise */
#define MORE_PLACES 16                  /* at once */

#define SESSIONS_APIECE 8 /* so many idle ones may sign with other keys before one of them is told another */

enum turn { TURN_WAIT, TURN_IDLE_SESSION, TURN_OPEN_ONE };

/* --- places ------------------------------------------------------------------------------------------------------- */

static struct tok_place *place_at(const struct tok_pool *pool, unsigned number)
{
    return &pool->places[number - 1];
}

static bool places_grow(struct tok_pool *pool)
{
    unsigned count = pool->num_places + MORE_PLACES;
    struct tok_place *grown = reallocarray(pool->places, count, sizeof(*grown));

    if (grown == NULL) {
        return false;
    }
    pool->places = grown;
    while (pool->num_places < count) {
        grown[pool->num_places] = (struct tok_place){ .next = pool->free };
        pool->free = ++pool->num_places;
    }
    return true;
}

static unsigned place_pop(const struct tok_pool *pool, unsigned *list)
{
    unsigned number = *list;

    *list = place_at(pool, number)->next;
    return number;
}

static void place_push(const struct tok_pool *pool, unsigned *list, unsigned number)
{
    struct tok_place *place = place_at(pool, number);

    place->lease = NULL;
    place->next = *list;
    *list = number;
}

/* Requires the token's lock. From here on the lease is known to others. */
static void place_lend(struct tok_pool *pool, unsigned number, struct tok_lease *lease)
{
    place_at(pool, number)->lease = lease;
    lease->place = number;
    lease->served = atomic_load_explicit(&pool->served, memory_order_relaxed);
    pool->num_lent++;
    pool->lent_alone = lease->alone;
}

/* Requires the token's lock. False if the lease is of another process. */
static bool place_is(const struct tok_pool *pool, const struct tok_lease *lease)
{
    return lease->place <= pool->num_places && place_at(pool, lease->place)->lease == lease;
}

/* Requires the token's lock. */
static bool place_return(struct tok_pool *pool, const struct tok_lease *lease)
{
    if (!place_is(pool, lease)) {
        return false;
    }
    pool->num_lent--;
    pool->lent_alone = false; /* there is no other one where it was */
    return true;
}

void tok_pool_forget(struct tok_pool *pool)
{
    while (pool->idle != 0) {
        place_push(pool, &pool->free, place_pop(pool, &pool->idle));
    }
    pool->num_idle = 0;
    pool->open = 0;
    pool->limit = 0;
    pool->refused = CKR_OK;
    pool->surplus = 0;
}

void tok_pool_anew(struct tok_pool *pool)
{
    tok_pool_forget(pool);
    for (unsigned number = 1; number <= pool->num_places; number++) {
        if (place_at(pool, number)->lease != NULL) {
            place_push(pool, &pool->free, number);
        }
    }
    pool->num_lent = 0;
    pool->lent_alone = false;
    pool->waiting = NULL;
}

const struct tok_lease *tok_pool_overdue(const struct tok_pool *pool, uint64_t now_us)
{
    for (unsigned number = 1; number <= pool->num_places; number++) {
        const struct tok_lease *lease = place_at(pool, number)->lease;

        if (lease != NULL && lease->deadline_us < now_us &&
            lease->served == atomic_load_explicit(&pool->served, memory_order_relaxed)) {
            return lease;
        }
    }
    return NULL;
}

/* Requires the token's lock. Who has been holding a session for the longest time, for a message. */
static void oldest_text(struct text *text, const struct tok_pool *pool)
{
    const struct tok_lease *oldest = NULL;
    uint64_t now = clock_us();

    for (unsigned number = 1; number <= pool->num_places; number++) {
        const struct tok_lease *lease = place_at(pool, number)->lease;

        if (lease != NULL && (oldest == NULL || lease->began_us < oldest->began_us)) {
            oldest = lease;
        }
    }
    if (oldest != NULL && now > oldest->began_us) {
        text_printf(text, "; the oldest of %u operations is in %s and began %.1f s ago", pool->num_lent,
                    tok_inside_name(oldest->inside), (double)(now - oldest->began_us) / 1e6);
    }
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

void tok_pool_wake(struct tok_token *token)
{
    if (token->pool.waiting != NULL) {
        lock_signal_send(&token->pool.waiting->turn);
    }
    if (atomic_load_explicit(&token->module->closed, memory_order_relaxed)) {
        lock_wake(&token->lock);
    }
}

/* Requires the token's lock. */
static void queue_join(struct tok_pool *pool, struct tok_waiter *self)
{
    struct tok_waiter **last = &pool->waiting;

    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = self;
}

/* Requires the token's lock. Whoever leaves, served or too late, lets the next one look. */
static void queue_leave(struct tok_token *token, const struct tok_waiter *self)
{
    struct tok_waiter **link = &token->pool.waiting;

    while (*link != self) {
        link = &(*link)->next;
    }
    *link = self->next;
    tok_pool_wake(token);
}

/* Requires the token's lock. Is there an idle session for the lease that is not likely to be lost? */
static bool idle_suits(const struct tok_token *token, const struct tok_lease *lease)
{
    struct tok_pool *pool = (struct tok_pool *)&token->pool;
    bool would_switch = false;

    if (pool->num_idle == 0 || lease->want_new || place_at(pool, pool->idle)->losses != pool->losses) {
        return false;
    }
    if (lease->messages != NULL && pool->num_idle < SESSIONS_APIECE) {
        (void)tok_message_idle(pool, lease, &would_switch);
    }
    return !would_switch;
}

/* Requires the token's lock. What the one whose turn it is may do. Those used last are lent first, so sessions that may
 * be lost are at the end of the list of idle ones, and lent where no other can be opened. Nobody gets a session while
 * the module is being initialised again. A limit that was learnt holds for a while. */
static enum turn pool_turn(const struct tok_token *token, const struct tok_lease *lease, unsigned max_sessions)
{
    const struct tok_pool *pool = &token->pool;
    unsigned limit = max_sessions;

    if (atomic_load_explicit(&token->module->closed, memory_order_relaxed) || pool->lent_alone ||
        (lease->alone && pool->num_lent > 0)) {
        return TURN_WAIT;
    }
    if (idle_suits(token, lease)) {
        return TURN_IDLE_SESSION;
    }
    if (pool->limit != 0 && (limit == 0 || pool->limit < limit)) {
        limit = pool->limit;
    }
    if (limit == 0 || pool->open < limit) {
        return TURN_OPEN_ONE;
    }
    return pool->num_idle > 0 ? TURN_IDLE_SESSION : TURN_WAIT;
}

/* Requires the token's lock. Others may have given back what made the token tell its limit. */
static uint64_t limit_ends_us(struct tok_pool *pool)
{
    if (pool->limit == 0) {
        return UINT64_MAX;
    }
    if (clock_us() >= pool->limit_us + LIMIT_HOLDS_US) {
        pool->limit = 0;
        return 0;
    }
    return pool->limit_us + LIMIT_HOLDS_US;
}

/* Requires the token's lock. Waits in order of arrival until there is something to do; TURN_WAIT after the deadline. */
static enum turn pool_wait(struct tok_token *token, const struct tok_lease *lease, unsigned max_sessions)
{
    struct tok_waiter self = { .next = NULL };
    enum turn turn = TURN_WAIT;

    lock_signal_init(&self.turn);
    queue_join(&token->pool, &self);
    for (;;) {
        uint64_t until = limit_ends_us(&token->pool);

        if (token->pool.waiting == &self && (turn = pool_turn(token, lease, max_sessions)) != TURN_WAIT) {
            break;
        }
        if (clock_us() >= lease->deadline_us) {
            break;
        }
        (void)lock_signal_wait(&self.turn, &token->lock, until < lease->deadline_us ? until : lease->deadline_us);
    }
    queue_leave(token, &self);
    lock_signal_end(&self.turn);
    return turn;
}

/* --- opening and closing ------------------------------------------------------------------------------------------ */

/* Requires the token's lock. A session less; the login goes with the last one. */
static void session_gone(struct tok_token *token, uint64_t epoch)
{
    if (epoch != token->epoch) {
        return;
    }
    token->pool.open--;
    if (token->pool.open == 0 && token->login == TOK_LOGGED_IN) {
        token->login = TOK_LOGGED_OUT;
        token->objects++;
    }
    tok_pool_wake(token);
}

/* Requires the token's lock. A session whose number the module has given out again was forgotten by the module: an idle
 * one leaves the pool, since to lend it would be to share the other one, and to close it would be to close the other.
 * True if it is lent: then the other one is its borrower's, who doesn't know any better. */
static bool number_forget(struct tok_token *token, CK_SESSION_HANDLE number, const struct tok_lease *lease)
{
    struct tok_pool *pool = &token->pool;

    for (unsigned *link = &pool->idle; *link != 0; link = &place_at(pool, *link)->next) {
        if (place_at(pool, *link)->session == number) {
            trace(TRACE_SESSION, "session: %lu on '%s' had been forgotten", number, token->label);
            place_push(pool, &pool->free, place_pop(pool, link));
            pool->num_idle--;
            session_gone(token, token->epoch);
            break;
        }
    }
    for (unsigned i = 1; i <= pool->num_places; i++) {
        const struct tok_place *place = place_at(pool, i);

        if (place->lease != NULL && place->lease != lease && place->session == number) {
            return true;
        }
    }
    return false;
}

/* Numbers of sessions are the module's, whichever token they are on. False if somebody has a session of this one. */
static bool number_is_free(struct tok_token *whose, struct tok_lease *lease)
{
    struct tok_module *module = whose->module;
    bool taken = false;

    LOCKED(&module->lock);
    for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
        LOCKED(&token->lock);
        taken = number_forget(token, lease->session, lease) || taken;
        if (token == whose && !taken && place_is(&token->pool, lease)) {
            /* from here on the login can't go with the last session; until here it could */
            lease->objects = token->objects;
            lease->logged_in = token->login == TOK_LOGGED_IN;
            place_at(&token->pool, lease->place)->session = lease->session;
            place_at(&token->pool, lease->place)->losses = token->pool.losses;
            token->pool.refused = CKR_OK;
        }
    }
    return !taken;
}

/* A token that is full has told its limit. */
static void session_not_opened(struct tok_token *token, struct tok_lease *lease, CK_RV rv)
{
    struct tok_pool *pool = &token->pool;

    LOCKED(&token->lock);
    if (place_return(pool, lease)) {
        place_push(pool, &pool->free, lease->place);
    }
    if (rv != CKR_SESSION_EXISTS) {
        pool->refused = rv;
    }
    if (rv == CKR_SESSION_COUNT && lease->epoch == token->epoch && pool->open > 1) {
        pool->limit = pool->open - 1;
        pool->limit_us = clock_us();
        trace(TRACE_SESSION, "session: '%s' has no more than %u sessions", token->label, pool->limit);
    }
    session_gone(token, lease->epoch);
}

/* One attempt to open, without a lock. The place in the pool is already taken. */
static CK_RV session_open(struct tok_token *token, struct tok_lease *lease, CK_SLOT_ID slot)
{
    CK_RV rv = TOK_CALL(lease->functions, C_OpenSession, slot, CKF_SERIAL_SESSION, NULL, NULL, &lease->session);

    if (rv == CKR_OK && !number_is_free(token, lease)) {
        rv = CKR_SESSION_EXISTS; /* ours to say: no token has a reason to */
    }
    if (rv != CKR_OK) {
        session_not_opened(token, lease, rv);
        return rv;
    }
    trace(TRACE_SESSION, "session: opened %lu on '%s'", lease->session, token->label);
    lease->is_new = true;
    return rv;
}

/* --- leases ------------------------------------------------------------------------------------------------------- */

/* Requires the token's lock. Sessions that no lease of a whole window needed are too many. */
static void window_count(struct tok_pool *pool, unsigned idle_sessions)
{
    if (pool->num_idle < pool->least_idle) {
        pool->least_idle = pool->num_idle;
    }
    if (++pool->turn < WINDOW) {
        return;
    }
    if (idle_sessions == 0) {
        idle_sessions = IDLE_SESSIONS;
    }
    pool->surplus = pool->least_idle > idle_sessions ? pool->least_idle - idle_sessions : 0;
    pool->turn = 0;
    pool->least_idle = pool->num_idle;
}

/* Requires the token's lock. Kept apart from the path of those who get a session. */
__attribute__((noinline)) static struct tok_result too_late(const struct tok_pool *pool)
{
    char why[240];
    struct text text = TEXT_OVER(why);

    if (pool->refused != CKR_OK) {
        text_printf(&text, "; C_OpenSession: %s (0x%lx)", tok_ckr(pool->refused)->name, pool->refused);
    }
    oldest_text(&text, pool);
    if (pool->open == 0) {
        return tok_fail(TOK_CODE_DEADLINE, "the token has given no session%s", why);
    }
    return tok_fail(TOK_CODE_DEADLINE, "all %u sessions of the token have been busy%s", pool->open, why);
}

/* Requires the token's lock. The place of an idle session, or of one that is to be opened. */
static bool turn_take(struct tok_pool *pool, struct tok_lease *lease, enum turn turn)
{
    if (turn == TURN_IDLE_SESSION) {
        bool ignored;

        place_lend(pool,
                   place_pop(pool, lease->messages == NULL ? &pool->idle : tok_message_idle(pool, lease, &ignored)),
                   lease);
        pool->num_idle--;
        lease->session = place_at(pool, lease->place)->session;
        if (lease->messages != NULL) {
            lease->told = place_at(pool, lease->place)->told;
        }
        return true;
    }
    if (pool->free == 0 && !places_grow(pool)) {
        return false;
    }
    place_lend(pool, place_pop(pool, &pool->free), lease);
    place_at(pool, lease->place)->session = CK_INVALID_HANDLE;
    place_at(pool, lease->place)->told.objects = 0;
    pool->open++;
    return true;
}

/* lease_take gets an idle session (true), or the right to open one (false with *out_slot), or fails. */
static struct tok_result lease_take(struct tok_token *token, struct tok_lease *lease, bool *out_idle,
                                    CK_SLOT_ID *out_slot, unsigned max_sessions)
{
    struct tok_pool *pool = &token->pool;
    enum turn turn = TURN_WAIT;

    LOCKED(&token->lock);
    if (pool->waiting == NULL) {
        turn = pool_turn(token, lease, max_sessions);
    }
    if (turn == TURN_WAIT) {
        turn = pool_wait(token, lease, max_sessions);
    }
    lease->epoch = token->epoch;
    lease->objects = token->objects;
    lease->logged_in = token->login == TOK_LOGGED_IN;
    *out_slot = token->slot;
    *out_idle = turn == TURN_IDLE_SESSION;
    if (turn == TURN_WAIT) {
        return too_late(pool);
    }
    if (!turn_take(pool, lease, turn)) {
        return tok_fail(TOK_CODE_NO_MEMORY, "opening a session");
    }
    window_count(pool, lease->idle_sessions);
    if (lease->messages != NULL) {
        tok_message_count(token, lease);
    }
    return tok_good();
}

struct tok_result tok_lease_begin(struct tok_lease *lease, struct tok_token *token, unsigned max_sessions,
                                  uint64_t deadline_us)
{
    lease->token = NULL;
    lease->functions = token->module->functions;
    lease->messages = token->module->messages;
    lease->told = (struct tok_message){ .objects = 0 };
    lease->deadline_us = deadline_us;
    lease->began_us = lease->began_us != 0 ? lease->began_us : clock_us();
    lease->inside = tok_inside_here();
    lease->is_new = lease->op_open = lease->failed = lease->spoilt = lease->forgotten = false;
    for (;;) {
        bool idle;
        CK_SLOT_ID slot;
        CK_RV rv;

        TOK_TRY(lease_take(token, lease, &idle, &slot, max_sessions));
        rv = idle ? CKR_OK : session_open(token, lease, slot);
        if (rv == CKR_OK) {
            lease->token = token;
            tok_message_settle(lease);
            return tok_good();
        }
        if (rv == CKR_SESSION_EXISTS && clock_us() < deadline_us) {
            continue;
        }
        if (rv != CKR_SESSION_COUNT) {
            return tok_fail_ckr("C_OpenSession", rv);
        }
        if (clock_us() + OPEN_AGAIN_AFTER_US >= deadline_us) {
            return tok_fail(TOK_CODE_DEADLINE,
                            "C_OpenSession: the token has had no session to spare (CKR_SESSION_COUNT)");
        }
        clock_sleep_us(OPEN_AGAIN_AFTER_US);
    }
}

/* Requires the token's lock. */
static void lease_drop(struct tok_lease *lease, struct tok_token *token)
{
    place_push(&token->pool, &token->pool.free, lease->place);
    session_gone(token, lease->epoch);
    tok_pool_wake(token);
}

/* Requires the token's lock. Must the session be closed? Not one of a time that is gone, nor one that the module
 * forgot: its number may be another's by now. */
static bool lease_wants_close(const struct tok_lease *lease, const struct tok_token *token)
{
    return lease->epoch == token->epoch && !lease->forgotten && (lease->op_open || lease->spoilt);
}

/* Requires the token's lock. Of too many idle sessions the last one is closed, the one that nobody has used for the
 * longest time: the lease, whose own is given back, takes it. */
static bool lease_takes_surplus(struct tok_lease *lease, struct tok_token *token)
{
    struct tok_pool *pool = &token->pool;
    unsigned *link = &pool->idle;

    if (pool->surplus == 0 || pool->num_idle == 0 || lease->epoch != token->epoch) {
        return false;
    }
    while (place_at(pool, *link)->next != 0) {
        link = &place_at(pool, *link)->next;
    }
    place_lend(pool, place_pop(pool, link), lease);
    lease->session = place_at(pool, lease->place)->session;
    pool->num_idle--;
    pool->surplus--;
    return true;
}

/* Requires the token's lock. */
static void lease_give_back(struct tok_lease *lease, struct tok_token *token)
{
    struct tok_pool *pool = &token->pool;

    if (!place_return(pool, lease)) {
        return;
    }
    if (lease->forgotten && place_at(pool, lease->place)->losses == pool->losses) {
        pool->losses++; /* others that are as old may be lost, too */
    }
    if (lease->epoch != token->epoch || lease->forgotten) {
        lease_drop(lease, token);
        return;
    }
    if (!lease->failed) {
        uint64_t served = atomic_load_explicit(&pool->served, memory_order_relaxed);

        atomic_store_explicit(&pool->served, served + 1, memory_order_relaxed);
    }
    if (lease->messages != NULL) {
        place_at(pool, lease->place)->told = lease->told;
    }
    place_push(pool, &pool->idle, lease->place);
    pool->num_idle++;
    tok_pool_wake(token);
}

/* Requires the token's lock. Is a session open besides this one? One that is being opened is not yet. */
static bool another_is_open(const struct tok_token *token, const struct tok_lease *lease)
{
    const struct tok_pool *pool = &token->pool;

    for (unsigned i = 1; pool->num_idle == 0 && i <= pool->num_places; i++) {
        const struct tok_place *place = place_at(pool, i);

        if (place->lease != NULL && place->lease != lease && place->lease->epoch == token->epoch &&
            place->session != CK_INVALID_HANDLE) {
            return true;
        }
    }
    return pool->num_idle > 0;
}

/* The token logs out when its last session is closed: in time for who opens another one meanwhile. A login too many
 * does no harm. */
static void login_goes(struct tok_lease *lease, struct tok_token *token)
{
    LOCKED(&token->lock);
    if (lease->epoch != token->epoch || !place_is(&token->pool, lease)) {
        return;
    }
    place_at(&token->pool, lease->place)->session = CK_INVALID_HANDLE;
    if (token->login == TOK_LOGGED_IN && !another_is_open(token, lease)) {
        token->login = TOK_LOGGED_OUT;
        token->objects++;
    }
}

/* It stays lent while the module closes it. */
static void lease_close(struct tok_lease *lease, struct tok_token *token)
{
    login_goes(lease, token);
    trace(TRACE_SESSION, "session: closing %lu on '%s'", lease->session, token->label);
    (void)TOK_CALL(token->module->functions, C_CloseSession, lease->session); /* whatever it answers */
    LOCKED(&token->lock);
    if (place_return(&token->pool, lease)) {
        lease_drop(lease, token);
    }
}

void tok_lease_end(struct tok_lease *lease)
{
    struct tok_token *token = lease->token;

    if (token == NULL) {
        return;
    }
    lease->token = NULL;
    {
        LOCKED(&token->lock);
        if (!lease_wants_close(lease, token)) {
            lease_give_back(lease, token);
            if (!lease_takes_surplus(lease, token)) {
                return;
            }
        }
    }
    lease_close(lease, token);
}
