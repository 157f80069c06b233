/* What the module in front of another does to calls, as its page (counts.h) says. Used by token-counter.c alone. */
#ifndef SIGNET_TESTS_MISBEHAVE_H
#define SIGNET_TESTS_MISBEHAVE_H

#include <p11-kit/pkcs11.h>

#include "counts.h"

/* misbehave_start makes `real`, a module's own list, the token that misbehaves; it returns the list to hand calls on
 * to, whose sessions and slots are those of the page. Once in a process. */
CK_FUNCTION_LIST *misbehave_start(struct counts *counts, CK_FUNCTION_LIST *real);

/* One call. `hand_on` says whether it is to be handed on at all. */
struct verdict {
    CK_RV rv; /* instead of the answer, unless CKR_OK */
    int hand_on;
    int serialised;
};
struct verdict call_begin(enum count which);
CK_RV call_end(const struct verdict *verdict, CK_RV rv); /* returns what the caller is told */

/* calls_out keeps sessions from being lost while a call is in the module; it is held between call_begin and call_end
 * for a call that is handed on. */
void calls_in(void);
void calls_out(void);

/* What a slot is called behind. */
CK_SLOT_ID slot_behind(CK_SLOT_ID slot);

#endif
