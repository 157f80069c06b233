#include "base/fork.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The process id and its generation, in one word, so that no thread sees the one without the other. */
static _Atomic uint64_t state;
static _Atomic bool exiting;

/* A word that is 1 in the process that wrote it and 0 in one that was copied from it: the kernel wipes its page when it
 * copies memory (MADV_WIPEONFORK, Linux 4.14). Reading it is free, where getpid would cost each signature a system
 * call. NULL: this kernel can't. */
static _Atomic unsigned *unforked;

static uint64_t state_of(pid_t process, unsigned generation)
{
    return (uint64_t)(uint32_t)process << 32 | generation;
}

static void in_child(void)
{
    atomic_store(&state, state_of(getpid(), (unsigned)atomic_load(&state) + 1));
    if (unforked != NULL) {
        atomic_store(unforked, 1);
    }
}

static void unforked_begin(void)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED) {
        return;
    }
    if (madvise(page, size, MADV_WIPEONFORK) != 0) {
        (void)munmap(page, size);
        return;
    }
    unforked = page;
    atomic_store(unforked, 1);
}

static void watch_begin(void)
{
    unforked_begin();
    atomic_store(&state, state_of(getpid(), 1));
    pthread_atfork(NULL, NULL, in_child);
}

static void watch_fork(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, watch_begin);
}

unsigned fork_generation(void)
{
    uint64_t known;
    pid_t process;

    watch_fork();
    if (unforked != NULL && atomic_load(unforked) == 1) { /* and the state was written before it */
        return (unsigned)atomic_load(&state);
    }
    known = atomic_load(&state);
    process = getpid();
    while ((pid_t)(known >> 32) != process) { /* a clone that ran no handlers */
        uint64_t next = state_of(process, (unsigned)known + 1);

        if (atomic_compare_exchange_weak(&state, &known, next)) {
            known = next;
        }
    }
    if (unforked != NULL) {
        atomic_store(unforked, 1);
    }
    return (unsigned)known;
}

void fork_handlers(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    watch_fork(); /* first, so that every child handler already sees the new generation */
    pthread_atfork(prepare, parent, child);
}

static void (*_Atomic at_exit)(void);

static void mark_exiting(void)
{
    void (*stop)(void) = atomic_load(&at_exit);

    if (!atomic_exchange(&exiting, true) && stop != NULL) {
        stop();
    }
}

void process_at_exit(void (*stop)(void))
{
    atomic_store(&at_exit, stop);
}

bool process_exiting(void)
{
    return atomic_load_explicit(&exiting, memory_order_relaxed);
}

/* Exit handlers run last registered first, so the one that counts is the one registered after the latest module's. Each
 * start of a module asks; more than a few make no difference. */
void process_watch_exit(void)
{
    static _Atomic unsigned registered;

    if (atomic_fetch_add(&registered, 1) < 24) {
        (void)atexit(mark_exiting);
    }
}
