#include <stdatomic.h>
#include <string.h>

#include "base/fork.h"
#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/key/find.h"
#include "pkcs11/key/key-parts.h"
#include "pkcs11/object/mech.h"

static _Atomic uint64_t next_mark = 1;

/* Keys share a few locks, so that a fork can hold them all and give the child new ones. */
static struct lock key_locks[16];

static void key_locks_prepare(void)
{
    for (size_t i = 0; i < COUNT_OF(key_locks); i++) {
        lock_take(&key_locks[i]);
    }
}

static void key_locks_parent(void)
{
    for (size_t i = 0; i < COUNT_OF(key_locks); i++) {
        lock_give(&key_locks[i]);
    }
}

static void key_locks_new(void)
{
    for (size_t i = 0; i < COUNT_OF(key_locks); i++) {
        lock_init(&key_locks[i]);
    }
}

static void key_locks_begin(void)
{
    key_locks_new();
    fork_handlers(FORK_KEYS, key_locks_prepare, key_locks_parent, key_locks_new);
}

static struct lock *key_lock(const struct tok_key *key)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, key_locks_begin);
    return &key_locks[((uintptr_t)key >> 6) % COUNT_OF(key_locks)];
}

static void list_free(struct bytes *list)
{
    if (list != NULL) {
        bytes_end(list);
        free(list);
    }
}

void tok_key_unref(struct tok_key *key)
{
    if (key == NULL || atomic_fetch_sub(&key->refs, 1) != 1) {
        return;
    }
    tok_uri_free(key->uri);
    tok_uri_free(key->meant);
    tok_replicas_end(&key->replicas);
    tok_public_end(&key->half);
    list_free(atomic_load(&key->allowed));
    free(key);
}

void tok_key_end(struct tok_key **key)
{
    tok_key_unref(*key);
}

struct tok_key *tok_key_ref(struct tok_key *key)
{
    atomic_fetch_add(&key->refs, 1);
    return key;
}

const struct tok_public *tok_key_half(const struct tok_key *key)
{
    return &key->half;
}

const char *tok_key_uri(const struct tok_key *key)
{
    return tok_uri_text(key->uri);
}

uint64_t tok_key_last_us(const struct tok_key *key)
{
    return atomic_load_explicit(&key->last_us, memory_order_relaxed);
}

/* Requires the key's lock. The token of the last operation, or the first choice; NULL: not looked for yet. */
static struct tok_token *token_of(const struct tok_key *key)
{
    const struct tok_replica *served = atomic_load(&key->served);

    if (served == NULL && key->replicas.count > 0) {
        served = key->replicas.items[0];
    }
    return served != NULL ? served->token : NULL;
}

void tok_key_names(struct tok_key *key, char *out_token, size_t token_size, char *out_label, size_t label_size)
{
    struct text token = text_over(out_token, token_size);
    struct text label = text_over(out_label, label_size);

    LOCKED(key->lock);
    text_put(&token, token_of(key) != NULL ? token_of(key)->label : "");
    text_put(&label, key->label);
}

static void label_set(struct tok_key *key, const struct bytes *label)
{
    struct text text = TEXT_OVER(key->label);

    text_put_n(&text, (const char *)label->data, label->len);
}

static struct tok_result key_new(struct tok_key **out_key, const struct tok_settings *settings, struct tok_uri *uri,
                                 struct tok_public *half)
{
    SCOPED(tok_key_end) struct tok_key *key = calloc(1, sizeof(*key));

    if (key == NULL) {
        tok_uri_free(uri);
        tok_public_end(half);
        return tok_fail(TOK_CODE_NO_MEMORY, "a key");
    }
    key->lock = key_lock(key);
    key->refs = 1;
    key->settings = settings;
    key->uri = uri;
    key->half = STEAL(*half);
    if (tok_uri_label(uri) != NULL) {
        label_set(key, tok_uri_label(uri));
    }
    *out_key = STEAL(key);
    return tok_good();
}

struct tok_result tok_key_new(struct tok_key **out_key, const struct tok_settings *settings, struct tok_uri *uri,
                              struct tok_public *half)
{
    TOK_TRY(key_new(out_key, settings, uri, half));
    (*out_key)->by_half = true;
    return tok_good();
}

/* The key's own URI: the object's, with the PIN and the module of the URI that led to it. */
static struct tok_result uri_of(struct tok_uri **out_uri, const struct tok_uri *from, struct tok_token *token,
                                const struct tok_private *found)
{
    SCOPED(scoped_free) char *text = NULL;
    CK_TOKEN_INFO info;

    tok_token_info(token, &info);
    TOK_TRY(tok_uri_of_object(&text, &info, CKO_PRIVATE_KEY, &found->id, &found->label));
    return tok_uri_parse_like(out_uri, text, from);
}

