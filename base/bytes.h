/* Bytes that somebody owns, and a cursor that reads them without pointer arithmetic.
 *
 * `struct bytes` owns malloc'd memory; its zero state is the empty string of bytes and needs no end. What is secret
 * lives in base/secret.h instead. The cursor borrows; reading past its end sets a sticky flag and yields zeros, so that
 * a parser checks once, at its end. For everybody. */
#ifndef SIGNET_BASE_BYTES_H
#define SIGNET_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/scoped.h"

struct bytes {
    uint8_t *data;
    size_t len;
};

/* bytes_set replaces what `bytes` holds by a copy of data[0..len). False without memory; then `bytes` is as before.
 * `data` may be NULL where `len` is 0. */
MUST_CHECK bool bytes_set(struct bytes *bytes, const void *data, size_t len);
/* bytes_new makes room for `len` zeroed bytes, replacing what was held. False without memory. */
MUST_CHECK bool bytes_new(struct bytes *bytes, size_t len);
/* bytes_add appends a copy of data[0..len). False without memory; then `bytes` is as before. */
MUST_CHECK bool bytes_add(struct bytes *bytes, const void *data, size_t len);
void bytes_end(struct bytes *bytes);
bool bytes_equal(const struct bytes *a, const struct bytes *b);
bool bytes_is(const struct bytes *bytes, const void *data, size_t len);

/* A DER reader over borrowed bytes: just the definite lengths that attributes of tokens use (X.690 §8.1). */
struct cursor {
    const uint8_t *at;
    size_t left;
    bool failed;
};

struct cursor cursor_over(const void *data, size_t len);
/* cursor_der takes one element whose tag is `tag` and returns a cursor over its contents; failed if there is none. */
struct cursor cursor_der(struct cursor *cursor, uint8_t tag);
/* cursor_done tells that nothing failed and nothing is left. */
bool cursor_done(const struct cursor *cursor);

#endif
