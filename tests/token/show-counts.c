/* Prints a counter of token-counter.so:    show-counts FILE FUNCTION|total|secrets */
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "counts.h"

static const char *const names[] = {
#define NAME(name, params, args) #name,
    COUNTED_FUNCTIONS(NAME) "other",
};

int main(int argc, char **argv)
{
    struct counts counts;
    unsigned total = 0;
    int fd = argc == 3 ? open(argv[1], O_RDONLY) : -1;

    if (fd < 0 || read(fd, &counts, sizeof(counts)) != (ssize_t)sizeof(counts)) {
        fprintf(stderr, "usage: show-counts FILE FUNCTION|total|secrets\n");
        return 2;
    }
    if (strcmp(argv[2], "secrets") == 0) {
        printf("%u\n", counts.secrets_asked);
        return 0;
    }
    for (size_t i = 0; i < NUM_COUNTS; i++) {
        total += counts.calls[i];
        if (strcmp(argv[2], names[i]) == 0) {
            printf("%u\n", counts.calls[i]);
            return 0;
        }
    }
    if (strcmp(argv[2], "total") == 0) {
        printf("%u\n", total);
        return 0;
    }
    return 2;
}
