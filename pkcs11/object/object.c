#include "pkcs11/object/object.h"

#include <string.h>

#include "base/trace.h"
#include "pkcs11/module/answer.h"
#include "pkcs11/object/attr.h"
#include "pkcs11/object/mech.h"

#define HANDLES_AT_ONCE 128

void tok_public_end(struct tok_public *half)
{
    bytes_end(&half->modulus);
    bytes_end(&half->exponent);
    bytes_end(&half->params);
    bytes_end(&half->point);
    bytes_end(&half->spki);
    bytes_end(&half->certificate);
}

bool tok_public_copy(struct tok_public *out, const struct tok_public *half)
{
    out->type = half->type;
    out->set = half->set;
    out->pss_only = half->pss_only;
    out->by_key_itself = half->by_key_itself;
    return bytes_set(&out->modulus, half->modulus.data, half->modulus.len) &&
           bytes_set(&out->exponent, half->exponent.data, half->exponent.len) &&
           bytes_set(&out->params, half->params.data, half->params.len) &&
           bytes_set(&out->point, half->point.data, half->point.len) &&
           bytes_set(&out->spki, half->spki.data, half->spki.len) &&
           bytes_set(&out->certificate, half->certificate.data, half->certificate.len);
}

void tok_private_end(struct tok_private *key)
{
    bytes_end(&key->id);
    bytes_end(&key->label);
    bytes_end(&key->allowed);
    tok_public_end(&key->half);
}

void tok_handles_end(struct tok_handles *handles)
{
    free(handles->items);
    handles->items = NULL;
    handles->count = 0;
}

/* Whose public keys are values, of one of several sets of parameters. */
static bool is_of_a_set(CK_KEY_TYPE type)
{
    return type == CKK_ML_DSA || type == CKK_SLH_DSA;
}

/* Whose points tell the curve by their length. */
static bool has_curve_by_length(CK_KEY_TYPE type)
{
    return type == CKK_EC_EDWARDS || type == CKK_EC_MONTGOMERY;
}

bool tok_public_known(const struct tok_public *half)
{
    return half->spki.len > 0 || half->certificate.len > 0 || (half->modulus.len > 0 && half->exponent.len > 0) ||
           (half->point.len > 0 &&
            (half->params.len > 0 || has_curve_by_length(half->type) || is_of_a_set(half->type)));
}

/* Big numbers may carry leading zeros. */
static bool same_number(struct cursor a, struct cursor b)
{
    while (a.left > 0 && *a.at == 0) {
        a = cursor_over(a.at + 1, a.left - 1);
    }
    while (b.left > 0 && *b.at == 0) {
        b = cursor_over(b.at + 1, b.left - 1);
    }
    return a.left == b.left && (a.left == 0 || memcmp(a.at, b.at, a.left) == 0);
}

enum tok_likeness tok_public_compare(const struct tok_public *a, const struct tok_public *b)
{
    if (a->type != b->type) {
        return TOK_DIFFERENT;
    }
    if (a->modulus.len > 0 && b->modulus.len > 0) {
        return same_number(cursor_over(a->modulus.data, a->modulus.len), cursor_over(b->modulus.data, b->modulus.len))
                   ? TOK_SAME
                   : TOK_DIFFERENT;
    }
    if (a->point.len > 0 && b->point.len > 0 && a->point.len == b->point.len) {
        return bytes_equal(&a->point, &b->point) ? TOK_SAME : TOK_DIFFERENT;
    }
    if (a->spki.len > 0 && bytes_equal(&a->spki, &b->spki)) {
        return TOK_SAME;
    }
    return TOK_CANT_TELL;
}

static void complete(struct bytes *to, struct bytes *from)
{
    if (to->len == 0) {
        bytes_end(to);
        *to = STEAL(*from);
    }
}

void tok_public_complete(struct tok_public *to, struct tok_public *from)
{
    complete(&to->modulus, &from->modulus);
    complete(&to->exponent, &from->exponent);
    complete(&to->params, &from->params);
    complete(&to->point, &from->point);
    complete(&to->spki, &from->spki);
    complete(&to->certificate, &from->certificate);
    to->set = to->set != 0 ? to->set : from->set;
}

