/* A command line, read by a table of its options. */
#ifndef SIGNET_EXAMPLES_OPTIONS_H
#define SIGNET_EXAMPLES_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct option_row {
    const char *name; /* without the dashes */
    const char *help; /* a newline goes on below */
    /* read takes the value (NULL for a flag) into what `into` points to; NULL, or what is wrong with the value. One of
     * the functions below, or the program's own. */
    const char *(*read)(void *into, char *value);
    void *into;
};

struct option_table {
    const char *who;
    const char *synopsis; /* the first lines of the usage text */
    const char *epilogue; /* the last ones; NULL: none */
    const struct option_row *rows;
    size_t num_rows;
};

/* options_parse reads them all. False, with an exit status, after --help, or after an error was printed. */
bool options_parse(const struct option_table *table, int argc, char **argv, int *out_status);

/* options_incomplete prints what is missing, or is too much, and where to read more; it returns false. */
bool options_incomplete(const struct option_table *table, const char *what);

struct address {
    char *host;
    char *port;
};

/* Application protocols in the form of RFC 7301 §3.1; to be freed. */
struct protocols {
    unsigned char *names; /* NULL: none */
    unsigned len;
};

const char *option_flag(void *into_bool, char *value);
const char *option_text(void *into_pointer, char *value); /* const char *, which lives as long as argv */
const char *option_count(void *into_unsigned, char *value);
const char *option_address(void *into_address, char *value);
const char *option_tls(void *into_demands, char *value);
const char *option_alpn(void *into_protocols, char *value);

#endif
