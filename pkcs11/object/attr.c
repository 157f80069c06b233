#include "pkcs11/object/attr.h"

#include <string.h>

#include "pkcs11/module/answer.h"

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
    return attr->ulValueLen == CK_UNAVAILABLE_INFORMATION;
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
    attrs->count = count;
    for (size_t i = 0; i < count; i++) {
        attrs->list[i] = (CK_ATTRIBUTE){ types[i], attrs->room.data + used, (CK_ULONG)rooms[i] };
        used += rooms[i];
    }
    return tok_good();
}

/* Asks for one attribute alone, of any length. */
static struct tok_result attr_alone(struct tok_attrs *attrs, size_t i, struct tok_lease *lease, CK_OBJECT_HANDLE object)
{
    CK_ATTRIBUTE one = { attrs->list[i].type, NULL, 0 };
    CK_RV rv;

    attrs->list[i].ulValueLen = CK_UNAVAILABLE_INFORMATION;
    TOK_TRY(ask(&rv, lease, object, &one, 1));
    if (rv != CKR_OK || absent(&one) || one.ulValueLen == 0) {
        return tok_good();
    }
    if (!bytes_new(&attrs->longer[i], one.ulValueLen)) {
        return tok_fail(TOK_CODE_NO_MEMORY, "reading attributes");
    }
    one.pValue = attrs->longer[i].data;
    TOK_TRY(ask(&rv, lease, object, &one, 1));
    if (rv == CKR_OK) {
        attrs->list[i] = one;
    }
    return tok_good();
}

struct tok_result tok_attrs_read(struct tok_attrs *attrs, struct tok_lease *lease, CK_OBJECT_HANDLE object,
                                 const CK_ATTRIBUTE_TYPE *types, const size_t *rooms, size_t count)
{
    bool all_absent = true;
    bool told = false; /* which are missing or too long */
    CK_RV rv;

    tok_attrs_end(attrs);
    TOK_TRY(attrs_prepare(attrs, types, rooms, count));
    TOK_TRY(ask(&rv, lease, object, attrs->list, count));
    if (rv == CKR_OK) {
        return tok_good();
    }
    for (size_t i = 0; i < count; i++) {
        all_absent = all_absent && absent(&attrs->list[i]);
        told = told || absent(&attrs->list[i]) || attrs->list[i].ulValueLen > rooms[i];
    }
    for (size_t i = 0; i < count; i++) {
        bool too_long = rv == CKR_BUFFER_TOO_SMALL && absent(&attrs->list[i]);

        if (all_absent || !told || too_long || (!absent(&attrs->list[i]) && attrs->list[i].ulValueLen > rooms[i])) {
            TOK_TRY(tok_lease_in_time(lease, "attributes", i));
            TOK_TRY(attr_alone(attrs, i, lease, object));
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
