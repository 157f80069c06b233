#include "pkcs11/key/find.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/key/aim.h"
#include "pkcs11/recover/recover.h"

/* From so many private keys on, all public keys and certificates are read once. */
#define JOIN_FROM 8

static void item_end(struct tok_item *item)
{
    tok_key_unref(item->key);
    tok_public_end(&item->half);
    bytes_end(&item->certificate);
    free(item->uri);
}

void tok_items_cut(struct tok_items *items, size_t count)
{
    while (items->count > count) {
        item_end(&items->items[--items->count]);
    }
}

void tok_items_end(struct tok_items *items)
{
    tok_items_cut(items, 0);
    free(items->items);
    items->items = NULL;
    items->count = 0;
}

/* Takes the item over, also on failure. */
static struct tok_result items_add(struct tok_items *items, struct tok_item *item)
{
    struct tok_item *grown = reallocarray(items->items, items->count + 1, sizeof(*grown));

    if (grown == NULL) {
        item_end(item);
        return tok_fail(TOK_CODE_NO_MEMORY, "listing objects");
    }
    items->items = grown;
    grown[items->count++] = *item;
    return tok_good();
}

/* --- objects ------------------------------------------------------------------------------------------------------ */

/* What one search is about; goes through the functions below in place of six parameters. */
struct search {
    const struct tok_settings *settings;
    const struct tok_uri *uri;
    struct tok_credentials credentials;
    const struct tok_find_options *options;
    struct tok_token_list tokens;
    struct tok_items items;
    struct tok_result trouble; /* why something may have been missed */
    bool names_one;            /* the URI has an id or a label */
    bool again;                /* this is not the first attempt at a token */
    bool any_label;            /* the label is compared here, not by the token */
    uint64_t deadline_us;
};

static void search_end(struct search *search)
{
    tok_token_list_end(&search->tokens);
    tok_items_end(&search->items);
}

/* The objects of a class that bear the names of the URI. A second look, where none did, is at labels that differ in
 * blanks or NULs at their ends alone (tok_is_asked). */
static struct tok_result search_for(const struct search *search, struct tok_handles *out_found, struct tok_lease *lease,
                                    CK_OBJECT_CLASS class)
{
    tok_handles_end(out_found);
    return tok_search(out_found, lease, class, tok_uri_id(search->uri),
                      search->any_label ? NULL : tok_uri_label(search->uri), false);
}

/* Of what came, what was asked for: an object without a label has none that differs in its ends alone. */
static bool is_asked(const struct search *search, const struct bytes *id, const struct bytes *label)
{
    return (!search->any_label || label->len > 0) &&
           tok_is_asked(tok_uri_id(search->uri), tok_uri_label(search->uri), id, label);
}

static struct tok_result login_first(struct search *search, struct tok_lease *lease)
{
    if (!tok_login_needed(lease->token, search->settings) || tok_login_can_wait(lease->token, search->settings)) {
        return tok_good();
    }
    if (search->tokens.count > 1) {
        TOK_TRY(tok_login_allowed(lease->token, search->settings, search->uri));
    }
    return tok_aim_login(lease, &search->credentials, search->deadline_us);
}

static const char *refused_by_policy(const struct tok_private *key, unsigned require)
{
    if ((require & TOK_REQUIRE_SENSITIVE) != 0 && !key->sensitive) {
        return "sensitive";
    }
    if ((require & TOK_REQUIRE_NON_EXTRACTABLE) != 0 && key->extractable) {
        return "non-extractable";
    }
    return (require & TOK_REQUIRE_LOCAL) != 0 && !key->local ? "local" : NULL;
}

static struct tok_result allowed(const struct search *search, const struct tok_private *key)
{
    const char *missing = refused_by_policy(key, search->settings->require);

    if (missing != NULL) {
        return tok_fail(TOK_CODE_POLICY, "key '%.*s' is not %s, as the setting require demands", (int)key->label.len,
                        (const char *)key->label.data, missing);
    }
    return tok_good();
}

static bool is_left_out(const struct tok_result *result)
{
    return result->code == TOK_CODE_PIN_OWN || result->code == TOK_CODE_PIN_TIED;
}

