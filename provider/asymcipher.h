/* RSA encryption and decryption, under a private name that only our own keys lead to.
 *
 * Encryption, and all work with software keys, is delegated to the child context. Decryption with a key on a token is
 * raw RSA there, where the token has it, and the padding is removed here in constant time (provider/unpad.h); else the
 * token removes it. As for signatures, parameters are kept by a context of libcrypto: an encryption with the public
 * half. */
#ifndef SIGNET_PROVIDER_ASYMCIPHER_H
#define SIGNET_PROVIDER_ASYMCIPHER_H

#include <openssl/core_dispatch.h>

extern const OSSL_DISPATCH prov_asym_cipher_functions[];

/* prov_asym_cipher_ready draws the secret behind implicit rejection, once for a process and its children: two workers
 * that drew their own would answer one bad ciphertext differently, and so tell that it is bad. For whoever loads a key.
 */
struct prov_ctx;
void prov_asym_cipher_ready(const struct prov_ctx *prov);

#endif
