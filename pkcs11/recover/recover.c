#include "pkcs11/recover/recover.h"

#include <string.h>

#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/result/ckr.h"
#include "pkcs11/token/again.h"
#include "pkcs11/token/login.h"

#define MOMENTS 5       /* 10, 20, 40, 80, 160 ms */
#define AT_ONCE 3       /* so many losses after another are believed, and recovered from without a pause */
#define MOST_LOGINS 3   /* in one operation, whose answer may mean that a PIN, right before, was changed on the token */
#define LONG_MOMENTS 10 /* 1.3 s with the pauses that follow */

#define BIT(recovery) (1u << (recovery))
/* After these, what is not found may be there behind a login. */
#define SOMETHING_LOST (BIT(TOK_NEW_SESSION) | BIT(TOK_FIND_AGAIN) | BIT(TOK_LOOK_AGAIN) | BIT(TOK_SLOT_AGAIN))

/* What is about sessions, a login or the token as a whole: the token can be asked whether it is so. */
#define LOSSES                                                                                                         \
    (BIT(TOK_NEW_SESSION) | BIT(TOK_LOG_IN_AGAIN) | BIT(TOK_FIND_AGAIN) | BIT(TOK_SLOT_AGAIN) | BIT(TOK_INITIALIZE))

/* One failure, on its way to another attempt. */
struct failure {
    struct tok_attempts *attempts;
    struct tok_token *token;
    const struct tok_lease *lease;
    struct tok_result *result;
};

/* --- recoveries --------------------------------------------------------------------------------------------------- */

void tok_note_failure(struct tok_lease *lease, const struct tok_result *failure)
{
    lease->failed = true;
    switch (tok_first_recovery(failure)) {
    case TOK_NEW_SESSION:
    case TOK_LOOK_AGAIN:
    case TOK_SLOT_AGAIN:
    case TOK_INITIALIZE:
        lease->spoilt = true;
        break;
    default:
        break;
    }
    if (tok_is(failure, CKR_OPERATION_NOT_INITIALIZED)) {
        /* Nothing is left open; and if the session got lost and its number was given out again, it is another's. */
        lease->op_open = false;
        lease->spoilt = false;
    }
    /* Where none is held, as when one is being opened or the token is looked for, no session can be forgotten. */
    lease->forgotten = lease->token != NULL &&
                       (tok_is(failure, CKR_SESSION_HANDLE_INVALID) || tok_is(failure, CKR_SESSION_CLOSED));
}

/* Handles of objects may name others by now: the token was restarted, perhaps. */
static void handles_are_stale(struct tok_token *token)
{
    LOCKED(&token->lock);
    token->objects++;
}

/* HOST_MEMORY is the one value that means something else on most tokens. */
static bool log_in_again(struct failure *failure)
{
    struct tok_token *token = failure->token;
    bool logged_in;

    {
        LOCKED(&token->lock);
        logged_in = token->login == TOK_LOGGED_IN;
    }
    if (!logged_in && !tok_is(failure->result, CKR_USER_NOT_LOGGED_IN)) {
        return tok_attempts_pause(failure->attempts);
    }
    tok_login_lost(token);
    return true;
}

static bool find_again(struct failure *failure)
{
    handles_are_stale(failure->token);
    return true;
}

/* Starts the module and looks for the token: once. *out_seen: it is there. */
static struct tok_result look(struct tok_token *token, uint64_t deadline_us, bool *out_seen)
{
    struct tok_module *module = token->module;
    struct tok_result result;
    uint64_t starts;

    *out_seen = false;
    TOK_TRY(tok_module_start(module, deadline_us));
    starts = module->starts;
    result = tok_tokens_look(module, deadline_us);
    if (tok_is(&result, CKR_CRYPTOKI_NOT_INITIALIZED)) {
        tok_module_lost(module, starts);
    }
    *out_seen = tok_ok(&result) && tok_token_present(token);
    return result;
}

#define FORBIDDEN "the module is not initialised again, since reinit = never"

