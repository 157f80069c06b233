#include "pkcs11/token/token.h"

#include <string.h>

#include "base/trace.h"
#include "pkcs11/module/answer.h"
#include "pkcs11/token/pool.h"

/* Slots of one look: C_GetSlotList is called once for nearly everybody. */
#define SLOTS_AT_ONCE 64

bool tok_tokens_are_one(const CK_TOKEN_INFO *a, const CK_TOKEN_INFO *b)
{
    return memcmp(a->label, b->label, sizeof(a->label)) == 0 &&
           memcmp(a->serialNumber, b->serialNumber, sizeof(a->serialNumber)) == 0 &&
           memcmp(a->manufacturerID, b->manufacturerID, sizeof(a->manufacturerID)) == 0 &&
           memcmp(a->model, b->model, sizeof(a->model)) == 0;
}

void tok_label_text(char out_label[33], const CK_TOKEN_INFO *info)
{
    size_t len = sizeof(info->label);

    while (len > 0 && (info->label[len - 1] == ' ' || info->label[len - 1] == '\0')) {
        len--;
    }
    memcpy(out_label, info->label, len);
    out_label[len] = '\0';
}

/* Requires the token's lock. Sessions of the old epoch are not closed: the module forgot them, or closes them itself.
 */
static void token_forget(struct tok_token *token)
{
    token->epoch++;
    token->objects++;
    tok_pool_forget(&token->pool);
    token->login = TOK_LOGGED_OUT;
    token->info_fresh = false;
    flight_end(&token->logging_in, &token->lock); /* a login that is under way is to another epoch: nobody's any more */
    tok_pool_wake(token);
}

void tok_token_lost(struct tok_token *token, uint64_t epoch)
{
    LOCKED(&token->lock);
    if (epoch != 0 && epoch != token->epoch) {
        return;
    }
    trace(TRACE_TOKEN, "token: sessions and login on '%s' are gone", token->label);
    token_forget(token);
}

/* In the child there is one thread, and nobody who waits. A login that a thread of the parent was busy with is not
 * ours. */
static void token_anew(struct tok_token *token)
{
    lock_init(&token->lock);
    tok_pool_anew(&token->pool);
    tok_health_good(&token->health);
    atomic_store(&token->in_flight, 0);
    token_forget(token);
}

/* Around a fork all tokens' locks are held, so that the child gets whole lists. */
static void tokens_prepare(struct tok_module *module)
{
    for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
        lock_take(&token->lock);
    }
}

static void tokens_parent(struct tok_module *module)
{
    for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
        lock_give(&token->lock);
    }
}

static void tokens_child(struct tok_module *module)
{
    for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
        token_anew(token);
    }
}

static const struct tok_tokens_fork tokens_fork = { tokens_prepare, tokens_parent, tokens_child };

static _Atomic uint64_t tokens_met;

uint64_t tok_tokens_met(void)
{
    return atomic_load_explicit(&tokens_met, memory_order_relaxed);
}

static struct tok_token *token_new(struct tok_module *module, CK_SLOT_ID slot, const CK_TOKEN_INFO *info)
{
    struct tok_token *token = calloc(1, sizeof(*token));
    struct tok_token **last;

    if (token != NULL) {
        lock_init(&token->lock);
        token->epoch = 1;
        token->objects = 1;
        token->module = module;
        token->slot = slot;
        token->info = *info;
        tok_label_text(token->label, info);
        for (last = &module->tokens; *last != NULL; last = &(*last)->next) {
        }
        *last = token;
        module->tokens_fork = &tokens_fork;
        atomic_fetch_add(&tokens_met, 1);
        trace(TRACE_TOKEN, "token: '%s' is in slot %lu of '%s'", token->label, slot, module->path);
    }
    return token;
}

/* Requires the module's lock. Among tokens that look alike the one last seen in this slot is meant; one that was
 * already met in this look is another. */
static struct tok_token *token_known(struct tok_module *module, CK_SLOT_ID slot, const CK_TOKEN_INFO *info)
{
    struct tok_token *moved = NULL;

    for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
        LOCKED(&token->lock);
        if (token->looked == module->looks || !tok_tokens_are_one(&token->info, info)) {
            continue;
        }
        if (token->slot == slot) {
            return token;
        }
        moved = token;
    }
    return moved;
}

