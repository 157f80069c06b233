/* Text that is built piece by piece into a buffer of fixed size.
 *
 * What does not fit is cut at the end of a UTF-8 character and marked by a flag, never an overflow; the buffer is
 * always terminated. Used for messages, URIs and traces. For everybody; the caller owns the buffer. */
#ifndef SIGNET_BASE_TEXT_H
#define SIGNET_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct text {
    char *buffer;
    size_t size;
    size_t len;
    bool truncated;
};

/* text_over starts an empty text in buffer[0..size), size > 0. */
struct text text_over(char *buffer, size_t size);
#define TEXT_OVER(array) text_over((array), sizeof(array))

void text_put(struct text *text, const char *string);
void text_put_n(struct text *text, const char *string, size_t len);
__attribute__((format(printf, 2, 3))) void text_printf(struct text *text, const char *format, ...);
__attribute__((format(printf, 2, 0))) void text_vprintf(struct text *text, const char *format, va_list args);
/* text_put_hex writes two lower-case digits a byte. */
void text_put_hex(struct text *text, const void *data, size_t len);

/* text_clean makes one line of text that may be anybody's (a label, a path, what was typed) in place, before people or
 * terminals see it: control characters, line ends in any alphabet, what turns the direction of writing and bytes that
 * are no UTF-8 become question marks. Returns the length, which may be less. Whatever leaves Signet passes through it
 * once: OpenSSL's queue, traces, complaints, what `signet` prints. */
size_t text_clean(char *string);
/* text_put_clean does so with bytes, which may have zeros. */
void text_put_clean(struct text *text, const void *data, size_t len);

/* text_same_word compares two ASCII words without regard to case. */
bool text_same_word(const char *a, const char *b);
/* text_distance counts the letters to change, add or leave out that make one word of the other, without regard to case;
 * words of 64 letters and more are SIZE_MAX apart. */
size_t text_distance(const char *a, const char *b);
/* text_next_item walks a comma-separated list: returns the next item without the white space around it and moves
 * `*rest` behind it; NULL at the end. Writes into the list. Empty items are returned as "". */
char *text_next_item(char **rest);

#endif
