/* Prints what token-counter.so counted:
 *     show-counts FILE                    every function that was called, every attribute that was asked for
 *     show-counts FILE FUNCTION           one of them, without its C_
 *     show-counts FILE total|secrets      all calls; how often a secret part of a key was asked for */
#include <stdio.h>
#include <string.h>

#include "counts.h"

static const char *const names[] = {
#define NAME(name, params, args) #name,
    CRYPTOKI_2_40(NAME) CRYPTOKI_3_0(NAME)
};

static int usage(void)
{
    fprintf(stderr, "usage: show-counts FILE [FUNCTION|total|secrets]\n");
    return 2;
}

static int show_all(const struct counts *counts)
{
    for (size_t i = 0; i < NUM_COUNTS; i++) {
        if (counts->of[i].calls > 0) {
            printf("C_%s %u\n", names[i], counts->of[i].calls);
        }
    }
    for (size_t i = 0; i < MOST_ATTRIBUTES && counts->attributes[i].type != 0; i++) {
        printf("attribute 0x%lx %u\n", counts->attributes[i].type - 1, counts->attributes[i].asked);
    }
    printf("total %u\nsecrets %u\n", counts_total(counts), counts->secrets_asked);
    return 0;
}

static int show(unsigned count)
{
    printf("%u\n", count);
    return 0;
}

int main(int argc, char **argv)
{
    const struct counts *counts;

    /* a file that is not there has counted nothing, and is a mistake of the caller's */
    if (argc < 2 || argc > 3 || access(argv[1], R_OK) != 0 || (counts = counts_map(argv[1])) == NULL) {
        return usage();
    }
    if (argc == 2) {
        return show_all(counts);
    }
    if (strcmp(argv[2], "secrets") == 0) {
        return show(counts->secrets_asked);
    }
    if (strcmp(argv[2], "total") == 0) {
        return show(counts_total(counts));
    }
    for (size_t i = 0; i < NUM_COUNTS; i++) {
        if (strcmp(argv[2], names[i]) == 0) {
            return show(counts->of[i].calls);
        }
    }
    return usage();
}
