#include "pkcs11/token/message.h"

#include <string.h>

#include "base/trace.h"
#include "pkcs11/module/answer.h"
#include "pkcs11/result/ckr.h"
#include "pkcs11/token/session.h"

/* The balance of sessions that went on (1 each) against those that were told something else. */
#define BALANCE_MOST 64
#define BALANCE_LEAST (-64)
#define BALANCE_SWITCH 2

static bool told(const struct tok_message *message)
{
    return message->objects != 0;
}

static bool same(const struct tok_message *a, const struct tok_message *b)
{
    return a->key == b->key && a->objects == b->objects && a->type == b->type && a->params_len == b->params_len &&
           memcmp(a->params, b->params, a->params_len) == 0;
}

bool tok_message_offered(const struct tok_token *token)
{
    return token->module->messages != NULL && !atomic_load_explicit(&token->no_messages, memory_order_relaxed);
}

void tok_message_never(struct tok_token *token)
{
    if (!atomic_exchange(&token->no_messages, true)) {
        trace(TRACE_TOKEN, "token: '%s' signs by two calls from here on", token->label);
    }
}

/* The parameters that point to something: only these, of those that are signed with, may. */
static bool has_pointers(const CK_MECHANISM *mechanism)
{
    const struct tok_eddsa_params *eddsa = mechanism->pParameter;
    const struct tok_sign_context *more = mechanism->pParameter;

    if (mechanism->ulParameterLen == 0) {
        return false;
    }
    return (mechanism->mechanism == CKM_EDDSA && eddsa->context != NULL) ||
           ((mechanism->mechanism == CKM_ML_DSA || mechanism->mechanism == CKM_SLH_DSA) && more->context != NULL);
}

bool tok_message_make(struct tok_message *out, CK_OBJECT_HANDLE key, uint64_t objects, const CK_MECHANISM *mechanism)
{
    if (mechanism->ulParameterLen > sizeof(out->params) || has_pointers(mechanism)) {
        return false;
    }
    *out = (struct tok_message){
        .key = key,
        .objects = objects,
        .type = mechanism->mechanism,
        .params_len = (size_t)mechanism->ulParameterLen,
    };
    if (out->params_len > 0) {
        memcpy(out->params, mechanism->pParameter, out->params_len);
    }
    return true;
}

unsigned *tok_message_idle(struct tok_pool *pool, const struct tok_lease *lease, bool *out_switch)
{
    unsigned *clean = NULL;

    *out_switch = false;
    for (unsigned *link = &pool->idle; *link != 0; link = &pool->places[*link - 1].next) {
        const struct tok_place *place = &pool->places[*link - 1];

        if (place->losses != pool->losses) {
            continue; /* it may be lost */
        }
        if (told(&lease->wants) && same(&place->told, &lease->wants)) {
            return link;
        }
        if (clean == NULL && !told(&place->told)) {
            clean = link;
        }
    }
    if (clean != NULL) {
        return clean;
    }
    *out_switch = told(&pool->places[pool->idle - 1].told);
    return &pool->idle;
}

void tok_message_count(struct tok_token *token, const struct tok_lease *lease)
{
    if (!told(&lease->wants) || !told(&lease->told)) {
        return;
    }
    token->balance += same(&lease->told, &lease->wants) ? 1 : -BALANCE_SWITCH;
    if (token->balance > BALANCE_MOST) {
        token->balance = BALANCE_MOST;
    } else if (token->balance < BALANCE_LEAST) {
        tok_message_never(token);
    }
}

/* Handles of a time that is gone are not wanted. Whatever the call answers: where the session is lost, the next one
 * says so. */
void tok_message_settle(struct tok_lease *lease)
{
    if (lease->wants.objects != lease->objects) {
        lease->wants.objects = 0;
    }
    if (told(&lease->told) && !(told(&lease->wants) && same(&lease->told, &lease->wants))) {
        (void)TOK_CALL(lease->messages, C_MessageSignFinal, lease->session);
        lease->told = (struct tok_message){ .objects = 0 };
    }
}

static bool is_final(CK_RV rv)
{
    return tok_ckr(rv)->recovery == TOK_GIVE_UP;
}

static enum tok_message_verdict verdict_of(CK_RV rv)
{
    return rv == CKR_FUNCTION_NOT_SUPPORTED ? TOK_MESSAGE_NEVER
           : is_final(rv)                   ? TOK_MESSAGE_REFUSED
                                            : TOK_MESSAGE_TRIED;
}

static struct tok_result tell(struct tok_lease *lease, const CK_MECHANISM *mechanism,
                              enum tok_message_verdict *out_verdict)
{
    CK_RV rv =
        TOK_CALL(lease->messages, C_MessageSignInit, lease->session, (CK_MECHANISM *)mechanism, lease->wants.key);

    if (rv == CKR_OK) {
        lease->told = lease->wants;
        return tok_good();
    }
    /* p11-kit's client and proxy have the function, and say that they are not initialised; if they aren't, C_SignInit
     * says so, too (tests/tokens/p11-kit-server.sh). */
    *out_verdict = rv == CKR_CRYPTOKI_NOT_INITIALIZED ? TOK_MESSAGE_NEVER : verdict_of(rv);
    lease->op_open = rv == CKR_OPERATION_ACTIVE;
    return tok_fail_ckr("C_MessageSignInit", rv);
}

/* After a failure nobody knows what became of the operation: where it may be tried again the session is closed, and
 * where two calls are tried next it has to be ended before. */
struct tok_result tok_message_sign(struct tok_lease *lease, enum tok_message_verdict *out_verdict,
                                   const CK_MECHANISM *mechanism, const uint8_t *in, size_t in_len, uint8_t *out,
                                   size_t *in_out_len)
{
    CK_ULONG len = (CK_ULONG)*in_out_len;
    CK_RV rv;

    *out_verdict = TOK_MESSAGE_TRIED;
    tok_message_settle(lease); /* another login may have come between */
    if (!told(&lease->told)) {
        TOK_TRY(tell(lease, mechanism, out_verdict));
    }
    tok_answer_blank(TOK_OUTPUT_SIGNATURE, out, *in_out_len);
    rv = TOK_CALL(lease->messages, C_SignMessage, lease->session, NULL, 0, (CK_BYTE *)in, (CK_ULONG)in_len, out, &len);
    if (rv == CKR_OK) {
        lease->op_open = true; /* unless it is a signature */
        TOK_TRY(tok_answer_output(TOK_OUTPUT_SIGNATURE, "C_SignMessage", out, len, *in_out_len));
        lease->op_open = false;
        *in_out_len = len;
        return tok_good();
    }
    *out_verdict = verdict_of(rv);
    lease->op_open = !is_final(rv);
    if (is_final(rv)) {
        lease->wants.objects = 0;
        tok_message_settle(lease);
        lease->spoilt = true;
    }
    return tok_fail_ckr("C_SignMessage", rv);
}
