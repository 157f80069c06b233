/* Logging in: once for a token and process, with a PIN that is tried once.
 *
 * The PIN comes from the URI, else from the configuration's entry for the token, else from its general setting, each
 * only if it is for this token (pkcs11/token/tie.h), else from whom the application named (OpenSSL's passphrase
 * callback). A PIN that the token refused is never sent again,
 * and the token's last try is left to a person (setting pin-last-try). A token with a PIN pad gets no PIN from us. No
 * lock is held while a PIN is asked for or C_Login runs: others wait for its end, up to their deadline. */
#ifndef SIGNET_PKCS11_TOKEN_LOGIN_H
#define SIGNET_PKCS11_TOKEN_LOGIN_H

#include "base/secret.h"
#include "pkcs11/token/session.h"
#include "pkcs11/config/settings.h"

/* How a person is asked: `ask` puts the PIN into *out_pin, or returns false if it can't. `what` names the token. */
struct tok_pin_prompt {
    bool (*ask)(void *arg, const char *what, struct secret *out_pin);
    void *arg;
};

/* What a login may use. */
struct tok_credentials {
    const struct tok_settings *settings;
    const struct tok_uri *uri;    /* that led to the token; borrowed. NULL: none */
    struct tok_pin_prompt prompt; /* ask == NULL: nobody can be asked */
    bool own_pin_only;            /* but what the configuration's entry for the token says: several tokens are meant */
};

/* tok_login_needed tells whether the token wants a login for its private keys and has none from this process. */
bool tok_login_needed(struct tok_token *token, const struct tok_settings *settings);

/* tok_login_needs_pin: is a PIN to be found before a login: none is remembered, nor typed at the token itself? */
bool tok_login_needs_pin(struct tok_token *token);

/* tok_login_allowed: where a URI means several tokens, a PIN that was meant for one must not be tried on others, so
 * that only those with a PIN of their own in the configuration are logged in to; TOK_CODE_PIN_OWN for another. Good
 * where no login is needed. */
TOK_RESULT tok_login_allowed(struct tok_token *token, const struct tok_settings *settings, const struct tok_uri *uri);

/* pkcs11/key/aim.h is what a key logs in by: it says before for which token a PIN is.
 *
 * tok_login logs in with this lease's session; good at once where the process is logged in already. Failures name the
 * PIN's source: TOK_CODE_PIN_NEEDED, _PIN_SOURCE, _PIN_REFUSED, _PIN_LAST_TRY, _DEADLINE, or the CKR of C_Login. */
TOK_RESULT tok_login(struct tok_lease *lease, const struct tok_credentials *credentials, uint64_t deadline_us);

/* A PIN that a token accepted is remembered for the next login as long as anybody holds: the last to release wipes all.
 * Tokens stay logged in: C_Logout might hang, or come at exit, and the login is the process's, of which others may be
 * users (PKCS#11 6.7.4). */
void tok_pins_hold(void);
void tok_pins_release(void);

/* tok_login_for_operation authenticates the operation that has just been begun with a key that is
 * CKA_ALWAYS_AUTHENTICATE (PKCS#11 C_Login, CKU_CONTEXT_SPECIFIC), within the operation's own deadline: it holds the
 * token alone. Makes no other call than C_Login. */
TOK_RESULT tok_login_for_operation(struct tok_lease *lease, const struct tok_credentials *credentials,
                                   uint64_t deadline_us);

/* tok_login_check asks the session whether the user whom we believe to be logged in still is, where something private
 * was not found: the failure CKR_USER_NOT_LOGGED_IN if not. Sessions lost by the module take the login with them, and
 * say so only to whoever uses one of them. */
TOK_RESULT tok_login_check(struct tok_lease *lease);

/* tok_login_lost says that the module answered CKR_USER_NOT_LOGGED_IN. */
void tok_login_lost(struct tok_token *token);

#endif
