#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>
#include <strings.h>

#include "provider/core/ends.h"
#include "provider/core/software.h"
#include "provider/operations/signature-parts.h"
#include "provider/operations/signing.h"

/* --- the delegate ------------------------------------------------------------------------------------------------- */

void signature_forget(struct signature_ctx *ctx)
{
    if (ctx->delegate_md == NULL) {
        EVP_PKEY_CTX_free(ctx->delegate);
    }
    EVP_MD_CTX_free(ctx->delegate_md);
    if (ctx->extras != NULL) {
        free(ctx->extras);
    }
    if (ctx->listed != NULL) {
        free(ctx->listed);
    }
    ctx->delegate = NULL;
    ctx->delegate_md = NULL;
    ctx->extras = NULL;
    ctx->listed = NULL;
}

/* A context of libcrypto for the ready digest. */
static int delegate_plain(struct signature_ctx *ctx, const OSSL_PARAM params[])
{
    ctx->delegate = prov_software_ctx(ctx->prov, ctx->key->software);
    if (ctx->delegate == NULL) {
        return 0;
    }
    switch (ctx->operation) {
    case EVP_PKEY_OP_SIGN:
        return EVP_PKEY_sign_init_ex(ctx->delegate, params);
    case EVP_PKEY_OP_VERIFYRECOVER:
        return EVP_PKEY_verify_recover_init_ex(ctx->delegate, params);
    default:
        return EVP_PKEY_verify_init_ex(ctx->delegate, params);
    }
}

/* Begins with a digest; without a key, anew. */
static int digest_begin(struct signature_ctx *ctx, const char *name, EVP_PKEY *key, const OSSL_PARAM params[])
{
    int (*init)(EVP_MD_CTX *, EVP_PKEY_CTX **, const char *, OSSL_LIB_CTX *, const char *, EVP_PKEY *,
                const OSSL_PARAM *) = ctx->operation == EVP_PKEY_OP_SIGNCTX ? EVP_DigestSignInit_ex
                                                                            : EVP_DigestVerifyInit_ex;
    PROV_SOFTWARE_SCOPE(ctx->prov);

    return PROV_SOFTWARE_ENTERED ? init(ctx->delegate_md, NULL, name, ctx->prov->child, ctx->prov->query, key, params)
                                 : 0;
}

/* By the name that the application gave the digest: getters give that back. */
static int delegate_digest(struct signature_ctx *ctx, const OSSL_PARAM params[])
{
    int good;

    ctx->delegate_md = EVP_MD_CTX_new();
    if (ctx->delegate_md == NULL) {
        return 0;
    }
    good = digest_begin(ctx, ctx->digest_name[0] == '\0' && signature_whole(ctx) ? NULL : ctx->digest_name,
                        ctx->key->software, params);
    ctx->delegate = good > 0 ? EVP_MD_CTX_get_pkey_ctx(ctx->delegate_md) : NULL;
    return good;
}

static bool hashes(const struct signature_ctx *ctx)
{
    return ctx->operation == EVP_PKEY_OP_SIGNCTX || ctx->operation == EVP_PKEY_OP_VERIFYCTX;
}

/* For a key on a token, it is a signature with the public half, which is prepared and never made: it takes and refuses
 * what the whole key would. One that failed is gone, so that nobody takes it for good. */
static int delegate_make(struct signature_ctx *ctx, const OSSL_PARAM params[])
{
    int good = hashes(ctx) ? delegate_digest(ctx, params) : delegate_plain(ctx, params);

    if (good <= 0) {
        signature_forget(ctx);
    }
    return prov_software_said(ctx->prov, good, "the operation could not begin");
}

int signature_delegate(struct signature_ctx *ctx)
{
    return ctx->delegate != NULL ? 1 : delegate_make(ctx, NULL);
}

/* Of a key on a token that hashes for itself no delegate is copied: the extras are all that was set, and OpenSSL 3.0's
 * copies for EdDSA point into what they were made of. */
static bool has_to_copy(const struct signature_ctx *from)
{
    return from->delegate != NULL && !(signature_on_token(from) && signature_whole(from));
}

