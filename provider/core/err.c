#include "provider/core/err.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/result/ckr.h"
#include "provider/core/context.h"

/* Reason numbers: the codes of the token's floor as they are, CKR values above CKR_BASE, ours above 0x1000. */
#define CKR_BASE 0x100
#define CKR_LAST 0x2ff /* beyond, a value has no reason of its own: the message names it */
#define MAX_REASONS 256

static const OSSL_ITEM own_reasons[] = {
    { PROV_R_SETTING, "bad setting" },
    { PROV_R_NO_SOFTWARE, "no provider for public keys is active" },
    { PROV_R_KEY_FILE, "malformed key file" },
    { PROV_R_KEY_TYPE, "unsupported key type" },
    { PROV_R_PARAMETER, "parameter that can't be served" },
    { PROV_R_NO_PRIVATE_EXPORT, "the private key does not leave its token" },
    { PROV_R_WRONG_RESULT, "wrong result of the token" },
    { PROV_R_SOFTWARE, "failure in another provider" },
    { PROV_R_NO_MEMORY, "out of memory" },
};

static OSSL_ITEM reasons[MAX_REASONS];

static void reasons_make(void)
{
    size_t num_ckr;
    const struct tok_ckr *ckr = tok_ckr_rows(&num_ckr);
    size_t n = 0;

    for (int code = TOK_CODE_CKR; code < TOK_NUM_CODES; code++) {
        reasons[n++] = (OSSL_ITEM){ (unsigned)code, (void *)tok_code_reason((enum tok_code)code) };
    }
    for (size_t i = 0; i < num_ckr && n < MAX_REASONS - COUNT_OF(own_reasons) - 1; i++) {
        if (ckr[i].rv != CKR_OK && ckr[i].rv <= CKR_LAST) {
            reasons[n++] = (OSSL_ITEM){ (unsigned)(CKR_BASE + ckr[i].rv), (void *)ckr[i].name };
        }
    }
    for (size_t i = 0; i < COUNT_OF(own_reasons); i++) {
        reasons[n++] = own_reasons[i];
    }
}

const OSSL_ITEM *prov_err_reasons(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, reasons_make);
    return reasons;
}

void prov_err_init(struct prov_err_core *core, const OSSL_DISPATCH *in)
{
    for (; in->function_id != 0; in++) {
        switch (in->function_id) {
        case OSSL_FUNC_CORE_NEW_ERROR:
            core->new_error = OSSL_FUNC_core_new_error(in);
            break;
        case OSSL_FUNC_CORE_SET_ERROR_DEBUG:
            core->set_debug = OSSL_FUNC_core_set_error_debug(in);
            break;
        case OSSL_FUNC_CORE_VSET_ERROR:
            core->vset_error = OSSL_FUNC_core_vset_error(in);
            break;
        case OSSL_FUNC_CORE_SET_ERROR_MARK:
            core->set_mark = OSSL_FUNC_core_set_error_mark(in);
            break;
        case OSSL_FUNC_CORE_CLEAR_LAST_ERROR_MARK:
            core->clear_mark = OSSL_FUNC_core_clear_last_error_mark(in);
            break;
        case OSSL_FUNC_CORE_POP_ERROR_TO_MARK:
            core->pop_to_mark = OSSL_FUNC_core_pop_error_to_mark(in);
            break;
        default:
            break;
        }
    }
}

/* The name of a source file from the room on, wherever it was compiled from. */
static const char *short_file(const char *file)
{
    const char *room = strstr(file, "provider/");

    for (const char *next = room; next != NULL; next = strstr(next + 1, "provider/")) {
        room = next;
    }
    return room != NULL ? room : file;
}

static _Thread_local struct prov_err_copy *copying;

struct prov_err_copy *prov_err_copy_to(struct prov_err_copy *copy)
{
    struct prov_err_copy *before = copying;

    copying = copy;
    return before;
}

__attribute__((format(printf, 4, 5))) static void set_error(const struct prov_err_core *core,
                                                            const OSSL_CORE_HANDLE *handle, unsigned reason,
                                                            const char *format, ...)
{
    va_list args;

    va_start(args, format);
    core->vset_error(handle, reason, format, args);
    va_end(args);
}

/* The one place through which errors go, with what tokens, files and users have put into them. Traced is also what the
 * application, or OpenSSL, throws away. */
__attribute__((format(printf, 4, 0))) static int raise_va(const struct prov_ctx *prov, struct prov_place place,
                                                          unsigned reason, const char *format, va_list args)
{
    const struct prov_err_core *core = &prov->err;
    char line[2048];
    struct text text = TEXT_OVER(line);

    text_vprintf(&text, format, args);
    (void)text_clean(line);
    trace(TRACE_ERROR, "error: %s: %s", place.function, line);
    if (copying != NULL) {
        struct text copy = TEXT_OVER(copying->text);

        text_put(&copy, line);
        copying->reason = reason;
    }
    if (core->new_error != NULL && core->set_debug != NULL && core->vset_error != NULL) {
        core->new_error(prov->handle);
        core->set_debug(prov->handle, short_file(place.file), place.line, place.function);
        set_error(core, prov->handle, reason, "%s", line);
    }
    return 0;
}

int prov_raise_at(const struct prov_ctx *prov, struct prov_place place, enum prov_reason reason, const char *format,
                  ...)
{
    va_list args;

    va_start(args, format);
    (void)raise_va(prov, place, reason, format, args);
    va_end(args);
    return 0;
}

int prov_err_again_at(const struct prov_ctx *prov, struct prov_place place, const struct prov_err_copy *copy)
{
    return prov_raise_at(prov, place, (enum prov_reason)copy->reason, "%s", copy->text);
}

int prov_fail_at(const struct prov_ctx *prov, const struct tok_result *failure, struct prov_place place)
{
    const char *advice = tok_advice(failure);
    const char *hint = prov->hint;
    unsigned reason = (unsigned)failure->code;

    if (failure->code == TOK_CODE_CKR && failure->rv <= CKR_LAST) {
        reason = (unsigned)(CKR_BASE + failure->rv);
    }
    return prov_raise_at(prov, place, (enum prov_reason)reason, "%s%s%s%s%s", failure->message,
                         advice[0] != '\0' ? ". " : "", advice, hint != NULL ? ". By the way: " : "",
                         hint != NULL ? hint : "");
}

void prov_err_mark(const struct prov_ctx *prov)
{
    if (prov->err.set_mark != NULL) {
        prov->err.set_mark(prov->handle);
    }
}

void prov_err_forget(const struct prov_ctx *prov)
{
    if (prov->err.pop_to_mark != NULL) {
        prov->err.pop_to_mark(prov->handle);
    }
}

void prov_err_keep(const struct prov_ctx *prov)
{
    if (prov->err.clear_mark != NULL) {
        prov->err.clear_mark(prov->handle);
    }
}
