#include "pkcs11/module/module.h"

#include <string.h>

#include "base/fork.h"
#include "base/pause.h"
#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/result/ckr.h"

/* Pauses between initialising again: those between trials, and shorter ones where it harms nobody. */
#define AGAIN_HARMLESS_US (UINT64_C(200) * 1000)

/* The threads of a server share the module, so it must lock; it may use the system's locks. */
static CK_RV initialize(struct tok_module *module)
{
    CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK, .pReserved = module->init_args };

    return TOK_CALL(module->functions, C_Initialize, &args);
}

/* Requires the lock. False with *out_result once there is no more time. */
static bool wait_for(struct tok_module *module, struct flight *flight, uint64_t deadline_us,
                     struct tok_result *out_result)
{
    while (flight->on) {
        if (!flight_wait(flight, &module->lock, deadline_us) && flight->on) {
            char why[160];
            struct text text = TEXT_OVER(why);

            flight_late(flight, &text);
            *out_result = tok_fail(TOK_CODE_DEADLINE, "module '%s': %s", module->path, why);
            return false;
        }
    }
    *out_result = tok_good();
    return true;
}

/* Requires the lock. Waits until the module is neither being initialised nor looked at. */
static struct tok_result wait_idle(struct tok_module *module, uint64_t deadline_us)
{
    struct tok_result result;

    do {
        if (!wait_for(module, &module->starting, deadline_us, &result) ||
            !wait_for(module, &module->looking, deadline_us, &result)) {
            return result;
        }
    } while (module->starting.on);
    return result;
}

/* start_claim takes the right to initialise. True if the caller has it; false with *out_result otherwise. */
static bool start_claim(struct tok_module *module, uint64_t deadline_us, struct tok_result *out_result)
{
    LOCKED(&module->lock);
    if (!tok_health_is_away(&module->health)) {
        if (!wait_for(module, &module->starting, deadline_us, out_result) || module->state == TOK_MODULE_READY) {
            return false;
        }
    }
    if (tok_health_is_away(&module->health) && !tok_health_try(&module->health, clock_us())) {
        *out_result =
            tok_context(tok_health_refusal(&module->health, clock_us()), "initialising module '%s'", module->path);
        return false;
    }
    module->state = TOK_MODULE_STARTING;
    flight_begin(&module->starting, tok_inside_here());
    return true;
}

/* Requires the lock. A module that took longer than anybody would wait, only to fail, is started by one caller now and
 * then. */
static void start_judge(struct tok_module *module, CK_RV rv, uint64_t deadline_us)
{
    uint64_t now = clock_us();
    char why[64];
    struct text text = TEXT_OVER(why);

    if (module->state == TOK_MODULE_READY) {
        tok_health_good(&module->health);
    } else if (tok_health_is_away(&module->health)) {
        tok_health_failed(&module->health, now);
    } else if (module->starting.late || (now >= deadline_us && flight_is_slow(&module->starting, now))) {
        text_printf(&text, "C_Initialize: %s", tok_ckr(rv)->name);
        tok_health_away(&module->health, now, module->starting.since_us, false, why);
    }
}

/* start_end says how it went, and opens the door again. */
static void start_end(struct tok_module *module, CK_RV rv, uint64_t deadline_us)
{
    LOCKED(&module->lock);
    module->initialized_by_us = rv == CKR_OK;
    module->inherited = module->inherited && rv != CKR_OK;
    module->starts++;
    module->again_us = module->again_us == 0 ? clock_us() + AGAIN_HARMLESS_US : module->again_us;
    module->state = rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED ? TOK_MODULE_READY : TOK_MODULE_IDLE;
    module->closed = false;
    start_judge(module, rv, deadline_us);
    flight_end(&module->starting, &module->lock);
}

/* C_GetInfo is the one call that needs no state. */
const struct tok_quirk *tok_module_quirk_inside(struct tok_module *module)
{
    const struct tok_quirk *row = tok_quirk_of(module->path, NULL);
    CK_INFO info = { .flags = 0 };

    if (row->file == NULL && TOK_CALL(module->functions, C_GetInfo, &info) == CKR_OK) {
        row = tok_quirk_of(module->path, &info);
    }
    return row;
}

static enum tok_fork fork_configured(struct tok_module *module)
{
    LOCKED(&module->lock);
    return module->fork;
}

/* What to do with this module in a child, and why (static). */
static enum tok_fork fork_choose(struct tok_module *module, const char **out_reason)
{
    enum tok_fork configured = fork_configured(module);
    const struct tok_quirk *row;

