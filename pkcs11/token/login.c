#include "pkcs11/token/login.h"

#include <stdatomic.h>

#include "base/flight.h"
#include "base/shared.h"
#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/module/quirks.h"
#include "pkcs11/result/ckr.h"
#include "pkcs11/token/tie.h"
#include "pkcs11/token/tries.h"

#define ABOUT_ANSWERS 3 /* of hashes: pkcs11/config/pin.c has the others */

/* A PIN and where it is from. */
struct pin {
    struct secret secret;
    const char *name; /* borrowed; for messages */
};

static void pin_end(struct pin *pin)
{
    secret_end(&pin->secret);
}

bool tok_login_needed(struct tok_token *token, const struct tok_settings *settings)
{
    LOCKED(&token->lock);
    if (token->login == TOK_LOGGED_IN || settings->login == TOK_LOGIN_NEVER) {
        return false;
    }
    return settings->login == TOK_LOGIN_ALWAYS || token->wants_login || (token->info.flags & CKF_LOGIN_REQUIRED) != 0;
}

bool tok_login_can_wait(struct tok_token *token, const struct tok_settings *settings)
{
    LOCKED(&token->lock);
    return settings->login == TOK_LOGIN_AUTO && !token->wants_login &&
           (token->info.flags & (CKF_USER_PIN_INITIALIZED | CKF_PROTECTED_AUTHENTICATION_PATH)) == 0;
}

struct tok_result tok_login_allowed(struct tok_token *token, const struct tok_settings *settings,
                                    const struct tok_uri *uri)
{
    const struct tok_named_token *named;

    if (!tok_login_needed(token, settings)) {
        return tok_good();
    }
    named = tok_token_settings(token, settings);
    if (named != NULL && named->pin != NULL) {
        return tok_good();
    }
    return tok_fail(TOK_CODE_PIN_OWN,
                    "'%s' matches several tokens, and '%s' has no PIN of its own in the configuration",
                    tok_uri_text(uri), token->label);
}

/* A PIN of the configuration, if it is for this token (pkcs11/token/tie.h), or the one that the URI brought. */
static struct tok_pin_source *source_for(struct tok_token *token, const struct tok_credentials *credentials)
{
    struct tok_pin_line line;

    if (!credentials->own_pin_only && credentials->uri != NULL && tok_uri_pin(credentials->uri) != NULL) {
        return tok_uri_pin(credentials->uri);
    }
    line = tok_pin_line(token, credentials->settings);
    if (line.source == NULL || (credentials->own_pin_only && !line.own) || !tok_is_tied_to(&line, token)) {
        return NULL;
    }
    return line.source;
}

/* Programs that have one answer to every question (a file of pass phrases, an option) give it whatever token they are
 * asked for: what was answered for one token is not sent to another because a key file names that. */
static struct tok_result answer_check(const struct secret *pin, struct tok_token *token,
                                      const struct tok_credentials *credentials)
{
    struct tok_pin_line line = { .name = "the answer to the prompt",
                                 .id = shared_hash(ABOUT_ANSWERS, pin->data, pin->len) };
    struct tok_result result = tok_tie(&line, token);

    return credentials->uri != NULL && tok_uri_may_choose(credentials->uri)
               ? tok_good()
               : tok_context(result, "a key file does not choose; if both have this PIN, set token.NAME.pin for each");
}

/* What can't be this token's PIN costs no try. A PIN that is shorter than the token says may be an old one; for its
 * longest some say 0 or everything. */
static struct tok_result pin_possible(const struct pin *pin, struct tok_token *token)
{
    const char *wrong = tok_pin_wrong(pin->secret.data, pin->secret.len);
    CK_TOKEN_INFO info;

    tok_token_info(token, &info);
    if (wrong == NULL && info.ulMaxPinLen > 0 && info.ulMaxPinLen >= info.ulMinPinLen &&
        pin->secret.len > info.ulMaxPinLen) {
        return tok_fail(TOK_CODE_PIN_SOURCE,
                        "no PIN from %s: it has %zu bytes, and token '%s' has PINs of %lu at the most", pin->name,
                        pin->secret.len, token->label, info.ulMaxPinLen);
    }
    return wrong == NULL ? tok_good() : tok_fail(TOK_CODE_PIN_SOURCE, "no PIN from %s: %s", pin->name, wrong);
}

