/* The second half of pkcs11/key/key.h: operations with a key, on one of its replicas and, where that fails, on another.
 */
#include <stdatomic.h>
#include <string.h>

#include "base/pause.h"
#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/key/aim.h"
#include "pkcs11/key/child.h"
#include "pkcs11/key/key-parts.h"
#include "pkcs11/module/answer.h"
#include "pkcs11/object/derive.h"
#include "pkcs11/object/mech.h"

/* What one run of an operation has to do with: its replica, its lease, its recoveries. */
struct attempt {
    struct tok_key *key;
    struct tok_replica *replica;
    const struct tok_pin_prompt *prompt;
    struct tok_lease *lease;
    struct key_use use;
    struct tok_attempts attempts;
};

static struct tok_credentials credentials_of(struct tok_key *key, const struct tok_replica *replica,
                                             const struct tok_pin_prompt *prompt)
{
    struct tok_credentials credentials = { .settings = key->settings,
                                           .uri = key->uri,
                                           .own_pin_only = !replica->alone };

    if (prompt != NULL) {
        credentials.prompt = *prompt;
    }
    return credentials;
}

/* What the lease is to sign messages with, if it is. Not with a key that wants a login for each signature: there is no
 * place for it then. */
static void message_want(const struct attempt *attempt, const CK_MECHANISM *signs)
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
static struct tok_result handle_get(struct attempt *attempt)
{
    struct tok_result result = key_handle(attempt->key, attempt->replica, attempt->lease, &attempt->attempts,
                                          &attempt->use);
    bool again = false;

    if (result.code == TOK_CODE_NO_OBJECT && !attempt->lease->logged_in) {
        struct tok_credentials credentials = credentials_of(attempt->key, attempt->replica, attempt->prompt);

        TOK_TRY(tok_aim_login_late(&again, attempt->lease, &credentials, attempt->attempts.deadline_us));
    }
    return again ? key_handle(attempt->key, attempt->replica, attempt->lease, &attempt->attempts, &attempt->use) : result;
}

/* A lease on a session in which the key can be used, alone if nobody else must use the token between the key's login
 * and its operation; one that signs by the mechanism, unless that is NULL. */
static struct tok_result key_lease(struct attempt *attempt, const CK_MECHANISM *signs)
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

static struct tok_result key_begin(struct attempt *attempt, const CK_MECHANISM *signs)
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

struct operation {
    CK_RV (*init)(struct tok_lease *lease, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE handle); /* NULL: none */
    struct tok_result (*run)(struct tok_lease *lease, struct operation *op, CK_ULONG *in_out_len);
    enum tok_output output;
    const char *init_name;
    const char *run_name;
    const char *what; /* for messages */
    bool signs;
    bool decrypts;
    const CK_MECHANISM *mechanism;
    const uint8_t *in;
    size_t in_len;
    uint8_t *out;
    size_t room;
    uint64_t deadline_us; /* 0: that of the settings */
    CK_OBJECT_HANDLE handle;
    size_t out_len;    /* of the result */
    CK_RV refusal;     /* of the data, in place of a result */
    uint64_t unproved; /* of the result */
    bool ran;          /* the token was asked for it */
};

static CK_RV sign_init(struct tok_lease *lease, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE handle)
{
    return TOK_CALL(lease->functions, C_SignInit, lease->session, (CK_MECHANISM *)mechanism, handle);
}

static struct tok_result sign_run(struct tok_lease *lease, struct operation *op, CK_ULONG *in_out_len)
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
static struct tok_result decrypt_run(struct tok_lease *lease, struct operation *op, CK_ULONG *in_out_len)
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

static struct tok_result derive_run(struct tok_lease *lease, struct operation *op, CK_ULONG *in_out_len)
{
    return tok_derive(lease, op->mechanism->mechanism, op->handle, op->in, op->in_len, op->out, in_out_len);
}

/* What to do in two calls from here on. */
static void message_refused(enum tok_message_verdict verdict, const struct attempt *attempt)
{
    if (verdict == TOK_MESSAGE_NEVER) {
        tok_message_never(attempt->replica->token);
    } else if (verdict == TOK_MESSAGE_REFUSED) {
        atomic_store(&attempt->replica->no_messages, true);
    }
}

/* Signs by one call, where that may be. False if it has to be done by two: *out_verdict says what follows for the next
 * ones, if these work. */
static bool signed_as_message(struct operation *op, struct attempt *attempt, enum tok_message_verdict *out_verdict,
                              struct tok_result *out_result)
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
static void session_after(const struct operation *op, const struct attempt *attempt)
{
    struct tok_lease *lease = attempt->lease;

    if (op->decrypts && (op->mechanism->mechanism != CKM_RSA_X_509 || op->refusal != CKR_OK)) {
        tok_lease_renew(lease, tok_token_max_sessions(lease->token, attempt->key->settings));
    } else {
        lease->op_open = false;
    }
}

