/* A PKCS#11 module that is loaded into this process: its functions, and whether it is initialised.
 *
 * Cryptoki is initialised and logged in once in a process, whatever number of library contexts use it, so modules live
 * in a process-wide registry (pkcs11/module/registry.h), are never unloaded, and own their tokens
 * (pkcs11/token/token.h). Initialising is a state with a condition variable: one thread does it, without a lock, others
 * wait up to their deadline. After a fork the child initialises again at its first use. C_Finalize is called only to
 * initialise again a module that we initialised ourselves in this process, while nobody is inside (tok_module_again).
 *
 * The order of locks is in base/fork.h. None is held across a C_ call. */
#ifndef SIGNET_PKCS11_MODULE_MODULE_H
#define SIGNET_PKCS11_MODULE_MODULE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/flight.h"
#include "base/lock.h"
#include "pkcs11/config/settings.h"
#include "pkcs11/module/health.h"
#include "pkcs11/module/call.h"
#include "pkcs11/module/quirks.h"
#include "pkcs11/result/cryptoki.h"
#include "pkcs11/result/result.h"

struct tok_token;
struct tok_module;

/* What the room of tokens does with a module's tokens around a fork, while the module's lock is held: takes all their
 * locks, gives them back, or, in the child, forgets what belongs to the parent. */
struct tok_tokens_fork {
    void (*prepare)(struct tok_module *module);
    void (*parent)(struct tok_module *module);
    void (*child)(struct tok_module *module);
};

enum tok_module_state { TOK_MODULE_IDLE, TOK_MODULE_STARTING, TOK_MODULE_READY };

struct tok_module {
    char *path;      /* as dlopen got it; constant, like all up to `lock` */
    char *name;      /* p11-kit's name for it, or the file's */
    char *init_args; /* pReserved of C_Initialize; NULL for none */
    CK_C_GetFunctionList get_functions;
    tok_get_interface *get_interface; /* NULL before PKCS#11 3.0 */
    CK_FUNCTION_LIST functions_2;     /* our copies: a module's own may change, */
    struct tok_functions_3 functions_3;
    CK_FUNCTION_LIST *functions;            /* and this is the first of them, */
    const struct tok_functions_3 *messages; /* and this the second, for pkcs11/token/message.h; NULL: none */
    struct tok_module *next;                /* in the registry */

    _Atomic bool closed; /* it is being initialised again: no session is lent. Changed under the lock */
    _Atomic(enum tok_module_state) state; /* likewise */
    _Atomic uint64_t starts;              /* how often it was initialised; likewise */

    struct lock lock;         /* guards what follows */
    struct tok_health health; /* of C_Initialize */
    bool initialized_by_us;
    bool inherited;       /* initialised by an ancestor of this process, */
    bool inherited_by_us; /* and that by us */
    struct flight starting;
    struct flight looking; /* at its slots, or another call that belongs to no session */
    uint64_t looks_begun;
    uint64_t looks_good;  /* the number of the last one that went well */
    uint64_t again_us;    /* when it may be initialised again */
    uint64_t again_pause; /* after that */
    bool has_info;
    CK_INFO info;
    enum tok_fork fork; /* what the configuration says of it in a child; of several tokens the most careful word */
    struct tok_token *tokens;
    const struct tok_tokens_fork *tokens_fork; /* NULL as long as there are none */
    uint64_t looks;                            /* how many there were */
    struct tok_result trouble;                 /* of a slot that could not tell what it holds, at the last look */
    size_t blank;                              /* so many tokens were not initialised then */
};

/* tok_module_open loads the file, which runs its constructors; tok_module_ask_functions asks it for its function list.
 * Both are the module's own code, which may hang: the caller (the registry) holds no lock, and owns the result.
 * TOK_CODE_MODULE_LOAD has dlerror's text. Neither initialises. */
TOK_RESULT tok_module_open(struct tok_module **out_module, const char *path, const char *name, const char *init_args);
TOK_RESULT tok_module_ask_functions(struct tok_module *module);
/* tok_module_close frees one that has no function list. */
void tok_module_close(struct tok_module **module);

/* tok_module_start makes sure that the module is initialised in this process; any number of times. After a failure the
 * next call tries again. TOK_CODE_UNAVAILABLE if the last try failed after the deadline and no other is made yet,
 * TOK_CODE_RECURSION if this thread is inside a module, TOK_CODE_EXITING after exit has begun, TOK_CODE_DEADLINE if
 * another thread has been initialising it for too long. */
TOK_RESULT tok_module_start(struct tok_module *module, uint64_t deadline_us);

/* tok_module_forgot takes note that the module forgot its initialisation, if `starts` is still module->starts. False:
 * it was started since. Requires the lock. For pkcs11/token/again.c, which tells the tokens. */
bool tok_module_forgot(struct tok_module *module, uint64_t starts);

/* To finalise the module and initialise it again, for pkcs11/token/again.c, which waits in between until no thread is
 * inside. tok_module_again_begin takes the right to do it, and lets no new session be lent; false, with *out_result,
 * where it need not or may not be done. tok_module_again_end does it, tok_module_again_cancel does not; both let
 * sessions be lent again. */
#define TOK_RESTART "; the process must be restarted to initialise the module again"
bool tok_module_again_begin(struct tok_module *module, uint64_t starts, bool harmless, uint64_t deadline_us,
                            struct tok_result *out_result);
TOK_RESULT tok_module_again_end(struct tok_module *module, uint64_t deadline_us);
void tok_module_again_cancel(struct tok_module *module);

/* The right to make calls that belong to no session: one thread at a time, and none while the module is being
 * initialised. Waits, up to the deadline; tok_module_leave ends it. For a look at the slots, *out_looked is set if
 * another thread has made a whole look meanwhile: then the caller has no right, and nothing to end. */
TOK_RESULT tok_module_enter(struct tok_module *module, bool *out_looked, uint64_t deadline_us);
void tok_module_leave(struct tok_module *module, bool has_looked);

/* tok_module_anew: in the child of a fork, nothing of what its parent was doing counts. */
void tok_module_anew(struct tok_module *module);

/* tok_module_info is C_GetInfo's answer, asked once. */
TOK_RESULT tok_module_info(struct tok_module *module, CK_INFO *out_info, uint64_t deadline_us);
/* tok_module_quirk is the row of its oddities; that of an unknown module where it does not say who it is. Never NULL.
 */
const struct tok_quirk *tok_module_quirk(struct tok_module *module, uint64_t deadline_us);
/* tok_module_quirk_inside is the same for a caller that keeps the module from being finalised: it is starting it, or
 * has a lease. */
const struct tok_quirk *tok_module_quirk_inside(struct tok_module *module);

#endif