/* Keeps for the message why the module can't be initialised again; that it was so just now is no reason. */
static void note(const struct failure *failure, const struct tok_result *again)
{
    struct text text = TEXT_OVER(failure->attempts->note);

    if (!tok_ok(again) && again->code != TOK_CODE_UNAVAILABLE) {
        text_put(&text, again->message);
        if (again->code == TOK_CODE_CKR && strcmp(again->function, "C_Initialize") == 0) {
            failure->attempts->not_started = again->rv;
        }
        trace(TRACE_MODULE, "module: %s", again->message);
    }
}

/* A module that can't even tell its slots while it serves nobody, or has none any more, is one whose daemon went: it
 * has to be initialised again, and until the daemon is back perhaps more than once. */
static bool revive(struct failure *failure, uint64_t starts, const struct tok_result *looked)
{
    struct tok_attempts *attempts = failure->attempts;
    struct tok_module *module = failure->token->module;
    struct tok_result result;

    if (module->state != TOK_MODULE_READY || (tok_ok(looked) && tok_module_has_slots(module, attempts->deadline_us) &&
                                              !tok_module_may_miss(module, attempts->deadline_us))) {
        return false;
    }
    if (!tok_ok(looked) && tok_others_are_served(attempts, failure->token)) {
        return false;
    }
    if (attempts->never_reinit) {
        result = tok_fail(TOK_CODE_UNSUPPORTED, FORBIDDEN);
        note(failure, &result);
        return false;
    }
    result = tok_module_again(module, starts, true, attempts->deadline_us);
    note(failure, &result);
    return tok_ok(&result);
}

static void note_absence(struct failure *failure, const struct tok_result *looked)
{
    struct text text = TEXT_OVER(failure->attempts->note);

    if (tok_ok(looked)) {
        text_put(&text, "the token is not there any more");
    } else if (strcmp(looked->message, failure->result->message) != 0) {
        note(failure, looked);
    }
}

/* Waits until the token is there, wherever that is. */
static bool come_back(struct failure *failure)
{
    struct tok_attempts *attempts = failure->attempts;
    struct tok_token *token = failure->token;

    for (;;) {
        uint64_t starts = token->module->starts;
        uint64_t epoch;
        bool seen;
        struct tok_result result;

        {
            LOCKED(&token->lock);
            epoch = token->epoch;
        }
        result = look(token, attempts->deadline_us, &seen);
        if (seen) {
            return true;
        }
        if (tok_ok(&result)) {
            tok_token_lost(token, epoch);
        } else if (tok_has_answered(&result) || result.code == TOK_CODE_DEADLINE) {
            attempts->out_of_time = result.code == TOK_CODE_DEADLINE;
            *failure->result = result;
            return false;
        }
        if (revive(failure, starts, &result)) {
            continue;
        }
        if (!tok_attempts_pause(attempts)) {
            if (attempts->note[0] == '\0') {
                note_absence(failure, &result);
            }
            return false;
        }
    }
}

/* So long after a call that failed without a reason it is too early to look whether the token is still there. */
static uint64_t notices_us(const struct failure *failure)
{
    return (uint64_t)tok_module_quirk(failure->token->module, failure->attempts->deadline_us)->notices_ms * 1000;
}

static bool look_again(struct failure *failure)
{
    uint64_t pause_us = notices_us(failure);

    if (pause_us > 0 && clock_us() + pause_us < failure->attempts->deadline_us) {
        clock_sleep_us(pause_us);
    }
    handles_are_stale(failure->token);
    failure->attempts->want_new = true;
    return come_back(failure);
}

/* One that is lost as soon as it is opened, and the next one, too: OpenSC 0.27 closes all sessions on a card that was
 * pulled and is back until it is asked for its slots. */
static bool new_session(struct failure *failure)
{
    if (failure->lease->forgotten && failure->lease->is_new && failure->attempts->losses > 1) {
        return look_again(failure);
    }
    failure->attempts->want_new = true;
    if (failure->lease->forgotten) {
        handles_are_stale(failure->token);
    }
    return true;
}

