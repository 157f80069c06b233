/* RSA key encapsulation (RSASVE, SP 800-56B §7.2.1), under a private name that only our own keys lead to: for the public
 * half, and for software keys, libcrypto does it; with a key on a token, opening is a decryption without padding. */
#ifndef SIGNET_PROVIDER_OPERATIONS_ENCAPSULATION_H
#define SIGNET_PROVIDER_OPERATIONS_ENCAPSULATION_H

#include <openssl/core_dispatch.h>

extern const OSSL_DISPATCH prov_encapsulation_functions[];

#endif
