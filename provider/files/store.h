/* The store: `pkcs11:` URIs to keys and certificates.
 *
 * Opening only parses; the first load looks at the tokens, logging in where private keys are wanted. Objects come one a
 * call, private keys first, then certificates, then public keys. After a failed load there is no more to come, so that
 * no application loops. Keys that make no key of OpenSSL's are left out of a listing; one that is all there is, is an
 * error that says so. */
#ifndef SIGNET_PROVIDER_FILES_STORE_H
#define SIGNET_PROVIDER_FILES_STORE_H

#include <openssl/core_dispatch.h>

extern const OSSL_DISPATCH prov_store_functions[];

#endif
