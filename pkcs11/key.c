#include "pkcs11/key.h"

#include <stdatomic.h>
#include <string.h>

#include "base/fork.h"
#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/child.h"
#include "pkcs11/find.h"
#include "pkcs11/mech.h"
#include "pkcs11/recover.h"

struct tok_key {
    _Atomic unsigned refs;
    const struct tok_settings *settings;
    struct tok_uri *uri;
    struct tok_pin_source *uri_pin; /* NULL: none */
    struct tok_public half;
    const struct bytes *_Atomic offered; /* what the token's slot offers, once it was asked; the token's */
    struct bytes *_Atomic allowed;       /* what the key allows, once it was read; owned, constant once there */

    struct lock *lock;       /* one of key_locks; guards what follows. Nothing else is locked while it is held */
    struct tok_token *token; /* NULL: not looked for yet */
    CK_OBJECT_HANDLE handle;
    uint64_t objects; /* the token's count when the handle was found; 0: no handle */
    uint64_t missing; /* the count when it was looked for in vain after a login; 0: never */
    bool always_authenticate;
    uint64_t unproved; /* a mark while the object may be another key; 0: proved */
    char label[128];
};

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
    fork_handlers(key_locks_prepare, key_locks_parent, key_locks_new);
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
    tok_pin_source_free(key->uri_pin);
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

void tok_key_names(struct tok_key *key, char *out_token, size_t token_size, char *out_label, size_t label_size)
{
    struct text token = text_over(out_token, token_size);
    struct text label = text_over(out_label, label_size);

    LOCKED(key->lock);
    text_put(&token, key->token != NULL ? key->token->label : "");
    text_put(&label, key->label);
}

static void label_set(struct tok_key *key, const struct bytes *label)
{
    struct text text = TEXT_OVER(key->label);

    text_put_n(&text, (const char *)label->data, label->len);
}

