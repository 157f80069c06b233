/* What everything fallible on this floor returns.
 *
 * Three dialects meet in a provider: OpenSSL's 1 is good, Cryptoki's 0 (CKR_OK) is good, and libc has -1. So a result
 * here is a struct: returning it from a function of another dialect does not compile. A failure carries its code, the
 * C_ function and CK_RV where a module spoke, and a message that says what happened and where; each floor may put its
 * own context in front (tok_context). Nothing on this floor logs an error or knows OpenSSL's queue. Messages never
 * hold a secret. */
#ifndef SIGNET_PKCS11_RESULT_RESULT_H
#define SIGNET_PKCS11_RESULT_RESULT_H

#include <stdbool.h>

#include "base/scoped.h"

/* Kinds of failure. The order is that of the table in result.c; the numbers are ours and end up as OpenSSL reason codes
 * (provider/core/err.c), so new ones are added at the end. */
enum tok_code {
    TOK_CODE_OK = 0,
    TOK_CODE_CKR, /* a module returned result.rv from result.function */
    TOK_CODE_NO_MEMORY,
    TOK_CODE_BAD_ARGUMENT, /* the caller asked for something that makes no sense */
    TOK_CODE_BAD_URI,
    TOK_CODE_BAD_SETTING,
    TOK_CODE_NO_MODULE,      /* no module is configured, or the name is unknown */
    TOK_CODE_MODULE_LOAD,    /* dlopen failed, or it is no PKCS#11 module */
    TOK_CODE_NO_TOKEN,       /* no token matches */
    TOK_CODE_NO_OBJECT,      /* the token has no such key or certificate */
    TOK_CODE_AMBIGUOUS,      /* a name matches several different keys */
    TOK_CODE_NO_PUBLIC_HALF, /* neither object, attribute nor certificate shows it */
    TOK_CODE_PIN_NEEDED,     /* a login is needed and nobody gave a PIN */
    TOK_CODE_PIN_SOURCE,     /* the source that should give the PIN failed */
    TOK_CODE_PIN_REFUSED,    /* the token refused this PIN before; it is not tried again */
    TOK_CODE_PIN_LAST_TRY,   /* the token's last try is not used */
    TOK_CODE_DEADLINE,       /* waited as long as the setting `deadline` allows */
    TOK_CODE_RECURSION,      /* a module, called by us, came back to us for a token key */
    TOK_CODE_EXITING,        /* the process is exiting */
    TOK_CODE_POLICY,         /* the setting `require` refuses the key */
    TOK_CODE_OTHER_KEY,      /* the token's key is not the one that was loaded */
    TOK_CODE_UNSUPPORTED,    /* neither token nor key can do this */
    TOK_CODE_TRUST,          /* a key file asks for what only a trusted one may (setting trust-files) */
    TOK_CODE_UNAVAILABLE,    /* it did not answer before, and is not asked again yet */
    TOK_CODE_AFTER_FORK,     /* the module was opened before a fork that it did not notice (pkcs11/module/quirks.h) */
    TOK_CODE_JOB_IS_GONE,    /* what a job waits for was left behind: by a fork, or because the key's owner ended */
    TOK_CODE_PIN_OWN,        /* the URI means several tokens, and this one has no PIN of its own */
    TOK_CODE_ANSWER,         /* a module's answer can't be true (pkcs11/module/answer.h): a failure like any other */
    TOK_CODE_PIN_TIED,       /* the configuration's PIN is for another token, or it does not say for which */
    TOK_CODE_PIN_UNCLEAR,    /* C_Login answered what may mean that this PIN is wrong; it is not tried again */
    TOK_NUM_CODES
};

#define TOK_MESSAGE_SIZE 768

struct tok_result {
    enum tok_code code;
    unsigned long rv;               /* CK_RV, where a module spoke (TOK_CODE_CKR, TOK_CODE_ANSWER); else CKR_OK */
    const char *function;           /* static: "C_Sign", likewise; else NULL */
    char message[TOK_MESSAGE_SIZE]; /* undefined when code is TOK_CODE_OK */
};

#define TOK_RESULT MUST_CHECK struct tok_result

static inline bool tok_ok(const struct tok_result *result)
{
    return result->code == TOK_CODE_OK;
}

static inline struct tok_result tok_good(void)
{
    struct tok_result result;

    result.code = TOK_CODE_OK; /* the rest stays as it is: this runs on the path of every signature */
    result.rv = 0;
    result.function = NULL;
    result.message[0] = '\0';
    return result;
}

/* tok_fail makes a failure of our own. */
__attribute__((format(printf, 2, 3))) struct tok_result tok_fail(enum tok_code code, const char *format, ...);
/* tok_fail_ckr makes a failure out of what a module returned; `function` is static. The message becomes
 * "C_Sign: CKR_PIN_LOCKED (0xa4)". */
struct tok_result tok_fail_ckr(const char *function, unsigned long rv);
/* tok_fail_answer makes a failure out of an answer that can't be true: "C_Sign answered 0 bytes". What is done about it
 * is what is done about CKR_GENERAL_ERROR, its rv. */
__attribute__((format(printf, 2, 3))) struct tok_result tok_fail_answer(const char *function, const char *format, ...);
/* tok_context puts "what: " before the message of a failure, and leaves a good result alone. */
__attribute__((format(printf, 2, 3))) struct tok_result tok_context(struct tok_result result, const char *format, ...);
/* tok_is tells whether this is the failure `rv` of a module. */
bool tok_is(const struct tok_result *result, unsigned long rv);
/* tok_is_spoken tells whether a module spoke: `rv` and `function` say what, or what it amounts to. */
static inline bool tok_is_spoken(const struct tok_result *result)
{
    return result->code == TOK_CODE_CKR || result->code == TOK_CODE_ANSWER;
}

/* tok_code_reason is a short text for a code, fit for a table of reasons ("no token matches"); static. */
const char *tok_code_reason(enum tok_code code);
/* tok_advice says what to do next, for a person: from the code's row, or from the CKR's (pkcs11/result/ckr.h). Static;
 * "" if there is nothing better to say than the message. */
const char *tok_advice(const struct tok_result *result);

/* The one macro that returns. */
#define TOK_TRY(expression)                                                                                            \
    do {                                                                                                               \
        struct tok_result try_ = (expression);                                                                         \
        if (!tok_ok(&try_)) {                                                                                          \
            return try_;                                                                                               \
        }                                                                                                              \
    } while (0)

#endif
