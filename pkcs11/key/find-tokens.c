/* The first half of pkcs11/key/find.h: which tokens, of which modules, a URI may mean. */
#include <string.h>
#include <unistd.h>

#include "base/pause.h"
#include "base/shared.h"
#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/key/find.h"
#include "pkcs11/module/registry.h"
#include "pkcs11/recover/recover.h"
#include "pkcs11/token/again.h"
#include "pkcs11/token/tie.h"

/* How long a token is waited for that a module may have overlooked (pkcs11/module/quirks.h), and the pauses between. */
#define OVERLOOKED_US (1000 * 1000)
static const struct pauses pauses_to_start_again = { 10 * 1000, 80 * 1000 };

/* Differently long in each process, `us` on average: those that start at one moment, each of which writes what the
 * others read, must not try again at one moment. */
static void pause_unevenly(uint64_t us)
{
    uint64_t seed[] = { clock_us(), (uint64_t)getpid() };

    clock_sleep_us(us / 2 + shared_hash(0, seed, sizeof(seed)) % (us + 1));
}

void tok_token_list_end(struct tok_token_list *list)
{
    free(list->items);
    list->items = NULL;
    list->count = 0;
}

static struct tok_result tokens_add(struct tok_token_list *list, struct tok_token *token)
{
    struct tok_token **grown = reallocarray(list->items, list->count + 1, sizeof(struct tok_token *));

    if (grown == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "listing tokens");
    }
    list->items = grown;
    list->items[list->count++] = token;
    return tok_good();
}

/* One that has forgotten that it was initialised, or whose daemon is gone, is initialised again; now and then. */
static struct tok_result module_look_again(struct tok_module *module, uint64_t starts, bool never_reinit,
                                           struct tok_result result, uint64_t deadline_us)
{
    if (tok_is(&result, CKR_CRYPTOKI_NOT_INITIALIZED)) {
        tok_module_lost(module, starts);
        TOK_TRY(tok_module_start(module, deadline_us));
        return tok_tokens_look(module, deadline_us);
    }
    if (!tok_ok(&result) && tok_module_in_use(module)) {
        return result; /* others do well with what fails here */
    }
    if (!never_reinit && !tok_module_has_slots(module, deadline_us)) {
        struct tok_result again = tok_module_again(module, starts, true, deadline_us);

        if (tok_ok(&again)) {
            TOK_TRY(tok_module_start(module, deadline_us));
            return tok_tokens_look(module, deadline_us);
        }
        trace(TRACE_MODULE, "module: %s", again.message);
    }
    return result;
}

/* Starts the module and looks at its slots. */
static struct tok_result module_look(struct tok_module *module, bool never_reinit, uint64_t deadline_us)
{
    struct tok_result result;
    uint64_t starts;

    TOK_TRY(tok_module_start(module, deadline_us));
    starts = module->starts;
    result = tok_tokens_look(module, deadline_us);
    if (!tok_ok(&result) || !tok_module_has_token(module)) {
        return module_look_again(module, starts, never_reinit, result, deadline_us);
    }
    return result;
}

/* A token that is seen twice, in two slots or by two modules, is one. Without a serial number nobody can tell: NSS has
 * zeros for all of its databases. */
static bool is_seen_before(const struct tok_token_list *list, struct tok_token *token)
{
    CK_TOKEN_INFO info;

    tok_token_info(token, &info);
    for (size_t i = 0; tok_serial_tells(&info) && i < list->count; i++) {
        CK_TOKEN_INFO other;

        tok_token_info(list->items[i], &other);
        if (tok_tokens_are_one(&info, &other)) {
            trace(TRACE_FIND, "find: token '%s' of '%s' is the one of '%s'", token->label, token->module->path,
                  list->items[i]->module->path);
            return true;
        }
    }
    return false;
}

/* Those of the last look that the URI means. */
static struct tok_result tokens_matching(struct tok_token_list *list, struct tok_module *module,
                                         const struct tok_settings *settings, const struct tok_uri *uri,
                                         uint64_t deadline_us)
{
    struct tok_token *token = NULL;

    for (;;) {
        TOK_TRY(tok_token_matching(&token, module, uri, deadline_us));
        if (token == NULL) {
            return tok_good();
        }
        tok_token_note_settings(token, settings);
        if (!is_seen_before(list, token)) {
            TOK_TRY(tokens_add(list, token));
        }
    }
}

/* Where none is there, the one that is meant may be in a slot that failed to tell. Another thread's look may have come
 * between the tokens and their trouble: then both are of different times, and looked at again. Whose time ends with
 * waiting for others, who look time and again because a slot fails to tell, is told that as well. */
