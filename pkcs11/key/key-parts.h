/* What a key is made of: for pkcs11/key/key.c, which makes keys and knows where they are, and key-operate.c, which uses
 * them. Everybody else goes through pkcs11/key/key.h. */
#ifndef SIGNET_PKCS11_KEY_KEY_PARTS_H
#define SIGNET_PKCS11_KEY_KEY_PARTS_H

#include "base/lock.h"
#include "pkcs11/key/key.h"
#include "pkcs11/recover/recover.h"
#include "pkcs11/key/replica.h"

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

#endif
