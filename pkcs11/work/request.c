#include "pkcs11/work/request.h"

#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "base/secret.h"

static size_t aligned(size_t size)
{
    return (size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
}

/* What parameters point to, and where: the field to be set, its length. Of all mechanisms that this project uses, four
 * have such. NULL: nothing. */
static void **pointed_to(const CK_MECHANISM *mechanism, void *params, size_t *out_len)
{
    *out_len = 0;
    if (mechanism->mechanism == CKM_RSA_PKCS_OAEP && mechanism->ulParameterLen == sizeof(CK_RSA_PKCS_OAEP_PARAMS)) {
        CK_RSA_PKCS_OAEP_PARAMS *oaep = params;

        *out_len = oaep->ulSourceDataLen;
        return &oaep->pSourceData;
    }
    if (mechanism->mechanism == CKM_EDDSA && mechanism->ulParameterLen == sizeof(struct tok_eddsa_params)) {
        struct tok_eddsa_params *eddsa = params;

        *out_len = eddsa->context_len;
        return (void **)&eddsa->context;
    }
    if ((mechanism->mechanism == CKM_ML_DSA || mechanism->mechanism == CKM_SLH_DSA) &&
        mechanism->ulParameterLen == sizeof(struct tok_sign_context)) {
        struct tok_sign_context *more = params;

        *out_len = more->context_len;
        return (void **)&more->context;
    }
    return NULL;
}

static uint8_t *put(uint8_t **at, const void *data, size_t len)
{
    uint8_t *start = *at;

    if (len > 0) {
        memcpy(start, data, len);
    }
    *at += aligned(len);
    return start;
}

static void mechanism_copy(struct tok_request *request, const CK_MECHANISM *from, uint8_t **at)
{
    size_t len;
    void **field;

    request->mechanism = *from;
    if (from->pParameter == NULL) {
        return;
    }
    request->mechanism.pParameter = put(at, from->pParameter, from->ulParameterLen);
    field = pointed_to(from, request->mechanism.pParameter, &len);
    if (field != NULL && *field != NULL) {
        *field = put(at, *field, len);
    }
}

struct tok_result request_make(struct tok_request **out_request, enum tok_work work, struct tok_key *key,
                               const CK_MECHANISM *mechanism, const uint8_t *in, size_t in_len, size_t room)
{
    size_t size = sizeof(struct tok_request) + aligned(in_len) + aligned(room);
    struct tok_request *request;
    uint8_t *at;
    size_t len = 0;

    if (mechanism != NULL && mechanism->pParameter != NULL) {
        (void)pointed_to(mechanism, mechanism->pParameter, &len);
        size += aligned(mechanism->ulParameterLen) + aligned(len);
    }
    request = malloc(size);
    if (request == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a request");
    }
    memset(request, 0, sizeof(*request));
    request->size = size;
    request->owners = 1;
    request->work = work;
    request->key = tok_key_ref(key);
    at = request->bytes;
    if (mechanism != NULL) {
        mechanism_copy(request, mechanism, &at);
    }
    request->in = put(&at, in, in_len);
    request->in_len = in_len;
    request->out = at;
    request->room = room;
    *out_request = request;
    return tok_good();
}

void request_free(struct tok_request *request)
{
    tok_key_unref(request->key);
    secret_wipe(request, request->size);
    free(request);
}

void request_carry_out(struct tok_request *request)
{
    request->out_len = request->room;
    if (request->work != TOK_WORK_SIGN) {
        memset(request->out, 0, request->room);
    }
    switch (request->work) {
    case TOK_WORK_SIGN:
        request->result = tok_key_sign_until(request->key, &request->mechanism, request->in, request->in_len,
                                             request->out, &request->out_len, &request->unproved, request->deadline_us);
        break;
    case TOK_WORK_DECRYPT:
        request->result = tok_key_decrypt_until(request->key, &request->mechanism, request->in, request->in_len,
                                                request->out, &request->out_len, &request->refusal,
                                                request->deadline_us);
        break;
    case TOK_WORK_DERIVE:
        request->result = tok_key_derive_until(request->key, &request->mechanism, request->in, request->in_len,
                                               request->out, &request->out_len, request->deadline_us);
        break;
    case TOK_WORK_ASK:
        tok_key_ask_mechanisms(request->key);
        request->out_len = 0;
        request->result = tok_good();
        break;
    }
}

static struct tok_result late(const struct tok_request *request)
{
    char token[64];
    char label[128];

    tok_key_names(request->key, token, sizeof(token), label, sizeof(label));
    return tok_fail(TOK_CODE_DEADLINE, "an operation with key '%s' on token '%s' began %.1f s ago, and is still in %s",
                    label, token, (double)(clock_us() - request->submitted_us) / 1e6, request->inside_name);
}

/* How long a message was is a secret, and how many zeros a token left out before one, so all of the room is copied. */
static size_t hidden_len(const struct tok_request *request, size_t room)
{
    size_t most = request->room < room ? request->room : room;

    return request->work == TOK_WORK_SIGN ? request->out_len : most;
}

struct tok_result tok_request_result(struct tok_request *request, uint8_t *out, size_t *in_out_len,
                                     uint64_t *out_unproved)
{
    if (request->gone) {
        return tok_fail(TOK_CODE_JOB_IS_GONE,
                        "key '%s': the job began before a fork, and belongs to the parent process",
                        tok_key_uri(request->key));
    }
    if (request->end == REQUEST_LATE) {
        return late(request);
    }
    if (request->end == REQUEST_LEFT) {
        return tok_fail(TOK_CODE_JOB_IS_GONE, "the provider was unloaded while a job of its key was under way");
    }
    TOK_TRY(request->result);
    if (out != NULL) {
        if (request->out_len > *in_out_len) {
            return tok_fail(TOK_CODE_BAD_ARGUMENT, "%zu bytes of room are too few for a result of %zu", *in_out_len,
                            request->out_len);
        }
        memcpy(out, request->out, hidden_len(request, *in_out_len));
        *in_out_len = request->out_len;
    }
    if (out_unproved != NULL) {
        *out_unproved = request->unproved;
    }
    return tok_good();
}

CK_RV tok_request_refusal(const struct tok_request *request)
{
    return request->refusal;
}
