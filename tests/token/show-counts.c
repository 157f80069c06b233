/* Prints what token-counter.so counted:
 *     show-counts FILE                    every function that was called, every attribute that was asked for
 *     show-counts FILE FUNCTION           one of them, without its C_
 *     show-counts FILE FUNCTION struck    how many of its calls a fault has struck
 *     show-counts FILE total|secrets      all calls; how often a secret part of a key was asked for
 *     show-counts FILE lost|logged-out    how often sessions were lost, the login was; sessions-refused likewise */
#include <stdio.h>
#include <string.h>

#include "control.h"

static int usage(void)
{
    fprintf(stderr, "usage: show-counts FILE [FUNCTION [struck]|total|secrets|lost|logged-out|sessions-refused]\n");
    return 2;
}

static int show(unsigned count)
{
    printf("%u\n", count);
    return 0;
}

static int show_all(const struct counts *counts)
{
    for (unsigned i = 0; i < NUM_COUNTS; i++) {
        if (counts->calls[i] > 0) {
            printf("C_%s %u\n", count_name(i), counts->calls[i]);
        }
    }
    for (size_t i = 0; i < MOST_ATTRIBUTES && counts->attributes[i].type != 0; i++) {
        printf("attribute 0x%lx %u\n", counts->attributes[i].type - 1, counts->attributes[i].asked);
    }
    printf("total %u\nsecrets %u\n", counts_total(counts), counts->secrets_asked);
    return 0;
}

static int show_one(const struct counts *counts, const char *what, int struck)
{
    const struct {
        const char *name;
        unsigned count;
    } others[] = {
        { "total", counts_total(counts) },
        { "secrets", counts->secrets_asked },
        { "lost", counts->lost },
        { "logged-out", counts->logged_out },
        { "sessions-refused", counts->sessions_refused },
    };

    for (size_t i = 0; !struck && i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(what, others[i].name) == 0) {
            return show(others[i].count);
        }
    }
    for (unsigned i = 0; i < NUM_COUNTS; i++) {
        if (strcmp(what, count_name(i)) == 0) {
            return show(struck ? counts->faults[i].struck : counts->calls[i]);
        }
    }
    return usage();
}

int main(int argc, char **argv)
{
    const struct counts *counts;

    /* a file that is not there has counted nothing, and is a mistake of the caller's */
    if (argc < 2 || argc > 4 || access(argv[1], R_OK) != 0 || (counts = counts_map(argv[1])) == NULL) {
        return usage();
    }
    if (argc == 2) {
        return show_all(counts);
    }
    if (argc == 4 && strcmp(argv[3], "struck") != 0) {
        return usage();
    }
    return show_one(counts, argv[2], argc == 4);
}
