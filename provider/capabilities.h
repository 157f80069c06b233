/* What libssl asks of providers: the groups and signature schemes of TLS that go with a key type.
 *
 * libssl of OpenSSL 3.0 keeps a group, and that of 3.5 and later a scheme, only where a fetch of its key type reaches
 * the provider that announced it. A fetch of "EC" or "ML-DSA-44" may reach ours, so it announces what the rows have
 * (provider/keys/variant.h); an announcement that default makes as well does no harm. For provider/provider.c. */
#ifndef SIGNET_PROVIDER_CAPABILITIES_H
#define SIGNET_PROVIDER_CAPABILITIES_H

#include <openssl/core_dispatch.h>

OSSL_FUNC_provider_get_capabilities_fn prov_capabilities_get;

#endif
