/* What the linker puts between the provider and everything that it allocates by, in frail.so: the same objects as in
 * signet.so, linked with --wrap for each function here (tests/life/local.mk). */
#include "frail.h"

#include <errno.h>
#include <openssl/asn1.h>
#include <openssl/conf.h>
#include <openssl/core_dispatch.h>
#include <openssl/ecdsa.h>
#include <openssl/encoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <p11-kit/uri.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static _Atomic long left; /* until one fails; 0: none will */
static _Atomic int stays;
static _Atomic long failed;
static const char *_Atomic what;

#define SEEN __attribute__((visibility("default")))
SEEN frail_arm_fn frail_arm;
SEEN frail_disarm_fn frail_disarm;

void frail_arm(long n, int on)
{
    atomic_store(&failed, 0);
    atomic_store(&stays, on);
    atomic_store(&left, n);
}

long frail_disarm(const char **out_what)
{
    atomic_store(&left, 0);
    *out_what = atomic_load(&what);
    return atomic_load(&failed);
}

static int is_due(const char *function)
{
    long before = atomic_load(&left);

    while (before > 1 && !atomic_compare_exchange_weak(&left, &before, before - 1)) {
    }
    if (before != 1 || (!atomic_load(&stays) && !atomic_compare_exchange_strong(&left, &before, 0))) {
        return 0;
    }
    if (atomic_fetch_add(&failed, 1) == 0) {
        atomic_store(&what, function);
    }
    errno = ENOMEM;
    return 1;
}

