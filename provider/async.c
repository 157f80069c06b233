#include "provider/async.h"

#include <openssl/async.h>
#include <stdlib.h>

#include "base/trace.h"
#include "pkcs11/worker.h"

/* An operation, as its three callers give it. */
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
};

/* A job that waits. Not on its stack: it belongs to the wait context then, whose end tells that the job is abandoned.
 */
struct waiting {
    struct tok_request *request;
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
        return tok_key_decrypt(op->key->token, op->mechanism, op->in, op->in_len, op->out, op->in_out_len);
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

/* The connection was freed, and its job with it, as far as OpenSSL frees that. */
static void job_abandoned(ASYNC_WAIT_CTX *context, const void *key, OSSL_ASYNC_FD fd, void *vwaiting)
{
    struct waiting *waiting = vwaiting;

    (void)context;
    (void)key;
    (void)fd;
    trace(TRACE_KEY, "key: a job was abandoned");
    tok_request_leave(waiting->request);
    if (waiting->job.abandoned != NULL) {
        waiting->job.abandoned(waiting->job.arg);
    }
    free(waiting);
}

/* Registered with the wait context: the descriptor, which is there beside a callback, too, since its end is the only
 * sign of the job's. False if it can't be. */
static bool wait_begin(struct waiting **out_waiting, ASYNC_WAIT_CTX *context, struct tok_request *request,
                       const struct operation *op)
{
    struct waiting *waiting = calloc(1, sizeof(*waiting));
    int fd = tok_request_fd(request);

    if (waiting == NULL || context == NULL || fd < 0) {
        free(waiting);
        return false;
    }
    waiting->request = request;
    if (op->job != NULL) {
        waiting->job = *op->job;
    }
    if (ASYNC_WAIT_CTX_set_wait_fd(context, &wait_key, fd, waiting, job_abandoned) != 1) {
        free(waiting);
        return false;
    }
    if (ASYNC_WAIT_CTX_get_callback(context, &waiting->callback, &waiting->callback_arg) == 1 &&
        waiting->callback != NULL) {
        tok_request_on_done(request, callback_call, waiting);
    }
    *out_waiting = waiting;
    return true;
}

static void wait_end(struct waiting *waiting, ASYNC_WAIT_CTX *context)
{
    if (waiting != NULL) {
        (void)ASYNC_WAIT_CTX_clear_fd(context, &wait_key);
    }
}

/* ASYNC_pause_job also returns at once, as if it had paused, where the application has blocked that. A job that goes
 * on after a pause has a wait context in which nothing is new; ours is, until then. */
static bool has_paused(ASYNC_WAIT_CTX *context)
{
    size_t num_new = 0;
    size_t num_gone = 0;

    return ASYNC_WAIT_CTX_get_changed_fds(context, NULL, &num_new, NULL, &num_gone) == 1 && num_new == 0;
}

/* Applications may go on with a job that was not woken. */
static void wait_paused(struct tok_request *request, ASYNC_WAIT_CTX *context)
{
    while (!tok_request_done(request)) {
        if (ASYNC_pause_job() != 1 || !has_paused(context)) {
            tok_request_wait(request);
        }
    }
}

static struct tok_result in_job(const struct operation *op, ASYNC_JOB *job)
{
    ASYNC_WAIT_CTX *context = ASYNC_get_wait_ctx(job);
    struct waiting *waiting = NULL;
    struct tok_request *request = NULL;
    struct tok_result result;

    TOK_TRY(tok_request_new(&request, op->work, op->key->token, op->mechanism, op->in, op->in_len,
                            op->in_out_len != NULL ? *op->in_out_len : 0));
    if (op->key->prov->async && !wait_begin(&waiting, context, request, op)) {
        trace(TRACE_KEY, "key: a job can't pause, and its thread waits: there is no descriptor to be had");
    }
    result = tok_request_submit(request);
    if (!tok_ok(&result)) {
        wait_end(waiting, context);
        tok_request_leave(request);
        free(waiting);
        return result.code == TOK_CODE_EXITING ? result : plain(op);
    }
    if (waiting != NULL) {
        wait_paused(request, context);
    } else {
        tok_request_wait(request);
    }
    wait_end(waiting, context);
    result = tok_request_result(request, op->out, op->in_out_len, op->out_unproved);
    tok_request_leave(request); /* which waits for the callback to return, whose argument is `waiting` */
    free(waiting);
    return result;
}

static struct tok_result run(const struct operation *op)
{
    ASYNC_JOB *job = ASYNC_get_current_job();

    return job == NULL ? plain(op) : in_job(op, job);
}

/* --- for the rooms ------------------------------------------------------------------------------------------------ */

struct tok_result prov_token_sign(struct prov_key *key, const struct prov_job *job, const CK_MECHANISM *mechanism,
                                  const uint8_t *in, size_t in_len, uint8_t *out, size_t *in_out_len,
                                  uint64_t *out_unproved)
{
    const struct operation op = {
        TOK_WORK_SIGN, key, job, mechanism, in, in_len, out, in_out_len, out_unproved,
    };

    return run(&op);
}

struct tok_result prov_token_decrypt(struct prov_key *key, const struct prov_job *job, const CK_MECHANISM *mechanism,
                                     const uint8_t *in, size_t in_len, uint8_t *out, size_t *in_out_len)
{
    const struct operation op = {
        TOK_WORK_DECRYPT, key, job, mechanism, in, in_len, out, in_out_len, NULL,
    };

    return run(&op);
}

void prov_token_ask_mechanisms(struct prov_key *key, const struct prov_job *job)
{
    const struct operation op = { .work = TOK_WORK_ASK, .key = key, .job = job };
    struct tok_result ignored = run(&op);

    (void)ignored;
}
