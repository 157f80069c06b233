/* A circuit breaker: what did not answer in time is not asked again by everybody, but by one caller now and then.
 *
 * It opens when an operation used up its deadline, or when a call is overdue and nothing was served since it began.
 * While it is open, operations fail at once with an error that says since when and when the next probe is. A probe is
 * an ordinary operation, one at a time; the pauses between them double from 1 s to 30 s. Any success closes it. The
 * state is guarded by the lock of its owner (pkcs11/token/token.h); `open` may be read without. For
 * modules, tokens and pkcs11/recover/attempts.c. */
#ifndef SIGNET_PKCS11_MODULE_BREAKER_H
#define SIGNET_PKCS11_MODULE_BREAKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pkcs11/result/result.h"

struct tok_breaker {
    _Atomic bool open;
    bool probing;      /* a probe is under way */
    uint64_t since_us; /* when what did not answer began */
    uint64_t probe_us; /* when the probe under way began, or the next one may */
    uint64_t pause_us; /* before the next probe */
    char why[160];
};

static inline bool tok_breaker_is_open(const struct tok_breaker *breaker)
{
    return atomic_load_explicit(&breaker->open, memory_order_relaxed);
}

/* tok_breaker_trip opens it, or tells of a failure while it is open; the next probe may come after a pause, or at once
 * where `at_once`. */
void tok_breaker_trip(struct tok_breaker *breaker, uint64_t now_us, uint64_t since_us, bool at_once, const char *why);
/* tok_breaker_probe: may the caller probe? True once until tok_breaker_probed, or until that probe has been away for
 * two minutes. */
bool tok_breaker_probe(struct tok_breaker *breaker, uint64_t now_us);
/* tok_breaker_probed ends a failed probe. */
void tok_breaker_probed(struct tok_breaker *breaker, uint64_t now_us);
void tok_breaker_close(struct tok_breaker *breaker);
/* tok_breaker_refusal is what all others get. */
struct tok_result tok_breaker_refusal(const struct tok_breaker *breaker, uint64_t now_us);

/* Where another one can take its place, what failed is set aside much sooner, and refused to nobody: it is asked last,
 * but for one caller now and then, after pauses that double likewise. No lock. */
struct tok_aside {
    _Atomic uint64_t until_us; /* 0: it is not */
    _Atomic uint64_t pause_us; /* the last one; 0: none yet */
};

static inline bool tok_aside_is(const struct tok_aside *aside)
{
    return atomic_load_explicit(&aside->until_us, memory_order_relaxed) != 0;
}

void tok_aside_put(struct tok_aside *aside, uint64_t now_us);
/* tok_aside_claim: is the pause over, and the caller the one who tries? */
bool tok_aside_claim(struct tok_aside *aside, uint64_t now_us);
void tok_aside_end(struct tok_aside *aside);

#endif
