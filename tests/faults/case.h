/* One case of the fault tests: a fault, the application that meets it in a process of its own, and the judgement. */
#ifndef SIGNET_TESTS_CASE_H
#define SIGNET_TESTS_CASE_H

#include "../token/counts.h"

#define DEADLINE 0.3 /* seconds, as the configuration has it */
#define NUM_THREADS 8
#define NO_FAULT ULONG_MAX
#define REPORT_SIZE 1024
#define LATE " late," /* what a report has where the deadline was over, or where threads waited for a processor */

enum variant {
    ONCE,       /* the first call fails, in the only thread */
    ONCE_LEFT,  /* the same, and what the call was to begin or to end is left active */
    ONCE_AMONG, /* the first call fails, eight threads at work */
    ALWAYS,     /* every call fails */
    ALWAYS_AMONG,
    HANGS_AMONG, /* the first call hangs, eight threads at work */
    NUM_VARIANTS
};

struct fault_case {
    enum count function;
    enum count also;  /* fails in the same way, with the same code: a token that has one answer to two conditions;
                         NUM_COUNTS: nothing else does */
    unsigned long rv; /* NO_FAULT: just run, to learn what is called */
    enum variant variant;
    const char *before; /* words of control.h that make the engine call the function at all */
};

/* What a case leaves behind, in memory that its parent sees. */
struct outcome {
    char report[REPORT_SIZE]; /* what was wrong; nothing, if all was well */
    unsigned calls;           /* of the token, while the fault was there */
    unsigned logins;          /* among them, each of which may be a try of the PIN */
    double slowest;           /* seconds of the slowest step */
};

/* case_run is the life of a child: it does not return. */
void case_run(const struct fault_case *what, struct counts *counts, const char *folder, struct outcome *outcome)
    __attribute__((noreturn));

const char *variant_name(enum variant variant);
int is_among(enum variant variant); /* eight threads */

#endif
