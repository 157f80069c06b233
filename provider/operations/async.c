#include "provider/operations/async.h"

#include <openssl/async.h>
#include <stdlib.h>

#include "base/trace.h"
#include "pkcs11/work/worker.h"

/* An operation, as its callers give it. */
struct operation {
    enum tok_work work;
    struct prov_key *key;
    const struct prov_job *job;
    const CK_MECHANISM *mechanism;
    const uint8_t *in;
    size_t in_len;
    uint8_t *out;
    size_t *in_out_len;
    uint64_t *out_unproved;
    CK_RV *out_refusal;
};

/* What a wait context has of us, from the first job that paused with it to its own end: applications (HAProxy) keep the
 * descriptor in tables of theirs for so long. Not on a job's stack: the end of the wait context tells that a job is
 * abandoned. */
struct waiting {
    struct tok_bell *bell;
    struct tok_request *request; /* of the job that waits; NULL: none does */
    struct prov_job job;
    ASYNC_callback_fn callback;
    void *callback_arg;
};

/* Under this key a wait context has our descriptor. */
static const char wait_key;

/* --- a plain call ------------------------------------------------------------------------------------------------- */

static struct tok_result plain_run(const struct operation *op)
{
    switch (op->work) {
    case TOK_WORK_SIGN:
        return tok_key_sign(op->key->token, op->mechanism, op->in, op->in_len, op->out, op->in_out_len,
                            op->out_unproved);
    case TOK_WORK_DECRYPT:
        return tok_key_decrypt(op->key->token, op->mechanism, op->in, op->in_len, op->out, op->in_out_len,
                               op->out_refusal);
    case TOK_WORK_DERIVE:
        return tok_key_derive_until(op->key->token, op->mechanism, op->in, op->in_len, op->out, op->in_out_len, 0);
    default:
        tok_key_ask_mechanisms(op->key->token);
        return tok_good();
    }
}

static struct tok_result plain(const struct operation *op)
{
    struct tok_result result;

    prov_err_mark(op->key->prov);
    result = plain_run(op);
    prov_err_forget(op->key->prov);
    return result;
}

/* --- inside a job ------------------------------------------------------------------------------------------------- */

static void callback_call(void *vwaiting)
{
    const struct waiting *waiting = vwaiting;

    (void)waiting->callback(waiting->callback_arg);
}

static void waiting_free(struct waiting *waiting)
{
    if (waiting != NULL) {
        tok_bell_free(waiting->bell);
    }
    free(waiting);
}

/* The connection was freed, and if a job waits, that will never go on: it is freed as far as OpenSSL does that. */
static void context_ends(ASYNC_WAIT_CTX *context, const void *key, OSSL_ASYNC_FD fd, void *vwaiting)
{
    struct waiting *waiting = vwaiting;

    (void)context;
    (void)key;
    (void)fd;
    if (waiting->request != NULL) {
        trace(TRACE_KEY, "key: a job was abandoned");
        tok_request_leave(waiting->request);
        if (waiting->job.abandoned != NULL) {
            waiting->job.abandoned(waiting->job.arg);
        }
    }
    waiting_free(waiting);
}

/* What the wait context has of an earlier job, unless a fork has closed it since. */
static struct waiting *waiting_of(ASYNC_WAIT_CTX *context)
{
    void *vwaiting = NULL;
    OSSL_ASYNC_FD fd;

    if (ASYNC_WAIT_CTX_get_fd(context, &wait_key, &fd, &vwaiting) != 1) {
        return NULL;
    }
    if (tok_bell_fd(((struct waiting *)vwaiting)->bell) < 0) {
        (void)ASYNC_WAIT_CTX_clear_fd(context, &wait_key);
        waiting_free(vwaiting);
        return NULL;
    }
    return vwaiting;
}

static struct waiting *waiting_new(ASYNC_WAIT_CTX *context)
{
    struct waiting *waiting = calloc(1, sizeof(*waiting));

    if (waiting == NULL || (waiting->bell = tok_bell_new()) == NULL ||
        ASYNC_WAIT_CTX_set_wait_fd(context, &wait_key, tok_bell_fd(waiting->bell), waiting, context_ends) != 1) {
        waiting_free(waiting);
        return NULL;
    }
    return waiting;
}

/* ASYNC_pause_job also returns at once, as if it had paused, where the application has blocked that. A job that goes
 * on after a pause has a wait context in which nothing is new; a descriptor of ours is, until then. */
static bool is_new(ASYNC_WAIT_CTX *context)
{
    size_t num_new = 0;
    size_t num_gone = 0;

    return ASYNC_WAIT_CTX_get_changed_fds(context, NULL, &num_new, NULL, &num_gone) == 1 && num_new > 0;
}

/* The descriptor is there beside a callback, too, since its end is the only sign of the job's. NULL if none can be. */
static struct waiting *wait_begin(ASYNC_WAIT_CTX *context, struct tok_request *request, const struct operation *op)
{
    struct waiting *waiting = waiting_of(context);

