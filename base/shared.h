/* What a family of processes knows together: rows of a few words, in memory that a process shares with everybody forked
 * from it, and turns, of which one process at a time has one.
 *
 * The memory is made once, by shared_begin, before the process forks; each child inherits it, and so do its children.
 * It holds numbers and nothing else, and none of them leads anywhere: a member of the family that was broken into can
 * write what it likes, and the others read wrong numbers. Who reads them copies a word once, checks it, and keeps what
 * must not be forged in the process's own row, which no other process can write.
 *
 * A turn is a lock that the kernel keeps (fcntl, F_SETLK) on an empty file without a name, whose descriptor each child
 * inherits. It belongs to a process, is not inherited by fork, and ends with its holder however that dies; nothing in
 * memory can take it or keep it. It needs no path, no rights and no /proc, so it works in a chroot and after setuid.
 * Threads of one process take turns by a word of their own. Where the descriptor is gone (closed with all others by a
 * server that becomes a daemon, or refused by a filter of system calls), a turn is among the threads of one process
 * alone, and the taker is told.
 *
 * Hashes are SipHash under a random key that each process has in its own memory. For everybody; owns all of that, for
 * good. */
#ifndef SIGNET_BASE_SHARED_H
#define SIGNET_BASE_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/scoped.h"

#define SHARED_ROWS 64 /* beyond these, names share rows, of which their users must not mind */
#define SHARED_WORDS 15

struct shared_row {
    _Atomic uint64_t name;                /* 0: free */
    _Atomic uint64_t words[SHARED_WORDS]; /* zero at first. What they mean is their user's business */
};

/* shared_begin makes the memory, once in a family of processes; call it as early as possible. */
void shared_begin(void);
/* shared_is_shared tells whether the memory could be had. Else the family's rows are this process's. */
bool shared_is_shared(void);

/* shared_hash is never 0. `about` tells apart what else is the same. */
uint64_t shared_hash(uint64_t about, const void *data, size_t len);

/* The row of that name, which is a hash: the family's, written by each of its processes, and this process's own, of
 * which a child begins with a copy. Never NULL. */
struct shared_row *shared_row_of_family(uint64_t name);
struct shared_row *shared_row_of_process(uint64_t name);

enum shared_turn {
    SHARED_TURN,       /* nobody else in the family has it */
    SHARED_TURN_ALONE, /* no other thread of this process has it; of other processes nothing is known */
    SHARED_BUSY,       /* not had before the deadline (microseconds of clock_us) */
};
/* shared_turn_take waits for the turn at what the name names; not for one that the calling thread has. */
MUST_CHECK enum shared_turn shared_turn_take(uint64_t name, uint64_t deadline_us);
void shared_turn_give(uint64_t name);
/* shared_turn_holder is the process that has the turn, by the kernel's word; 0: none, or one that can't be named here.
 */
unsigned shared_turn_holder(uint64_t name);

#endif
