/* One instance of the provider, as all rooms know it: what OpenSSL gave us at start, and what the configuration says.
 *
 * An instance belongs to one library context and one section of a configuration; two sections make two instances. It
 * owns a child library context, in which everything that is not for a token is done with other providers' algorithms:
 * `query` is the property query that keeps every fetch there away from us, whoever comes first (docs/design.md, "The
 * filter"). Nothing is loaded or read at start beyond settings. Any room may use it; provider/provider.c makes and ends
 * it. */
#ifndef SIGNET_PROVIDER_CORE_CONTEXT_H
#define SIGNET_PROVIDER_CORE_CONTEXT_H

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/types.h>
#include <stdbool.h>

#include "pkcs11/config/settings.h"
#include "provider/core/err.h"

struct prov_ctx {
    const OSSL_CORE_HANDLE *handle;
    struct prov_err_core err; /* the core's error functions */
    /* The core's, for what decoders are given; a BIO of ours around it would cost more than most of what they do. */
    OSSL_FUNC_BIO_read_ex_fn *bio_read;
    OSSL_FUNC_BIO_gets_fn *bio_gets;
    OSSL_FUNC_BIO_ctrl_fn *bio_ctrl;
    OSSL_LIB_CTX *child;
    const char *name;            /* as activated; borrowed from the core */
    _Atomic(const char *) query; /* of every fetch in the child: "signet.algorithm!=yes[,?provider=default]"; static */
    struct tok_settings settings;
    bool async;                           /* ASYNC jobs pause (provider/operations/async.h) */
    bool fips;                            /* our algorithms have the property fips=yes */
    unsigned key_types;                   /* bits of enum prov_config_keys: what is offered; 0: all */
    int key_files;                        /* enum prov_config_files: which are read */
    unsigned rsa_decrypt;                 /* bits of enum prov_config_decrypt: what RSA decryption is served */
    _Atomic(struct tok_result *) trouble; /* a bad setting: reported whenever a key is loaded; NULL: none. Owned */
    _Atomic bool inspected;               /* the configuration file was looked into, at the first key */
    _Atomic(char *) hint;                 /* what seems wrong there, for later errors; owned; NULL: nothing */
    _Atomic bool software;                /* another provider serves RSA and EC in the child */
};

/* prov_ctx_begin fills a zeroed context at the start of an instance. 0 with an error raised: no memory, or a name that
 * can't be part of a property definition. prov_ctx_end takes that, too. */
int prov_ctx_begin(struct prov_ctx *prov, const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in);
void prov_ctx_end(struct prov_ctx *prov);

/* prov_ctx_ready tells whether keys can be used: 1, or 0 with the reason raised (a bad setting, no provider for
 * software work). Everything that makes a key on a token, or works with one, asks first. */
int prov_ctx_ready(struct prov_ctx *prov);

/* prov_ctx_fetch_pins reads the configured PINs into memory, in this process, while it still may: a server's worker
 * can't read root's file later. A source that fails is no error until a login needs it. */
void prov_ctx_fetch_pins(struct prov_ctx *prov);

#endif
