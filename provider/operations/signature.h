/* Signatures, under private names that only our own keys lead to.
 *
 * With a key on a token: libcrypto makes the digest, and the token signs it (provider/operations/signing.h). No call is
 * made to the token before that, so that contexts can be made, asked and duplicated for free. Parameters are not
 * parsed here: they go to a verification context of the public half, which libcrypto checks, keeps and gives back in
 * any spelling; that context is made only when a parameter is set or asked. Verification, and all work with software
 * keys, is delegated. */
#ifndef SIGNET_PROVIDER_OPERATIONS_SIGNATURE_H
#define SIGNET_PROVIDER_OPERATIONS_SIGNATURE_H

#include <openssl/core_dispatch.h>

/* The dispatch table for a family's signature algorithm; static. */
extern const OSSL_DISPATCH prov_signature_functions[];

#endif
