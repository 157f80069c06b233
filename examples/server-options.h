/* The command line of mtls-server. */
#ifndef SIGNET_EXAMPLES_SERVER_OPTIONS_H
#define SIGNET_EXAMPLES_SERVER_OPTIONS_H

#include <stdbool.h>

#include "common.h"
#include "options.h"

#define MOST_IDENTITIES 16

struct options {
    struct identity identities[MOST_IDENTITIES]; /* one of them without a host */
    int num_identities;
    struct demands demands;
    struct address where;  /* where to listen */
    unsigned connections;  /* then end; 0: never */
    struct protocols alpn; /* what we speak; owned */
    bool async;            /* an event loop in place of threads */
    bool json;
    bool quiet;
};

/* options_read fills the options; false with an exit status after the usage text, or an error, was printed. */
bool options_read(struct options *options, int argc, char **argv, int *out_status);

#endif
