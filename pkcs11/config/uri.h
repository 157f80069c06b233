/* PKCS#11 URIs (RFC 7512): what they name, and what they may ask for.
 *
 * Parsing is p11-kit's; ours is what it leaves to the caller: the scheme in any case, an error that names an attribute
 * nobody knows (a typo must not match more than was meant), and where the URI came from. A URI from a key file may name
 * an object, but neither a module nor a PIN unless files are trusted (setting trust-files); one given by the
 * application may. A `struct tok_uri` is immutable after parsing and owned by whoever parsed it. A PIN in it is kept
 * once, however many copies there are of the URI, and never printed. */
#ifndef SIGNET_PKCS11_CONFIG_URI_H
#define SIGNET_PKCS11_CONFIG_URI_H

#include <stdbool.h>

#include "base/bytes.h"
#include "pkcs11/config/pin.h"
#include "pkcs11/result/cryptoki.h"
#include "pkcs11/result/result.h"

struct text;
struct tok_uri;

enum tok_uri_origin {
    TOK_URI_FROM_APPLICATION,
    TOK_URI_FROM_FILE,         /* a key file */
    TOK_URI_FROM_TRUSTED_FILE, /* a key file, with trust-files = yes */
};

/* tok_uri_has_scheme tells whether text starts with "pkcs11:" in any case. */
bool tok_uri_has_scheme(const char *text);

/* tok_uri_parse reads `text`. TOK_CODE_BAD_URI says which attribute or character is wrong, and what is allowed;
 * TOK_CODE_TRUST if a file asks for module-path, module-name, pin-value or pin-source, TOK_CODE_PIN_SOURCE if the PIN
 * is empty or its source no path. RFC 7512's `pin-source=|command` is refused, and so are exec:, env: and fd: as
 * pin-source. module-path must be absolute and one path; for root, neither the file nor its folder may be others' to
 * change. A set-user-id process takes none of them but pin-value (TOK_CODE_TRUST). A space may stand for itself. */
TOK_RESULT tok_uri_parse(struct tok_uri **out_uri, const char *text, enum tok_uri_origin origin);
/* tok_uri_parse_like reads `text`, of our own making, and gives it the module of `like`, a share of its PIN,
 * and no more trust. */
TOK_RESULT tok_uri_parse_like(struct tok_uri **out_uri, const char *text, const struct tok_uri *like);
/* tok_uri_dup copies. */
TOK_RESULT tok_uri_dup(struct tok_uri **out_uri, const struct tok_uri *uri);
void tok_uri_free(struct tok_uri *uri);
void tok_uri_end(struct tok_uri **uri);

/* tok_uri_text is the URI as it was given, without its query (module and PIN); for messages and key files. Borrowed. */
const char *tok_uri_text(const struct tok_uri *uri);

/* tok_uri_may_choose: it is the application's or a trusted file's, or was made like one of these, so that it may say
 * which token a PIN is for. */
bool tok_uri_may_choose(const struct tok_uri *uri);

/* tok_field_pad: a field of Cryptoki is padded with blanks; what some modules pad with NULs is made to look like it, so
 * that neither counts at the end. */
void tok_field_pad(unsigned char *field, size_t size);
void tok_token_info_pad(CK_TOKEN_INFO *info);

/* What the URI asks of a module, a slot and a token: true where it asks for nothing that differs. */
bool tok_uri_matches_module(const struct tok_uri *uri, const CK_INFO *info);
bool tok_uri_matches_slot(const struct tok_uri *uri, CK_SLOT_ID id, const CK_SLOT_INFO *info);
bool tok_uri_matches_token(const struct tok_uri *uri, const CK_TOKEN_INFO *info);
/* tok_uri_within_token: all that `token` asks of a token, `uri` asks, too, so whatever `uri` means is on that token. */
bool tok_uri_within_token(const struct tok_uri *uri, const struct tok_uri *token);
/* tok_uri_may_mean_token: nothing that it asks of a token differs from what `token` does, so both may mean one. */
bool tok_uri_may_mean_token(const struct tok_uri *uri, const struct tok_uri *token);
/* tok_uri_likeness weighs how much of what the URI asks of a token this one has: TOK_LIKE_SERIAL and more is the same
 * serial number. What differs is appended to `differences` (NULL: nowhere), as "serial was '1', is '2'". */
#define TOK_LIKE_SERIAL 8u
unsigned tok_uri_likeness(struct text *differences, const struct tok_uri *uri, const CK_TOKEN_INFO *info);
/* Whether it asks for anything of a module (C_GetInfo is called only then) or of a slot (C_GetSlotInfo likewise). */
bool tok_uri_asks_module(const struct tok_uri *uri);
bool tok_uri_asks_slot(const struct tok_uri *uri);
/* Whether it names a token by label or serial number. */
bool tok_uri_names_token(const struct tok_uri *uri);

/* The object's attributes; NULL where the URI has none. Borrowed. */
const struct bytes *tok_uri_id(const struct tok_uri *uri);
const struct bytes *tok_uri_label(const struct tok_uri *uri);
/* tok_uri_class sets *out_class to CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, CKO_CERTIFICATE, CKO_SECRET_KEY or CKO_DATA; false
 * if the URI has no `type`. */
bool tok_uri_class(const struct tok_uri *uri, CK_OBJECT_CLASS *out_class);

/* What the query asks for; NULL where it does not. Borrowed. The PIN is that of pin-value, else of pin-source. */
struct tok_pin_source *tok_uri_pin(const struct tok_uri *uri);
const char *tok_uri_module_path(const struct tok_uri *uri);
const char *tok_uri_module_name(const struct tok_uri *uri);

/* tok_uri_of_object writes the URI that names just this object: token label, serial number, manufacturer and model, id,
 * object label and type. id and label may be empty. *out_text is malloc'd. */
TOK_RESULT tok_uri_of_object(char **out_text, const CK_TOKEN_INFO *token, CK_OBJECT_CLASS class, const struct bytes *id,
                             const struct bytes *label);
/* tok_uri_of_token likewise, for the token alone. */
TOK_RESULT tok_uri_of_token(char **out_text, const CK_TOKEN_INFO *token);

#endif
