/* Where a key file's names no longer fit: its key is found by the public half, on a token that the configuration
 * allows.
 *
 * A firmware or a module that is upgraded may rename model, manufacturer, serial number or label, and a person the
 * object. This is looked at after a failure only, and in vain once for the tokens that this process has met, and again
 * after a while. A file widens nothing: the PIN goes where pkcs11/key/aim.c lets it, as for a stranger's URI, and only
 * to a token that has its own in the configuration, or shows the public half to everybody. */
#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/key/aim.h"
#include "pkcs11/key/find.h"
#include "pkcs11/key/key-parts.h"

#define AGAIN_AFTER_US (30 * 1000 * 1000) /* others may have put the key on a token that is known */

/* The configuration's entry that the file's URI means, where the token is no longer what the entry says. */
static struct tok_result no_pin(struct tok_result result, const struct tok_key *key, struct tok_token *token)
{
    SCOPED(scoped_free) char *uri = NULL;
    struct tok_result written;
    CK_TOKEN_INFO info;

    tok_token_info(token, &info);
    for (size_t i = 0; i < key->settings->num_tokens; i++) {
        const struct tok_named_token *named = &key->settings->tokens[i];
        char differences[320];
        struct text what = TEXT_OVER(differences);

        (void)tok_uri_likeness(&what, named->uri, &info);
        if (what.len > 0 && tok_uri_within_token(key->uri, named->uri)) {
            written = tok_uri_of_token(&uri, &info);
            return tok_fail(TOK_CODE_PIN_TIED,
                            "token '%s' may have the key, and is not token.%s, so that no PIN is sent: %s. If it is "
                            "meant, write: token.%s.uri = %s",
                            token->label, named->name, differences, named->name, tok_ok(&written) ? uri : "");
        }
    }
    return result;
}

static bool has_own_pin(struct tok_token *token, const struct tok_settings *settings)
{
    const struct tok_named_token *named = tok_token_settings(token, settings);

    return named != NULL && named->pin != NULL;
}

/* Logs in where the key may be; a token that may well be another one has no PIN tried on it, and nobody types one. */
static struct tok_result login_there(bool *out_may_be, const struct tok_key *key, struct tok_lease *lease,
                                     const struct tok_uri *stranger, uint64_t deadline_us)
{
    struct tok_credentials credentials = { .settings = key->settings, .uri = stranger };
    struct tok_token *token = lease->token;
    struct tok_result result;

    *out_may_be = true;
    if (lease->logged_in || !tok_login_needed(token, key->settings)) {
        return tok_good();
    }
    if (!has_own_pin(token, key->settings)) { /* another token may well have that serial number */
        TOK_TRY(key_shows_half(out_may_be, key, lease));
    }
    if (!*out_may_be) {
        return tok_good();
    }
    result = tok_aim_login(lease, &credentials, deadline_us);
    return tok_ok(&result) || (result.code != TOK_CODE_PIN_NEEDED && result.code != TOK_CODE_PIN_TIED)
               ? result
               : no_pin(result, key, token);
}

/* A key was found there: the token is a replica from now on, under what its object is called. */
static struct tok_result settle(struct tok_key *key, struct tok_lease *lease, const struct tok_private *found,
                                bool proved)
{
    SCOPED(scoped_free) char *text = NULL;
    struct tok_uri *uri = NULL;
    struct tok_replica *replica;
    CK_TOKEN_INFO info;

    tok_token_info(lease->token, &info);
    TOK_TRY(tok_uri_of_object(&text, &info, CKO_PRIVATE_KEY, &found->id, &found->label));
    TOK_TRY(tok_uri_parse(&uri, text, TOK_URI_FROM_FILE));
    replica = tok_replica_new(lease->token, key->settings, uri, true);
    if (replica == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a key");
    }
    replica->renamed = true;
    LOCKED(key->lock);
    if (tok_replicas_put(&key->replicas, replica)) {
        key_bind(key, replica, lease->objects, found, proved);
    }
    return tok_good();
}

static struct tok_result try_token(bool *out_found, struct tok_key *key, struct tok_token *token, uint64_t deadline_us)
{
    SCOPED(tok_lease_end) struct tok_lease lease = { .token = NULL };
    SCOPED(tok_private_end) struct tok_private found = { .handle = 0 };
    SCOPED(tok_uri_end) struct tok_uri *stranger = NULL;
    bool proved = false;
    bool may_be;

    lease.began_us = clock_us();
    lease.idle_sessions = key->settings->idle_sessions;
    TOK_TRY(tok_uri_parse(&stranger, "pkcs11:", TOK_URI_FROM_FILE));
    TOK_TRY(tok_lease_begin(&lease, token, tok_token_max_sessions(token, key->settings), deadline_us));
    TOK_TRY(login_there(&may_be, key, &lease, stranger, deadline_us));
    if (!may_be) {
        return tok_good();
    }
    TOK_TRY(key_by_half(&found, &proved, key, &lease));
    if (found.handle == 0) {
        return tok_good();
    }
    TOK_TRY(settle(key, &lease, &found, proved));
    key_tell_renamed(key, token, &found);
    *out_found = true;
    return tok_good();
}

/* The one that is most like what the URI asks for comes first. */
static struct tok_token *take_likest(struct tok_token_list *list, const struct tok_uri *uri)
{
    struct tok_token *token;
    size_t best = 0;
    unsigned most = 0;

    for (size_t i = 0; i < list->count; i++) {
        CK_TOKEN_INFO info;
        unsigned likeness;

        tok_token_info(list->items[i], &info);
        likeness = tok_uri_likeness(NULL, uri, &info);
        if (likeness > most) {
            most = likeness;
            best = i;
        }
    }
    token = list->items[best];
    list->items[best] = list->items[--list->count];
    return token;
}

/* Has this been in vain lately, and is no token there that was not then? */
static bool was_in_vain(const struct tok_key *key)
{
    return atomic_load(&key->sought_us) != 0 && atomic_load(&key->sought_met) == tok_tokens_met() &&
           clock_us() < atomic_load(&key->sought_us) + AGAIN_AFTER_US;
}

static void in_vain(struct tok_key *key)
{
    atomic_store(&key->sought_met, tok_tokens_met());
    atomic_store(&key->sought_us, clock_us());
}

bool key_find_renamed(struct tok_key *key, struct tok_result *in_out_failure, uint64_t deadline_us)
{
    SCOPED(tok_token_list_end) struct tok_token_list list = { .items = NULL };
    struct tok_result result;
    bool found = false;

    if (!key->by_half || was_in_vain(key)) {
        return false;
    }
    result = tok_find_other_tokens(&list, key->settings, key->uri, deadline_us);
    while (tok_ok(&result) && !found && list.count > 0 && clock_us() < deadline_us) {
        struct tok_token *token = take_likest(&list, key->uri);
        struct tok_result there = try_token(&found, key, token, deadline_us);

        if (!tok_ok(&there)) {
            trace(TRACE_KEY, "key: '%s' was asked for its key by the public half: %s", token->label, there.message);
        }
        if (there.code == TOK_CODE_PIN_TIED && in_out_failure->code != TOK_CODE_PIN_TIED) {
            *in_out_failure = there;
        }
    }
    if (!found) {
        in_vain(key);
    }
    return found;
}
