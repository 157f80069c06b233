/* Finding what a URI names: tokens over all modules, and the objects on them.
 *
 * Looks at the tokens that are present now, so one that came after the start is found. Private keys come first, then
 * certificates, then public keys. A URI with an id or a label names one key: matches with the same public half are
 * replicas, one key that is on all of them; different ones are TOK_CODE_AMBIGUOUS, listing them. A URI with neither
 * lists. A login goes to a single token: where several match, only those that the configuration gives a PIN of their
 * own are logged in to. */
#ifndef SIGNET_PKCS11_KEY_FIND_H
#define SIGNET_PKCS11_KEY_FIND_H

#include "pkcs11/key/key.h"
#include "pkcs11/token/login.h"
#include "pkcs11/object/half.h"

enum tok_wanted { TOK_WANT_PRIVATE = 1, TOK_WANT_CERTIFICATE = 2, TOK_WANT_PUBLIC = 4 };

struct tok_item {
    enum tok_wanted kind;
    struct tok_key *key;      /* private keys; owned. NULL: one that can't be used */
    struct tok_result why;    /* why it can't be used; good: nothing is known against it */
    struct tok_public half;   /* public keys, and what is known of a private one that can't be used; owned */
    struct bytes certificate; /* certificates: DER; owned */
    char *uri;                /* of this object; owned */
};

struct tok_items {
    struct tok_item *items;
    size_t count;
};

void tok_items_end(struct tok_items *items);
/* tok_items_cut ends those behind the first `count`. */
void tok_items_cut(struct tok_items *items, size_t count);

struct tok_token_list {
    struct tok_token **items; /* borrowed */
    size_t count;
};

void tok_token_list_end(struct tok_token_list *list);

/* tok_find_tokens lists the present tokens that the URI matches, of all modules that it and the settings mean. None is
 * TOK_CODE_NO_TOKEN, which lists those that are present, or the failure of the module that could not tell. */
TOK_RESULT tok_find_tokens(struct tok_token_list *out_list, const struct tok_settings *settings,
                           const struct tok_uri *uri, uint64_t deadline_us);

/* tok_find_met_tokens lists those of them that the last looks saw; none is no failure. A call is made only where the
 * URI asks for something of a module or a slot. */
TOK_RESULT tok_find_met_tokens(struct tok_token_list *out_list, const struct tok_settings *settings,
                               const struct tok_uri *uri, uint64_t deadline_us);

/* tok_find_known_tokens lists likewise those that the last looks saw, of all modules that can tell: a module that was
 * not looked at yet is. */
TOK_RESULT tok_find_known_tokens(struct tok_token_list *out_list, const struct tok_settings *settings,
                                 const struct tok_uri *uri, uint64_t deadline_us);

/* tok_find_other_tokens lists all tokens that the last looks saw in the modules that the URI and the settings mean,
 * whatever the URI asks of a token, a slot or a module. */
TOK_RESULT tok_find_other_tokens(struct tok_token_list *out_list, const struct tok_settings *settings,
                                 const struct tok_uri *uri, uint64_t deadline_us);

/* tok_find collects the objects of the wanted kinds (bits of enum tok_wanted) that the URI names, its `type` counting,
 * too. Finding nothing is TOK_CODE_NO_OBJECT. */
TOK_RESULT tok_find(struct tok_items *out_items, const struct tok_settings *settings, const struct tok_uri *uri,
                    unsigned wanted, const struct tok_pin_prompt *prompt);

/* tok_find_by does the same with more to go by. */
struct tok_find_options {
    const struct tok_pin_prompt *prompt; /* NULL: nobody can be asked */
    struct tok_evidence evidence;        /* of which half is whose; with a given one, only its key is found */
    bool with_unusable;                  /* a listing: what can't be used is found as well */
    bool of_any_type;                    /* the URI's `type` does not count */
};
TOK_RESULT tok_find_by(struct tok_items *out_items, const struct tok_settings *settings, const struct tok_uri *uri,
                       unsigned wanted, const struct tok_find_options *options);

#endif
