/* What libssl asks of providers: TLS groups.
 *
 * libssl of OpenSSL 3.0 keeps a group only where a fetch of its key type reaches the provider that told of it. Since
 * ours may be the one that a fetch of "EC" or "X25519" reaches, it tells of their groups, too; twice told is no harm. A
 * constant table. */
#ifndef SIGNET_PROVIDER_CAPABILITIES_H
#define SIGNET_PROVIDER_CAPABILITIES_H

#include <openssl/core_dispatch.h>

OSSL_FUNC_provider_get_capabilities_fn prov_get_capabilities;

#endif
