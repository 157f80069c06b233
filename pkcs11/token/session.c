#include "pkcs11/token/session.h"

#include "base/trace.h"
#include "pkcs11/token/pool.h"

#define MOST_TAKEN 16                   /* so many times a module may give the number of a session that somebody has */
#define OPEN_AGAIN_AFTER_US (20 * 1000) /* when other processes hold all sessions of the token */

/* --- opening and closing ------------------------------------------------------------------------------------------ */

/* Requires the token's lock. A session less; the login goes with the last one. Whatever epoch it is of, its place is
 * free: somebody may wait until none is lent. */
static void session_gone(struct tok_token *token, uint64_t epoch)
{
    if (epoch == token->epoch && --token->pool.open == 0 && token->login == TOK_LOGGED_IN) {
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

    for (unsigned *link = &pool->idle; *link != 0; link = &tok_place_at(pool, *link)->next) {
        if (tok_place_at(pool, *link)->session == number) {
            trace(TRACE_SESSION, "session: %lu on '%s' had been forgotten", number, token->label);
            tok_place_push(pool, &pool->free, tok_place_pop(pool, link));
            pool->num_idle--;
            session_gone(token, token->epoch);
            break;
        }
    }
    for (unsigned i = 1; i <= pool->num_places; i++) {
        const struct tok_place *place = tok_place_at(pool, i);

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
        if (token == whose && !taken && tok_place_is(&token->pool, lease)) {
            /* from here on the login can't go with the last session; until here it could */
            lease->objects = token->objects;
            lease->logged_in = token->login == TOK_LOGGED_IN;
            tok_place_at(&token->pool, lease->place)->session = lease->session;
            tok_place_at(&token->pool, lease->place)->losses = token->pool.losses;
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
    if (tok_place_return(pool, lease)) {
        tok_place_push(pool, &pool->free, lease->place);
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
    CK_RV rv;

    lease->session = CK_INVALID_HANDLE;
    rv = TOK_CALL(lease->functions, C_OpenSession, slot, CKF_SERIAL_SESSION, NULL, NULL, &lease->session);
    if (rv == CKR_OK && (lease->session == CK_INVALID_HANDLE || !number_is_free(token, lease))) {
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

/* lease_take gets an idle session (true), or the right to open one (false with *out_slot), or fails. */
static struct tok_result lease_take(struct tok_token *token, struct tok_lease *lease, bool *out_idle,
                                    CK_SLOT_ID *out_slot, unsigned max_sessions)
{
    struct tok_pool *pool = &token->pool;
    enum tok_turn turn;

    LOCKED(&token->lock);
    turn = tok_pool_turn(token, lease, max_sessions);
    lease->epoch = token->epoch;
    lease->objects = token->objects;
    lease->logged_in = token->login == TOK_LOGGED_IN;
    *out_slot = token->slot;
    *out_idle = turn == TOK_TURN_IDLE_SESSION;
    if (turn == TOK_TURN_WAIT) {
        return tok_pool_too_late(pool);
    }
    if (!tok_pool_take(pool, lease, turn)) {
        return tok_fail(TOK_CODE_NO_MEMORY, "opening a session");
    }
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
    for (unsigned taken = 0;;) {
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
        if (rv == CKR_SESSION_EXISTS && ++taken < MOST_TAKEN && clock_us() < deadline_us) {
            continue;
        }
        if (rv == CKR_SESSION_EXISTS) {
            return tok_fail_answer("C_OpenSession",
                                   "CKR_SESSION_EXISTS, or with a number that is none, or another session's, %u times",
                                   taken);
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

struct tok_result tok_lease_in_time(const struct tok_lease *lease, const char *things, size_t done)
{
    return done == 0 || clock_us() < lease->deadline_us
               ? tok_good()
               : tok_fail(TOK_CODE_DEADLINE, "%zu %s had been read by then", done, things);
}

/* Requires the token's lock. */
static void lease_drop(struct tok_lease *lease, struct tok_token *token)
{
    tok_place_push(&token->pool, &token->pool.free, lease->place);
    session_gone(token, lease->epoch);
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
    while (tok_place_at(pool, *link)->next != 0) {
        link = &tok_place_at(pool, *link)->next;
    }
    tok_place_lend(pool, tok_place_pop(pool, link), lease);
    lease->session = tok_place_at(pool, lease->place)->session;
    pool->num_idle--;
    pool->surplus--;
    return true;
}

/* Requires the token's lock. */
static void lease_give_back(struct tok_lease *lease, struct tok_token *token)
{
    struct tok_pool *pool = &token->pool;

    if (!tok_place_return(pool, lease)) {
        return;
    }
    if (lease->forgotten && tok_place_at(pool, lease->place)->losses == pool->losses) {
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
        tok_place_at(pool, lease->place)->told = lease->told;
    }
    tok_place_push(pool, &pool->idle, lease->place);
    pool->num_idle++;
    tok_pool_wake(token);
}

/* Requires the token's lock. Is a session open besides this one? One that is being opened is not yet. */
static bool another_is_open(const struct tok_token *token, const struct tok_lease *lease)
{
    const struct tok_pool *pool = &token->pool;

    for (unsigned i = 1; pool->num_idle == 0 && i <= pool->num_places; i++) {
        const struct tok_place *place = tok_place_at(pool, i);

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
    if (lease->epoch != token->epoch || !tok_place_is(&token->pool, lease)) {
        return;
    }
    tok_place_at(&token->pool, lease->place)->session = CK_INVALID_HANDLE;
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
    if (tok_place_return(&token->pool, lease)) {
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

/* Another lease of the same borrower; none, which is no failure, where it can't be had at once. */
static void lease_beside(struct tok_lease *fresh, const struct tok_lease *lease, unsigned max_sessions)
{
    struct tok_token *token = lease->token;
    CK_SLOT_ID slot;

    *fresh = (struct tok_lease){
        .functions = lease->functions,
        .messages = lease->messages,
        .began_us = lease->began_us,
        .idle_sessions = lease->idle_sessions,
        .alone = lease->alone,
        .epoch = lease->epoch,
        .inside = lease->inside,
        .deadline_us = lease->deadline_us,
    };
    {
        LOCKED(&token->lock);
        if (lease->epoch != token->epoch || !tok_pool_has_room(token, max_sessions) ||
            !tok_pool_take(&token->pool, fresh, TOK_TURN_OPEN_ONE)) {
            return;
        }
        slot = token->slot;
    }
    if (session_open(token, fresh, slot) == CKR_OK) {
        fresh->token = token;
    }
}

void tok_lease_renew(struct tok_lease *lease, unsigned max_sessions)
{
    struct tok_lease fresh;

    lease_beside(&fresh, lease, max_sessions);
    lease->spoilt = true;
    tok_lease_end(lease);
    tok_lease_end(&fresh);
}
