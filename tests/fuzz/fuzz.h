/* What every fuzz target has: one function that is given bytes and must come back, and what tells that something is
 * wrong although nothing crashed.
 *
 * With clang's libFuzzer (./configure --enable-fuzz) the library brings main() and chooses the bytes; without it
 * tests/fuzz/main.c does, and gives each file of the seed corpus once. A target keeps nothing between two inputs that
 * would make the second one mean something else. docs/fuzzing.md. */
#ifndef SIGNET_TESTS_FUZZ_FUZZ_H
#define SIGNET_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/scoped.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* HOLDS(fact): what must be true whatever the bytes are. */
#define HOLDS(fact)                                                                                                    \
    do {                                                                                                               \
        if (!(fact)) {                                                                                                 \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #fact);                                  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* An input that is eaten from the front; what is past its end are zeros. */
struct input {
    const uint8_t *at;
    size_t left;
};

static inline uint8_t input_byte(struct input *input)
{
    if (input->left == 0) {
        return 0;
    }
    input->left--;
    return *input->at++;
}

static inline size_t input_number(struct input *input)
{
    size_t high = input_byte(input);

    return high << 8 | input_byte(input);
}

/* input_fill fills room[0..len). */
static inline void input_fill(struct input *input, void *room, size_t len)
{
    size_t had = len < input->left ? len : input->left;

    memset(room, 0, len);
    if (had > 0) {
        memcpy(room, input->at, had);
        input->at += had;
        input->left -= had;
    }
}

/* input_text is a copy of what stands before the next `end` (or the input's end), as a text of its own size, so that a
 * sanitizer sees who reads past it; the caller frees it. NULL at the end of the input. A zero byte ends the text. */
static inline char *input_text(struct input *input, uint8_t end)
{
    const uint8_t *stop = input->left > 0 ? memchr(input->at, end, input->left) : NULL;
    size_t len = stop != NULL ? (size_t)(stop - input->at) : input->left;
    size_t whole = stop != NULL ? len + 1 : len;
    char *text;

    if (input->left == 0) {
        return NULL;
    }
    text = strndup((const char *)input->at, len);
    HOLDS(text != NULL);
    input->at += whole;
    input->left -= whole;
    return text;
}

#endif