/* The first trouble is told; but that a token was left out for want of a PIN is none where another one failed. */
static void trouble_note(struct search *search, const struct tok_result *result)
{
    if (tok_ok(&search->trouble) || (is_left_out(&search->trouble) && !is_left_out(result))) {
        search->trouble = *result;
    }
}

static struct tok_result item_uri(struct tok_item *item, struct tok_lease *lease, CK_OBJECT_CLASS class,
                                  const struct bytes *id, const struct bytes *label)
{
    CK_TOKEN_INFO info;

    tok_token_info(lease->token, &info);
    return tok_uri_of_object(&item->uri, &info, class, id, label);
}

/* A key that can't be used is an error where it was asked for by name; a listing goes on without it, or with it as
 * what it is. One that is not the key of a given half was not asked for. */
static struct tok_result unusable_add(struct search *search, struct tok_lease *lease, struct tok_private *found,
                                      const struct tok_result *why)
{
    struct tok_item item = { .kind = TOK_WANT_PRIVATE, .why = *why };
    struct tok_result result;

    trace(TRACE_FIND, "find: %s", why->message);
    trouble_note(search, why);
    if (!search->options->with_unusable) {
        return search->names_one && why->code != TOK_CODE_OTHER_KEY ? *why : tok_good();
    }
    item.half = STEAL(found->half);
    result = item_uri(&item, lease, CKO_PRIVATE_KEY, &found->id, &found->label);
    if (!tok_ok(&result)) {
        item_end(&item);
        return result;
    }
    return items_add(&search->items, &item);
}

static struct tok_result private_add(struct search *search, struct tok_lease *lease, struct tok_private *found,
                                     const struct tok_result *why)
{
    struct tok_item item = { .kind = TOK_WANT_PRIVATE };

    if (!tok_ok(why)) {
        return unusable_add(search, lease, found, why);
    }
    TOK_TRY(tok_key_found(&item.key, search->settings, search->uri, lease, found, search->tokens.count == 1));
    item.uri = strdup(tok_key_uri(item.key));
    if (item.uri == NULL) {
        item_end(&item);
        return tok_fail(TOK_CODE_NO_MEMORY, "listing keys");
    }
    return items_add(&search->items, &item);
}

/* A key that fails at its proof hides no other: once recovery has been tried, that is why it can't be used. What it was
 * asked may still be active in its session, which is given up for another. */
static struct tok_result proof_failed(struct tok_result *out_why, struct search *search, struct tok_lease *lease,
                                      const struct tok_result *failure)
{
    static const char *const functions[] = { "C_SignInit", "C_Sign", "C_DeriveKey" };
    struct tok_token *token = lease->token;
    unsigned most = tok_token_max_sessions(token, search->settings);
    bool of_proof = false;

    for (size_t i = 0; failure->function != NULL && i < COUNT_OF(functions); i++) {
        of_proof = of_proof || strcmp(failure->function, functions[i]) == 0;
    }
    if (!of_proof || !search->again) {
        return *failure;
    }
    *out_why = *failure;
    if (lease->op_open) {
        tok_lease_renew(lease, most);
        return tok_lease_begin(lease, token, most, search->deadline_us);
    }
    return tok_good();
}

/* What policy refuses is not asked to sign. */
static struct tok_result private_look(struct search *search, struct tok_lease *lease, CK_OBJECT_HANDLE object,
                                      struct tok_halves *halves)
{
    SCOPED(tok_private_end) struct tok_private key = { .handle = 0 };
    struct tok_result why;

    TOK_TRY(tok_private_read(&key, lease, object));
    if (!is_asked(search, &key.id, &key.label)) {
        return tok_good();
    }
    why = allowed(search, &key);
    if (tok_ok(&why)) {
        struct tok_result result = tok_half_resolve(&key, &why, lease, halves, &search->options->evidence);

        if (!tok_ok(&result)) {
            TOK_TRY(proof_failed(&why, search, lease, &result));
        }
    }
    return private_add(search, lease, &key, &why);
}

static struct tok_result find_private(struct search *search, struct tok_lease *lease)
{
    SCOPED(tok_handles_end) struct tok_handles found = { .items = NULL };
    SCOPED(tok_halves_end) struct tok_halves halves = { .rows = NULL };