    *out_reason = "token.NAME.quirks says so";
    if (configured != TOK_FORK_UNSAID) {
        return configured;
    }
    row = tok_module_quirk_inside(module);
    *out_reason = row->reason;
    return row->fork;
}

/* Must a child not even initialise this module? Decided without a call, which would be over the parent's connection: so
 * a module is known by its file alone. */
static bool forgets_fork(struct tok_module *module)
{
    return tok_quirk_of(module->path, NULL)->forgets_fork && fork_configured(module) != TOK_FORK_SHARE;
}

static bool is_inherited(struct tok_module *module, bool *out_by_us)
{
    LOCKED(&module->lock);
    *out_by_us = module->inherited_by_us;
    return module->inherited;
}

static struct tok_result refused(const struct tok_module *module, const char *reason)
{
    return tok_fail(TOK_CODE_AFTER_FORK, "module '%s' was opened before the fork and can't be used after it: %s",
                    module->path, reason);
}

/* The module says that it is initialised. Somebody else in this process did it, or it does not know that it is in the
 * child of a fork, and what it has is a copy of the parent's state; what somebody else made is not finalised there. */
static struct tok_result start_inherited(struct tok_module *module, CK_RV *in_out_rv)
{
    const char *reason;
    bool by_us;
    bool inherited = is_inherited(module, &by_us);
    enum tok_fork what = inherited ? fork_choose(module, &reason) : TOK_FORK_SHARE;

    if (what == TOK_FORK_SHARE) {
        /* The fork may have come while the parent's copy overlooked the token: the child makes its own anew then. A
         * child that has not started the module has neither a session nor a login that it could lose by that. */
        if (inherited && by_us && tok_module_quirk_inside(module)->start_may_miss) {
            *in_out_rv = CKR_OK;
        }
        return tok_good();
    }
    if (what == TOK_FORK_FINALIZE && by_us) {
        trace(TRACE_MODULE, "module: '%s' is finalised in the child of a fork: %s", module->path, reason);
        (void)TOK_CALL(module->functions, C_Finalize, NULL);
        *in_out_rv = initialize(module);
        return tok_good();
    }
    *in_out_rv = CKR_FUNCTION_NOT_SUPPORTED; /* not started */
    return refused(module, what == TOK_FORK_FINALIZE ? "another part of the parent initialised it" : reason);
}

static struct tok_result start_here(struct tok_module *module, CK_RV *out_rv)
{
    bool by_us;

    if (is_inherited(module, &by_us) && forgets_fork(module)) {
        *out_rv = CKR_FUNCTION_NOT_SUPPORTED; /* not started */
        return refused(module, tok_quirk_of(module->path, NULL)->reason);
    }
    *out_rv = initialize(module);
    return *out_rv == CKR_CRYPTOKI_ALREADY_INITIALIZED ? start_inherited(module, out_rv) : tok_good();
}

struct tok_result tok_module_start(struct tok_module *module, uint64_t deadline_us)
{
    struct tok_result result;
    CK_RV rv;

    if (tok_inside_module()) {
        return tok_fail(TOK_CODE_RECURSION, "a module asked for a token key while it was being called itself");
    }
    if (process_exiting()) {
        return tok_fail(TOK_CODE_EXITING, "module '%s' is not used any more", module->path);
    }
    if (atomic_load_explicit(&module->state, memory_order_acquire) == TOK_MODULE_READY) {
        return tok_good();
    }
    if (!start_claim(module, deadline_us, &result)) {
        return result;
    }
    result = start_here(module, &rv);
    process_watch_exit(); /* after the module's own exit handlers are registered, so that ours runs first */
    start_end(module, rv, deadline_us);
    if (!tok_ok(&result) || rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED) {
        return result;
    }
    return tok_context(tok_fail_ckr("C_Initialize", rv), "module '%s'", module->path);
}

bool tok_module_forgot(struct tok_module *module, uint64_t starts)
{
    if (module->starts != starts) {
        return false;
    }
    if (module->state == TOK_MODULE_READY) {
        module->state = TOK_MODULE_IDLE;
    }
    return true;
}

/* --- once more ---------------------------------------------------------------------------------------------------- */

/* Requires the lock. May the module be finalised? */
static struct tok_result may_finalize(struct tok_module *module, bool harmless)
{
    uint64_t now = clock_us();

