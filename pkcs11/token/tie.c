#include "pkcs11/token/tie.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/shared.h"
#include "base/text.h"
#include "base/trace.h"

/* --- lines -------------------------------------------------------------------------------------------------------- */

static uint64_t text_add(uint64_t id, const char *text)
{
    return shared_hash(id, text != NULL ? text : "", text != NULL ? strlen(text) : 0);
}

/* All that the configuration says of where the PIN comes from and where it goes. */
static uint64_t line_id(const struct tok_pin_line *line, const struct tok_settings *settings)
{
    uint64_t id = text_add(tok_pin_source_mark(line->source), line->name);

    id = text_add(id, settings->modules);
    if (line->named != NULL) {
        id = text_add(id, tok_uri_text(line->named->uri));
        id = text_add(id, line->named->modules);
    }
    return id;
}

/* The only entry without a PIN of its own; NULL: there is none, or there are several. */
static const struct tok_named_token *only_without_pin(const struct tok_settings *settings)
{
    const struct tok_named_token *found = NULL;

    for (size_t i = 0; i < settings->num_tokens; i++) {
        if (settings->tokens[i].pin == NULL) {
            if (found != NULL) {
                return NULL;
            }
            found = &settings->tokens[i];
        }
    }
    return found;
}

struct tok_pin_line tok_pin_line(struct tok_token *token, const struct tok_settings *settings)
{
    const struct tok_named_token *named = tok_token_settings(token, settings);
    struct tok_pin_line line = { .source = settings->pin, .named = only_without_pin(settings) };
    struct text name = TEXT_OVER(line.name);

    if (named != NULL && named->pin != NULL) {
        line.source = named->pin;
        line.named = named;
        line.own = true;
        text_printf(&name, "token.%s.pin", named->name != NULL ? named->name : "");
    } else {
        text_put(&name, "the setting pin");
    }
    line.id = line.source != NULL ? line_id(&line, settings) : 0;
    return line;
}

/* --- ties --------------------------------------------------------------------------------------------------------- */

struct tie {
    uint64_t id;
    CK_TOKEN_INFO token; /* its identity */
    struct tie *next;
};

static struct tie *_Atomic ties; /* grows at its head */

static const struct tie *tie_in(const struct tie *list, uint64_t id)
{
    while (list != NULL && list->id != id) {
        list = list->next;
    }
    return list;
}

/* Whoever comes second finds what the first one has put before. */
static const struct tie *tie_put(struct tie *own)
{
    struct tie *head = atomic_load(&ties);

    do {
        const struct tie *known = tie_in(head, own->id);

        if (known != NULL) {
            free(own);
            return known;
        }
        own->next = head;
    } while (!atomic_compare_exchange_weak(&ties, &head, own));
    return own;
}

void tok_serial_text(char out_serial[17], const CK_TOKEN_INFO *info)
{
    struct text text = text_over(out_serial, 17);
    size_t len = sizeof(info->serialNumber);

    while (len > 0 && (info->serialNumber[len - 1] == ' ' || info->serialNumber[len - 1] == '\0')) {
        len--;
    }
    text_put_n(&text, (const char *)info->serialNumber, len);
}

static struct tok_result tied_to_another(const struct tok_pin_line *line, const CK_TOKEN_INFO *holder,
                                         struct tok_token *token, const CK_TOKEN_INFO *info)
{
    char serials[2][17];
    char label[33];

    tok_serial_text(serials[0], holder);
    tok_serial_text(serials[1], info);
    tok_label_text(label, holder);
    return tok_fail(TOK_CODE_PIN_TIED,
                    "%s is for token '%s' (serial %s) in this process, and is not sent to '%s' (serial %s)", line->name,
                    label, serials[0], token->label, serials[1]);
}

struct tok_result tok_tie(const struct tok_pin_line *line, struct tok_token *token)
{
    const struct tie *tie = tie_in(atomic_load(&ties), line->id);
    CK_TOKEN_INFO info;

    tok_token_info(token, &info);
    if (tie == NULL) {
        struct tie *own = malloc(sizeof(*own));

        if (own == NULL) {
            return tok_fail(TOK_CODE_NO_MEMORY, "a PIN");
        }
        *own = (struct tie){ line->id, info, NULL };
        tie = tie_put(own);
        if (tie == own) {
            trace(TRACE_LOGIN, "login: %s is for '%s' from here on", line->name, token->label);
        }
    }
    return tok_tokens_are_one(&tie->token, &info) ? tok_good() : tied_to_another(line, &tie->token, token, &info);
}

bool tok_is_tied(const struct tok_pin_line *line)
{
    return tie_in(atomic_load(&ties), line->id) != NULL;
}

bool tok_is_tied_to(const struct tok_pin_line *line, struct tok_token *token)
{
    const struct tie *tie = tie_in(atomic_load(&ties), line->id);
    CK_TOKEN_INFO info;

    tok_token_info(token, &info);
    return tie != NULL && tok_tokens_are_one(&tie->token, &info);
}

bool tok_serial_tells(const CK_TOKEN_INFO *info)
{
    for (size_t i = 0; i < sizeof(info->serialNumber); i++) {
        if (info->serialNumber[i] != '0' && info->serialNumber[i] != ' ' && info->serialNumber[i] != '\0') {
            return true;
        }
    }
    return false;
}
