#include "base/shared.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/lock.h"
#include "base/siphash.h"

#define US_PER_S 1000000u
#define NS_PER_US 1000u
#define US_PER_MS 1000u

struct pages {
    uint8_t key[SIPHASH_KEY_SIZE];
    struct shared_row rows[SHARED_ROWS];
};

static struct pages private_pages; /* in place of shared ones that could not be had */
static struct pages *pages;        /* constant after shared_begin */

static void rows_init(void)
{
    pthread_mutexattr_t attr;

    if (pthread_mutexattr_init(&attr) != 0 || pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) != 0 ||
        pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) != 0) {
        abort();
    }
    for (size_t i = 0; i < SHARED_ROWS; i++) {
        if (pthread_mutex_init(&pages->rows[i].lock, &attr) != 0) {
            abort();
        }
    }
    pthread_mutexattr_destroy(&attr);
}

/* The child's own copy of private rows: a thread that stayed behind may hold their locks. */
static void private_child(void)
{
    rows_init();
}

/* Without random bytes (a kernel of long ago, a filter of system calls) the hashes still tell texts apart. */
static void key_make(void)
{
    size_t have = 0;
    ssize_t got;

    while (have < sizeof(pages->key) &&
           ((got = getrandom(pages->key + have, sizeof(pages->key) - have, 0)) > 0 || errno == EINTR)) {
        have += got > 0 ? (size_t)got : 0;
    }
    if (have < sizeof(pages->key)) {
        uint64_t now = clock_us();

        memcpy(pages->key, &now, sizeof(now));
    }
}

static void begin(void)
{
    void *map = mmap(NULL, sizeof(*pages), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    pages = map != MAP_FAILED ? map : &private_pages;
    if (pages == &private_pages) {
        fork_handlers(FORK_SHARED, NULL, NULL, private_child);
    } else {
        (void)madvise(map, sizeof(*pages), MADV_DONTDUMP);
        (void)mlock(map, sizeof(*pages));
    }
    key_make();
    rows_init();
}

void shared_begin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, begin);
}

bool shared_is_shared(void)
{
    shared_begin();
    return pages != &private_pages;
}

uint64_t shared_hash(uint64_t about, const void *data, size_t len)
{
    uint8_t key[SIPHASH_KEY_SIZE];
    uint64_t hash;

    shared_begin();
    memcpy(key, pages->key, sizeof(key));
    for (size_t i = 0; i < sizeof(about); i++) {
        key[i] ^= (uint8_t)(about >> (8 * i));
    }
    hash = siphash(key, data, len);
    return hash != 0 ? hash : 1;
}

/* The row that bears the name, or the next free one, which then does. Names never go, so no lock is needed. */
static struct shared_row *row_of(uint64_t name)
{
    for (size_t i = 0; i < SHARED_ROWS; i++) {
        struct shared_row *row = &pages->rows[(name + i) % SHARED_ROWS];
        uint64_t bears = 0;

        if (atomic_compare_exchange_strong(&row->name, &bears, name) || bears == name) {
            return row;
        }
    }
    return &pages->rows[name % SHARED_ROWS];
}

const struct shared_row *shared_row_look(uint64_t name)
{
    shared_begin();
    return row_of(name);
}

/* Process and time in one word, so that they are read together: 22 bits hold every process id of Linux. */
static uint64_t holder_of(uint64_t now_us)
{
    return (now_us / US_PER_MS) << 22 | ((uint64_t)getpid() & 0x3fffff);
}

/* gcc's thread sanitizer does not see pthread_mutex_clocklock, and would take the mutex for unlocked: under it we try
 * again and again. */
static int lock_until(pthread_mutex_t *mutex, uint64_t deadline_us)
{
#ifdef __SANITIZE_THREAD__
    int error;

    while ((error = pthread_mutex_trylock(mutex)) == EBUSY && clock_us() < deadline_us) {
        clock_sleep_us(US_PER_MS);
    }
    return error;
#else
    const struct timespec until = {
        .tv_sec = (time_t)(deadline_us / US_PER_S),
        .tv_nsec = (long)(deadline_us % US_PER_S * NS_PER_US),
    };

    return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until);
#endif
}

enum shared_taken shared_row_take(struct shared_row **out_row, uint64_t name, uint64_t deadline_us)
{
    struct shared_row *row;
    int error;

    shared_begin();
    row = row_of(name);
    *out_row = row;
    error = lock_until(&row->lock, deadline_us);
    if (error != 0 && error != EOWNERDEAD) {
        return SHARED_BUSY;
    }
    if (error == EOWNERDEAD) {
        pthread_mutex_consistent(&row->lock);
    }
    atomic_store(&row->holder, holder_of(clock_us()));
    return error == EOWNERDEAD ? SHARED_TAKEN_FROM_DEAD : SHARED_TAKEN;
}

void shared_row_give(struct shared_row *row)
{
    atomic_store(&row->holder, 0);
    pthread_mutex_unlock(&row->lock);
}

unsigned shared_row_holder(const struct shared_row *row, uint64_t *out_ms)
{
    uint64_t holder = atomic_load(&row->holder);
    uint64_t now_ms = clock_us() / US_PER_MS;

    *out_ms = holder != 0 && now_ms > holder >> 22 ? now_ms - (holder >> 22) : 0;
    return (unsigned)(holder & 0x3fffff);
}