bool signature_params_dup(struct signature_ctx *ctx, const struct signature_ctx *from)
{
    memcpy(ctx->digest_name, from->digest_name, sizeof(ctx->digest_name));
    if (from->extras != NULL) {
        ctx->extras = malloc(sizeof(*ctx->extras));
        if (ctx->extras == NULL) {
            return false;
        }
        *ctx->extras = *from->extras;
    }
    if (!has_to_copy(from)) {
        return true;
    }
    if (from->delegate_md != NULL) {
        ctx->delegate_md = EVP_MD_CTX_new();
        if (ctx->delegate_md == NULL || EVP_MD_CTX_copy_ex(ctx->delegate_md, from->delegate_md) != 1) {
            return false;
        }
        ctx->delegate = EVP_MD_CTX_get_pkey_ctx(ctx->delegate_md);
    } else {
        ctx->delegate = EVP_PKEY_CTX_dup(from->delegate);
    }
    return ctx->delegate != NULL;
}

/* --- parameters that are not the delegate's alone ----------------------------------------------------------------- */

static const struct prov_param_rule *rule_of(const struct signature_ctx *ctx, const char *name)
{
    const struct prov_param_rule *rule = ctx->key->variant->family->param_rules;

    while (rule != NULL && rule->name != NULL && strcmp(rule->name, name) != 0) {
        rule++;
    }
    return rule != NULL && rule->name != NULL ? rule : NULL;
}

/* Whether all of them can be told to the token; nothing changes. */
static int rules_hold(const struct signature_ctx *ctx, const OSSL_PARAM params[])
{
    for (; params->key != NULL; params++) {
        const struct prov_param_rule *rule = rule_of(ctx, params->key);

        if (rule != NULL && (rule->take == NULL || !rule->take(NULL, params))) {
            return prov_raise(ctx->prov, PROV_R_PARAMETER, "a key on a token does not sign with this '%s': %s",
                              params->key, rule->why);
        }
    }
    return 1;
}

static int rules_take(struct signature_ctx *ctx, const OSSL_PARAM params[])
{
    for (; params->key != NULL; params++) {
        const struct prov_param_rule *rule = rule_of(ctx, params->key);

        if (rule == NULL) {
            continue;
        }
        if (ctx->extras == NULL) {
            ctx->extras = calloc(1, sizeof(*ctx->extras));
        }
        if (ctx->extras == NULL || !rule->take(ctx->extras, params)) {
            return prov_raise(ctx->prov, PROV_R_NO_MEMORY, "a parameter");
        }
    }
    return 1;
}

/* --- setting and asking ------------------------------------------------------------------------------------------- */

static bool is_digest_at_hand(const struct signature_ctx *ctx, const OSSL_PARAM *param)
{
    const char *name = NULL;

    return ctx->operation == EVP_PKEY_OP_SIGNCTX && ctx->digest != NULL &&
           strcmp(param->key, OSSL_SIGNATURE_PARAM_DIGEST) == 0 && OSSL_PARAM_get_utf8_string_ptr(param, &name) &&
           name != NULL && strcasecmp(name, EVP_MD_get0_name(ctx->digest)) == 0;
}

/* OpenSSL 4.0 names its digest and TLS version again when it starts an operation; that is nothing to keep. */
static bool nothing_to_set(const struct signature_ctx *ctx, const OSSL_PARAM params[])
{
    for (; params->key != NULL; params++) {
        if (strcmp(params->key, "tls-version") != 0 && !is_digest_at_hand(ctx, params)) {
            return false;
        }
    }
    return true;
}

/* What is set for a key on a token: first looked at, so that nothing is half set, then the delegate's, then the
 * token's. */
static int token_set(struct signature_ctx *ctx, const OSSL_PARAM params[],
                     int (*set)(struct signature_ctx *, const OSSL_PARAM[]))
{
    int good;

    if (params == NULL || nothing_to_set(ctx, params)) {
        return 1;
    }
    if (!rules_hold(ctx, params)) {
        return 0;
    }
    good = set(ctx, params);
    return good > 0 ? rules_take(ctx, params) : good;
}

