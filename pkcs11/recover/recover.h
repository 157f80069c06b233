/* What to do after a failure that need not be final: the column `recovery` of the CKR table (pkcs11/result/ckr.h),
 * carried out.
 *
 * Whoever retries keeps a `struct tok_attempts` for one operation: each kind of recovery is tried at most once for a
 * loss, waiting excepted, and nothing goes on beyond the deadline. What follows is another loss if the token itself
 * says that session or login are gone, and not only the call that failed. A token that went is waited for; a module
 * whose daemon is gone is initialised again where that is ours to do. For the room pkcs11/key. */
#ifndef SIGNET_PKCS11_RECOVER_RECOVER_H
#define SIGNET_PKCS11_RECOVER_RECOVER_H

#include "pkcs11/recover/attempts.h"

/* tok_note_failure marks the lease as spoilt where the failure says so; call it before the lease ends. */
void tok_note_failure(struct tok_lease *lease, const struct tok_result *failure);
/* tok_attempts_note is the same for whoever retries. Where that is not the first loss, it asks the token about it. */
void tok_attempts_note(struct tok_attempts *attempts, struct tok_token *token, struct tok_lease *lease,
                       const struct tok_result *failure);

/* tok_recover prepares another attempt after `failure`, which happened with `lease`, ended by now, on the token. False
 * if it can only be reported; its message may then have one reason more. */
bool tok_recover(struct tok_attempts *attempts, struct tok_token *token, const struct tok_lease *lease,
                 struct tok_result *failure);
/* tok_recover_module is the same for a failure before a token was found, while a module is started or its slots are
 * looked at. Another look may help; waits are short, since another module may have the token. `starts` is
 * module->starts before the attempt. */
bool tok_recover_module(struct tok_attempts *attempts, struct tok_module *module, uint64_t starts,
                        const struct tok_result *failure);

#endif
