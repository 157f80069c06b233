/* The table of settings: for each its name, the peers' names for it, what it may be, its default, whether it is secret,
 * and a sentence for the man page. Constant data; for the rest of the room, which reads settings by it. */
#ifndef SIGNET_PROVIDER_SETTINGS_TABLE_H
#define SIGNET_PROVIDER_SETTINGS_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "pkcs11/config/settings.h"
#include "provider/settings/config.h"

/* `set` stores a value, or says what is wrong with it in a static text that ends a sentence; NULL: nothing. */
struct prov_setting {
    const char *name;
    const char *aliases[3];   /* in configurations of other providers; a NULL ends them */
    const char *variables[3]; /* likewise in their environment */
    const char *allowed;      /* for messages and the man page */
    const char *otherwise;    /* the default, in words */
    bool secret;
    const char *(*set)(struct prov_config *config, const char *value);
    const char *help; /* NULL: not ours, and no man page shows it */
};

/* What token.NAME may have beside its uri. */
struct prov_token_setting {
    const char *name;
    const char *allowed;
    bool secret;
    const char *(*set)(struct tok_named_token *token, const char *value);
    const char *help; /* NULL: as the general setting of that name */
};

extern const struct prov_setting prov_settings[];
extern const size_t prov_num_settings;
extern const struct prov_token_setting prov_token_settings[];
extern const size_t prov_num_token_settings;
/* OpenSSL's own keys in a provider's section; NULL ends them. */
extern const char *const prov_openssl_keys[];
/* What other providers know, and needs no counterpart here; NULL ends them. */
extern const char *const prov_other_keys[];

#endif
