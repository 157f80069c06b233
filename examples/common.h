/* What the demonstration server and client share: loading keys, certificates and trust the way any application may, and
 * telling which key signed. Only libssl's public API; nothing here knows of PKCS#11. Copy what you need. */
#ifndef SIGNET_EXAMPLES_COMMON_H
#define SIGNET_EXAMPLES_COMMON_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

/* What we prove to be ours. */
struct identity {
    const char *host;  /* the server's name that it is for; NULL: any other (and a client's) */
    const char *key;   /* a PEM file, or a URI that some provider's store knows ("pkcs11:...") */
    const char *chain; /* likewise: our certificate, then the intermediates that lead to its root */
};

/* What we demand of a connection. */
struct demands {
    const char *trust; /* a PEM file: the root that the other end's chain must lead to */
    const char *crl;   /* a PEM file with the list of the certificates that its issuers revoked; NULL: none */
    int min_tls;
    int max_tls; /* 0: whatever both ends know */
};

/* context_new makes a context that presents this identity (NULL: none) and demands one of the other end. NULL after
 * printing why to stderr: a key that does not belong to the certificate is told with the fingerprints of both. */
SSL_CTX *context_new(const char *who, const SSL_METHOD *method, const struct identity *identity,
                     const struct demands *demands);

/* tls_version reads "1.2", "1.3" or "any" into the limits; false if it is none of them. */
bool tls_version(struct demands *demands, const char *text);

/* alpn_list turns "h2,http/1.1" into the form of RFC 7301 §3.1 (free it), with its length; NULL if that can't be. */
unsigned char *alpn_list(const char *names, unsigned *out_len);

/* expect_server asks for the server of this name, or address, and accepts no certificate but one for it. */
bool expect_server(SSL *ssl, const char *name);

/* What is known of a key of ours. */
struct key_facts {
    const char *type;   /* "EC" */
    bool on_token;      /* otherwise the rest is "-" and 0 */
    char token[64];     /* the token's label */
    char label[128];    /* the key's */
    uint64_t signed_us; /* how long its last signature or decryption took, in microseconds */
};
void key_facts(struct key_facts *out_facts, EVP_PKEY *key);

/* name_text writes a distinguished name in one line of ASCII ("O = Demo, CN = Alice"). */
void name_text(char *out, size_t size, const X509_NAME *name);

/* time_text writes "2026-11-24 12:00 UTC", or with seconds; "" for one that can't be read. */
void time_text(char *out, size_t size, const ASN1_TIME *time, bool with_seconds);

/* serial_text writes a certificate's serial number in hexadecimal digits. */
void serial_text(char *out, size_t size, const X509 *cert);

/* print_errors prints "who: what" and OpenSSL's reasons to stderr, the first one first, and empties the queue. */
void print_errors(const char *who, const char *what);

/* text_printable replaces what a terminal would not take for text, in place, and cuts at the end of the first line. */
void text_printable(char *text);

/* split_address cuts HOST:PORT (or [HOST]:PORT) in two, in place; false if there is no port. */
bool split_address(char *address, char **out_host, char **out_port);

#endif
