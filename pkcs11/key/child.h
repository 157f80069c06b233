/* What a forked child does and says by itself.
 *
 * With after-fork = eager it initialises the modules again and logs in right after fork, in the child's fork handler,
 * before the server drops its rights: for the tokens that its parent had logged in to, or found with load = early. A
 * child that can't reach a token says so once, on stderr and to syslog, since servers tend not to show what happens in
 * their handshakes. For pkcs11/key/key-run.c, aim.c, and the owner of settings that keys were loaded with. */
#ifndef SIGNET_PKCS11_KEY_CHILD_H
#define SIGNET_PKCS11_KEY_CHILD_H

#include "pkcs11/config/settings.h"
#include "pkcs11/token/token.h"

/* tok_child_note keeps with the token that children are to reach it as these settings say; nothing unless they are
 * eager. The settings are borrowed until tok_child_forget. */
void tok_child_note(struct tok_token *token, const struct tok_settings *settings);
/* tok_child_forget: these settings end; whoever ends some that a key was loaded with says so before. */
void tok_child_forget(const struct tok_settings *settings);

/* tok_child_failed is told of each operation with a token that failed for good, and tok_child_worked of each that did
 * not: in a child that has not reached a token yet the first failure is told to people. Cheap. */
void tok_child_failed(const struct tok_result *failure);
void tok_child_worked(void);

#endif
