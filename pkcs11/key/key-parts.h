/* What a key is made of: for pkcs11/key/key.c, which makes keys and knows where they are, and key-run.c and
 * key-operate.c, which use them. Everybody else goes through pkcs11/key/key.h. */
#ifndef SIGNET_PKCS11_KEY_KEY_PARTS_H
#define SIGNET_PKCS11_KEY_KEY_PARTS_H

#include "base/lock.h"
#include "pkcs11/key/key.h"
#include "pkcs11/recover/recover.h"
#include "pkcs11/key/replica.h"
#include "pkcs11/module/answer.h"

struct tok_key {
    _Atomic unsigned refs;
    const struct tok_settings *settings;
    struct tok_uri *uri;
    struct tok_uri *meant; /* what was searched for, where that may be on more tokens than `uri`; NULL: `uri` */
    struct tok_public half;
    const struct bytes *_Atomic offered; /* what the slot of a token offers, once it was asked; the token's */
    struct bytes *_Atomic allowed;       /* what the key allows, once it was read; owned, constant once there */
    struct tok_replica *_Atomic served;  /* the last one that did; NULL: none yet */
    _Atomic uint64_t last_us;            /* the duration of the last operation that went well */
    bool by_half;                        /* of a key file: it is looked for by its half where its names don't fit */
    _Atomic uint64_t sought_met;         /* tok_tokens_met when that was last in vain, */
    _Atomic uint64_t sought_us;          /* and the time */
    _Atomic uint64_t looked;             /* tok_tokens_met when other tokens were last looked for */

    struct lock *lock;            /* one of key_locks; guards what follows. Nothing else is locked while it is held */
    struct tok_replicas replicas; /* empty: not looked for yet */
    char label[128];
};

/* key_find_replicas looks for the tokens that the key may be on; an error if there is none. */
TOK_RESULT key_find_replicas(struct tok_key *key, uint64_t deadline_us);
/* key_find_more looks for others among the tokens that this process has met, without a call where it can. */
void key_find_more(struct tok_key *key, uint64_t deadline_us);
/* What an operation uses of a replica. */
struct key_use {
    CK_OBJECT_HANDLE handle;
    bool authenticate;
    uint64_t unproved;
};

/* key_handle gives the object's handle for this lease, found again if it may be stale. */
TOK_RESULT key_handle(struct tok_key *key, struct tok_replica *replica, struct tok_lease *lease,
                      struct tok_attempts *attempts, struct key_use *out_use);

/* What one run of an operation has to do with: its replica, its lease, its recoveries. */
struct key_attempt {
    struct tok_key *key;
    struct tok_replica *replica;
    const struct tok_pin_prompt *prompt;
    struct tok_lease *lease;
    struct key_use use;
    struct tok_attempts attempts;
};

struct key_operation {
    CK_RV (*init)(struct tok_lease *lease, const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE handle); /* NULL: none */
    struct tok_result (*run)(struct tok_lease *lease, struct key_operation *op, CK_ULONG *in_out_len);
    enum tok_output output;
    const char *init_name;
    const char *run_name;
    const char *what; /* for messages */
    bool signs;
    bool decrypts;
    const CK_MECHANISM *mechanism;
    const uint8_t *in;
    size_t in_len;
    uint8_t *out;
    size_t room;
    uint64_t deadline_us; /* 0: that of the settings */
    CK_OBJECT_HANDLE handle;
    size_t out_len;    /* of the result */
    CK_RV refusal;     /* of the data, in place of a result */
    uint64_t unproved; /* of the result */
    bool ran;          /* the token was asked for it */
};

extern const struct key_operation key_signing;
extern const struct key_operation key_decrypting;
extern const struct key_operation key_deriving;

/* key_bind notes that this object is the key. Requires the key's lock. */
void key_bind(struct tok_key *key, struct tok_replica *replica, uint64_t objects, const struct tok_private *found,
              bool proved);

/* key_by_half looks for the key among all private keys that the lease shows, by its public half; out->handle is 0 if it
 * is not there. */
TOK_RESULT key_by_half(struct tok_private *out, bool *out_proved, const struct tok_key *key, struct tok_lease *lease);
/* key_shows_half: does the token show the public half to this lease? */
TOK_RESULT key_shows_half(bool *out_shows, const struct tok_key *key, struct tok_lease *lease);
/* key_find_renamed looks for a key file's key on other tokens than those that its URI names. True: it is on one, which
 * is a replica now, and this was told. Else *in_out_failure may become a better one. */
bool key_find_renamed(struct tok_key *key, struct tok_result *in_out_failure, uint64_t deadline_us);
/* key_tell_renamed says once in a process what has changed, and how to write the key file anew. */
void key_tell_renamed(const struct tok_key *key, struct tok_token *token, const struct tok_private *found);

/* key_begin gets session, login and handle; the session is to sign by the mechanism, unless that is NULL. */
TOK_RESULT key_begin(struct key_attempt *attempt, const CK_MECHANISM *signs);
/* key_operate makes the operation's calls. */
TOK_RESULT key_operate(struct key_operation *op, struct key_attempt *attempt);
/* key_in_operation: did the token answer to the operation itself? */
bool key_in_operation(const struct key_operation *op, const struct tok_result *result);

#endif
