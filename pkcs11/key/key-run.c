/* The second half of pkcs11/key/key.h: operations with a key, led from one of its replicas to another where that fails.
 */
#include <stdatomic.h>

#include "base/pause.h"
#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/key/child.h"
#include "pkcs11/key/key-parts.h"
#include "pkcs11/object/mech.h"

/* An operation (op == NULL: finding the key), on its way from replica to replica. */
struct run {
    struct key_operation *op;
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

static struct tok_result attempt_once(const struct run *run, struct key_attempt *attempt)
{
    TOK_TRY(key_begin(attempt, run->op != NULL && run->op->signs ? run->op->mechanism : NULL));
    return run->op != NULL ? key_operate(run->op, attempt) : tok_good();
}

/* Where others may serve, nobody waits for this one, nor, the first time around, for its recovery, and it may take a
 * quarter of the time at most. What fails in the last round has used up the operation's time. */
static void attempt_begin(struct key_attempt *attempt, const struct run *run, const struct tok_flight *flight)
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
    struct key_attempt attempt;

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
    if (!key_in_operation(run->op, &result)) { /* which is not about reaching the token */
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

/* The only token that has had it is there no more; or, by another name, it is. */
static bool is_gone(const struct run *run, const struct tok_replica *replica, const struct tok_result *result)
{
    return run->num == 1 && (result->code == TOK_CODE_UNAVAILABLE || tok_is(result, CKR_TOKEN_NOT_PRESENT)) &&
           !tok_token_present(replica->token);
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
                if (result.code == TOK_CODE_NO_TOKEN && key_find_renamed(run->key, &result, run->deadline_us)) {
                    continue;
                }
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
        if (is_gone(run, flight.replica, &result) && key_find_renamed(run->key, &result, run->deadline_us)) {
            note(run, flight.replica, &result);
            continue;
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

/* --- what applications ask for ---------------------------------------------------------------------------------------
 */

static struct tok_result operation_run(const struct key_operation *kind, struct tok_key *key,
                                       const CK_MECHANISM *mechanism, const uint8_t *in, size_t in_len, uint8_t *out,
                                       size_t *in_out_len, uint64_t *out_unproved, CK_RV *out_refusal,
                                       uint64_t deadline_us)
{
    struct key_operation op = *kind;
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
    return operation_run(&key_signing, key, mechanism, in, in_len, out, in_out_len, out_unproved, NULL, deadline_us);
}

struct tok_result tok_key_decrypt_until(struct tok_key *key, const CK_MECHANISM *mechanism, const uint8_t *in,
                                        size_t in_len, uint8_t *out, size_t *in_out_len, CK_RV *out_refusal,
                                        uint64_t deadline_us)
{
    return operation_run(&key_decrypting, key, mechanism, in, in_len, out, in_out_len, NULL, out_refusal, deadline_us);
}

struct tok_result tok_key_refused(struct tok_key *key, CK_RV refusal)
{
    char token[64];
    char label[128];

    tok_key_names(key, token, sizeof(token), label, sizeof(label));
    return tok_context(tok_fail_ckr(key_decrypting.run_name, refusal), "%s key '%s' on token '%s'", key_decrypting.what,
                       label, token);
}

struct tok_result tok_key_derive_until(struct tok_key *key, const CK_MECHANISM *mechanism, const uint8_t *in,
                                       size_t in_len, uint8_t *out, size_t *in_out_len, uint64_t deadline_us)
{
    return operation_run(&key_deriving, key, mechanism, in, in_len, out, in_out_len, NULL, NULL, deadline_us);
}