/* What the key allows is kept when it is first seen; without memory it stays unknown, which is not wrong. */
static void allowed_keep(struct tok_key *key, const struct bytes *allowed)
{
    struct bytes *kept = allowed->len > 0 && atomic_load(&key->allowed) == NULL ? calloc(1, sizeof(*kept)) : NULL;

    if (kept != NULL && bytes_set(kept, allowed->data, allowed->len) && tok_mech_count(kept) > 0) {
        atomic_store(&key->allowed, kept);
    } else {
        list_free(kept);
    }
}

/* Requires the key's lock. */
void key_bind(struct tok_key *key, struct tok_replica *replica, uint64_t objects, const struct tok_private *found,
              bool proved)
{
    replica->handle = found->handle;
    replica->objects = objects;
    replica->always_authenticate = found->always_authenticate;
    replica->unproved = proved ? 0 : atomic_fetch_add(&next_mark, 1);
    label_set(key, &found->label);
    allowed_keep(key, &found->allowed);
    atomic_store(&key->offered, tok_mech_offered(key->replicas.items[0]->token));
}

/* Where a name was searched for, other tokens may have the key as well, now or later. */
static struct tok_result meant_keep(struct tok_key *key, const struct tok_uri *from)
{
    if (tok_uri_id(from) == NULL && tok_uri_label(from) == NULL) {
        return tok_good();
    }
    return tok_uri_dup(&key->meant, from);
}

struct tok_result tok_key_found(struct tok_key **out_key, const struct tok_settings *settings,
                                const struct tok_uri *from, struct tok_lease *lease, struct tok_private *found,
                                bool alone)
{
    SCOPED(tok_key_end) struct tok_key *key = NULL;
    struct tok_uri *uri = NULL;
    struct tok_replica *replica;
    bool proved = found->half.by_key_itself;
    uint64_t objects = lease->objects;

    TOK_TRY(uri_of(&uri, from, lease->token, found));
    TOK_TRY(key_new(&key, settings, uri, &found->half));
    TOK_TRY(meant_keep(key, from));
    replica = tok_replica_new(lease->token, settings, NULL, alone);
    if (replica == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a key");
    }
    {
        LOCKED(key->lock);
        (void)tok_replicas_put(&key->replicas, replica);
        key_bind(key, replica, objects, found, proved);
    }
    atomic_store(&key->looked, tok_tokens_met());
    *out_key = STEAL(key);
    return tok_good();
}

/* The other key is not used by anybody yet, and neither is this one. */
struct tok_result tok_key_join(struct tok_key *key, struct tok_key *other)
{
    struct tok_replica *replica = other->replicas.items[0];
    struct tok_uri *uri = NULL;

    if (key->replicas.count == 1) {
        TOK_TRY(tok_uri_dup(&uri, key->uri));
        key->replicas.items[0]->uri = uri;
        TOK_TRY(tok_uri_dup(&uri, key->meant));
        tok_uri_free(key->uri);
        key->uri = uri;
    }
    TOK_TRY(tok_uri_dup(&replica->uri, other->uri));
    LOCKED(key->lock);
    other->replicas.count = 0;
    if (tok_replicas_put(&key->replicas, replica)) {
        trace(TRACE_KEY, "key: '%s' is on '%s' as well", tok_key_uri(key), replica->token->label);
    }
    return tok_good();
}

void tok_key_look_again(struct tok_key *key)
{
    atomic_store(&key->looked, 0);
}

/* --- where is it? ------------------------------------------------------------------------------------------------- */

static const struct tok_uri *key_meant(const struct tok_key *key)
{
    return key->meant != NULL ? key->meant : key->uri;
}

/* Takes the tokens in on which the key may be. Of several, those that can't be logged in to are left out. */
static struct tok_result replicas_take(struct tok_key *key, const struct tok_token_list *list, bool alone)
{
    struct tok_result trouble = tok_good();

    for (size_t i = 0; i < list->count; i++) {
        struct tok_result allowed = alone ? tok_good()
                                          : tok_login_allowed(list->items[i], key->settings, key_meant(key));
        struct tok_replica *replica;

        if (!tok_ok(&allowed)) {
            trouble = tok_ok(&trouble) ? allowed : trouble;
            continue;
        }
        replica = tok_replica_new(list->items[i], key->settings, NULL, alone);
        if (replica == NULL) {
            return tok_fail(TOK_CODE_NO_MEMORY, "a key");
        }
        LOCKED(key->lock);
        if (tok_replicas_put(&key->replicas, replica) && key->replicas.count > 1) {
            trace(TRACE_KEY, "key: '%s' may be on '%s' as well", tok_key_uri(key), replica->token->label);
        }
    }
    LOCKED(key->lock);
    return key->replicas.count > 0 ? tok_good() : trouble;
}

