/* Pauses between tries of something that may take a while: each is twice as long as the one before, up to the longest.
 *
 * For everybody who tries again; tests/unit/test-lock.c has the rows. */
#ifndef SIGNET_BASE_PAUSE_H
#define SIGNET_BASE_PAUSE_H

#include <stdint.h>

struct pauses {
    uint64_t first_us;
    uint64_t longest_us;
};

/* Within an operation that somebody waits for, */
static const struct pauses pauses_to_wait = { UINT64_C(10) * 1000, UINT64_C(200) * 1000 };
/* and between looks at what was given up, and may be back. */
static const struct pauses pauses_to_probe = { UINT64_C(1) * 1000 * 1000, UINT64_C(30) * 1000 * 1000 };

/* pause_after is the one after `last_us`; 0: there was none yet. */
static inline uint64_t pause_after(uint64_t last_us, const struct pauses *pauses)
{
    uint64_t next_us = last_us * 2 > pauses->first_us ? last_us * 2 : pauses->first_us;

    return next_us < pauses->longest_us ? next_us : pauses->longest_us;
}

#endif
