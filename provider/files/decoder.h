/* Decoders: from a key file's bytes to a key (provider/files/keyfile.h has the forms).
 *
 * OpenSSL reads PEM in two steps: one decoder makes DER of it, and the decoders of all key types, or of one, are asked
 * in turn for that DER. There is one decoder for each type, which reads both forms, since every one that is registered
 * costs those who read software keys. What is not ours is answered with 1 and nothing, so that the others' decoders go
 * on; 0 ends the reading, for a file that is ours and can't be used.
 *
 * Our form needs no PKCS#11 call: reading it fails only if the file is malformed, or the setting `load` asks for more.
 * The peers' form has no public half, so that reading it asks the token, once, and only if a private key is what the
 * application wants of the file. For provider/provider.c, which makes the table of algorithms. */
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