static int delegate_set(struct signature_ctx *ctx, const OSSL_PARAM params[])
{
    return signature_delegate(ctx) > 0 ? prov_software_said(ctx->prov, EVP_PKEY_CTX_set_params(ctx->delegate, params),
                                                            "a parameter was refused")
                                       : 0;
}

int signature_set_ctx_params(void *vctx, const OSSL_PARAM params[])
{
    struct signature_ctx *ctx = vctx;

    if (ctx->key == NULL || params == NULL || params->key == NULL) {
        return 1;
    }
    return signature_on_token(ctx) ? token_set(ctx, params, delegate_set) : delegate_set(ctx, params);
}

#define LEAST_BITS 112

/* The setting fips: less than 112 bits of security is not for signing (SP 800-131A), whether the application's other
 * provider is a validated one, which says so, or not: of the key, or of a digest against collisions. */
static int is_strong_enough(const struct signature_ctx *ctx)
{
    int bits;
    int digest_bits;

    if (!ctx->prov->fips) {
        return 1;
    }
    bits = EVP_PKEY_get_security_bits(ctx->key->software);
    digest_bits = ctx->digest == NULL ? LEAST_BITS : EVP_MD_get_size(ctx->digest) * 8 / 2;
    return (bits >= LEAST_BITS && digest_bits >= LEAST_BITS) ||
           prov_raise(ctx->prov, PROV_R_PARAMETER,
                      "with fips = yes nothing is signed by %s: it has less than 112 bits of security",
                      bits < LEAST_BITS ? "this key" : EVP_MD_get0_name(ctx->digest));
}

/* Whether a key may sign, and by this digest, libcrypto knows (FIPS, what the key is restricted to): it is asked at
 * each digest's first use. */
static int may_sign(struct signature_ctx *ctx)
{
    if (!is_strong_enough(ctx)) {
        return 0;
    }
    if (ctx->operation == EVP_PKEY_OP_SIGN && !ctx->key->may_sign) {
        ctx->key->may_sign = signature_delegate(ctx) > 0;
        return ctx->key->may_sign;
    }
    return (!ctx->digest_is_new && !ctx->key->variant->restricted) || signature_delegate(ctx) > 0;
}

int signature_start(struct signature_ctx *ctx, const OSSL_PARAM params[])
{
    if (!signature_on_token(ctx)) {
        return delegate_make(ctx, params);
    }
    if (token_set(ctx, params, delegate_make) <= 0 || !may_sign(ctx)) {
        return 0;
    }
    if (ctx->digest_is_new && ctx->digest_name[0] != '\0') {
        prov_key_digest_keep(ctx->key, ctx->digest, ctx->digest_name);
    }
    ctx->digest_is_new = false;
    return 1;
}

int signature_start_again(struct signature_ctx *ctx, const char *mdname, const OSSL_PARAM params[])
{
    int good = ctx->delegate == NULL ? 0 : digest_begin(ctx, mdname, NULL, params);

    if (good <= 0) {
        signature_forget(ctx);
    }
    return prov_software_said(ctx->prov, good, "the operation could not begin anew");
}

int signature_get_ctx_params(void *vctx, OSSL_PARAM params[])
{
    struct signature_ctx *ctx = vctx;

    if (ctx->key == NULL) {
        return prov_raise(ctx->prov, PROV_R_KEY_TYPE, "a parameter of an operation that has not begun");
    }
    return signature_delegate(ctx) > 0 && prov_software_said(ctx->prov, EVP_PKEY_CTX_get_params(ctx->delegate, params),
                                                             "a parameter is not there, or not of this type") > 0;
}

/* --- lists -------------------------------------------------------------------------------------------------------- */

static const OSSL_PARAM no_params[] = { OSSL_PARAM_END };

static bool hides(const struct prov_param_rule *rules)
{
    for (; rules != NULL && rules->name != NULL; rules++) {
        if (!rules->listed) {
            return true;
        }
    }
    return false;
}

