#include "pkcs11/object/derive.h"

#include <string.h>

#include "base/trace.h"
#include "pkcs11/module/answer.h"
#include "pkcs11/module/call.h"
#include "pkcs11/token/session.h"
#include "pkcs11/token/token.h"

#define MOST_POINT_BYTES 255       /* more than any named curve has */
#define PUBLIC_KEY_INVALID 0x1b9UL /* CKR_…, since 3.0 */

static CK_RV secret_make(struct tok_lease *lease, CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE key, const uint8_t *point,
                         size_t point_len, CK_ULONG len, CK_OBJECT_HANDLE *out_secret)
{
    CK_ECDH1_DERIVE_PARAMS params = { CKD_NULL, 0, NULL, (CK_ULONG)point_len, (CK_BYTE *)point };
    CK_MECHANISM mechanism = { type, &params, sizeof(params) };
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE key_type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    CK_ATTRIBUTE template[] = {
        { CKA_CLASS, &class, sizeof(class) },   { CKA_KEY_TYPE, &key_type, sizeof(key_type) },
        { CKA_TOKEN, &no, sizeof(no) },         { CKA_SENSITIVE, &no, sizeof(no) },
        { CKA_EXTRACTABLE, &yes, sizeof(yes) }, { CKA_VALUE_LEN, &len, sizeof(len) },
    };

    return TOK_CALL(lease->functions, C_DeriveKey, lease->session, &mechanism, key, template, COUNT_OF(template),
                    out_secret);
}

/* An OCTET STRING of DER, as CKA_EC_POINT is. Its length. */
static size_t point_wrap(uint8_t *out, const uint8_t *point, size_t len)
{
    uint8_t *at = out;

    *at++ = 0x04;
    if (len >= 0x80) {
        *at++ = 0x81;
    }
    *at++ = (uint8_t)len;
    memcpy(at, point, len);
    return (size_t)(at - out) + len;
}

/* What tokens answer to a point that they can't read, or may. */
static bool is_about_the_point(CK_RV rv)
{
    return rv == CKR_MECHANISM_PARAM_INVALID || rv == CKR_ARGUMENTS_BAD || rv == CKR_DOMAIN_PARAMS_INVALID ||
           rv == PUBLIC_KEY_INVALID || rv == CKR_DATA_INVALID || rv == CKR_DATA_LEN_RANGE || rv == CKR_GENERAL_ERROR;
}

/* A token must take the bare point and may take it wrapped (PKCS#11 v2.40 mechanisms §2.3.8); before that nothing was
 * said, and some take the latter alone (SoftHSM 2.2 did). Which form it is, is remembered. */
static CK_RV secret_make_either_way(struct tok_lease *lease, CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE key,
                                    const uint8_t *point, size_t point_len, CK_ULONG len, CK_OBJECT_HANDLE *out_secret)
{
    uint8_t wrapped[3 + MOST_POINT_BYTES];
    _Atomic bool *wraps = &lease->token->wraps_points;
    bool first = atomic_load_explicit(wraps, memory_order_relaxed);
    size_t wrapped_len;
    CK_RV refusal;
    CK_RV rv;

    if (point_len > MOST_POINT_BYTES) {
        return secret_make(lease, type, key, point, point_len, len, out_secret);
    }
    wrapped_len = point_wrap(wrapped, point, point_len);
    refusal = secret_make(lease, type, key, first ? wrapped : point, first ? wrapped_len : point_len, len, out_secret);
    if (!is_about_the_point(refusal)) {
        return refusal;
    }
    rv = secret_make(lease, type, key, first ? point : wrapped, first ? point_len : wrapped_len, len, out_secret);
    if (rv == CKR_OK) {
        trace(TRACE_TOKEN, "token: '%s' takes the other side's point %s", lease->token->label,
              first ? "as it is" : "as an OCTET STRING");
        atomic_store(wraps, !first);
    }
    return is_about_the_point(rv) ? refusal : rv;
}

static struct tok_result secret_read(struct tok_lease *lease, CK_OBJECT_HANDLE secret, uint8_t *out,
                                     CK_ULONG *in_out_len)
{
    CK_ATTRIBUTE value = { CKA_VALUE, out, *in_out_len };
    CK_RV rv;

    tok_answer_blank(TOK_OUTPUT_SECRET, out, *in_out_len);
    TOK_TRY(tok_answer_attributes(&rv, lease->functions, lease->session, secret, &value, 1));
    if (rv != CKR_OK) {
        return tok_fail_ckr("C_GetAttributeValue", rv);
    }
    if (value.ulValueLen == ANSWER_UNFILLED) {
        return tok_fail_answer("C_GetAttributeValue", "a secret of zeros");
    }
    TOK_TRY(tok_answer_output(TOK_OUTPUT_SECRET, "C_GetAttributeValue", out, value.ulValueLen, *in_out_len));
    *in_out_len = value.ulValueLen;
    return tok_good();
}

/* It is no key of the token, but what OpenSSL has of any key agreement, as it has a decrypted premaster secret. Where
 * it can't be destroyed the session is closed, which does. */
struct tok_result tok_derive(struct tok_lease *lease, CK_MECHANISM_TYPE type, CK_OBJECT_HANDLE key,
                             const uint8_t *point, size_t point_len, uint8_t *out, CK_ULONG *in_out_len)
{
    CK_OBJECT_HANDLE secret = CK_INVALID_HANDLE;
    CK_RV rv = secret_make_either_way(lease, type, key, point, point_len, *in_out_len, &secret);
    struct tok_result result;

    if (rv != CKR_OK) {
        return tok_fail_ckr("C_DeriveKey", rv);
    }
    TOK_TRY(tok_answer_handle("C_DeriveKey", secret));
    result = secret_read(lease, secret, out, in_out_len);
    if (TOK_CALL(lease->functions, C_DestroyObject, lease->session, secret) != CKR_OK) {
        lease->spoilt = true;
    }
    return result;
}
