/* What is in the messages of a handshake (RFC 8446 §4, RFC 5246 §7.4), as far as it is worth showing. libssl reads them
 * for the connection; here they are read again for people, so whatever is malformed just reads as empty. */
#ifndef SIGNET_EXAMPLES_MESSAGES_H
#define SIGNET_EXAMPLES_MESSAGES_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

/* A place in bytes. Reading past the end gives zeros, and stays there. */
struct cursor {
    const unsigned char *at;
    size_t left;
};
struct cursor cursor_over(const void *data, size_t len);
unsigned cursor_peek(const struct cursor *cursor);
void cursor_skip(struct cursor *cursor, size_t len);
unsigned cursor_u16(struct cursor *cursor);

#define RANDOM_HEX (2 * 32 + 1)

struct client_hello {
    char random[RANDOM_HEX];
    char versions[64]; /* "TLS 1.3, TLS 1.2" */
    char name[256];    /* of the server that is wanted; "" if it does not say */
    unsigned num_suites;
};
void client_hello_read(struct client_hello *out, struct cursor *body);

struct server_hello {
    char random[RANDOM_HEX];
    unsigned version;
    unsigned suite;
    unsigned group; /* of the key share; 0 in TLS 1.2 */
    bool retry;     /* no hello, but a wish for another one */
};
void server_hello_read(struct server_hello *out, struct cursor *body);

/* certificates_read gives the chain, the end's own certificate first; to be freed. */
STACK_OF(X509) *certificates_read(struct cursor *body, bool tls13);

/* key_exchange_skip moves behind the server's key share of TLS 1.2, to its signature; false if there is none. */
bool key_exchange_skip(struct cursor *body, int kx_nid);

/* Names of numbers; NULL for a version or a suite that is unknown. Static. */
const char *version_name(unsigned version);
const char *scheme_name(unsigned scheme);
const char *suite_name(SSL *ssl, unsigned suite);

#endif
