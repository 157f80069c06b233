/* Key management: one set of functions for all types of provider/keys/variant.h.
 *
 * A key on a token is immutable, shows its public half, and never exports a private one. Every other key that OpenSSL
 * brings here is served in full, by delegation to the child context: which provider a fetch of "EC" reaches is not ours
 * to choose. For provider/provider.c, which makes the algorithm table. */
#ifndef SIGNET_PROVIDER_KEYS_KEYMGMT_H
#define SIGNET_PROVIDER_KEYS_KEYMGMT_H

#include <openssl/core_dispatch.h>

#include "provider/keys/variant.h"

/* prov_keymgmt_functions is the dispatch table of a type; static. */
const OSSL_DISPATCH *prov_keymgmt_functions(const struct prov_variant *variant);

#endif
