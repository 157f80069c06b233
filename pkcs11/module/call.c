#include "pkcs11/module/call.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include "base/fork.h"
#include "base/lock.h"
#include "base/trace.h"
#include "pkcs11/result/ckr.h"

/* The gate: how many threads are inside, and whether a fork wants them out. One word, so that entering is one atomic
 * addition when nobody forks. */
#define GATE_CLOSED 0x40000000u

static _Atomic unsigned gate;
static struct lock forking;   /* held by whoever forks, from the closing of the gate to its opening */
static struct lock gate_lock; /* for those who wait until the gate opens, or nobody is inside */
static _Atomic uint64_t gate_wait_us = 250 * 1000;
static _Thread_local unsigned depth; /* calls of this thread that are inside */

static _Thread_local _Atomic(const char *) inside;

static void gate_leave(void)
{
    if ((atomic_fetch_sub(&gate, 1) & GATE_CLOSED) != 0) {
        LOCKED(&gate_lock);
        lock_wake(&gate_lock);
    }
}

static void gate_enter(void)
{
    while ((atomic_fetch_add(&gate, 1) & GATE_CLOSED) != 0) {
        gate_leave(); /* who forks may have counted us */
        LOCKED(&gate_lock);
        while ((atomic_load(&gate) & GATE_CLOSED) != 0) {
            (void)lock_wait(&gate_lock, clock_us() + 100 * 1000);
        }
    }
}

/* A thread that forks from inside a module (a module that daemonises) must not wait for itself. Of two threads that
 * fork at once the first one's opening of the gate must not open it for the second one's fork, so one goes first. */
static void gate_close(void)
{
    lock_take(&forking);
    atomic_fetch_or(&gate, GATE_CLOSED);
    if (depth == 0) {
        uint64_t deadline = clock_us() + atomic_load(&gate_wait_us);
        LOCKED(&gate_lock);
        while ((atomic_load(&gate) & ~GATE_CLOSED) != 0 && lock_wait(&gate_lock, deadline)) {
        }
    }
}

static void gate_open(void)
{
    atomic_fetch_and(&gate, ~GATE_CLOSED);
    {
        LOCKED(&gate_lock);
        lock_wake(&gate_lock);
    }
    lock_give(&forking);
}

static void gate_anew(void)
{
    lock_init(&forking);
    lock_init(&gate_lock);
    atomic_store(&gate, depth > 0 ? 1 : 0); /* a thread counts once, however deep it is */
}

void tok_gate_init(void)
{
    lock_init(&forking);
    lock_init(&gate_lock);
    fork_handlers(FORK_GATE, gate_close, gate_open, gate_anew);
}

void tok_gate_set_wait(uint64_t wait_us)
{
    atomic_store(&gate_wait_us, wait_us);
}

bool tok_inside_module(void)
{
    return depth > 0;
}

tok_inside *tok_inside_here(void)
{
    return &inside;
}

const char *tok_inside_name(tok_inside *whose)
{
    const char *name = whose != NULL ? atomic_load_explicit(whose, memory_order_relaxed) : NULL;

    return name != NULL ? name : "no call";
}

/* What a thread's signal mask was before SIGPIPE was held. */
static _Thread_local struct {
    unsigned holds;
    bool blocked;
    sigset_t mask;
    bool was_pending;
} sigpipe;

static void sigpipe_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGPIPE);
}

/* Servers ignore the signal anyway: then one system call tells, in place of three. */
static bool sigpipe_ignored(void)
{
    struct sigaction now;

    return sigaction(SIGPIPE, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_IGN;
}

void tok_sigpipe_hold(void)
{
    sigset_t pipe_only;
    sigset_t pending;

    if (sigpipe.holds++ > 0) {
        return;
    }
    sigpipe.blocked = !sigpipe_ignored();
    if (!sigpipe.blocked) {
        return;
    }
    sigpipe_set(&pipe_only);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &sigpipe.mask);
    sigpipe.was_pending = false;
    if (sigismember(&sigpipe.mask, SIGPIPE) == 1) { /* only a signal that was blocked before can be pending */
        sigpending(&pending);
        sigpipe.was_pending = sigismember(&pending, SIGPIPE) == 1;
    }
}

/* What came while it was held is the module's; what was pending before is the application's and stays. */
void tok_sigpipe_release(void)
{
    const struct timespec now = { 0, 0 };
    sigset_t pipe_only;

    if (--sigpipe.holds > 0 || !sigpipe.blocked) {
        return;
    }
    if (!sigpipe.was_pending) {
        sigpipe_set(&pipe_only);
        while (sigtimedwait(&pipe_only, NULL, &now) == -1 && errno == EINTR) {
        }
    }
    pthread_sigmask(SIG_SETMASK, &sigpipe.mask, NULL);
}

bool tok_call_begin(struct tok_call *call, const char *function)
{
    if (process_exiting()) {
        return false;
    }
    if (depth == 0) {
        gate_enter();
    }
    depth++;
    atomic_store_explicit(&inside, function, memory_order_relaxed);
    call->function = function;
    call->began_us = trace_is_on(TRACE_CALLS) ? clock_us() : 0;
    tok_sigpipe_hold();
    return true;
}

void tok_call_end(struct tok_call *call, CK_RV rv)
{
    tok_sigpipe_release();
    depth--;
    atomic_store_explicit(&inside, NULL, memory_order_relaxed);
    if (depth == 0) {
        gate_leave();
    }
    if (call->began_us != 0) {
        trace(TRACE_CALLS, "calls: %s: %s in %llu us", call->function, tok_ckr(rv)->name,
              (unsigned long long)(clock_us() - call->began_us));
    }
}