struct tok_result key_find_replicas(struct tok_key *key, uint64_t deadline_us)
{
    SCOPED(tok_token_list_end) struct tok_token_list list = { .items = NULL };

    TOK_TRY(tok_find_tokens(&list, key->settings, key_meant(key), deadline_us));
    if (list.count > 1 && tok_uri_id(key->uri) == NULL && tok_uri_label(key->uri) == NULL) {
        return tok_fail(TOK_CODE_AMBIGUOUS,
                        "'%s' matches several tokens, '%s' and '%s' among them: name one in the URI", tok_key_uri(key),
                        list.items[0]->label, list.items[1]->label);
    }
    atomic_store(&key->looked, tok_tokens_met());
    return replicas_take(key, &list, list.count == 1);
}

/* Those that can't be used now are no trouble, since others can. */
void key_find_more(struct tok_key *key, uint64_t deadline_us)
{
    SCOPED(tok_token_list_end) struct tok_token_list list = { .items = NULL };
    struct tok_result result;

    atomic_store(&key->looked, tok_tokens_met());
    result = tok_find_met_tokens(&list, key->settings, key_meant(key), deadline_us);
    if (tok_ok(&result)) {
        result = replicas_take(key, &list, false);
    }
    if (!tok_ok(&result)) {
        trace(TRACE_KEY, "key: %s", result.message);
    }
}

static const struct tok_uri *replica_uri(const struct tok_key *key, const struct tok_replica *replica)
{
    return replica->uri != NULL ? replica->uri : key->uri;
}

/* Among the objects that bear the key's name, the one that is the key: by its public half where the token shows one,
 * else the only one that might be. */
static struct tok_result choose(struct tok_private *out_choice, bool *out_proved, const struct tok_key *key,
                                struct tok_lease *lease, const struct tok_handles *found)
{
    SCOPED(tok_private_end) struct tok_private maybe = { .handle = 0 };
    size_t num_maybe = 0;

    for (size_t i = 0; i < found->count; i++) {
        SCOPED(tok_private_end) struct tok_private seen = { .handle = 0 };
        enum tok_likeness likeness;

        TOK_TRY(tok_lease_in_time(lease, "keys", i));
        TOK_TRY(tok_private_read(&seen, lease, found->items[i]));
        likeness = tok_public_compare(&key->half, &seen.half);
        if (likeness == TOK_SAME) {
            *out_choice = STEAL(seen);
            *out_proved = true;
            return tok_good();
        }
        if (likeness == TOK_CANT_TELL) {
            num_maybe++;
            tok_private_end(&maybe);
            maybe = STEAL(seen);
        }
    }
    if (num_maybe == 1) {
        *out_choice = STEAL(maybe);
        *out_proved = false;
        return tok_good();
    }
    return tok_fail(num_maybe > 1 ? TOK_CODE_AMBIGUOUS : TOK_CODE_OTHER_KEY,
                    num_maybe > 1 ? "%zu keys match '%s', and the token does not show which it is"
                                  : "of %zu keys that match '%s', none is the one that was loaded",
                    found->count, tok_key_uri(key));
}

/* A private key is not to be seen without a login, and the login may have been lost behind our back. So one that was
 * there before is looked for once more after another login; not each time, if it was deleted. */
static struct tok_result not_there(struct tok_key *key, struct tok_replica *replica, const struct tok_lease *lease,
                                   struct tok_attempts *attempts)
{
    LOCKED(key->lock);
    if (attempts->doubt_login) { /* and there was another login since; other threads are still to have theirs */
        replica->missing = lease->objects;
    }
    attempts->doubt_login = replica->objects != 0 && replica->missing != lease->objects;
    return tok_fail(TOK_CODE_NO_OBJECT, "no private key there matches '%s'", tok_uri_text(replica_uri(key, replica)));
}

/* Is the handle one of this lease's time? Then `out_use` has it. */
static bool handle_is_good(struct tok_key *key, const struct tok_replica *replica, const struct tok_lease *lease,
                           struct key_use *out_use)
{
    LOCKED(key->lock);
    out_use->handle = replica->handle;
    out_use->authenticate = replica->always_authenticate;
    out_use->unproved = replica->unproved;
    return replica->objects == lease->objects;
}

static bool has_replicas(struct tok_key *key)
{
    LOCKED(key->lock);
    return key->replicas.count > 1;
}

/* Its object may have got another id or label. Looked for once in the life of the token's handles, and not where other
 * tokens may have it by the name. */
