/* What the module in front of another (token-counter.c) counts, and what it is told to do: a page that lives in the
 * file that SIGNET_TEST_COUNTS names, or in memory of its own if none does. Whoever maps the file, in whatever process,
 * reads the counters and sets the misbehaviour while the token is in use; forked children share it. All is 0 at first,
 * and then the token behaves. control.h has the words for it. */
#ifndef SIGNET_TESTS_COUNTS_H
#define SIGNET_TESTS_COUNTS_H

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "functions.h"

#define COUNT_NAME(name, params, args) COUNT_##name,
enum count {
    CRYPTOKI_2_40(COUNT_NAME) CRYPTOKI_3_0(COUNT_NAME) NUM_LISTED,
    COUNT_GetFunctionList = NUM_LISTED, /* these three are exported, and no calls to the token */
    COUNT_GetInterfaceList,
    COUNT_GetInterface,
    NUM_COUNTS
};

#define FOREVER UINT_MAX
#define MOST_ATTRIBUTES 128

/* What else happens to the token at the call that a fault strikes. */
enum effect { EFFECT_LOSE = 1, EFFECT_LOG_OUT = 2, EFFECT_GO_AWAY = 4 };

/* What goes wrong with calls of one function. A call that fails is as if it had not been made, and one that ends
 * something (C_Sign, C_CloseSession) has ended it. With `left` it is the other way round: C_SignInit has begun its
 * operation all the same, C_OpenSession has opened a session, and C_Sign leaves its operation active. */
struct fault {
    _Atomic unsigned after;   /* so many calls pass before */
    _Atomic unsigned times;   /* so many calls are struck then, FOREVER for all */
    _Atomic unsigned hang_ms; /* each of them hangs as long, or until this is set to something else if it is FOREVER */
    _Atomic unsigned effects; /* of enum effect */
    _Atomic unsigned left;    /* see above */
    _Atomic unsigned long with; /* what it returns in the end, a CK_RV; CKR_OK hands the call on */
    _Atomic unsigned struck;    /* counts the calls that were */
};

struct counts {
    _Atomic unsigned calls[NUM_COUNTS];
    _Atomic unsigned delay_us[NUM_COUNTS]; /* before each call */
    struct fault faults[NUM_COUNTS];
    _Atomic unsigned serialise;       /* one call at a time, of all processes */
    _Atomic unsigned max_sessions;    /* of all processes that share the file, and all tokens; 0: what the token has */
    _Atomic unsigned losses;          /* one more, and each process loses its sessions at its next call */
    _Atomic unsigned lose_every;      /* so many calls, all sessions are lost again */
    _Atomic unsigned logouts;         /* one more, and each process is logged out at its next call */
    _Atomic unsigned away;            /* no slot holds a token */
    _Atomic unsigned long away_with;  /* what a call for a session returns then, if not CKR_DEVICE_REMOVED */
    _Atomic unsigned long slot_shift; /* what slots are called, above what they are called behind */
    _Atomic unsigned long without;    /* plus one: a mechanism that C_SignInit and C_DecryptInit do not know */
    _Atomic unsigned lost;            /* how often a process has lost its sessions */
    _Atomic unsigned logged_out;      /* and been logged out */
    _Atomic unsigned sessions_refused;
    _Atomic unsigned secrets_asked; /* parts of private and secret keys that must stay in the token */
    struct attribute {
        _Atomic unsigned long type; /* plus one, so that 0 is a free place */
        _Atomic unsigned asked;
    } attributes[MOST_ATTRIBUTES]; /* what C_GetAttributeValue was ever asked, of any object */
    _Atomic unsigned turn_made;    /* 1 while somebody makes `turn`, 2 when it is there */
    pthread_mutex_t turn;          /* for `serialise` */
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

/* counts_total is the number of all calls to the token. */
__attribute__((unused)) static unsigned counts_total(const struct counts *counts)
{
    unsigned sum = 0;

    for (size_t i = 0; i < NUM_LISTED; i++) {
        sum += counts->calls[i];
    }
    return sum;
}

/* counts_forget starts from 0 calls; what was asked for stays known. */
__attribute__((unused)) static void counts_forget(struct counts *counts)
{
    for (size_t i = 0; i < NUM_COUNTS; i++) {
        counts->calls[i] = 0;
        counts->faults[i].struck = 0;
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
