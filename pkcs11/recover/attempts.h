/* The attempts at one operation: until when, and whether the token may be asked at all.
 *
 * Whoever retries keeps a `struct tok_attempts` for one operation. It has the deadline, the pauses, and what was tried
 * before (pkcs11/recover/recover.h). A token on which an operation used up its deadline is not asked by others until a
 * trial succeeds (pkcs11/module/health.h): that is asked at the beginning, and told at the end. For recover.c and the
 * room pkcs11/key. */
#ifndef SIGNET_PKCS11_RECOVER_ATTEMPTS_H
#define SIGNET_PKCS11_RECOVER_ATTEMPTS_H

#include "pkcs11/result/ckr.h"
#include "pkcs11/token/session.h"
#include "pkcs11/config/settings.h"

struct tok_attempts {
    uint64_t began_us;
    uint64_t deadline_us;
    bool never_reinit;
    bool doubt_login; /* what was not found may be there behind a login */
    bool others;      /* another token has the key as well: nobody waits for this one here, */
    bool quick;       /* nor is it recovered, but for what a session or a login lost, */
    bool probes;      /* and one that is away is tried only by who is to try it: */
    bool on_trial;    /* this caller, or whoever comes first */
    bool want_new;    /* the next attempt is to take a new session: idle ones turned out to be lost */

    /* recover.c's */
    unsigned tried;     /* bits of enum tok_recovery */
    unsigned losses;    /* that followed one another */
    unsigned moments;   /* so often waited for what passes */
    unsigned logins;    /* whose answer may mean that the PIN is wrong */
    uint64_t pause_us;  /* of the last wait */
    bool lost_again;    /* session or login, after a recovery: the token itself says so, */
    bool doubtful_loss; /* or others have met a loss */
    bool probing;       /* while all others are refused */
    bool out_of_time;   /* gave up because of the deadline */
    struct tok_token *entered;
    uint64_t served;   /* by the token, when this attempt began */
    CK_RV not_started; /* what C_Initialize said when the module was to be initialised again; CKR_OK: nothing bad */
    char note[256];    /* why a module was not initialised again; the last member */
};

/* tok_attempts_begin takes the caller's deadline, or (0) that of the settings, from now. `now_us` is the time, where
 * the caller has just read the clock; 0: not. */
void tok_attempts_begin(struct tok_attempts *attempts, const struct tok_settings *settings, uint64_t deadline_us,
                        uint64_t now_us);
/* tok_attempts_enter asks the token's health, once for an operation. TOK_CODE_UNAVAILABLE: not now. */
TOK_RESULT tok_attempts_enter(struct tok_attempts *attempts, struct tok_token *token);
/* tok_attempts_end tells it how it went. */
void tok_attempts_end(struct tok_attempts *attempts, struct tok_token *token, const struct tok_result *result);

/* tok_first_recovery is what the CKR table says of it. */
enum tok_recovery tok_first_recovery(const struct tok_result *result);
/* tok_has_answered tells whether the token gave an answer, if only a refusal: asking again would change nothing. */
bool tok_has_answered(const struct tok_result *failure);
/* tok_others_are_served: has the token served anybody since this attempt began? */
bool tok_others_are_served(const struct tok_attempts *attempts, struct tok_token *token);

/* tok_attempts_pause pauses, longer each time. False, without a pause, if the deadline comes first or this caller must
 * not wait. */
bool tok_attempts_pause(struct tok_attempts *attempts);

#endif
