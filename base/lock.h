/* A mutex with a condition variable, and deadlines on the monotonic clock.
 *
 * Waiting is always bounded: there is no wait without a deadline. Whoever owns a lock says beside it which members it
 * guards. Locks are taken in the order of the ranks in base/fork.h, and none is held across a call into a module.
 */
#ifndef SIGNET_BASE_LOCK_H
#define SIGNET_BASE_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/scoped.h"

/* A condition that one waits for, where waking all who wait for the lock's would be too many. */
struct lock_signal {
    pthread_cond_t sent;
};

struct lock {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
};

/* lock_init can't fail on Linux with these attributes; a failure aborts. */
void lock_init(struct lock *lock);
void lock_end(struct lock *lock);

void lock_take(struct lock *lock);
void lock_give(struct lock *lock);
/* lock_wait gives the lock away until somebody calls lock_wake or the deadline (microseconds of clock_us) passes, and
 * holds it again when it returns. False after the deadline. Spurious returns are normal: wait in a loop over the
 * condition. */
bool lock_wait(struct lock *lock, uint64_t deadline_us);
void lock_wake(struct lock *lock);

/* The same with a condition of the waiter's own. lock_signal_send is called with the lock held. */
void lock_signal_init(struct lock_signal *signal);
void lock_signal_end(struct lock_signal *signal);
bool lock_signal_wait(struct lock_signal *signal, struct lock *lock, uint64_t deadline_us);
void lock_signal_send(struct lock_signal *signal);

/* A lock for the rest of the scope:  LOCKED(&pool->lock); */
static inline struct lock *lock_take_scoped(struct lock *lock)
{
    lock_take(lock);
    return lock;
}
static inline void lock_give_scoped(struct lock **lock)
{
    if (*lock != NULL) {
        lock_give(*lock);
    }
}
#define LOCK_NAME2(line) held_lock_##line
#define LOCK_NAME(line) LOCK_NAME2(line)
#define LOCKED(which)                                                                                                  \
    SCOPED(lock_give_scoped) struct lock *LOCK_NAME(__LINE__) __attribute__((unused)) = lock_take_scoped(which)

/* clock_us is CLOCK_MONOTONIC in microseconds. */
uint64_t clock_us(void);
/* clock_sleep_us pauses this thread, resuming after signals. */
void clock_sleep_us(uint64_t us);

#endif
