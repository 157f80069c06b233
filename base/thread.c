#include "base/thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* Of which a module may use most: on their own threads, applications give them 8 MiB, musl 128 KiB. */
#define STACK_SIZE ((size_t)512 * 1024)

struct start {
    char name[16];
    void *(*run)(void *arg);
    void *arg;
};

/* It names itself: a detached thread may be gone before its maker could. */
static void *begin(void *vstart)
{
    struct start start = *(struct start *)vstart;

    free(vstart);
    (void)pthread_setname_np(pthread_self(), start.name);
    return start.run(start.arg);
}

/* The new thread inherits the mask of the one that makes it. */
bool thread_start(const char *name, void *(*run)(void *arg), void *arg)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    struct start *start = calloc(1, sizeof(*start));
    bool started;

    if (start == NULL || pthread_attr_init(&attr) != 0) {
        free(start);
        return false;
    }
    *start = (struct start){ .run = run, .arg = arg };
    (void)snprintf(start->name, sizeof(start->name), "%s", name);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    started = pthread_attr_setstacksize(&attr, STACK_SIZE) == 0 &&
              pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0 &&
              pthread_create(&thread, &attr, begin, start) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (!started) {
        free(start);
    }
    return started;
}
