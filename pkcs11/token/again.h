/* A module that has to be initialised once more, with all that its tokens lose by it.
 *
 * The module's own part of it (who does it, and whether it may be done at all) is pkcs11/module/module.h's; here its
 * tokens lose their sessions before, and start a new epoch after. For pkcs11/recover/recover.c and
 * pkcs11/key/find-tokens.c. */
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
 * thread is inside; good at once if another thread has done so since `starts`. TOK_CODE_UNSUPPORTED, with the reason
 * and the advice to restart the process, where our own C_Initialize did not initialise it here, or a call does not
 * return. TOK_CODE_UNAVAILABLE too soon after the last time; the pause is short where it has no slots that anybody
 * could be using (`harmless`). */
TOK_RESULT tok_module_again(struct tok_module *module, uint64_t starts, bool harmless, uint64_t deadline_us);

/* tok_module_may_miss tells whether the module may hide a token until it is initialised again, and nobody uses it, so
 * that this can be done. */
bool tok_module_may_miss(struct tok_module *module, uint64_t deadline_us);
/* tok_module_read_again then initialises it again, however recently that was done before. */
TOK_RESULT tok_module_read_again(struct tok_module *module, uint64_t deadline_us);
/* tok_module_may_pass tells whether that may be the cause of this failure to open a session or to log in, so that
 * initialising the module again helps. */
bool tok_module_may_pass(struct tok_module *module, const struct tok_result *failure, uint64_t deadline_us);

#endif
