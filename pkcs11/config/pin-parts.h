/* What a source of a PIN is made of: for pkcs11/config/pin.c, which knows the kinds and fetches once, pin-read.c, which
 * reads files and descriptors, and pin-exec.c, which runs programs. Everybody else goes through pkcs11/config/pin.h. */
#ifndef SIGNET_PKCS11_CONFIG_PIN_PARTS_H
#define SIGNET_PKCS11_CONFIG_PIN_PARTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/secret.h"
#include "pkcs11/config/pin.h"

#define PIN_READ_S 30 /* how long whoever writes into a pipe is waited for */

/* What a file looked like when it was read. */
struct pin_stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

/* What a source gave. */
struct pin_fetched {
    struct secret pin;
    struct pin_stamp stamp; /* of a file */
};

struct pin_kind;

struct tok_pin_source {
    _Atomic unsigned refs;
    const struct pin_kind *kind;
    char *name;     /* what may be printed */
    char *argument; /* path, number, name of a variable; NULL for a literal PIN */

    /* guarded by the lock of pin.c */
    struct pin_fetched fetched; /* or the copy of an environment variable, or the literal PIN */
    unsigned fetching;          /* the fork generation whose thread reads it just now; 0: none */
    bool spent;                 /* a descriptor that was read: its number may mean another file by now */
};

/* pin_failed is the error of a source, with the reason. */
__attribute__((format(printf, 2, 3))) struct tok_result pin_failed(const struct tok_pin_source *source,
                                                                   const char *format, ...);
/* pin_cut_line_end: one line end is the editor's, not the PIN's. */
void pin_cut_line_end(struct secret *pin);
/* pin_read_all reads to the end, for `seconds` at most. */
TOK_RESULT pin_read_all(struct secret *out_pin, const struct tok_pin_source *source, int fd, unsigned seconds);

struct pin_stamp pin_stamp_of(const struct stat *info);
bool pin_stamps_equal(const struct pin_stamp *a, const struct pin_stamp *b);

/* How a source of each kind is read. */
TOK_RESULT pin_fetch_file(struct pin_fetched *out, const struct tok_pin_source *source);
TOK_RESULT pin_fetch_fd(struct pin_fetched *out, const struct tok_pin_source *source);
TOK_RESULT pin_fetch_exec(struct pin_fetched *out, const struct tok_pin_source *source);

#endif
