#include "pkcs11/object/mech.h"

#include <string.h>

#include "base/scoped.h"
#include "base/trace.h"
#include "pkcs11/module/answer.h"
#include "pkcs11/module/call.h"

#define MECHS_AT_ONCE 512

size_t tok_mech_count(const struct bytes *list)
{
    return list->len % sizeof(CK_MECHANISM_TYPE) == 0 ? list->len / sizeof(CK_MECHANISM_TYPE) : 0;
}

/* The bytes need not be aligned for it. */
static CK_MECHANISM_TYPE mech_at(const struct bytes *list, size_t i)
{
    CK_MECHANISM_TYPE type;

    memcpy(&type, list->data + i * sizeof(type), sizeof(type));
    return type;
}

bool tok_mech_among(const struct bytes *list, CK_MECHANISM_TYPE type)
{
    for (size_t i = 0; i < tok_mech_count(list); i++) {
        if (mech_at(list, i) == type) {
            return true;
        }
    }
    return false;
}

static bool is_pss(CK_MECHANISM_TYPE type)
{
    static const CK_MECHANISM_TYPE all[] = {
        CKM_RSA_PKCS_PSS,        CKM_SHA1_RSA_PKCS_PSS,   CKM_SHA224_RSA_PKCS_PSS,
        CKM_SHA256_RSA_PKCS_PSS, CKM_SHA384_RSA_PKCS_PSS, CKM_SHA512_RSA_PKCS_PSS,
    };

    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (all[i] == type) {
            return true;
        }
    }
    return false;
}

bool tok_mech_pss_only(const struct bytes *list)
{
    size_t count = tok_mech_count(list);

    for (size_t i = 0; i < count; i++) {
        if (!is_pss(mech_at(list, i))) {
            return false;
        }
    }
    return count > 0;
}

/* clang-format off */
#define ROW(type) { type, #type }
/* clang-format on */

const char *tok_mech_name(CK_MECHANISM_TYPE type)
{
    static const struct {
        CK_MECHANISM_TYPE type;
        const char *name;
    } rows[] = {
        ROW(CKM_RSA_PKCS),
        ROW(CKM_RSA_X_509),
        ROW(CKM_RSA_PKCS_PSS),
        ROW(CKM_RSA_PKCS_OAEP),
        ROW(CKM_SHA1_RSA_PKCS),
        ROW(CKM_SHA224_RSA_PKCS),
        ROW(CKM_SHA256_RSA_PKCS),
        ROW(CKM_SHA384_RSA_PKCS),
        ROW(CKM_SHA512_RSA_PKCS),
        ROW(CKM_SHA1_RSA_PKCS_PSS),
        ROW(CKM_SHA224_RSA_PKCS_PSS),
        ROW(CKM_SHA256_RSA_PKCS_PSS),
        ROW(CKM_SHA384_RSA_PKCS_PSS),
        ROW(CKM_SHA512_RSA_PKCS_PSS),
        ROW(CKM_ECDSA),
        ROW(CKM_ECDSA_SHA1),
        ROW(CKM_ECDSA_SHA224),
        ROW(CKM_ECDSA_SHA256),
        ROW(CKM_ECDSA_SHA384),
        ROW(CKM_ECDSA_SHA512),
        ROW(CKM_EDDSA),
        ROW(CKM_ML_DSA),
        ROW(CKM_SLH_DSA),
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].type == type) {
            return rows[i].name;
        }
    }
    return "a mechanism";
}

const struct bytes *tok_mech_offered(struct tok_token *token)
{
    const struct bytes *list = atomic_load(&token->mechanisms);

    return list == NULL || list->len == 0 ? NULL : list;
}

struct slot {
    CK_FUNCTION_LIST *functions;
    CK_SLOT_ID id;
};

static CK_RV list_ask(const void *arg, CK_ULONG *items, CK_ULONG *in_out_count)
{
    const struct slot *slot = arg;

    return TOK_CALL(slot->functions, C_GetMechanismList, slot->id, items, in_out_count);
}

static struct tok_result list_read(struct bytes *out, const struct tok_token *token, CK_SLOT_ID id,
                                   uint64_t deadline_us)
{
    const struct slot slot = { token->module->functions, id };
    const struct tok_question question = { .function = "C_GetMechanismList",
                                           .things = "mechanisms",
                                           .ask = list_ask,
                                           .arg = &slot,
                                           .first = MECHS_AT_ONCE,
                                           .deadline_us = deadline_us };
    SCOPED(tok_numbers_end) struct tok_numbers numbers = { .items = NULL };

    TOK_TRY(tok_answer_numbers(&numbers, &question));
    return bytes_set(out, numbers.items, numbers.count * sizeof(*numbers.items))
               ? tok_good()
               : tok_fail(TOK_CODE_NO_MEMORY, "a list of mechanisms");
}

static CK_SLOT_ID slot_of(struct tok_token *token)
{
    LOCKED(&token->lock);
    return token->slot;
}

/* With the right to make a call that belongs to no session: the module must not be finalised meanwhile. */
static struct tok_result list_get(struct bytes *out, struct tok_token *token, uint64_t deadline_us)
{
    struct tok_result result;

    TOK_TRY(tok_module_enter(token->module, NULL, deadline_us));
    result = list_read(out, token, slot_of(token), deadline_us);
    tok_module_leave(token->module, false);
    return result;
}

/* Of two threads one asks, and the other goes on without knowing. */
void tok_mech_ask(struct tok_token *token, uint64_t deadline_us)
{
    struct bytes *list;
    struct tok_result result;

    if (atomic_exchange(&token->mechanisms_asked, true)) {
        return;
    }
    list = calloc(1, sizeof(*list));
    result = list == NULL ? tok_fail(TOK_CODE_NO_MEMORY, "a list of mechanisms") : list_get(list, token, deadline_us);
    if (tok_ok(&result) && list->len > 0) {
        trace(TRACE_TOKEN, "token: '%s' offers %zu mechanisms", token->label, tok_mech_count(list));
        atomic_store(&token->mechanisms, list);
        return;
    }
    trace(TRACE_TOKEN, "token: '%s' does not tell what it offers: %s", token->label,
          tok_ok(&result) ? "an empty list" : result.message);
    if (list != NULL) {
        bytes_end(list);
    }
    free(list);
    atomic_store(&token->mechanisms_asked, tok_ok(&result)); /* what failed is asked again when it is needed again */
}