/* Whether so many bytes may be a point: on Edwards and Montgomery curves one coordinate, perhaps with a sign; else a
 * byte and two coordinates, of whole 32-bit words but for P-521's. */
static bool is_point_length(CK_KEY_TYPE type, size_t len)
{
    size_t coordinate = len / 2;

    if (has_curve_by_length(type)) {
        return len == 32 || len == 56 || len == 57;
    }
    return len % 2 == 1 && coordinate >= 20 && (coordinate % 4 == 0 || coordinate == 66);
}

/* Tokens differ in whether CKA_EC_POINT is the point or a DER OCTET STRING around it (PKCS#11 2.30 was vague). A point
 * itself may start with 4, the tag of an OCTET STRING, and with what looks like its length (that of one P-256 key in
 * 256 does): then the lengths that points have tell. */
static struct tok_result point_copy(struct bytes *out, const struct tok_attrs *attrs, CK_KEY_TYPE type)
{
    struct cursor value = tok_attrs_value(attrs, CKA_EC_POINT);
    struct cursor outer = value;
    struct cursor inner = cursor_der(&outer, 0x04);
    bool wrapped = value.left > 0 && cursor_done(&outer) && !inner.failed && inner.left > 0;

    if (tok_answer_is_blank(value.at, value.left)) {
        return tok_good();
    }
    if (wrapped && (is_point_length(type, inner.left) || !is_point_length(type, value.left))) {
        value = inner;
    }
    return bytes_set(out, value.at, value.left) ? tok_good() : tok_fail(TOK_CODE_NO_MEMORY, "reading a public key");
}

/* SoftHSM has X25519 and X448 under the type of Ed25519 and Ed448; the curve's name tells. Its private keys name it by
 * a PrintableString, its public ones by OID. */
static CK_KEY_TYPE type_by_curve(CK_KEY_TYPE type, const struct bytes *params)
{
    static const char *const names[] = {
        "\006\003\053\145\156",
        "\006\003\053\145\157",
        "\023\012curve25519",
        "\023\010curve448",
    };

    for (size_t i = 0; type == CKK_EC_EDWARDS && i < COUNT_OF(names); i++) {
        if (params->len == strlen(names[i]) && memcmp(params->data, names[i], params->len) == 0) {
            return CKK_EC_MONTGOMERY;
        }
    }
    return type;
}

/* A number, point or structure whose bytes are all zero is what a module left unfilled. */
static struct tok_result part_copy(struct bytes *out, const struct tok_attrs *attrs, CK_ATTRIBUTE_TYPE type)
{
    struct cursor value = tok_attrs_value(attrs, type);

    return tok_answer_is_blank(value.at, value.left) ? tok_good() : tok_attrs_copy(out, attrs, type);
}

static struct tok_result half_copy(struct tok_public *out_half, const struct tok_attrs *attrs)
{
    out_half->type = tok_attrs_ulong(attrs, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION);
    TOK_TRY(part_copy(&out_half->modulus, attrs, CKA_MODULUS));
    TOK_TRY(part_copy(&out_half->exponent, attrs, CKA_PUBLIC_EXPONENT));
    TOK_TRY(part_copy(&out_half->params, attrs, CKA_EC_PARAMS));
    out_half->type = type_by_curve(out_half->type, &out_half->params);
    TOK_TRY(part_copy(&out_half->spki, attrs, CKA_PUBLIC_KEY_INFO));
    out_half->set = tok_attrs_ulong(attrs, CKA_PARAMETER_SET, 0);
    return is_of_a_set(out_half->type) ? part_copy(&out_half->point, attrs, CKA_VALUE)
                                       : point_copy(&out_half->point, attrs, out_half->type);
}

static struct tok_result names_copy(struct bytes *out_id, struct bytes *out_label, const struct tok_attrs *attrs)
{
    TOK_TRY(tok_attrs_copy(out_id, attrs, CKA_ID));
    return tok_attrs_copy(out_label, attrs, CKA_LABEL);
}

/* What a private key may have: what is not asked for can't be missed later, and a key needs one round trip. */
static const CK_ATTRIBUTE_TYPE key_types[] = {
    CKA_KEY_TYPE,
    CKA_ID,
    CKA_LABEL,
    CKA_MODULUS,
    CKA_PUBLIC_EXPONENT,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_PUBLIC_KEY_INFO,
    CKA_SENSITIVE,
    CKA_EXTRACTABLE,
    CKA_ALWAYS_AUTHENTICATE,
    CKA_LOCAL,
    CKA_ALLOWED_MECHANISMS,
};
/* Rooms are for the longest that there is (a curve written out, a modulus of 16384 bits): some attribute is missing on
 * every key, and then most tokens don't tell whether another one was missing, too, or too long. */
