#include "pkcs11/module/health.h"

#include "base/pause.h"
#include "base/text.h"

/* A trial that does not come back, ever, is not the end: a call may have been lost on a network that is there again.
 * But it costs its caller's thread, so that the next one is sent late. */
#define HUNG_TRIAL_US (UINT64_C(120) * 1000 * 1000)
#define STUCK_US (1000 * 1000)

static void pause_from(struct tok_health *health, uint64_t now_us, uint64_t pause_us)
{
    atomic_store(&health->on_trial, false);
    atomic_store(&health->pause_us, pause_us);
    atomic_store(&health->trial_us, now_us + pause_us);
}

/* Many may fail at once, and one of them may have put it away meanwhile, which stays. */
void tok_health_aside(struct tok_health *health, uint64_t now_us)
{
    enum tok_health_state works = TOK_HEALTH_WORKS;

    if (tok_health_works(health)) {
        pause_from(health, now_us, pause_after(0, &pauses_to_probe));
        atomic_compare_exchange_strong(&health->state, &works, TOK_HEALTH_ASIDE);
    }
}

void tok_health_away(struct tok_health *health, uint64_t now_us, uint64_t since_us, bool at_once, const char *why)
{
    struct text text;

    if (tok_health_is_away(health)) {
        return;
    }
    text = TEXT_OVER(health->why);
    text_put(&text, why);
    health->since_us = since_us;
    pause_from(health, now_us, at_once ? 0 : pause_after(0, &pauses_to_probe));
    atomic_store(&health->state, TOK_HEALTH_AWAY);
}

bool tok_health_is_due(const struct tok_health *health, uint64_t now_us)
{
    return tok_health_works(health) || now_us >= atomic_load(&health->trial_us);
}

bool tok_health_try(struct tok_health *health, uint64_t now_us)
{
    uint64_t trial_us = atomic_load(&health->trial_us);

    if (tok_health_works(health)) {
        return true;
    }
    if (now_us < trial_us || !atomic_compare_exchange_strong(&health->trial_us, &trial_us, now_us + HUNG_TRIAL_US)) {
        return false;
    }
    atomic_store(&health->on_trial, true);
    return true;
}

void tok_health_failed(struct tok_health *health, uint64_t now_us)
{
    if (atomic_load(&health->on_trial)) {
        pause_from(health, now_us, pause_after(atomic_load(&health->pause_us), &pauses_to_probe));
    }
}

void tok_health_good(struct tok_health *health)
{
    atomic_store(&health->on_trial, false);
    atomic_store(&health->state, TOK_HEALTH_WORKS);
}

static double seconds(uint64_t later_us, uint64_t earlier_us)
{
    return later_us > earlier_us ? (double)(later_us - earlier_us) / 1e6 : 0;
}

struct tok_result tok_health_refusal(const struct tok_health *health, uint64_t now_us)
{
    uint64_t trial_us = atomic_load(&health->trial_us);

    if (atomic_load(&health->on_trial)) {
        return tok_fail(TOK_CODE_UNAVAILABLE, "no answer for %.1f s (%s); it is being asked again since %.1f s",
                        seconds(now_us, health->since_us), health->why, seconds(now_us + HUNG_TRIAL_US, trial_us));
    }
    return tok_fail(TOK_CODE_UNAVAILABLE, "no answer for %.1f s (%s); it is asked again in %.1f s",
                    seconds(now_us, health->since_us), health->why, seconds(trial_us, now_us));
}

/* What all do for themselves, at their own times, is good enough here. */
bool tok_health_is_stuck(struct tok_health *health, unsigned inside, uint64_t served, uint64_t now_us)
{
    if (inside == 0 || served != atomic_load_explicit(&health->stuck_at, memory_order_relaxed)) {
        atomic_store_explicit(&health->stuck_at, served, memory_order_relaxed);
        atomic_store_explicit(&health->stuck_us, now_us, memory_order_relaxed);
        return false;
    }
    return now_us > atomic_load_explicit(&health->stuck_us, memory_order_relaxed) + STUCK_US;
}
