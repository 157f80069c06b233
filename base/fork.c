#include "base/fork.h"

#include <stdatomic.h>
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

static void generation_grows(void)
{
    atomic_store(&state, state_of(getpid(), (unsigned)atomic_load(&state) + 1));
    if (unforked != NULL) {
        atomic_store(unforked, 1);
    }
}

/* --- around a fork ------------------------------------------------------------------------------------------------ */

struct handler {
    struct lock *lock; /* NULL: the functions, of which any may be NULL */
    void (*prepare)(void);
    void (*parent)(void);
    void (*child)(void);
};

static pthread_mutex_t table =
    PTHREAD_MUTEX_INITIALIZER; /* guards what follows; held from the gate to the fork's end */
static struct handler handlers[FORK_NUM_RANKS];

static _Thread_local struct handler passed; /* the gate, by the thread that forks */

static void prepare(const struct handler *handler)
{
    if (handler->lock != NULL) {
        lock_take(handler->lock);
    } else if (handler->prepare != NULL) {
        handler->prepare();
    }
}

static void parent(const struct handler *handler)
{
    if (handler->lock != NULL) {
        lock_give(handler->lock);
    } else if (handler->parent != NULL) {
        handler->parent();
    }
}

static void child(const struct handler *handler)
{
    if (handler->lock != NULL) {
        lock_init(handler->lock);
    }
    if (handler->child != NULL) {
        handler->child();
    }
}

/* At the gate one waits, without the table: others may want to register meanwhile. A gate that comes only then is none
 * for this fork. */
static void before_fork(void)
{
    pthread_mutex_lock(&table);
    passed = handlers[FORK_GATE];
    pthread_mutex_unlock(&table);
    prepare(&passed);
    pthread_mutex_lock(&table);
    for (unsigned rank = FORK_GATE + 1; rank < FORK_NUM_RANKS; rank++) {
        prepare(&handlers[rank]);
    }
}

static void in_parent(void)
{
    for (unsigned rank = FORK_NUM_RANKS - 1; rank > FORK_GATE; rank--) {
        parent(&handlers[rank]);
    }
    pthread_mutex_unlock(&table);
    parent(&passed);
}

static void in_child(void)
{
    generation_grows(); /* first, so that every handler already sees it */
    pthread_mutex_init(&table, NULL);
    for (unsigned rank = FORK_NUM_RANKS; rank > 0; rank--) {
        child(&handlers[rank - 1]);
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
    pthread_atfork(before_fork, in_parent, in_child);
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

static void handler_set(enum fork_rank rank, struct handler handler)
{
    watch_fork();
    pthread_mutex_lock(&table);
    handlers[rank] = handler;
    pthread_mutex_unlock(&table);
}

void fork_handlers(enum fork_rank rank, void (*on_prepare)(void), void (*on_parent)(void), void (*on_child)(void))
{
    handler_set(rank, (struct handler){ NULL, on_prepare, on_parent, on_child });
}

void fork_lock(enum fork_rank rank, struct lock *lock, void (*on_child)(void))
{
    lock_init(lock);
    handler_set(rank, (struct handler){ .lock = lock, .child = on_child });
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
