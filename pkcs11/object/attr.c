#include "pkcs11/object/attr.h"

#include <string.h>

#include "pkcs11/module/answer.h"

/* What each room is full of before a question, and before the same question again: what has one of them in it the first
 * time has not the other one the second time, if it is a value. */
#define FILLING 0xa5
#define FILLING_ALONE 0x5a

void tok_attrs_end(struct tok_attrs *attrs)
{
    bytes_end(&attrs->room);
    for (size_t i = 0; i < COUNT_OF(attrs->longer); i++) {
        bytes_end(&attrs->longer[i]);
    }
    attrs->count = 0;
}

static bool absent(const CK_ATTRIBUTE *attr)
{
    return attr->ulValueLen == CK_UNAVAILABLE_INFORMATION || attr->ulValueLen == ANSWER_UNFILLED;
}

/* It is answered, or said not to fit. */
static bool is_partial(CK_RV rv)
{
    return rv == CKR_OK || rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE ||
           rv == CKR_BUFFER_TOO_SMALL;
}

static struct tok_result ask(CK_RV *out_rv, struct tok_lease *lease, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *list,
                             size_t count)
{
    return tok_answer_attributes(out_rv, lease->functions, lease->session, object, list, count);
}

static struct tok_result attrs_prepare(struct tok_attrs *attrs, const CK_ATTRIBUTE_TYPE *types, const size_t *rooms,
                                       size_t count)
{
    size_t total = 0;
    size_t used = 0;

    if (count > TOK_MAX_ATTRS) {
        return tok_fail(TOK_CODE_BAD_ARGUMENT, "%zu attributes are more than one list holds", count);
    }
    for (size_t i = 0; i < count; i++) {
        total += rooms[i];
    }
    if (!bytes_new(&attrs->room, total)) {
        return tok_fail(TOK_CODE_NO_MEMORY, "reading attributes");
    }
    memset(attrs->room.data, FILLING, total);
    attrs->count = count;
    for (size_t i = 0; i < count; i++) {
        attrs->list[i] = (CK_ATTRIBUTE){ types[i], attrs->room.data + used, (CK_ULONG)rooms[i] };
        used += rooms[i];
    }
    return tok_good();
}

/* An object of its type has it (PKCS#11), so that a token that calls it missing may mean that it is too long: where
 * another one is missing, too, there is one code for both. */
static bool must_be_there(const struct tok_attrs *attrs, CK_ATTRIBUTE_TYPE type)
{
    CK_KEY_TYPE key = tok_attrs_ulong(attrs, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION);

    switch (type) {
    case CKA_KEY_TYPE:
    case CKA_ID:
    case CKA_LABEL:
        return true;
    case CKA_MODULUS:
        return key == CKK_RSA;
    case CKA_EC_PARAMS:
        return key == CKK_EC || key == CKK_EC_EDWARDS || key == CKK_EC_MONTGOMERY;
    case CKA_VALUE:
        return key == CK_UNAVAILABLE_INFORMATION; /* a certificate */
    default:
        return false;
    }
}

/* A reading of attributes, and what has been learnt from it. */
struct reading {
    struct tok_attrs *attrs;
    struct tok_lease *lease;
    CK_OBJECT_HANDLE object;
    const size_t *rooms;
    CK_RV rv;        /* of the whole list */
    bool told;       /* it was said which are missing or too long */
    bool answered;   /* something was */
    unsigned failed; /* questions for one that had another answer than a value, or that there is none */
};

/* Of any length; `length` is what the token said before, or 0. */
static struct tok_result read_long(struct reading *reading, size_t i, CK_ULONG length)
{
    CK_ATTRIBUTE *attr = &reading->attrs->list[i];
    struct bytes *longer = &reading->attrs->longer[i];
    CK_ATTRIBUTE one = { attr->type, NULL, 0 };
    CK_RV rv = CKR_OK;

    if (length == 0) {
        TOK_TRY(ask(&rv, reading->lease, reading->object, &one, 1));
        length = rv == CKR_OK && !absent(&one) ? one.ulValueLen : 0;
    }
    if (length == 0) {
        return tok_good();
    }
    if (!bytes_new(longer, length)) {
        return tok_fail(TOK_CODE_NO_MEMORY, "reading attributes");
    }
    memset(longer->data, FILLING_ALONE, length);
    one = (CK_ATTRIBUTE){ attr->type, longer->data, length };
    TOK_TRY(ask(&rv, reading->lease, reading->object, &one, 1));
    if (rv == CKR_OK) {
        *attr = one;
    }
    return tok_good();
}

/* Asks for one attribute alone: into its room, and if that is too small, or the token says nothing of use, by length.
 */
