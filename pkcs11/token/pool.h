/* The sessions of a token: a place for each, and whose turn it is to have one.
 *
 * Leases (pkcs11/token/session.h) wait in order of arrival, those used last are lent first, and what the last few
 * hundred operations did not need is a surplus. Nothing here calls the module; all of it requires the token's lock. A
 * place has a number, from 1, and is in one of two lists or lent. For session.c, and whoever gives up a token's
 * sessions. */
#ifndef SIGNET_PKCS11_TOKEN_POOL_H
#define SIGNET_PKCS11_TOKEN_POOL_H

#include "pkcs11/token/session.h"

struct tok_place *tok_place_at(const struct tok_pool *pool, unsigned number);
/* The lists are pool->free and pool->idle. */
unsigned tok_place_pop(const struct tok_pool *pool, unsigned *list);
void tok_place_push(const struct tok_pool *pool, unsigned *list, unsigned number);
/* tok_place_lend: from here on the lease is known to others. */
void tok_place_lend(struct tok_pool *pool, unsigned number, struct tok_lease *lease);
/* tok_place_is: false if the lease is of another process. */
bool tok_place_is(const struct tok_pool *pool, const struct tok_lease *lease);
/* tok_place_return: the place is lent no more, and is to be pushed somewhere. False if the lease is of another process.
 */
bool tok_place_return(struct tok_pool *pool, const struct tok_lease *lease);

/* tok_pool_turn waits, in order of arrival, until there is something to do; TOK_TURN_WAIT after the lease's deadline.
 */
enum tok_turn { TOK_TURN_WAIT, TOK_TURN_IDLE_SESSION, TOK_TURN_OPEN_ONE };
enum tok_turn tok_pool_turn(struct tok_token *token, const struct tok_lease *lease, unsigned max_sessions);
/* tok_pool_has_room: may one more session be opened now? */
bool tok_pool_has_room(const struct tok_token *token, unsigned max_sessions);
/* tok_pool_take lends the place of an idle session, or of one that is to be opened. False without memory. */
bool tok_pool_take(struct tok_pool *pool, struct tok_lease *lease, enum tok_turn turn);
/* tok_pool_too_late is for who has waited in vain. */
struct tok_result tok_pool_too_late(const struct tok_pool *pool);

/* tok_pool_forget empties the pool without a C_ call: its sessions are gone. Leases that are out stay known.
 * tok_pool_anew forgets those, too: they are of another process. */
void tok_pool_forget(struct tok_pool *pool);
void tok_pool_anew(struct tok_pool *pool);

/* tok_pool_wake lets the first one who waits look again, and whoever waits until all sessions are back. */
void tok_pool_wake(struct tok_token *token);

/* tok_pool_overdue is a lease whose operation is beyond its deadline while nothing was served since it began; NULL if
 * there is none. */
const struct tok_lease *tok_pool_overdue(const struct tok_pool *pool, uint64_t now_us);

#endif