/* May the PIN be sent, and to this token? Between the calls of the operation nothing can be asked. */
static struct tok_result authenticate_prepare(struct attempt *attempt)
{
    struct tok_credentials credentials = credentials_of(attempt->key, attempt->replica, NULL);

    TOK_TRY(tok_token_refresh(attempt->lease->token));
    return tok_aim(attempt->lease->token, &credentials, attempt->attempts.deadline_us);
}

/* The two calls of an operation, with nothing between them but the login that an always-authenticate key demands there.
 */
static struct tok_result operate(struct operation *op, struct attempt *attempt)
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

/* Did the token answer to the operation itself? */
static bool in_operation(const struct operation *op, const struct tok_result *result)
{
    return op != NULL && result->function != NULL && (op->ran || strcmp(result->function, "C_SignMessage") == 0);
}

/* --- with one replica, and with another ----------------------------------------------------------------------------
 */

/* An operation (op == NULL: finding the key), on its way from replica to replica. */
struct run {
    struct operation *op;
    struct tok_key *key;
    const struct tok_pin_prompt *prompt;
    const char *what;
    uint64_t began_us;
    uint64_t now_us; /* roughly */
    uint64_t deadline_us;
    unsigned num;      /* of replicas */
    unsigned failed;   /* bits of those that failed in this round, */
    unsigned answered; /* those that spoke, be it a refusal, */
    unsigned over;     /* and those that it makes no sense to wait for */
    unsigned round;
    uint64_t pause_us;
    bool is_last; /* the last round */
};

static struct tok_result attempt_once(const struct run *run, struct attempt *attempt)
{
    TOK_TRY(key_begin(attempt, run->op != NULL && run->op->signs ? run->op->mechanism : NULL));
    return run->op != NULL ? operate(run->op, attempt) : tok_good();
}

/* Where others may serve, nobody waits for this one, nor, the first time around, for its recovery, and it may take a
 * quarter of the time at most. What fails in the last round has used up the operation's time. */
static void attempt_begin(struct attempt *attempt, const struct run *run, const struct tok_flight *flight)
{
    struct tok_attempts *attempts = &attempt->attempts;

    attempt->key = run->key;
    attempt->replica = flight->replica;
    attempt->prompt = run->prompt;
    tok_attempts_begin(attempts, run->key->settings, run->deadline_us, run->failed == 0 ? run->now_us : 0);
    if (run->num == 1) {
        return;
    }
    attempts->others = !run->is_last;
    attempts->out_of_time = run->is_last;
    attempts->quick = run->round == 0 && flight->standing == TOK_WORKS;
    attempts->probes = flight->standing != TOK_WORKS;
    attempts->on_trial = flight->standing == TOK_ON_TRIAL;
    if (attempts->quick && attempts->deadline_us > attempts->began_us) {
        attempts->deadline_us -= (attempts->deadline_us - attempts->began_us) / 4 * 3;
    }
}

/* One replica, as often as recovery makes sense there. */
static struct tok_result run_on(const struct run *run, const struct tok_flight *flight)
{
    struct tok_token *token = flight->replica->token;
    struct attempt attempt;

    attempt_begin(&attempt, run, flight);
    for (;;) {
        SCOPED(tok_lease_end) struct tok_lease lease = { .token = NULL };
        struct tok_result result;

        attempt.lease = &lease;
        result = attempt_once(run, &attempt);
        if (tok_ok(&result)) {
            tok_attempts_end(&attempt.attempts, token, &result);
            return result;
        }
        tok_attempts_note(&attempt.attempts, token, &lease, &result);
        tok_lease_end(&lease);
        if (!tok_recover(&attempt.attempts, token, &lease, &result)) {
            tok_attempts_end(&attempt.attempts, token, &result);
            return result;
        }
    }
}

/* Those that failed while another one served are not asked first for a while. */
static void set_aside(const struct run *run)
{
    LOCKED(run->key->lock);
    for (unsigned i = 0; i < run->key->replicas.count; i++) {
        struct tok_replica *replica = run->key->replicas.items[i];

        if ((run->failed & replica->bit) != 0) {
            trace(TRACE_KEY, "key: '%s' is asked last for a while", replica->token->label);
            tok_health_aside((run->answered & replica->bit) != 0 ? &replica->health : &replica->token->health,
                             clock_us());
        }
    }
}