#define FRAIL_BY(due, type, failure, name, params, args)                                                               \
    extern type __real_##name params;                                                                                  \
    extern type __wrap_##name params;                                                                                  \
    type __wrap_##name params                                                                                          \
    {                                                                                                                  \
        return due(#name) ? failure : __real_##name args;                                                              \
    }

#define FRAIL(type, failure, name, params, args) FRAIL_BY(is_due, type, failure, name, params, args)
#define FRAIL_LOUDLY(type, failure, name, params, args) FRAIL_BY(is_due_loudly, type, failure, name, params, args)

FRAIL(void *, NULL, malloc, (size_t size), (size))
FRAIL(void *, NULL, calloc, (size_t num, size_t size), (num, size))
FRAIL(void *, NULL, reallocarray, (void *old, size_t num, size_t size), (old, num, size))
FRAIL(char *, NULL, strdup, (const char *text), (text))
FRAIL(char *, NULL, strndup, (const char *text, size_t len), (text, len))
FRAIL(int, -1, vasprintf, (char **out, const char *format, va_list list), (out, format, list))
FRAIL(void *, MAP_FAILED, mmap, (void *at, size_t len, int prot, int flags, int fd, off_t offset),
      (at, len, prot, flags, fd, offset))

/* The only one without a form for lists. */
extern int __wrap_asprintf(char **out, const char *format, ...);
int __wrap_asprintf(char **out, const char *format, ...)
{
    va_list list;
    int len;

    va_start(list, format);
    len = __wrap_vasprintf(out, format, list);
    va_end(list);
    return len;
}

FRAIL(P11KitUri *, NULL, p11_kit_uri_new, (void), ())
FRAIL(int, P11_KIT_URI_UNEXPECTED, p11_kit_uri_format, (P11KitUri * uri, P11KitUriType type, char **out),
      (uri, type, out))

/* Those of libcrypto leave an error of their own. */
static int is_due_loudly(const char *function)
{
    if (!is_due(function)) {
        return 0;
    }
    ERR_raise(ERR_LIB_USER, ERR_R_MALLOC_FAILURE);
    return 1;
}

FRAIL_LOUDLY(ASN1_VALUE *, NULL, ASN1_item_new, (const ASN1_ITEM *item), (item))
FRAIL_LOUDLY(int, -1, ASN1_item_i2d, (const ASN1_VALUE *value, unsigned char **out, const ASN1_ITEM *item),
             (value, out, item))
FRAIL_LOUDLY(BIO *, NULL, BIO_new_from_core_bio, (OSSL_LIB_CTX * ctx, OSSL_CORE_BIO *bio), (ctx, bio))
FRAIL_LOUDLY(BIO *, NULL, BIO_new_mem_buf, (const void *data, int len), (data, len))
FRAIL_LOUDLY(BIGNUM *, NULL, BN_bin2bn, (const unsigned char *data, int len, BIGNUM *out), (data, len, out))
FRAIL_LOUDLY(void *, NULL, CRYPTO_memdup, (const void *data, size_t len, const char *file, int line),
             (data, len, file, line))
FRAIL_LOUDLY(ECDSA_SIG *, NULL, ECDSA_SIG_new, (void), ())
FRAIL_LOUDLY(EVP_KDF_CTX *, NULL, EVP_KDF_CTX_new, (EVP_KDF * kdf), (kdf))
FRAIL_LOUDLY(EVP_KDF *, NULL, EVP_KDF_fetch, (OSSL_LIB_CTX * ctx, const char *name, const char *query),
             (ctx, name, query))
FRAIL_LOUDLY(EVP_KEYMGMT *, NULL, EVP_KEYMGMT_fetch, (OSSL_LIB_CTX * ctx, const char *name, const char *query),
             (ctx, name, query))
FRAIL_LOUDLY(EVP_MD *, NULL, EVP_MD_fetch, (OSSL_LIB_CTX * ctx, const char *name, const char *query),
             (ctx, name, query))
FRAIL_LOUDLY(EVP_MD_CTX *, NULL, EVP_MD_CTX_new, (void), ())
FRAIL_LOUDLY(int, 0, EVP_MD_CTX_copy_ex, (EVP_MD_CTX * out, const EVP_MD_CTX *in), (out, in))
FRAIL_LOUDLY(int, 0, EVP_DigestInit_ex2, (EVP_MD_CTX * ctx, const EVP_MD *md, const OSSL_PARAM *params),
             (ctx, md, params))
FRAIL_LOUDLY(EVP_PKEY *, NULL, EVP_PKEY_dup, (EVP_PKEY * key), (key))
FRAIL_LOUDLY(EVP_PKEY_CTX *, NULL, EVP_PKEY_CTX_dup, (const EVP_PKEY_CTX *ctx), (ctx))
FRAIL_LOUDLY(EVP_PKEY_CTX *, NULL, EVP_PKEY_CTX_new_from_name,
             (OSSL_LIB_CTX * ctx, const char *name, const char *query), (ctx, name, query))
FRAIL_LOUDLY(EVP_PKEY_CTX *, NULL, EVP_PKEY_CTX_new_from_pkey, (OSSL_LIB_CTX * ctx, EVP_PKEY *key, const char *query),
             (ctx, key, query))
FRAIL_LOUDLY(int, 0, EVP_PKEY_fromdata, (EVP_PKEY_CTX * ctx, EVP_PKEY **out, int selection, OSSL_PARAM *params),
             (ctx, out, selection, params))
FRAIL_LOUDLY(int, 0, EVP_PKEY_todata, (const EVP_PKEY *key, int selection, OSSL_PARAM **out), (key, selection, out))
FRAIL_LOUDLY(CONF *, NULL, NCONF_new, (CONF_METHOD * method), (method))
FRAIL_LOUDLY(OSSL_ENCODER_CTX *, NULL, OSSL_ENCODER_CTX_new_for_pkey,
             (const EVP_PKEY *key, int selection, const char *output, const char *structure, const char *query),
             (key, selection, output, structure, query))
FRAIL_LOUDLY(OSSL_LIB_CTX *, NULL, OSSL_LIB_CTX_new_child, (const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in),
             (handle, in))
FRAIL_LOUDLY(OSSL_PARAM_BLD *, NULL, OSSL_PARAM_BLD_new, (void), ())
FRAIL_LOUDLY(OSSL_PARAM *, NULL, OSSL_PARAM_BLD_to_param, (OSSL_PARAM_BLD * build), (build))
FRAIL_LOUDLY(OSSL_PARAM *, NULL, OSSL_PARAM_dup, (const OSSL_PARAM *params), (params))
FRAIL_LOUDLY(OSSL_PARAM *, NULL, OSSL_PARAM_merge, (const OSSL_PARAM *one, const OSSL_PARAM *other), (one, other))
FRAIL_LOUDLY(X509_ALGOR *, NULL, X509_ALGOR_dup, (const X509_ALGOR *algor), (algor))
FRAIL_LOUDLY(X509_PUBKEY *, NULL, X509_PUBKEY_new, (void), ())
FRAIL_LOUDLY(X509_SIG *, NULL, X509_SIG_new, (void), ())
FRAIL_LOUDLY(X509 *, NULL, X509_new_ex, (OSSL_LIB_CTX * ctx, const char *query), (ctx, query))
FRAIL_LOUDLY(EVP_PKEY *, NULL, d2i_PUBKEY_ex,
             (EVP_PKEY * *out, const unsigned char **in, long len, OSSL_LIB_CTX *ctx, const char *query),
             (out, in, len, ctx, query))
