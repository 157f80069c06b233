/* A token that was seen: who it is, where it is now, and what this process has of it: sessions and a login.
 *
 * A token is known by label, serial number, manufacturer and model; the slot it is in may change. A login belongs to
 * the token and this process, not to a session, and ends with its last session. Everything that a module can forget
 * (handles of sessions and objects, the login) belongs to an epoch; when something got lost the epoch grows, and
 * whoever holds a handle of an older one finds it again. Tokens are made when first seen and live as long as their
 * module, so pointers to them stay good.
 *
 * The order of locks is in base/fork.h. None is held across a C_ call. */
#ifndef SIGNET_PKCS11_TOKEN_TOKEN_H
#define SIGNET_PKCS11_TOKEN_TOKEN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/flight.h"
#include "base/lock.h"
#include "base/secret.h"
#include "pkcs11/module/health.h"
#include "pkcs11/module/call.h"
#include "pkcs11/token/message.h"
#include "pkcs11/module/module.h"
#include "pkcs11/config/settings.h"

struct tok_lease;

struct tok_place { /* of a session: free, idle, or lent */
    CK_SESSION_HANDLE session;
    struct tok_lease *lease; /* who has it; lives on its thread's stack */
    unsigned next;           /* the number of the next free or idle place, from 1 */
    unsigned losses;         /* the pool's, when the session was opened: less than now, and it may be lost as well */
    struct tok_message told; /* what the session signs messages with */
};

struct tok_pool { /* sessions; guarded by the token's lock */
    struct tok_place *places;
    unsigned num_places;
    unsigned free;              /* the first free place, from 1; 0: none */
    unsigned idle;              /* the first idle one, which was used last */
    unsigned num_idle;          /* */
    unsigned num_lent;          /* of any epoch: so many threads are inside an operation */
    bool lent_alone;            /* one of them is alone */
    unsigned open;              /* idle and lent ones of this epoch */
    unsigned limit;             /* learnt from CKR_SESSION_COUNT; 0: none known */
    uint64_t limit_us;          /* when it was learnt */
    CK_RV refused;              /* what C_OpenSession said last, where it has not worked since */
    unsigned losses;            /* so often a session turned out to be forgotten by the module */
    unsigned turn;              /* leases of this window, */
    unsigned least_idle;        /* and how many sessions none of them needed */
    unsigned surplus;           /* so many may be closed */
    _Atomic uint64_t served;    /* leases that ended well */
    _Atomic uint64_t look_us;   /* when to look again for calls that are overdue */
    struct tok_waiter *waiting; /* in order of arrival; each lives on its thread's stack */
};

struct tok_waiter {
    struct tok_waiter *next;
    struct lock_signal turn; /* sent to the first one alone */
};

enum tok_login_state { TOK_LOGGED_OUT, TOK_LOGGED_IN };

struct tok_token {
    struct tok_module *module;        /* constant */
    struct tok_token *next;           /* in the module's list; guarded by the module's lock */
    char label[33];                   /* constant: for messages, without the padding */
    struct bytes *_Atomic mechanisms; /* what its slot offers (pkcs11/object/mech.h); constant once there */
    _Atomic bool mechanisms_asked;
    struct tok_health health;   /* guards itself, but for what its header says */
    _Atomic unsigned in_flight; /* operations under way or about to be, of keys (pkcs11/key/replica.h) */
    _Atomic bool no_messages;   /* C_MessageSignInit is not worth while (pkcs11/token/message.h) */
    _Atomic bool wraps_points;  /* the other side's, in key agreement, as an OCTET STRING (pkcs11/object/derive.c) */

