#include "base/lock.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define US_PER_S 1000000u
#define NS_PER_US 1000u

static void condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attr;

    if (pthread_condattr_init(&attr) != 0 || pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) != 0 ||
        pthread_cond_init(condition, &attr) != 0) {
        abort();
    }
    pthread_condattr_destroy(&attr);
}

void lock_init(struct lock *lock)
{
    if (pthread_mutex_init(&lock->mutex, NULL) != 0) {
        abort();
    }
    condition_init(&lock->changed);
}

void lock_end(struct lock *lock)
{
    pthread_cond_destroy(&lock->changed);
    pthread_mutex_destroy(&lock->mutex);
}

void lock_take(struct lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
}

void lock_give(struct lock *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}

static bool wait_for(pthread_cond_t *condition, struct lock *lock, uint64_t deadline_us)
{
    struct timespec until = {
        .tv_sec = (time_t)(deadline_us / US_PER_S),
        .tv_nsec = (long)(deadline_us % US_PER_S * NS_PER_US),
    };

    return pthread_cond_timedwait(condition, &lock->mutex, &until) != ETIMEDOUT;
}

bool lock_wait(struct lock *lock, uint64_t deadline_us)
{
    return wait_for(&lock->changed, lock, deadline_us);
}

void lock_wake(struct lock *lock)
{
    pthread_cond_broadcast(&lock->changed);
}

void lock_signal_init(struct lock_signal *signal)
{
    condition_init(&signal->sent);
}

void lock_signal_end(struct lock_signal *signal)
{
    pthread_cond_destroy(&signal->sent);
}

bool lock_signal_wait(struct lock_signal *signal, struct lock *lock, uint64_t deadline_us)
{
    return wait_for(&signal->sent, lock, deadline_us);
}

void lock_signal_send(struct lock_signal *signal)
{
    pthread_cond_signal(&signal->sent);
}

uint64_t clock_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * US_PER_S + (uint64_t)now.tv_nsec / NS_PER_US;
}

void clock_sleep_us(uint64_t us)
{
    struct timespec left = { .tv_sec = (time_t)(us / US_PER_S), .tv_nsec = (long)(us % US_PER_S * NS_PER_US) };

    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) {
    }
}