static const size_t key_rooms[] = {
    sizeof(CK_ULONG), 256, 256, 2048, 64, 640, 160, 2700, 1, 1, 1, 1, 256 * sizeof(CK_MECHANISM_TYPE)
};

/* A public key has neither the last ones nor anything to hide: its value is what it is. */
static const CK_ATTRIBUTE_TYPE public_types[] = {
    CKA_KEY_TYPE,  CKA_ID,       CKA_LABEL,           CKA_MODULUS, CKA_PUBLIC_EXPONENT,
    CKA_EC_PARAMS, CKA_EC_POINT, CKA_PUBLIC_KEY_INFO, CKA_VALUE,   CKA_PARAMETER_SET,
};
static const size_t public_rooms[] = { sizeof(CK_ULONG), 256, 256, 2048, 64, 640, 160, 2700, 2700, sizeof(CK_ULONG) };

_Static_assert(COUNT_OF(key_types) == COUNT_OF(key_rooms), "each attribute needs its room");
_Static_assert(COUNT_OF(public_types) == COUNT_OF(public_rooms), "each attribute needs its room");

struct tok_result tok_private_read(struct tok_private *out_key, struct tok_lease *lease, CK_OBJECT_HANDLE object)
{
    SCOPED(tok_attrs_end) struct tok_attrs attrs = { .count = 0 };
    SCOPED(tok_private_end) struct tok_private key = { .handle = object };

    TOK_TRY(tok_attrs_read(&attrs, lease, object, key_types, key_rooms, COUNT_OF(key_types)));
    TOK_TRY(names_copy(&key.id, &key.label, &attrs));
    TOK_TRY(half_copy(&key.half, &attrs));
    TOK_TRY(tok_attrs_copy(&key.allowed, &attrs, CKA_ALLOWED_MECHANISMS));
    key.half.pss_only = key.half.type == CKK_RSA && tok_mech_pss_only(&key.allowed);
    key.half.by_key_itself = tok_public_known(&key.half);
    key.always_authenticate = tok_attrs_bool(&attrs, CKA_ALWAYS_AUTHENTICATE, false);
    key.sensitive = tok_attrs_bool(&attrs, CKA_SENSITIVE, false);
    key.extractable = tok_attrs_bool(&attrs, CKA_EXTRACTABLE, true);
    key.local = tok_attrs_bool(&attrs, CKA_LOCAL, false);
    *out_key = STEAL(key);
    return tok_good();
}

struct tok_result tok_public_read(struct tok_public *out_half, struct bytes *out_id, struct bytes *out_label,
                                  struct tok_lease *lease, CK_OBJECT_HANDLE object)
{
    SCOPED(tok_attrs_end) struct tok_attrs attrs = { .count = 0 };
    SCOPED(tok_public_end) struct tok_public half = { .type = 0 };

    TOK_TRY(tok_attrs_read(&attrs, lease, object, public_types, public_rooms, COUNT_OF(public_types)));
    TOK_TRY(names_copy(out_id, out_label, &attrs));
    TOK_TRY(half_copy(&half, &attrs));
    *out_half = STEAL(half);
    return tok_good();
}

struct tok_result tok_certificate_read(struct bytes *out_der, struct bytes *out_id, struct bytes *out_label,
                                       struct tok_lease *lease, CK_OBJECT_HANDLE object)
{
    static const CK_ATTRIBUTE_TYPE types[] = { CKA_ID, CKA_LABEL, CKA_VALUE };
    static const size_t rooms[] = { 256, 256, 64 * 1024 };
    SCOPED(tok_attrs_end) struct tok_attrs attrs = { .count = 0 };

    TOK_TRY(tok_attrs_read(&attrs, lease, object, types, rooms, COUNT_OF(types)));
    TOK_TRY(names_copy(out_id, out_label, &attrs));
    return part_copy(out_der, &attrs, CKA_VALUE);
}

