#include "pkcs11/result/ckr.h"

#include "base/scoped.h"

/* Values that an older header may lack: those of PKCS#11 v3.0 and, from 0x204, of v3.2. */
#ifndef CKR_AEAD_DECRYPT_FAILED
#define CKR_AEAD_DECRYPT_FAILED 0x42UL
#endif
#ifndef CKR_TOKEN_RESOURCE_EXCEEDED
#define CKR_TOKEN_RESOURCE_EXCEEDED 0x201UL
#endif
#ifndef CKR_OPERATION_CANCEL_FAILED
#define CKR_OPERATION_CANCEL_FAILED 0x202UL
#endif
#ifndef CKR_KEY_EXHAUSTED
#define CKR_KEY_EXHAUSTED 0x203UL
#endif
#ifndef CKR_PENDING
#define CKR_PENDING 0x204UL
#endif
#ifndef CKR_SESSION_ASYNC_NOT_SUPPORTED
#define CKR_SESSION_ASYNC_NOT_SUPPORTED 0x205UL
#endif
#ifndef CKR_SEED_RANDOM_REQUIRED
#define CKR_SEED_RANDOM_REQUIRED 0x206UL
#endif
#ifndef CKR_OPERATION_NOT_VALIDATED
#define CKR_OPERATION_NOT_VALIDATED 0x207UL
#endif
#ifndef CKR_TOKEN_NOT_INITIALIZED
#define CKR_TOKEN_NOT_INITIALIZED 0x208UL
#endif
#ifndef CKR_PARAMETER_SET_NOT_SUPPORTED
#define CKR_PARAMETER_SET_NOT_SUPPORTED 0x209UL
#endif

#ifndef CKM_EC_MONTGOMERY_KEY_PAIR_GEN
#define CKM_EC_MONTGOMERY_KEY_PAIR_GEN 0x1056UL
#endif

/* clang-format off */
#define ROW_OF_PIN(value, recovery, pin, advice) { value, #value, advice, recovery, TOK_GIVE_UP, pin }
#define ROW(value, recovery, advice) { value, #value, advice, recovery, TOK_GIVE_UP, TOK_PIN_UNCLEAR }
/* clang-format on */

#define LOOK_AT_TOKEN "The token or its daemon does not answer as it should: look at its own log, and try `signet list`"
#define KEY_USE "The key or the token does not allow this use: see the key's attributes (usage, allowed mechanisms)"
#define PIN_RIGHT "Put the right PIN into its source; a wrong one is not tried twice"

/* Sorted by value. Where tokens differ in what a code means, the recovery is the one that helps in the case that was
 * seen.
 *
 * Of a PIN, nearly all codes are unclear: cards were seen to answer a wrong one with GENERAL_ERROR, FUNCTION_FAILED,
 * DEVICE_ERROR, ARGUMENTS_BAD and vendors' codes, and any other may come after the PIN was looked at. Rows that say
 * more give their reason. */
