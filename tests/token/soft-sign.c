/* Signing, decryption, and derivation of secrets, by the keys of soft-token.c. */
#include <string.h>

#include "soft-token.h"

#define MOST_SECRETS 64
#define FIRST_SECRET 1000

static struct {
    unsigned char value[256];
    size_t len; /* 0: none */
} secrets[MOST_SECRETS];

/* --- signing ------------------------------------------------------------------------------------------------------ */

static int fits(const struct key *key, CK_MECHANISM_TYPE type)
{
    return (key->type == CKK_RSA && (type == CKM_RSA_PKCS || type == CKM_RSA_PKCS_PSS || type == CKM_RSA_X_509)) ||
           (key->type == CKK_EC && type == CKM_ECDSA) || (key->type == SOFT_CKK_EDWARDS && type == SOFT_CKM_EDDSA) ||
           (key->type == SOFT_CKK_ML_DSA && type == SOFT_CKM_ML_DSA) ||
           (key->type == SOFT_CKK_SLH_DSA && type == SOFT_CKM_SLH_DSA);
}

/* A context of up to 255 bytes is copied, too. */
static int keep_context(struct operation *op, CK_BYTE **context, CK_ULONG len)
{
    if (len > sizeof(op->context) || (len > 0 && *context == NULL)) {
        return 0;
    }
    if (len > 0) {
        memcpy(op->context, *context, len);
    }
    *context = op->context;
    return 1;
}

/* Parameters are the caller's until C_SignInit returns. */
static int keep_params(struct operation *op, const CK_MECHANISM *mechanism)
{
    CK_ULONG len = mechanism->ulParameterLen;
    CK_MECHANISM_TYPE type = mechanism->mechanism;

    if (len == 0) {
        return type != CKM_RSA_PKCS_PSS;
    }
    if (len > sizeof(op->params) || mechanism->pParameter == NULL || (type != CKM_RSA_PKCS_PSS && soft_is("bare"))) {
        return 0;
    }
    memcpy(&op->params, mechanism->pParameter, len);
    op->mechanism.pParameter = &op->params;
    switch (type) {
    case CKM_RSA_PKCS_PSS:
        return len == sizeof(op->params.pss) && soft_knows(&op->params.pss);
    case SOFT_CKM_EDDSA:
        return len == sizeof(op->params.eddsa) &&
               keep_context(op, &op->params.eddsa.context, op->params.eddsa.context_len);
    case SOFT_CKM_ML_DSA:
    case SOFT_CKM_SLH_DSA:
        return len == sizeof(op->params.more) &&
               keep_context(op, &op->params.more.context, op->params.more.context_len);
    default:
        return 0;
    }
}

static CK_RV signing_begin(CK_SESSION_HANDLE number, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE object,
                           int message)
{
    struct session *session = soft_session(number);
    int private;
    const struct key *key = soft_key(object, &private);

    if (session == NULL) {
        return CKR_SESSION_HANDLE_INVALID;
    }
    if (key == NULL || !private) {
        return soft_logged_in() ? CKR_KEY_HANDLE_INVALID : CKR_USER_NOT_LOGGED_IN;
    }
    if (session->signing.key != NULL) {
        return CKR_OPERATION_ACTIVE;
    }
    if (!fits(key, mechanism->mechanism) || (message && mechanism->mechanism == SOFT_CKM_EDDSA && soft_is("some"))) {
        return CKR_MECHANISM_INVALID;
    }
    session->signing = (struct operation){ .mechanism = *mechanism, .message = message };
    if (!keep_params(&session->signing, mechanism)) {
        return CKR_MECHANISM_PARAM_INVALID;
    }
    session->signing.key = key;
    return CKR_OK;
}

