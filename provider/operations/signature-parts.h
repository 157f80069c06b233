/* What the files of signatures share: the context, its delegate and parameters (signature-params.c), and the hashing of
 * a message that comes in pieces (signature-stream.c). For signature*.c alone. */
#ifndef SIGNET_PROVIDER_OPERATIONS_SIGNATURE_PARTS_H
#define SIGNET_PROVIDER_OPERATIONS_SIGNATURE_PARTS_H

#include <openssl/core_dispatch.h>
#include <openssl/evp.h>

#include "base/bytes.h"
#include "provider/operations/async.h"

#define DIGEST_NAME_ROOM 50 /* OpenSSL's own */

struct signature_ctx {
    struct prov_ctx *prov;
    struct prov_key *key;
    int operation;      /* EVP_PKEY_OP_SIGN, _VERIFY, _VERIFYRECOVER, _SIGNCTX (with a digest), _VERIFYCTX */
    EVP_MD *digest;     /* with a key on a token: of _SIGNCTX, or what was set for _SIGN */
    bool digest_is_new; /* the key has not signed by it yet */
    EVP_MD_CTX *hash;   /* running, between update and final; NULL before the first update */
    bool keeps;         /* beside it: the message, in whole */
    struct bytes message;
    EVP_PKEY_CTX *delegate;             /* of the software key or public half; owned by delegate_md if that is there */
    EVP_MD_CTX *delegate_md;            /* of the operations with a digest */
    size_t ready_len;                   /* that a ready digest must have, as far as was set; 0: any */
    struct prov_extras *extras;         /* what the token is told besides; NULL: nothing */
    OSSL_PARAM *listed;                 /* what can be set, where that is less than the delegate's; NULL: not asked */
    char digest_name[DIGEST_NAME_ROOM]; /* as the application spelt it, or the default; "" where there is none */
};

/* signature_whole tells whether the key hashes for itself, so that no digest is named and the message is given at once;
 * signature_on_token, whether the operation is the token's. */
static inline bool signature_whole(const struct signature_ctx *ctx)
{
    return ctx->key->variant->family->default_digest == NULL;
}
static inline bool signature_on_token(const struct signature_ctx *ctx)
{
    return ctx->key->token != NULL && (ctx->operation == EVP_PKEY_OP_SIGN || ctx->operation == EVP_PKEY_OP_SIGNCTX);
}

/* signature_start begins the operation at hand with parameters, signature_start_again a delegated one with a digest
 * once more, by another digest unless `mdname` is NULL. What is delegated has a context of libcrypto's from then on; of
 * a key on a token there is one that keeps the parameters, if there are any. signature_delegate makes that if it isn't
 * there. What they answer is OpenSSL's; with an error raised, and no context, if it is no success. */
int signature_start(struct signature_ctx *ctx, const OSSL_PARAM params[]);
int signature_start_again(struct signature_ctx *ctx, const char *mdname, const OSSL_PARAM params[]);
int signature_delegate(struct signature_ctx *ctx);
/* signature_forget ends the context, and all that was set. */
void signature_forget(struct signature_ctx *ctx);
/* signature_params_dup copies both, of another context's, into a new one. */
bool signature_params_dup(struct signature_ctx *ctx, const struct signature_ctx *from);

OSSL_FUNC_signature_get_ctx_params_fn signature_get_ctx_params;
OSSL_FUNC_signature_gettable_ctx_params_fn signature_gettable_ctx_params;
OSSL_FUNC_signature_set_ctx_params_fn signature_set_ctx_params;
OSSL_FUNC_signature_settable_ctx_params_fn signature_settable_ctx_params;

/* signature_scheme is what the application set, or the defaults. 0 with an error raised. */
int signature_scheme(struct signature_ctx *ctx, struct prov_scheme *scheme);

/* Of a message that comes in pieces: signature_stream_add, the next one, where `job` ends the context if it is
 * abandoned; signature_stream_data, after one or more, the digest, for which `digest` has EVP_MAX_MD_SIZE bytes of
 * room, and the message where it was kept; signature_stream_end. */
int signature_stream_add(struct signature_ctx *ctx, const struct prov_job *job, const unsigned char *data, size_t len);
int signature_stream_data(struct signature_ctx *ctx, uint8_t *digest, struct prov_data *out);
void signature_stream_end(struct signature_ctx *ctx);

#endif
