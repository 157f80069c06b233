/* A thread of our own in somebody else's process.
 *
 * It takes no signal, so that the application's handlers never run there; it has a name, which tools show; its stack is
 * small beside the usual 8 MiB, and large enough for vendors' modules. It is detached: it ends by returning. For
 * pkcs11/work/worker.c. */
#ifndef SIGNET_BASE_THREAD_H
#define SIGNET_BASE_THREAD_H

#include <stdbool.h>

/* thread_start runs `run(arg)` on a new thread, whose name has at most 15 characters. False if the system has none to
 * spare. */
bool thread_start(const char *name, void *(*run)(void *arg), void *arg);

#endif