    TOK_TRY(login_first(search, lease));
    TOK_TRY(search_for(search, &found, lease, CKO_PRIVATE_KEY));
    if (found.count == 0) {
        bool again;

        TOK_TRY(tok_aim_login_late(&again, lease, &search->credentials, search->deadline_us));
        if (again) {
            TOK_TRY(search_for(search, &found, lease, CKO_PRIVATE_KEY));
        }
    }
    if (found.count == 0) {
        return tok_login_check(lease);
    }
    if (found.count >= JOIN_FROM) {
        TOK_TRY(tok_halves_read(&halves, lease));
    }
    for (size_t i = 0; i < found.count; i++) {
        TOK_TRY(tok_lease_in_time(lease, "objects", i));
        TOK_TRY(private_look(search, lease, found.items[i], &halves));
    }
    return tok_good();
}

/* An object that shows nothing of itself is one for listings alone. */
static bool is_worth_adding(const struct search *search, struct tok_item *item, bool shows, const char *kind)
{
    if (!shows) {
        item->why = tok_fail(TOK_CODE_NO_OBJECT, "the %s's object on the token shows no value", kind);
    }
    return shows || search->options->with_unusable;
}

static struct tok_result find_public(struct search *search, struct tok_lease *lease)
{
    SCOPED(tok_handles_end) struct tok_handles found = { .items = NULL };

    TOK_TRY(search_for(search, &found, lease, CKO_PUBLIC_KEY));
    for (size_t i = 0; i < found.count; i++) {
        SCOPED(bytes_end) struct bytes id = { 0 };
        SCOPED(bytes_end) struct bytes label = { 0 };
        SCOPED(item_end) struct tok_item item = { .kind = TOK_WANT_PUBLIC };

        TOK_TRY(tok_lease_in_time(lease, "objects", i));
        TOK_TRY(tok_public_read(&item.half, &id, &label, lease, found.items[i]));
        TOK_TRY(item_uri(&item, lease, CKO_PUBLIC_KEY, &id, &label));
        if (is_worth_adding(search, &item, tok_public_known(&item.half), "public key") &&
            is_asked(search, &id, &label)) {
            struct tok_item moved = STEAL(item);

            TOK_TRY(items_add(&search->items, &moved));
        }
    }
    return tok_good();
}

static struct tok_result find_certificates(struct search *search, struct tok_lease *lease)
{
    SCOPED(tok_handles_end) struct tok_handles found = { .items = NULL };

    TOK_TRY(search_for(search, &found, lease, CKO_CERTIFICATE));
    for (size_t i = 0; i < found.count; i++) {
        SCOPED(bytes_end) struct bytes id = { 0 };
        SCOPED(bytes_end) struct bytes label = { 0 };
        SCOPED(item_end) struct tok_item item = { .kind = TOK_WANT_CERTIFICATE };

        TOK_TRY(tok_lease_in_time(lease, "objects", i));
        TOK_TRY(tok_certificate_read(&item.certificate, &id, &label, lease, found.items[i]));
        TOK_TRY(item_uri(&item, lease, CKO_CERTIFICATE, &id, &label));
        if (is_worth_adding(search, &item, item.certificate.len > 0, "certificate") && is_asked(search, &id, &label)) {
            struct tok_item moved = STEAL(item);

            TOK_TRY(items_add(&search->items, &moved));
        }
    }
    return tok_good();
}

static const struct kind {
    enum tok_wanted bit;
    CK_OBJECT_CLASS class;
    const char *name;
    struct tok_result (*find)(struct search *search, struct tok_lease *lease);
} kinds[] = {
    /* in the order in which a store gives them */
    { TOK_WANT_PRIVATE, CKO_PRIVATE_KEY, "private key", find_private },
    { TOK_WANT_CERTIFICATE, CKO_CERTIFICATE, "certificate", find_certificates },
    { TOK_WANT_PUBLIC, CKO_PUBLIC_KEY, "public key", find_public },
};

