/* Replicas: the tokens that hold one key, and which of them serves next.
 *
 * A key has an ordered list of them, for most keys a list of one. An operation goes to the one that works and has the
 * fewest operations in flight; where that is equal, to the first in the order of the setting `tokens`. A replica that
 * failed while another one served is set aside (pkcs11/module/health.h): it is asked when nothing else is left, and by
 * one operation after each pause, which moves on if it fails. A token that has served nobody for a second while calls
 * are inside counts as not working, too.
 *
 * For pkcs11/key/key.c and key-run.c. The list and what is not constant are guarded by the key's lock. */
#ifndef SIGNET_PKCS11_KEY_REPLICA_H
#define SIGNET_PKCS11_KEY_REPLICA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pkcs11/module/health.h"
#include "pkcs11/config/settings.h"
#include "pkcs11/token/token.h"

#define TOK_MOST_REPLICAS 16

struct tok_replica {
    struct tok_token *token;  /* constant, like all up to `health` */
    struct tok_uri *uri;      /* of the object there; NULL: the key's; owned */
    bool alone;               /* the one token that was meant, so that a PIN of the URI is meant for it */
    bool renamed;             /* found by the key's public half: `uri` is a stranger's, and all that it has */
    size_t wish;              /* its place in the setting `tokens` */
    unsigned bit;             /* of its own, for sets of replicas; once it is in a list */
    struct tok_health health; /* for reasons of the key on this token; those of the token are with the token */

    _Atomic bool no_messages; /* it does not sign messages (pkcs11/token/message.h), or not by its mechanism */

    CK_OBJECT_HANDLE handle;
    uint64_t objects; /* the token's count when the handle was found; 0: no handle */
    _Atomic uint64_t sought; /* the count when the key was looked for by its half in vain; 0: never */
    uint64_t missing; /* the count when it was looked for in vain after a login; 0: never */
    _Atomic bool always_authenticate;
    uint64_t unproved; /* a mark while the object may be another key; 0: proved */
};

struct tok_replicas {
    struct tok_replica *items[TOK_MOST_REPLICAS];
    unsigned count;
};

void tok_replicas_end(struct tok_replicas *all);
/* tok_replica_new makes one; NULL without memory. `uri` moves into it, in any case. */
struct tok_replica *tok_replica_new(struct tok_token *token, const struct tok_settings *settings, struct tok_uri *uri,
                                    bool alone);
void tok_replica_free(struct tok_replica *replica);
/* tok_replicas_put takes it over, in the order of `tokens`. False, and it is freed, where its token is there already or
 * there are too many. Requires the key's lock. */
bool tok_replicas_put(struct tok_replicas *all, struct tok_replica *replica);

enum tok_standing { TOK_WORKS, TOK_ON_TRIAL, TOK_LAST_RESORT };

/* An operation on its way: counted with its token from tok_flight_begin to tok_flight_end. */
struct tok_flight {
    struct tok_replica *replica;
    enum tok_standing standing;
    unsigned generation;
};

/* tok_flight_begin chooses, among those whose bits are not in `without`. False if none is left. Requires the key's
 * lock. */
bool tok_flight_begin(struct tok_flight *flight, const struct tok_replicas *all, unsigned without, uint64_t now_us);
void tok_flight_end(const struct tok_flight *flight);

#endif
