/* The command line of mtls-client. */
#ifndef SIGNET_EXAMPLES_CLIENT_OPTIONS_H
#define SIGNET_EXAMPLES_CLIENT_OPTIONS_H

#include <stdbool.h>

#include "common.h"
#include "options.h"

struct options {
    struct identity identity;
    struct demands demands;
    struct address where; /* where the server is */
    const char *name;     /* that its certificate must have */
    const char *message;  /* to say; NULL: none */
    const char *suites;   /* of TLS 1.2; NULL: OpenSSL's own */
    unsigned repeat;
    unsigned load;         /* so many at once; 0: one after the other */
    bool resume;           /* later connections go on with the session of the first */
    bool tunnel;           /* stdin and stdout in place of a message */
    struct protocols alpn; /* what we speak; owned */
    bool json;
    bool quiet;
};

/* options_read fills the options; false with an exit status after the usage text, or an error, was printed. */
bool options_read(struct options *options, int argc, char **argv, int *out_status);

#endif
