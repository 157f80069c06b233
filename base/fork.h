/* Which process is this, and what happens around a fork?
 *
 * State that a child must not touch carries the generation in which it was made. It starts at 1 and grows by one in
 * every forked child, so comparing two numbers tells whether a handle, a lock or a thread is inherited. A clone that
 * copies memory and runs no handlers is noticed by a page that the kernel wipes there, or by the process id.
 *
 * Around a fork all locks are held, so that the child gets whole lists. They are taken in the order of their ranks,
 * whoever came first, by the one pthread_atfork of this project. For everybody. */
#ifndef SIGNET_BASE_FORK_H
#define SIGNET_BASE_FORK_H

#include <stdbool.h>

#include "base/lock.h"

/* The order of locks: who holds one takes only those of higher ranks. Before a fork they are taken in this order; in
 * the parent they are given back in the reverse order, in which also the child makes them anew. */
enum fork_rank {
    FORK_LAST,     /* no lock: what a child does once everything else is in order again */
    FORK_GATE,     /* waits for calls that are inside a module, so before any lock that others would wait for */
    FORK_REGISTRY, /* the registry's, then each module's and those of its tokens */
    FORK_KEYS,
    FORK_REACH, /* the list of tokens that children are to reach */
    FORK_PINS,
    FORK_CREW, /* requests and workers */
    FORK_BELLS,
    FORK_ARENA, /* where secrets are: under any other lock */
    FORK_NUM_RANKS
};

/* fork_generation is cheap enough for every operation: it reads two words of memory (and, before Linux 4.14, the
 * process id). */
unsigned fork_generation(void);

/* fork_handlers has these run around each fork, `prepare` and `parent` in the forking process, `child` in the new one.
 * Any may be NULL. Each rank has one owner, who may register at any time, and never goes (the provider is never
 * unmapped). `parent` runs only where `prepare` did. Waits for a fork that is past its gate. */
void fork_handlers(enum fork_rank rank, void (*prepare)(void), void (*parent)(void), void (*child)(void));
/* fork_lock makes a lock that is held around each fork. In the child it is made anew, and then `child` runs (NULL:
 * nothing). */
void fork_lock(enum fork_rank rank, struct lock *lock, void (*child)(void));

/* process_exiting tells whether exit has begun: then nothing may call into a module any more, since its own exit
 * handlers may have run (tokens' C++ statics are gone). process_watch_exit arms it; call it after each module is
 * loaded, because exit handlers run in reverse order. */
bool process_exiting(void);
void process_watch_exit(void);
/* process_at_exit: `stop` runs once exit has begun, before the exit handlers of a module that was watched for. One
 * function in a process. */
void process_at_exit(void (*stop)(void));

#endif
