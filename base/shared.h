/* Memory that a process shares with everybody forked from it: rows of a few words, each under a lock that survives the
 * death of its holder.
 *
 * The pages are made once, by shared_begin, before the process forks; each child inherits the same ones, and so do its
 * children. A row is found by a name, a hash of what it is about. Its lock is a robust mutex shared between processes:
 * if the holder dies, the next one gets it and is told. Waiting for it ends at a deadline. Hashes are SipHash under a
 * random key that is made with the pages.
 *
 * What is in the pages is no secret, but a keyed hash of one, and the key is next to it: whoever can read them can try
 * PINs until a hash fits. They are therefore kept as secrets are (locked, not dumped), and the processes that can read
 * them are those that hold the PIN itself. For everybody; owns the pages, for good. */
#ifndef SIGNET_BASE_SHARED_H
#define SIGNET_BASE_SHARED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/scoped.h"

#define SHARED_ROWS 64 /* beyond these, names share rows, of which their users must not mind */
#define SHARED_WORDS 13

struct shared_row {
    pthread_mutex_t lock;
    _Atomic uint64_t name;                /* 0: free */
    _Atomic uint64_t holder;              /* process and since when, for messages; 0: nobody. Read without the lock */
    _Atomic uint64_t words[SHARED_WORDS]; /* zero at first; written under the lock. What they mean is their user's
                                             business */
};

/* shared_begin makes the pages, once in a family of processes; call it as early as possible. Where they can't be had,
 * rows are private to each process. */
void shared_begin(void);
/* shared_is_shared tells whether they were had. */
bool shared_is_shared(void);

/* shared_hash is never 0. `about` tells apart what else is the same. */
uint64_t shared_hash(uint64_t about, const void *data, size_t len);

enum shared_taken {
    SHARED_TAKEN,
    SHARED_TAKEN_FROM_DEAD, /* likewise, but whoever held it died: the words are as it left them */
    SHARED_BUSY,            /* not taken before the deadline (microseconds of clock_us) */
};
/* shared_row_take gets the row of that name, free ones being claimed, and its lock. */
MUST_CHECK enum shared_taken shared_row_take(struct shared_row **out_row, uint64_t name, uint64_t deadline_us);
void shared_row_give(struct shared_row *row);
/* shared_row_look is the row of that name without its lock. */
const struct shared_row *shared_row_look(uint64_t name);
/* shared_row_holder tells which process holds the row, and for how many milliseconds; 0 if none does. */
unsigned shared_row_holder(const struct shared_row *row, uint64_t *out_ms);

#endif
