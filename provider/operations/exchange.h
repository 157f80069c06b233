/* Key agreement by static ECDH, under a private name that only our own key management leads to.
 *
 * With a key on a token the token derives the secret, and the KDF, if one is asked for (X9.63, as CMS does), is run
 * here: the private key never leaves, and the shared secret is no key of the token's. Software keys that OpenSSL's
 * fetching brought to us, which libssl's ephemeral keys are among in some orders of providers, are delegated whole, and
 * never touch a token. */
#ifndef SIGNET_PROVIDER_OPERATIONS_EXCHANGE_H
#define SIGNET_PROVIDER_OPERATIONS_EXCHANGE_H

#include <openssl/core_dispatch.h>

extern const OSSL_DISPATCH prov_exchange_functions[];

#endif