static struct tok_result handles_add(struct tok_handles *handles, const CK_OBJECT_HANDLE *more, size_t count)
{
    CK_OBJECT_HANDLE *grown = reallocarray(handles->items, handles->count + count + 1, sizeof(*grown));

    if (grown == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "searching for objects");
    }
    handles->items = grown;
    memcpy(grown + handles->count, more, count * sizeof(*more));
    handles->count += count;
    return tok_good();
}

/* What came with one answer, behind what had come before. */
static struct tok_result found_check(const struct tok_handles *before, const CK_OBJECT_HANDLE *found, CK_ULONG count)
{
    TOK_TRY(tok_answer_count("C_FindObjects", "objects", count, HANDLES_AT_ONCE));
    for (CK_ULONG i = 0; i < count; i++) {
        TOK_TRY(tok_answer_handle("C_FindObjects", found[i]));
    }
    if (before->count > 0 && count > 0 &&
        (found[0] == before->items[0] || found[0] == before->items[before->count - 1])) {
        return tok_fail_answer("C_FindObjects", "the same object again, after %zu", before->count);
    }
    return tok_answer_count("C_FindObjects", "objects in one search", before->count + count, ANSWER_MOST_OBJECTS);
}

/* Asks until the token has no more; a token may answer with fewer than it could. A search for few is not given up for
 * being late. */
static struct tok_result search_run(struct tok_handles *handles, struct tok_lease *lease, bool first_only)
{
    CK_OBJECT_HANDLE found[HANDLES_AT_ONCE];
    CK_ULONG count;

    do {
        memset(found, 0, sizeof(found));
        count = 0;
        TOK_TRY(tok_lease_in_time(lease, "handles of objects", handles->count / HANDLES_AT_ONCE * HANDLES_AT_ONCE));
        TOK_TRY(TOK_DO(lease->functions, C_FindObjects, lease->session, found, HANDLES_AT_ONCE, &count));
        TOK_TRY(found_check(handles, found, count));
        TOK_TRY(handles_add(handles, found, count));
    } while (count > 0 && !first_only);
    return tok_good();
}

struct tok_result tok_search(struct tok_handles *out_handles, struct tok_lease *lease, CK_OBJECT_CLASS class,
                             const struct bytes *id, const struct bytes *label, bool first_only)
{
    SCOPED(tok_handles_end) struct tok_handles handles = { .items = NULL };
    CK_ATTRIBUTE template[3] = { { CKA_CLASS, &class, sizeof(class) } };
    CK_ULONG count = 1;
    struct tok_result result;

    if (id != NULL) {
        template[count++] = (CK_ATTRIBUTE){ CKA_ID, id->data, (CK_ULONG)id->len };
    }
    if (label != NULL) {
        template[count++] = (CK_ATTRIBUTE){ CKA_LABEL, label->data, (CK_ULONG)label->len };
    }
    TOK_TRY(TOK_DO(lease->functions, C_FindObjectsInit, lease->session, template, count));
    lease->op_open = true;
    result = search_run(&handles, lease, first_only);
    if (!tok_ok(&result)) {
        return result; /* the session is closed with its search */
    }
    TOK_TRY(TOK_DO(lease->functions, C_FindObjectsFinal, lease->session));
    lease->op_open = false;
    *out_handles = STEAL(handles);
    return tok_good();
}

static size_t len_without_padding(const struct bytes *text)
{
    size_t len = text->len;

    while (len > 0 && (text->data[len - 1] == ' ' || text->data[len - 1] == '\0')) {
        len--;
    }
    return len;
}

static bool is_name(const struct bytes *asked, const struct bytes *shown)
{
    size_t len;

    if (asked == NULL || shown->len == 0) {
        return true;
    }
    len = len_without_padding(asked);
    return len == len_without_padding(shown) && (len == 0 || memcmp(asked->data, shown->data, len) == 0);
}

bool tok_is_asked(const struct bytes *id_asked, const struct bytes *label_asked, const struct bytes *id,
                  const struct bytes *label)
{
    bool is_asked = (id_asked == NULL || id->len == 0 || bytes_equal(id_asked, id)) && is_name(label_asked, label);

    if (!is_asked) {
        trace(TRACE_FIND, "find: the module gives one that was not asked for");
    }
    return is_asked;
}
