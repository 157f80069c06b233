/* What to do after a failure that need not be final: the third column of the CKR table, carried out.
 *
 * Whoever retries keeps a `struct tok_attempts` for one operation: each kind of recovery is tried at most once for a
 * loss, waiting excepted, and nothing goes on beyond the deadline. What follows is another loss if the token itself
 * says that session or login are gone, and not only the call that failed. A token that went is waited for; a module
 * whose daemon is gone is initialised again where that is ours to do. A token on which an operation used up its
 * deadline is not asked by others until a probe succeeds (pkcs11/breaker.h). For pkcs11/key.c and pkcs11/find.c. */
#ifndef SIGNET_PKCS11_RECOVER_H
#define SIGNET_PKCS11_RECOVER_H

#include "pkcs11/session.h"
#include "pkcs11/settings.h"

struct tok_attempts {
    uint64_t began_us;
    uint64_t deadline_us;
    bool never_reinit;
    bool doubt_login; /* what was not found may be there behind a login */
    bool others;      /* another token has the key as well: nobody waits for this one here, */
    bool quick;       /* nor is it recovered, but for what a session or a login lost, */
    bool probes;      /* and its breaker is asked for a probe only where this one is to be tried */
    bool want_new;    /* the next attempt is to take a new session: idle ones turned out to be lost */

    /* recover.c's */
    unsigned tried;     /* bits of enum tok_recovery */
    unsigned losses;    /* that followed one another */
    unsigned moments;   /* so often waited for what passes */
    uint64_t pause_us;  /* of the last wait */
    bool lost_again;    /* session or login, after a recovery: the token itself says so, */
    bool doubtful_loss; /* or others have met a loss */
    bool probing;       /* while all others are refused */
    bool out_of_time;   /* gave up because of the deadline */
    struct tok_token *entered;
    uint64_t served; /* by the token, when this attempt began */
    char note[256];  /* why a module was not initialised again; the last member */
};

/* tok_attempts_begin: the deadline is that of the settings, unless the caller has been under way for a while. */
void tok_attempts_begin(struct tok_attempts *attempts, const struct tok_settings *settings, uint64_t deadline_us);
/* tok_attempts_enter asks the token's breaker, once for an operation. TOK_CODE_UNAVAILABLE: not now. */
TOK_RESULT tok_attempts_enter(struct tok_attempts *attempts, struct tok_token *token);
/* tok_attempts_end tells the breaker how it went. */
void tok_attempts_end(struct tok_attempts *attempts, struct tok_token *token, const struct tok_result *result);

/* tok_has_answered tells whether the token spoke, be it a refusal: then another time makes no difference. */
bool tok_has_answered(const struct tok_result *failure);

/* tok_note_failure marks the lease as spoilt where the failure says so; call it before the lease ends. */
void tok_note_failure(struct tok_lease *lease, const struct tok_result *failure);
/* tok_attempts_note is the same for whoever retries. Where that is not the first loss, it asks the token about it. */
void tok_attempts_note(struct tok_attempts *attempts, struct tok_token *token, struct tok_lease *lease,
                       const struct tok_result *failure);

/* tok_recover prepares another attempt after `failure`, which happened with `lease`, ended by now, on the token. False
 * if there is nothing to do but report it; its message may have got a reason more. */
bool tok_recover(struct tok_attempts *attempts, struct tok_token *token, const struct tok_lease *lease,
                 struct tok_result *failure);
/* tok_recover_module is the same for a failure on the way to a token, while modules are started and looked into:
 * another look may help, a wait is short, since another module may have the token. `starts` is the module's count
 * before. */
bool tok_recover_module(struct tok_attempts *attempts, struct tok_module *module, uint64_t starts,
                        const struct tok_result *failure);

#endif
