#include "pkcs11/worker.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/lock.h"
#include "base/thread.h"
#include "base/trace.h"
#include "pkcs11/call.h"
#include "pkcs11/lane.h"
#include "pkcs11/request.h"

#define MOST_WORKERS 64           /* unless the setting says otherwise */
#define IDLE_US (5 * 1000 * 1000) /* after so long a worker ends */
#define SOON_US 1000              /* a job may look for a result that is usually there by then, instead of pausing */
#define CROWD 64                  /* requests made alone after which nobody else is expected */
#define PROBE 16                  /* one of so many pauses in any case: others show only then */
#define LATE_US (1 * 1000)        /* a request that waits for so long wants another worker */
#define GRACE_US (100 * 1000)     /* for the worker's own report of a passed deadline, which knows more */
#define EXIT_US (250 * 1000)      /* how long exit waits for calls that are inside a module */
#define LEAVE_US (1000 * 1000)    /* and the end of an instance of the provider */

struct worker { /* on its own stack */
    struct lock_signal given;
    struct tok_request *request;
    struct worker *next_idle;
};

/* The lock guards all of this, and what request.h says; its own condition is for whoever waits for an end. */
static struct {
    struct lock lock;
    struct lock_signal watch;
    struct tok_request *requests; /* all there are */
    struct lanes lanes;           /* those that are queued. Its limit is as the latest request has it */
    struct worker *idle;          /* who was busy last is first */
    unsigned num_workers;         /* without those that are written off, */
    unsigned num_busy;            /* but here with them */
    unsigned num_waiting;         /* on the lock's own condition */
    unsigned crowd;               /* so many of the next requests are not expected to be alone */
    unsigned probe;
    bool many_cpus; /* constant */
    bool watching;
    uint64_t watch_until;
    bool stopping;
} house;

/* --- in and out --------------------------------------------------------------------------------------------------- */

/* Requires the lock. */
static void list_add(struct tok_request *request)
{
    request->next = house.requests;
    request->prev = &house.requests;
    if (request->next != NULL) {
        request->next->prev = &request->next;
    }
    house.requests = request;
}

/* Requires the lock. */
static void list_remove(struct tok_request *request)
{
    *request->prev = request->next;
    if (request->next != NULL) {
        request->next->prev = request->prev;
    }
}

/* Requires the lock. An owner less. */
static void part_ends(struct tok_request *request)
{
    if (--request->owners == 0) {
        list_remove(request);
        request_free(request);
    }
}

/* Requires the lock, and gives it away meanwhile: until somebody calls something_changed, or the deadline. */
static bool wait_for_change(uint64_t deadline_us)
{
    bool in_time;

    house.num_waiting++;
    in_time = lock_wait(&house.lock, deadline_us);
    house.num_waiting--;
    return in_time;
}

/* Requires the lock. */
static void something_changed(void)
{
    if (house.num_waiting > 0) {
        lock_wake(&house.lock);
    }
}

static void house_prepare(void)
{
    lock_take(&house.lock);
}

static void house_parent(void)
{
    lock_give(&house.lock);
}

static void house_anew(void)
{
    lock_init(&house.lock);
    lock_signal_init(&house.watch);
    for (struct tok_request *request = house.requests; request != NULL; request = request->next) {
        request->gone = request->state != REQUEST_NEW;
        request->owners = 1; /* the maker; where he left, it is forgotten */
        request->at_work = false;
    }
    lanes_forget(&house.lanes);
    house.idle = NULL;
    house.num_workers = house.num_busy = 0;
    house.watching = false;
}

static void house_stop(void);

static void house_begin(void)
{
    lock_init(&house.lock);
    lock_signal_init(&house.watch);
    house.many_cpus = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    fork_handlers(house_prepare, house_parent, house_anew);
    process_at_exit(house_stop);
}

static void house_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, house_begin);
}

/* --- done --------------------------------------------------------------------------------------------------------- */

/* Requires the lock, and gives it away for the time of the function. Its maker waits with leaving meanwhile, since the
 * argument is his; but not for ever, should he hold what the function waits for. */
