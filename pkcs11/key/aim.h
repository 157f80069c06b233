/* Which token a PIN of the configuration is sent to, and the login of a key.
 *
 * A key file or a label can be anybody's, so neither decides where a PIN goes:
 * - token.NAME.pin is for the one token that token.NAME.uri matches among those that are present, in the module that
 *   token.NAME.pkcs11-module says. Where it matches several, none gets it.
 * - The setting pin belongs to the only entry of the configuration that has no PIN of its own, as if it stood there.
 *   Without such an entry it belongs to the first token that the application names by a URI. A key file that is not
 *   trusted has it only if just one token is present that wants a login.
 * What was decided stays so (pkcs11/token/tie.h). For pkcs11/key/find.c and key-operate.c. */
#ifndef SIGNET_PKCS11_KEY_AIM_H
#define SIGNET_PKCS11_KEY_AIM_H

#include "pkcs11/token/login.h"

/* tok_aim decides, if a PIN of the configuration would serve this login, whether it is for this token; it may look at
 * the tokens that are present. Good where there is nothing to decide. TOK_CODE_PIN_TIED says which lines would do. */
TOK_RESULT tok_aim(struct tok_token *token, const struct tok_credentials *credentials, uint64_t deadline_us);
/* tok_aim_login is tok_login after that, and tells children of it (pkcs11/key/child.h). What tok_aim says counts where
 * the login fails for want of a PIN: a person may be asked, or it is typed at the token. */
TOK_RESULT tok_aim_login(struct tok_lease *lease, const struct tok_credentials *credentials, uint64_t deadline_us);


/* tok_aim_login_late is for a private key that was not found without a login: on a token that says that it requires
 * none, but for which there is a PIN, and on one whose login could wait. *out_again tells whether there was a login, so
 * that it is worth while to look again. */
TOK_RESULT tok_aim_login_late(bool *out_again, struct tok_lease *lease, const struct tok_credentials *credentials,
                              uint64_t deadline_us);

#endif
