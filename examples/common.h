/* What the demonstration server and client share: loading keys, certificates and trust the way any application may, and
 * telling what a connection proved. Only libssl's public API; nothing here knows of PKCS#11. Copy what you need. */
#ifndef SIGNET_EXAMPLES_COMMON_H
#define SIGNET_EXAMPLES_COMMON_H

#include <openssl/ssl.h>

/* What both ends are told on their command lines. */
struct identity {
    const char *key;   /* a PEM file, or a URI that some provider's store knows ("pkcs11:...") */
    const char *chain; /* likewise: our certificate, then the intermediates that lead to its root */
    const char *trust; /* a PEM file: the root that the other end's chain must lead to */
    int min_tls;
    int max_tls; /* 0: whatever both ends know */
};

/* context_new makes a context that presents this identity and demands one of the other end. NULL after printing why. */
SSL_CTX *context_new(const SSL_METHOD *method, const struct identity *identity);

/* tls_version reads "1.2", "1.3" or "any" into the identity's limits; 0 if it is none of them. */
int tls_version(struct identity *identity, const char *text);

/* print_connection tells who is at the other end, what was agreed, and which key of ours signed. */
void print_connection(const char *who, SSL *ssl);

/* print_errors prints "who: what" and OpenSSL's reasons, the first one first, and empties the queue. */
void print_errors(const char *who, const char *what);

/* split_address cuts HOST:PORT (or [HOST]:PORT) in two, in place; 0 if there is no port. */
int split_address(char *address, char **out_host, char **out_port);

#endif