static struct tok_result module_tokens_once(struct tok_token_list *list, struct tok_module *module,
                                            const struct tok_settings *settings, const struct tok_uri *uri,
                                            uint64_t deadline_us)
{
    size_t before = list->count;
    struct tok_result result;
    struct tok_result trouble;
    uint64_t look;
    uint64_t look_before;

    result = module_look(module, settings->never_reinit, deadline_us);
    trouble = tok_module_trouble(module, &look);
    if (!tok_ok(&result)) {
        return result.code == TOK_CODE_DEADLINE && !tok_ok(&trouble)
                   ? tok_context(trouble, "no token matches '%s' (%s)", tok_uri_text(uri), result.message)
                   : result;
    }
    do {
        look_before = look;
        TOK_TRY(tokens_matching(list, module, settings, uri, deadline_us));
        if (list->count > before) {
            return tok_good();
        }
        trouble = tok_module_trouble(module, &look);
    } while (look != look_before && clock_us() < deadline_us);
    return tok_context(trouble, "no token matches '%s'", tok_uri_text(uri));
}

/* Repeated after what can be recovered from, as any other call is. */
static struct tok_result module_tokens(struct tok_token_list *list, struct tok_module *module,
                                       const struct tok_settings *settings, const struct tok_uri *uri,
                                       uint64_t deadline_us)
{
    struct tok_attempts attempts;

    tok_attempts_begin(&attempts, settings, deadline_us, 0);
    for (;;) {
        size_t before = list->count;
        uint64_t starts = module->starts;
        struct tok_result result = module_tokens_once(list, module, settings, uri, deadline_us);

        if (tok_ok(&result)) {
            return result;
        }
        list->count = before;
        if (!tok_recover_module(&attempts, module, starts, &result)) {
            return result;
        }
    }
}

/* The token that differs least from what the URI asks for, and in what. */
struct nearest {
    unsigned likeness;
    char label[33];
    char differences[320];
};

/* Requires the token's lock. */
static void nearer(struct nearest *nearest, const struct tok_token *token, const struct tok_uri *uri)
{
    char differences[sizeof(nearest->differences)];
    struct text text = TEXT_OVER(differences);
    unsigned likeness = tok_uri_likeness(&text, uri, &token->info);

    if (nearest->label[0] == '\0' || likeness > nearest->likeness) {
        nearest->likeness = likeness;
        memcpy(nearest->label, token->label, sizeof(nearest->label));
        memcpy(nearest->differences, differences, sizeof(differences));
    }
}

/* Appends the labels of the tokens that a module has, for a message. */
static void tokens_present(struct text *text, struct nearest *nearest, struct tok_module *module,
                           const struct tok_uri *uri)
{
    LOCKED(&module->lock);
    for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
        LOCKED(&token->lock);
        if (token->present) {
            text_printf(text, "%s'%s'", text->len > 0 ? ", " : "", token->label);
            nearer(nearest, token, uri);
        }
    }
}

/* Tokens that are there, and not initialised: with the command that does it. */
static void blank_put(struct text *text, const struct tok_module_list *modules)
{
    for (size_t i = 0; i < modules->count; i++) {
        size_t blank = tok_module_blank(modules->items[i]);

        if (blank > 0) {
            text_printf(text,
                        "none that is initialised, but %zu that %s not: pkcs11-tool --module %s --init-token --label "
                        "LABEL --so-pin SOPIN, or the vendor's own tool, does that",
                        blank, blank == 1 ? "is" : "are", modules->items[i]->path);
            return;
        }
    }
    text_put(text, "none");
}

static struct tok_result no_token(const struct tok_module_list *modules, const struct tok_uri *uri)
{
    char present[384];
    struct text text = TEXT_OVER(present);
    struct nearest nearest = { .label = "" };
    char differs[400] = "";
    struct text hint = TEXT_OVER(differs);

    for (size_t i = 0; i < modules->count; i++) {
        tokens_present(&text, &nearest, modules->items[i], uri);
    }
    if (text.len == 0) {
        blank_put(&text, modules);
    }
    if (nearest.label[0] != '\0') {
        text_printf(&hint, "; '%s' differs: %s", nearest.label,
                    nearest.differences[0] != '\0' ? nearest.differences : "slot-* or library-* is another one");
    }
    return tok_fail(TOK_CODE_NO_TOKEN, "no token matches '%s'; present: %s%s (module%s '%s'%s)", tok_uri_text(uri),
                    present, differs, modules->count > 1 ? "s" : "", modules->items[0]->path,
                    modules->count > 1 ? " and others" : "");
}