    if (waiting == NULL) {
        waiting = waiting_new(context);
    }
    if (waiting == NULL) {
        return NULL;
    }
    waiting->request = request;
    waiting->job = op->job != NULL ? *op->job : (struct prov_job){ NULL, NULL };
    if (ASYNC_WAIT_CTX_get_callback(context, &waiting->callback, &waiting->callback_arg) != 1) {
        waiting->callback = NULL;
    }
    (void)tok_request_on_done(request, waiting->bell, waiting->callback != NULL ? callback_call : NULL, waiting);
    return waiting;
}

/* The request has been left. A descriptor that the application has never seen is not kept. */
static void wait_end(struct waiting *waiting, ASYNC_WAIT_CTX *context)
{
    if (waiting == NULL) {
        return;
    }
    waiting->request = NULL;
    if (is_new(context)) {
        (void)ASYNC_WAIT_CTX_clear_fd(context, &wait_key);
        waiting_free(waiting);
    } else {
        tok_bell_quiet(waiting->bell);
    }
}

/* Applications may go on with a job that was not woken: it pauses again. With a descriptor that is not new there is no
 * telling whether it did, but for how often; then its thread waits. */
#define MOST_PAUSES 10000

static void wait_paused(struct tok_request *request, ASYNC_WAIT_CTX *context)
{
    unsigned pauses = 0;

    while (!tok_request_done(request)) {
        if (ASYNC_pause_job() != 1 || is_new(context) || ++pauses > MOST_PAUSES) {
            tok_request_wait(request);
        }
    }
}

/* Until it is done; with the application's thread for others meanwhile, if that can be. What it has waited with, or
 * NULL. */
static struct waiting *wait_for(struct tok_request *request, const struct operation *op, ASYNC_WAIT_CTX *context)
{
    struct waiting *waiting = NULL;

    if (op->key->prov->async && context != NULL) {
        if (tok_request_soon(request)) {
            return NULL;
        }
        waiting = wait_begin(context, request, op);
        if (waiting == NULL) {
            trace(TRACE_KEY, "key: a job can't pause, and its thread waits: there is no descriptor to be had");
        }
    }
    if (waiting != NULL) {
        wait_paused(request, context);
    } else {
        tok_request_wait(request);
    }
    return waiting;
}

static struct tok_result in_job(const struct operation *op, ASYNC_JOB *job)
{
    ASYNC_WAIT_CTX *context = ASYNC_get_wait_ctx(job);
    struct waiting *waiting;
    struct tok_request *request = NULL;
    struct tok_result result;

    TOK_TRY(tok_request_new(&request, op->work, op->key->token, op->mechanism, op->in, op->in_len,
                            op->in_out_len != NULL ? *op->in_out_len : 0));
    result = tok_request_submit(request);
    if (!tok_ok(&result)) {
        tok_request_leave(request);
        return result.code == TOK_CODE_EXITING ? result : plain(op);
    }
    waiting = wait_for(request, op, context);
    result = tok_request_result(request, op->out, op->in_out_len, op->out_unproved);
    if (op->out_refusal != NULL) {
        *op->out_refusal = tok_request_refusal(request);
    }
    tok_request_leave(request); /* which waits for the callback to return, whose argument is `waiting` */
    wait_end(waiting, context);
    return result;
}

static struct tok_result run(const struct operation *op)
{
    ASYNC_JOB *job = ASYNC_get_current_job();

    return job == NULL ? plain(op) : in_job(op, job);
}

/* --- for the rooms ------------------------------------------------------------------------------------------------ */

struct tok_result prov_async_sign(struct prov_key *key, const struct prov_job *job, const CK_MECHANISM *mechanism,
                                  const uint8_t *in, size_t in_len, uint8_t *out, size_t *in_out_len,
                                  uint64_t *out_unproved)
{
    const struct operation op = {
        TOK_WORK_SIGN, key, job, mechanism, in, in_len, out, in_out_len, out_unproved, NULL,
    };

    return run(&op);
}

struct tok_result prov_async_decrypt(struct prov_key *key, const struct prov_job *job, const CK_MECHANISM *mechanism,
                                     const uint8_t *in, size_t in_len, uint8_t *out, size_t *in_out_len,
                                     CK_RV *out_refusal)
{
    const struct operation op = {
        TOK_WORK_DECRYPT, key, job, mechanism, in, in_len, out, in_out_len, NULL, out_refusal,
    };

    return run(&op);
}

struct tok_result prov_async_derive(struct prov_key *key, const struct prov_job *job, const CK_MECHANISM *mechanism,
                                    const uint8_t *in, size_t in_len, uint8_t *out, size_t *in_out_len)
{
    const struct operation op = {
        TOK_WORK_DERIVE, key, job, mechanism, in, in_len, out, in_out_len, NULL, NULL,
    };

    return run(&op);
}

void prov_async_ask_mechanisms(struct prov_key *key, const struct prov_job *job)
{
    const struct operation op = { .work = TOK_WORK_ASK, .key = key, .job = job };
    struct tok_result ignored = run(&op);

    (void)ignored;
}
