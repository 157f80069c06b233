#include "pkcs11/recover/attempts.h"

#include <string.h>

#include "base/pause.h"
#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/token/pool.h"

#define LOOK_FOR_OVERDUE_US (100 * 1000) /* so often */
#define GRACE_US (500 * 1000)            /* beyond its deadline: a busy machine is no dead token */

enum tok_recovery tok_first_recovery(const struct tok_result *result)
{
    return tok_is_spoken(result) ? tok_ckr(result->rv)->recovery : TOK_GIVE_UP;
}

void tok_attempts_begin(struct tok_attempts *attempts, const struct tok_settings *settings, uint64_t deadline_us,
                        uint64_t now_us)
{
    memset(attempts, 0, offsetof(struct tok_attempts, note)); /* on the path of every signature, and the note is long */
    attempts->note[0] = '\0';
    attempts->began_us = now_us != 0 ? now_us : clock_us();
    attempts->never_reinit = settings->never_reinit;
    attempts->deadline_us = deadline_us != 0 ? deadline_us : attempts->began_us + settings->deadline_us;
}

static struct tok_result enter_slowly(struct tok_attempts *attempts, struct tok_token *token)
{
    uint64_t now = clock_us();

    LOCKED(&token->lock);
    atomic_store_explicit(&token->pool.look_us, now + LOOK_FOR_OVERDUE_US, memory_order_relaxed);
    if (!tok_health_is_away(&token->health)) {
        const struct tok_lease *overdue = tok_pool_overdue(&token->pool, now - GRACE_US);
        char why[64];
        struct text text = TEXT_OVER(why);

        if (overdue == NULL) {
            return tok_good();
        }
        text_printf(&text, "an operation in %s has not ended", tok_inside_name(overdue->inside));
        trace(TRACE_TOKEN, "token: '%s' is not asked by everybody any more: %s", token->label, why);
        tok_health_away(&token->health, now, overdue->began_us, true, why);
        attempts->on_trial = false; /* that was another trial */
    }
    if (!attempts->on_trial && ((attempts->others && !attempts->probes) || !tok_health_try(&token->health, now))) {
        return tok_health_refusal(&token->health, now);
    }
    trace(TRACE_TOKEN, "token: '%s' is asked whether it answers again", token->label);
    attempts->probing = true;
    return tok_good();
}

struct tok_result tok_attempts_enter(struct tok_attempts *attempts, struct tok_token *token)
{
    if (attempts->entered == token) {
        return tok_good();
    }
    attempts->entered = token;
    attempts->served = atomic_load_explicit(&token->pool.served, memory_order_relaxed);
    if (!tok_health_is_away(&token->health) &&
        attempts->began_us < atomic_load_explicit(&token->pool.look_us, memory_order_relaxed)) {
        return tok_good();
    }
    return enter_slowly(attempts, token);
}

bool tok_has_answered(const struct tok_result *result)
{
    switch (tok_first_recovery(result)) {
    case TOK_LOOK_AGAIN:
    case TOK_SLOT_AGAIN:
    case TOK_INITIALIZE:
    case TOK_WAIT:
        return false;
    default:
        return result->code != TOK_CODE_DEADLINE && result->code != TOK_CODE_UNAVAILABLE;
    }
}

bool tok_others_are_served(const struct tok_attempts *attempts, struct tok_token *token)
{
    return atomic_load_explicit(&token->pool.served, memory_order_relaxed) != attempts->served;
}

static void end_badly(struct tok_attempts *attempts, struct tok_token *token, const struct tok_result *result)
{
    uint64_t now = clock_us();

    LOCKED(&token->lock);
    if (attempts->probing) {
        attempts->probing = false;
        tok_health_failed(&token->health, now);
        trace(TRACE_TOKEN, "token: '%s' does not answer: %s", token->label, result->message);
    } else if (result->code != TOK_CODE_UNAVAILABLE && !tok_others_are_served(attempts, token) &&
               (attempts->out_of_time || now >= attempts->deadline_us)) {
        trace(TRACE_TOKEN, "token: '%s' is not asked by everybody any more: %s", token->label, result->message);
        tok_health_away(&token->health, now, attempts->began_us, false, result->message);
    }
}

void tok_attempts_end(struct tok_attempts *attempts, struct tok_token *token, const struct tok_result *result)
{
    if (!tok_ok(result) && !tok_has_answered(result)) {
        end_badly(attempts, token, result);
        return;
    }
    if (tok_health_is_away(&token->health)) {
        LOCKED(&token->lock);
        tok_health_good(&token->health);
        trace(TRACE_TOKEN, "token: '%s' answers again", token->label);
    }
}

/* Nobody waits in a probe, for whom all others are refused. */
bool tok_attempts_pause(struct tok_attempts *attempts)
{
    attempts->pause_us = pause_after(attempts->pause_us, &pauses_to_wait);
    if (attempts->others) {
        return false;
    }
    if (attempts->probing || clock_us() + attempts->pause_us >= attempts->deadline_us) {
        attempts->out_of_time = true;
        return false;
    }
    clock_sleep_us(attempts->pause_us);
    return true;
}
