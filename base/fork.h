/* Which process is this? State that a child must not touch carries the generation in which it was made.
 *
 * The generation starts at 1 and grows by one in every forked child (pthread_atfork), so comparing two numbers tells
 * whether a handle, a lock or a thread is inherited. A clone that copies memory and runs no handlers is noticed by a
 * page that the kernel wipes there, or by the process id. Handlers registered here run in the child, in the order of
 * their registration, before fork returns. For everybody. */
#ifndef SIGNET_BASE_FORK_H
#define SIGNET_BASE_FORK_H

#include <stdbool.h>

/* fork_generation is cheap enough for every operation: it reads two words of memory (and, before Linux 4.14, the
 * process id). */
unsigned fork_generation(void);

/* fork_handlers registers functions for fork: `prepare` and `parent` in the forking process, `child` in the new one.
 * Any may be NULL. At most 8 registrations in a process; never unregistered (the provider is never unmapped). */
void fork_handlers(void (*prepare)(void), void (*parent)(void), void (*child)(void));

/* process_exiting tells whether exit has begun: then nothing may call into a module any more, since its own exit
 * handlers may have run (tokens' C++ statics are gone). process_watch_exit arms it; call it after each module is
 * loaded, because exit handlers run in reverse order. */
bool process_exiting(void);
void process_watch_exit(void);
/* process_at_exit: `stop` runs once exit has begun, before the exit handlers of a module that was watched for. One
 * function in a process. */
void process_at_exit(void (*stop)(void));

#endif