static void served(const struct run *run, struct tok_replica *replica)
{
    if (run->failed != 0) {
        set_aside(run);
    }
    if (!tok_health_works(&replica->health) || !tok_health_works(&replica->token->health)) {
        trace(TRACE_KEY, "key: '%s' serves again", replica->token->label);
        tok_health_good(&replica->health);
        tok_health_good(&replica->token->health);
    }
    if (atomic_load_explicit(&run->key->served, memory_order_relaxed) != replica) {
        atomic_store(&run->key->served, replica);
    }
    tok_child_worked();
    if (run->op == NULL && run->key->settings->load_early) {
        tok_child_note(replica->token, run->key->settings);
    }
}

static struct tok_result failed(const struct run *run, const struct tok_token *token, struct tok_result result)
{
    char unused[64];
    char label[128];
    char others[48] = "";
    struct text text = TEXT_OVER(others);

    tok_key_names(run->key, unused, sizeof(unused), label, sizeof(label));
    if (run->num > 1) {
        text_printf(&text, ", the last of %u that have it", run->num);
    }
    result = token == NULL ? tok_context(result, "%s key '%s'", run->what, tok_key_uri(run->key))
                           : tok_context(result, "%s key '%s' on token '%s'%s", run->what, label, token->label, others);
    if (!in_operation(run->op, &result)) { /* which is not about reaching the token */
        tok_child_failed(&result);
    }
    return result;
}

/* What another token would not do better, or must not be asked for. */
static bool is_final(const struct run *run, const struct tok_result *result)
{
    return run->num == 1 || result->code == TOK_CODE_EXITING || result->code == TOK_CODE_RECURSION ||
           result->code == TOK_CODE_NO_MEMORY || result->code == TOK_CODE_BAD_ARGUMENT;
}

static void note(struct run *run, const struct tok_replica *replica, const struct tok_result *failure)
{
    run->failed |= replica->bit;
    if (tok_has_answered(failure)) {
        run->answered |= replica->bit;
        run->over |= replica->bit;
    } else if (failure->code == TOK_CODE_UNAVAILABLE) {
        run->over |= replica->bit;
    }
    trace(TRACE_KEY, "key: '%s' has failed: %s", replica->token->label, failure->message);
}

/* All have failed. Those that may come back are asked again after a pause, until the deadline; one that came meanwhile
 * is asked, too. */
static bool next_round(struct run *run)
{
    uint64_t left_us;

    run->pause_us = pause_after(run->pause_us, &pauses_to_wait);
    key_find_more(run->key, run->deadline_us);
    if (run->is_last || (run->failed & ~run->over) == 0) {
        return false;
    }
    left_us = run->deadline_us > clock_us() ? run->deadline_us - clock_us() : 0;
    run->is_last = left_us <= 2 * run->pause_us;
    clock_sleep_us(run->is_last ? left_us / 2 : run->pause_us);
    run->failed = run->over;
    run->now_us = clock_us();
    run->round++;
    return true;
}

/* The replica that is to serve. False if none is left; none may be known yet. */
static bool fly(struct tok_flight *flight, struct run *run)
{
    LOCKED(run->key->lock);
    run->num = run->key->replicas.count;
    return tok_flight_begin(flight, &run->key->replicas, run->failed, run->now_us);
}

static void run_begin(struct run *run)
{
    struct tok_key *key = run->key;

    run->began_us = run->now_us = clock_us();
    run->deadline_us = run->op != NULL && run->op->deadline_us != 0 ? run->op->deadline_us
                                                                    : run->now_us + key->settings->deadline_us;
    if (key->meant != NULL && atomic_load_explicit(&key->looked, memory_order_relaxed) != tok_tokens_met()) {
        key_find_more(key, run->deadline_us);
    }
}

/* From one replica to the next, until one has served. */
static struct tok_result run_through(struct run *run)
{
    struct tok_flight flight = { .replica = NULL };
    struct tok_result result = tok_good();
    const struct tok_token *token = NULL;

    for (;;) {
        if (!fly(&flight, run)) {
            if (run->num == 0) {
                result = key_find_replicas(run->key, run->deadline_us);
            }
            if (run->num == 0 ? tok_ok(&result) : next_round(run)) {
                continue;
            }
            return failed(run, token, result);
        }
        token = flight.replica->token;
        result = run_on(run, &flight);
        tok_flight_end(&flight);
        if (tok_ok(&result)) {
            served(run, flight.replica);
            return result;
        }
        if (is_final(run, &result)) {
            return failed(run, token, result);
        }
        note(run, flight.replica, &result);
    }
}

/* With load = early all replicas are to be ready; one that is not is no failure. */
static void locate_others(struct run *run)
{
    struct tok_flight flight = { .replica = NULL };

    run->failed |= atomic_load(&run->key->served)->bit;
    while (fly(&flight, run)) {
        struct tok_result result = run_on(run, &flight);

        tok_flight_end(&flight);
        run->failed |= flight.replica->bit;
        if (!tok_ok(&result)) {
            trace(TRACE_KEY, "key: '%s' is not ready: %s", flight.replica->token->label, result.message);
        } else {
            tok_child_note(flight.replica->token, run->key->settings);
        }
    }
}

