/* The whole provider for a target, in a library context of its own, without a shared object: libcrypto is told of it as
 * of one that it has built in. */
#ifndef SIGNET_TESTS_FUZZ_PROVIDER_H
#define SIGNET_TESTS_FUZZ_PROVIDER_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "provider/provider.h"

/* Looks on when an instance starts, before it reads its settings; NULL: nobody does. */
typedef void (*provider_look)(const OSSL_CORE_HANDLE *handle, OSSL_FUNC_core_get_params_fn *get_params);

/* provider_context is a new library context that knows Signet by the names signet and other, and has activated
 * nothing. */
OSSL_LIB_CTX *provider_context(provider_look look);
/* provider_configure reads the bytes as configuration file; whether OpenSSL took it. */
bool provider_configure(OSSL_LIB_CTX *libctx, const void *conf, size_t len);
/* provider_started is the instance that started last. */
struct prov_ctx *provider_started(void);
/* config_path is a file with these bytes, until the next call. */
const char *config_path(const void *conf, size_t len);

#endif
