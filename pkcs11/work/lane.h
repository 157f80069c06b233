/* The queue of requests: a lane for each token, so that one that hangs does not keep another's waiting.
 *
 * Lanes take turns, requests of one lane are in order, and no lane has more workers than its share. A lane stays as
 * long as the process, and knows how soon its token answers. Nothing here waits or locks: the lock of
 * pkcs11/work/crew.h is held, and guards all of it. */
#ifndef SIGNET_PKCS11_WORK_LANE_H
#define SIGNET_PKCS11_WORK_LANE_H

#include <stdint.h>

#include "pkcs11/work/request.h"

struct lane {
    struct lane *next;
    const struct tok_token *token; /* NULL: those for whom no token was looked for yet */
    struct tok_request *first, **last;
    unsigned busy;     /* workers */
    unsigned sessions; /* the token's; 0: not known */
    uint64_t usual_us; /* from a request to its result, of late, where a worker was free; 0: not known */
};

struct lanes {
    struct lane *first; /* the next one to be served first */
    unsigned num_queued;
    unsigned most; /* workers */
};

/* lane_of is that of the token, a new one at need. NULL without memory. */
struct lane *lane_of(struct lanes *lanes, const struct tok_token *token);
/* lane_has_place: may another worker be busy with this token? */
bool lane_has_place(const struct lanes *lanes, const struct lane *lane);
/* lane_took: a request that did not have to wait for a worker was served in so long. */
void lane_took(struct lane *lane, uint64_t us);

void lanes_push(struct lanes *lanes, struct tok_request *request);
/* lanes_pop is the request that is next, NULL if none may be served now. */
struct tok_request *lanes_pop(struct lanes *lanes);
/* lanes_waiting_since is when the oldest request came that a worker might serve now; UINT64_MAX if there is none. */
uint64_t lanes_waiting_since(const struct lanes *lanes);
/* lanes_remove: a request that is in the queue is not to be served. */
void lanes_remove(struct lanes *lanes, const struct tok_request *request);
/* lanes_forget: in the child of a fork nobody waits, and nobody works. */
void lanes_forget(struct lanes *lanes);

#endif
