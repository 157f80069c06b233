/* Logging in: once for a token and process. A PIN that was never accepted is tried once.
 *
 * The PIN comes from the URI, else from the configuration's entry for the token, else from its general setting, each
 * only if it is for this token (pkcs11/token/tie.h), else from the application's prompt (OpenSSL's passphrase
 * callback). A PIN that the token refused is never sent again (pkcs11/token/tries.h), and the token's last try is left
 * to a person (setting pin-last-try). A token with a PIN pad gets no PIN from us. No
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
    bool own_pin_only;            /* only the PIN of the token's own entry may be used: several tokens are meant */
};

/* tok_login_needed tells whether the token requires a login for its private keys, and this process has not made it. */
bool tok_login_needed(struct tok_token *token, const struct tok_settings *settings);

/* tok_login_can_wait: a token that no PIN was given yet can't be logged in to; what it shows without is looked at first.
 */
bool tok_login_can_wait(struct tok_token *token, const struct tok_settings *settings);

/* tok_login_needs_pin tells whether a login needs a PIN from outside: none is remembered, and the token has no PIN pad.
 */
bool tok_login_needs_pin(struct tok_token *token);

/* tok_login_allowed is for a URI that means several tokens. A PIN that was meant for one must not be tried on others:
 * only tokens with a PIN of their own in the configuration are logged in to, the rest get TOK_CODE_PIN_OWN. Good where
 * no login is needed. */
TOK_RESULT tok_login_allowed(struct tok_token *token, const struct tok_settings *settings, const struct tok_uri *uri);

/* tok_login logs in with this lease's session; good at once where the process is logged in already. Keys call
 * tok_aim_login (pkcs11/key/aim.h), which first decides which token a PIN is for. Failures name the PIN's source:
 * TOK_CODE_PIN_NEEDED, _PIN_SOURCE, _PIN_REFUSED, _PIN_LAST_TRY, _DEADLINE, or the CKR of C_Login. */
TOK_RESULT tok_login(struct tok_lease *lease, const struct tok_credentials *credentials, uint64_t deadline_us);

/* Accepted PINs are remembered for the next login between tok_pins_hold and tok_pins_release: the last release wipes
 * them all. Tokens stay logged in: C_Logout might hang, or come at exit, and other users of the module in this process
 * would lose the login, which is the process's (PKCS#11 6.7.4). */
void tok_pins_hold(void);
void tok_pins_release(void);

/* tok_login_for_operation authenticates the operation that has just been begun with a key that is
 * CKA_ALWAYS_AUTHENTICATE (PKCS#11 C_Login, CKU_CONTEXT_SPECIFIC), within the operation's own deadline: it holds the
 * token alone. Makes no other call than C_Login. */
TOK_RESULT tok_login_for_operation(struct tok_lease *lease, const struct tok_credentials *credentials,
                                   uint64_t deadline_us);

/* tok_login_check is for a private object that was not found. It asks the session whether our login still holds, and
 * fails with CKR_USER_NOT_LOGGED_IN if not: a module that loses sessions loses the login too, and reports it only to
 * the next use of such a session. */
TOK_RESULT tok_login_check(struct tok_lease *lease);

/* tok_login_lost says that the module answered CKR_USER_NOT_LOGGED_IN. */
void tok_login_lost(struct tok_token *token);

#endif
