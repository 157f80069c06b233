#include "pkcs11/token/pool.h"

#include "base/text.h"
#include "pkcs11/result/ckr.h"

#define LIMIT_HOLDS_US (1000 * 1000) /* a learnt limit: others may have given sessions back since */
#define WINDOW 256                   /* leases after which we know how many sessions are needed */
#define IDLE_SESSIONS 16             /* that stay, unless a setting says otherwise */
#define MORE_PLACES 16               /* at once */

#define SESSIONS_APIECE 8 /* so many idle ones may sign with other keys before one of them is told another */

/* --- places ------------------------------------------------------------------------------------------------------- */

struct tok_place *tok_place_at(const struct tok_pool *pool, unsigned number)
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

unsigned tok_place_pop(const struct tok_pool *pool, unsigned *list)
{
    unsigned number = *list;

    *list = tok_place_at(pool, number)->next;
    return number;
}

void tok_place_push(const struct tok_pool *pool, unsigned *list, unsigned number)
{
    struct tok_place *place = tok_place_at(pool, number);

    place->lease = NULL;
    place->next = *list;
    *list = number;
}

/* Requires the token's lock. From here on the lease is known to others. */
void tok_place_lend(struct tok_pool *pool, unsigned number, struct tok_lease *lease)
{
    tok_place_at(pool, number)->lease = lease;
    lease->place = number;
    lease->served = atomic_load_explicit(&pool->served, memory_order_relaxed);
    pool->num_lent++;
    pool->lent_alone = lease->alone;
}

/* Requires the token's lock. False if the lease is of another process. */
bool tok_place_is(const struct tok_pool *pool, const struct tok_lease *lease)
{
    return lease->place <= pool->num_places && tok_place_at(pool, lease->place)->lease == lease;
}

/* Requires the token's lock. */
bool tok_place_return(struct tok_pool *pool, const struct tok_lease *lease)
{
    if (!tok_place_is(pool, lease)) {
        return false;
    }
    pool->num_lent--;
    pool->lent_alone = false; /* there is no other one where it was */
    return true;
}

void tok_pool_forget(struct tok_pool *pool)
{
    while (pool->idle != 0) {
        tok_place_push(pool, &pool->free, tok_place_pop(pool, &pool->idle));
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
        if (tok_place_at(pool, number)->lease != NULL) {
            tok_place_push(pool, &pool->free, number);
        }
    }
    pool->num_lent = 0;
    pool->lent_alone = false;
    pool->waiting = NULL;
}

const struct tok_lease *tok_pool_overdue(const struct tok_pool *pool, uint64_t now_us)
{
    for (unsigned number = 1; number <= pool->num_places; number++) {
        const struct tok_lease *lease = tok_place_at(pool, number)->lease;

        if (lease != NULL && lease->deadline_us < now_us &&
            lease->served == atomic_load_explicit(&pool->served, memory_order_relaxed)) {
            return lease;
        }
    }
    return NULL;
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

    if (pool->num_idle == 0 || lease->want_new || tok_place_at(pool, pool->idle)->losses != pool->losses) {
        return false;
    }
    if (lease->messages != NULL && pool->num_idle < SESSIONS_APIECE) {
        (void)tok_message_idle(pool, lease, &would_switch);
    }
    return !would_switch;
}

bool tok_pool_has_room(const struct tok_token *token, unsigned max_sessions)
{
    const struct tok_pool *pool = &token->pool;
    unsigned limit = max_sessions;

    if (pool->limit != 0 && (limit == 0 || pool->limit < limit)) {
        limit = pool->limit;
    }
    return !atomic_load_explicit(&token->module->closed, memory_order_relaxed) && (limit == 0 || pool->open < limit);
}

/* Requires the token's lock. What the one whose turn it is may do. Those used last are lent first, so sessions that may
 * be lost are at the end of the list of idle ones, and lent where no other can be opened. Nobody gets a session while
 * the module is being initialised again. A limit that was learnt holds for a while. */
