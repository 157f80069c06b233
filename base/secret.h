/* Secrets: PINs and keys of our own, in memory that is locked, left out of core dumps, and wiped.
 *
 * All secrets of a process live in one arena of mapped pages (grown by whole maps). mlock is not inherited by fork, so
 * the child locks its copy again before it runs. Where locking is refused (RLIMIT_MEMLOCK) the secret is kept all the
 * same, and secret_locked() says so. For everybody; the holder of a `struct secret` owns it. Thread-safe. */
#ifndef SIGNET_BASE_SECRET_H
#define SIGNET_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/scoped.h"

/* Zero state: no secret (data == NULL). A secret of length 0 has data != NULL. data[len] is always 0. */
struct secret {
    uint8_t *data;
    size_t len;
};

/* secret_set replaces what `secret` holds by a copy of data[0..len); the old one is wiped. False without memory. */
MUST_CHECK bool secret_set(struct secret *secret, const void *data, size_t len);
/* secret_new makes room for `len` zeroed bytes. False without memory. */
MUST_CHECK bool secret_new(struct secret *secret, size_t len);
/* secret_shorten gives up the bytes behind `len`, wiping them. len <= secret->len. */
void secret_shorten(struct secret *secret, size_t len);
/* secret_end wipes and gives back; the zero state is fine. */
void secret_end(struct secret *secret);
bool secret_exists(const struct secret *secret);
/* secret_equal takes the same time wherever the bytes differ. */
bool secret_equal(const struct secret *a, const struct secret *b);
/* secret_locked tells whether every page that holds secrets is locked in memory. */
bool secret_locked(void);
/* secret_wipe overwrites memory so that no compiler leaves it out. */
void secret_wipe(void *data, size_t len);

#endif
