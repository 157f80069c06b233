/* One attempt at an operation, with one replica: session, login, object, and the calls. pkcs11/key/key-run.c leads from
 * one attempt to the next. */
#include <stdatomic.h>
#include <string.h>

#include "base/trace.h"
#include "pkcs11/key/aim.h"
#include "pkcs11/key/key-parts.h"
#include "pkcs11/module/answer.h"
#include "pkcs11/object/derive.h"

static struct tok_credentials credentials_of(struct tok_key *key, const struct tok_replica *replica,
                                             const struct tok_pin_prompt *prompt)
{
    struct tok_credentials credentials = { .settings = key->settings,
                                           .uri = replica->renamed ? replica->uri : key->uri,
                                           .own_pin_only = !replica->alone };

    if (prompt != NULL) {
        credentials.prompt = *prompt;
    }
    return credentials;
}

/* What the lease is to sign messages with, if it is. Not with a key that wants a login for each signature: there is no
 * place for it then. */
static void message_want(const struct key_attempt *attempt, const CK_MECHANISM *signs)
{
    struct tok_replica *replica = attempt->replica;
    struct tok_message *wants = &attempt->lease->wants;

    wants->objects = 0;
    if (signs != NULL && tok_message_offered(replica->token) &&
        !atomic_load_explicit(&replica->no_messages, memory_order_relaxed)) {
        LOCKED(attempt->key->lock);
        if (replica->always_authenticate || !tok_message_make(wants, replica->handle, replica->objects, signs)) {
            wants->objects = 0;
        }
    }
}

static bool wants_alone(const struct tok_replica *replica)
{
    return atomic_load_explicit(&replica->always_authenticate, memory_order_relaxed);
}

/* What is not there without a login may be there with one. */
static struct tok_result handle_late(struct key_attempt *attempt, struct tok_result failure)
{
    struct tok_credentials credentials = credentials_of(attempt->key, attempt->replica, attempt->prompt);
    bool again = false;

    if (failure.code == TOK_CODE_NO_OBJECT && !attempt->lease->logged_in) {
        TOK_TRY(tok_aim_login_late(&again, attempt->lease, &credentials, attempt->attempts.deadline_us));
    }
    return again ? key_handle(attempt->key, attempt->replica, attempt->lease, &attempt->attempts, &attempt->use)
                 : failure;
}

static struct tok_result handle_get(struct key_attempt *attempt)
{
    struct tok_result result = key_handle(attempt->key, attempt->replica, attempt->lease, &attempt->attempts,
                                          &attempt->use);

    return tok_ok(&result) ? tok_good() : handle_late(attempt, result);
}

/* A lease on a session in which the key can be used, alone if nobody else must use the token between the key's login
 * and its operation; one that signs by the mechanism, unless that is NULL. */
static struct tok_result key_lease(struct key_attempt *attempt, const CK_MECHANISM *signs)
{
    struct tok_lease *lease = attempt->lease;
    struct tok_key *key = attempt->key;
    struct tok_token *token = attempt->replica->token;
    uint64_t deadline_us = attempt->attempts.deadline_us;

    lease->alone = wants_alone(attempt->replica);
    message_want(attempt, signs);
    TOK_TRY(tok_lease_begin(lease, token, tok_token_max_sessions(token, key->settings), deadline_us));
    if (!lease->logged_in && tok_login_needed(token, key->settings) && !tok_login_can_wait(token, key->settings)) {
        struct tok_credentials credentials = credentials_of(key, attempt->replica, attempt->prompt);

        TOK_TRY(tok_aim_login(lease, &credentials, deadline_us));
    }
    return handle_get(attempt);
}

struct tok_result key_begin(struct key_attempt *attempt, const CK_MECHANISM *signs)
{
    struct tok_attempts *attempts = &attempt->attempts;
    struct tok_lease *lease = attempt->lease;

    TOK_TRY(tok_attempts_enter(attempts, attempt->replica->token)); /* before the module is asked anything */
    TOK_TRY(tok_token_start(attempt->replica->token, attempts->deadline_us));
    lease->began_us = attempts->began_us;
    lease->idle_sessions = attempt->key->settings->idle_sessions;
    lease->want_new = attempts->want_new;
    TOK_TRY(key_lease(attempt, signs));
    if (!lease->alone && wants_alone(attempt->replica)) { /* which is seen only now */
        tok_lease_end(lease);
        TOK_TRY(key_lease(attempt, signs));
    }
    if (signs != NULL && lease->wants.objects != lease->objects) { /* it has been found only now */
        message_want(attempt, signs);
    }
    return tok_good();
}

