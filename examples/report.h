/* What the demonstration programs print: one event after the other, for people (with colour on a terminal) or as JSON,
 * one object a line (RFC 8259, by jansson). Events of several connections may come from several threads. */
#ifndef SIGNET_EXAMPLES_REPORT_H
#define SIGNET_EXAMPLES_REPORT_H

#include <stdbool.h>

struct report {
    const char *who; /* "server" or "client" */
    bool json;
    bool quiet;     /* the steps of handshakes are left out */
    bool to_stderr; /* in place of stdout */
    bool colour;    /* of the step's number; set by report_begin */
};

/* report_begin completes a report whose other members are set. */
void report_begin(struct report *report);

/* report prints an event: its name for programs, a text for people, and pairs of key and value (strings) up to a NULL.
 * A key that begins with '#' has a number for its value. `step` is the textbook's number of the step, 0 for none; the
 * first connection is 1, and 0 is none. A pair whose value is NULL is left out. */
void report(const struct report *report, unsigned connection, int step, const char *event, const char *text, ...);

/* Events with these names are printed in red. */
#define REPORT_REFUSED "refused"
#define REPORT_ALERT "alert"

#endif
