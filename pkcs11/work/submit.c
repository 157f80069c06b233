/* The part of pkcs11/work/worker.h for who makes requests: handing them over, and hearing of their end. */
#include "base/fork.h"
#include "pkcs11/work/crew.h"

#define MOST_WORKERS 64 /* unless the setting says otherwise */
#define SOON_US 1000    /* a job may look for a result that is usually there by then, instead of pausing */
#define CROWD 64        /* requests made alone after which nobody else is expected */
#define PROBE 16        /* one of so many pauses in any case: others show only then */

struct tok_result tok_request_new(struct tok_request **out_request, enum tok_work work, struct tok_key *key,
                                  const CK_MECHANISM *mechanism, const uint8_t *in, size_t in_len, size_t room)
{
    TOK_TRY(request_make(out_request, work, key, mechanism, in, in_len, room));
    crew_ready();
    LOCKED(&crew.lock);
    crew_add(*out_request);
    return tok_good();
}

/* Requires the lock. Does the request, which is in the queue, need another worker at once? The first one of a token for
 * which nobody works does: those who are busy may all hang in another token. */
static bool wants_worker(const struct tok_request *request, bool nobody_works)
{
    return crew.idle == NULL && lane_has_place(&crew.lanes, request->lane) &&
           (crew.num_workers < 2 || nobody_works ||
            request->submitted_us - request->lane->first->submitted_us > CREW_LATE_US);
}

/* Requires the lock. To an idle worker, or to the end of the queue. False if there will be no worker to come. */
static bool hand_over(struct tok_request *request)
{
    bool nobody_works = request->lane->first == NULL && request->lane->busy == 0;

    request->state = REQUEST_QUEUED;
    lanes_push(&crew.lanes, request);
    workers_feed();
    request->had_to_queue = request->state == REQUEST_QUEUED;
    if (request->had_to_queue && wants_worker(request, nobody_works) && !worker_start() && crew.num_workers == 0) {
        lanes_remove(&crew.lanes, request);
        request->state = REQUEST_NEW;
        return false;
    }
    return true;
}

/* Requires the lock. Until when a job may look for this request's end: not where other jobs have requests, since their
 * thread has better things to do. Jobs that never paused would never meet, so that one of some does in any case. */
static uint64_t soon(const struct tok_request *request)
{
    bool alone = crew.requests == request && request->next == NULL;

    if (!alone) {
        crew.crowd = CROWD;
        return 0;
    }
    if (crew.crowd > 0) {
        crew.crowd--;
        return 0;
    }
    if (++crew.probe % PROBE == 0 || request->had_to_queue || request->lane->usual_us == 0 ||
        request->lane->usual_us > SOON_US || !crew.many_cpus) {
        return 0;
    }
    return request->submitted_us + 2 * request->lane->usual_us;
}

struct tok_result tok_request_submit(struct tok_request *request)
{
    const struct tok_settings *settings = tok_key_settings(request->key);
    unsigned sessions;
    const struct tok_token *token = tok_key_where(request->key, &sessions);

    LOCKED(&crew.lock);
    if (crew.stopping || process_exiting()) {
        return tok_fail(TOK_CODE_EXITING, "the process is exiting");
    }
    request->lane = lane_of(&crew.lanes, token);
    if (request->lane == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a request");
    }
    request->lane->sessions = sessions;
    crew.lanes.most = settings->workers != 0 ? settings->workers : MOST_WORKERS;
    request->submitted_us = clock_us();
    request->deadline_us = request->submitted_us + settings->deadline_us;
    if (!hand_over(request)) {
        return tok_fail(TOK_CODE_NO_MEMORY, "the system has no thread to spare");
    }
    request->owners++;
    request->soon_us = soon(request);
    watch_for(request);
    return tok_good();
}

bool tok_request_soon(struct tok_request *request)
{
    while (!atomic_load_explicit(&request->served, memory_order_acquire)) {
        if (request->soon_us == 0 || clock_us() >= request->soon_us) {
            return false;
        }
    }
    return true;
}

bool tok_request_on_done(struct tok_request *request, struct tok_bell *bell, void (*wake)(void *arg), void *arg)
{
    LOCKED(&crew.lock);
    if (request->gone || request->state == REQUEST_DONE) {
        return false;
    }
    request->bell = bell;
    request->wake = wake;
    request->wake_arg = arg;
    return true;
}

bool tok_request_done(struct tok_request *request)
{
    LOCKED(&crew.lock);
    return request->gone || request->state == REQUEST_DONE;
}

void tok_request_wait(struct tok_request *request)
{
    LOCKED(&crew.lock);
    while (!request->gone && (request->state == REQUEST_QUEUED || request->state == REQUEST_RUNNING)) {
        uint64_t late_us = request->deadline_us + 2 * CREW_GRACE_US;

        (void)crew_wait(late_us);
        if (clock_us() < late_us || request->state == REQUEST_DONE) {
            continue;
        }
        if (request->state == REQUEST_RUNNING) { /* and there is no watch */
            worker_write_off(request);
            workers_feed();
        }
        crew_undone(request, REQUEST_LATE);
    }
}

void tok_request_leave(struct tok_request *request)
{
    uint64_t until = 0;

    LOCKED(&crew.lock);
    while (request->waking && !request->gone) {
        until = until != 0 ? until : clock_us() + CREW_LEAVE_US;
        if (!crew_wait(until)) {
            break;
        }
    }
    request->left = true;
    if (request->state == REQUEST_QUEUED && !request->gone) {
        crew_undone(request, REQUEST_LEFT);
    }
    crew_part_ends(request);
}

void tok_request_end(struct tok_request **request)
{
    if (*request != NULL) {
        tok_request_leave(*request);
    }
}