static struct tok_result find_once(struct search *search, const struct kind *kind, struct tok_token *token,
                                   struct tok_lease *lease, struct tok_attempts *attempts)
{
    TOK_TRY(tok_attempts_enter(attempts, token));
    lease->began_us = attempts->began_us;
    lease->idle_sessions = search->settings->idle_sessions;
    lease->want_new = attempts->want_new;
    TOK_TRY(tok_lease_begin(lease, token, tok_token_max_sessions(token, search->settings), search->deadline_us));
    return kind->find(search, lease);
}

/* One search of one token, repeated after what can be recovered from; what a failed attempt had found is dropped. */
static struct tok_result find_on(struct search *search, const struct kind *kind, struct tok_token *token, bool patient)
{
    struct tok_attempts attempts;

    tok_attempts_begin(&attempts, search->settings, search->deadline_us, 0);
    attempts.others = !patient;
    search->again = false;
    for (;;) {
        SCOPED(tok_lease_end) struct tok_lease lease = { .token = NULL };
        size_t before = search->items.count;
        struct tok_result result = find_once(search, kind, token, &lease, &attempts);

        if (!tok_ok(&result)) {
            tok_attempts_note(&attempts, token, &lease, &result);
            tok_items_cut(&search->items, before);
            tok_lease_end(&lease);
        }
        if (tok_ok(&result) || !tok_recover(&attempts, token, &lease, &result)) {
            tok_attempts_end(&attempts, token, &result);
            return tok_context(result, "token '%s'", token->label);
        }
        search->again = true;
    }
}

/* With several tokens, one that fails must not hide what another has; its failure is told if nothing is found. */
static void find_on_all(struct search *search, const struct kind *kind, bool patient)
{
    for (size_t i = 0; i < search->tokens.count; i++) {
        struct tok_result result = find_on(search, kind, search->tokens.items[i], patient);

        if (!tok_ok(&result)) {
            trace(TRACE_FIND, "find: %s", result.message);
            trouble_note(search, &result);
        }
    }
}

/* Of several tokens that may have a key, none is waited for unless no other has it. */
static struct tok_result find_kind(struct search *search, const struct kind *kind)
{
    size_t before = search->items.count;

    if (search->tokens.count == 1) {
        return find_on(search, kind, search->tokens.items[0], true);
    }
    find_on_all(search, kind, !search->names_one);
    if (search->names_one && search->items.count == before && !tok_ok(&search->trouble)) {
        struct tok_result first = search->trouble;

        search->trouble = tok_good();
        find_on_all(search, kind, true);
        if (search->trouble.code == TOK_CODE_PIN_REFUSED || search->trouble.code == TOK_CODE_PIN_UNCLEAR) {
            /* by the first look */
            search->trouble = first;
        }
    }
    return tok_good();
}

/* Keys that one name means are replicas of one, or an error. */
static struct tok_result settle_on_one(struct tok_items *items, const struct tok_uri *uri)
{
    char list[384];
    struct text text = TEXT_OVER(list);

    if (items->count < 2) {
        return tok_good();
    }
    for (size_t i = 0; i < items->count; i++) {
        text_printf(&text, "%s%s", i > 0 ? ", " : "", items->items[i].uri);
    }
    for (size_t i = 1; i < items->count; i++) {
        if (tok_public_compare(tok_key_half(items->items[0].key), tok_key_half(items->items[i].key)) != TOK_SAME) {
            return tok_fail(TOK_CODE_AMBIGUOUS, "'%s' matches %zu different keys: %s", tok_uri_text(uri), items->count,
                            list);
        }
    }
    for (size_t i = 1; i < items->count; i++) {
        TOK_TRY(tok_key_join(items->items[0].key, items->items[i].key));
    }
    tok_items_cut(items, 1);
    return tok_good();
}

static void kinds_put(struct text *text, unsigned wanted)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if ((wanted & kinds[i].bit) != 0) {
            text_printf(text, "%s%s", text->len > 0 ? " or " : "", kinds[i].name);
        }
    }
}