/* Takes in those of `more` that are not in the list. Without memory they are left out, which is told as trouble. */
static void modules_join(struct tok_module_list *list, const struct tok_module_list *more)
{
    list->trouble = tok_ok(&list->trouble) ? more->trouble : list->trouble;
    for (size_t i = 0; i < more->count; i++) {
        struct tok_module **grown;
        size_t known = 0;

        while (known < list->count && list->items[known] != more->items[i]) {
            known++;
        }
        if (known < list->count) {
            continue;
        }
        grown = reallocarray(list->items, list->count + 1, sizeof(struct tok_module *));
        if (grown == NULL) {
            list->trouble = tok_fail(TOK_CODE_NO_MEMORY, "listing modules");
            return;
        }
        list->items = grown;
        list->items[list->count++] = more->items[i];
    }
}

/* The general setting's modules, and those of the configuration's entries for tokens that the URI may mean. One of them
 * that can't be had hides no other. */
static struct tok_result modules_of_all(struct tok_module_list *out_list, const struct tok_settings *settings,
                                        const struct tok_uri *uri, uint64_t deadline_us)
{
    SCOPED(tok_module_list_end) struct tok_module_list list = { .items = NULL };
    struct tok_result result = tok_registry_modules(&list, settings->modules, settings->init_args, deadline_us);

    if (!tok_ok(&result)) {
        list.trouble = result;
    }
    for (size_t i = 0; i < settings->num_tokens; i++) {
        SCOPED(tok_module_list_end) struct tok_module_list more = { .items = NULL };
        const struct tok_named_token *named = &settings->tokens[i];

        if (named->modules == NULL || !tok_uri_may_mean_token(uri, named->uri)) {
            continue;
        }
        more.trouble = tok_good();
        result = tok_registry_modules(&more, named->modules, settings->init_args, deadline_us);
        if (!tok_ok(&result)) {
            more.trouble = result;
        }
        modules_join(&list, &more);
    }
    if (list.count == 0) {
        return list.trouble;
    }
    *out_list = STEAL(list);
    return tok_good();
}

/* The URI's own module comes first, then that of the configuration's entry for the token that it means. */
static struct tok_result modules_for(struct tok_module_list *out_list, const struct tok_settings *settings,
                                     const struct tok_uri *uri, uint64_t deadline_us)
{
    const char *asked = tok_uri_module_path(uri) != NULL ? tok_uri_module_path(uri) : tok_uri_module_name(uri);

    for (size_t i = 0; asked == NULL && i < settings->num_tokens; i++) {
        if (tok_uri_within_token(uri, settings->tokens[i].uri)) {
            asked = settings->tokens[i].modules;
        }
    }
    return asked != NULL ? tok_registry_modules(out_list, asked, settings->init_args, deadline_us)
                         : modules_of_all(out_list, settings, uri, deadline_us);
}

/* One walk through the modules. */
static struct tok_result tokens_collect(struct tok_token_list *list, const struct tok_module_list *modules,
                                        const struct tok_settings *settings, const struct tok_uri *uri,
                                        uint64_t deadline_us)
{
    struct tok_result trouble = modules->trouble;

    for (size_t i = 0; i < modules->count; i++) {
        struct tok_result result = module_tokens(list, modules->items[i], settings, uri, deadline_us);

        if (result.code == TOK_CODE_RECURSION || result.code == TOK_CODE_EXITING) {
            return result;
        }
        if (!tok_ok(&result)) {
            trace(TRACE_MODULE, "module: %s", result.message);
            trouble = tok_ok(&trouble) ? result : trouble;
        }
    }
    if (list->count > 0) {
        return tok_good();
    }
    return tok_ok(&trouble) ? no_token(modules, uri) : trouble;
}

/* Pauses, and initialises those modules again that may have overlooked a token. False, at once: there are none. */
static bool start_again(const struct tok_module_list *modules, uint64_t pause_us, uint64_t deadline_us)
{
    bool any = false;

    for (size_t i = 0; i < modules->count; i++) {
        struct tok_module *module = modules->items[i];

        if (tok_module_may_miss(module, deadline_us)) {
            struct tok_result again;

            if (!any) {
                pause_unevenly(pause_us);
            }
            any = true;
            again = tok_module_read_again(module, deadline_us);
            trace(TRACE_MODULE, "module: '%s' may have overlooked a token%s%s", module->path,
                  tok_ok(&again) ? "" : "; ", tok_ok(&again) ? "" : again.message);
        }
    }
    return any;
}

/* A module may go on listing the slots that it had when it was last asked how many they are (PKCS#11 v2.40, 5.5,
 * C_GetSlotList). OpenSC does: a reader that came since, or that pcscd did not know for a moment, comes with that
 * question. */
