/* The health of a token, of a key on one, or of a module's C_Initialize: who asks what has failed, and when.
 *
 *     state    is asked by                                     how it comes to that
 *     works    everybody
 *     aside    those who have no other, and one on trial       it failed, and another one served
 *     away     one on trial; all others are refused at once    an operation used up its deadline, or a call is overdue,
 *                                                              and nobody was served meanwhile
 *
 * One caller at a time is on trial, by an ordinary operation; the pauses between trials double from 1 s to 30 s. Who
 * puts it away, is refused, or tells of an answer holds the lock of its owner (pkcs11/token/token.h), which guards
 * `since_us` and `why`; the rest needs no lock. For module.c, pkcs11/recover/attempts.c and the
 * room pkcs11/key. */
#ifndef SIGNET_PKCS11_MODULE_HEALTH_H
#define SIGNET_PKCS11_MODULE_HEALTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pkcs11/result/result.h"

enum tok_health_state { TOK_HEALTH_WORKS, TOK_HEALTH_ASIDE, TOK_HEALTH_AWAY };

struct tok_health {
    _Atomic(enum tok_health_state) state;
    _Atomic bool on_trial;
    _Atomic uint64_t trial_us; /* when the next trial may begin, be it that the one under way does not come back */
    _Atomic uint64_t pause_us; /* the last one; 0: none yet */
    _Atomic uint64_t stuck_at; /* how many were served when it was last seen to serve, */
    _Atomic uint64_t stuck_us; /* and when that was */
    uint64_t since_us;         /* when what did not answer began */
    char why[160];
};

static inline bool tok_health_works(const struct tok_health *health)
{
    return atomic_load_explicit(&health->state, memory_order_relaxed) == TOK_HEALTH_WORKS;
}

static inline bool tok_health_is_away(const struct tok_health *health)
{
    return atomic_load_explicit(&health->state, memory_order_relaxed) == TOK_HEALTH_AWAY;
}

/* tok_health_aside sets aside what works; the first trial may come after a pause. */
void tok_health_aside(struct tok_health *health, uint64_t now_us);
/* tok_health_away is for all; the first trial may come after a pause, or at once where `at_once`. Nothing changes where
 * it is away already: the first reason stays. */
void tok_health_away(struct tok_health *health, uint64_t now_us, uint64_t since_us, bool at_once, const char *why);
/* tok_health_is_due: does it work, or may a trial begin? */
bool tok_health_is_due(const struct tok_health *health, uint64_t now_us);
/* tok_health_try: is it due, and the caller the one who tries, where it is a trial? False then for all others until
 * tok_health_failed, or until the trial has been under way for two minutes. */
bool tok_health_try(struct tok_health *health, uint64_t now_us);
/* tok_health_failed ends a trial, if one is under way. */
void tok_health_failed(struct tok_health *health, uint64_t now_us);
/* tok_health_good: it works (again). */
void tok_health_good(struct tok_health *health);
/* tok_health_refusal is what all others get from one that is away. */
struct tok_result tok_health_refusal(const struct tok_health *health, uint64_t now_us);
/* tok_health_is_stuck: has nobody been served for a second though somebody is inside? */
bool tok_health_is_stuck(struct tok_health *health, unsigned inside, uint64_t served, uint64_t now_us);

#endif