/* `id=02` where `id=%02` was meant. */
static void id_in_digits(struct text *text, const struct bytes *id)
{
    if (id == NULL || id->len == 0 || id->len % 2 != 0 || id->len > 40) {
        return;
    }
    for (size_t i = 0; i < id->len; i++) {
        if (!isxdigit(id->data[i])) {
            return;
        }
    }
    text_printf(text, "; id=%.*s is characters, bytes are written id=", (int)id->len, (const char *)id->data);
    for (size_t i = 0; i < id->len; i += 2) {
        text_printf(text, "%%%.2s", (const char *)id->data + i);
    }
}

static struct tok_result nothing_found(struct search *search, unsigned wanted)
{
    char kinds_text[64];
    char digits[160];
    struct text text = TEXT_OVER(kinds_text);
    struct text hint = TEXT_OVER(digits);

    if (!tok_ok(&search->trouble)) {
        return search->trouble;
    }
    kinds_put(&text, wanted);
    id_in_digits(&hint, tok_uri_id(search->uri));
    return tok_fail(TOK_CODE_NO_OBJECT, "token '%s'%s has no %s that matches '%s'%s", search->tokens.items[0]->label,
                    search->tokens.count > 1 ? " and others" : "", kinds_text, tok_uri_text(search->uri), digits);
}

/* What the URI's own type leaves of what is wanted. */
static struct tok_result narrow(unsigned *wanted, const struct tok_uri *uri)
{
    CK_OBJECT_CLASS class;
    unsigned asked = 0;
    char kinds_text[64];
    struct text text = TEXT_OVER(kinds_text);

    if (!tok_uri_class(uri, &class)) {
        return tok_good();
    }
    kinds_put(&text, *wanted);
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        asked |= kinds[i].class == class ? (unsigned)kinds[i].bit : 0;
    }
    *wanted &= asked;
    if (*wanted == 0) {
        return tok_fail(TOK_CODE_NO_OBJECT, "a %s is asked for, and '%s' has another type=", kinds_text,
                        tok_uri_text(uri));
    }
    return tok_good();
}

static struct tok_result find_wanted(struct search *search, unsigned wanted)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if ((wanted & kinds[i].bit) == 0) {
            continue;
        }
        TOK_TRY(find_kind(search, &kinds[i]));
        if (kinds[i].bit == TOK_WANT_PRIVATE && search->names_one && !search->options->with_unusable) {
            TOK_TRY(settle_on_one(&search->items, search->uri));
            if (!tok_ok(&search->trouble) && search->items.count > 0) {
                tok_key_look_again(search->items.items[0].key);
            }
        }
    }
    return tok_good();
}

struct tok_result tok_find(struct tok_items *out_items, const struct tok_settings *settings, const struct tok_uri *uri,
                           unsigned wanted, const struct tok_pin_prompt *prompt)
{
    return tok_find_by(out_items, settings, uri, wanted, &(struct tok_find_options){ .prompt = prompt });
}

struct tok_result tok_find_by(struct tok_items *out_items, const struct tok_settings *settings,
                              const struct tok_uri *uri, unsigned wanted, const struct tok_find_options *options)
{
    const struct tok_pin_prompt *prompt = options->prompt;
    SCOPED(search_end)
    struct search search = {
        .settings = settings,
        .uri = uri,
        .options = options,
        .credentials = { .settings = settings,
                         .uri = uri,
                         .prompt = prompt != NULL ? *prompt : (struct tok_pin_prompt){ NULL, NULL } },
        .trouble = tok_good(),
        .names_one = tok_uri_id(uri) != NULL || tok_uri_label(uri) != NULL,
        .deadline_us = clock_us() + settings->deadline_us,
    };

    if (!options->of_any_type) {
        TOK_TRY(narrow(&wanted, uri));
    }
    TOK_TRY(tok_find_tokens(&search.tokens, settings, uri, search.deadline_us));
    search.credentials.own_pin_only = search.tokens.count > 1;
    TOK_TRY(find_wanted(&search, wanted));
    if (search.items.count == 0 && tok_ok(&search.trouble) && tok_uri_label(uri) != NULL) {
        search.any_label = true;
        TOK_TRY(find_wanted(&search, wanted));
    }
    if (search.items.count == 0) {
        return nothing_found(&search, wanted);
    }
    *out_items = STEAL(search.items);
    return tok_good();
}
