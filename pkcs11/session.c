#include "pkcs11/session.h"

#include "base/trace.h"

#define OPEN_AGAIN_AFTER_US (20 * 1000) /* when other processes hold all sessions of the token */

enum turn { TURN_IDLE_SESSION, TURN_OPEN_ONE, TURN_TOO_LATE };

/* Requires the token's lock. */
static void queue_join(struct tok_token *token, struct tok_waiter *self)
{
    struct tok_waiter **last = &token->pool.waiting;

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
    lock_wake(&token->lock);
}

/* Requires the token's lock. Waits until it is this one's turn and a session is idle or may be opened. */
static enum turn pool_wait(struct tok_token *token, const struct tok_waiter *self, unsigned max_sessions,
                           uint64_t deadline_us)
{
    struct tok_pool *pool = &token->pool;

    for (;;) {
        unsigned limit = pool->limit != 0 ? pool->limit : max_sessions;

        if (max_sessions != 0 && max_sessions < limit) {
            limit = max_sessions;
        }
        if (pool->waiting == self) {
            if (pool->num_idle > 0) {
                return TURN_IDLE_SESSION;
            }
            if (limit == 0 || pool->open < limit) {
                return TURN_OPEN_ONE;
            }
        }
        if (clock_us() >= deadline_us) {
            return TURN_TOO_LATE;
        }
        (void)lock_wait(&token->lock, deadline_us);
    }
}

/* One attempt to open, without a lock. The place in `open` is already taken. */
static CK_RV session_open(struct tok_lease *lease, CK_SLOT_ID slot)
{
    return TOK_CALL(lease->functions, C_OpenSession, slot, CKF_SERIAL_SESSION, NULL, NULL, &lease->session);
}

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
    lock_wake(&token->lock);
}

/* A token that is full has told its limit. */
static void session_not_opened(struct tok_token *token, uint64_t epoch, CK_RV rv)
{
    LOCKED(&token->lock);
    session_gone(token, epoch);
    if (rv == CKR_SESSION_COUNT && epoch == token->epoch && token->pool.open > 0) {
        token->pool.limit = token->pool.open;
        trace(TRACE_SESSION, "session: '%s' has no more than %u sessions", token->label, token->pool.limit);
    }
}

/* Whatever the module answers: the session was spoilt. */
static void session_close(struct tok_token *token, CK_SESSION_HANDLE session, uint64_t epoch)
{
    trace(TRACE_SESSION, "session: closing %lu on '%s'", session, token->label);
    (void)TOK_CALL(token->module->functions, C_CloseSession, session);
    LOCKED(&token->lock);
    session_gone(token, epoch);
}

/* lease_take gets an idle session (true), or the right to open one (false with *out_slot), or fails. */
static struct tok_result lease_take(struct tok_lease *lease, bool *out_idle, CK_SLOT_ID *out_slot,
                                    unsigned max_sessions, uint64_t deadline_us)
{
    struct tok_token *token = lease->token;
    struct tok_pool *pool = &token->pool;
    struct tok_waiter self = { NULL };
    enum turn turn;

    LOCKED(&token->lock);
    queue_join(token, &self);
    turn = pool_wait(token, &self, max_sessions, deadline_us);
    lease->epoch = token->epoch;
    *out_slot = token->slot;
    *out_idle = turn == TURN_IDLE_SESSION;
    if (turn == TURN_IDLE_SESSION) {
        lease->session = pool->idle[--pool->num_idle];
    } else if (turn == TURN_OPEN_ONE) {
        pool->open++;
    }
    queue_leave(token, &self);
    if (turn == TURN_TOO_LATE) {
        return tok_fail(TOK_CODE_DEADLINE, "all %u sessions of the token have been busy", pool->open);
    }
    return tok_good();
}

struct tok_result tok_lease_begin(struct tok_lease *lease, struct tok_token *token, unsigned max_sessions,
                                  uint64_t deadline_us)
{
    struct tok_lease taken = { .token = token, .functions = token->module->functions };

    for (;;) {
        bool idle;
        CK_SLOT_ID slot;
        CK_RV rv;

        TOK_TRY(lease_take(&taken, &idle, &slot, max_sessions, deadline_us));
        rv = idle ? CKR_OK : session_open(&taken, slot);
        if (rv == CKR_OK) {
            if (!idle) {
                trace(TRACE_SESSION, "session: opened %lu on '%s'", taken.session, token->label);
            }
            *lease = taken;
            return tok_good();
        }
        session_not_opened(token, taken.epoch, rv);
        if (rv != CKR_SESSION_COUNT) {
            return tok_fail_ckr("C_OpenSession", rv);
        }
        if (clock_us() + OPEN_AGAIN_AFTER_US >= deadline_us) {
            return tok_fail(TOK_CODE_DEADLINE, "the token has had no session to spare (CKR_SESSION_COUNT)");
        }
        clock_sleep_us(OPEN_AGAIN_AFTER_US);
    }
}

/* Requires the token's lock. */
static bool pool_keep(struct tok_pool *pool, CK_SESSION_HANDLE session)
{
    if (pool->num_idle == pool->room) {
        size_t room = pool->room + 16;
        CK_SESSION_HANDLE *grown = reallocarray(pool->idle, room, sizeof(*grown));

        if (grown == NULL) {
            return false;
        }
        pool->idle = grown;
        pool->room = room;
    }
    pool->idle[pool->num_idle++] = session;
    return true;
}

void tok_lease_end(struct tok_lease *lease)
{
    struct tok_token *token = lease->token;
    bool close = lease->op_open || lease->spoilt;

    if (token == NULL) {
        return;
    }
    lease->token = NULL;
    {
        LOCKED(&token->lock);
        if (lease->epoch != token->epoch) {
            return; /* of a time that is gone: the module forgot this session, or another process owns it */
        }
        if (lease->forgotten) { /* by the module, which may have given its number to another one by now */
            session_gone(token, lease->epoch);
            return;
        }
        close = close || !pool_keep(&token->pool, lease->session);
        if (!close) {
            lock_wake(&token->lock);
            return;
        }
    }
    session_close(token, lease->session, lease->epoch);
}

void tok_pool_drain(struct tok_token *token, uint64_t epoch)
{
    for (;;) {
        CK_SESSION_HANDLE session;
        {
            LOCKED(&token->lock);
            if (token->epoch != epoch || token->pool.num_idle == 0) {
                return;
            }
            session = token->pool.idle[--token->pool.num_idle];
        }
        session_close(token, session, epoch);
    }
}