static void done_call(struct tok_request *request)
{
    request->owners++;
    request->waking = true;
    lock_give(&house.lock);
    request->wake(request->wake_arg);
    lock_take(&house.lock);
    request->waking = false;
    something_changed();
    part_ends(request);
}

/* Requires the lock. */
static void done_tell(struct tok_request *request)
{
    request->state = REQUEST_DONE;
    atomic_store_explicit(&request->served, true, memory_order_release);
    if (request->left) {
        return;
    }
    if (request->bell != NULL) {
        tok_bell_ring(request->bell);
    }
    something_changed();
    if (request->wake != NULL) {
        done_call(request);
    }
}

/* Requires the lock. Not served in time, or not at all any more. */
static void done_undone(struct tok_request *request, enum request_end why)
{
    if (request->state == REQUEST_QUEUED) {
        lanes_remove(&house.lanes, request);
        request->owners--; /* the worker's part, whoever that had been; the maker has his */
    }
    request->end = why;
    request->inside_name = tok_inside_name(request->inside);
    done_tell(request);
}

/* --- workers ------------------------------------------------------------------------------------------------------ */

/* Requires the lock. A worker has it from now on. */
static void take(struct tok_request *request)
{
    request->state = REQUEST_RUNNING;
    request->at_work = true;
    request->lane->busy++;
    house.num_busy++;
}

/* Requires the lock. It is not waited for any longer: another worker may take the place of the one who has it. */
static void write_off(struct tok_request *request)
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
        take(request);
    }
    return request;
}

static void *worker_run(void *unused);

/* Requires the lock. */
static bool worker_start(void)
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
    if (house.lanes.num_queued > 0 && request != NULL && clock_us() - request->submitted_us > LATE_US) {
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
        done_tell(request);
    }
    something_changed();
    part_ends(request);
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
    something_changed();
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
        uint64_t late_us = request->deadline_us + GRACE_US;

        if (!open || now < late_us) {
            next = open && late_us < next ? late_us : next;
            request = request->next;
            continue;
        }
        if (request->state == REQUEST_RUNNING) {
            write_off(request);
        }
        done_undone(request, REQUEST_LATE);
        next = UINT64_MAX;
        request = house.requests;
    }
    return next;
}

/* Requires the lock. To an idle worker, which is the one who was busy last. */
static void give(struct tok_request *request)
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
        give(request);
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
    something_changed();
    exiting = house.stopping;
    lock_give(&house.lock);
    stay_if(exiting);
    return NULL;
}

/* Requires the lock. Without the watch a worker still reports its own deadline. */
static void watch_for(const struct tok_request *request)
{
    if (!house.watching) {
        house.watch_until = 0;
        house.watching = thread_start("signet-watch", watch_run, NULL);
    } else if (request->deadline_us + GRACE_US < house.watch_until) {
        lock_signal_send(&house.watch);
    }
}

/* --- for who makes requests --------------------------------------------------------------------------------------- */

void request_enter(struct tok_request *request)
{
    house_ready();
    LOCKED(&house.lock);
    list_add(request);
}

/* Requires the lock. To an idle worker, or to the end of the queue. False if there will be no worker to come. */
static bool hand_over(struct tok_request *request)
{
    struct lane *lane = request->lane;
    const struct tok_request *oldest = lane->first != NULL ? lane->first : request;

    if (house.idle != NULL && lane->first == NULL && lane_has_place(&house.lanes, lane)) {
        take(request);
        give(request);
        return true;
    }
    if (house.idle == NULL && (house.num_workers < 2 || request->submitted_us - oldest->submitted_us > LATE_US) &&
        !worker_start() && house.num_workers == 0) {
        return false;
    }
    request->state = REQUEST_QUEUED;
    request->had_to_queue = true;
    lanes_push(&house.lanes, request);
    return true;
}

/* Requires the lock. Until when a job may look for this request's end: not where other jobs have requests, since their
 * thread has better things to do. Jobs that never paused would never meet, so that one of some does in any case. */
