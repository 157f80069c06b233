#include "pkcs11/result/result.h"

#include <stdarg.h>
#include <string.h>

#include "base/text.h"
#include "pkcs11/result/ckr.h"

static const struct {
    const char *reason;
    const char *advice;
} rows[TOK_NUM_CODES] = {
    [TOK_CODE_OK] = { "no error", "" },
    [TOK_CODE_CKR] = { "the PKCS#11 module reported a failure", "" },
    [TOK_CODE_NO_MEMORY] = { "out of memory", "" },
    [TOK_CODE_BAD_ARGUMENT] = { "the call makes no sense", "" },
    [TOK_CODE_BAD_URI] = { "malformed PKCS#11 URI",
                           "RFC 7512 has the form pkcs11:token=NAME;object=NAME;type=private" },
    [TOK_CODE_BAD_SETTING] = { "bad setting",
                               "Correct it where it is set (the provider's section of openssl.cnf, the environment, or "
                               "an option); signet(7) lists all settings" },
    [TOK_CODE_NO_MODULE] = { "no PKCS#11 module",
                             "Set pkcs11-module = /path/to/module.so in the provider's section of openssl.cnf" },
    [TOK_CODE_MODULE_LOAD] = { "the PKCS#11 module can't be loaded", "Check the path (pkcs11-module, or module-path of "
                                                                     "the URI), and that this user may read the "
                                                                     "file" },
    [TOK_CODE_NO_TOKEN] = { "no token matches", "Check the URI against `signet list`, that the token is plugged in or "
                                                "its daemon runs, and that this "
                                                "user may reach it" },
    [TOK_CODE_NO_OBJECT] = { "no such object on the token", "Check the URI against `signet list`" },
    [TOK_CODE_AMBIGUOUS] = { "the URI matches more than one", "Add id=, object=, token= or serial= to the URI" },
    [TOK_CODE_NO_PUBLIC_HALF] = { "the public half of the key is not to be found",
                                  "Put the public key or the certificate on the token, or have it in a key file: signet "
                                  "key-file --certificate FILE (or --public-key FILE) URI" },
    [TOK_CODE_PIN_NEEDED] = { "a PIN is needed", "Set pin = file:/path in the provider's section of openssl.cnf, or "
                                                 "add ?pin-source=file:/path to "
                                                 "the URI" },
    [TOK_CODE_PIN_SOURCE] = { "the source of the PIN failed",
                              "See that it gives this user the PIN, or name another source" },
    [TOK_CODE_PIN_REFUSED] = { "the PIN was refused before",
                               "Put the right PIN into its source; it is tried when it has changed" },
    [TOK_CODE_PIN_LAST_TRY] = { "the token's last PIN try is not used",
                                "Log in once by hand with the right PIN, or set pin-last-try = yes" },
    [TOK_CODE_DEADLINE] = { "the deadline passed",
                            "The token is busy or does not answer; the setting deadline says how long to wait" },
    [TOK_CODE_RECURSION] = { "a module came back to the provider",
                             "Give the module a configuration of its own without this provider" },
    [TOK_CODE_EXITING] = { "the process is exiting", "" },
    [TOK_CODE_POLICY] = { "the key does not meet the setting require",
                          "Generate the key on the token, or relax require" },
    [TOK_CODE_OTHER_KEY] = { "the token holds another key under that name",
                             "If the key was replaced on purpose, write the key file anew and restart or reload" },
    [TOK_CODE_UNSUPPORTED] = { "neither key nor token can do this", "" },
    [TOK_CODE_TRUST] = { "a key file asks for what only a trusted one may",
                         "Put module and PIN into openssl.cnf, or set trust-files = yes" },
    [TOK_CODE_UNAVAILABLE] = { "the token has not answered",
                               "Look at the token or its daemon; it is asked again now and then, and serves as soon as "
                               "it answers" },
    [TOK_CODE_AFTER_FORK] = { "the module does not survive a fork",
                              "Name the key by a key file (`signet key-file`), which leaves the module to the child; "
                              "if "
                              "its vendor says what it bears, set token.NAME.quirks = fork=share or fork=finalize" },
    [TOK_CODE_PIN_OWN] = { "a PIN of the token's own is needed", "Name one token in the URI (token= or serial=), or "
                                                                 "give each its own PIN: its name in tokens, "
                                                                 "token.NAME.uri and token.NAME.pin" },
    [TOK_CODE_ANSWER] = { "the PKCS#11 module's answer can't be true",
                          "This is a fault of the module: look for a newer one, and show its vendor what trace = "
                          "stderr:calls says" },
    [TOK_CODE_PIN_TIED] = { "the PIN is not known to be for this token", "" },
    [TOK_CODE_PIN_UNCLEAR] = { "the token does not say whether the PIN is right",
                               "If it is right, see what ails the token, and restart the service; else put the right "
                               "one into its source" },
    [TOK_CODE_JOB_IS_GONE] = { "an asynchronous job can't go on", "" },
};

static struct tok_result result_new(enum tok_code code, unsigned long rv, const char *function)
{
    struct tok_result result;

    result.code = code;
    result.rv = rv;
    result.function = function;
    result.message[0] = '\0';
    return result;
}

struct tok_result tok_fail(enum tok_code code, const char *format, ...)
{
    struct tok_result result = result_new(code, CKR_OK, NULL);
    struct text text = TEXT_OVER(result.message);
    va_list args;

    va_start(args, format);
    text_vprintf(&text, format, args);
    va_end(args);
    return result;
}

struct tok_result tok_fail_ckr(const char *function, unsigned long rv)
{
    struct tok_result result = result_new(TOK_CODE_CKR, rv, function);
    struct text text = TEXT_OVER(result.message);

    text_printf(&text, "%s: %s (0x%lx)", function, tok_ckr(rv)->name, rv);
    return result;
}

struct tok_result tok_fail_answer(const char *function, const char *format, ...)
{
    struct tok_result result = result_new(TOK_CODE_ANSWER, CKR_GENERAL_ERROR, function);
    struct text text = TEXT_OVER(result.message);
    va_list args;

    text_printf(&text, "%s answered ", function);
    va_start(args, format);
    text_vprintf(&text, format, args);
    va_end(args);
    return result;
}

struct tok_result tok_context(struct tok_result result, const char *format, ...)
{
    struct tok_result with = result_new(result.code, result.rv, result.function);
    struct text text = TEXT_OVER(with.message);
    va_list args;

    if (tok_ok(&result)) {
        return result;
    }
    va_start(args, format);
    text_vprintf(&text, format, args);
    va_end(args);
    text_printf(&text, ": %s", result.message);
    return with;
}

bool tok_is(const struct tok_result *result, unsigned long rv)
{
    return result->code == TOK_CODE_CKR && result->rv == rv;
}

const char *tok_code_reason(enum tok_code code)
{
    return code >= 0 && code < TOK_NUM_CODES ? rows[code].reason : "unknown failure";
}

/* A module that fails at its start in such a way has no token to look at yet. */
static bool never_started(const struct tok_result *result)
{
    return result->function != NULL && strcmp(result->function, "C_Initialize") == 0 &&
           (tok_is(result, CKR_GENERAL_ERROR) || tok_is(result, CKR_FUNCTION_FAILED));
}

const char *tok_advice(const struct tok_result *result)
{
    if (never_started(result)) {
        return "The module can't start: see its own log, whether this user may read its configuration and tokens, and "
               "whether the server has cleared the environment that it reads (nginx: `env SOFTHSM2_CONF;`)";
    }
    return result->code == TOK_CODE_CKR ? tok_ckr(result->rv)->advice : rows[result->code].advice;
}
