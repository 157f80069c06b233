#include "base/bytes.h"

#include <string.h>

bool bytes_set(struct bytes *bytes, const void *data, size_t len)
{
    struct bytes copy = { 0 };

    if (!bytes_new(&copy, len)) {
        return false;
    }
    if (len > 0) {
        memcpy(copy.data, data, len);
    }
    bytes_end(bytes);
    *bytes = copy;
    return true;
}

bool bytes_new(struct bytes *bytes, size_t len)
{
    uint8_t *data = NULL;

    if (len > 0) {
        data = calloc(1, len);
        if (data == NULL) {
            return false;
        }
    }
    bytes_end(bytes);
    bytes->data = data;
    bytes->len = len;
    return true;
}

bool bytes_add(struct bytes *bytes, const void *data, size_t len)
{
    uint8_t *grown;

    if (len == 0) {
        return true;
    }
    if (len > SIZE_MAX - bytes->len) {
        return false;
    }
    grown = realloc(bytes->data, bytes->len + len);
    if (grown == NULL) {
        return false;
    }
    memcpy(grown + bytes->len, data, len);
    bytes->data = grown;
    bytes->len += len;
    return true;
}

void bytes_end(struct bytes *bytes)
{
    if (bytes->data != NULL) {
        free(bytes->data);
    }
    bytes->data = NULL;
    bytes->len = 0;
}

bool bytes_equal(const struct bytes *a, const struct bytes *b)
{
    return bytes_is(a, b->data, b->len);
}

bool bytes_is(const struct bytes *bytes, const void *data, size_t len)
{
    return bytes->len == len && (len == 0 || memcmp(bytes->data, data, len) == 0);
}

struct cursor cursor_over(const void *data, size_t len)
{
    return (struct cursor){ .at = data, .left = len };
}

static uint8_t cursor_byte(struct cursor *cursor)
{
    if (cursor->failed || cursor->left == 0) {
        cursor->failed = true;
        return 0;
    }
    cursor->left--;
    return *cursor->at++;
}

/* X.690 §8.1.3: the short form, or up to four bytes of length in their shortest form (DER). */
static size_t cursor_length(struct cursor *cursor)
{
    uint8_t first = cursor_byte(cursor);
    size_t len = 0;

    if (first < 0x80) {
        return first;
    }
    if (first == 0x80 || first > 0x84) {
        cursor->failed = true;
        return 0;
    }
    for (int i = 0; i < (first & 0x7f); i++) {
        len = len << 8 | cursor_byte(cursor);
        cursor->failed = cursor->failed || len == 0;
    }
    cursor->failed = cursor->failed || len < 0x80;
    return len;
}

struct cursor cursor_der(struct cursor *cursor, uint8_t tag)
{
    struct cursor inside = { .failed = true };
    size_t len;

    cursor->failed = cursor_byte(cursor) != tag || cursor->failed;
    len = cursor_length(cursor);
    if (cursor->failed || len > cursor->left) {
        cursor->failed = true;
        return inside;
    }
    inside = cursor_over(cursor->at, len);
    cursor->at += len;
    cursor->left -= len;
    return inside;
}

bool cursor_done(const struct cursor *cursor)
{
    return !cursor->failed && cursor->left == 0;
}
