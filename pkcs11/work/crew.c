#include "pkcs11/work/crew.h"

#include <unistd.h>

#include "base/fork.h"

#define EXIT_US (250 * 1000) /* how long exit waits for calls that are inside a module */

struct crew crew;

/* --- in and out --------------------------------------------------------------------------------------------------- */

/* Requires the lock. */
void crew_add(struct tok_request *request)
{
    request->next = crew.requests;
    request->prev = &crew.requests;
    if (request->next != NULL) {
        request->next->prev = &request->next;
    }
    crew.requests = request;
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
void crew_part_ends(struct tok_request *request)
{
    if (--request->owners == 0) {
        list_remove(request);
        request_free(request);
    }
}

/* Requires the lock, and gives it away meanwhile: until somebody calls crew_changed, or the deadline. */
bool crew_wait(uint64_t deadline_us)
{
    bool in_time;

    crew.num_waiting++;
    in_time = lock_wait(&crew.lock, deadline_us);
    crew.num_waiting--;
    return in_time;
}

/* Requires the lock. */
void crew_changed(void)
{
    if (crew.num_waiting > 0) {
        lock_wake(&crew.lock);
    }
}

/* --- done --------------------------------------------------------------------------------------------------------- */

/* Requires the lock, and gives it away for the time of the function. Its maker waits with leaving meanwhile, since the
 * argument is his; but not for ever, should he hold what the function waits for. */
static void done_call(struct tok_request *request)
{
    request->owners++;
    request->waking = true;
    lock_give(&crew.lock);
    request->wake(request->wake_arg);
    lock_take(&crew.lock);
    request->waking = false;
    crew_changed();
    crew_part_ends(request);
}

/* Requires the lock. */
void crew_done(struct tok_request *request)
{
    request->state = REQUEST_DONE;
    atomic_store_explicit(&request->served, true, memory_order_release);
    if (request->left) {
        return;
    }
    if (request->bell != NULL) {
        tok_bell_ring(request->bell);
    }
    crew_changed();
    if (request->wake != NULL) {
        done_call(request);
    }
}

/* Requires the lock. Not served in time, or not at all any more. */
void crew_undone(struct tok_request *request, enum request_end why)
{
    if (request->state == REQUEST_QUEUED) {
        lanes_remove(&crew.lanes, request);
        request->owners--; /* the worker's part, whoever that had been; the maker has his */
    }
    request->end = why;
    request->inside_name = tok_inside_name(request->inside);
    crew_done(request);
}

/* --- ends --------------------------------------------------------------------------------------------------------- */

/* Exit has begun: a call that is inside a module has a while to end, before the module's own exit handlers run. */
static void crew_stop(void)
{
    uint64_t until = clock_us() + EXIT_US;

    LOCKED(&crew.lock);
    crew.stopping = true;
    for (struct worker *worker = crew.idle; worker != NULL; worker = worker->next_idle) {
        lock_signal_send(&worker->given);
    }
    lock_signal_send(&crew.watch);
    while ((crew.num_busy > 0 || crew.num_workers > 0 || crew.watching) && crew_wait(until)) {
    }
}

/* Requires the lock. Is a worker at work under these settings? Who waits in the queue is told that it is over. */
static bool at_work(const struct tok_settings *settings)
{
    struct tok_request *request = crew.requests;
    bool found = false;

    while (request != NULL) {
        if (tok_key_settings(request->key) == settings && request->state == REQUEST_QUEUED && !request->gone) {
            crew_undone(request, REQUEST_LEFT);
            request = crew.requests; /* telling it may have given the lock away */
            continue;
        }
        found = found || (tok_key_settings(request->key) == settings && request->at_work);
        request = request->next;
    }
    return found;
}

bool tok_workers_leave(const struct tok_settings *settings)
{
    uint64_t until = process_exiting() ? 0 : clock_us() + CREW_LEAVE_US; /* at exit there was a wait before */

    crew_ready();
    LOCKED(&crew.lock);
    while (at_work(settings)) {
        if (!crew_wait(until)) {
            return false;
        }
    }
    return true;
}

/* --- forks, and the beginning ------------------------------------------------------------------------------------- */

static void crew_anew(void)
{
    lock_signal_init(&crew.watch);
    for (struct tok_request *request = crew.requests; request != NULL; request = request->next) {
        request->gone = request->state != REQUEST_NEW;
        request->owners = 1; /* the maker; where he left, it is forgotten */
        request->at_work = false;
    }
    lanes_forget(&crew.lanes);
    crew.idle = NULL;
    crew.num_workers = crew.num_busy = crew.num_waiting = 0;
    crew.watching = false;
}

static void crew_begin(void)
{
    lock_signal_init(&crew.watch);
    crew.many_cpus = sysconf(_SC_NPROCESSORS_ONLN) > 1;
    fork_lock(FORK_CREW, &crew.lock, crew_anew);
    process_at_exit(crew_stop);
}

void crew_ready(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, crew_begin);
}
