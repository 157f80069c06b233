/* One instance of the provider: what OpenSSL gave us at start, and what we gave it. The first file to read.
 *
 * An instance belongs to one library context and one section of a configuration; two sections make two instances. It
 * owns a child library context, in which everything that is not for a token is done with other providers' algorithms:
 * `query` is the property query that keeps every fetch there away from us, whoever comes first (docs/design.md, "The
 * filter"). Nothing is loaded or read at start beyond settings. For the rooms of provider/; keys keep the instance
 * alive. */
#ifndef SIGNET_PROVIDER_PROVIDER_H
#define SIGNET_PROVIDER_PROVIDER_H

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/types.h>
#include <stdbool.h>

#include "pkcs11/config/settings.h"
#include "provider/core/err.h"

struct prov_ctx {
    const OSSL_CORE_HANDLE *handle;
    struct prov_err_core err; /* the core's error functions */
    OSSL_LIB_CTX *child;
    const char *name;            /* as activated; borrowed from the core */
    char *properties;            /* of our algorithms: "provider=NAME,signet.algorithm=yes[,fips=yes]" */
    char *unapproved;            /* of those that FIPS 140 does not have: the same without fips=yes */
    _Atomic(const char *) query; /* of every fetch in the child: "signet.algorithm!=yes[,?provider=default]"; static */
    struct tok_settings settings;
    bool async;           /* ASYNC jobs pause (provider/operations/async.h) */
    unsigned rsa_decrypt; /* bits of enum config_decrypt: what RSA decryption is served */
    _Atomic(struct tok_result *)
        trouble;             /* a setting makes no sense: told whenever a key is loaded; NULL: none. Owned */
    _Atomic bool inspected;  /* the configuration file was looked into, at the first key */
    _Atomic(char *) hint;    /* what seems wrong there, for the errors that follow; owned; NULL: nothing */
    _Atomic bool software;   /* the child has RSA and EC of somebody else; if not, loading a key says so */
    OSSL_ALGORITHM *keymgmt; /* our tables, with our properties; constant after start */
    OSSL_ALGORITHM *signature;
    OSSL_ALGORITHM *asym_cipher;
    OSSL_ALGORITHM *key_exchange;
    OSSL_ALGORITHM *store;
    OSSL_ALGORITHM *decoder;
    OSSL_ALGORITHM *encoder;
};

/* prov_ready tells whether keys can be loaded: 1, or 0 with the reason raised (a setting that makes no sense, no
 * provider for software work). Everything that makes a key asks first. */
int prov_ready(struct prov_ctx *prov);

/* prov_init is OSSL_provider_init, by a name that the command and the tests can link. */
OSSL_provider_init_fn prov_init;

#endif