/* Requires the module's lock. */
static bool token_seen(struct tok_module *module, CK_SLOT_ID slot, const CK_TOKEN_INFO *info)
{
    struct tok_token *token = token_known(module, slot, info);

    if (token == NULL) {
        token = token_new(module, slot, info);
    }
    if (token == NULL) {
        return false;
    }
    LOCKED(&token->lock);
    if (token->slot != slot) {
        trace(TRACE_TOKEN, "token: '%s' moved to slot %lu", token->label, slot);
        token->slot = slot;
        token_forget(token);
    }
    token->present = true;
    token->looked = module->looks;
    token->seen = module->starts;
    token->info = *info;
    token->info_fresh = true;
    return true;
}

static CK_RV slots_ask(const void *arg, CK_ULONG *items, CK_ULONG *in_out_count)
{
    const struct tok_module *module = arg;

    return TOK_CALL(module->functions, C_GetSlotList, CK_TRUE, items, in_out_count);
}

static struct tok_result slots_list(struct tok_numbers *out_slots, const struct tok_module *module,
                                    uint64_t deadline_us)
{
    const struct tok_question question = { .function = "C_GetSlotList",
                                           .things = "slots",
                                           .ask = slots_ask,
                                           .arg = module,
                                           .first = SLOTS_AT_ONCE,
                                           .deadline_us = deadline_us };

    return tok_answer_numbers(out_slots, &question);
}

struct look {
    CK_SLOT_ID slot;
    CK_TOKEN_INFO info;
};

/* An empty slot, or one whose card nobody understands, is no trouble. */
static bool is_trouble(CK_RV rv)
{
    return rv != CKR_OK && rv != CKR_TOKEN_NOT_PRESENT && rv != CKR_TOKEN_NOT_RECOGNIZED;
}

static bool is_blank(const CK_UTF8CHAR *field, size_t size)
{
    while (size > 0 && (field[size - 1] == ' ' || field[size - 1] == '\0')) {
        size--;
    }
    return size == 0;
}

/* A token that is initialised, but has no label or no serial number. */
static bool is_half(const CK_TOKEN_INFO *info)
{
    return (info->flags & CKF_TOKEN_INITIALIZED) != 0 &&
           (is_blank(info->label, sizeof(info->label)) || is_blank(info->serialNumber, sizeof(info->serialNumber)));
}

/* Whether the half may be the token that was last seen in this slot. */
static bool is_half_of_known(struct tok_module *module, CK_SLOT_ID slot, const CK_TOKEN_INFO *half)
{
    LOCKED(&module->lock);
    for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
        LOCKED(&token->lock);
        if (token->slot == slot && !is_half(&token->info) &&
            (is_blank(half->label, sizeof(half->label)) ||
             memcmp(half->label, token->info.label, sizeof(half->label)) == 0) &&
            (is_blank(half->serialNumber, sizeof(half->serialNumber)) ||
             memcmp(half->serialNumber, token->info.serialNumber, sizeof(half->serialNumber)) == 0)) {
            return true;
        }
    }
    return false;
}

static CK_RV info_read(CK_TOKEN_INFO *out_info, struct tok_module *module, CK_SLOT_ID slot)
{
    CK_RV rv = TOK_CALL(module->functions, C_GetTokenInfo, slot, out_info);

    tok_token_info_pad(out_info);
    return rv;
}

/* SoftHSM, whose token another process is writing just then, gives half of it and says CKR_OK. Taken for a token of its
 * own, the half would be waited for in vain, and its PIN would not be known as refused: so it counts only if the module
 * says the same again, and not where it may be half of a token that is known. */
static CK_RV ask_slot(CK_TOKEN_INFO *out_info, struct tok_module *module, CK_SLOT_ID slot)
{
    CK_RV rv = info_read(out_info, module, slot);
    CK_TOKEN_INFO before;

    if (rv != CKR_OK || !is_half(out_info)) {
        return rv;
    }
    before = *out_info;
    rv = info_read(out_info, module, slot);
    if (rv != CKR_OK || !is_half(out_info)) {
        return rv;
    }
    return tok_tokens_are_one(&before, out_info) && !is_half_of_known(module, slot, out_info) ? CKR_OK
                                                                                              : CKR_GENERAL_ERROR;
}

/* A slot that is listed twice is one: its token would be another one each time. */
static bool listed_before(const struct tok_numbers *slots, size_t i)
{
    for (size_t earlier = 0; earlier < i; earlier++) {
        if (slots->items[earlier] == slots->items[i]) {
            return true;
        }
    }
    return false;
}

/* A slot that fails to tell is a slot without a token for now: another one may hold what we look for. *out_trouble is
 * the first failure. */
