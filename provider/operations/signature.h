/* Signatures, under private names that only our own keys lead to.
 *
 * With a key on a token: the digest is made by libcrypto, the ready digest is signed by the token in two calls, and
 * nothing touches the token before, so that contexts can be made, asked and duplicated for free. Parameters are not
 * parsed here: they go to a verification context of the public half, which libcrypto checks, keeps and gives back in
 * any spelling; it is made only when somebody sets or asks one. Verification, and all work with software keys, is
 * delegated. */
#ifndef SIGNET_PROVIDER_OPERATIONS_SIGNATURE_H
#define SIGNET_PROVIDER_OPERATIONS_SIGNATURE_H

#include <openssl/core_dispatch.h>

/* The dispatch table for a family's signature algorithm; static. */
extern const OSSL_DISPATCH prov_signature_functions[];

#endif