static const struct tok_ckr rows[] = {
    ROW_OF_PIN(CKR_OK, TOK_GIVE_UP, TOK_PIN_RIGHT, ""),
    ROW(CKR_CANCEL, TOK_GIVE_UP, "Somebody cancelled the operation"),
    ROW(CKR_HOST_MEMORY, TOK_LOG_IN_AGAIN,
        "The process is out of memory (NSS says so, too, for a key used without a login)"),
    ROW(CKR_SLOT_ID_INVALID, TOK_SLOT_AGAIN, "The token's slot is gone: is it still plugged in?"),
    ROW(CKR_GENERAL_ERROR, TOK_LOOK_AGAIN, LOOK_AT_TOKEN),
    ROW(CKR_FUNCTION_FAILED, TOK_LOOK_AGAIN, LOOK_AT_TOKEN),
    ROW(CKR_ARGUMENTS_BAD, TOK_GIVE_UP,
        "The module refuses the call; if C_Initialize did, it may need pkcs11-init-args"),
    ROW(CKR_NO_EVENT, TOK_GIVE_UP, ""),
    ROW(CKR_NEED_TO_CREATE_THREADS, TOK_GIVE_UP, "The module wants threads of its own"),
    ROW(CKR_CANT_LOCK, TOK_GIVE_UP, "The module can't be used by several threads"),
    ROW(CKR_ATTRIBUTE_READ_ONLY, TOK_GIVE_UP, ""),
    ROW(CKR_ATTRIBUTE_SENSITIVE, TOK_GIVE_UP, ""),
    ROW(CKR_ATTRIBUTE_TYPE_INVALID, TOK_GIVE_UP, ""),
    ROW(CKR_ATTRIBUTE_VALUE_INVALID, TOK_GIVE_UP, ""),
    ROW(CKR_ACTION_PROHIBITED, TOK_GIVE_UP, KEY_USE),
    ROW(CKR_DATA_INVALID, TOK_GIVE_UP, ""),
    ROW(CKR_DATA_LEN_RANGE, TOK_GIVE_UP, "The data are too long for this key"),
    { CKR_DEVICE_ERROR, "CKR_DEVICE_ERROR", LOOK_AT_TOKEN, TOK_LOOK_AGAIN, TOK_REINITIALIZE, TOK_PIN_UNCLEAR },
    ROW(CKR_DEVICE_MEMORY, TOK_WAIT, "The token is out of memory: other processes may hold sessions on it"),
    /* then: of a token that is listed (OpenSC 0.26 of a card that is back); "during the execution of the function" */
    { CKR_DEVICE_REMOVED, "CKR_DEVICE_REMOVED", "The token was removed: plug it in again", TOK_SLOT_AGAIN,
      TOK_REINITIALIZE, TOK_PIN_CUT_SHORT },
    ROW(CKR_ENCRYPTED_DATA_INVALID, TOK_GIVE_UP, ""),
    ROW(CKR_ENCRYPTED_DATA_LEN_RANGE, TOK_GIVE_UP, ""),
    ROW(CKR_AEAD_DECRYPT_FAILED, TOK_GIVE_UP, ""),
    ROW(CKR_FUNCTION_CANCELED, TOK_NEW_SESSION, ""),
    ROW(CKR_FUNCTION_NOT_PARALLEL, TOK_GIVE_UP, ""),
    ROW(CKR_FUNCTION_NOT_SUPPORTED, TOK_GIVE_UP, "The module can't do this"),
    ROW(CKR_KEY_HANDLE_INVALID, TOK_FIND_AGAIN, "The key is not where it was: was it deleted?"),
    ROW(CKR_KEY_SIZE_RANGE, TOK_GIVE_UP, "The token does not serve keys of this size"),
    ROW(CKR_KEY_TYPE_INCONSISTENT, TOK_FIND_AGAIN, KEY_USE),
    ROW(CKR_KEY_NOT_NEEDED, TOK_GIVE_UP, ""),
    ROW(CKR_KEY_CHANGED, TOK_GIVE_UP, ""),
    ROW(CKR_KEY_NEEDED, TOK_GIVE_UP, ""),
    ROW(CKR_KEY_INDIGESTIBLE, TOK_GIVE_UP, ""),
    ROW(CKR_KEY_FUNCTION_NOT_PERMITTED, TOK_GIVE_UP, KEY_USE),
    ROW(CKR_KEY_NOT_WRAPPABLE, TOK_GIVE_UP, ""),
    ROW(CKR_KEY_UNEXTRACTABLE, TOK_GIVE_UP, ""),
    ROW(CKR_MECHANISM_INVALID, TOK_GIVE_UP,
        "Key or token does not allow this mechanism: `pkcs11-tool -M` lists what the token has, "
        "CKA_ALLOWED_MECHANISMS what the key does"),
    ROW(CKR_MECHANISM_PARAM_INVALID, TOK_GIVE_UP,
        "The token does not serve these parameters (for PSS: digest and salt length)"),
    ROW(CKR_OBJECT_HANDLE_INVALID, TOK_FIND_AGAIN, "The key is not where it was: was it deleted?"),
    ROW(CKR_OPERATION_ACTIVE, TOK_NEW_SESSION, ""),
    ROW(CKR_OPERATION_NOT_INITIALIZED, TOK_NEW_SESSION, ""),
    ROW_OF_PIN(CKR_PIN_INCORRECT, TOK_GIVE_UP, TOK_PIN_WRONG, PIN_RIGHT),
    ROW_OF_PIN(CKR_PIN_INVALID, TOK_GIVE_UP, TOK_PIN_WRONG, PIN_RIGHT),
    ROW_OF_PIN(CKR_PIN_LEN_RANGE, TOK_GIVE_UP, TOK_PIN_WRONG, "The PIN is longer or shorter than the token allows"),
    /* no PIN would do, until somebody sets it anew or unlocks it */
    ROW_OF_PIN(CKR_PIN_EXPIRED, TOK_GIVE_UP, TOK_PIN_BARRED,
               "The user PIN has expired: change it with the vendor's tool"),
    ROW_OF_PIN(CKR_PIN_LOCKED, TOK_GIVE_UP, TOK_PIN_BARRED,
               "The user PIN is locked: the security officer must set a new one"),
    /* "closed during the execution of the function": perhaps after the PIN had been looked at */
    ROW_OF_PIN(CKR_SESSION_CLOSED, TOK_NEW_SESSION, TOK_PIN_CUT_SHORT, ""),
    ROW(CKR_SESSION_COUNT, TOK_WAIT, "The token has no session left: other processes may hold them"),
    /* "invalid at the time that the function was invoked": there was no token to ask */
    ROW_OF_PIN(CKR_SESSION_HANDLE_INVALID, TOK_NEW_SESSION, TOK_PIN_UNSEEN, ""),
    ROW(CKR_SESSION_PARALLEL_NOT_SUPPORTED, TOK_GIVE_UP, ""),
    ROW(CKR_SESSION_READ_ONLY, TOK_GIVE_UP, ""),
    ROW(CKR_SESSION_EXISTS, TOK_GIVE_UP, ""),
    ROW(CKR_SESSION_READ_ONLY_EXISTS, TOK_GIVE_UP, ""),
    ROW(CKR_SESSION_READ_WRITE_SO_EXISTS, TOK_GIVE_UP, "The security officer is logged in"),
    ROW(CKR_SIGNATURE_INVALID, TOK_GIVE_UP, ""),
    ROW(CKR_SIGNATURE_LEN_RANGE, TOK_GIVE_UP, ""),
    ROW(CKR_TEMPLATE_INCOMPLETE, TOK_GIVE_UP, ""),
    ROW(CKR_TEMPLATE_INCONSISTENT, TOK_GIVE_UP, ""),
    /* "not present in its slot at the time that the function was invoked" */
    ROW_OF_PIN(CKR_TOKEN_NOT_PRESENT, TOK_SLOT_AGAIN, TOK_PIN_UNSEEN,
               "The token is not in its slot: plug it in, or start its daemon"),
    ROW(CKR_TOKEN_NOT_RECOGNIZED, TOK_SLOT_AGAIN, "The module does not know this kind of token"),
    ROW(CKR_TOKEN_WRITE_PROTECTED, TOK_GIVE_UP, ""),
    ROW(CKR_UNWRAPPING_KEY_HANDLE_INVALID, TOK_GIVE_UP, ""),
    ROW(CKR_UNWRAPPING_KEY_SIZE_RANGE, TOK_GIVE_UP, ""),
    ROW(CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT, TOK_GIVE_UP, ""),
    /* these two are about who is logged in, which the module knows without the token */
    ROW_OF_PIN(CKR_USER_ALREADY_LOGGED_IN, TOK_GIVE_UP, TOK_PIN_UNSEEN, ""),
    ROW(CKR_USER_NOT_LOGGED_IN, TOK_LOG_IN_AGAIN,
        "The token wants a login: set pin = file:/path in the provider's section of "
        "openssl.cnf"),
    ROW(CKR_USER_PIN_NOT_INITIALIZED, TOK_MOMENT,
        "The token has no user PIN yet: pkcs11-tool --login --login-type so --init-pin sets one, or the vendor's own "
        "tool"),
    ROW(CKR_USER_TYPE_INVALID, TOK_GIVE_UP, ""),
    ROW_OF_PIN(CKR_USER_ANOTHER_ALREADY_LOGGED_IN, TOK_GIVE_UP, TOK_PIN_UNSEEN,
               "Another user (the security officer?) is logged in"),
    ROW(CKR_USER_TOO_MANY_TYPES, TOK_GIVE_UP, ""),
    ROW(CKR_WRAPPED_KEY_INVALID, TOK_GIVE_UP, ""),
    ROW(CKR_WRAPPED_KEY_LEN_RANGE, TOK_GIVE_UP, ""),
    ROW(CKR_WRAPPING_KEY_HANDLE_INVALID, TOK_GIVE_UP, ""),
    ROW(CKR_WRAPPING_KEY_SIZE_RANGE, TOK_GIVE_UP, ""),
    ROW(CKR_WRAPPING_KEY_TYPE_INCONSISTENT, TOK_GIVE_UP, ""),
    ROW(CKR_RANDOM_SEED_NOT_SUPPORTED, TOK_GIVE_UP, ""),
    ROW(CKR_RANDOM_NO_RNG, TOK_GIVE_UP, ""),
    ROW(CKR_DOMAIN_PARAMS_INVALID, TOK_GIVE_UP, ""),
    ROW(CKR_CURVE_NOT_SUPPORTED, TOK_GIVE_UP, "The token does not serve this curve"),
    ROW(CKR_BUFFER_TOO_SMALL, TOK_GIVE_UP, ""),
    ROW(CKR_SAVED_STATE_INVALID, TOK_GIVE_UP, ""),
    ROW(CKR_INFORMATION_SENSITIVE, TOK_GIVE_UP, ""),
    ROW(CKR_STATE_UNSAVEABLE, TOK_GIVE_UP, ""),
    /* no call is served */
    ROW_OF_PIN(CKR_CRYPTOKI_NOT_INITIALIZED, TOK_INITIALIZE, TOK_PIN_UNSEEN,
               "The module was shut down by somebody else in this process"),
    ROW(CKR_CRYPTOKI_ALREADY_INITIALIZED, TOK_GIVE_UP, ""),
    ROW(CKR_MUTEX_BAD, TOK_GIVE_UP, ""),
    ROW(CKR_MUTEX_NOT_LOCKED, TOK_GIVE_UP, ""),
    ROW(CKR_NEW_PIN_MODE, TOK_GIVE_UP, ""),
    ROW(CKR_NEXT_OTP, TOK_GIVE_UP, ""),
    /* the standard's numbers: p11-kit 0.24's header has these five from 0x1c0 */
    { 0x1b5, "CKR_EXCEEDED_MAX_ITERATIONS", "", TOK_GIVE_UP, TOK_GIVE_UP, TOK_PIN_UNCLEAR },
    { 0x1b6, "CKR_FIPS_SELF_TEST_FAILED", "The module's self-test failed: its own log says more", TOK_GIVE_UP,
      TOK_GIVE_UP, TOK_PIN_UNCLEAR },
    { 0x1b7, "CKR_LIBRARY_LOAD_FAILED", "The module could not load a library that it needs", TOK_GIVE_UP, TOK_GIVE_UP,
      TOK_PIN_UNCLEAR },
    { 0x1b8, "CKR_PIN_TOO_WEAK", "", TOK_GIVE_UP, TOK_GIVE_UP, TOK_PIN_UNCLEAR },
    { 0x1b9, "CKR_PUBLIC_KEY_INVALID", "", TOK_GIVE_UP, TOK_GIVE_UP, TOK_PIN_UNCLEAR },
    ROW(CKR_FUNCTION_REJECTED, TOK_GIVE_UP, "The token's operator refused"),
    ROW(CKR_TOKEN_RESOURCE_EXCEEDED, TOK_WAIT, "The token is at its limit"),
    ROW(CKR_OPERATION_CANCEL_FAILED, TOK_NEW_SESSION, ""),
    ROW(CKR_KEY_EXHAUSTED, TOK_GIVE_UP, "The key has made as many signatures as it may"),
    ROW(CKR_PENDING, TOK_WAIT, ""),
    ROW(CKR_SESSION_ASYNC_NOT_SUPPORTED, TOK_GIVE_UP, ""),
    ROW(CKR_SEED_RANDOM_REQUIRED, TOK_GIVE_UP, "The token's random generator wants a seed first"),
    ROW(CKR_OPERATION_NOT_VALIDATED, TOK_GIVE_UP, "The token is in a mode (FIPS?) that does not allow this"),
    ROW(CKR_TOKEN_NOT_INITIALIZED, TOK_GIVE_UP, "The token is blank: initialise it with the vendor's tool"),
    ROW(CKR_PARAMETER_SET_NOT_SUPPORTED, TOK_GIVE_UP, "The token does not serve this parameter set"),
};

