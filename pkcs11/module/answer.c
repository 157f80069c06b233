#include "pkcs11/module/answer.h"

#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "pkcs11/module/call.h"
#include "pkcs11/result/ckr.h"

#define ROUNDS 4 /* a list may grow while it is asked for */
#define PROOF 32 /* bytes of a signature: zeros there by chance would be a wonder */
#define MOST_ATTRS 32

struct tok_result tok_answer_count(const char *function, const char *things, CK_ULONG count, CK_ULONG room)
{
    return count <= room ? tok_good()
                         : tok_fail_answer(function, "%lu %s, where there is room for %lu", count, things, room);
}

struct tok_result tok_answer_handle(const char *function, CK_ULONG handle)
{
    return handle != CK_INVALID_HANDLE ? tok_good() : tok_fail_answer(function, "0, which is no handle");
}

bool tok_answer_is_blank(const uint8_t *value, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (value[i] != 0) {
            return false;
        }
    }
    return true;
}

static size_t proof_of(enum tok_output kind, size_t len)
{
    return kind == TOK_OUTPUT_SIGNATURE && len > PROOF ? PROOF : len;
}

void tok_answer_blank(enum tok_output kind, uint8_t *out, size_t room)
{
    memset(out, 0, proof_of(kind, room));
}

struct tok_result tok_answer_output(enum tok_output kind, const char *function, const uint8_t *out, CK_ULONG len,
                                    size_t room)
{
    if (len > room) {
        return tok_answer_count(function, "bytes", len, (CK_ULONG)room);
    }
    if (kind != TOK_OUTPUT_ANYTHING && tok_answer_is_blank(out, proof_of(kind, len))) {
        return len == 0 ? tok_fail_answer(function, "nothing, and CKR_OK")
                        : tok_fail_answer(function, "%lu bytes of zeros", len);
    }
    return tok_good();
}

/* --- lists -------------------------------------------------------------------------------------------------------- */

void tok_numbers_end(struct tok_numbers *numbers)
{
    free(numbers->items);
    *numbers = (struct tok_numbers){ .items = NULL };
}

static struct tok_result numbers_ask(struct tok_numbers *numbers, const struct tok_question *question, CK_ULONG room,
                                     CK_RV *out_rv)
{
    numbers->count = room;
    free(numbers->items);
    numbers->items = calloc(room, sizeof(*numbers->items));
    if (numbers->items == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a list of %s", question->things);
    }
    *out_rv = question->ask(question->arg, numbers->items, &numbers->count);
    return *out_rv == CKR_OK ? tok_answer_count(question->function, question->things, numbers->count, room)
                             : tok_good();
}

struct tok_result tok_answer_numbers(struct tok_numbers *out, const struct tok_question *question)
{
    SCOPED(tok_numbers_end) struct tok_numbers numbers = { .items = NULL };
    CK_ULONG room = question->first;
    CK_RV rv = CKR_OK;

    for (unsigned round = 0; round < ROUNDS && (round == 0 || clock_us() < question->deadline_us); round++) {
        TOK_TRY(numbers_ask(&numbers, question, room, &rv));
        if (rv == CKR_OK) {
            *out = STEAL(numbers);
            return tok_good();
        }
        if (rv == CKR_BUFFER_TOO_SMALL && numbers.count <= room) { /* it does not say by that how many there are */
            rv = question->ask(question->arg, NULL, &numbers.count);
        }
        if (rv != CKR_OK && rv != CKR_BUFFER_TOO_SMALL) {
            return tok_fail_ckr(question->function, rv);
        }
        TOK_TRY(tok_answer_count(question->function, question->things, numbers.count, ANSWER_MOST_LISTED));
        room = numbers.count + 1; /* one may come meanwhile, and none is no room at all */
    }
    return tok_fail_answer(question->function, "CKR_BUFFER_TOO_SMALL again, with room for as many as it said");
}

/* --- attributes --------------------------------------------------------------------------------------------------- */

/* Some of the list are missing, or did not fit; the others are there (PKCS#11 C_GetAttributeValue). */
static bool is_partial(CK_RV rv)
{
    return rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_BUFFER_TOO_SMALL;
}

/* Modules answer such codes, too, for a list in which one attribute is not to their liking; others are about the
 * session, the login or the token. */
static bool may_be_one_attribute(CK_RV rv)
{
    return is_partial(rv) || tok_ckr(rv)->recovery == TOK_GIVE_UP || rv == CKR_GENERAL_ERROR ||
           rv == CKR_FUNCTION_FAILED || rv == CKR_DEVICE_MEMORY;
}

/* All bytes are what the caller had put there: a byte that no number and no flag is full of. */
static bool is_unfilled(const CK_ATTRIBUTE *attr, uint8_t filling)
{
    const uint8_t *value = attr->pValue;
    CK_ULONG i = 0;

    while (value != NULL && i < attr->ulValueLen && value[i] == filling) {
        i++;
    }
    return i > 0 && i == attr->ulValueLen;
}

/* What the caller asked for is what the answer is about; of that the module may write lengths alone. */
static struct tok_result attribute_check(CK_ATTRIBUTE *attr, const CK_ATTRIBUTE *asked, uint8_t filling, bool whole)
{
    CK_ULONG most = asked->pValue == NULL || !whole ? ANSWER_MOST_VALUE : asked->ulValueLen;

    attr->type = asked->type;
    attr->pValue = asked->pValue;
    if (attr->ulValueLen == CK_UNAVAILABLE_INFORMATION) {
        return tok_good();
    }
    TOK_TRY(tok_answer_count("C_GetAttributeValue", "bytes of an attribute", attr->ulValueLen, most));
    if (attr->ulValueLen <= asked->ulValueLen && is_unfilled(attr, filling)) {
        attr->ulValueLen = ANSWER_UNFILLED;
    }
    return tok_good();
}

struct tok_result tok_answer_attributes(CK_RV *out_rv, CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                                        CK_OBJECT_HANDLE object, CK_ATTRIBUTE *list, size_t count)
{
    CK_ATTRIBUTE asked[MOST_ATTRS];
    uint8_t fillings[MOST_ATTRS];

    if (count > MOST_ATTRS) {
        return tok_fail(TOK_CODE_BAD_ARGUMENT, "%zu attributes are more than one call asks for", count);
    }
    memcpy(asked, list, count * sizeof(*list));
    for (size_t i = 0; i < count; i++) {
        fillings[i] = list[i].pValue != NULL && list[i].ulValueLen > 0 ? *(const uint8_t *)list[i].pValue : 0;
    }
    *out_rv = TOK_CALL(functions, C_GetAttributeValue, session, object, list, (CK_ULONG)count);
    if (*out_rv != CKR_OK && !may_be_one_attribute(*out_rv)) {
        return tok_fail_ckr("C_GetAttributeValue", *out_rv);
    }
    for (size_t i = 0; i < count; i++) {
        if (*out_rv == CKR_OK || is_partial(*out_rv)) {
            TOK_TRY(attribute_check(&list[i], &asked[i], fillings[i], *out_rv == CKR_OK));
        } else {
            list[i] = (CK_ATTRIBUTE){ asked[i].type, asked[i].pValue, ANSWER_UNFILLED };
        }
    }
    return tok_good();
}