static struct tok_result pin_ask(struct pin *pin, struct tok_token *token, const struct tok_credentials *credentials)
{
    char what[96];
    char serial[17];
    struct text text = TEXT_OVER(what);
    CK_TOKEN_INFO info;

    tok_token_info(token, &info); /* equal labels are not one token */
    tok_serial_text(serial, &info);
    text_printf(&text, "token '%s', serial %s (user PIN)", token->label, serial);
    (void)text_clean(what);
    pin->name = "the prompt";
    if (credentials->own_pin_only || credentials->prompt.ask == NULL ||
        !credentials->prompt.ask(credentials->prompt.arg, what, &pin->secret)) {
        return tok_fail(TOK_CODE_PIN_NEEDED, "a login is needed, and no PIN was given");
    }
    return answer_check(&pin->secret, token, credentials);
}

/* The PIN that the token accepted before, unless it was refused since, here or in another process. */
static struct tok_result pin_remembered(struct pin *pin, struct tok_token *token)
{
    pin->name = "an earlier login";
    LOCKED(&token->lock);
    if (!secret_exists(&token->pin)) {
        return tok_good();
    }
    return secret_set(&pin->secret, token->pin.data, token->pin.len)
               ? tok_good()
               : tok_fail(TOK_CODE_NO_MEMORY, "remembering a PIN");
}

/* The remembered PIN comes first: its source may be out of reach by now (a chroot, another user). */
static struct tok_result pin_get(struct pin *pin, struct tok_token *token, const struct tok_credentials *credentials)
{
    struct tok_pin_source *source = source_for(token, credentials);

    TOK_TRY(pin_remembered(pin, token));
    if (secret_exists(&pin->secret)) {
        if (!tok_pin_was_refused(token, &pin->secret)) {
            return tok_good();
        }
        secret_end(&pin->secret); /* the token's own copy stays: who called it refused may be wrong, or lie */
    }
    if (source == NULL) {
        return pin_ask(pin, token, credentials);
    }
    pin->name = tok_pin_source_name(source);
    TOK_TRY(tok_pin_fetch(source, &pin->secret));
    if (tok_pin_was_refused(token, &pin->secret) && tok_pin_refused(source)) { /* the file has changed since */
        return tok_pin_fetch(source, &pin->secret);
    }
    return tok_good();
}

/* What the token says of its user PIN. */
static struct tok_result pin_allowed(struct tok_token *token, const struct tok_settings *settings)
{
    LOCKED(&token->lock);
    if ((token->info.flags & CKF_USER_PIN_LOCKED) != 0) {
        return tok_fail_ckr("C_GetTokenInfo", CKR_PIN_LOCKED);
    }
    if ((token->info.flags & CKF_USER_PIN_FINAL_TRY) != 0 && !settings->pin_last_try) {
        return tok_fail(TOK_CODE_PIN_LAST_TRY, "one try is left before the PIN is locked; it is not used");
    }
    return tok_good();
}

/* --- what is remembered ------------------------------------------------------------------------------------------- */

static _Atomic unsigned users;
static struct tok_token *_Atomic remembering; /* all that ever had a PIN; grows at its head */

static void pin_forget(struct tok_token *token)
{
    LOCKED(&token->lock);
    secret_end(&token->pin);
}

void tok_pins_hold(void)
{
    atomic_fetch_add(&users, 1);
}

void tok_pins_release(void)
{
    if (atomic_fetch_sub(&users, 1) != 1) {
        return;
    }
    for (struct tok_token *token = atomic_load(&remembering); token != NULL; token = token->next_remembering) {
        pin_forget(token);
    }
}

/* Requires the token's lock. */
static void pin_remember(struct tok_token *token, struct secret *pin)
{
    token->pin = STEAL(*pin);
    if (!token->is_remembering) {
        token->is_remembering = true;
        token->next_remembering = atomic_load(&remembering);
        while (!atomic_compare_exchange_weak(&remembering, &token->next_remembering, token)) {
        }
    }
}

/* A right PIN is kept for the next login. */
static void pin_judge(struct pin *pin, struct tok_token *token, enum tok_of_pin answer)
{
    LOCKED(&token->lock);
    if (answer == TOK_PIN_RIGHT || answer == TOK_PIN_WRONG) {
        secret_end(&token->pin);
    }
    if (answer == TOK_PIN_RIGHT) {
        pin_remember(token, &pin->secret);
    }
}