static struct tok_result look_into(struct look *found, size_t *out_num, size_t *out_blank,
                                   struct tok_result *out_trouble, struct tok_module *module, const struct tok_numbers *slots, uint64_t deadline_us)
{
    const CK_SLOT_ID *ids = slots->items;
    size_t num = 0;

    *out_trouble = tok_good();
    *out_blank = 0;
    for (size_t i = 0; i < slots->count; i++) {
        CK_RV rv;

        if (i > 0 && clock_us() >= deadline_us) {
            return tok_fail(TOK_CODE_DEADLINE, "C_GetTokenInfo: %zu of %lu slots were looked at", i, slots->count);
        }
        if (listed_before(slots, i)) {
            continue;
        }
        rv = ask_slot(&found[num].info, module, ids[i]);
        if (rv == CKR_OK && (found[num].info.flags & CKF_TOKEN_INITIALIZED) != 0) {
            found[num++].slot = ids[i];
            continue;
        }
        *out_blank += rv == CKR_OK;
        trace(TRACE_TOKEN, "token: slot %lu has no usable token (%lu)", ids[i], rv);
        if (is_trouble(rv) && tok_ok(out_trouble)) {
            *out_trouble =
                tok_context(tok_fail_ckr("C_GetTokenInfo", rv), "slot %lu of module '%s'", ids[i], module->path);
        }
    }
    *out_num = num;
    return tok_good();
}

/* One look, by the thread that has the right to. */
static struct tok_result look(struct tok_module *module, uint64_t deadline_us)
{
    SCOPED(tok_numbers_end) struct tok_numbers slots = { .items = NULL };
    SCOPED(scoped_free) struct look *found = NULL;
    struct tok_result trouble;
    size_t num = 0;
    size_t blank = 0;

    TOK_TRY(tok_context(slots_list(&slots, module, deadline_us), "module '%s'", module->path));
    found = calloc(slots.count + 1, sizeof(*found));
    if (found == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "looking for tokens");
    }
    TOK_TRY(look_into(found, &num, &blank, &trouble, module, &slots, deadline_us));

    LOCKED(&module->lock);
    module->looks++;
    module->trouble = trouble;
    module->blank = blank;
    for (size_t i = 0; i < num; i++) {
        if (!token_seen(module, found[i].slot, &found[i].info)) {
            return tok_fail(TOK_CODE_NO_MEMORY, "looking for tokens");
        }
    }
    for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
        LOCKED(&token->lock);
        token->present = token->looked == module->looks;
    }
    return tok_good();
}

struct tok_result tok_tokens_look(struct tok_module *module, uint64_t deadline_us)
{
    struct tok_result result;
    bool looked;

    TOK_TRY(tok_module_enter(module, &looked, deadline_us));
    if (looked) {
        return tok_good();
    }
    result = look(module, deadline_us);
    tok_module_leave(module, tok_ok(&result));
    return result;
}

struct tok_result tok_module_trouble(struct tok_module *module, uint64_t *out_look)
{
    LOCKED(&module->lock);
    *out_look = module->looks;
    return module->trouble;
}

bool tok_module_has_slots(struct tok_module *module, uint64_t deadline_us)
{
    struct tok_result result = tok_module_enter(module, NULL, deadline_us);
    CK_ULONG count = 0;
    CK_RV rv;

    if (!tok_ok(&result)) {
        return true; /* who is in there knows better */
    }
    rv = TOK_CALL(module->functions, C_GetSlotList, CK_FALSE, NULL, &count);
    tok_module_leave(module, false);
    return rv == CKR_OK && count > 0;
}

bool tok_module_in_use(struct tok_module *module)
{
    LOCKED(&module->lock);
    for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
        LOCKED(&token->lock);
        if (token->pool.num_lent > 0) {
            return true;
        }
    }
    return false;
}

size_t tok_module_blank(struct tok_module *module)
{
    LOCKED(&module->lock);
    return module->blank;
}

bool tok_module_has_token(struct tok_module *module)
{
    LOCKED(&module->lock);
    for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
        if (tok_token_present(token)) {
            return true;
        }
    }
    return false;
}

struct tok_result tok_token_start(struct tok_token *token, uint64_t deadline_us)
{
    struct tok_module *module = token->module;