static void count_slots(const struct tok_module_list *modules, uint64_t deadline_us)
{
    for (size_t i = 0; i < modules->count; i++) {
        if (modules->items[i]->state == TOK_MODULE_READY) {
            (void)tok_module_has_slots(modules->items[i], deadline_us);
        }
    }
}

/* The token is in no slot, or in one that could not tell. */
static bool is_not_seen(const struct tok_result *result)
{
    return result->code == TOK_CODE_NO_TOKEN ||
           (tok_is_spoken(result) && strcmp(result->function, "C_GetTokenInfo") == 0);
}

struct tok_result tok_find_tokens(struct tok_token_list *out_list, const struct tok_settings *settings,
                                  const struct tok_uri *uri, uint64_t deadline_us)
{
    SCOPED(tok_token_list_end) struct tok_token_list list = { .items = NULL };
    SCOPED(tok_module_list_end) struct tok_module_list modules = { .items = NULL };
    uint64_t give_up_us = clock_us() + OVERLOOKED_US < deadline_us ? clock_us() + OVERLOOKED_US : deadline_us;
    uint64_t pause_us = pause_after(0, &pauses_to_start_again);
    struct tok_result result;

    TOK_TRY(modules_for(&modules, settings, uri, deadline_us));
    result = tokens_collect(&list, &modules, settings, uri, deadline_us);
    if (is_not_seen(&result)) {
        count_slots(&modules, deadline_us);
        result = tokens_collect(&list, &modules, settings, uri, deadline_us);
    }
    while (!tok_ok(&result)) {
        if (!is_not_seen(&result) || settings->never_reinit || clock_us() + pause_us >= give_up_us ||
            !start_again(&modules, pause_us, deadline_us)) {
            return result;
        }
        pause_us = pause_after(pause_us, &pauses_to_start_again);
        result = tokens_collect(&list, &modules, settings, uri, deadline_us);
    }
    *out_list = STEAL(list);
    return tok_good();
}

struct tok_result tok_find_met_tokens(struct tok_token_list *out_list, const struct tok_settings *settings,
                                      const struct tok_uri *uri, uint64_t deadline_us)
{
    SCOPED(tok_token_list_end) struct tok_token_list list = { .items = NULL };
    SCOPED(tok_module_list_end) struct tok_module_list modules = { .items = NULL };

    TOK_TRY(modules_for(&modules, settings, uri, deadline_us));
    for (size_t i = 0; i < modules.count; i++) {
        TOK_TRY(tokens_matching(&list, modules.items[i], settings, uri, deadline_us));
    }
    *out_list = STEAL(list);
    return tok_good();
}

/* A module that fails hides nothing of the others. */
static void look_if_unseen(struct tok_module *module, bool never_reinit, uint64_t deadline_us)
{
    uint64_t looks;
    struct tok_result result = tok_module_trouble(module, &looks);

    if (looks == 0 || module->state != TOK_MODULE_READY) {
        result = module_look(module, never_reinit, deadline_us);
    }
    if (!tok_ok(&result)) {
        trace(TRACE_MODULE, "module: %s", result.message);
    }
}

struct tok_result tok_find_known_tokens(struct tok_token_list *out_list, const struct tok_settings *settings,
                                        const struct tok_uri *uri, uint64_t deadline_us)
{
    SCOPED(tok_token_list_end) struct tok_token_list list = { .items = NULL };
    SCOPED(tok_module_list_end) struct tok_module_list modules = { .items = NULL };

    TOK_TRY(modules_for(&modules, settings, uri, deadline_us));
    for (size_t i = 0; i < modules.count; i++) {
        struct tok_result result;

        look_if_unseen(modules.items[i], settings->never_reinit, deadline_us);
        result = tokens_matching(&list, modules.items[i], settings, uri, deadline_us);
        if (result.code == TOK_CODE_NO_MEMORY) {
            return result;
        }
    }
    *out_list = STEAL(list);
    return tok_good();
}

struct tok_result tok_find_other_tokens(struct tok_token_list *out_list, const struct tok_settings *settings,
                                        const struct tok_uri *uri, uint64_t deadline_us)
{
    SCOPED(tok_token_list_end) struct tok_token_list list = { .items = NULL };
    SCOPED(tok_module_list_end) struct tok_module_list modules = { .items = NULL };
    SCOPED(tok_uri_end) struct tok_uri *any = NULL;

    TOK_TRY(tok_uri_parse(&any, "pkcs11:", TOK_URI_FROM_FILE));
    TOK_TRY(modules_for(&modules, settings, uri, deadline_us));
    for (size_t i = 0; i < modules.count; i++) {
        TOK_TRY(tokens_matching(&list, modules.items[i], settings, any, deadline_us));
    }
    *out_list = STEAL(list);
    return tok_good();
}