struct tok_result tok_key_new(struct tok_key **out_key, const struct tok_settings *settings, struct tok_uri *uri,
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
    TOK_TRY(tok_pin_source_of_uri(&key->uri_pin, uri));
    *out_key = STEAL(key);
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
static void bind(struct tok_key *key, struct tok_token *token, uint64_t objects, const struct tok_private *found,
                 bool proved)
{
    key->token = token;
    key->handle = found->handle;
    key->objects = objects;
    key->always_authenticate = found->always_authenticate;
    key->unproved = proved ? 0 : atomic_fetch_add(&next_mark, 1);
    label_set(key, &found->label);
    allowed_keep(key, &found->allowed);
    atomic_store(&key->offered, tok_mech_offered(token));
}

struct tok_result tok_key_found(struct tok_key **out_key, const struct tok_settings *settings,
                                const struct tok_uri *from, struct tok_lease *lease, struct tok_private *found)
{
    struct tok_uri *uri = NULL;
    bool proved = found->half.by_key_itself;
    uint64_t objects = lease->objects;

    TOK_TRY(uri_of(&uri, from, lease->token, found));
    TOK_TRY(tok_key_new(out_key, settings, uri, &found->half));
    LOCKED((*out_key)->lock);
    bind(*out_key, lease->token, objects, found, proved);
    return tok_good();
}

/* --- where is it? ------------------------------------------------------------------------------------------------- */

/* The token that the key is on: known, or the only one that the URI means. */
static struct tok_result key_token(struct tok_token **out_token, struct tok_key *key, uint64_t deadline_us)
{
    SCOPED(tok_token_list_end) struct tok_token_list list = { .items = NULL };

    {
        LOCKED(key->lock);
        *out_token = key->token;
    }
    if (*out_token != NULL) {
        return tok_token_start(*out_token, deadline_us);
    }
    TOK_TRY(tok_find_tokens(&list, key->settings, key->uri, deadline_us));
    if (list.count > 1) {
        return tok_fail(TOK_CODE_AMBIGUOUS,
                        "'%s' matches several tokens, '%s' and '%s' among them: name one in the URI", tok_key_uri(key),
                        list.items[0]->label, list.items[1]->label);
    }
    *out_token = list.items[0];
    return tok_good();
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
static struct tok_result not_there(struct tok_key *key, const struct tok_lease *lease, struct tok_attempts *attempts)
{
    LOCKED(key->lock);
    if (attempts->doubt_login) { /* and there was another login since; other threads are still to have theirs */
        key->missing = lease->objects;
    }
    attempts->doubt_login = key->objects != 0 && key->missing != lease->objects;
    return tok_fail(TOK_CODE_NO_OBJECT, "no private key there matches '%s'", tok_key_uri(key));
}

/* The object's handle for this lease, found again if it may be stale. */
static struct tok_result key_handle(struct tok_key *key, struct tok_lease *lease, struct tok_attempts *attempts)
{
    SCOPED(tok_handles_end) struct tok_handles found = { .items = NULL };
    SCOPED(tok_private_end) struct tok_private choice = { .handle = 0 };
    uint64_t objects = lease->objects;
    bool proved;

    {
        LOCKED(key->lock);
        if (key->objects == objects && key->token == lease->token) {
            return tok_good();
        }
    }
    TOK_TRY(tok_search(&found, lease, CKO_PRIVATE_KEY, tok_uri_id(key->uri), tok_uri_label(key->uri), false));
    if (found.count == 0) {
        TOK_TRY(tok_login_check(lease));
        return not_there(key, lease, attempts);
    }
    TOK_TRY(choose(&choice, &proved, key, lease, &found));
    trace(TRACE_KEY, "key: found '%s' on '%s'%s", tok_key_uri(key), lease->token->label,
          proved ? ", the same key" : "");
    LOCKED(key->lock);
    bind(key, lease->token, objects, &choice, proved);
    return tok_good();
}

static struct tok_credentials credentials_of(struct tok_key *key, const struct tok_pin_prompt *prompt)
{
    struct tok_credentials credentials = { .settings = key->settings, .uri_pin = key->uri_pin };

    if (prompt != NULL) {
        credentials.prompt = *prompt;
    }
    return credentials;
}

/* Must nobody else use the token between the key's login and its operation? */
static bool key_wants_alone(struct tok_key *key)
{
    LOCKED(key->lock);
    return key->always_authenticate;
}

/* A lease on a session in which the key can be used. */
static struct tok_result key_begin(struct tok_lease *lease, struct tok_key *key, const struct tok_pin_prompt *prompt,
                                   struct tok_attempts *attempts)
{
    uint64_t deadline_us = attempts->deadline_us;
    struct tok_credentials credentials = credentials_of(key, prompt);
    struct tok_token *token = NULL;

    TOK_TRY(key_token(&token, key, deadline_us));
    TOK_TRY(tok_attempts_enter(attempts, token));
    lease->began_us = attempts->began_us;
    lease->idle_sessions = key->settings->idle_sessions;
    lease->want_new = attempts->want_new;
    for (;;) {
        lease->alone = key_wants_alone(key);
        TOK_TRY(tok_lease_begin(lease, token, tok_token_max_sessions(token, key->settings), deadline_us));
        if (!lease->logged_in && tok_login_needed(token, key->settings)) {
            TOK_TRY(tok_login(lease, &credentials, deadline_us));
        }
        TOK_TRY(key_handle(key, lease, attempts));
        if (lease->alone || !key_wants_alone(key)) {
            return tok_good();
        }
        tok_lease_end(lease); /* which is seen only now */
    }
}

/* --- operations --------------------------------------------------------------------------------------------------- */

struct operation {
    CK_RV (*init)(struct tok_lease *lease, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE handle);
    CK_RV (*run)(struct tok_lease *lease, const struct operation *op, CK_ULONG *in_out_len);
    const char *init_name;
    const char *run_name;
    bool by_data; /* a general failure of `run` may be about the data: no recovery, whose time would tell something of
                     them */
    const CK_MECHANISM *mechanism;
    const uint8_t *in;
    size_t in_len;
    uint8_t *out;
    size_t room;
    uint64_t deadline_us; /* 0: that of the settings */
    size_t out_len;       /* of the result */
    uint64_t unproved;    /* of the result */
};

static CK_RV sign_init(struct tok_lease *lease, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE handle)
{
    return TOK_CALL(lease->functions, C_SignInit, lease->session, (CK_MECHANISM *)mechanism, handle);
}

static CK_RV sign_run(struct tok_lease *lease, const struct operation *op, CK_ULONG *in_out_len)
{
    return TOK_CALL(lease->functions, C_Sign, lease->session, (CK_BYTE *)op->in, (CK_ULONG)op->in_len, op->out,
                    in_out_len);
}

static CK_RV decrypt_init(struct tok_lease *lease, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE handle)
{
    return TOK_CALL(lease->functions, C_DecryptInit, lease->session, (CK_MECHANISM *)mechanism, handle);
}

static CK_RV decrypt_run(struct tok_lease *lease, const struct operation *op, CK_ULONG *in_out_len)
{
    return TOK_CALL(lease->functions, C_Decrypt, lease->session, (CK_BYTE *)op->in, (CK_ULONG)op->in_len, op->out,
                    in_out_len);
}

/* The two calls of an operation, with nothing between them but the login that an always-authenticate key demands there.
 */
static struct tok_result operate(struct operation *op, struct tok_key *key, struct tok_lease *lease)
{
    CK_ULONG len = (CK_ULONG)op->room;
    CK_OBJECT_HANDLE handle;
    bool authenticate;
    CK_RV rv;

    {
        LOCKED(key->lock);
        handle = key->handle;
        authenticate = key->always_authenticate;
        op->unproved = key->unproved;
    }
    if (authenticate) {
        TOK_TRY(tok_token_refresh(lease->token)); /* may its PIN be sent? */
    }
    rv = op->init(lease, op->mechanism, handle);
    if (rv != CKR_OK) {
        lease->op_open = rv == CKR_OPERATION_ACTIVE;
        return tok_fail_ckr(op->init_name, rv);
    }
    lease->op_open = true;
    if (authenticate) {
        struct tok_credentials credentials = credentials_of(key, NULL);

        TOK_TRY(tok_login_for_operation(lease, &credentials));
    }
    rv = op->run(lease, op, &len);
    if (rv != CKR_OK) {
        return tok_fail_ckr(op->run_name, rv); /* some tokens leave it active then: the session is closed */
    }
    lease->op_open = false;
    op->out_len = len;
    return tok_good();
}

static struct tok_result attempt(struct operation *op, struct tok_key *key, const struct tok_pin_prompt *prompt,
                                 struct tok_lease *lease, struct tok_attempts *attempts)
{
    TOK_TRY(key_begin(lease, key, prompt, attempts));
    return op != NULL ? operate(op, key, lease) : tok_good();
}

/* Where a token is known, so that a failure can be recovered from there. */
static struct tok_token *token_of(struct tok_key *key)
{
    LOCKED(key->lock);
    return key->token;
}

static struct tok_result failed(const struct operation *op, struct tok_key *key, const char *what,
                                struct tok_result result)
{
    char token[64];
    char label[128];

    tok_key_names(key, token, sizeof(token), label, sizeof(label));
    result = token[0] == '\0' ? tok_context(result, "%s key '%s'", what, tok_key_uri(key))
                              : tok_context(result, "%s key '%s' on token '%s'", what, label, token);
    if (op == NULL || result.function != op->run_name) { /* which is not about reaching the token */
        tok_child_failed(&result);
    }
    return result;
}

static bool about_the_data(const struct operation *op, const struct tok_result *result)
{
    return op != NULL && op->by_data && result->function == op->run_name &&
           (result->rv == CKR_GENERAL_ERROR || result->rv == CKR_FUNCTION_FAILED || result->rv == CKR_DEVICE_ERROR);
}

/* Runs an operation, or just finds the key (op == NULL), as often as recovery makes sense. */
static struct tok_result key_run(struct operation *op, struct tok_key *key, const struct tok_pin_prompt *prompt,
                                 const char *what)
{
    struct tok_attempts attempts;
    TOK_SIGPIPE_HELD();

    tok_attempts_begin(&attempts, key->settings, op != NULL ? op->deadline_us : 0);
    for (;;) {
        SCOPED(tok_lease_end) struct tok_lease lease = { .token = NULL };
        struct tok_result result = attempt(op, key, prompt, &lease, &attempts);
        struct tok_token *token;

        if (tok_ok(&result)) {
            tok_attempts_end(&attempts, lease.token, &result);
            tok_child_worked();
            if (op == NULL && key->settings->load_early) {
                tok_child_note(lease.token, key->settings);
            }
            return result;
        }
        token = lease.token != NULL ? lease.token : token_of(key);
        tok_note_failure(&lease, &result);
        tok_lease_end(&lease);
        if (token == NULL) {
            return failed(op, key, what, result);
        }
        if (about_the_data(op, &result) || !tok_recover(&attempts, token, &lease, &result)) {
            tok_attempts_end(&attempts, token, &result);
            return failed(op, key, what, result);
        }
    }
}

struct tok_result tok_key_locate(struct tok_key *key, const struct tok_pin_prompt *prompt)
{
    return key_run(NULL, key, prompt, "finding");
}

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

void tok_key_ask_mechanisms(struct tok_key *key)
{
    struct tok_token *token = token_of(key);

    if (token == NULL) {
        struct tok_result result = tok_key_locate(key, NULL);

        token = tok_ok(&result) ? token_of(key) : NULL;
    }
    if (token != NULL) {
        tok_mech_ask(token);
        atomic_store(&key->offered, tok_mech_offered(token));
    }
}

struct tok_result tok_key_sign_until(struct tok_key *key, const CK_MECHANISM *mechanism, const uint8_t *in,
                                     size_t in_len, uint8_t *out, size_t *in_out_len, uint64_t *out_unproved,
                                     uint64_t deadline_us)
{
    struct operation op = {
        .init = sign_init,
        .run = sign_run,
        .init_name = "C_SignInit",
        .run_name = "C_Sign",
        .mechanism = mechanism,
        .in = in,
        .in_len = in_len,
        .out = out,
        .room = *in_out_len,
        .deadline_us = deadline_us,
    };

    TOK_TRY(key_run(&op, key, NULL, "signing with"));
    *in_out_len = op.out_len;
    *out_unproved = op.unproved;
    return tok_good();
}

struct tok_result tok_key_decrypt_until(struct tok_key *key, const CK_MECHANISM *mechanism, const uint8_t *in,
                                        size_t in_len, uint8_t *out, size_t *in_out_len, uint64_t deadline_us)
{
    struct operation op = {
        .init = decrypt_init,
        .run = decrypt_run,
        .init_name = "C_DecryptInit",
        .run_name = "C_Decrypt",
        .by_data = true,
        .mechanism = mechanism,
        .in = in,
        .in_len = in_len,
        .out = out,
        .room = *in_out_len,
        .deadline_us = deadline_us,
    };

    TOK_TRY(key_run(&op, key, NULL, "decrypting with"));
    *in_out_len = op.out_len;
    return tok_good();
}

const struct tok_settings *tok_key_settings(const struct tok_key *key)
{
    return key->settings;
}

const struct tok_token *tok_key_where(struct tok_key *key, unsigned *out_sessions)
{
    struct tok_token *token = token_of(key);
    unsigned most = token != NULL ? tok_token_max_sessions(token, key->settings) : 0;

    *out_sessions = most;
    if (token != NULL) {
        LOCKED(&token->lock);
        if (token->pool.limit != 0 && (most == 0 || token->pool.limit < most)) {
            *out_sessions = token->pool.limit;
        }
    }
    return token;
}

void tok_key_prove(struct tok_key *key, uint64_t unproved)
{
    LOCKED(key->lock);
    if (key->unproved == unproved) {
        key->unproved = 0;
    }
}