static bool slot_again(struct failure *failure)
{
    tok_token_lost(failure->token, failure->lease->epoch);
    return come_back(failure);
}

static bool initialize(struct failure *failure)
{
    struct tok_token *token = failure->token;
    uint64_t starts = token->module->starts; /* before the epoch is looked at: both grow when it is started */
    bool current;

    {
        LOCKED(&token->lock);
        current = failure->lease->epoch == 0 || failure->lease->epoch == token->epoch;
    }
    if (current) {
        tok_module_lost(token->module, starts);
    }
    return come_back(failure);
}

/* Whether somebody else has acted on the loss since: what failed was of an older epoch. */
static bool is_renewed(const struct failure *failure)
{
    struct tok_token *token = failure->token;

    LOCKED(&token->lock);
    return failure->lease->epoch != 0 && failure->lease->epoch != token->epoch;
}

/* Is the token in no slot? */
static bool is_away(struct tok_token *token, uint64_t deadline_us)
{
    bool seen;
    struct tok_result result = look(token, deadline_us, &seen);

    return tok_ok(&result) && !seen;
}

/* Only for what concerns everybody: while others are served, the trouble is this operation's own. */
static bool reinitialize(struct failure *failure)
{
    struct tok_attempts *attempts = failure->attempts;
    struct tok_module *module = failure->token->module;
    struct tok_result result;

    if (is_renewed(failure) ||
        (tok_first_recovery(failure->result) == TOK_SLOT_AGAIN && is_away(failure->token, attempts->deadline_us))) {
        return come_back(failure);
    }
    if (tok_others_are_served(attempts, failure->token) || (attempts->others && tok_module_in_use(module))) {
        return false;
    }
    if (attempts->never_reinit) {
        result = tok_fail(TOK_CODE_UNSUPPORTED, FORBIDDEN);
    } else {
        result = tok_module_again(module, module->starts, false, attempts->deadline_us);
    }
    note(failure, &result);
    return tok_ok(&result) && come_back(failure);
}

/* What a module read of a token while another process was writing it is read again only if it is initialised again. */
static bool read_again(struct failure *failure)
{
    struct tok_attempts *attempts = failure->attempts;
    struct tok_module *module = failure->token->module;
    struct tok_result result;
    bool at_once = attempts->probing &&
                   attempts->moments == 0; /* a probe does not wait, and is to find it nevertheless */

    if (attempts->moments++ >= LONG_MOMENTS || (!at_once && !tok_attempts_pause(attempts))) {
        return false;
    }
    if (!attempts->never_reinit) {
        result = tok_module_read_again(module, attempts->deadline_us);
        note(failure, &result);
    }
    return come_back(failure);
}

static bool wait_a_moment(struct failure *failure)
{
    if (tok_module_may_pass(failure->token->module, failure->result, failure->attempts->deadline_us)) {
        return read_again(failure);
    }
    return failure->attempts->moments++ < MOMENTS && tok_attempts_pause(failure->attempts);
}

static bool wait_longer(struct failure *failure)
{
    return tok_attempts_pause(failure->attempts);
}

static bool (*const recoveries[])(struct failure *failure) = {
    [TOK_NEW_SESSION] = new_session,   [TOK_LOG_IN_AGAIN] = log_in_again, [TOK_FIND_AGAIN] = find_again,
    [TOK_LOOK_AGAIN] = look_again,     [TOK_SLOT_AGAIN] = slot_again,     [TOK_INITIALIZE] = initialize,
    [TOK_REINITIALIZE] = reinitialize, [TOK_WAIT] = wait_longer,          [TOK_MOMENT] = wait_a_moment,
};

/* --- another loss ------------------------------------------------------------------------------------------------- */

/* The login that was there is not there, whether or not somebody has met that before us. */
static bool login_is_lost(const struct tok_lease *lease, CK_STATE state)
{
    struct tok_token *token = lease->token;

    LOCKED(&token->lock);
    return (state == CKS_RO_PUBLIC_SESSION || state == CKS_RW_PUBLIC_SESSION) &&
           (token->login == TOK_LOGGED_IN || token->objects != lease->objects);
}

