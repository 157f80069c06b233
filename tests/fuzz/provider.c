#include "provider.h"

#include <fcntl.h>
#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

static provider_look looks_on;
static struct prov_ctx *last;

static int start(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out, void **provctx)
{
    int started;

    for (const OSSL_DISPATCH *at = in; looks_on != NULL && at->function_id != 0; at++) {
        if (at->function_id == OSSL_FUNC_CORE_GET_PARAMS) {
            looks_on(handle, OSSL_FUNC_core_get_params(at));
        }
    }
    started = prov_init(handle, in, out, provctx);
    last = started ? *provctx : NULL;
    return started;
}

OSSL_LIB_CTX *provider_context(provider_look look)
{
    OSSL_LIB_CTX *libctx = OSSL_LIB_CTX_new();

    HOLDS(libctx != NULL && OSSL_PROVIDER_add_builtin(libctx, "signet", start) &&
          OSSL_PROVIDER_add_builtin(libctx, "other", start));
    looks_on = look;
    return libctx;
}

const char *config_path(const void *conf, size_t len)
{
    static char path[64];
    static int fd = -1;

    if (fd < 0) {
        fd = memfd_create("conf", MFD_CLOEXEC);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    }
    HOLDS(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, conf, len, 0) == (ssize_t)len);
    return path;
}

bool provider_configure(OSSL_LIB_CTX *libctx, const void *conf, size_t len)
{
    return OSSL_LIB_CTX_load_config(libctx, config_path(conf, len)) == 1;
}

struct prov_ctx *provider_started(void)
{
    return last;
}