static bool has_pin_pad(struct tok_token *token)
{
    LOCKED(&token->lock);
    return (token->info.flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0;
}

bool tok_login_needs_pin(struct tok_token *token)
{
    SCOPED(pin_end) struct pin pin = { .name = NULL };
    struct tok_result result = pin_remembered(&pin, token);

    return !has_pin_pad(token) &&
           (!tok_ok(&result) || !secret_exists(&pin.secret) || tok_pin_was_refused(token, &pin.secret));
}

static struct tok_result login_failed(const char *pin_name, CK_RV rv)
{
    return tok_context(tok_fail_ckr("C_Login", rv), "PIN from %s", pin_name);
}

/* What the answer says of the PIN: by the table, or by what is known of this module. By its file's name alone: what
 * stands in front of it shows its manufacturer, too, and may answer a wrong PIN in its own words. */
static enum tok_of_pin of_pin(struct tok_token *token, CK_RV rv)
{
    enum tok_of_pin answer = tok_ckr(rv)->pin;

    if (answer == TOK_PIN_UNCLEAR) {
        const struct tok_quirk *quirk = tok_quirk_of(token->module->path, NULL);

        for (size_t i = 0; i < COUNT_OF(quirk->pin_unseen); i++) {
            answer = rv == quirk->pin_unseen[i] ? TOK_PIN_UNSEEN : answer;
        }
    }
    return answer;
}

/* The failure after which this operation makes no second try, and no later one with this PIN. */
static struct tok_result unclear(const char *pin_name, CK_RV rv, const char *then)
{
    return tok_fail(TOK_CODE_PIN_UNCLEAR, "PIN from %s: C_Login: %s (0x%lx), which may mean that it is wrong; %s",
                    pin_name, tok_ckr(rv)->name, rv, then);
}

static void info_is_stale(struct tok_token *token)
{
    LOCKED(&token->lock);
    token->info_fresh = false;
}

/* A person types the PIN at the reader's pad, and is not made to do so twice by one operation. */
static struct tok_result pad_ask(struct tok_lease *lease, CK_USER_TYPE user, const char *name, CK_RV *out_rv)
{
    *out_rv = TOK_CALL(lease->functions, C_Login, lease->session, user, NULL, 0);
    return of_pin(lease->token, *out_rv) == TOK_PIN_UNCLEAR ? unclear(name, *out_rv, "nobody is asked for it twice")
                                                            : tok_good();
}

/* Sends a PIN, once among all forks. Where another one was refused, by whichever process, the token's flags are looked
 * at once more; not within an operation, where no other call may come between: pkcs11/key/key.c does so before. */
static struct tok_result pin_send(CK_RV *out_rv, struct pin *pin, struct tok_lease *lease, CK_USER_TYPE user,
                                  const struct tok_credentials *credentials, uint64_t deadline_us)
{
    SCOPED(tok_try_end) struct tok_try try = { .token = NULL };
    enum tok_of_pin answer;

    TOK_TRY(pin_allowed(lease->token, credentials->settings)); /* else nobody need be asked for it */
    TOK_TRY(pin_get(pin, lease->token, credentials));
    TOK_TRY(pin_possible(pin, lease->token));
    TOK_TRY(tok_try_begin(&try, lease->token, &pin->secret, pin->name, deadline_us));
    if (try.after_refusal && user != CKU_CONTEXT_SPECIFIC) {
        info_is_stale(lease->token);
        TOK_TRY(tok_token_refresh(lease->token));
    }
    TOK_TRY(pin_allowed(lease->token, credentials->settings));
    tok_try_sent(&try);
    *out_rv = TOK_CALL(lease->functions, C_Login, lease->session, user, pin->secret.data, (CK_ULONG)pin->secret.len);
    answer = of_pin(lease->token, *out_rv);
    pin_judge(pin, lease->token, answer);
    if (!tok_try_answered(&try, answer) && (answer == TOK_PIN_UNCLEAR || answer == TOK_PIN_CUT_SHORT)) {
        return unclear(pin->name, *out_rv,
                       "it is not tried again until its source gives another one, or the service is restarted");
    }
    return tok_good();
}

static struct tok_result login_call(struct tok_lease *lease, CK_USER_TYPE user,
                                    const struct tok_credentials *credentials, uint64_t deadline_us)
{
    SCOPED(pin_end) struct pin pin = { .name = "the token's own PIN pad" };
    CK_RV rv = CKR_OK;
    struct tok_result result = has_pin_pad(lease->token) ? pad_ask(lease, user, pin.name, &rv)
                                                         : pin_send(&rv, &pin, lease, user, credentials, deadline_us);

    if (!tok_ok(&result) && rv == CKR_OK) { /* nothing was sent */
        return result;
    }
    if (user != CKU_CONTEXT_SPECIFIC || rv != CKR_OK) {
        info_is_stale(lease->token);
    }
    trace(TRACE_LOGIN, "login: '%s' with %s: %s", lease->token->label, pin.name, tok_ckr(rv)->name);
    TOK_TRY(result);
    return rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN ? tok_good() : login_failed(pin.name, rv);
}

/* login_claim waits for whoever is logging in. True if it is the caller's turn to do so, with the epoch that it is for.
 */
static bool login_claim(struct tok_token *token, uint64_t *out_epoch, uint64_t deadline_us,
                        struct tok_result *out_result)
{
    LOCKED(&token->lock);
    while (token->logging_in.on) {
        if (!flight_wait(&token->logging_in, &token->lock, deadline_us) && token->logging_in.on) {
            char why[160];
            struct text text = TEXT_OVER(why);

            flight_late(&token->logging_in, &text);
            *out_result = tok_fail(TOK_CODE_DEADLINE, "waiting for a login: %s", why);
            return false;
        }
    }
    if (token->login == TOK_LOGGED_IN) {
        *out_result = tok_good();
        return false;
    }
    flight_begin(&token->logging_in, tok_inside_here());
    *out_epoch = token->epoch;
    return true;
}

struct tok_result tok_login(struct tok_lease *lease, const struct tok_credentials *credentials, uint64_t deadline_us)
{
    struct tok_token *token = lease->token;
    struct tok_result result;
    uint64_t epoch;

    if (!login_claim(token, &epoch, deadline_us, &result)) {
        return result;
    }
    result = tok_token_refresh(token);
    if (tok_ok(&result)) {
        result = login_call(lease, CKU_USER, credentials, deadline_us);
    }
    LOCKED(&token->lock);
    /* The lease may be older than the claim, and its login with it; the claim is given back in any case. */
    if (token->epoch == epoch) {
        token->login = tok_ok(&result) && lease->epoch == epoch ? TOK_LOGGED_IN : TOK_LOGGED_OUT;
        flight_end(&token->logging_in, &token->lock);
    }
    return result;
}

struct tok_result tok_login_for_operation(struct tok_lease *lease, const struct tok_credentials *credentials,
                                          uint64_t deadline_us)
{
    return login_call(lease, CKU_CONTEXT_SPECIFIC, credentials, deadline_us);
}

struct tok_result tok_login_check(struct tok_lease *lease)
{
    CK_SESSION_INFO info = { .state = CKS_RO_PUBLIC_SESSION };

    {
        LOCKED(&lease->token->lock);
        if (lease->token->login != TOK_LOGGED_IN) {
            return tok_good();
        }
        if (lease->token->objects != lease->objects) { /* lost and made anew since: the search may have been between */
            return tok_fail_ckr("C_FindObjects", CKR_USER_NOT_LOGGED_IN);
        }
    }
    TOK_TRY(TOK_DO(lease->functions, C_GetSessionInfo, lease->session, &info));
    if (info.state == CKS_RO_PUBLIC_SESSION || info.state == CKS_RW_PUBLIC_SESSION) {
        return tok_fail_ckr("C_GetSessionInfo", CKR_USER_NOT_LOGGED_IN);
    }
    return tok_good();
}

void tok_login_lost(struct tok_token *token)
{
    LOCKED(&token->lock);
    token->wants_login = true;
    if (token->login == TOK_LOGGED_IN) {
        trace(TRACE_LOGIN, "login: '%s' is logged out", token->label);
        token->login = TOK_LOGGED_OUT;
        token->objects++; /* a handle of a private object may name another one after the next login */
    }
}
