#include "pkcs11/work/house.h"

#include <unistd.h>

#include "base/fork.h"

#define EXIT_US (250 * 1000) /* how long exit waits for calls that are inside a module */

struct house house;

/* --- in and out --------------------------------------------------------------------------------------------------- */

/* Requires the lock. */
void house_add(struct tok_request *request)
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
void house_part_ends(struct tok_request *request)
{
    if (--request->owners == 0) {
        list_remove(request);
        request_free(request);
    }
}

/* Requires the lock, and gives it away meanwhile: until somebody calls house_changed, or the deadline. */
bool house_wait(uint64_t deadline_us)
{
    bool in_time;

    house.num_waiting++;
    in_time = lock_wait(&house.lock, deadline_us);
    house.num_waiting--;
    return in_time;
}

/* Requires the lock. */
void house_changed(void)
{
    if (house.num_waiting > 0) {
        lock_wake(&house.lock);
    }
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
    house_changed();
    house_part_ends(request);
}

/* Requires the lock. */
void house_done(struct tok_request *request)
{
    request->state = REQUEST_DONE;
    atomic_store_explicit(&request->served, true, memory_order_release);
    if (request->left) {
        return;
    }
    if (request->bell != NULL) {
        tok_bell_ring(request->bell);
    }
    house_changed();
    if (request->wake != NULL) {
        done_call(request);
    }
}

/* Requires the lock. Not served in time, or not at all any more. */
void house_undone(struct tok_request *request, enum request_end why)
{
    if (request->state == REQUEST_QUEUED) {
        lanes_remove(&house.lanes, request);
        request->owners--; /* the worker's part, whoever that had been; the maker has his */
    }
    request->end = why;
    request->inside_name = tok_inside_name(request->inside);
    house_done(request);
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
    while ((house.num_busy > 0 || house.num_workers > 0 || house.watching) && house_wait(until)) {
    }
}

/* Requires the lock. Is a worker at work under these settings? Who waits in the queue is told that it is over. */
static bool at_work(const struct tok_settings *settings)
{
    struct tok_request *request = house.requests;
    bool found = false;

    while (request != NULL) {
        if (tok_key_settings(request->key) == settings && request->state == REQUEST_QUEUED && !request->gone) {
            house_undone(request, REQUEST_LEFT);
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
    uint64_t until = process_exiting() ? 0 : clock_us() + HOUSE_LEAVE_US; /* at exit there was a wait before */

    house_ready();
    LOCKED(&house.lock);
    while (at_work(settings)) {
        if (!house_wait(until)) {
            return false;
        }
    }
    return true;
}

/* --- forks, and the beginning ------------------------------------------------------------------------------------- */

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

static void house_begin(void)
{
    lock_init(&house.lock);
    lock_signal_init(&house.watch);
    house.many_cpus = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    fork_handlers(house_prepare, house_parent, house_anew);
    process_at_exit(house_stop);
}

void house_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, house_begin);
}
