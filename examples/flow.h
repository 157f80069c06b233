/* The textbook's nine steps of mutual TLS, printed as they happen: (1) client hello, (2) the server signs, (3) server
 * hello and chain, (4) the client signs, (5) the client checks the server, (6) the client's chain, (7) the server
 * checks that chain, (8) and the signature, (9) the channel. All of it is read from libssl's message callback and from
 * the connection's own state; docs/mtls.md explains what is seen. */
#ifndef SIGNET_EXAMPLES_FLOW_H
#define SIGNET_EXAMPLES_FLOW_H

#include <openssl/ssl.h>

#include "report.h"

/* flow_watch makes every connection of the context check its peer in a way that remembers what was wrong. */
void flow_watch(SSL_CTX *ctx);

/* flow_begin follows a new connection of such a context; `report` must outlive it. Ends with the SSL. False: no memory.
 */
bool flow_begin(SSL *ssl, const struct report *report, unsigned connection);

/* flow_answered is for a client, after its first read that succeeded: with TLS 1.3 only that shows that the server has
 * let it in. */
void flow_answered(SSL *ssl);
/* flow_connected tells step 9, after the handshake. */
void flow_connected(SSL *ssl);
/* flow_refused tells, after a failed handshake, who refused whom and why, and empties OpenSSL's queue. */
void flow_refused(SSL *ssl);
/* flow_broken tells, after step 9, why the connection ended without a goodbye, and empties the queue. */
void flow_broken(SSL *ssl);
/* flow_closed tells how many bytes went each way. */
void flow_closed(SSL *ssl);

/* The signature schemes of the handshake: ours and the other end's; "-" where nothing was signed. */
const char *flow_our_scheme(SSL *ssl);
const char *flow_peer_scheme(SSL *ssl);

#endif
