/* Signatures, under private names that only our own keys lead to.
 *
 * With a key on a token: libcrypto makes the digest, and the token signs it (provider/operations/signing.h). No call is
 * made to the token before that, so that contexts can be made, asked and duplicated for free. Parameters go to a
 * signing context of the public half, where libcrypto checks them, keeps them, and gives them back in any spelling;
 * that context is made only when a parameter is set or asked, or the key is restricted. A family's rules
 * (provider/keys/family.h) say which ones reach the token by its mechanism's parameters, and which don't: these are
 * refused. Verification, and all work with software keys, is delegated. */
#ifndef SIGNET_PROVIDER_OPERATIONS_SIGNATURE_H
#define SIGNET_PROVIDER_OPERATIONS_SIGNATURE_H

#include <openssl/core_dispatch.h>

#include "provider/keys/family.h"

/* prov_signature_functions is the dispatch table for a family's signature algorithm; static. */
const OSSL_DISPATCH *prov_signature_functions(const struct prov_family *family);

#endif
