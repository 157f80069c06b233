/* What the module in front of another (token-counter.c) counts, and what it is told to do: a page that lives in the
 * file that SIGNET_TEST_COUNTS names, or in memory of its own if none does. Whoever maps the file, in whatever process,
 * reads the counters and sets the misbehaviour while the token is in use; forked children share it. A new kind of
 * misbehaviour of any function is one more field in struct function, and one more line in `misbehave`. */
#ifndef SIGNET_TESTS_COUNTS_H
#define SIGNET_TESTS_COUNTS_H

#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "functions.h"

#define COUNT_NAME(name, params, args) COUNT_##name,
enum count { CRYPTOKI_2_40(COUNT_NAME) CRYPTOKI_3_0(COUNT_NAME) NUM_COUNTS };

#define MOST_ATTRIBUTES 128

struct counts {
    struct function {
        _Atomic unsigned calls;
        _Atomic unsigned delay_us;       /* before each call */
        _Atomic unsigned hang;           /* while set, calls do not get on */
        _Atomic unsigned fail_times;     /* this many calls are not handed on, but fail ... */
        _Atomic unsigned long fail_with; /* ... with this CK_RV */
    } of[NUM_COUNTS];
    _Atomic unsigned long without; /* plus one: a mechanism that C_SignInit and C_DecryptInit do not know */
    struct attribute {
        _Atomic unsigned long type; /* plus one, so that 0 is a free place */
        _Atomic unsigned asked;
    } attributes[MOST_ATTRIBUTES];  /* what C_GetAttributeValue was ever asked, of any object */
    _Atomic unsigned secrets_asked; /* of these, parts of private and secret keys that must stay in the token */
};

/* counts_map gives the page in the file at `path`, made if need be, or a new one that only children share if that is
 * NULL; NULL on failure. */
__attribute__((unused)) static struct counts *counts_map(const char *path)
{
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int flags = path == NULL ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED;
    void *map;

    if (path != NULL && (fd < 0 || ftruncate(fd, sizeof(struct counts)) != 0)) {
        return NULL;
    }
    map = mmap(NULL, sizeof(struct counts), PROT_READ | PROT_WRITE, flags, fd, 0);
    if (fd >= 0) {
        close(fd);
    }
    return map == MAP_FAILED ? NULL : map;
}

__attribute__((unused)) static unsigned counts_total(const struct counts *counts)
{
    unsigned sum = 0;

    for (size_t i = 0; i < NUM_COUNTS; i++) {
        sum += counts->of[i].calls;
    }
    return sum;
}

/* counts_forget starts from 0 calls; what was asked for stays known. */
__attribute__((unused)) static void counts_forget(struct counts *counts)
{
    for (size_t i = 0; i < NUM_COUNTS; i++) {
        counts->of[i].calls = 0;
    }
}

/* counts_asked is how often an attribute was asked, of any object. */
__attribute__((unused)) static unsigned counts_asked(const struct counts *counts, unsigned long type)
{
    for (size_t i = 0; i < MOST_ATTRIBUTES && counts->attributes[i].type != 0; i++) {
        if (counts->attributes[i].type == type + 1) {
            return counts->attributes[i].asked;
        }
    }
    return 0;
}

#endif
