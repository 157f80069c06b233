#include "pkcs11/recover.h"

#include "base/trace.h"
#include "pkcs11/ckr.h"
#include "pkcs11/login.h"

#define FIRST_PAUSE_US (10 * 1000)
#define LONGEST_PAUSE_US (200 * 1000)

static enum tok_recovery recovery_of(const struct tok_result *failure)
{
    return failure->code == TOK_CODE_CKR ? tok_ckr(failure->rv)->recovery : TOK_GIVE_UP;
}

void tok_note_failure(struct tok_lease *lease, const struct tok_result *failure)
{
    enum tok_recovery recovery = recovery_of(failure);

    if (recovery == TOK_NEW_SESSION || recovery == TOK_SLOT_AGAIN || recovery == TOK_INITIALIZE) {
        lease->spoilt = true;
    }
    lease->forgotten = tok_is(failure, CKR_SESSION_HANDLE_INVALID) || tok_is(failure, CKR_SESSION_CLOSED);
}

static bool new_session(struct tok_attempts *attempts, struct tok_token *token, uint64_t epoch)
{
    (void)attempts;
    tok_pool_drain(token, epoch);
    return true;
}

static bool log_in_again(struct tok_attempts *attempts, struct tok_token *token, uint64_t epoch)
{
    (void)attempts;
    (void)epoch;
    tok_login_lost(token);
    return true;
}

static bool find_again(struct tok_attempts *attempts, struct tok_token *token, uint64_t epoch)
{
    (void)attempts;
    (void)epoch;
    LOCKED(&token->lock);
    token->objects++;
    return true;
}

static bool slot_again(struct tok_attempts *attempts, struct tok_token *token, uint64_t epoch)
{
    struct tok_result result;

    tok_token_lost(token, epoch);
    result = tok_module_start(token->module, attempts->deadline_us);
    if (tok_ok(&result)) {
        result = tok_tokens_look(token->module);
    }
    return tok_ok(&result);
}

static bool initialize(struct tok_attempts *attempts, struct tok_token *token, uint64_t epoch)
{
    (void)epoch;
    tok_module_lost(token->module);
    return slot_again(attempts, token, 0);
}

static bool pause(struct tok_attempts *attempts, struct tok_token *token, uint64_t epoch)
{
    (void)token;
    (void)epoch;
    attempts->pause_us = attempts->pause_us == 0 ? FIRST_PAUSE_US : attempts->pause_us * 2;
    if (attempts->pause_us > LONGEST_PAUSE_US) {
        attempts->pause_us = LONGEST_PAUSE_US;
    }
    if (clock_us() + attempts->pause_us >= attempts->deadline_us) {
        return false;
    }
    clock_sleep_us(attempts->pause_us);
    return true;
}

static bool (*const recoveries[])(struct tok_attempts *attempts, struct tok_token *token, uint64_t epoch) = {
    [TOK_NEW_SESSION] = new_session, [TOK_LOG_IN_AGAIN] = log_in_again, [TOK_FIND_AGAIN] = find_again,
    [TOK_SLOT_AGAIN] = slot_again,   [TOK_INITIALIZE] = initialize,     [TOK_WAIT] = pause,
};

bool tok_recover(struct tok_attempts *attempts, struct tok_token *token, uint64_t epoch,
                 const struct tok_result *failure)
{
    enum tok_recovery recovery = recovery_of(failure);
    unsigned bit = 1u << recovery;

    if (recovery == TOK_GIVE_UP || clock_us() >= attempts->deadline_us) {
        return false;
    }
    if (recovery != TOK_WAIT && (attempts->tried & bit) != 0) {
        return false;
    }
    attempts->tried |= bit;
    trace(TRACE_KEY, "key: trying again after %s", failure->message);
    return recoveries[recovery](attempts, token, epoch);
}