/* --- operations --------------------------------------------------------------------------------------------------- */

static CK_RV sign_init(struct tok_lease *lease, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE handle)
{
    return TOK_CALL(lease->functions, C_SignInit, lease->session, (CK_MECHANISM *)mechanism, handle);
}

static struct tok_result sign_run(struct tok_lease *lease, struct key_operation *op, CK_ULONG *in_out_len)
{
    CK_RV rv = TOK_CALL(lease->functions, C_Sign, lease->session, (CK_BYTE *)op->in, (CK_ULONG)op->in_len, op->out,
                        in_out_len);

    return rv == CKR_OK ? tok_good() : tok_fail_ckr("C_Sign", rv);
}

static CK_RV decrypt_init(struct tok_lease *lease, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE handle)
{
    return TOK_CALL(lease->functions, C_DecryptInit, lease->session, (CK_MECHANISM *)mechanism, handle);
}

/* What is said of the library, the session, the token or the login, which are looked at before data are: most of these
 * are of "the time that the function was invoked" or of a token that went (PKCS#11 v3.1 base §5.1.2, §5.1.3). To
 * recover from them tells nothing. All other answers of C_Decrypt may be about the data, whatever the standard has them
 * for: tokens say of bad padding CKR_GENERAL_ERROR (SoftHSM 2.6), CKR_DEVICE_ERROR (cards), and much else. */
static bool is_before_data(CK_RV rv)
{
    switch (rv) {
    case CKR_CRYPTOKI_NOT_INITIALIZED:
    case CKR_SESSION_HANDLE_INVALID:
    case CKR_SESSION_CLOSED:
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_DEVICE_REMOVED:
    case CKR_USER_NOT_LOGGED_IN:
    case CKR_OPERATION_NOT_INITIALIZED:
        return true;
    default:
        return false;
    }
}

/* The token has served, whether it gave a message or refused the data. Which of them it was must not show to anybody
 * who sends ciphertexts: not in this operation's calls, nor in those of the next ones, nor in which replica serves
 * them. So both are taken for a success here, and what is refused is the caller's business; no message is made of it,
 * which takes time. */
static struct tok_result decrypt_run(struct tok_lease *lease, struct key_operation *op, CK_ULONG *in_out_len)
{
    CK_RV rv = TOK_CALL(lease->functions, C_Decrypt, lease->session, (CK_BYTE *)op->in, (CK_ULONG)op->in_len, op->out,
                        in_out_len);

    if (is_before_data(rv)) {
        return tok_fail_ckr("C_Decrypt", rv);
    }
    if (rv == CKR_OK && *in_out_len > op->room) { /* nor may an impossible length show: it depends on the data, too */
        rv = CKR_GENERAL_ERROR;
    }
    op->refusal = rv;
    *in_out_len = rv == CKR_OK ? *in_out_len : 0;
    return tok_good();
}

static struct tok_result derive_run(struct tok_lease *lease, struct key_operation *op, CK_ULONG *in_out_len)
{
    return tok_derive(lease, op->mechanism->mechanism, op->handle, op->in, op->in_len, op->out, in_out_len);
}

/* What to do in two calls from here on. */
static void message_refused(enum tok_message_verdict verdict, const struct key_attempt *attempt)
{
    if (verdict == TOK_MESSAGE_NEVER) {
        tok_message_never(attempt->replica->token);
    } else if (verdict == TOK_MESSAGE_REFUSED) {
        atomic_store(&attempt->replica->no_messages, true);
    }
}

/* Signs by one call, where that may be. False if it has to be done by two: *out_verdict says what follows for the next
 * ones, if these work. */
static bool signed_as_message(struct key_operation *op, struct key_attempt *attempt,
                              enum tok_message_verdict *out_verdict, struct tok_result *out_result)
{
    size_t len = op->room;

    *out_verdict = TOK_MESSAGE_TRIED;
    if (!op->signs || attempt->lease->wants.objects == 0) {
        return false;
    }
    *out_result = tok_message_sign(attempt->lease, out_verdict, op->mechanism, op->in, op->in_len, op->out, &len);
    if (tok_ok(out_result)) {
        op->out_len = len;
    }
    if (*out_verdict == TOK_MESSAGE_TRIED) {
        return true;
    }
    trace(TRACE_KEY, "key: '%s' signs no messages: %s", tok_key_uri(attempt->key), out_result->message);
    if (attempt->lease->spoilt) { /* it came late: the next attempt, if these two calls fail, must not meet it again */
        message_refused(*out_verdict, attempt);
    }
    return false;
}

