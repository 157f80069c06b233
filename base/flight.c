#include "base/flight.h"

/* One that ends with somebody's time is to blame for it if it took as long as this. */
#define TOO_LONG_US (UINT64_C(100) * 1000)

void flight_begin(struct flight *flight, flight_inside *inside)
{
    *flight = (struct flight){ .on = true, .inside = inside, .since_us = clock_us() };
}

void flight_end(struct flight *flight, struct lock *lock)
{
    *flight = (struct flight){ .on = false };
    lock_wake(lock);
}

bool flight_wait(const struct flight *flight, struct lock *lock, uint64_t deadline_us)
{
    return !flight->late && lock_wait(lock, deadline_us);
}

bool flight_is_slow(const struct flight *flight, uint64_t now_us)
{
    return now_us - flight->since_us >= TOO_LONG_US;
}

void flight_late(struct flight *flight, struct text *why)
{
    const char *name = atomic_load_explicit(flight->inside, memory_order_relaxed);
    uint64_t now = clock_us();
    double seconds = (double)(now - flight->since_us) / 1e6;

    flight->late = flight->late || flight_is_slow(flight, now);

    if (name != NULL) {
        text_printf(why, "%s, called by another thread %.1f s ago, has not returned", name, seconds);
    } else {
        text_printf(why, "another thread began with it %.1f s ago and has not finished", seconds);
    }
}