static uint64_t soon(const struct tok_request *request)
{
    bool alone = house.requests == request && request->next == NULL;

    if (!alone) {
        house.crowd = CROWD;
        return 0;
    }
    if (house.crowd > 0) {
        house.crowd--;
        return 0;
    }
    if (++house.probe % PROBE == 0 || request->had_to_queue || request->lane->usual_us == 0 ||
        request->lane->usual_us > SOON_US || !house.many_cpus) {
        return 0;
    }
    return request->submitted_us + 2 * request->lane->usual_us;
}

struct tok_result tok_request_submit(struct tok_request *request)
{
    const struct tok_settings *settings = tok_key_settings(request->key);
    unsigned sessions;
    const struct tok_token *token = tok_key_where(request->key, &sessions);

    LOCKED(&house.lock);
    if (house.stopping || process_exiting()) {
        return tok_fail(TOK_CODE_EXITING, "the process is exiting");
    }
    request->lane = lane_of(&house.lanes, token);
    if (request->lane == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a request");
    }
    request->lane->sessions = sessions;
    house.lanes.most = settings->workers != 0 ? settings->workers : MOST_WORKERS;
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
    LOCKED(&house.lock);
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
    LOCKED(&house.lock);
    return request->gone || request->state == REQUEST_DONE;
}

void tok_request_wait(struct tok_request *request)
{
    LOCKED(&house.lock);
    while (!request->gone && (request->state == REQUEST_QUEUED || request->state == REQUEST_RUNNING)) {
        uint64_t late_us = request->deadline_us + 2 * GRACE_US;

        (void)wait_for_change(late_us);
        if (clock_us() < late_us || request->state == REQUEST_DONE) {
            continue;
        }
        if (request->state == REQUEST_RUNNING) { /* and there is no watch */
            write_off(request);
        }
        done_undone(request, REQUEST_LATE);
    }
}

void tok_request_leave(struct tok_request *request)
{
    uint64_t until = 0;

    LOCKED(&house.lock);
    while (request->waking && !request->gone) {
        until = until != 0 ? until : clock_us() + LEAVE_US;
        if (!wait_for_change(until)) {
            break;
        }
    }
    request->left = true;
    if (request->state == REQUEST_QUEUED && !request->gone) {
        done_undone(request, REQUEST_LEFT);
    }
    part_ends(request);
}

void tok_request_end(struct tok_request **request)
{
    if (*request != NULL) {
        tok_request_leave(*request);
    }
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

/* Exit has begun: a call that is inside a module has a while to end, before the module's own exit handlers run. */
static void house_stop(void)
{
    uint64_t until = clock_us() + EXIT_US;

    LOCKED(&house.lock);
    house.stopping = true;
    for (struct worker *worker = house.idle; worker != NULL; worker = worker->next_idle) {
        lock_signal_send(&worker->given);
    }
    lock_signal_send(&house.watch);
    while ((house.num_busy > 0 || house.num_workers > 0 || house.watching) && wait_for_change(until)) {
    }
}

/* Requires the lock. Is a worker at work under these settings? Who waits in the queue is told that it is over. */
static bool at_work(const struct tok_settings *settings)
{
    struct tok_request *request = house.requests;
    bool found = false;

    while (request != NULL) {
        if (tok_key_settings(request->key) == settings && request->state == REQUEST_QUEUED && !request->gone) {
            done_undone(request, REQUEST_LEFT);
            request = house.requests; /* telling it may have given the lock away */
            continue;
        }
        found = found || (tok_key_settings(request->key) == settings && request->at_work);
        request = request->next;
    }
    return found;
}

bool tok_workers_leave(const struct tok_settings *settings)
{
    uint64_t until = process_exiting() ? 0 : clock_us() + LEAVE_US; /* at exit there was a wait before */

    house_ready();
    LOCKED(&house.lock);
    while (at_work(settings)) {
        if (!wait_for_change(until)) {
            return false;
        }
    }
    return true;
}