    TOK_TRY(tok_module_start(module, deadline_us));
    if (atomic_load_explicit(&token->seen, memory_order_relaxed) ==
        atomic_load_explicit(&module->starts, memory_order_relaxed)) {
        return tok_good();
    }
    TOK_TRY(tok_tokens_look(module, deadline_us));
    return tok_token_present(token) ? tok_good() : tok_fail_ckr("C_GetSlotList", CKR_TOKEN_NOT_PRESENT);
}

bool tok_token_present(struct tok_token *token)
{
    LOCKED(&token->lock);
    return token->present;
}

void tok_token_info(struct tok_token *token, CK_TOKEN_INFO *out_info)
{
    LOCKED(&token->lock);
    *out_info = token->info;
}

struct tok_result tok_token_refresh(struct tok_token *token)
{
    CK_TOKEN_INFO info = { .flags = 0 };
    CK_SLOT_ID slot;

    {
        LOCKED(&token->lock);
        if (token->info_fresh) {
            return tok_good();
        }
        slot = token->slot;
    }
    TOK_TRY(TOK_DO(token->module->functions, C_GetTokenInfo, slot, &info));
    tok_token_info_pad(&info);
    LOCKED(&token->lock);
    if (!tok_tokens_are_one(&info, &token->info)) {
        return tok_fail_ckr("C_GetTokenInfo", CKR_TOKEN_NOT_PRESENT);
    }
    token->info = info;
    token->info_fresh = true;
    return tok_good();
}

const struct tok_named_token *tok_token_settings(struct tok_token *token, const struct tok_settings *settings)
{
    CK_TOKEN_INFO info;

    tok_token_info(token, &info);
    for (size_t i = 0; i < settings->num_tokens; i++) {
        if (tok_uri_matches_token(settings->tokens[i].uri, &info)) {
            return &settings->tokens[i];
        }
    }
    return NULL;
}

void tok_token_note_settings(struct tok_token *token, const struct tok_settings *settings)
{
    const struct tok_named_token *named = tok_token_settings(token, settings);
    struct tok_module *module = token->module;

    if (named != NULL) {
        LOCKED(&module->lock);
        module->fork = named->fork > module->fork ? named->fork : module->fork;
    }
}

unsigned tok_token_max_sessions(struct tok_token *token, const struct tok_settings *settings)
{
    const struct tok_named_token *named = settings->num_tokens == 0 ? NULL : tok_token_settings(token, settings);

    return named != NULL && named->max_sessions != 0 ? named->max_sessions : settings->max_sessions;
}

static struct tok_result slot_matches(bool *out_matches, struct tok_token *token, const struct tok_uri *uri,
                                      uint64_t deadline_us)
{
    struct tok_result result;
    CK_SLOT_INFO info = { .flags = 0 };
    CK_SLOT_ID slot;

    *out_matches = true;
    if (!tok_uri_asks_slot(uri)) {
        return tok_good();
    }
    {
        LOCKED(&token->lock);
        slot = token->slot;
    }
    TOK_TRY(tok_module_enter(token->module, NULL, deadline_us));
    result = TOK_DO(token->module->functions, C_GetSlotInfo, slot, &info);
    tok_module_leave(token->module, false);
    *out_matches = tok_ok(&result) && tok_uri_matches_slot(uri, slot, &info);
    return result;
}

/* The next token after `token` that is present and that the URI may mean. Presence is read under the module's lock,
 * because a look by another thread holds that one from its first change to its last. */
static struct tok_token *token_next(struct tok_module *module, struct tok_token *token, const struct tok_uri *uri)
{
    LOCKED(&module->lock);
    for (token = token == NULL ? module->tokens : token->next; token != NULL; token = token->next) {
        LOCKED(&token->lock);
        if (token->present && tok_uri_matches_token(uri, &token->info)) {
            break;
        }
    }
    return token;
}

struct tok_result tok_token_matching(struct tok_token **in_out_token, struct tok_module *module,
                                     const struct tok_uri *uri, uint64_t deadline_us)
{
    struct tok_token *token = *in_out_token;

    *in_out_token = NULL;
    if (token == NULL && tok_uri_asks_module(uri)) {
        CK_INFO info;

        TOK_TRY(tok_module_info(module, &info, deadline_us));
        if (!tok_uri_matches_module(uri, &info)) {
            return tok_good();
        }
    }
    while ((token = token_next(module, token, uri)) != NULL) {
        bool matches;

        TOK_TRY(slot_matches(&matches, token, uri, deadline_us));
        if (matches) {
            *in_out_token = token;
            return tok_good();
        }
    }
    return tok_good();
}
