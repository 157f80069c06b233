/* The one symbol that the shared object exports. Everything else is in libprovider, which the command and the tests
 * link, too. */
#include "provider/provider.h"

__attribute__((visibility("default"))) OSSL_provider_init_fn OSSL_provider_init;

int OSSL_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                       void **provctx)
{
    return prov_init(handle, in, out, provctx);
}