static enum tok_turn turn_now(const struct tok_token *token, const struct tok_lease *lease, unsigned max_sessions)
{
    const struct tok_pool *pool = &token->pool;

    if (atomic_load_explicit(&token->module->closed, memory_order_relaxed) || pool->lent_alone ||
        (lease->alone && pool->num_lent > 0)) {
        return TOK_TURN_WAIT;
    }
    if (idle_suits(token, lease)) {
        return TOK_TURN_IDLE_SESSION;
    }
    if (tok_pool_has_room(token, max_sessions)) {
        return TOK_TURN_OPEN_ONE;
    }
    return pool->num_idle > 0 ? TOK_TURN_IDLE_SESSION : TOK_TURN_WAIT;
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

/* Requires the token's lock. Waits in order of arrival until there is something to do; TOK_TURN_WAIT after the
 * deadline. */
static enum tok_turn turn_wait(struct tok_token *token, const struct tok_lease *lease, unsigned max_sessions)
{
    struct tok_waiter self = { .next = NULL };
    enum tok_turn turn = TOK_TURN_WAIT;

    lock_signal_init(&self.turn);
    queue_join(&token->pool, &self);
    for (;;) {
        uint64_t until = limit_ends_us(&token->pool);

        if (token->pool.waiting == &self && (turn = turn_now(token, lease, max_sessions)) != TOK_TURN_WAIT) {
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

enum tok_turn tok_pool_turn(struct tok_token *token, const struct tok_lease *lease, unsigned max_sessions)
{
    enum tok_turn turn = TOK_TURN_WAIT;

    if (token->pool.waiting == NULL) {
        turn = turn_now(token, lease, max_sessions);
    }
    return turn != TOK_TURN_WAIT ? turn : turn_wait(token, lease, max_sessions);
}

/* --- taking ------------------------------------------------------------------------------------------------------- */

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

/* Requires the token's lock. The place of an idle session, or of one that is to be opened. */
static bool place_take(struct tok_pool *pool, struct tok_lease *lease, enum tok_turn turn)
{
    if (turn == TOK_TURN_IDLE_SESSION) {
        bool ignored;

        tok_place_lend(
            pool, tok_place_pop(pool, lease->messages == NULL ? &pool->idle : tok_message_idle(pool, lease, &ignored)),
            lease);
        pool->num_idle--;
        lease->session = tok_place_at(pool, lease->place)->session;
        if (lease->messages != NULL) {
            lease->told = tok_place_at(pool, lease->place)->told;
        }
        return true;
    }
    if (pool->free == 0 && !places_grow(pool)) {
        return false;
    }
    tok_place_lend(pool, tok_place_pop(pool, &pool->free), lease);
    tok_place_at(pool, lease->place)->session = CK_INVALID_HANDLE;
    tok_place_at(pool, lease->place)->told.objects = 0;
    pool->open++;
    return true;
}

bool tok_pool_take(struct tok_pool *pool, struct tok_lease *lease, enum tok_turn turn)
{
    if (!place_take(pool, lease, turn)) {
        return false;
    }
    window_count(pool, lease->idle_sessions);
    return true;
}

/* Requires the token's lock. Who has been holding a session for the longest time, for a message. */
static void oldest_text(struct text *text, const struct tok_pool *pool)
{
    const struct tok_lease *oldest = NULL;
    uint64_t now = clock_us();

    for (unsigned number = 1; number <= pool->num_places; number++) {
        const struct tok_lease *lease = tok_place_at(pool, number)->lease;

        if (lease != NULL && (oldest == NULL || lease->began_us < oldest->began_us)) {
            oldest = lease;
        }
    }
    if (oldest != NULL && now > oldest->began_us) {
        text_printf(text, "; the oldest of %u operations is in %s and began %.1f s ago", pool->num_lent,
                    tok_inside_name(oldest->inside), (double)(now - oldest->began_us) / 1e6);
    }
}

struct tok_result tok_pool_too_late(const struct tok_pool *pool)
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
