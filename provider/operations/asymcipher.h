/* RSA encryption and decryption, under a private name that only our own keys lead to.
 *
 * Encryption, and all work with software keys, is delegated to the child context; decryption with a key on a token is
 * in provider/operations/decryption.h. As for signatures, parameters are kept by a context of libcrypto: an encryption
 * with the public half. */
#ifndef SIGNET_PROVIDER_OPERATIONS_ASYMCIPHER_H
#define SIGNET_PROVIDER_OPERATIONS_ASYMCIPHER_H

#include <openssl/core_dispatch.h>

extern const OSSL_DISPATCH prov_asym_cipher_functions[];

#endif
