#include "pkcs11/work/worker.h"

#include <unistd.h>

#include "base/thread.h"
#include "base/trace.h"
#include "pkcs11/module/call.h"
#include "pkcs11/work/crew.h"

#define IDLE_US (5 * 1000 * 1000) /* after so long a worker ends */

/* --- workers ------------------------------------------------------------------------------------------------------ */

/* Requires the lock. It is not waited for any longer: another worker may take the place of the one who has it. */
void worker_write_off(struct tok_request *request)
{
    request->lane->busy--;
    crew.num_workers--;
    trace(TRACE_KEY, "key: a worker in %s is written off", tok_inside_name(request->inside));
}

/* Requires the lock. A worker has it from now on. */
static struct tok_request *queue_pop(void)
{
    struct tok_request *request = lanes_pop(&crew.lanes);

    if (request != NULL) {
        request->state = REQUEST_RUNNING;
        request->at_work = true;
        request->lane->busy++;
        crew.num_busy++;
    }
    return request;
}

/* Requires the lock. To the worker who was busy last. */
void workers_feed(void)
{
    struct tok_request *request;

    while (crew.idle != NULL && (request = queue_pop()) != NULL) {
        struct worker *worker = crew.idle;

        crew.idle = worker->next_idle;
        worker->next_idle = NULL;
        worker->request = request;
        lock_signal_send(&worker->given);
    }
}

static void *worker_run(void *unused);

/* Requires the lock. */
bool worker_start(void)
{
    if (crew.num_workers >= crew.lanes.most || !thread_start("signet-worker", worker_run, NULL)) {
        return false;
    }
    crew.num_workers++;
    trace(TRACE_KEY, "key: %u workers", crew.num_workers);
    return true;
}

/* Requires the lock. Is nobody idle, and might there be more of us? */
static bool may_grow(void)
{
    return crew.idle == NULL && crew.num_workers < crew.lanes.most;
}

/* Requires the lock. Another worker, where a request that might be served has waited for so long. */
static void grow_after(uint64_t us)
{
    uint64_t since = may_grow() ? lanes_waiting_since(&crew.lanes) : UINT64_MAX;

    if (since != UINT64_MAX && clock_us() >= since + us) {
        (void)worker_start();
    }
}

/* Requires the lock. */
static void idle_remove(const struct worker *self)
{
    for (struct worker **link = &crew.idle; *link != NULL; link = &(*link)->next_idle) {
        if (*link == self) {
            *link = self->next_idle;
            return;
        }
    }
}

/* Requires the lock. The next request, of the queue or given by who submits it; NULL if none came for a while. */
static struct tok_request *worker_wait(struct worker *self)
{
    uint64_t until = clock_us() + IDLE_US;
    struct tok_request *request;

    self->request = crew.stopping ? NULL : queue_pop();
    if (self->request == NULL && !crew.stopping) {
        self->next_idle = crew.idle;
        crew.idle = self;
        while (self->request == NULL && !crew.stopping && lock_signal_wait(&self->given, &crew.lock, until)) {
        }
        idle_remove(self);
    }
    request = self->request;
    self->request = NULL;
    if (request != NULL) {
        grow_after(CREW_LATE_US);
    }
    return request;
}

/* Requires the lock, and gives it away while it works. False if this worker was written off meanwhile. */
static bool worker_work(struct tok_request *request)
{
    bool in_time;

    request->inside = tok_inside_here();
    lock_give(&crew.lock);
    request_carry_out(request);
    lock_take(&crew.lock);
    request->inside = NULL;
    request->at_work = false;
    crew.num_busy--;
    in_time = request->state == REQUEST_RUNNING;
    if (in_time) {
        request->lane->busy--;
        if (!request->had_to_queue) {
            lane_took(request->lane, clock_us() - request->submitted_us);
        }
        crew_done(request);
    }
    crew_changed();
    crew_part_ends(request);
    return in_time;
}

/* A thread that ends while the process exits would run libcrypto's handlers for threads beside those for the process,
 * which free what it needs. It stays instead, until the process is gone; no signal reaches it. Called without the lock.
 */
static void stay_if(bool exiting)
{
    while (exiting) {
        (void)pause();
    }
}

static void *worker_run(void *unused)
{
    struct worker self = { .request = NULL };
    struct tok_request *request;
    bool counted = true;
    bool exiting;

    (void)unused;
    lock_signal_init(&self.given);
    lock_take(&crew.lock);
    while (counted && (request = worker_wait(&self)) != NULL) {
        counted = worker_work(request);
    }
    if (counted) {
        crew.num_workers--;
    }
    crew_changed();
    exiting = crew.stopping;
    lock_give(&crew.lock);
    stay_if(exiting);
    lock_signal_end(&self.given);
    return NULL;
}

/* --- the watch ---------------------------------------------------------------------------------------------------- */

/* Requires the lock. Who is too late is told so, and when to look again. What it tells may give the lock away: then it
 * looks from the start. */
static uint64_t watch_look(uint64_t now)
{
    uint64_t next = UINT64_MAX;
    struct tok_request *request = crew.requests;

    while (request != NULL) {
        bool open = !request->gone && (request->state == REQUEST_QUEUED || request->state == REQUEST_RUNNING);
        uint64_t late_us = request->deadline_us + CREW_GRACE_US;

        if (!open || now < late_us) {
            next = open && late_us < next ? late_us : next;
            request = request->next;
            continue;
        }
        if (request->state == REQUEST_RUNNING) {
            worker_write_off(request);
        }
        crew_undone(request, REQUEST_LATE);
        next = UINT64_MAX;
        request = crew.requests;
    }
    return next;
}

/* Requires the lock. Requests that wait have workers again, where those that they waited for are written off or hang.
 * When to see to that next, if nobody else does so before. */
static uint64_t watch_replace(uint64_t now)
{
    uint64_t since;

    workers_feed();
    grow_after(CREW_WAITS_US);
    since = may_grow() ? lanes_waiting_since(&crew.lanes) : UINT64_MAX;
    if (since == UINT64_MAX) {
        return now + IDLE_US;
    }
    return (since > now - CREW_WAITS_US ? since : now) + CREW_WAITS_US;
}

static void *watch_run(void *unused)
{
    bool exiting;

    (void)unused;
    lock_take(&crew.lock);
    while (!crew.stopping) {
        uint64_t now = clock_us();
        uint64_t next = watch_look(now);
        uint64_t again = watch_replace(now);

        if (next == UINT64_MAX && crew.num_workers == 0 && crew.lanes.num_queued == 0) {
            break;
        }
        crew.watch_until = next < again ? next : again;
        (void)lock_signal_wait(&crew.watch, &crew.lock, crew.watch_until);
    }
    crew.watching = false;
    crew_changed();
    exiting = crew.stopping;
    lock_give(&crew.lock);
    stay_if(exiting);
    return NULL;
}

/* Requires the lock. Without the watch a worker still reports its own deadline. */
void watch_for(const struct tok_request *request)
{
    uint64_t until = request->deadline_us + CREW_GRACE_US;

    if (request->state == REQUEST_QUEUED && may_grow() && request->submitted_us + CREW_WAITS_US < until) {
        until = request->submitted_us + CREW_WAITS_US;
    }
    if (!crew.watching) {
        crew.watch_until = 0;
        crew.watching = thread_start("signet-watch", watch_run, NULL);
    } else if (until < crew.watch_until) {
        crew.watch_until = until;
        lock_signal_send(&crew.watch);
    }
}
