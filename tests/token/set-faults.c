/* Tells the module in front of another what to do from now on:    set-faults FILE WORD...
 *
 * FILE is the one that SIGNET_TEST_COUNTS names, made if it is not there; the words are those of control.h. */
#include <stdio.h>

#include "control.h"

int main(int argc, char **argv)
{
    struct counts *counts = argc > 2 ? counts_map(argv[1]) : NULL;
    char wrong[256];

    if (counts == NULL) {
        fprintf(stderr, "usage: set-faults FILE WORD...\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        if (!counts_obey(counts, argv[i], wrong)) {
            fprintf(stderr, "set-faults: '%s' makes no sense\n", wrong);
            return 2;
        }
    }
    return 0;
}
