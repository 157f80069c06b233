#include "base/value.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/scoped.h"
#include "base/text.h"

const char *const value_no_memory = "there is no memory for it";

/* The value of a word; false if it is not in the list, which a NULL ends. */
static bool word_find(int *out, const struct value_word *words, const char *word)
{
    for (; words->word != NULL; words++) {
        if (text_same_word(words->word, word)) {
            *out = words->value;
            return true;
        }
    }
    return false;
}

static const struct value_word yes_no[] = {
    { "yes", 1 }, { "no", 0 }, { "true", 1 }, { "false", 0 }, { "on", 1 },
    { "off", 0 }, { "1", 1 },  { "0", 0 },    { NULL, 0 },
};

const char *value_flag(bool *out, const char *value)
{
    int flag;

    if (!word_find(&flag, yes_no, value)) {
        return "it is neither yes nor no";
    }
    *out = flag != 0;
    return NULL;
}

const char *value_word(int *out, const struct value_word *words, const char *value)
{
    return word_find(out, words, value) ? NULL : "it is unknown";
}

const char *value_words(unsigned *out, const struct value_word *words, const char *value)
{
    SCOPED(scoped_free) char *copy = strdup(value);
    char *rest = copy;
    char *item;
    unsigned bits = 0;

    if (copy == NULL) {
        return value_no_memory;
    }
    while ((item = text_next_item(&rest)) != NULL) {
        int bit;

        if (!word_find(&bit, words, item)) {
            return "a word of it is unknown";
        }
        bits |= (unsigned)bit;
    }
    *out = bits;
    return NULL;
}

const char *value_number(uint64_t *out, const char *value, uint64_t least, uint64_t most)
{
    char *end;
    unsigned long long number;

    if (!isdigit((unsigned char)value[0])) {
        return "it is no whole number";
    }
    number = strtoull(value, &end, 10);
    if (*end != '\0') {
        return "it is no whole number";
    }
    if (number < least || number > most) {
        return "it is out of range";
    }
    *out = number;
    return NULL;
}

const char *value_text(char **out, const char *value)
{
    char *copy;

    if (value[0] == '\0') {
        return "it is empty";
    }
    copy = strdup(value);
    if (copy == NULL) {
        return value_no_memory;
    }
    free(*out);
    *out = copy;
    return NULL;
}

const char *value_count(unsigned *out, const char *value, unsigned most)
{
    uint64_t number;
    const char *wrong = value_number(&number, value, 1, most);

    if (wrong == NULL) {
        *out = (unsigned)number;
    }
    return wrong;
}

/* Seconds with up to three decimals, as microseconds. No strtod: what a decimal point is would depend on the locale. */
const char *value_seconds(uint64_t *out_us, const char *value, uint64_t most)
{
    unsigned long long whole;
    uint64_t us = 0;
    char *end;

    if (!isdigit((unsigned char)value[0])) {
        return "it is no number";
    }
    whole = strtoull(value, &end, 10);
    if (*end == '.' && isdigit((unsigned char)end[1])) {
        end++;
        for (uint64_t unit = 100000; unit >= 1000 && isdigit((unsigned char)*end); unit /= 10, end++) {
            us += unit * (uint64_t)(*end - '0');
        }
    }
    if (*end != '\0') {
        return "it is no number";
    }
    if (whole > most || (whole == most && us > 0) || (whole == 0 && us == 0)) {
        return "it is out of range";
    }
    *out_us = whole * 1000000 + us;
    return NULL;
}
