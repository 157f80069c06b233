#include <openssl/evp.h>

#include "provider/operations/signature-parts.h"
#include "provider/operations/signing.h"

/* The message of a stream is gone once it is hashed; but some tokens hash for themselves. So it is kept as well, where
 * the token is known to be one of these, and, up to this length, as long as the key has not signed yet. */
#define KEPT_UNKNOWN ((size_t)1 << 20)

static bool token_hashes(struct signature_ctx *ctx)
{
    struct prov_scheme scheme;
    bool has;

    if (!tok_key_is_limited(ctx->key->token)) {
        return false;
    }
    prov_err_mark(ctx->prov); /* what makes no sense is said when it is signed */
    has = signature_scheme(ctx, &scheme);
    prov_err_forget(ctx->prov);
    return has && !prov_signing_can(ctx->key, &scheme, false) && prov_signing_can(ctx->key, &scheme, true);
}

static int stream_begin(struct signature_ctx *ctx)
{
    ctx->hash = EVP_MD_CTX_new();
    ctx->keeps = !ctx->key->signed_once || token_hashes(ctx);
    return ctx->hash != NULL && EVP_DigestInit_ex2(ctx->hash, ctx->digest, NULL);
}

void signature_stream_end(struct signature_ctx *ctx)
{
    EVP_MD_CTX_free(ctx->hash);
    ctx->hash = NULL;
    bytes_end(&ctx->message);
    ctx->keeps = false;
}

/* Not to be kept any longer is no failure: most tokens want the digest. */
static int message_keep(struct signature_ctx *ctx, const struct prov_job *job, const unsigned char *data, size_t len)
{
    if (ctx->keeps && ctx->message.len + len > KEPT_UNKNOWN && !ctx->key->signed_once) {
        prov_async_ask_mechanisms(ctx->key, job);
        ctx->keeps = token_hashes(ctx);
    }
    if (!ctx->keeps) {
        bytes_end(&ctx->message);
        return 1;
    }
    return bytes_add(&ctx->message, data, len) ||
           prov_raise(ctx->prov, PROV_R_NO_MEMORY, "a message of %zu bytes", len);
}

int signature_stream_add(struct signature_ctx *ctx, const struct prov_job *job, const unsigned char *data, size_t len)
{
    return (ctx->hash != NULL || stream_begin(ctx)) && EVP_DigestUpdate(ctx->hash, data, len) &&
           message_keep(ctx, job, data, len);
}

static const uint8_t *message_kept(const struct signature_ctx *ctx)
{
    return !ctx->keeps ? NULL : ctx->message.len > 0 ? ctx->message.data : (const uint8_t *)"";
}

int signature_stream_data(struct signature_ctx *ctx, uint8_t *digest, struct prov_data *out)
{
    unsigned digest_len;

    if (!EVP_DigestFinal_ex(ctx->hash, digest, &digest_len)) {
        return 0;
    }
    *out = (struct prov_data){ digest, digest_len, message_kept(ctx), ctx->message.len };
    return 1;
}
