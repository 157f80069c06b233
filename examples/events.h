/* What an event loop has to know of TLS connections: which descriptor one waits for, its socket or that of a signature
 * which is being made elsewhere (SSL_MODE_ASYNC). A connection is armed for one event at a time. */
#ifndef SIGNET_EXAMPLES_EVENTS_H
#define SIGNET_EXAMPLES_EVENTS_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

/* events_arm: the last operation on `ssl` returned `result`; waits for what it needs, and tells `who` (epoll's
 * data.ptr) once. False if it needs nothing: it has failed, or ended. */
bool events_arm(int epoll, SSL *ssl, int result, void *who);
/* events_socket waits for the socket alone. */
bool events_socket(int epoll, int fd, uint32_t events, void *who);

/* events_more_files raises the limit on open descriptors as far as this user may. */
void events_more_files(void);
/* events_clock is a monotonic clock, in seconds. */
double events_clock(void);

#endif