static CK_RV signing_run(const struct operation *op, const CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out,
                         CK_ULONG *out_len)
{
    static unsigned char made[65536]; /* guarded by the lock */
    size_t len = sizeof(made);

    if (soft_is("always") && !op->authenticated) {
        return CKR_USER_NOT_LOGGED_IN;
    }
    if (!soft_sign(op->key, &op->mechanism, made, &len, in, in_len)) {
        return CKR_DATA_INVALID;
    }
    if (*out_len < len) {
        *out_len = (CK_ULONG)len;
        return CKR_BUFFER_TOO_SMALL;
    }
    memcpy(out, made, len);
    *out_len = (CK_ULONG)len;
    return CKR_OK;
}

CK_RV soft_SignInit(CK_SESSION_HANDLE number, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE object)
{
    LOCKED_CALL();
    return soft_called('I', signing_begin(number, mechanism, object, 0));
}

CK_RV soft_Sign(CK_SESSION_HANDLE number, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    LOCKED_CALL();
    struct session *session = soft_session(number);
    CK_RV rv;

    if (session == NULL) {
        return CKR_SESSION_HANDLE_INVALID;
    }
    if (session->signing.key == NULL || session->signing.message) {
        return soft_called('S', CKR_OPERATION_NOT_INITIALIZED);
    }
    rv = soft_called('S', signing_run(&session->signing, in, in_len, out, out_len));
    session->signing.key = NULL;
    return rv;
}

CK_RV soft_MessageSignInit(CK_SESSION_HANDLE number, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE object)
{
    LOCKED_CALL();
    return soft_called('i', soft_is("unsupported") ? CKR_FUNCTION_NOT_SUPPORTED
                                                   : signing_begin(number, mechanism, object, 1));
}

CK_RV soft_SignMessage(CK_SESSION_HANDLE number, void *param, CK_ULONG param_len, CK_BYTE *in, CK_ULONG in_len,
                       CK_BYTE *out, CK_ULONG *out_len)
{
    LOCKED_CALL();
    struct session *session = soft_session(number);

    (void)param;
    if (session == NULL) {
        return CKR_SESSION_HANDLE_INVALID;
    }
    if (param_len != 0) {
        return soft_called('s', CKR_ARGUMENTS_BAD);
    }
    if (session->signing.key == NULL || !session->signing.message) {
        return soft_called('s', CKR_OPERATION_NOT_INITIALIZED);
    }
    return soft_called('s', soft_is("late") ? CKR_FUNCTION_NOT_SUPPORTED
                                            : signing_run(&session->signing, in, in_len, out, out_len));
}

CK_RV soft_MessageSignFinal(CK_SESSION_HANDLE number)
{
    LOCKED_CALL();
    struct session *session = soft_session(number);

    if (session == NULL || session->signing.key == NULL || !session->signing.message) {
        return soft_called('f', session == NULL ? CKR_SESSION_HANDLE_INVALID : CKR_OPERATION_NOT_INITIALIZED);
    }
    session->signing.key = NULL;
    return soft_called('f', CKR_OK);
}

/* --- decryption --------------------------------------------------------------------------------------------------- */

CK_RV soft_DecryptInit(CK_SESSION_HANDLE number, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE object)
{
    LOCKED_CALL();
    struct session *session = soft_session(number);
    int private;
    const struct key *key = soft_key(object, &private);

    if (session == NULL || key == NULL || !private) {
        return session == NULL ? CKR_SESSION_HANDLE_INVALID : CKR_KEY_HANDLE_INVALID;
    }
    if (key->type != CKK_RSA || mechanism->mechanism != CKM_RSA_X_509) {
        return CKR_MECHANISM_INVALID;
    }
    session->decrypting = key;
    return CKR_OK;
}

CK_RV soft_Decrypt(CK_SESSION_HANDLE number, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    LOCKED_CALL();
    struct session *session = soft_session(number);
    size_t len = *out_len;
    int good;

    if (session == NULL || session->decrypting == NULL) {
        return soft_called('P', session == NULL ? CKR_SESSION_HANDLE_INVALID : CKR_OPERATION_NOT_INITIALIZED);
    }
    good = soft_decrypt(session->decrypting, out, &len, in, in_len);
    session->decrypting = NULL;
    *out_len = (CK_ULONG)len;
    return soft_called('P', good ? CKR_OK : CKR_ENCRYPTED_DATA_INVALID);
}

