/* Asking a person for a PIN, by the callback that OpenSSL gave for this load.
 *
 * Where the application gave no way to ask, there is no callback or it fails, and so does the login, with an error that
 * says how a PIN is configured. An empty answer is none. We never open a terminal ourselves. Owns nothing: the callback
 * lives as long as the load that brought it. */
#ifndef SIGNET_PROVIDER_FILES_PROMPT_H
#define SIGNET_PROVIDER_FILES_PROMPT_H

#include <openssl/core_dispatch.h>

#include "pkcs11/token/login.h"
#include "provider/core/context.h"

struct prov_prompt {
    OSSL_PASSPHRASE_CALLBACK *ask;
    void *arg;
};

/* prov_prompt_pin wraps it for the token's floor; `prompt` must outlive the result. */
struct tok_pin_prompt prov_prompt_pin(struct prov_prompt *prompt);

#endif
