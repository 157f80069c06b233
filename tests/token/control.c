#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ckr.h"

static const char *const names[NUM_COUNTS] = {
#define NAME(name, params, args) [COUNT_##name] = #name,
    CRYPTOKI_2_40(NAME) CRYPTOKI_3_0(NAME)
#undef NAME
        [COUNT_GetFunctionList] = "GetFunctionList",
    [COUNT_GetInterfaceList] = "GetInterfaceList",
    [COUNT_GetInterface] = "GetInterface",
};

static const struct {
    const char *name;
    unsigned long rv;
} codes[] = {
#define CODE(name, value) { #name, value },
    CRYPTOKI_CKR(CODE)
#undef CODE
};
#define NUM_CODES (sizeof(codes) / sizeof(codes[0]))

const char *count_name(enum count which)
{
    return names[which];
}

const char *ckr_name(unsigned long rv)
{
    for (size_t i = 0; i < NUM_CODES; i++) {
        if (codes[i].rv == rv) {
            return codes[i].name;
        }
    }
    return NULL;
}

static int number_of(unsigned long *out, const char *text)
{
    char *end = NULL;

    errno = 0;
    *out = text == NULL || *text < '0' || *text > '9' ? 0 : strtoul(text, &end, 0);
    return end != NULL && *end == '\0' && errno == 0;
}

static int count_of(_Atomic unsigned *out, const char *text, const char *for_ever)
{
    unsigned long number;

    if (for_ever != NULL && text != NULL && strcmp(text, for_ever) == 0) {
        *out = FOREVER;
        return 1;
    }
    if (!number_of(&number, text) || number >= FOREVER) {
        return 0;
    }
    *out = (unsigned)number;
    return 1;
}

static int code_of(_Atomic unsigned long *out, const char *text)
{
    unsigned long number;

    for (size_t i = 0; text != NULL && strncmp(text, "CKR_", 4) == 0 && i < NUM_CODES; i++) {
        if (strcmp(text + 4, codes[i].name) == 0) {
            *out = codes[i].rv;
            return 1;
        }
    }
    if (!number_of(&number, text)) {
        return 0;
    }
    *out = number;
    return 1;
}

void counts_calm(struct counts *counts)
{
    for (size_t i = 0; i < NUM_COUNTS; i++) {
        counts->faults[i].times = 0;
        counts->faults[i].after = 0;
        counts->faults[i].hang_ms = 0;
        counts->faults[i].effects = 0;
        counts->faults[i].left = 0;
        counts->faults[i].with = 0;
        counts->delay_us[i] = 0;
    }
    counts->serialise = 0;
    counts->max_sessions = 0;
    counts->lose_every = 0;
    counts->without = 0;
    counts->away = 0;
    counts->slot_shift = 0;
}

void counts_go_away(struct counts *counts)
{
    counts->away = 1;
    counts->losses++;
}

void counts_come_back(struct counts *counts, unsigned long shift)
{
    counts->slot_shift = shift;
    counts->away = 0;
}

/* One part of a word about a function, KEY or KEY=VALUE. */
static int part_obey(struct fault *fault, _Atomic unsigned *delay_us, const char *key, const char *value)
{
    static const struct {
        const char *name;
        unsigned effect;
    } effects[] = { { "lose", EFFECT_LOSE }, { "log-out", EFFECT_LOG_OUT }, { "go-away", EFFECT_GO_AWAY } };

    for (size_t i = 0; i < sizeof(effects) / sizeof(effects[0]); i++) {
        if (strcmp(key, effects[i].name) == 0) {
            fault->effects |= effects[i].effect;
            return value == NULL;
        }
    }
    if (strcmp(key, "rv") == 0) {
        return code_of(&fault->with, value);
    }
    if (strcmp(key, "nth") == 0) {
        return count_of(&fault->after, value, NULL) && fault->after-- > 0;
    }
    if (strcmp(key, "times") == 0) {
        return count_of(&fault->times, value, "always");
    }
    if (strcmp(key, "hang") == 0) {
        return count_of(&fault->hang_ms, value, "forever");
    }
    if (strcmp(key, "delay") == 0) {
        return count_of(delay_us, value, NULL);
    }
    fault->left = 1;
    return strcmp(key, "left") == 0 && value == NULL;
}

