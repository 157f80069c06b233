/* Errors: from a value on the token's floor to OpenSSL's queue, in this one place.
 *
 * The core's error functions come with each instance, so that an instance in another library context, or beside another
 * libcrypto, reports to the right queue. A failure of the token's floor becomes one entry: its reason from the table of
 * reasons, its text what happened, where, and what to do. Never a secret. For the rooms of provider/ only; nobody else
 * raises. */
#ifndef SIGNET_PROVIDER_CORE_ERR_H
#define SIGNET_PROVIDER_CORE_ERR_H

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/macros.h>

#include "pkcs11/result/result.h"

struct prov_ctx;

struct prov_err_core {
    OSSL_FUNC_core_new_error_fn *new_error;
    OSSL_FUNC_core_set_error_debug_fn *set_debug;
    OSSL_FUNC_core_vset_error_fn *vset_error;
    OSSL_FUNC_core_set_error_mark_fn *set_mark;
    OSSL_FUNC_core_clear_last_error_mark_fn *clear_mark;
    OSSL_FUNC_core_pop_error_to_mark_fn *pop_to_mark;
};

/* Reasons of our own, above those of enum tok_code (1…) and of the CKR values (0x100 + rv for the standard ones). */
enum prov_reason {
    PROV_R_SETTING = 0x1000,  /* a value in the configuration makes no sense */
    PROV_R_NO_SOFTWARE,       /* no other provider is active, so that public keys can't be used */
    PROV_R_KEY_FILE,          /* malformed */
    PROV_R_KEY_TYPE,          /* not a type that we serve, or not that of this algorithm */
    PROV_R_PARAMETER,         /* a parameter of an operation that we can't serve */
    PROV_R_NO_PRIVATE_EXPORT, /* the private half stays where it is */
    PROV_R_WRONG_RESULT,      /* the token's signature does not verify */
    PROV_R_SOFTWARE,          /* libcrypto failed where we delegated */
    PROV_R_NO_MEMORY,
};

/* prov_err_init takes the functions out of the core's dispatch table. */
void prov_err_init(struct prov_err_core *core, const OSSL_DISPATCH *in);
/* prov_err_reasons is the table for OSSL_FUNC_PROVIDER_GET_REASON_STRINGS; static. */
const OSSL_ITEM *prov_err_reasons(void);

/* Where in the source an entry comes from. */
struct prov_place {
    const char *file;
    int line;
    const char *function;
};
#define PROV_HERE ((struct prov_place){ OPENSSL_FILE, OPENSSL_LINE, OPENSSL_FUNC })

/* prov_fail raises the failure of the token's floor and returns 0, so that a dispatch function ends with
 *     return tok_ok(&r) ? 1 : prov_fail(prov, &r);
 * The entry's text is the message, a full stop, and the advice. */
int prov_fail_at(const struct prov_ctx *prov, const struct tok_result *failure, struct prov_place place);
#define prov_fail(prov, failure) prov_fail_at((prov), (failure), PROV_HERE)

/* prov_raise(prov, reason, format, ...) raises a reason of ours and returns 0. */
__attribute__((format(printf, 4, 5))) int prov_raise_at(const struct prov_ctx *prov, struct prov_place place,
                                                        enum prov_reason reason, const char *format, ...);
#define prov_raise(prov, ...) prov_raise_at((prov), PROV_HERE, __VA_ARGS__)

/* A copy of an error. */
struct prov_err_copy {
    unsigned reason; /* 0: there was none */
    char text[1024];
};

/* prov_err_copy_to has each error that this thread raises from now on copied to *copy, where the last one stays; NULL:
 * no more. What it was before. prov_err_again raises one again that libcrypto has dropped meanwhile, and returns 0. */
struct prov_err_copy *prov_err_copy_to(struct prov_err_copy *copy);
int prov_err_again_at(const struct prov_ctx *prov, struct prov_place place, const struct prov_err_copy *copy);
#define prov_err_again(prov, copy) prov_err_again_at((prov), PROV_HERE, (copy))

/* Around an attempt whose errors nobody should see: mark, then forget or keep what came since. Each step down to the
 * token's floor is such an attempt: a module that uses libcrypto leaves errors of its own on our queue, even where it
 * succeeds. */
void prov_err_mark(const struct prov_ctx *prov);
void prov_err_forget(const struct prov_ctx *prov);
void prov_err_keep(const struct prov_ctx *prov);

#endif
