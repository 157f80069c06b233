/* A look at a PEM, which tells whether it is worth decoding. For the decoder. */
#ifndef SIGNET_PROVIDER_FILES_PEEK_H
#define SIGNET_PROVIDER_FILES_PEEK_H

#include <openssl/core.h>
#include <stdbool.h>

#include "provider/core/context.h"

/* prov_peek_may_be_ours tells by label and first line whether the first PEM of the input may be a key file, and leaves the
 * input where it was. Most of what passes by is not, and to decode all of that is dear. True where there is no way back.
 */
bool prov_peek_may_be_ours(const struct prov_ctx *prov, OSSL_CORE_BIO *input);

#endif
