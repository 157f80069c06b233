/* Reading the settings: from openssl.cnf, the environment and the options of the command, by the table of
 * provider/settings/table.h, from which the man page is printed, too.
 *
 * Precedence: openssl.cnf, SIGNET_<NAME> in the environment, the peers' environment variables, the default. The
 * environment does not count in set-user-id processes. Nothing is opened here but the file of a trace. For
 * provider/core/context.c and the command; the caller of prov_config_read owns the values. */
#ifndef SIGNET_PROVIDER_SETTINGS_CONFIG_H
#define SIGNET_PROVIDER_SETTINGS_CONFIG_H

#include <stdbool.h>
#include <stdio.h>

#include "pkcs11/result/result.h"
#include "pkcs11/config/settings.h"

/* How a value of the configuration is looked up: the value of `key` or NULL; borrowed. The provider asks the core, the
 * command reads openssl.cnf. */
struct prov_config_source {
    const char *(*get)(void *arg, const char *key);
    void *arg;
    const char *file; /* which it reads, for messages; NULL: not known */
};

/* What RSA decryption is served. */
enum prov_config_decrypt { PROV_DECRYPT_OAEP = 1, PROV_DECRYPT_TLS = 2, PROV_DECRYPT_PKCS1 = 4 };

/* Which types of keys are offered to OpenSSL. */
enum prov_config_keys {
    PROV_KEYS_RSA = 1,
    PROV_KEYS_RSA_PSS = 2,
    PROV_KEYS_EC = 4,
    PROV_KEYS_ED25519 = 8,
    PROV_KEYS_ED448 = 16,
    PROV_KEYS_X25519 = 32,
    PROV_KEYS_X448 = 64,
    PROV_KEYS_ML_DSA = 128,
    PROV_KEYS_SLH_DSA = 256,
};

/* Which key files are read. */
enum prov_config_files { PROV_FILES_ALL, PROV_FILES_OWN, PROV_FILES_NONE };

struct prov_config {
    struct tok_settings settings;
    unsigned key_types;   /* bits of enum prov_config_keys; 0: all */
    enum prov_config_files key_files;
    unsigned rsa_decrypt; /* bits of enum prov_config_decrypt */
    bool async;           /* ASYNC jobs pause */
    bool fips;            /* add fips=yes to our properties */
};

/* prov_config_read fills *out_config (end with prov_config_end). TOK_CODE_BAD_SETTING names key, value (never a secret
 * one) and what is allowed; also for a name in `tokens` without its token.NAME.uri. */
TOK_RESULT prov_config_read(struct prov_config *out_config, const struct prov_config_source *source);
void prov_config_end(struct prov_config *config);

/* prov_config_override puts a value before what any configuration of this process says: an option of the command. All
 * three are borrowed for good; before any other thread starts. At most 8. */
void prov_config_override(const char *key, const char *option, const char *value);

/* What a key of the section is ("pin", "token.prod.uri", a peer's name). */
enum prov_config_key {
    PROV_CONFIG_KEY_UNKNOWN,
    PROV_CONFIG_KEY_KNOWN,
    PROV_CONFIG_KEY_OPENSSL, /* OpenSSL's own: "activate" */
};
enum prov_config_key prov_config_key(const char *key);
/* prov_config_nearest is the setting, or where `of_token` is set what stands behind token.NAME., that a misspelt name
 * may mean; NULL if none is near. */
const char *prov_config_nearest(const char *name, bool of_token);
/* prov_config_token_part is what stands behind token.NAME., with NAME's length; NULL if the key is none such. Borrowed.
 */
const char *prov_config_token_part(const char *key, size_t *out_len);
/* prov_config_has_token tells whether the setting `tokens` has name[0..len). */
bool prov_config_has_token(const struct prov_config_source *source, const char *name, size_t len);

/* prov_config_print_man prints the SETTINGS section of signet(7) in roff. */
void prov_config_print_man(FILE *out);

#endif