    struct lock lock;   /* guards what follows */
    CK_TOKEN_INFO info; /* identity is constant, flags are as of the last look */
    bool info_fresh;    /* the flags were read since the last attempt to log in */
    CK_SLOT_ID slot;
    bool present;          /* as of the last look that has ended: never less for the time of one */
    uint64_t looked;       /* the module's `looks` when it was last seen; guarded by the module's lock as well */
    _Atomic uint64_t seen; /* the module's `starts` when it was last seen; changed under the lock */
    uint64_t epoch;        /* of sessions */
    uint64_t objects;      /* of object handles: grows with the epoch, and with each lost login */
    struct tok_pool pool;
    int balance; /* pkcs11/token/message.c's */
    enum tok_login_state login;
    struct flight logging_in;
    bool wants_login;                   /* it said so, whatever its flags say */
    bool is_remembering;                /* it has had a PIN here: it is in login.c's list, */
    struct tok_token *next_remembering; /* constant from then on */
    struct secret pin; /* what the token accepted, for logging in again; what it refused: pkcs11/token/tries.h */
};

/* tok_tokens_look asks the module which tokens are present now and updates its list of tokens: one C_GetSlotList, and a
 * C_GetTokenInfo for each. A token that is not initialised is left out. Of several threads that look, one does, and the
 * others wait up to their deadline. */
TOK_RESULT tok_tokens_look(struct tok_module *module, uint64_t deadline_us);
/* tok_module_trouble: why a slot could not tell at the last look what it holds, if one could not. Which look that was
 * tells whether another thread's has come between. */
TOK_RESULT tok_module_trouble(struct tok_module *module, uint64_t *out_look);
/* tok_module_blank counts the tokens that were not initialised at the last look. */
size_t tok_module_blank(struct tok_module *module);
/* tok_module_has_slots: does the module know any slot, with or without a token? One whose daemon is gone knows none. */
bool tok_module_has_slots(struct tok_module *module, uint64_t deadline_us);
/* tok_module_in_use: is a session of any of its tokens lent? */
bool tok_module_in_use(struct tok_module *module);
/* tok_module_has_token: did the last look see any? */
bool tok_module_has_token(struct tok_module *module);
/* tok_tokens_met counts the tokens that this process has met. */
uint64_t tok_tokens_met(void);
/* tok_token_present tells whether the last look saw it. */
bool tok_token_present(struct tok_token *token);

/* tok_token_start starts the token's module and, where it was started since the token was last seen (after a fork,
 * say), looks where the token is now, by its identity: in another slot perhaps. CKR_TOKEN_NOT_PRESENT if it is not
 * there. */
TOK_RESULT tok_token_start(struct tok_token *token, uint64_t deadline_us);

/* tok_token_lost starts a new epoch: sessions and login are gone, without a C_ call. Only if `epoch` is still the
 * current one, so that of many threads that notice the loss one acts; 0 means whichever it is. */
void tok_token_lost(struct tok_token *token, uint64_t epoch);

/* tok_tokens_are_one: equal label, serial number, manufacturer and model. Equal labels alone are not one token. */
bool tok_tokens_are_one(const CK_TOKEN_INFO *a, const CK_TOKEN_INFO *b);
/* tok_label_text is the label without its padding. */
void tok_label_text(char out_label[33], const CK_TOKEN_INFO *info);
/* tok_token_info copies what is known of the token. */
void tok_token_info(struct tok_token *token, CK_TOKEN_INFO *out_info);
/* tok_token_refresh asks for the flags again where they are not fresh (before a login). */
TOK_RESULT tok_token_refresh(struct tok_token *token);

/* tok_token_settings is the configuration's own entry for this token, or NULL. */
const struct tok_named_token *tok_token_settings(struct tok_token *token, const struct tok_settings *settings);
/* tok_token_note_settings keeps with the token's module what the configuration says of it in a child, which may have to
 * know it before it sees the token. */
void tok_token_note_settings(struct tok_token *token, const struct tok_settings *settings);

/* tok_token_max_sessions is the limit that the configuration sets for it; 0: none. */
unsigned tok_token_max_sessions(struct tok_token *token, const struct tok_settings *settings);

/* tok_token_matching walks the tokens of a module that are present and match the URI: start with NULL. The slot's and
 * the module's attributes are asked of the module only where the URI names them. */
TOK_RESULT tok_token_matching(struct tok_token **in_out_token, struct tok_module *module, const struct tok_uri *uri,
                              uint64_t deadline_us);

#endif
