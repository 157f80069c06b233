#include "pkcs11/work/lane.h"

#include <stdlib.h>

#define OF_LATE 4 /* requests whose time counts, about */

struct lane *lane_of(struct lanes *lanes, const struct tok_token *token)
{
    struct lane *lane = lanes->first;

    while (lane != NULL && lane->token != token) {
        lane = lane->next;
    }
    if (lane == NULL) {
        lane = calloc(1, sizeof(*lane));
        if (lane != NULL) {
            lane->token = token;
            lane->last = &lane->first;
            lane->next = lanes->first;
            lanes->first = lane;
        }
    }
    return lane;
}

/* One token may have all workers only where there is no other: a quarter, or one, is left for those. */
static unsigned lane_share(const struct lanes *lanes, const struct lane *lane)
{
    unsigned left = lanes->most < 4 ? lanes->most > 1 : lanes->most / 4;
    unsigned share = lanes->first->next == NULL ? lanes->most : lanes->most - left;

    return lane->sessions != 0 && lane->sessions < share ? lane->sessions : share;
}

bool lane_has_place(const struct lanes *lanes, const struct lane *lane)
{
    return lane->busy < lane_share(lanes, lane);
}

void lane_took(struct lane *lane, uint64_t us)
{
    lane->usual_us = lane->usual_us == 0 ? us : (lane->usual_us * (OF_LATE - 1) + us) / OF_LATE;
}

void lanes_push(struct lanes *lanes, struct tok_request *request)
{
    request->next_queued = NULL;
    *request->lane->last = request;
    request->lane->last = &request->next_queued;
    lanes->num_queued++;
}

/* The lane at `link` has had its turn. */
static void go_last(struct lane **link)
{
    struct lane *lane = *link;

    *link = lane->next;
    while (*link != NULL) {
        link = &(*link)->next;
    }
    *link = lane;
    lane->next = NULL;
}

struct tok_request *lanes_pop(struct lanes *lanes)
{
    for (struct lane **link = &lanes->first; *link != NULL; link = &(*link)->next) {
        struct tok_request *request = (*link)->first;

        if (request != NULL && lane_has_place(lanes, *link)) {
            lanes_remove(lanes, request);
            go_last(link);
            return request;
        }
    }
    return NULL;
}

uint64_t lanes_waiting_since(const struct lanes *lanes)
{
    uint64_t since = UINT64_MAX;

    for (const struct lane *lane = lanes->first; lane != NULL; lane = lane->next) {
        if (lane->first != NULL && lane->first->submitted_us < since && lane_has_place(lanes, lane)) {
            since = lane->first->submitted_us;
        }
    }
    return since;
}

void lanes_remove(struct lanes *lanes, const struct tok_request *request)
{
    struct tok_request **link = &request->lane->first;

    while (*link != request) {
        link = &(*link)->next_queued;
    }
    *link = request->next_queued;
    if (*link == NULL) {
        request->lane->last = link;
    }
    lanes->num_queued--;
}

void lanes_forget(struct lanes *lanes)
{
    for (struct lane *lane = lanes->first; lane != NULL; lane = lane->next) {
        lane->first = NULL;
        lane->last = &lane->first;
        lane->busy = 0;
    }
    lanes->num_queued = 0;
}
