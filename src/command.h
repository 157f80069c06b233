/* The command's own common ground: its subcommands, and the configuration they read.
 *
 * A subcommand is a row of the table in main.c and a file of its own. They reach tokens through the headers of pkcs11/,
 * never by a C_ function, and print one clear message where something fails. Exit statuses: 0 good, 1 failed, 2 wrong
 * usage. */
#ifndef SIGNET_SRC_COMMAND_H
#define SIGNET_SRC_COMMAND_H

#include <openssl/types.h>

#include "pkcs11/result/result.h"
#include "provider/settings/config.h"

struct prov_ctx;

#define EXIT_USAGE 2

/* Each gets argv from its own name on. */
int list_main(int argc, char **argv);
int key_file_main(int argc, char **argv);

/* What every subcommand lets one say: where the settings are. (--module and --pin, which come before any setting, go to
 * prov_config_override.) */
struct common_options {
    const char *file;     /* --config: a configuration file; NULL: the one that OpenSSL would read */
    const char *provider; /* --provider: the name of the section's entry ("signet") */
};

#define COMMON_OPTIONS                                                                                                 \
    { "config", required_argument, NULL, 'C' }, { "provider", required_argument, NULL, 'P' },                          \
        { "module", required_argument, NULL, 'M' }, { "pin", required_argument, NULL, 'p' },                           \
    {                                                                                                                  \
        "help", no_argument, NULL, 'h'                                                                                 \
    }

#define COMMON_USAGE                                                                                                   \
    "  --config FILE    read the settings there, not in OpenSSL's own configuration\n"                                 \
    "  --provider NAME  as which the provider is activated there (signet)\n"                                           \
    "  --module PATH    use this PKCS#11 module; may be given repeatedly\n"                                            \
    "  --pin SOURCE     file:PATH, env:NAME, fd:N, ... as the setting pin\n"

/* common_provider is the name of the section's entry. */
const char *common_provider(const struct common_options *options);
/* common_option takes one of them; false if `option` is none. */
bool common_option(struct common_options *options, int option, const char *argument);
/* common_config reads the settings; what the options say comes first. What seems wrong in the file is printed.
 * End with prov_config_end. */
TOK_RESULT common_config(struct prov_config *out_config, const struct common_options *options);

/* common_library is a library context in which our own code is the provider, with the settings that any application
 * would have. NULL with libcrypto's reason on the queue. *out_instance, if it is wanted, lives as long. */
OSSL_LIB_CTX *common_library(const struct common_options *options, struct prov_ctx **out_instance);

/* tell prints "signet: " and the text on standard error, after what standard output has. */
__attribute__((format(printf, 1, 2))) void tell(const char *format, ...);
/* report prints the failure's message and advice that way, and returns 1, the exit status. */
int report(const struct tok_result *failure);

#endif
