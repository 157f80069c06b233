/* One does it, the others wait, and can say who is in their way.
 *
 * For work that takes as long as somebody else's code likes (starting a module, loading it, looking at its slots,
 * logging in) and is done by one thread at a time, outside all locks. The flight itself is guarded by a lock of its
 * owner, on whose condition the others wait, each up to its own deadline. Once a deadline has passed, nobody else waits
 * for the same one: it gets the error at once. A deadline frees those who wait, and not the thread that is inside; what
 * that thread is inside of is what the error names. For everybody; owns nothing. */
#ifndef SIGNET_BASE_FLIGHT_H
#define SIGNET_BASE_FLIGHT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "base/text.h"

/* The name of the call that a thread is inside of; NULL: of none. */
typedef const _Atomic(const char *) flight_inside;

struct flight {
    bool on;
    bool late;             /* a deadline has passed that somebody waited for this one */
    flight_inside *inside; /* what its thread is inside of; good while it is on */
    uint64_t since_us;
};

/* All of these require the lock. flight_begin is for who found it off, or need not care. */
void flight_begin(struct flight *flight, flight_inside *inside);
void flight_end(struct flight *flight, struct lock *lock);

/* flight_wait gives the lock away until something has changed, and does not touch the flight after that, for it may be
 * gone: look again whether it is on. False: there is no more time, or nobody waits for this one any more; if it is
 * still on, flight_late says so. */
bool flight_wait(const struct flight *flight, struct lock *lock, uint64_t deadline_us);

/* flight_late is for who leaves at a deadline: "C_Login, called by another thread 1.2 s ago, has not returned". One
 * that has only just begun is not to blame, though, and the next one waits for it: who leaves has spent his time
 * elsewhere. */
void flight_late(struct flight *flight, struct text *why);

/* flight_is_slow: has it been on for so long that a deadline which passed meanwhile is its fault? */
bool flight_is_slow(const struct flight *flight, uint64_t now_us);

#endif