struct tok_result tok_key_locate(struct tok_key *key, const struct tok_pin_prompt *prompt)
{
    struct run run = { .key = key, .prompt = prompt, .what = "finding" };
    struct tok_result result;
    TOK_SIGPIPE_HELD();

    run_begin(&run);
    result = run_through(&run);
    if (tok_ok(&result) && key->settings->load_early) {
        locate_others(&run);
    }
    return result;
}

static struct tok_token *first_token(struct tok_key *key)
{
    LOCKED(key->lock);
    return key->replicas.count > 0 ? key->replicas.items[0]->token : NULL;
}

/* Replicas are taken to offer the same; where one does not, another serves. */
void tok_key_ask_mechanisms(struct tok_key *key)
{
    struct tok_token *token = first_token(key);

    if (token == NULL) {
        struct tok_result result = tok_key_locate(key, NULL);

        token = tok_ok(&result) ? first_token(key) : NULL;
    }
    if (token != NULL) {
        tok_mech_ask(token, clock_us() + key->settings->deadline_us);
        atomic_store(&key->offered, tok_mech_offered(token));
    }
}

static const struct operation signing = {
    .init = sign_init,
    .run = sign_run,
    .init_name = "C_SignInit",
    .run_name = "C_Sign",
    .what = "signing with",
    .output = TOK_OUTPUT_SIGNATURE,
    .signs = true,
};
static const struct operation decrypting = {
    .init = decrypt_init,
    .run = decrypt_run,
    .init_name = "C_DecryptInit",
    .run_name = "C_Decrypt",
    .what = "decrypting with",
    .output = TOK_OUTPUT_ANYTHING,
    .decrypts = true,
};
static const struct operation deriving = {
    .run = derive_run,
    .run_name = "C_DeriveKey",
    .what = "deriving with",
    .output = TOK_OUTPUT_SECRET,
};

static struct tok_result operation_run(const struct operation *kind, struct tok_key *key, const CK_MECHANISM *mechanism,
                                       const uint8_t *in, size_t in_len, uint8_t *out, size_t *in_out_len,
                                       uint64_t *out_unproved, CK_RV *out_refusal, uint64_t deadline_us)
{
    struct operation op = *kind;
    struct run run = { .op = &op, .key = key, .what = op.what };
    TOK_SIGPIPE_HELD();

    op.mechanism = mechanism;
    op.in = in;
    op.in_len = in_len;
    op.out = out;
    op.room = *in_out_len;
    op.deadline_us = deadline_us;
    run_begin(&run);
    TOK_TRY(run_through(&run));
    atomic_store_explicit(&key->last_us, clock_us() - run.began_us, memory_order_relaxed);
    *in_out_len = op.out_len;
    if (out_unproved != NULL) {
        *out_unproved = op.unproved;
    }
    if (out_refusal != NULL) {
        *out_refusal = op.refusal;
    }
    return tok_good();
}

struct tok_result tok_key_sign_until(struct tok_key *key, const CK_MECHANISM *mechanism, const uint8_t *in,
                                     size_t in_len, uint8_t *out, size_t *in_out_len, uint64_t *out_unproved,
                                     uint64_t deadline_us)
{
    return operation_run(&signing, key, mechanism, in, in_len, out, in_out_len, out_unproved, NULL, deadline_us);
}

struct tok_result tok_key_decrypt_until(struct tok_key *key, const CK_MECHANISM *mechanism, const uint8_t *in,
                                        size_t in_len, uint8_t *out, size_t *in_out_len, CK_RV *out_refusal,
                                        uint64_t deadline_us)
{
    return operation_run(&decrypting, key, mechanism, in, in_len, out, in_out_len, NULL, out_refusal, deadline_us);
}

struct tok_result tok_key_refused(struct tok_key *key, CK_RV refusal)
{
    char token[64];
    char label[128];

    tok_key_names(key, token, sizeof(token), label, sizeof(label));
    return tok_context(tok_fail_ckr(decrypting.run_name, refusal), "%s key '%s' on token '%s'", decrypting.what, label,
                       token);
}

struct tok_result tok_key_derive_until(struct tok_key *key, const CK_MECHANISM *mechanism, const uint8_t *in,
                                       size_t in_len, uint8_t *out, size_t *in_out_len, uint64_t deadline_us)
{
    return operation_run(&deriving, key, mechanism, in, in_len, out, in_out_len, NULL, NULL, deadline_us);
}