/* A refusal ends a decryption (PKCS#11 C_Decrypt), but there are tokens that leave it active. With one of these the
 * next operation would have to get rid of it, and that it had to would tell. Nothing that is done about it after a
 * refusal alone, or when CKR_OPERATION_ACTIVE is met, is the same for good data and bad. So the session is closed in
 * either case, another one having been opened before so that the login stays: two quick calls, where the token removes
 * the padding. Raw RSA tells nothing of padding: its session goes on, unless the token has refused. */
static void session_after(const struct key_operation *op, const struct key_attempt *attempt)
{
    struct tok_lease *lease = attempt->lease;

    if (op->decrypts && (op->mechanism->mechanism != CKM_RSA_X_509 || op->refusal != CKR_OK)) {
        tok_lease_renew(lease, tok_token_max_sessions(lease->token, attempt->key->settings));
    } else {
        lease->op_open = false;
    }
}

/* May the PIN be sent, and to this token? Between the calls of the operation nothing can be asked. */
static struct tok_result authenticate_prepare(struct key_attempt *attempt)
{
    struct tok_credentials credentials = credentials_of(attempt->key, attempt->replica, NULL);

    TOK_TRY(tok_token_refresh(attempt->lease->token));
    return tok_aim(attempt->lease->token, &credentials, attempt->attempts.deadline_us);
}

/* The two calls of an operation, with nothing between them but the login that an always-authenticate key demands there.
 */
struct tok_result key_operate(struct key_operation *op, struct key_attempt *attempt)
{
    struct tok_lease *lease = attempt->lease;
    struct tok_key *key = attempt->key;
    CK_ULONG len = (CK_ULONG)op->room;
    enum tok_message_verdict verdict;
    struct tok_result result;
    CK_RV rv;

    op->ran = false;
    op->handle = attempt->use.handle;
    op->unproved = attempt->use.unproved;
    if (signed_as_message(op, attempt, &verdict, &result)) {
        return result;
    }
    if (attempt->use.authenticate) {
        TOK_TRY(authenticate_prepare(attempt));
    }
    rv = op->init != NULL ? op->init(lease, op->mechanism, op->handle) : CKR_OK;
    if (rv != CKR_OK) {
        lease->op_open = rv == CKR_OPERATION_ACTIVE;
        return tok_fail_ckr(op->init_name, rv);
    }
    message_refused(verdict, attempt);
    lease->op_open = true;
    if (attempt->use.authenticate) {
        struct tok_credentials credentials = credentials_of(key, attempt->replica, NULL);

        TOK_TRY(tok_login_for_operation(lease, &credentials, attempt->attempts.deadline_us));
    }
    tok_answer_blank(op->output, op->out, op->room);
    op->ran = true;
    TOK_TRY(op->run(lease, op, &len)); /* some tokens leave it active then: the session is closed */
    TOK_TRY(tok_answer_output(op->output, op->run_name, op->out, len, op->room));
    op->out_len = len;
    session_after(op, attempt);
    return tok_good();
}

bool key_in_operation(const struct key_operation *op, const struct tok_result *result)
{
    return op != NULL && result->function != NULL && (op->ran || strcmp(result->function, "C_SignMessage") == 0);
}

/* --- the kinds ------------------------------------------------------------------------------------------------------
 */

const struct key_operation key_signing = {
    .init = sign_init,
    .run = sign_run,
    .init_name = "C_SignInit",
    .run_name = "C_Sign",
    .what = "signing with",
    .output = TOK_OUTPUT_SIGNATURE,
    .signs = true,
};
const struct key_operation key_decrypting = {
    .init = decrypt_init,
    .run = decrypt_run,
    .init_name = "C_DecryptInit",
    .run_name = "C_Decrypt",
    .what = "decrypting with",
    .output = TOK_OUTPUT_ANYTHING,
    .decrypts = true,
};
const struct key_operation key_deriving = {
    .run = derive_run,
    .run_name = "C_DeriveKey",
    .what = "deriving with",
    .output = TOK_OUTPUT_SECRET,
};