static const struct tok_ckr vendor_row = {
    CKR_VENDOR_DEFINED, "CKR_VENDOR_DEFINED", "The vendor's manual explains its own codes",
    TOK_GIVE_UP,        TOK_GIVE_UP,          TOK_PIN_UNCLEAR
};
static const struct tok_ckr unknown_row = { CKR_GENERAL_ERROR, "CKR_unknown", "",
                                            TOK_GIVE_UP,       TOK_GIVE_UP,   TOK_PIN_UNCLEAR };

const struct tok_ckr *tok_ckr(CK_RV rv)
{
    size_t low = 0;
    size_t high = COUNT_OF(rows);

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (rows[middle].rv == rv) {
            return &rows[middle];
        }
        if (rows[middle].rv < rv) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return (rv & CKR_VENDOR_DEFINED) != 0 ? &vendor_row : &unknown_row;
}

const struct tok_ckr *tok_ckr_rows(size_t *out_num)
{
    *out_num = COUNT_OF(rows);
    return rows;
}

const char *tok_ckm_name(CK_MECHANISM_TYPE mechanism)
{
    static const struct {
        CK_MECHANISM_TYPE mechanism;
        const char *name;
    } names[] = {
    /* clang-format off */
#define NAME(value) { value, #value }
        NAME(CKM_RSA_PKCS), NAME(CKM_RSA_X_509), NAME(CKM_RSA_PKCS_PSS), NAME(CKM_RSA_PKCS_OAEP), NAME(CKM_SHA1_RSA_PKCS),
        NAME(CKM_SHA256_RSA_PKCS), NAME(CKM_SHA384_RSA_PKCS), NAME(CKM_SHA512_RSA_PKCS), NAME(CKM_ECDSA),
        NAME(CKM_ECDSA_SHA1), NAME(CKM_ECDSA_SHA256), NAME(CKM_ECDSA_SHA384), NAME(CKM_ECDSA_SHA512), NAME(CKM_EDDSA),
        NAME(CKM_ECDH1_DERIVE), NAME(CKM_ECDH1_COFACTOR_DERIVE), NAME(CKM_RSA_PKCS_KEY_PAIR_GEN), NAME(CKM_EC_KEY_PAIR_GEN),
        NAME(CKM_EC_EDWARDS_KEY_PAIR_GEN), NAME(CKM_EC_MONTGOMERY_KEY_PAIR_GEN), NAME(CKM_SHA224_RSA_PKCS),
        NAME(CKM_SHA1_RSA_PKCS_PSS), NAME(CKM_SHA224_RSA_PKCS_PSS), NAME(CKM_SHA256_RSA_PKCS_PSS),
        NAME(CKM_SHA384_RSA_PKCS_PSS), NAME(CKM_SHA512_RSA_PKCS_PSS), NAME(CKM_ECDSA_SHA224),
#undef NAME
        /* clang-format on */
    };

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (names[i].mechanism == mechanism) {
            return names[i].name;
        }
    }
    return NULL;
}
