/* The configuration file itself, for what a provider does not learn from the core.
 *
 * OpenSSL hands settings over one by one, without those whose value it took for a section's name, and without those
 * that nobody asks for. So at the first key the file is read once more; and the command, which is no provider, reads
 * its settings there. Owns nothing; errors of libcrypto stay on the queue for the caller to forget. */
#ifndef SIGNET_PROVIDER_SETTINGS_CONFFILE_H
#define SIGNET_PROVIDER_SETTINGS_CONFFILE_H

#include <openssl/conf.h>

#include "pkcs11/result/result.h"

/* prov_conffile_inspect looks into the configuration file that this process uses, for what a provider can't see from
 * the core: a value that is lost because a section bears its name, and a token.NAME without NAME in `tokens`
 * (TOK_CODE_BAD_SETTING); the first setting that does not exist goes as text into *out_hint (malloc'd; NULL:
 * none). Good without a hint where the file can't be read or does not name the provider. */
TOK_RESULT prov_conffile_inspect(char **out_hint, const char *provider);
/* prov_conffile_inspect_section does so for a section of a file that was read already; `path` is for messages. */
TOK_RESULT prov_conffile_inspect_section(char **out_hint, const CONF *conf, const char *path, const char *section);

/* prov_conffile_inspect_pins refuses (TOK_CODE_BAD_SETTING, with the line) a literal PIN of which OpenSSL's parser eats a
 * part, in one of the `sections`, each between line ends; good where the file can't be read. prov_conffile_inspect_section
 * does so last. */
TOK_RESULT prov_conffile_inspect_pins(const char *path, const char *sections);

/* prov_conffile_read reads a configuration file; NULL if it can't be read. The caller frees it by NCONF_free.
 * prov_conffile_section is the name of a provider's section in it; borrowed, NULL if there is none. prov_conffile_value
 * is what OpenSSL would give for `key` in a section ("token.prod.uri"); borrowed, NULL if there is none.
 */
CONF *prov_conffile_read(const char *path);
const char *prov_conffile_section(const CONF *conf, const char *provider);
const char *prov_conffile_value(const CONF *conf, const char *section, const char *key);

#endif
