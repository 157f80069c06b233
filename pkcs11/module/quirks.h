/* Known oddities of modules: a table of rows, each with its reason and a test.
 *
 * Whether a module is the one a row means is told by its file's name or by what C_GetInfo says of it, so that one
 * behind a counting or logging module is known, too. What the configuration says of a token (token.NAME.quirks) comes
 * first. For pkcs11/module/module.c, find.c and recover.c. */
#ifndef SIGNET_PKCS11_MODULE_QUIRKS_H
#define SIGNET_PKCS11_MODULE_QUIRKS_H

#include <stdbool.h>
#include <stdint.h>

#include "pkcs11/result/cryptoki.h"
#include "pkcs11/result/result.h"

struct tok_module;
struct tok_token;
struct tok_settings;

/* What to do where C_Initialize in a forked child says that the module is initialised already: it does not know of the
 * fork, and goes on with a copy of its parent's state. From the least careful to the most. */
enum tok_fork {
    TOK_FORK_UNSAID,
    TOK_FORK_SHARE,    /* use the copy: everything is in the process's own memory, random numbers are not repeated */
    TOK_FORK_FINALIZE, /* C_Finalize and C_Initialize in the child: that does not reach the parent */
    TOK_FORK_REFUSE,   /* neither: the child gets an error that says how to avoid it */
};

struct tok_quirk {
    const char *file;         /* a pattern (fnmatch) for the file's name; NULL: any */
    const char *manufacturer; /* of C_GetInfo, without the padding; NULL: no row by it */
    enum tok_fork fork;
    bool forgets_fork;   /* C_Initialize in a child is good, and its parent's connection is in use all the same */
    bool start_may_miss; /* C_Initialize overlooks a token that another process is writing to just then, and never
                            looks again */
    unsigned notices_ms; /* so long the module takes a card that was pulled for present, and may hang if it is used */
    bool error_stays;    /* a GENERAL_ERROR that does not pass means that the connection is gone, and only C_Initialize
                            makes a new one */
    const char *reason;
};

/* tok_quirk_of is the row for a module; `info` may be NULL. Never NULL: the last row is for all others. Static. */
const struct tok_quirk *tok_quirk_of(const char *path, const CK_INFO *info);

/* tok_quirks_note keeps with the token what the configuration says of it, for a child that may have to know it before
 * it sees the token. */
void tok_quirks_note(struct tok_token *token, const struct tok_settings *settings);

/* tok_quirks_fork is what to do with this module in a child, and why (static). */
enum tok_fork tok_quirks_fork(struct tok_module *module, const char **out_reason);

/* tok_quirks_forgets_fork: must a child not even initialise this module, and why (static)? Without a call, which would
 * be over the parent's connection: so a module is known by its file alone. */
bool tok_quirks_forgets_fork(struct tok_module *module, const char **out_reason);

/* tok_quirks_may_miss: may a token be there that the module does not show until it is initialised again, and can that
 * be done because nobody uses it? */
bool tok_quirks_may_miss(struct tok_module *module, uint64_t deadline_us);
/* tok_quirks_start_missed is the same for whoever is starting the module, for whom nobody else may call it. */
bool tok_quirks_start_missed(struct tok_module *module);
/* tok_quirks_again initialises it again then, however short a while ago that was done before. */
TOK_RESULT tok_quirks_again(struct tok_module *module, uint64_t deadline_us);
/* tok_quirks_notices_us: so long after a call that failed without a reason it is too early to look whether the token is
 * still there. */
uint64_t tok_quirks_notices_us(struct tok_module *module, uint64_t deadline_us);
/* tok_quirks_pause pauses before that, differently long in each process: those that start at one moment, each of which
 * writes what the others read, must not try again at one moment. */
void tok_quirks_pause(uint64_t us);
/* tok_quirks_may_pass: may this failure to open a session or to log in be due to that, so that initialising the module
 * again helps? */
bool tok_quirks_may_pass(struct tok_module *module, const struct tok_result *failure, uint64_t deadline_us);
/* tok_quirks_disconnected: does this failure, which another attempt did not mend, mean that the module has to be
 * initialised again? */
bool tok_quirks_disconnected(struct tok_module *module, const struct tok_result *failure, uint64_t deadline_us);

#endif