static struct tok_result renamed_there(struct tok_private *out, bool *out_proved, struct tok_key *key,
                                       struct tok_replica *replica, struct tok_lease *lease,
                                       const struct tok_result *failure)
{
    if (!key->by_half || has_replicas(key) || replica->sought == lease->objects ||
        (failure->code != TOK_CODE_NO_OBJECT && failure->code != TOK_CODE_OTHER_KEY)) {
        return *failure;
    }
    TOK_TRY(key_by_half(out, out_proved, key, lease));
    if (out->handle == 0) {
        replica->sought = lease->objects;
        return *failure;
    }
    return tok_good();
}

static struct tok_result handle_find(struct tok_key *key, struct tok_replica *replica, struct tok_lease *lease,
                                     struct tok_attempts *attempts)
{
    SCOPED(tok_handles_end) struct tok_handles found = { .items = NULL };
    SCOPED(tok_private_end) struct tok_private choice = { .handle = 0 };
    const struct tok_uri *uri = replica_uri(key, replica);
    uint64_t objects = lease->objects;
    struct tok_result result;
    bool proved;

    TOK_TRY(tok_search(&found, lease, CKO_PRIVATE_KEY, tok_uri_id(uri), tok_uri_label(uri), false));
    if (found.count == 0) {
        TOK_TRY(tok_login_check(lease));
        result = not_there(key, replica, lease, attempts);
    } else {
        result = choose(&choice, &proved, key, lease, &found);
    }
    if (!tok_ok(&result)) {
        TOK_TRY(renamed_there(&choice, &proved, key, replica, lease, &result));
        key_tell_renamed(key, lease->token, &choice);
    }
    trace(TRACE_KEY, "key: found '%s' on '%s'%s", tok_uri_text(uri), lease->token->label,
          proved ? ", the same key" : "");
    LOCKED(key->lock);
    key_bind(key, replica, objects, &choice, proved);
    return tok_good();
}

struct tok_result key_handle(struct tok_key *key, struct tok_replica *replica, struct tok_lease *lease,
                             struct tok_attempts *attempts, struct key_use *out_use)
{
    if (handle_is_good(key, replica, lease, out_use)) {
        return tok_good();
    }
    TOK_TRY(handle_find(key, replica, lease, attempts));
    (void)handle_is_good(key, replica, lease, out_use);
    return tok_good();
}

/* --- what is known of it -------------------------------------------------------------------------------------------
 */

enum tok_offer tok_key_offers(struct tok_key *key, CK_MECHANISM_TYPE type)
{
    const struct bytes *allowed = atomic_load(&key->allowed);
    const struct bytes *offered = atomic_load(&key->offered);

    if ((allowed != NULL && !tok_mech_among(allowed, type)) || (offered != NULL && !tok_mech_among(offered, type))) {
        return TOK_NOT_OFFERED;
    }
    return offered != NULL ? TOK_OFFERED : TOK_OFFER_UNKNOWN;
}

bool tok_key_is_limited(const struct tok_key *key)
{
    return atomic_load_explicit(&key->allowed, memory_order_acquire) != NULL ||
           atomic_load_explicit(&key->offered, memory_order_acquire) != NULL;
}

const struct tok_settings *tok_key_settings(const struct tok_key *key)
{
    return key->settings;
}

/* 0: not known. */
static unsigned sessions_of(struct tok_token *token, const struct tok_settings *settings)
{
    unsigned most = tok_token_max_sessions(token, settings);

    LOCKED(&token->lock);
    return token->pool.limit != 0 && (most == 0 || token->pool.limit < most) ? token->pool.limit : most;
}

const struct tok_token *tok_key_where(struct tok_key *key, unsigned *out_sessions)
{
    struct tok_replicas all;

    {
        LOCKED(key->lock);
        all = key->replicas;
    }
    *out_sessions = 0;
    for (unsigned i = 0; i < all.count; i++) {
        unsigned sessions = sessions_of(all.items[i]->token, key->settings);

        if (sessions == 0) {
            *out_sessions = 0;
            break;
        }
        *out_sessions += sessions;
    }
    return all.count > 0 ? all.items[0]->token : NULL;
}

void tok_key_prove(struct tok_key *key, uint64_t unproved)
{
    LOCKED(key->lock);
    for (unsigned i = 0; i < key->replicas.count; i++) {
        if (key->replicas.items[i]->unproved == unproved) {
            key->replicas.items[i]->unproved = 0;
        }
    }
}

bool tok_key_disprove(struct tok_key *key, uint64_t unproved)
{
    LOCKED(key->lock);
    for (unsigned i = 0; i < key->replicas.count; i++) {
        struct tok_replica *replica = key->replicas.items[i];

        if (replica->unproved == unproved) {
            trace(TRACE_KEY, "key: another one bears the name on '%s'", replica->token->label);
            tok_health_aside(&replica->health, clock_us());
        }
    }
    return key->replicas.count > 1;
}
