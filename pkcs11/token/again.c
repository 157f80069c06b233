#include "pkcs11/token/again.h"

#include <string.h>

#include "pkcs11/token/pool.h"
#include "pkcs11/token/token.h"

/* Requires the module's lock. */
static void tokens_lost(struct tok_module *module)
{
    for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
        tok_token_lost(token, 0);
    }
}

void tok_module_lost(struct tok_module *module, uint64_t starts)
{
    LOCKED(&module->lock);
    if (tok_module_forgot(module, starts)) {
        tokens_lost(module);
    }
}

/* With the door closed nobody gets a session; whoever has one is waited for. */
static struct tok_result all_out(struct tok_module *module, uint64_t deadline_us)
{
    struct tok_token *token;

    {
        LOCKED(&module->lock);
        token = module->tokens; /* the list only grows, at its end, and not while the door is closed */
    }
    for (; token != NULL; token = token->next) {
        LOCKED(&token->lock);
        while (token->pool.num_lent > 0) {
            if (!lock_wait(&token->lock, deadline_us) && token->pool.num_lent > 0) {
                return tok_fail(TOK_CODE_UNSUPPORTED, "%u calls on token '%s' do not return%s", token->pool.num_lent,
                                token->label, TOK_RESTART);
            }
        }
    }
    return tok_good();
}

/* Those who wait for a session wait on their token's condition. */
static void wake_waiters(struct tok_module *module)
{
    LOCKED(&module->lock);
    for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
        LOCKED(&token->lock);
        tok_pool_wake(token);
    }
}

/* With the right to do it. Nobody gets a session between the loss of all and the end, for the door is closed. */
static struct tok_result again(struct tok_module *module, uint64_t deadline_us)
{
    uint64_t now = clock_us();
    struct tok_result result =
        all_out(module, now + (deadline_us > now ? (deadline_us - now) / 2 : 0)); /* the rest is for what follows */

    if (!tok_ok(&result)) {
        tok_module_again_cancel(module);
        return result;
    }
    {
        LOCKED(&module->lock);
        tokens_lost(module);
    }
    return tok_module_again_end(module, deadline_us);
}

struct tok_result tok_module_again(struct tok_module *module, uint64_t starts, bool harmless, uint64_t deadline_us)
{
    struct tok_result result;

    if (tok_module_again_begin(module, starts, harmless, deadline_us, &result)) {
        result = again(module, deadline_us);
        wake_waiters(module);
    }
    return result;
}

/* Nobody is logged in, and no session is lent: all that is lost is what can be had again without a PIN. */
static bool nobody_uses(struct tok_module *module)
{
    bool used = false;

    LOCKED(&module->lock);
    for (struct tok_token *token = module->tokens; token != NULL; token = token->next) {
        LOCKED(&token->lock);
        used = used || token->login == TOK_LOGGED_IN || token->pool.num_lent > 0;
    }
    return !used;
}

bool tok_module_may_miss(struct tok_module *module, uint64_t deadline_us)
{
    return tok_module_quirk(module, deadline_us)->start_may_miss && nobody_uses(module);
}

struct tok_result tok_module_read_again(struct tok_module *module, uint64_t deadline_us)
{
    {
        LOCKED(&module->lock);
        module->again_us = 0;
    }
    return tok_module_again(module, module->starts, true, deadline_us);
}

bool tok_module_may_pass(struct tok_module *module, const struct tok_result *failure, uint64_t deadline_us)
{
    bool passing = tok_is(failure, CKR_SLOT_ID_INVALID) || tok_is(failure, CKR_TOKEN_NOT_PRESENT) ||
                   tok_is(failure, CKR_GENERAL_ERROR) || tok_is(failure, CKR_USER_PIN_NOT_INITIALIZED);
    bool opening = failure->function != NULL &&
                   (strcmp(failure->function, "C_OpenSession") == 0 || strcmp(failure->function, "C_Login") == 0 ||
                    strcmp(failure->function, "C_GetTokenInfo") == 0 ||
                    strcmp(failure->function, "C_GetSlotList") == 0);

    return passing && opening && tok_module_may_miss(module, deadline_us);
}
