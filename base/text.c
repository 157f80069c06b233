#include "base/text.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/scoped.h"

struct text text_over(char *buffer, size_t size)
{
    buffer[0] = '\0';
    return (struct text){ .buffer = buffer, .size = size };
}

/* How many bytes the UTF-8 character has that starts with `first`; 1 for what is no start of one. */
static size_t character_size(uint8_t first)
{
    return first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
}

/* A cut must not leave half of a UTF-8 character: the length of string[0..len) without one at its end. */
static size_t whole_characters(const char *string, size_t len)
{
    size_t start = len;

    while (start > 0 && ((uint8_t)string[start - 1] & 0xc0) == 0x80) {
        start--;
    }
    if (start == 0) {
        return len; /* no UTF-8 at all */
    }
    return start - 1 + character_size((uint8_t)string[start - 1]) > len ? start - 1 : len;
}

void text_put_n(struct text *text, const char *string, size_t len)
{
    size_t room = text->size - text->len - 1;

    if (text->truncated) {
        return;
    }
    if (len > room) {
        len = whole_characters(string, room);
        text->truncated = true;
    }
    if (len > 0) {
        memcpy(text->buffer + text->len, string, len);
        text->len += len;
    }
    text->buffer[text->len] = '\0';
}

void text_put(struct text *text, const char *string)
{
    text_put_n(text, string, strlen(string));
}

void text_vprintf(struct text *text, const char *format, va_list args)
{
    size_t room = text->size - text->len;
    int len;

    if (text->truncated) {
        return;
    }
    len = vsnprintf(text->buffer + text->len, room, format, args);
    if (len < 0) {
        text->buffer[text->len] = '\0';
        text->truncated = true;
    } else if ((size_t)len < room) {
        text->len += (size_t)len;
    } else {
        text->len += whole_characters(text->buffer + text->len, room - 1); /* vsnprintf cut at a byte */
        text->buffer[text->len] = '\0';
        text->truncated = true;
    }
}

void text_printf(struct text *text, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    text_vprintf(text, format, args);
    va_end(args);
}

void text_put_hex(struct text *text, const void *data, size_t len)
{
    const uint8_t *bytes = data;

    for (size_t i = 0; i < len; i++) {
        text_printf(text, "%02x", bytes[i]);
    }
}

/* The character of `size` bytes at `bytes`; 0: no UTF-8 (RFC 3629: neither longer than need be, nor a surrogate). */
static uint32_t character_at(const uint8_t *bytes, size_t size)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    uint32_t character = size == 1 ? bytes[0] : bytes[0] & (0x7fu >> size);

    for (size_t i = 1; i < size; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return 0;
        }
        character = character << 6 | (bytes[i] & 0x3f);
    }
    return character < least[size] || character > 0x10ffff || (character >= 0xd800 && character <= 0xdfff) ||
                   (size == 1 && character >= 0x80)
               ? 0
               : character;
}

/* C0, DEL and C1; the separators of lines and paragraphs; marks, embeddings, overrides and isolates of direction. */
static bool is_unclean(uint32_t character)
{
    static const struct {
        uint32_t first;
        uint32_t last;
    } ranges[] = { { 0, 0x1f },        { 0x7f, 0x9f },     { 0x61c, 0x61c },
                   { 0x200e, 0x200f }, { 0x2028, 0x202e }, { 0x2066, 0x2069 } };

    for (size_t i = 0; i < COUNT_OF(ranges); i++) {
        if (character >= ranges[i].first && character <= ranges[i].last) {
            return true;
        }
    }
    return false;
}

/* `out` has room for `len` bytes, and may be where they are. */
static size_t clean(char *out, const uint8_t *bytes, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len;) {
        size_t size = bytes[i] < 0xf8 ? character_size(bytes[i]) : 1;
        uint32_t character = size <= len - i ? character_at(bytes + i, size) : 0;

        if (is_unclean(character)) {
            out[n++] = '?';
            i += character == 0 ? 1 : size;
        } else {
            memmove(out + n, bytes + i, size);
            n += size;
            i += size;
        }
    }
    return n;
}

size_t text_clean(char *string)
{
    size_t len = clean(string, (const uint8_t *)string, strlen(string));

    string[len] = '\0';
    return len;
}

void text_put_clean(struct text *text, const void *data, size_t len)
{
    size_t room = text->size - text->len - 1;

    if (text->truncated) {
        return;
    }
    if (len > room) {
        len = whole_characters(data, room);
        text->truncated = true;
    }
    text->len += clean(text->buffer + text->len, data, len);
    text->buffer[text->len] = '\0';
}

bool text_same_word(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0;
}

/* Levenshtein's, of which only the row above is kept. */
size_t text_distance(const char *a, const char *b)
{
    size_t row[64];
    size_t len = strlen(b);

    if (strlen(a) >= COUNT_OF(row) || len >= COUNT_OF(row)) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= len; j++) {
            size_t above = row[j];
            size_t changed = diagonal + (tolower((unsigned char)a[i - 1]) != tolower((unsigned char)b[j - 1]));
            size_t longer = 1 + (above < row[j - 1] ? above : row[j - 1]);

            row[j] = changed < longer ? changed : longer;
            diagonal = above;
        }
    }
    return row[len];
}

char *text_next_item(char **rest)
{
    char *item = *rest;
    char *end;

    if (item == NULL) {
        return NULL;
    }
    end = strchr(item, ',');
    *rest = end != NULL ? end + 1 : NULL;
    if (end == NULL) {
        end = item + strlen(item);
    }
    item += strspn(item, " \t\r\n");
    while (end > item && strchr(" \t\r\n", end[-1]) != NULL) {
        end--;
    }
    *end = '\0';
    return item;
}