    if (!module->initialized_by_us) {
        return tok_fail(TOK_CODE_UNSUPPORTED, "module '%s' was initialised %s%s", module->path,
                        module->inherited ? "before this process was forked" : "by another part of this process",
                        TOK_RESTART);
    }
    if (now < module->again_us) {
        return tok_fail(TOK_CODE_UNAVAILABLE, "module '%s' was initialised again just now", module->path);
    }
    module->again_pause = harmless ? AGAIN_HARMLESS_US : pause_after(module->again_pause, &pauses_to_probe);
    module->again_us = now + module->again_pause;
    return tok_good();
}

bool tok_module_again_begin(struct tok_module *module, uint64_t starts, bool harmless, uint64_t deadline_us,
                            struct tok_result *out_result)
{
    LOCKED(&module->lock);
    *out_result = wait_idle(module, deadline_us);
    if (!tok_ok(out_result) || module->starts != starts || module->state != TOK_MODULE_READY) {
        return false;
    }
    *out_result = may_finalize(module, harmless);
    if (!tok_ok(out_result)) {
        return false;
    }
    module->state = TOK_MODULE_STARTING;
    module->closed = true;
    flight_begin(&module->starting, tok_inside_here());
    return true;
}

void tok_module_again_cancel(struct tok_module *module)
{
    LOCKED(&module->lock);
    module->state = TOK_MODULE_READY;
    module->closed = false;
    flight_end(&module->starting, &module->lock);
}

struct tok_result tok_module_again_end(struct tok_module *module, uint64_t deadline_us)
{
    CK_RV rv;

    trace(TRACE_MODULE, "module: '%s' is initialised again", module->path);
    (void)TOK_CALL(module->functions, C_Finalize, NULL); /* a module whose daemon is dead may well complain */
    rv = initialize(module);
    /* what was ours and would not be finalised still is */
    start_end(module, rv == CKR_CRYPTOKI_ALREADY_INITIALIZED ? CKR_OK : rv, deadline_us);
    return rv == CKR_OK ? tok_good() : tok_context(tok_fail_ckr("C_Initialize", rv), "module '%s'", module->path);
}

struct tok_result tok_module_enter(struct tok_module *module, bool *out_looked, uint64_t deadline_us)
{
    uint64_t begun_before;

    LOCKED(&module->lock);
    begun_before = module->looks_begun;
    TOK_TRY(wait_idle(module, deadline_us));
    if (out_looked != NULL) {
        *out_looked = module->looks_good > begun_before;
        if (*out_looked) {
            return tok_good();
        }
    }
    module->looks_begun++;
    flight_begin(&module->looking, tok_inside_here());
    return tok_good();
}

void tok_module_leave(struct tok_module *module, bool has_looked)
{
    LOCKED(&module->lock);
    if (has_looked) {
        module->looks_good = module->looks_begun;
    }
    flight_end(&module->looking, &module->lock);
}

void tok_module_anew(struct tok_module *module)
{
    lock_init(&module->lock);
    if (module->state != TOK_MODULE_IDLE) {
        module->inherited = true;
        module->inherited_by_us = module->initialized_by_us || module->state == TOK_MODULE_STARTING;
    }
    module->state = TOK_MODULE_IDLE;
    module->closed = false;
    module->starting = module->looking = (struct flight){ .on = false };
    module->initialized_by_us = false;
    tok_health_good(&module->health);
    module->again_us = 0;
    module->again_pause = 0;
}

struct tok_result tok_module_info(struct tok_module *module, CK_INFO *out_info, uint64_t deadline_us)
{
    struct tok_result result;

    {
        LOCKED(&module->lock);
        if (module->has_info) {
            *out_info = module->info;
            return tok_good();
        }
    }
    TOK_TRY(tok_module_enter(module, NULL, deadline_us));
    *out_info = (CK_INFO){ .flags = 0 };
    result = tok_context(TOK_DO(module->functions, C_GetInfo, out_info), "module '%s'", module->path);
    tok_module_leave(module, false);
    TOK_TRY(result);
    LOCKED(&module->lock);
    module->info = *out_info;
    module->has_info = true;
    return tok_good();
}

const struct tok_quirk *tok_module_quirk(struct tok_module *module, uint64_t deadline_us)
{
    const struct tok_quirk *row = tok_quirk_of(module->path, NULL);
    CK_INFO info;

    if (row->file == NULL) {
        struct tok_result result = tok_module_info(module, &info, deadline_us);

        row = tok_ok(&result) ? tok_quirk_of(module->path, &info) : row;
    }
    return row;
}
