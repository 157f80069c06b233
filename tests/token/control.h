/* The words that tell the module in front of another what to do, for its environment (SIGNET_TEST_FAULTS) and for
 * set-faults. Words are separated by spaces:
 *
 *     FUNCTION:rv=CKR:nth=N:times=N|always:left:hang=MS|forever:lose:log-out:go-away
 *                           the N-th call from now (the first) goes wrong, and those after it, `times` in all (1); see
 *                           struct fault in counts.h
 *     FUNCTION:delay=US     each call of it takes so much longer
 *     all:...               the same for every function
 *     delay=US              the same as all:delay=US
 *     serialise             one call at a time
 *     max-sessions=N        C_OpenSession answers CKR_SESSION_COUNT from then on
 *     lose  log-out         all sessions are lost, or the login is, at the next call
 *     lose-every=N          all sessions are lost at every N-th call
 *     go-away  away=CKR     the token is not there, and calls for a session get this answer
 *     come-back[=N]         it is there again, in the slot whose number is greater by N
 *     without=MECHANISM     by number
 *     calm                  it behaves from now on; counters stay as they are
 *
 * Functions are named without their C_, codes as CKR_NAME or by number. */
#ifndef SIGNET_TESTS_CONTROL_H
#define SIGNET_TESTS_CONTROL_H

#include "counts.h"

/* counts_obey does what the words say. False, with the word in `out_word`, if one makes no sense; those before it are
 * obeyed then. */
int counts_obey(struct counts *counts, const char *words, char out_word[256]);

void counts_calm(struct counts *counts);
void counts_go_away(struct counts *counts);
void counts_come_back(struct counts *counts, unsigned long shift);

/* The name of a function, without its C_. */
const char *count_name(enum count which);

/* The row of CRYPTOKI_CKR (ckr.h), without CKR_, or NULL. */
const char *ckr_name(unsigned long rv);

#endif