/* Does the token itself say that session or login are lost, or that it was away? */
static bool is_confirmed(const struct tok_lease *lease)
{
    CK_SESSION_INFO info = { .state = CKS_RO_USER_FUNCTIONS };
    CK_RV rv = TOK_CALL(lease->functions, C_GetSessionInfo, lease->session, &info);

    switch (tok_ckr(rv)->recovery) {
    case TOK_NEW_SESSION:
    case TOK_SLOT_AGAIN:
    case TOK_INITIALIZE:
        return true;
    default:
        return rv == CKR_OK && login_is_lost(lease, info.state);
    }
}

/* Another loss after the one that was recovered from is no reason to give up: all recoveries may be tried for it, too.
 * But a token may also say of one operation that it is not logged in, say, as long as that is asked for. */
static void note_loss(struct tok_attempts *attempts, struct tok_token *token, const struct tok_lease *lease,
                      enum tok_recovery recovery)
{
    attempts->lost_again = attempts->doubtful_loss = false;
    if ((attempts->tried & BIT(recovery) & LOSSES) == 0 || clock_us() >= attempts->deadline_us) {
        return;
    }
    if (lease->token == NULL) {
        attempts->lost_again = recovery == TOK_SLOT_AGAIN && is_away(token, attempts->deadline_us);
        return;
    }
    attempts->lost_again = is_confirmed(lease);
    LOCKED(&token->lock);
    attempts->doubtful_loss = token->objects != lease->objects; /* others have met one */
}

void tok_attempts_note(struct tok_attempts *attempts, struct tok_token *token, struct tok_lease *lease,
                       const struct tok_result *failure)
{
    note_loss(attempts, token, lease, tok_first_recovery(failure));
    tok_note_failure(lease, failure);
}

/* --- the choice --------------------------------------------------------------------------------------------------- */

/* What does not take long, and is about what one operation has of the token. */
static bool is_quick(enum tok_recovery recovery)
{
    return recovery == TOK_NEW_SESSION || recovery == TOK_LOG_IN_AGAIN || recovery == TOK_FIND_AGAIN;
}

/* A loss of which only the failed call tells, or others. */
static bool is_doubtful(const struct failure *failure)
{
    return failure->attempts->doubtful_loss || (failure->lease->forgotten && failure->lease->is_new);
}

/* Idle sessions may all be lost: each that turns out to be leaves the pool, and the next one, or a new one, is taken. A
 * new one may be lost as well, or the login again, where other threads' losses follow one another; but not time and
 * again, unless the token confirms it. */
static bool may_be_tried(const struct failure *failure, enum tok_recovery recovery)
{
    const struct tok_attempts *attempts = failure->attempts;
    const struct tok_lease *lease = failure->lease;

    if (recovery == TOK_WAIT || recovery == TOK_MOMENT || (attempts->tried & BIT(recovery)) == 0) {
        return true;
    }
    if (recovery == TOK_NEW_SESSION && lease->forgotten && !lease->is_new) {
        return true;
    }
    return is_quick(recovery) && is_doubtful(failure) && attempts->losses < AT_ONCE;
}

/* Does this failure, which another attempt did not mend, mean that the module has to be initialised again? */
static bool is_disconnected(const struct failure *failure)
{
    return tok_is(failure->result, CKR_GENERAL_ERROR) &&
           tok_module_quirk(failure->token->module, failure->attempts->deadline_us)->error_stays;
}

/* When that did not help. */
static enum tok_recovery choose_then(const struct failure *failure)
{
    const struct tok_result *result = failure->result;

    if (!tok_is_spoken(result)) {
        return TOK_GIVE_UP;
    }
    return is_disconnected(failure) ? TOK_REINITIALIZE : tok_ckr(result->rv)->then;
}

