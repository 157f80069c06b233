/* Settings: one table of what a configuration may say.
 *
 * Each row has the name, the peers' names for it, the values it allows, its default, whether it is secret, and a
 * sentence for the man page, which is printed from the same table. Precedence: openssl.cnf, SIGNET_<NAME> in the
 * environment, the peers' environment variables, the default; the environment does not count in set-user-id processes.
 * Nothing is opened here but the file of a trace. For provider/provider.c and the command; the values live in the
 * instance. */
#ifndef SIGNET_PROVIDER_SETTINGS_CONFIG_H
#define SIGNET_PROVIDER_SETTINGS_CONFIG_H

#include <stdbool.h>
#include <stdio.h>

#include "pkcs11/result/result.h"
#include "pkcs11/config/settings.h"

/* How a value of the configuration is looked up: the value of `key` or NULL; borrowed. provider.c asks the core, the
 * command reads openssl.cnf. */
struct config_source {
    const char *(*get)(void *arg, const char *key);
    void *arg;
    const char *file; /* which it reads, for messages; NULL: not known */
};

/* What RSA decryption is served. */
enum config_decrypt { CONFIG_DECRYPT_OAEP = 1, CONFIG_DECRYPT_TLS = 2, CONFIG_DECRYPT_PKCS1 = 4 };

struct config {
    struct tok_settings settings;
    unsigned rsa_decrypt; /* bits of enum config_decrypt */
    bool async;           /* ASYNC jobs pause */
    bool fips;            /* add fips=yes to our properties */
};

/* config_read fills *out_config (end with config_end). TOK_CODE_BAD_SETTING names key, value (never a secret one) and
 * what is allowed; also for a name in `tokens` without its token.NAME.uri. */
TOK_RESULT config_read(struct config *out_config, const struct config_source *source);
void config_end(struct config *config);

/* config_override puts a value before what any configuration of this process says: an option of the command. All three
 * are borrowed for good; before any other thread starts. At most 8. */
void config_override(const char *key, const char *option, const char *value);

/* What a key of the section is ("pin", "token.prod.uri", a peer's name). */
enum config_key {
    CONFIG_KEY_UNKNOWN,
    CONFIG_KEY_KNOWN,
    CONFIG_KEY_OPENSSL, /* OpenSSL's own: "activate" */
};
enum config_key config_key(const char *key);
/* config_nearest is the setting, or where `of_token` is set what stands behind token.NAME., that a misspelt name may
 * mean; NULL if none is near. */
const char *config_nearest(const char *name, bool of_token);
/* config_token_part is what stands behind token.NAME., with NAME's length; NULL if the key is none such. Borrowed. */
const char *config_token_part(const char *key, size_t *out_len);
/* config_has_token tells whether the setting `tokens` has name[0..len). */
bool config_has_token(const struct config_source *source, const char *name, size_t len);

/* config_print_man prints the SETTINGS section of signet(7) in roff. */
void config_print_man(FILE *out);

#endif
