/* Where a PIN comes from.
 *
 * A source is a short text: `file:PATH`, `env:NAME`, `fd:N`, `credential:NAME` (systemd's $CREDENTIALS_DIRECTORY),
 * `exec:PROGRAM`, `value:PIN`, or the PIN itself if it has no : and no /. What the environment knows is copied when the
 * source is made, since servers wipe their environment; a file is read when the PIN is first needed, and again after a
 * refusal if it changed. One line end after the PIN is cut off. Nothing here is ever printed but the source's name,
 * which never contains a literal PIN. A source is owned by the settings that it belongs to, or shared by the copies of
 * a URI; fetching is thread-safe. */
#ifndef SIGNET_PKCS11_CONFIG_PIN_H
#define SIGNET_PKCS11_CONFIG_PIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/secret.h"
#include "pkcs11/result/result.h"

struct tok_pin_source;

enum tok_pin_origin {
    TOK_PIN_FROM_SETTINGS, /* every kind */
    TOK_PIN_FROM_URI,      /* pin-source: a file only, "file:/absolute" or "/absolute" (also file:///absolute) */
};

/* tok_pin_source_new reads the text of a source. TOK_CODE_PIN_SOURCE if it is malformed: an empty name, a relative path
 * for file: or exec:, an fd that is no number, a credential name with a slash, and a text that looks like a path or a
 * source but is none. The values of env: and the directory of credential: are copied now; a missing one is an error
 * only when fetched. In a set-user-id process (AT_SECURE) env: and credential: give nothing. */
TOK_RESULT tok_pin_source_new(struct tok_pin_source **out_source, const char *text, enum tok_pin_origin origin);
/* tok_pin_source_value makes a source that is the PIN itself (pin-value); the PIN moves into it. */
TOK_RESULT tok_pin_source_value(struct tok_pin_source **out_source, struct secret *pin);
/* A source may be shared; the last one to free it ends it, and wipes what it gave. NULL is fine in both. */
struct tok_pin_source *tok_pin_source_ref(struct tok_pin_source *source);
void tok_pin_source_free(struct tok_pin_source *source);

/* tok_pin_fetch gives the PIN, as a new secret. Fetched once and remembered (the process may lose the right to read it
 * later); fd: is read to its end, once, and closed (0 to 2 stay open); exec: runs an absolute program without a shell
 * and without our descriptors, kills its process group after 5 s, and takes its standard output. A pipe (file:, fd:) is
 * waited for 30 s. TOK_CODE_PIN_SOURCE names the source and the reason (errno's text, exit status). PINs of any length
 * up to 64 KiB; more is an error, and so is what can't be one (tok_pin_wrong). */
TOK_RESULT tok_pin_fetch(struct tok_pin_source *source, struct secret *out_pin);
/* tok_pin_refused tells the source that the token refused what it gave: a file that has changed since (by its times,
 * size or inode) is read again at the next fetch; returns whether the next fetch would give another PIN. */
bool tok_pin_refused(struct tok_pin_source *source);

/* tok_pin_wrong is why a PIN can't be one, before a try is spent on it: it has several lines, a byte-order mark, a control
 * character, is PEM, or empty. NULL: it may be. A static text. */
const char *tok_pin_wrong(const uint8_t *pin, size_t len);
/* tok_pin_source_wrong is what tok_pin_source_new would refuse in a setting; NULL: nothing. A static text. */
const char *tok_pin_source_wrong(const char *text);

/* tok_pin_source_name is what may be printed: "file:/etc/signet/pin", "env:HSM_PIN", "a literal PIN in the settings",
 * "pin-value of the URI". Borrowed. */
const char *tok_pin_source_name(const struct tok_pin_source *source);
/* tok_pin_source_mark is equal, within the process, for sources that were said in the same words. */
uint64_t tok_pin_source_mark(const struct tok_pin_source *source);

#endif