/* `parts` is what follows the function's name. A word that has nothing to say but a delay strikes no call. */
static int function_obey(struct counts *counts, enum count which, const char *parts)
{
    struct fault fault = { .times = 1 };
    _Atomic unsigned delay_us = counts->delay_us[which];
    char copy[256];
    char *rest = copy;

    snprintf(copy, sizeof(copy), "%s", parts);
    for (char *key = strsep(&rest, ":"); key != NULL; key = strsep(&rest, ":")) {
        char *value = key;

        key = strsep(&value, "=");
        if (!part_obey(&fault, &delay_us, key, value)) {
            return 0;
        }
    }
    counts->delay_us[which] = delay_us;
    if (fault.with == 0 && fault.hang_ms == 0 && fault.effects == 0) {
        return strncmp(parts, "delay=", 6) == 0 && strchr(parts, ':') == NULL;
    }
    counts->faults[which].times = 0; /* nothing strikes while it is half told */
    counts->faults[which].after = fault.after;
    counts->faults[which].hang_ms = fault.hang_ms;
    counts->faults[which].effects = fault.effects;
    counts->faults[which].left = fault.left;
    counts->faults[which].with = fault.with;
    counts->faults[which].times = fault.times;
    return 1;
}

static int functions_obey(struct counts *counts, const char *name, const char *parts)
{
    int all = strcmp(name, "all") == 0;
    int obeyed = 0;

    for (unsigned i = 0; i < NUM_COUNTS; i++) {
        if ((all && i < NUM_LISTED) || strcmp(name, names[i]) == 0) {
            if (!function_obey(counts, i, parts)) {
                return 0;
            }
            obeyed = 1;
        }
    }
    return obeyed;
}

static int plain_obey(struct counts *counts, const char *word)
{
    if (strcmp(word, "serialise") == 0) {
        counts->serialise = 1;
    } else if (strcmp(word, "lose") == 0) {
        counts->losses++;
    } else if (strcmp(word, "log-out") == 0) {
        counts->logouts++;
    } else if (strcmp(word, "go-away") == 0) {
        counts_go_away(counts);
    } else if (strcmp(word, "come-back") == 0) {
        counts_come_back(counts, 0);
    } else if (strcmp(word, "calm") == 0) {
        counts_calm(counts);
    } else {
        return 0;
    }
    return 1;
}

static int valued_obey(struct counts *counts, const char *name, const char *value)
{
    unsigned long number = 0;

    if (strcmp(name, "away") == 0 && code_of(&counts->away_with, value)) {
        counts_go_away(counts);
        return 1;
    }
    if (strcmp(name, "max-sessions") == 0) {
        return count_of(&counts->max_sessions, value, NULL);
    }
    if (strcmp(name, "lose-every") == 0) {
        return count_of(&counts->lose_every, value, NULL);
    }
    if (strcmp(name, "without") == 0 && number_of(&number, value)) {
        counts->without = number + 1;
        return 1;
    }
    if (strcmp(name, "come-back") == 0 && number_of(&number, value)) {
        counts_come_back(counts, number);
        return 1;
    }
    return 0;
}

static int word_obey(struct counts *counts, char *word)
{
    char *after = word + strcspn(word, ":=");
    char mark = *after;
    char parts[256];

    if (mark == '\0') {
        return plain_obey(counts, word);
    }
    if (strncmp(word, "delay=", 6) == 0) {
        snprintf(parts, sizeof(parts), "%s", word);
        return functions_obey(counts, "all", parts);
    }
    *after = '\0';
    return mark == ':' ? functions_obey(counts, word, after + 1) : valued_obey(counts, word, after + 1);
}

int counts_obey(struct counts *counts, const char *words, char out_word[256])
{
    while (*(words += strspn(words, " \n")) != '\0') {
        size_t len = strcspn(words, " \n");
        char word[256];

        snprintf(word, sizeof(word), "%.*s", len < 256 ? (int)len : 255, words);
        strcpy(out_word, word);
        if (len >= sizeof(word) || !word_obey(counts, word)) {
            return 0;
        }
        words += len;
    }
    return 1;
}
