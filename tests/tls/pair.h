/* Two ends of a TLS connection in one process, over memory. For the tests in this folder. */
#ifndef SIGNET_TESTS_PAIR_H
#define SIGNET_TESTS_PAIR_H

#include <openssl/ssl.h>

/* context_with makes a context with a key (by name) and chain file, trusting `root`, which speaks one version; NULL
 * with errors on the queue. Without a key it is one for clients, or for servers that take theirs elsewhere. */
SSL_CTX *context_with(const char *key, const char *chain, const char *root, int version);

/* ask_clients makes a server insist on a client's certificate, or ask for none. */
void ask_clients(SSL_CTX *server, int authenticate);

/* shake runs a handshake between two contexts and a byte each way, with these groups on both ends (NULL: the default).
 * 1 if both ends are content, the client has verified the server's chain and name, and the server the client's chain
 * if it asked for one. */
int shake(SSL_CTX *server, SSL_CTX *client, const char *groups);

/* shake_damaged runs a handshake in which the last byte of the client's record of a handshake message of this type
 * arrives changed. Returns the alert that the client gets from the server, which is all that a stranger learns; -1 if
 * none. */
int shake_damaged(SSL_CTX *server, SSL_CTX *client, unsigned char type);

#endif
