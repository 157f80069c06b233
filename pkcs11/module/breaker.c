#include "pkcs11/module/breaker.h"

#include "base/pause.h"
#include "base/text.h"

#define HUNG_PROBE_US (UINT64_C(120) * 1000 * 1000)

void tok_breaker_trip(struct tok_breaker *breaker, uint64_t now_us, uint64_t since_us, bool at_once, const char *why)
{
    struct text text;

    if (tok_breaker_is_open(breaker)) {
        return; /* the probes decide when it is asked next, and the first reason stays */
    }
    text = TEXT_OVER(breaker->why);
    breaker->probing = false;
    breaker->since_us = since_us;
    breaker->pause_us = pause_after(0, &pauses_to_probe);
    breaker->probe_us = at_once ? now_us : now_us + breaker->pause_us;
    text_put(&text, why);
    atomic_store(&breaker->open, true);
}

/* A probe that does not come back, ever, is not the end: a call may have been lost on a network that is there again.
 * But it costs its caller's thread, so that the next one is sent late. */
bool tok_breaker_probe(struct tok_breaker *breaker, uint64_t now_us)
{
    if (now_us < breaker->probe_us + (breaker->probing ? HUNG_PROBE_US : 0)) {
        return false;
    }
    breaker->probing = true;
    breaker->probe_us = now_us;
    return true;
}

void tok_breaker_probed(struct tok_breaker *breaker, uint64_t now_us)
{
    breaker->probing = false;
    breaker->probe_us = now_us + breaker->pause_us;
    breaker->pause_us = pause_after(breaker->pause_us, &pauses_to_probe);
}

void tok_breaker_close(struct tok_breaker *breaker)
{
    breaker->probing = false;
    atomic_store(&breaker->open, false);
}

static double seconds(uint64_t later_us, uint64_t earlier_us)
{
    return later_us > earlier_us ? (double)(later_us - earlier_us) / 1e6 : 0;
}

struct tok_result tok_breaker_refusal(const struct tok_breaker *breaker, uint64_t now_us)
{
    if (breaker->probing) {
        return tok_fail(TOK_CODE_UNAVAILABLE, "no answer for %.1f s (%s); it is being asked again since %.1f s",
                        seconds(now_us, breaker->since_us), breaker->why, seconds(now_us, breaker->probe_us));
    }
    return tok_fail(TOK_CODE_UNAVAILABLE, "no answer for %.1f s (%s); it is asked again in %.1f s",
                    seconds(now_us, breaker->since_us), breaker->why, seconds(breaker->probe_us, now_us));
}

/* --- aside -------------------------------------------------------------------------------------------------------- */

static uint64_t aside_pause(struct tok_aside *aside)
{
    uint64_t pause_us = pause_after(atomic_load(&aside->pause_us), &pauses_to_probe);

    atomic_store(&aside->pause_us, pause_us);
    return pause_us;
}

/* Many may fail at once; the first one sets it aside, and a later pause begins with a claim. */
void tok_aside_put(struct tok_aside *aside, uint64_t now_us)
{
    if (!tok_aside_is(aside)) {
        atomic_store(&aside->until_us, now_us + aside_pause(aside));
    }
}

bool tok_aside_claim(struct tok_aside *aside, uint64_t now_us)
{
    uint64_t until_us = atomic_load_explicit(&aside->until_us, memory_order_relaxed);

    if (until_us == 0 || now_us < until_us ||
        !atomic_compare_exchange_strong(&aside->until_us, &until_us, now_us + pauses_to_probe.first_us)) {
        return false;
    }
    atomic_store(&aside->until_us, now_us + aside_pause(aside));
    return true;
}

void tok_aside_end(struct tok_aside *aside)
{
    atomic_store(&aside->until_us, 0);
    atomic_store(&aside->pause_us, 0);
}
