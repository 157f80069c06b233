/* A module that has to be initialised once more, with all that its tokens lose by it.
 *
 * The module's own part of it (who does it, and whether it may be done at all) is pkcs11/module/module.h's; here its
 * tokens are emptied before and told after. For pkcs11/recover/recover.c and pkcs11/key/find-tokens.c. */
#ifndef SIGNET_PKCS11_TOKEN_AGAIN_H
#define SIGNET_PKCS11_TOKEN_AGAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "pkcs11/module/module.h"
#include "pkcs11/result/result.h"

/* tok_module_lost says that the module forgot its initialisation (CKR_CRYPTOKI_NOT_INITIALIZED), if `starts` is still
 * module->starts: of many threads that notice, one acts. */
void tok_module_lost(struct tok_module *module, uint64_t starts);

/* tok_module_again finalises the module and initialises it again, for all its tokens and library contexts, while no
 * thread is inside; good at once if another thread has done so since `starts`. Refused, with the reason and the advice
 * to restart the process, where it was not our own C_Initialize that initialised it here, or where a call does not
 * return (TOK_CODE_UNSUPPORTED); and too soon after the last time (TOK_CODE_UNAVAILABLE), which is soon over where it
 * has no slots that anybody could be using (`harmless`). */
TOK_RESULT tok_module_again(struct tok_module *module, uint64_t starts, bool harmless, uint64_t deadline_us);

/* tok_module_may_miss: may a token be there that the module does not show until it is initialised again, and can that
 * be done because nobody uses it? */
bool tok_module_may_miss(struct tok_module *module, uint64_t deadline_us);
/* tok_module_read_again initialises it again then, however short a while ago that was done before. */
TOK_RESULT tok_module_read_again(struct tok_module *module, uint64_t deadline_us);
/* tok_module_may_pass: may this failure to open a session or to log in be due to that, so that initialising the module
 * again helps? */
bool tok_module_may_pass(struct tok_module *module, const struct tok_result *failure, uint64_t deadline_us);

#endif
