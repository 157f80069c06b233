/* A PKCS#11 module that is loaded into this process: its functions, and whether it is initialised.
 *
 * Cryptoki is initialised and logged in once in a process, whatever number of library contexts use it, so modules live
 * in a process-wide registry (pkcs11/registry.h), are never unloaded, and own their tokens (pkcs11/token.h).
 * Initialising is a state with a condition variable: one thread does it, without a lock, others wait up to their
 * deadline. After a fork the child initialises again at its first use. We never call C_Finalize.
 *
 * Lock order: registry → module → token → key. None is held across a C_ call. */
#ifndef SIGNET_PKCS11_MODULE_H
#define SIGNET_PKCS11_MODULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/lock.h"
#include "pkcs11/call.h"
#include "pkcs11/cryptoki.h"
#include "pkcs11/result.h"

struct tok_token;

enum tok_module_state { TOK_MODULE_IDLE, TOK_MODULE_STARTING, TOK_MODULE_READY };

struct tok_module {
    char *path;      /* as dlopen got it; constant, like all up to `lock` */
    char *name;      /* p11-kit's name for it, or the file's */
    char *init_args; /* pReserved of C_Initialize; NULL for none */
    CK_FUNCTION_LIST *functions;
    struct tok_module *next; /* in the registry */

    struct lock lock; /* guards what follows */
    enum tok_module_state state;
    bool initialized_by_us;
    bool has_info;
    CK_INFO info;
    struct tok_token *tokens;
};

/* tok_module_open loads the file and takes its function list; it does not initialise. TOK_CODE_MODULE_LOAD has
 * dlerror's text. The caller (the registry) owns the result. */
TOK_RESULT tok_module_open(struct tok_module **out_module, const char *path, const char *name, const char *init_args);

/* tok_module_start makes sure that the module is initialised in this process; any number of times. A failure is no
 * state for ever: the next call tries again. TOK_CODE_RECURSION if this thread is inside a module, TOK_CODE_EXITING
 * after exit has begun, TOK_CODE_DEADLINE if another thread has been initialising it for too long. */
TOK_RESULT tok_module_start(struct tok_module *module, uint64_t deadline_us);

/* tok_module_lost says that the module forgot its initialisation (CKR_CRYPTOKI_NOT_INITIALIZED). */
void tok_module_lost(struct tok_module *module);

/* tok_module_info is C_GetInfo's answer, asked once. */
TOK_RESULT tok_module_info(struct tok_module *module, CK_INFO *out_info);

#endif
