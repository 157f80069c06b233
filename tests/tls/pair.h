/* Two ends of a TLS connection in one process, over memory, and the keys that they have. For the tests in this folder.
 */
#ifndef SIGNET_TESTS_PAIR_H
#define SIGNET_TESTS_PAIR_H

#include <openssl/ssl.h>

/* key_by_name loads a private key from a `pkcs11:` URI or a PEM file; NULL with errors on the queue. */
EVP_PKEY *key_by_name(const char *name);

/* key_by_query loads it from a URI by a store that the property query admits. */
EVP_PKEY *key_by_query(const char *uri, const char *query);

/* key_signs_for signs with one key and verifies with another, by SHA-256 unless the key takes the whole message;
 * key_signs does both with one. 0 with errors on the queue; NULL can't. */
int key_signs_for(EVP_PKEY *key, EVP_PKEY *verifier);
int key_signs(EVP_PKEY *key);

/* context_with makes a context with a key (by name) and chain file, trusting `root`; NULL with errors on the queue. */
SSL_CTX *context_with(const char *key, const char *chain, const char *root, int version);

/* shake runs a handshake between two contexts and a byte each way. 1 if both ends are content and have verified each
 * other (the server its client only if it asked). */
int shake(SSL_CTX *server, SSL_CTX *client);

#endif
