/* The server as an event loop: one thread serves all connections, and goes on with others while a token signs for one
 * (SSL_MODE_ASYNC). */
#ifndef SIGNET_EXAMPLES_SERVE_ASYNC_H
#define SIGNET_EXAMPLES_SERVE_ASYNC_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "report.h"
#include "server-options.h"

struct async_server {
    const struct options *options;
    const struct report *report;
    int listener;                   /* does not block */
    int signals;                    /* a signalfd: SIGHUP loads again, any other one ends */
    SSL_CTX *(*context)(void *arg); /* for a new connection; borrowed */
    void (*reload)(void *arg);
    void *arg;
};

/* serve_async serves until a signal or the last of so many connections. False: something was wrong, a connection
 * perhaps. */
bool serve_async(const struct async_server *server);

#endif
