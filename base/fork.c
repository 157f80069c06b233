#include "base/fork.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static _Atomic unsigned generation = 1;
static _Atomic pid_t process; /* whose generation that is; 0: not asked yet */
static _Atomic bool exiting;

static void in_child(void)
{
    atomic_fetch_add(&generation, 1);
    atomic_store(&process, getpid());
}

static void watch_begin(void)
{
    atomic_store(&process, getpid());
    pthread_atfork(NULL, NULL, in_child);
}

static void watch_fork(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, watch_begin);
}

unsigned fork_generation(void)
{
    pid_t known;

    watch_fork();
    known = atomic_load(&process);
    if (known != getpid() && atomic_compare_exchange_strong(&process, &known, getpid())) {
        atomic_fetch_add(&generation, 1); /* a clone that ran no handlers */
    }
    return atomic_load(&generation);
}

void fork_handlers(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    watch_fork(); /* first, so that every child handler already sees the new generation */
    pthread_atfork(prepare, parent, child);
}

static void mark_exiting(void)
{
    atomic_store(&exiting, true);
}

bool process_exiting(void)
{
    return atomic_load_explicit(&exiting, memory_order_relaxed);
}

/* Exit handlers run last registered first, so the one that counts is the one registered after the latest module's. Each start
 * of a module asks; more than a few make no difference. */
void process_watch_exit(void)
{
    static _Atomic unsigned registered;

    if (atomic_fetch_add(&registered, 1) < 24) {
        (void)atexit(mark_exiting);
    }
}
