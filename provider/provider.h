/* The provider as OpenSSL sees it, from start to end. provider.c is the first file to read.
 *
 * For entry.c, which is what OpenSSL loads, and for the command and the tests, which link this floor. */
#ifndef SIGNET_PROVIDER_PROVIDER_H
#define SIGNET_PROVIDER_PROVIDER_H

#include <openssl/core_dispatch.h>

/* prov_init is OSSL_provider_init, by a name that the command and the tests can link. */
OSSL_provider_init_fn prov_init;

#endif