/* What to do now: the row's recovery, or what the row says for when that did not help. */
static enum tok_recovery choose(const struct failure *failure)
{
    const struct tok_result *result = failure->result;
    enum tok_recovery recovery = tok_first_recovery(result);

    if (!failure->attempts->others && failure->attempts->moments < LONG_MOMENTS &&
        tok_module_may_pass(failure->token->module, result, failure->attempts->deadline_us)) {
        return TOK_MOMENT;
    }
    if (result->code == TOK_CODE_NO_OBJECT &&
        (failure->attempts->doubt_login || (failure->attempts->tried & SOMETHING_LOST) != 0)) {
        recovery = TOK_LOG_IN_AGAIN;
    }
    if (recovery != TOK_GIVE_UP && !may_be_tried(failure, recovery)) {
        recovery = choose_then(failure);
    }
    if (failure->attempts->quick && !is_quick(recovery)) {
        return TOK_GIVE_UP;
    }
    return recovery != TOK_GIVE_UP && may_be_tried(failure, recovery) ? recovery : TOK_GIVE_UP;
}

/* A PIN that was never right got no other try (pkcs11/token/tries.h). One that was may have been changed on the token,
 * which may say so in any words. */
static bool is_last_login(const struct failure *failure)
{
    const struct tok_result *result = failure->result;

    return result->code == TOK_CODE_CKR && strcmp(result->function, "C_Login") == 0 &&
           tok_ckr(result->rv)->pin == TOK_PIN_UNCLEAR &&
           !tok_module_may_pass(failure->token->module, result, failure->attempts->deadline_us) &&
           ++failure->attempts->logins >= MOST_LOGINS;
}

bool tok_recover(struct tok_attempts *attempts, struct tok_token *token, const struct tok_lease *lease,
                 struct tok_result *result)
{
    struct failure failure = { attempts, token, lease, result };
    enum tok_recovery recovery;

    if (attempts->lost_again) {
        attempts->tried = 0;
    }
    recovery = is_last_login(&failure) ? TOK_GIVE_UP : choose(&failure);
    if (recovery == TOK_GIVE_UP ||
        (attempts->lost_again && attempts->losses >= AT_ONCE && !tok_attempts_pause(attempts))) {
        return false;
    }
    if (clock_us() >= attempts->deadline_us) {
        attempts->out_of_time = true;
        return false;
    }
    attempts->tried |= BIT(recovery);
    attempts->losses += attempts->lost_again || is_doubtful(&failure);
    attempts->note[0] = '\0';
    attempts->not_started = CKR_OK;
    attempts->want_new = false;
    trace(TRACE_KEY, "key: trying again after %s", result->message);
    if (recoveries[recovery](&failure)) {
        attempts->served = atomic_load_explicit(&token->pool.served, memory_order_relaxed);
        return true;
    }
    if (attempts->note[0] != '\0') {
        size_t len = strlen(result->message);
        struct text text = text_over(result->message + len, sizeof(result->message) - len);

        text_printf(&text, "; %s", attempts->note);
    }
    if (attempts->not_started != CKR_OK) { /* the reason of it all, so that the advice is about that */
        result->code = TOK_CODE_CKR;
        result->function = "C_Initialize";
        result->rv = attempts->not_started;
    }
    return false;
}

bool tok_recover_module(struct tok_attempts *attempts, struct tok_module *module, uint64_t starts,
                        const struct tok_result *failure)
{
    enum tok_recovery recovery = tok_first_recovery(failure);

    if (recovery == TOK_GIVE_UP || clock_us() >= attempts->deadline_us) {
        return false;
    }
    if (recovery == TOK_WAIT || recovery == TOK_MOMENT) {
        return attempts->moments++ < MOMENTS && tok_attempts_pause(attempts);
    }
    if ((attempts->tried & BIT(recovery)) != 0) {
        return false;
    }
    attempts->tried |= BIT(recovery);
    trace(TRACE_MODULE, "module: looking again after %s", failure->message);
    if (recovery == TOK_INITIALIZE) {
        tok_module_lost(module, starts);
    }
    return true;
}
