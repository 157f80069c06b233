/* The CKR table: for each return value its name, what it means to an administrator, what we do about it, and what it
 * says of a PIN.
 *
 * The column `recovery` is what an operation tries (pkcs11/recover/recover.c), at most once of a kind. The table is
 * complete for PKCS#11 v3.2, with a row for vendor-defined values. Constant data; for everybody. */
#ifndef SIGNET_PKCS11_RESULT_CKR_H
#define SIGNET_PKCS11_RESULT_CKR_H

#include "pkcs11/result/cryptoki.h"

enum tok_recovery {
    TOK_GIVE_UP,      /* the answer is final: bad input, policy, a PIN */
    TOK_NEW_SESSION,  /* this session is spoilt: close it, take another */
    TOK_LOG_IN_AGAIN, /* the login got lost */
    TOK_FIND_AGAIN,   /* the handle of the key is stale */
    TOK_LOOK_AGAIN,   /* something is wrong with the token, or with this call alone: look, take another session, find */
    TOK_SLOT_AGAIN,   /* the token is gone, and its sessions: wait for it wherever it comes back, open, log in, find */
    TOK_INITIALIZE,   /* the module forgot its initialisation */
    TOK_REINITIALIZE, /* the module won't come to itself: finalise it and initialise it again */
    TOK_WAIT,         /* busy, or at its limit: try again a little later, until the deadline */
    TOK_MOMENT,       /* passes by itself soon, or never: a few tries */
};

/* What it says of the PIN, where C_Login answers it. */
enum tok_of_pin {
    TOK_PIN_UNCLEAR,   /* it may have been looked at, and be wrong */
    TOK_PIN_RIGHT,     /* it was accepted */
    TOK_PIN_WRONG,     /* it was refused */
    TOK_PIN_BARRED,    /* no PIN is accepted now; nothing of one that was accepted before */
    TOK_PIN_CUT_SHORT, /* the token or its session went amid the call, perhaps after a look at it: believed once */
    TOK_PIN_UNSEEN,    /* nobody looked at it */
};

struct tok_ckr {
    CK_RV rv;
    const char *name;   /* "CKR_PIN_LOCKED" */
    const char *advice; /* "The user PIN is locked; ...", one sentence; "" where the name says it all */
    enum tok_recovery recovery;
    enum tok_recovery then; /* what to do where it comes again after that; TOK_GIVE_UP for nearly all */
    enum tok_of_pin pin;    /* as an answer of C_Login */
};

/* tok_ckr never returns NULL: unknown values get the row "CKR_VENDOR_DEFINED" or "CKR_unknown". */
const struct tok_ckr *tok_ckr(CK_RV rv);
/* tok_ckr_rows is the table, for tests and documentation. */
const struct tok_ckr *tok_ckr_rows(size_t *out_num);

/* tok_ckm_name names a mechanism that we use or list ("CKM_ECDSA"); NULL if unknown. */
const char *tok_ckm_name(CK_MECHANISM_TYPE mechanism);

#endif
