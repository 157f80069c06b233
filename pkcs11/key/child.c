#include "pkcs11/key/child.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/complain.h"
#include "base/fork.h"
#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/token/login.h"
#include "pkcs11/recover/recover.h"

/* --- what it says ------------------------------------------------------------------------------------------------- */

static _Atomic unsigned settled; /* the generation that has reached a token, or said that it can't */

static void tell(const struct tok_result *failure)
{
    char line[1200];
    struct text text = TEXT_OVER(line);
    const char *advice = tok_advice(failure);

    text_printf(&text, "this forked process can't use its key: %s%s%s", failure->message, advice[0] != '\0' ? ". " : "",
                advice);
    complain(COMPLAIN_SOCKET, line);
}

void tok_child_failed(const struct tok_result *failure)
{
    unsigned generation = fork_generation();
    unsigned before = atomic_load(&settled);

    if (generation > 1 && before != generation && atomic_compare_exchange_strong(&settled, &before, generation)) {
        tell(failure);
    }
}

void tok_child_worked(void)
{
    unsigned generation = fork_generation();

    if (atomic_load_explicit(&settled, memory_order_relaxed) != generation) {
        atomic_store(&settled, generation);
    }
}

/* --- what it does ------------------------------------------------------------------------------------------------- */

/* A token that children are to reach. */
struct reach {
    struct tok_token *token;
    const struct tok_settings *settings;
    bool done; /* in this child, by these settings or others */
    struct reach *next;
};

static struct lock lock;
static struct reach *all; /* guarded by lock */

static struct tok_result reach_once(struct tok_lease *lease, const struct reach *reach, struct tok_attempts *attempts)
{
    const struct tok_credentials credentials = { .settings = reach->settings };
    struct tok_token *token = reach->token;
    uint64_t deadline_us = attempts->deadline_us;

    TOK_TRY(tok_attempts_enter(attempts, token));
    TOK_TRY(tok_token_start(token, deadline_us));
    lease->began_us = attempts->began_us;
    lease->idle_sessions = reach->settings->idle_sessions;
    lease->want_new = attempts->want_new;
    TOK_TRY(tok_lease_begin(lease, token, tok_token_max_sessions(token, reach->settings), deadline_us));
    return tok_login_needed(token, reach->settings) ? tok_login(lease, &credentials, deadline_us) : tok_good();
}

static struct tok_result reach_token(const struct reach *reach)
{
    struct tok_attempts attempts;
    TOK_SIGPIPE_HELD();

    tok_attempts_begin(&attempts, reach->settings, 0, 0);
    for (;;) {
        SCOPED(tok_lease_end) struct tok_lease lease = { .token = NULL };
        struct tok_result result = reach_once(&lease, reach, &attempts);

        if (!tok_ok(&result)) {
            tok_note_failure(&lease, &result);
            tok_lease_end(&lease);
        }
        if (tok_ok(&result) || !tok_recover(&attempts, reach->token, &lease, &result)) {
            tok_attempts_end(&attempts, reach->token, &result);
            return tok_context(result, "after-fork = eager: token '%s'", reach->token->label);
        }
    }
}

/* Two contexts may both want a child to reach one token; it does so by the settings of one, if these can. */
static bool is_reached(const struct reach *upto)
{
    const struct reach *reach = all;

    while (reach != upto && !(reach->token == upto->token && reach->done)) {
        reach = reach->next;
    }
    return reach != upto;
}

/* The last handler to run, so that everything else is in order again. A thread that forked from inside a module can't
 * go in again. What the module leaves on OpenSSL's queue is none of the application's business. */
static void reach_all(void)
{
    int saved = errno;

    for (struct reach *reach = all; reach != NULL && !tok_inside_module(); reach = reach->next) {
        const struct tok_quiet *quiet = &reach->settings->quiet;
        struct tok_result result;

        reach->done = is_reached(reach);
        if (reach->done) {
            continue;
        }
        if (quiet->begin != NULL) {
            quiet->begin(quiet->arg);
        }
        result = reach_token(reach);
        if (quiet->end != NULL) {
            quiet->end(quiet->arg);
        }
        trace(TRACE_MODULE, "module: the child of a fork: %s", tok_ok(&result) ? reach->token->label : result.message);
        reach->done = tok_ok(&result);
        if (reach->done) {
            tok_child_worked();
        } else {
            tok_child_failed(&result);
        }
    }
    errno = saved;
}

static void begin(void)
{
    fork_lock(FORK_REACH, &lock, NULL);
    fork_handlers(FORK_LAST, NULL, NULL, reach_all);
}

static void init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, begin);
}

void tok_child_note(struct tok_token *token, const struct tok_settings *settings)
{
    struct reach *reach;

    if (!settings->eager) {
        return;
    }
    init();
    LOCKED(&lock);
    for (reach = all; reach != NULL; reach = reach->next) {
        if (reach->token == token && reach->settings == settings) {
            return;
        }
    }
    reach = malloc(sizeof(*reach));
    if (reach != NULL) { /* without memory a child is as lazy as by default */
        *reach = (struct reach){ token, settings, false, all };
        all = reach;
    }
}

void tok_child_forget(const struct tok_settings *settings)
{
    struct reach **link = &all;

    if (!settings->eager) {
        return;
    }
    init();
    LOCKED(&lock);
    while (*link != NULL) {
        struct reach *reach = *link;

        if (reach->settings == settings) {
            *link = reach->next;
            free(reach);
        } else {
            link = &reach->next;
        }
    }
}