/* The delegate's list without what does not reach the token. Kept with the context, since it lent. */
static const OSSL_PARAM *reaching(struct signature_ctx *ctx, const OSSL_PARAM *all)
{
    size_t count = 0;
    size_t kept = 0;

    while (all[count].key != NULL) {
        count++;
    }
    if (ctx->listed == NULL) {
        ctx->listed = calloc(count + 1, sizeof(*ctx->listed));
    }
    for (size_t i = 0; ctx->listed != NULL && i < count; i++) {
        const struct prov_param_rule *rule = rule_of(ctx, all[i].key);

        if (rule == NULL || rule->listed) {
            ctx->listed[kept++] = all[i];
        }
    }
    return ctx->listed;
}

/* Without a context, all that any family knows. */
static const OSSL_PARAM *known_params(void)
{
    static const OSSL_PARAM known[] = {
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PROPERTIES, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_PROPERTIES, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
        OSSL_PARAM_size_t(OSSL_SIGNATURE_PARAM_DIGEST_SIZE, NULL),
        OSSL_PARAM_utf8_string("instance", NULL, 0),
        OSSL_PARAM_octet_string("context-string", NULL, 0),
        OSSL_PARAM_int("deterministic", NULL),
        OSSL_PARAM_END,
    };

    return known;
}

const OSSL_PARAM *signature_settable_ctx_params(void *vctx, void *vprov)
{
    struct signature_ctx *ctx = vctx;
    const OSSL_PARAM *all;

    (void)vprov;
    if (ctx == NULL || ctx->key == NULL) {
        return known_params();
    }
    all = signature_delegate(ctx) > 0 ? EVP_PKEY_CTX_settable_params(ctx->delegate) : NULL;
    if (all == NULL) {
        return no_params;
    }
    return signature_on_token(ctx) && hides(ctx->key->variant->family->param_rules) ? reaching(ctx, all) : all;
}

const OSSL_PARAM *signature_gettable_ctx_params(void *vctx, void *vprov)
{
    static const OSSL_PARAM known[] = {
        OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
        OSSL_PARAM_size_t(OSSL_SIGNATURE_PARAM_DIGEST_SIZE, NULL),
        OSSL_PARAM_END,
    };
    struct signature_ctx *ctx = vctx;
    const OSSL_PARAM *all;

    (void)vprov;
    if (ctx == NULL || ctx->key == NULL) {
        return known;
    }
    all = signature_delegate(ctx) > 0 ? EVP_PKEY_CTX_gettable_params(ctx->delegate) : NULL;
    return all != NULL ? all : no_params;
}

/* --- what is signed with ------------------------------------------------------------------------------------------ */

/* The digest that was set for a ready one, if there is one; fetched where everything is. */
static int digest_was_set(struct signature_ctx *ctx)
{
    char name[DIGEST_NAME_ROOM] = "";
    bool is_kept;
    OSSL_PARAM asked[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, name, sizeof(name)),
        OSSL_PARAM_construct_size_t(OSSL_SIGNATURE_PARAM_DIGEST_SIZE, &ctx->ready_len),
        OSSL_PARAM_construct_end(),
    };

    EVP_MD_free(ctx->digest);
    ctx->digest = NULL;
    ctx->ready_len = 0;
    if (EVP_PKEY_CTX_get_params(ctx->delegate, asked) <= 0 || name[0] == '\0') {
        return 1;
    }
    ctx->digest = prov_key_digest(ctx->key, name, &is_kept);
    return ctx->digest != NULL;
}

int signature_scheme(struct signature_ctx *ctx, struct prov_scheme *scheme)
{
    if (ctx->key->variant->restricted && signature_delegate(ctx) <= 0) {
        return 0;
    }
    if (ctx->operation == EVP_PKEY_OP_SIGN && ctx->delegate != NULL && !digest_was_set(ctx)) {
        return 0;
    }
    if (!is_strong_enough(ctx)) { /* the digest may have been set since the start */
        return 0;
    }
    scheme->digest = ctx->digest;
    scheme->extras = ctx->extras;
    return prov_signing_scheme(scheme, ctx->key, ctx->delegate);
}
