/* Kinds of values that a configuration can have.
 *
 * Each function reads one and stores it, or says what is wrong with it: a static text that ends a sentence ("it is out
 * of range"), NULL if nothing is. Then nothing is stored. For the tables of settings. */
#ifndef SIGNET_BASE_VALUE_H
#define SIGNET_BASE_VALUE_H

#include <stdbool.h>
#include <stdint.h>

/* One of the words that a value may be, in any case; a list of them ends with a NULL. */
struct value_word {
    const char *word;
    int value;
};

extern const char *const value_no_memory;

/* value_flag: yes or no, true or false, on or off, 1 or 0. */
const char *value_flag(bool *out, const char *value);
const char *value_word(int *out, const struct value_word *words, const char *value);
/* value_words: several with commas between; their values are bits. */
const char *value_words(unsigned *out, const struct value_word *words, const char *value);
const char *value_number(uint64_t *out, const char *value, uint64_t least, uint64_t most);
/* value_count: from 1 to `most`. */
const char *value_count(unsigned *out, const char *value, unsigned most);
/* value_seconds: more than 0 and at most `most`, with up to three decimals; stored as microseconds. */
const char *value_seconds(uint64_t *out_us, const char *value, uint64_t most);
/* value_text: not empty; a copy, which the caller frees, takes the place of what was there. */
const char *value_text(char **out, const char *value);

#endif
