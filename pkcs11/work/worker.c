#include "pkcs11/work/worker.h"

#include <unistd.h>

#include "base/thread.h"
#include "base/trace.h"
#include "pkcs11/module/call.h"
#include "pkcs11/work/house.h"

#define IDLE_US (5 * 1000 * 1000) /* after so long a worker ends */

/* --- workers ------------------------------------------------------------------------------------------------------ */

/* Requires the lock. A worker has it from now on. */
void worker_take(struct tok_request *request)
{
    request->state = REQUEST_RUNNING;
    request->at_work = true;
    request->lane->busy++;
    house.num_busy++;
}

/* Requires the lock. It is not waited for any longer: another worker may take the place of the one who has it. */
void worker_write_off(struct tok_request *request)
{
    request->lane->busy--;
    house.num_workers--;
    trace(TRACE_KEY, "key: a worker in %s is written off", tok_inside_name(request->inside));
}

/* Requires the lock. */
static struct tok_request *queue_pop(void)
{
    struct tok_request *request = lanes_pop(&house.lanes);

    if (request != NULL) {
        worker_take(request);
    }
    return request;
}

static void *worker_run(void *unused);

/* Requires the lock. */
bool worker_start(void)
{
    if (house.num_workers >= house.lanes.most || !thread_start("signet-worker", worker_run, NULL)) {
        return false;
    }
    house.num_workers++;
    trace(TRACE_KEY, "key: %u workers", house.num_workers);
    return true;
}

/* Requires the lock. */
static void idle_remove(const struct worker *self)
{
    for (struct worker **link = &house.idle; *link != NULL; link = &(*link)->next_idle) {
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

    self->request = house.stopping ? NULL : queue_pop();
    if (self->request == NULL && !house.stopping) {
        self->next_idle = house.idle;
        house.idle = self;
        while (self->request == NULL && !house.stopping && lock_signal_wait(&self->given, &house.lock, until)) {
        }
        idle_remove(self);
    }
    request = self->request;
    self->request = NULL;
    if (house.lanes.num_queued > 0 && request != NULL && clock_us() - request->submitted_us > HOUSE_LATE_US) {
        (void)worker_start();
    }
    return request;
}

/* Requires the lock, and gives it away while it works. False if this worker was written off meanwhile. */
static bool worker_work(struct tok_request *request)
{
    bool in_time;

    request->inside = tok_inside_here();
    lock_give(&house.lock);
    request_carry_out(request);
    lock_take(&house.lock);
    request->inside = NULL;
    request->at_work = false;
    house.num_busy--;
    in_time = request->state == REQUEST_RUNNING;
    if (in_time) {
        request->lane->busy--;
        if (!request->had_to_queue) {
            lane_took(request->lane, clock_us() - request->submitted_us);
        }
        house_done(request);
    }
    house_changed();
    house_part_ends(request);
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
    lock_take(&house.lock);
    while (counted && (request = worker_wait(&self)) != NULL) {
        counted = worker_work(request);
    }
    if (counted) {
        house.num_workers--;
    }
    house_changed();
    exiting = house.stopping;
    lock_give(&house.lock);
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
    struct tok_request *request = house.requests;

    while (request != NULL) {
        bool open = !request->gone && (request->state == REQUEST_QUEUED || request->state == REQUEST_RUNNING);
        uint64_t late_us = request->deadline_us + HOUSE_GRACE_US;

        if (!open || now < late_us) {
            next = open && late_us < next ? late_us : next;
            request = request->next;
            continue;
        }
        if (request->state == REQUEST_RUNNING) {
            worker_write_off(request);
        }
        house_undone(request, REQUEST_LATE);
        next = UINT64_MAX;
        request = house.requests;
    }
    return next;
}

/* Requires the lock. To an idle worker, which is the one who was busy last. */
void worker_give(struct tok_request *request)
{
    struct worker *worker = house.idle;

    house.idle = worker->next_idle;
    worker->next_idle = NULL;
    worker->request = request;
    lock_signal_send(&worker->given);
}

/* Requires the lock. Requests that wait have workers again, where those that they waited for are written off. */
static void watch_replace(void)
{
    struct tok_request *request;

    while (house.idle != NULL && (request = queue_pop()) != NULL) {
        worker_give(request);
    }
    if (house.lanes.num_queued > 0 && house.idle == NULL) {
        (void)worker_start();
    }
}

static void *watch_run(void *unused)
{
    bool exiting;

    (void)unused;
    lock_take(&house.lock);
    while (!house.stopping) {
        uint64_t now = clock_us();
        uint64_t next = watch_look(now);

        watch_replace();
        if (next == UINT64_MAX && house.num_workers == 0 && house.lanes.num_queued == 0) {
            break;
        }
        house.watch_until = next < now + IDLE_US ? next : now + IDLE_US;
        (void)lock_signal_wait(&house.watch, &house.lock, house.watch_until);
    }
    house.watching = false;
    house_changed();
    exiting = house.stopping;
    lock_give(&house.lock);
    stay_if(exiting);
    return NULL;
}

/* Requires the lock. Without the watch a worker still reports its own deadline. */
void watch_for(const struct tok_request *request)
{
    if (!house.watching) {
        house.watch_until = 0;
        house.watching = thread_start("signet-watch", watch_run, NULL);
    } else if (request->deadline_us + HOUSE_GRACE_US < house.watch_until) {
        lock_signal_send(&house.watch);
    }
}
