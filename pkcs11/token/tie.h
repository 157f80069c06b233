/* Which token a PIN of the configuration is for.
 *
 * A line of the configuration that gives a PIN (`pin`, `token.NAME.pin`) is for one token. That is decided
 * once in a process (pkcs11/key/aim.h), and from then on the line is tied to that token's identity: label,
 * serial number, manufacturer and model. A tie holds for every context whose configuration says the same, and for
 * children; another configuration is another line. pkcs11/token/login.c sends a PIN to no token but the one that its
 * line is tied to. Nothing is untied, and there is no lock, so that a fork has nothing to do. */
#ifndef SIGNET_PKCS11_TOKEN_TIE_H
#define SIGNET_PKCS11_TOKEN_TIE_H

#include "pkcs11/config/settings.h"
#include "pkcs11/token/token.h"

/* A line of the configuration that gives a token its PIN; borrows from the settings. */
struct tok_pin_line {
    struct tok_pin_source *source;       /* NULL: there is none */
    const struct tok_named_token *named; /* whose PIN it is; NULL: the setting pin, which no token is named for */
    bool own;                            /* token.NAME.pin, not the setting pin */
    char name[64];                       /* for messages */
    uint64_t id;
};

/* tok_pin_line is the line for this token. The setting pin is that of the only entry in the configuration that has no
 * pin of its own, if there is just one, whatever token is asked for. */
struct tok_pin_line tok_pin_line(struct tok_token *token, const struct tok_settings *settings);

/* tok_tie ties the line to the token, unless it is tied; TOK_CODE_PIN_TIED if that is to another one. */
TOK_RESULT tok_tie(const struct tok_pin_line *line, struct tok_token *token);
bool tok_is_tied(const struct tok_pin_line *line);
bool tok_is_tied_to(const struct tok_pin_line *line, struct tok_token *token);

/* tok_serial_tells: it is a serial number by which tokens can be told apart, and not blank or all zeros. */
bool tok_serial_tells(const CK_TOKEN_INFO *info);
/* tok_serial_text is the token's serial number without its padding. */
void tok_serial_text(char out_serial[17], const CK_TOKEN_INFO *info);

#endif
