/* Decoders: from a key file's bytes to a key (provider/files/keyfile.h has the forms).
 *
 * OpenSSL asks one decoder after another, one for each key type; what is not ours is answered with 1 and nothing, so
 * that software keys beside ours go on to be read by others. Our form makes no PKCS#11 call: it can only fail because
 * the file is malformed. The peers' has no public half, so that reading it asks the token, once, and only if a private
 * key is what the application wants of the file. For provider/provider.c, which makes the algorithm table. */
#ifndef SIGNET_PROVIDER_FILES_DECODER_H
#define SIGNET_PROVIDER_FILES_DECODER_H

#include <openssl/core_dispatch.h>

#include "provider/keys/variant.h"

struct prov_coder_row {
    const struct prov_variant *variant; /* whose keys; NULL: of any type */
    const char *names;                  /* NULL: those of the variant */
    const char *properties_suffix;      /* "input=der,structure=PrivateKeyInfo" */
    const OSSL_DISPATCH *functions;
};

extern const struct prov_coder_row prov_decoders[]; /* without functions: the end */

#endif