static struct tok_result read_alone(struct reading *reading, size_t i)
{
    CK_ATTRIBUTE *attr = &reading->attrs->list[i];
    CK_ATTRIBUTE one = { attr->type, attr->pValue, (CK_ULONG)reading->rooms[i] };
    CK_ULONG length = absent(attr) ? 0 : attr->ulValueLen;
    CK_RV rv = CKR_BUFFER_TOO_SMALL;

    attr->ulValueLen = CK_UNAVAILABLE_INFORMATION;
    if (length == 0 && one.ulValueLen > 0) {
        memset(one.pValue, FILLING_ALONE, one.ulValueLen);
        TOK_TRY(ask(&rv, reading->lease, reading->object, &one, 1));
        length = rv == CKR_BUFFER_TOO_SMALL && !absent(&one) && one.ulValueLen > reading->rooms[i] ? one.ulValueLen : 0;
    }
    if (rv == CKR_OK && one.ulValueLen != ANSWER_UNFILLED) {
        *attr = one;
    } else if (rv != CKR_ATTRIBUTE_TYPE_INVALID) {
        TOK_TRY(read_long(reading, i, length));
    }
    reading->answered = reading->answered || !absent(attr) || is_partial(rv);
    reading->failed += is_partial(rv) ? 0 : 1;
    return reading->failed >= 2 && !reading->answered ? tok_fail_ckr("C_GetAttributeValue", rv) : tok_good();
}

/* Whether the list's answer leaves it open what the value is. */
static bool is_open(const struct reading *reading, size_t i)
{
    const CK_ATTRIBUTE *attr = &reading->attrs->list[i];

    if (!absent(attr)) {
        return attr->ulValueLen > reading->rooms[i] || (reading->rv != CKR_OK && !reading->told);
    }
    return attr->ulValueLen == ANSWER_UNFILLED || !reading->answered || reading->rv == CKR_BUFFER_TOO_SMALL ||
           must_be_there(reading->attrs, attr->type);
}

struct tok_result tok_attrs_read(struct tok_attrs *attrs, struct tok_lease *lease, CK_OBJECT_HANDLE object,
                                 const CK_ATTRIBUTE_TYPE *types, const size_t *rooms, size_t count)
{
    struct reading reading = { .attrs = attrs, .lease = lease, .object = object, .rooms = rooms };
    bool open[TOK_MAX_ATTRS];

    tok_attrs_end(attrs);
    TOK_TRY(attrs_prepare(attrs, types, rooms, count));
    TOK_TRY(ask(&reading.rv, lease, object, attrs->list, count));
    for (size_t i = 0; i < count; i++) {
        reading.answered = reading.answered || !absent(&attrs->list[i]);
        reading.told = reading.told || absent(&attrs->list[i]) || attrs->list[i].ulValueLen > rooms[i];
    }
    for (size_t i = 0; i < count; i++) {
        open[i] = is_open(&reading, i);
    }
    for (size_t i = 0; i < count; i++) {
        if (open[i] ||
            (absent(&attrs->list[i]) && must_be_there(attrs, types[i]))) { /* by a type that is known by now */
            TOK_TRY(tok_lease_in_time(lease, "attributes", i));
            TOK_TRY(read_alone(&reading, i));
        }
    }
    return tok_good();
}

struct cursor tok_attrs_value(const struct tok_attrs *attrs, CK_ATTRIBUTE_TYPE type)
{
    for (size_t i = 0; i < attrs->count; i++) {
        if (attrs->list[i].type == type && !absent(&attrs->list[i])) {
            return cursor_over(attrs->list[i].pValue, attrs->list[i].ulValueLen);
        }
    }
    return cursor_over(NULL, 0);
}

CK_ULONG tok_attrs_ulong(const struct tok_attrs *attrs, CK_ATTRIBUTE_TYPE type, CK_ULONG otherwise)
{
    struct cursor value = tok_attrs_value(attrs, type);

    if (value.left == sizeof(CK_ULONG)) {
        memcpy(&otherwise, value.at, sizeof(CK_ULONG));
    }
    return otherwise;
}

bool tok_attrs_bool(const struct tok_attrs *attrs, CK_ATTRIBUTE_TYPE type, bool otherwise)
{
    struct cursor value = tok_attrs_value(attrs, type);

    return value.left == sizeof(CK_BBOOL) ? value.at[0] != CK_FALSE : otherwise;
}

struct tok_result tok_attrs_copy(struct bytes *out, const struct tok_attrs *attrs, CK_ATTRIBUTE_TYPE type)
{
    struct cursor value = tok_attrs_value(attrs, type);

    return bytes_set(out, value.at, value.left) ? tok_good() : tok_fail(TOK_CODE_NO_MEMORY, "reading attributes");
}
