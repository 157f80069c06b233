/* The only door into a module: every C_ function is called through TOK_CALL.
 *
 * The door knows whether the process is exiting (then nothing goes through any more), whether this thread is already
 * inside a module (a module that uses libcrypto may come back to us), keeps SIGPIPE from a module whose daemon died,
 * lets a fork wait until nobody is inside (the gate), and traces. It holds no lock while a call runs. For the rooms of
 * pkcs11/ only; the setting fork-wait (provider/settings/table.c) reaches the gate alone. */
#ifndef SIGNET_PKCS11_MODULE_CALL_H
#define SIGNET_PKCS11_MODULE_CALL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/flight.h"
#include "pkcs11/result/cryptoki.h"
#include "pkcs11/result/result.h"

struct tok_call {
    const char *function;
    uint64_t began_us; /* 0 unless traced */
};

/* tok_call_begin waits at the gate while the process forks. False once exit has begun: the call is not made. */
bool tok_call_begin(struct tok_call *call, const char *function);
void tok_call_end(struct tok_call *call, CK_RV rv);

/* While SIGPIPE is held, a module that writes to a dead daemon's socket can't end the process by SIGPIPE. Every call
 * holds it for itself; an operation of several calls holds it around them all, which saves system calls. Where the
 * process ignores the signal there is nothing to hold. Nests within a thread. */
void tok_sigpipe_hold(void);
void tok_sigpipe_release(void);
static inline void tok_sigpipe_end(int *held)
{
    (void)held;
    tok_sigpipe_release();
}
#define TOK_SIGPIPE_HELD() SCOPED(tok_sigpipe_end) int sigpipe_held_ __attribute__((unused)) = (tok_sigpipe_hold(), 0)

/* Which function a thread is inside of; NULL: of none. Whoever makes others wait (a lease, a login) leaves this with
 * what he holds, so that those can tell which call is in the way. Good as long as its thread holds that. */
typedef flight_inside tok_inside;
tok_inside *tok_inside_here(void);
/* tok_inside_name is the function's name, or a text for none. */
const char *tok_inside_name(tok_inside *inside);

/* tok_inside_module tells whether this thread is inside a C_ function right now. */
bool tok_inside_module(void);

/* tok_gate_init arms the gate for fork. Called once, by pkcs11/module/registry.c. */
void tok_gate_init(void);

/* tok_gate_set_wait sets how long a fork waits for calls that are inside a module (setting fork-wait). */
void tok_gate_set_wait(uint64_t wait_us);

/* TOK_CALL(functions, C_Sign, session, ...) is the CK_RV; CKR_CRYPTOKI_NOT_INITIALIZED if the process is exiting,
 * CKR_FUNCTION_NOT_SUPPORTED where the module has no such function. */
#define TOK_CALL(functions, name, ...)                                                                                 \
    ({                                                                                                                 \
        struct tok_call call_;                                                                                         \
        CK_RV rv_ = CKR_CRYPTOKI_NOT_INITIALIZED;                                                                      \
        if (tok_call_begin(&call_, #name)) {                                                                           \
            rv_ = (functions)->name != NULL ? (functions)->name(__VA_ARGS__) : CKR_FUNCTION_NOT_SUPPORTED;             \
            tok_call_end(&call_, rv_);                                                                                 \
        }                                                                                                              \
        rv_;                                                                                                           \
    })

/* TOK_DO is TOK_CALL with a struct tok_result in place of the CK_RV. */
#define TOK_DO(functions, name, ...)                                                                                   \
    ({                                                                                                                 \
        CK_RV do_rv_ = TOK_CALL(functions, name, __VA_ARGS__);                                                         \
        do_rv_ == CKR_OK ? tok_good() : tok_fail_ckr(#name, do_rv_);                                                   \
    })

#endif
