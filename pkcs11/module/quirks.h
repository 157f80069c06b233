/* Known oddities of modules: a table of rows, each with its reason and a test.
 *
 * A row is chosen by the name of the module's file, or by what C_GetInfo says of it, so that a module behind a counting
 * or logging one is recognised, too. What the configuration says of a token (token.NAME.quirks) comes
 * first. Where it comes from: tok_module_quirk of pkcs11/module/module.h. */
#ifndef SIGNET_PKCS11_MODULE_QUIRKS_H
#define SIGNET_PKCS11_MODULE_QUIRKS_H

#include <stdbool.h>
#include <stdint.h>

#include "pkcs11/config/settings.h"
#include "pkcs11/result/cryptoki.h"
#include "pkcs11/result/result.h"

struct tok_quirk {
    const char *file;         /* a pattern (fnmatch) for the file's name; NULL: any */
    const char *manufacturer; /* of C_GetInfo, without the padding; NULL: no row by it */
    enum tok_fork fork;
    bool forgets_fork;   /* C_Initialize in a child is good, and its parent's connection is in use all the same */
    bool start_may_miss; /* C_Initialize overlooks a token that another process is writing to just then, and never
                            looks again */
    unsigned notices_ms; /* so long the module believes that a pulled card is still there, and may hang if it is used */
    bool error_stays;    /* a GENERAL_ERROR that does not pass means that the connection is gone, and only C_Initialize
                            makes a new one */
    CK_RV pin_unseen[2]; /* what C_Login answers without having looked at the PIN, beyond the CKR table; 0: none.
                            Believed of that file alone, not of what stands in front of it */
    const char *reason;
};

/* tok_quirk_of is the row for a module; `info` may be NULL. Never NULL: the last row is for all others. Static. */
const struct tok_quirk *tok_quirk_of(const char *path, const CK_INFO *info);

#endif
