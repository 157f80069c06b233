/* Many connections at once, in one thread: how many a second, and how long one takes. */
#ifndef SIGNET_EXAMPLES_LOAD_H
#define SIGNET_EXAMPLES_LOAD_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "client-options.h"
#include "report.h"

/* load_run makes options->load connections at once, options->repeat times as many in all: each a handshake, a line each
 * way and a goodbye. Progress goes to stderr. False if one of them failed; the first one's reason is printed. */
bool load_run(const struct options *options, const struct report *report, SSL_CTX *ctx);

#endif