/* --- derivation --------------------------------------------------------------------------------------------------- */

/* What the template wants must be what may leave a token. */
static CK_RV template_check(const CK_ATTRIBUTE *list, CK_ULONG count, CK_ULONG *out_len)
{
    int extractable = 0;

    *out_len = 0;
    for (CK_ULONG i = 0; i < count; i++) {
        if (list[i].type == CKA_TOKEN && *(CK_BBOOL *)list[i].pValue != CK_FALSE) {
            return CKR_TEMPLATE_INCONSISTENT;
        }
        if (list[i].type == CKA_VALUE_LEN) {
            *out_len = *(CK_ULONG *)list[i].pValue;
        }
        extractable |= list[i].type == CKA_EXTRACTABLE && *(CK_BBOOL *)list[i].pValue == CK_TRUE;
    }
    return extractable ? CKR_OK : CKR_TEMPLATE_INCOMPLETE;
}

CK_RV soft_DeriveKey(CK_SESSION_HANDLE number, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *list,
                     CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    LOCKED_CALL();
    int private;
    const struct key *key = soft_key(object, &private);
    size_t place = 0;
    CK_ULONG wanted;
    CK_RV rv;

    if (soft_session(number) == NULL || key == NULL) {
        return soft_called('D', key == NULL ? CKR_KEY_HANDLE_INVALID : CKR_SESSION_HANDLE_INVALID);
    }
    if (mechanism->mechanism != CKM_ECDH1_DERIVE || (key->type != CKK_EC && key->type != SOFT_CKK_MONTGOMERY)) {
        return soft_called('D', CKR_MECHANISM_INVALID);
    }
    rv = template_check(list, count, &wanted);
    while (place < MOST_SECRETS && secrets[place].len > 0) {
        place++;
    }
    if (rv != CKR_OK || place == MOST_SECRETS) {
        return soft_called('D', rv != CKR_OK ? rv : CKR_DEVICE_MEMORY);
    }
    secrets[place].len = sizeof(secrets[place].value) - 1;
    if (!soft_derive(key, mechanism->pParameter, secrets[place].value, &secrets[place].len)) {
        secrets[place].len = 0;
        return soft_called('D', CKR_MECHANISM_PARAM_INVALID);
    }
    if (soft_is("padded") && wanted == 0) {
        secrets[place].value[secrets[place].len++] = 0;
    }
    *out = FIRST_SECRET + place;
    return soft_called('D', CKR_OK);
}

static int is_secret(CK_OBJECT_HANDLE object)
{
    return object >= FIRST_SECRET && object < FIRST_SECRET + MOST_SECRETS && secrets[object - FIRST_SECRET].len > 0;
}

CK_RV soft_secret_attributes(CK_OBJECT_HANDLE object, CK_ATTRIBUTE *list, CK_ULONG count)
{
    if (!is_secret(object)) {
        return CKR_OBJECT_HANDLE_INVALID;
    }
    for (CK_ULONG i = 0; i < count; i++) {
        if (list[i].type != CKA_VALUE) {
            return CKR_ATTRIBUTE_TYPE_INVALID;
        }
        if (list[i].pValue != NULL && list[i].ulValueLen < secrets[object - FIRST_SECRET].len) {
            return CKR_BUFFER_TOO_SMALL;
        }
        list[i].ulValueLen = (CK_ULONG)secrets[object - FIRST_SECRET].len;
        if (list[i].pValue != NULL) {
            memcpy(list[i].pValue, secrets[object - FIRST_SECRET].value, list[i].ulValueLen);
        }
    }
    return CKR_OK;
}

CK_RV soft_DestroyObject(CK_SESSION_HANDLE number, CK_OBJECT_HANDLE object)
{
    LOCKED_CALL();
    if (soft_session(number) == NULL || !is_secret(object)) {
        return soft_called('d', CKR_OBJECT_HANDLE_INVALID);
    }
    memset(&secrets[object - FIRST_SECRET], 0, sizeof(secrets[0]));
    return soft_called('d', CKR_OK);
}
