#include "pkcs11/work/bell.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/lock.h"
#include "base/trace.h"

struct tok_bell {
    int fd; /* -1: closed in this process. Constant but for that */
    struct tok_bell *next, **prev;
};

static struct lock bells_lock;
static struct tok_bell *bells;

static void bells_child(void)
{
    for (struct tok_bell *bell = bells; bell != NULL; bell = bell->next) {
        (void)close(bell->fd);
        bell->fd = -1;
    }
    bells = NULL;
}

static void bells_begin(void)
{
    fork_lock(FORK_BELLS, &bells_lock, bells_child);
}

struct tok_bell *tok_bell_new(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct tok_bell *bell = calloc(1, sizeof(*bell));

    pthread_once(&once, bells_begin);
    if (bell == NULL || (bell->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0) {
        free(bell);
        return NULL;
    }
    LOCKED(&bells_lock);
    bell->prev = &bells;
    bell->next = bells;
    if (bell->next != NULL) {
        bell->next->prev = &bell->next;
    }
    bells = bell;
    return bell;
}

void tok_bell_free(struct tok_bell *bell)
{
    if (bell == NULL) {
        return;
    }
    if (bell->fd >= 0) {
        LOCKED(&bells_lock);
        *bell->prev = bell->next;
        if (bell->next != NULL) {
            bell->next->prev = bell->prev;
        }
        (void)close(bell->fd);
    }
    free(bell);
}

int tok_bell_fd(const struct tok_bell *bell)
{
    return bell->fd;
}

void tok_bell_ring(struct tok_bell *bell)
{
    const uint64_t one = 1;

    if (bell->fd >= 0 && write(bell->fd, &one, sizeof(one)) != (ssize_t)sizeof(one)) {
        trace(TRACE_KEY, "key: a job could not be woken"); /* the counter is full: it is readable */
    }
}

void tok_bell_quiet(struct tok_bell *bell)
{
    uint64_t count;

    if (bell->fd >= 0 && read(bell->fd, &count, sizeof(count)) < 0) {
        return; /* it had not rung */
    }
}
