/* The command line of mtls-client. */
#ifndef SIGNET_EXAMPLES_CLIENT_OPTIONS_H
#define SIGNET_EXAMPLES_CLIENT_OPTIONS_H

#include <stdbool.h>

#include "common.h"

struct options {
    struct identity identity;
    struct demands demands;
    char *host; /* where the server is */
    char *port;
    const char *name;    /* that its certificate must have */
    const char *message; /* to say; NULL: none */
    const char *suites;  /* of TLS 1.2; NULL: OpenSSL's own */
    unsigned repeat;
    unsigned load;       /* so many at once; 0: one after the other */
    bool resume;         /* later connections go on with the session of the first */
    bool tunnel;         /* stdin and stdout in place of a message */
    unsigned char *alpn; /* what we speak (RFC 7301 §3.1); owned */
    unsigned alpn_len;
    bool json;
    bool quiet;
};

/* options_read fills the options; false with an exit status after a usage text or an error was printed. */
bool options_read(struct options *options, int argc, char **argv, int *out_status);

#endif
