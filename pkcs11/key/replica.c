#include "pkcs11/key/replica.h"

#include <stdlib.h>

#include "base/fork.h"
#include "base/trace.h"

void tok_replica_free(struct tok_replica *replica)
{
    if (replica != NULL) {
        tok_uri_free(replica->uri);
        free(replica);
    }
}

void tok_replicas_end(struct tok_replicas *all)
{
    for (unsigned i = 0; i < all->count; i++) {
        tok_replica_free(all->items[i]);
    }
    all->count = 0;
}

/* Those that `tokens` does not name come last. */
struct tok_replica *tok_replica_new(struct tok_token *token, const struct tok_settings *settings, struct tok_uri *uri,
                                    bool alone)
{
    struct tok_replica *replica = calloc(1, sizeof(*replica));
    const struct tok_named_token *named = settings->num_tokens > 0 ? tok_token_settings(token, settings) : NULL;

    if (replica == NULL) {
        tok_uri_free(uri);
        return NULL;
    }
    replica->token = token;
    replica->uri = uri;
    replica->alone = alone;
    replica->wish = named != NULL ? (size_t)(named - settings->tokens) : settings->num_tokens;
    return replica;
}

static bool may_enter(const struct tok_replicas *all, const struct tok_replica *replica)
{
    for (unsigned i = 0; i < all->count; i++) {
        if (all->items[i]->token == replica->token) {
            return false;
        }
    }
    if (all->count == TOK_MOST_REPLICAS) {
        trace(TRACE_KEY, "key: token '%s' is one replica too many", replica->token->label);
    }
    return all->count < TOK_MOST_REPLICAS;
}

bool tok_replicas_put(struct tok_replicas *all, struct tok_replica *replica)
{
    unsigned place = all->count;

    if (!may_enter(all, replica)) {
        tok_replica_free(replica);
        return false;
    }
    replica->bit = 1u << all->count;
    while (place > 0 && all->items[place - 1]->wish > replica->wish) {
        all->items[place] = all->items[place - 1];
        place--;
    }
    all->items[place] = replica;
    all->count++;
    return true;
}

/* May it be tried now, by this caller alone? Both reasons must allow it. Under the key's lock nobody else gets a trial
 * of the replica between the two looks at it. */
static bool is_on_trial(struct tok_replica *replica, uint64_t now_us)
{
    return tok_health_is_due(&replica->health, now_us) && tok_health_try(&replica->token->health, now_us) &&
           tok_health_try(&replica->health, now_us);
}

static enum tok_standing standing_of(struct tok_replica *replica, uint64_t now_us)
{
    struct tok_token *token = replica->token;

    if (!tok_health_works(&token->health) || !tok_health_works(&replica->health)) {
        return is_on_trial(replica, now_us) ? TOK_ON_TRIAL : TOK_LAST_RESORT;
    }
    return tok_health_is_stuck(&token->health, atomic_load_explicit(&token->in_flight, memory_order_relaxed),
                               atomic_load_explicit(&token->pool.served, memory_order_relaxed), now_us)
               ? TOK_LAST_RESORT
               : TOK_WORKS;
}

static bool is_better(const struct tok_replica *replica, enum tok_standing standing, const struct tok_flight *than)
{
    if (than->replica == NULL || standing != than->standing) {
        return than->replica == NULL || standing < than->standing;
    }
    return atomic_load_explicit(&replica->token->in_flight, memory_order_relaxed) <
           atomic_load_explicit(&than->replica->token->in_flight, memory_order_relaxed);
}

bool tok_flight_begin(struct tok_flight *flight, const struct tok_replicas *all, unsigned without, uint64_t now_us)
{
    flight->replica = NULL;
    flight->standing = TOK_WORKS;
    if (all->count == 1 && without == 0) {
        flight->replica = all->items[0];
    }
    for (unsigned i = 0; all->count > 1 && i < all->count; i++) {
        struct tok_replica *replica = all->items[i];
        enum tok_standing standing;

        if ((without & replica->bit) != 0) {
            continue;
        }
        standing = standing_of(replica, now_us);
        if (standing == TOK_ON_TRIAL || is_better(replica, standing, flight)) {
            flight->replica = replica;
            flight->standing = standing;
        }
        if (standing == TOK_ON_TRIAL) {
            break;
        }
    }
    if (flight->replica == NULL) {
        return false;
    }
    flight->generation = fork_generation();
    atomic_fetch_add_explicit(&flight->replica->token->in_flight, 1, memory_order_relaxed);
    return true;
}

/* In the child of a fork the count is another. A trial is over, whatever came of it: of what has served, that is told
 * next (key-run.c). */
void tok_flight_end(const struct tok_flight *flight)
{
    if (flight->standing == TOK_ON_TRIAL) {
        uint64_t now_us = clock_us();

        tok_health_failed(&flight->replica->health, now_us);
        tok_health_failed(&flight->replica->token->health, now_us);
    }
    if (flight->generation == fork_generation()) {
        atomic_fetch_sub_explicit(&flight->replica->token->in_flight, 1, memory_order_relaxed);
    }
}
