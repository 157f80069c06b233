#include "base/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/lock.h"
#include "base/pause.h"
#include "base/secret.h"
#include "base/siphash.h"

/* Of those who wait for a turn. */
static const struct pauses pauses = { UINT64_C(1) * 1000, UINT64_C(20) * 1000 };

static struct shared_row *family;              /* SHARED_ROWS; constant after shared_begin */
static struct shared_row instead[SHARED_ROWS]; /* of the family's, where memory could not be shared */
static struct shared_row own[SHARED_ROWS];     /* this process's */
static _Atomic unsigned turns[SHARED_ROWS];    /* the fork generation of who has it; of another: nobody's */
static struct secret key = { NULL, 0 };        /* constant after shared_begin, as are the next */
static uint8_t spare_key[SIPHASH_KEY_SIZE];    /* without memory for a secret */
static struct {
    int fd; /* -1: none */
    dev_t device;
    ino_t inode;
} file = { .fd = -1 };

/* --- making it ---------------------------------------------------------------------------------------------------- */

/* Without random bytes (a kernel of long ago, a filter of system calls) the hashes still tell texts apart. */
static void key_make(void)
{
    uint8_t bytes[SIPHASH_KEY_SIZE];
    size_t have = 0;
    ssize_t got;

    while (have < sizeof(bytes) && ((got = getrandom(bytes + have, sizeof(bytes) - have, 0)) > 0 || errno == EINTR)) {
        have += got > 0 ? (size_t)got : 0;
    }
    if (have < sizeof(bytes)) {
        uint64_t now = clock_us();

        memcpy(bytes, &now, sizeof(now));
    }
    if (!secret_set(&key, bytes, sizeof(bytes))) {
        memcpy(spare_key, bytes, sizeof(bytes));
    }
    secret_wipe(bytes, sizeof(bytes));
}

/* Nothing can be written to the file, nor its length be changed. Its descriptor stays clear of the numbers that
 * programs close and open by number. */
static void file_make(void)
{
    const int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    int made = memfd_create("signet", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    struct stat info;

    if (made < 0) {
        return;
    }
    file.fd = fcntl(made, F_DUPFD_CLOEXEC, 100);
    if (file.fd < 0) { /* RLIMIT_NOFILE is lower */
        file.fd = fcntl(made, F_DUPFD_CLOEXEC, 3);
    }
    (void)close(made);
    if (file.fd >= 0 && fstat(file.fd, &info) == 0) {
        (void)fcntl(file.fd, F_ADD_SEALS, seals);
        file.device = info.st_dev;
        file.inode = info.st_ino;
    }
}

static void begin(void)
{
    void *map = mmap(NULL, sizeof(own), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    family = map != MAP_FAILED ? map : instead;
    key_make();
    file_make();
}

void shared_begin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, begin);
}

bool shared_is_shared(void)
{
    shared_begin();
    return family != instead;
}

uint64_t shared_hash(uint64_t about, const void *data, size_t len)
{
    uint8_t under[SIPHASH_KEY_SIZE];
    uint64_t hash;

    shared_begin();
    memcpy(under, secret_exists(&key) ? key.data : spare_key, sizeof(under));
    for (size_t i = 0; i < sizeof(about); i++) {
        under[i] ^= (uint8_t)(about >> (8 * i));
    }
    hash = siphash(under, data, len);
    secret_wipe(under, sizeof(under));
    return hash != 0 ? hash : 1;
}

/* --- rows --------------------------------------------------------------------------------------------------------- */

/* The number of the row that bears the name, or of the next free one, which then does. Names never go, so no lock is
 * needed; the family's may be overwritten, and then there are other rows. */
static size_t row_of(struct shared_row *rows, uint64_t name)
{
    for (size_t i = 0; i < SHARED_ROWS; i++) {
        size_t at = (name + i) % SHARED_ROWS;
        uint64_t bears = 0;

        if (atomic_compare_exchange_strong(&rows[at].name, &bears, name) || bears == name) {
            return at;
        }
    }
    return name % SHARED_ROWS;
}

struct shared_row *shared_row_of_family(uint64_t name)
{
    shared_begin();
    return &family[row_of(family, name)];
}

struct shared_row *shared_row_of_process(uint64_t name)
{
    return &own[row_of(own, name)];
}

/* --- turns -------------------------------------------------------------------------------------------------------- */

/* The descriptor may have been closed, and its number have gone to somebody else's file. */
static bool file_is_ours(void)
{
    struct stat info;

    return file.fd >= 0 && fstat(file.fd, &info) == 0 && info.st_dev == file.device && info.st_ino == file.inode;
}

/* One byte of the file for each name, which need not be there to be locked. 30 bits fit every off_t. */
static struct flock lock_of(uint64_t name, short type)
{
    return (struct flock){ .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)(name & 0x3fffffff), .l_len = 1 };
}

/* SHARED_BUSY: another process has it at this moment. */
static enum shared_turn file_take(uint64_t name)
{
    struct flock lock = lock_of(name, F_WRLCK);

    if (!file_is_ours()) {
        return SHARED_TURN_ALONE;
    }
    if (fcntl(file.fd, F_SETLK, &lock) == 0) {
        return SHARED_TURN;
    }
    return errno == EAGAIN || errno == EACCES ? SHARED_BUSY : SHARED_TURN_ALONE;
}

static void file_give(uint64_t name)
{
    struct flock lock = lock_of(name, F_UNLCK);

    if (file_is_ours()) {
        (void)fcntl(file.fd, F_SETLK, &lock);
    }
}

/* What a thread that stayed behind in the parent had is nobody's. */
static bool thread_take(_Atomic unsigned *turn)
{
    unsigned now = fork_generation();
    unsigned has = atomic_load(turn);

    return has != now && atomic_compare_exchange_strong(turn, &has, now);
}

/* False at the deadline. */
static bool wait_once(uint64_t *in_out_pause_us, uint64_t deadline_us)
{
    uint64_t now = clock_us();

    if (now >= deadline_us) {
        return false;
    }
    *in_out_pause_us = pause_after(*in_out_pause_us, &pauses);
    clock_sleep_us(*in_out_pause_us < deadline_us - now ? *in_out_pause_us : deadline_us - now);
    return true;
}

enum shared_turn shared_turn_take(uint64_t name, uint64_t deadline_us)
{
    _Atomic unsigned *turn = &turns[row_of(own, name)];
    uint64_t pause_us = 0;
    enum shared_turn taken;

    shared_begin();
    while (!thread_take(turn)) {
        if (!wait_once(&pause_us, deadline_us)) {
            return SHARED_BUSY;
        }
    }
    while ((taken = file_take(name)) == SHARED_BUSY) {
        if (!wait_once(&pause_us, deadline_us)) {
            atomic_store(turn, 0);
            return SHARED_BUSY;
        }
    }
    return taken;
}

void shared_turn_give(uint64_t name)
{
    file_give(name);
    atomic_store(&turns[row_of(own, name)], 0);
}

unsigned shared_turn_holder(uint64_t name)
{
    struct flock lock = lock_of(name, F_WRLCK);

    shared_begin();
    if (atomic_load(&turns[row_of(own, name)]) == fork_generation()) {
        return (unsigned)getpid();
    }
    if (!file_is_ours() || fcntl(file.fd, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK || lock.l_pid < 0) {
        return 0;
    }
    return (unsigned)lock.l_pid;
}
