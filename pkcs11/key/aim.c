#include "pkcs11/key/aim.h"

#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "pkcs11/key/child.h"
#include "pkcs11/key/find.h"
#include "pkcs11/token/tie.h"

/* --- what to write ------------------------------------------------------------------------------------------------ */

static bool is_taken(const struct tok_settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->num_tokens; i++) {
        if (settings->tokens[i].name != NULL && strcmp(settings->tokens[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* A name for the setting `tokens`, after the label. */
static void name_for(char out[32], const struct tok_token *token, const struct tok_settings *settings)
{
    struct text text = text_over(out, 24);

    for (const char *at = token->label; *at != '\0'; at++) {
        char c = (char)tolower((unsigned char)*at);

        if (isalnum((unsigned char)c) || c == '_' || c == '-') {
            text_put_n(&text, &c, 1);
        }
    }
    if (text.len == 0) {
        text_put(&text, "token");
    }
    for (unsigned i = 2; is_taken(settings, out) && i < 100; i++) {
        size_t len = text.len;
        struct text more = text_over(out + len, 32 - len);

        text_printf(&more, "-%u", i);
    }
}

/* Where the PIN comes from, as it is written; a PIN itself is not told. */
static const char *source_text(const struct tok_pin_line *line)
{
    return strchr(tok_pin_source_name(line->source), ' ') == NULL ? tok_pin_source_name(line->source) : "(the PIN)";
}

/* The lines that make the PIN this token's, with " | " between. */
static void lines_put(struct text *text, const struct tok_pin_line *line, struct tok_token *token,
                      const struct tok_settings *settings)
{
    const struct tok_named_token *named = tok_token_settings(token, settings);
    SCOPED(scoped_free) char *uri = NULL;
    struct tok_result result;
    CK_TOKEN_INFO info;
    char name[32];

    tok_token_info(token, &info);
    result = tok_uri_of_token(&uri, &info);
    if (named != NULL && line->own) {
        text_printf(text, "token.%s.uri = %s", named->name, tok_ok(&result) ? uri : "");
        return;
    }
    if (named != NULL) {
        text_printf(text, "token.%s.pin = %s", named->name, source_text(line));
        return;
    }
    name_for(name, token, settings);
    text_put(text, "tokens = ");
    for (size_t i = 0; i < settings->num_tokens; i++) {
        text_printf(text, "%s, ", settings->tokens[i].name);
    }
    text_printf(text, "%s | token.%s.uri = %s | token.%s.pin = %s", name, name, tok_ok(&result) ? uri : "", name,
                source_text(line));
}

static struct tok_result with_advice(struct tok_result result, const struct tok_pin_line *line, struct tok_token *token,
                                     const struct tok_settings *settings)
{
    char lines[512];
    struct text text = TEXT_OVER(lines);

    if (result.code != TOK_CODE_PIN_TIED) {
        return result;
    }
    lines_put(&text, line, token, settings);
    return tok_fail(TOK_CODE_PIN_TIED, "%s. If '%s' is meant, write%s: %s", result.message, token->label,
                    line->own || line->named != NULL ? "" : " in place of it", lines);
}

/* --- who is there ------------------------------------------------------------------------------------------------- */

/* SoftHSM shows half of a token while another process writes it. */
static bool is_whole(const CK_TOKEN_INFO *info)
{
    char serial[17];
    char label[33];

    tok_serial_text(serial, info);
    tok_label_text(label, info);
    return serial[0] != '\0' && label[0] != '\0';
}

static bool wants_pin(struct tok_token *token)
{
    CK_TOKEN_INFO info;

    tok_token_info(token, &info);
    return (info.flags & CKF_LOGIN_REQUIRED) != 0 && (info.flags & CKF_USER_PIN_INITIALIZED) != 0 && is_whole(&info);
}

static bool any_token(struct tok_token *token)
{
    (void)token;
    return true;
}

/* The token, and others that may be meant, each once however many modules show it. */
struct candidates {
    size_t count;
    char names[160]; /* for a message */
};

static bool is_another(const struct tok_token_list *list, size_t at, struct tok_token *token)
{
    CK_TOKEN_INFO info;
    CK_TOKEN_INFO other;

    tok_token_info(list->items[at], &info);
    tok_token_info(token, &other);
    if (tok_tokens_are_one(&info, &other)) {
        return false;
    }
    for (size_t i = 0; i < at; i++) {
        tok_token_info(list->items[i], &other);
        if (tok_tokens_are_one(&info, &other)) {
            return false;
        }
    }
    return true;
}

static void name_put(struct text *text, struct tok_token *token)
{
    CK_TOKEN_INFO info;
    char serial[17];

    tok_token_info(token, &info);
    tok_serial_text(serial, &info);
    text_printf(text, "%s'%s' (serial %s)", text->len > 0 ? ", " : "", token->label, serial);
}

static void count(struct candidates *out, const struct tok_token_list *list, struct tok_token *token,
                  bool (*counts)(struct tok_token *token))
{
    struct text names = TEXT_OVER(out->names);

    out->count = 1;
    name_put(&names, token);
    for (size_t i = 0; i < list->count; i++) {
        if (is_another(list, i, token) && counts(list->items[i])) {
            out->count++;
            name_put(&names, list->items[i]);
        }
    }
}

/* --- the decision ------------------------------------------------------------------------------------------------- */

static bool may_choose(const struct tok_credentials *credentials)
{
    return credentials->uri != NULL && tok_uri_may_choose(credentials->uri);
}

/* Where the configuration says the module, another one that shows a token of that name shows another token. */
static bool is_in_its_module(const struct tok_token_list *list, const struct tok_pin_line *line,
                             const struct tok_token *token)
{
    bool in = line->named->modules == NULL;

    for (size_t i = 0; i < list->count && !in; i++) {
        in = list->items[i]->module == token->module;
    }
    return in;
}

static struct tok_result aim_named(const struct tok_pin_line *line, struct tok_token *token,
                                   const struct tok_credentials *credentials, uint64_t deadline_us)
{
    SCOPED(tok_token_list_end) struct tok_token_list list = { .items = NULL };
    const struct tok_named_token *named = line->named;
    struct tok_result found;
    struct candidates all;
    CK_TOKEN_INFO info;

    tok_token_info(token, &info);
    if (!tok_uri_matches_token(named->uri, &info)) {
        return tok_fail(TOK_CODE_PIN_TIED, "%s is token.%s's, since token.%s has no pin of its own", line->name,
                        named->name, named->name);
    }
    found = tok_find_known_tokens(&list, credentials->settings, named->uri, deadline_us);
    if (!tok_ok(&found) && !may_choose(credentials)) { /* else the module may be one that the URI alone names */
        return found;
    }
    if (!may_choose(credentials) && !is_in_its_module(&list, line, token)) {
        return tok_fail(TOK_CODE_PIN_TIED, "module '%s' is not token.%s.pkcs11-module, so that %s is not sent there",
                        token->module->path, named->name, line->name);
    }
    count(&all, &list, token, any_token);
    return all.count == 1
               ? tok_good()
               : tok_fail(TOK_CODE_PIN_TIED, "%zu tokens match token.%s.uri = %s, %s, so that none of them is sent %s",
                          all.count, named->name, tok_uri_text(named->uri), all.names, line->name);
}

static struct tok_result aim_general(const struct tok_pin_line *line, struct tok_token *token,
                                     const struct tok_credentials *credentials, uint64_t deadline_us)
{
    SCOPED(tok_token_list_end) struct tok_token_list list = { .items = NULL };
    SCOPED(tok_uri_end) struct tok_uri *any = NULL;
    struct candidates all;

    if (may_choose(credentials)) {
        return tok_good();
    }
    TOK_TRY(tok_uri_parse(&any, "pkcs11:", TOK_URI_FROM_APPLICATION));
    TOK_TRY(tok_find_known_tokens(&list, credentials->settings, any, deadline_us));
    count(&all, &list, token, wants_pin);
    return all.count == 1
               ? tok_good()
               : tok_fail(TOK_CODE_PIN_TIED,
                          "%s is tied to no token, and %zu tokens that want one are present: %s; a key file does not "
                          "choose among them",
                          line->name, all.count, all.names);
}

static struct tok_result decide(const struct tok_pin_line *line, struct tok_token *token,
                                const struct tok_credentials *credentials, uint64_t deadline_us)
{
    if (!tok_is_tied(line)) {
        TOK_TRY(line->named != NULL ? aim_named(line, token, credentials, deadline_us)
                                    : aim_general(line, token, credentials, deadline_us));
    }
    return tok_tie(line, token);
}

struct tok_result tok_aim(struct tok_token *token, const struct tok_credentials *credentials, uint64_t deadline_us)
{
    struct tok_pin_line line = tok_pin_line(token, credentials->settings);
    bool has_uri_pin = credentials->uri != NULL && tok_uri_pin(credentials->uri) != NULL;

    if (line.source == NULL || (credentials->own_pin_only && !line.own) ||
        (has_uri_pin && !credentials->own_pin_only) || tok_is_tied_to(&line, token) || !tok_login_needs_pin(token)) {
        return tok_good();
    }
    return with_advice(decide(&line, token, credentials, deadline_us), &line, token, credentials->settings);
}

struct tok_result tok_aim_login(struct tok_lease *lease, const struct tok_credentials *credentials,
                                uint64_t deadline_us)
{
    struct tok_result aim = tok_aim(lease->token, credentials, deadline_us);
    struct tok_result result = tok_login(lease, credentials, deadline_us);

    if (tok_ok(&result)) {
        tok_child_note(lease->token, credentials->settings);
    }
    return result.code == TOK_CODE_PIN_NEEDED && !tok_ok(&aim) ? aim : result;
}

static bool is_logged_in(struct tok_token *token)
{
    LOCKED(&token->lock);
    return token->login == TOK_LOGGED_IN;
}

struct tok_result tok_aim_login_late(bool *out_again, struct tok_lease *lease,
                                     const struct tok_credentials *credentials, uint64_t deadline_us)
{
    struct tok_token *token = lease->token;
    const struct tok_settings *settings = credentials->settings;
    struct tok_pin_line line = tok_pin_line(token, settings);
    bool has_pin = (credentials->uri != NULL && tok_uri_pin(credentials->uri) != NULL && !credentials->own_pin_only) ||
                   (line.source != NULL && (line.own || !credentials->own_pin_only));

    *out_again = false;
    if (settings->login == TOK_LOGIN_NEVER || is_logged_in(token) || (!has_pin && !tok_login_needed(token, settings))) {
        return tok_good();
    }
    TOK_TRY(tok_aim_login(lease, credentials, deadline_us));
    *out_again = true;
    return tok_good();
}
