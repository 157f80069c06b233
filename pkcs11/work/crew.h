/* What requests, workers and their watch have in common: one state for the process, behind one lock.
 *
 * submit.c makes requests, worker.c carries them out; here a request ends, whichever way, and here fork and exit are
 * handled. For these two; everybody else goes through pkcs11/work/worker.h. */
#ifndef SIGNET_PKCS11_WORK_CREW_H
#define SIGNET_PKCS11_WORK_CREW_H

#include "base/lock.h"
#include "pkcs11/work/lane.h"
#include "pkcs11/work/request.h"

#define CREW_LATE_US (1 * 1000)     /* once a request has waited so long, a worker that takes one starts another, */
#define CREW_WAITS_US (10 * 1000)   /* and after so long the watch does */
#define CREW_GRACE_US (100 * 1000)  /* for the worker to report the passed deadline itself: its error says more */
#define CREW_LEAVE_US (1000 * 1000) /* how long the end of an instance of the provider waits for calls */

struct worker { /* on its own stack */
    struct lock_signal given;
    struct tok_request *request;
    struct worker *next_idle;
};

/* The lock guards all of this, and what request.h says; its own condition is for whoever waits for an end. Functions
 * below require it, but for crew_ready. */
struct crew {
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
};
extern struct crew crew;

/* crew_ready makes all of this, once; without the lock. */
void crew_ready(void);
/* crew_wait gives the lock away until somebody calls crew_changed, or the deadline. */
bool crew_wait(uint64_t deadline_us);
void crew_changed(void);

void crew_add(struct tok_request *request);
/* crew_part_ends drops one owner's part in the request. */
void crew_part_ends(struct tok_request *request);
/* crew_done wakes those who wait for the request. It may give the lock away meanwhile. */
void crew_done(struct tok_request *request);
/* crew_undone is the same for one that was not served in time, or will not be at all. */
void crew_undone(struct tok_request *request, enum request_end why);

/* worker.c's. worker_start: false if there is no thread to be had. */
bool worker_start(void);
/* workers_feed: no request that may be served is left beside an idle worker. */
void workers_feed(void);
/* worker_write_off gives up the worker that has this request: another one may take its place. */
void worker_write_off(struct tok_request *request);
/* watch_for has the watch end the request at its deadline and start workers beside those that hang. Without the watch a
 * worker still reports its own deadline. */
void watch_for(const struct tok_request *request);

#endif
