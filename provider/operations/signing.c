#include "provider/operations/signing.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "base/lock.h"
#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/object/mech.h"
#include "provider/core/ends.h"
#include "provider/core/software.h"

#define SHAPE_ROOM 64 /* by which OpenSSL's form of a signature may be longer than the token's */

/* --- the scheme --------------------------------------------------------------------------------------------------- */

/* The salt's length in bytes, of the values that name one (RSA_PSS_SALTLEN_…, the last since 3.1). */
static int salt_bytes(int wanted, int digest_size, size_t key_bits)
{
    int longest = (int)(key_bits + 6) / 8 - digest_size - 2;

    switch (wanted) {
    case RSA_PSS_SALTLEN_DIGEST:
        return digest_size;
    case RSA_PSS_SALTLEN_AUTO:
    case RSA_PSS_SALTLEN_MAX:
        return longest;
    case -4: /* RSA_PSS_SALTLEN_AUTO_DIGEST_MAX */
        return longest < digest_size ? longest : digest_size;
    default:
        return wanted <= longest ? wanted : -1;
    }
}

static int scheme_pss(struct prov_scheme *scheme, EVP_PKEY_CTX *params)
{
    int wanted = RSA_PSS_SALTLEN_AUTO;
    int salt;
    /* As a number: EVP_PKEY_CTX_get_rsa_pss_saltlen reads words, and takes "auto-digestmax", the default since 3.1, for
     * 0. */
    OSSL_PARAM number[] = {
        OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, &wanted),
        OSSL_PARAM_construct_end(),
    };

    if (scheme->digest == NULL || EVP_PKEY_CTX_get_params(params, number) <= 0 ||
        EVP_PKEY_CTX_get_rsa_mgf1_md(params, &scheme->mgf1) <= 0) {
        return prov_raise(scheme->prov, PROV_R_PARAMETER, "PSS needs a digest");
    }
    salt = salt_bytes(wanted, EVP_MD_get_size(scheme->digest), scheme->key_bits);
    if (salt < 0) {
        return prov_raise(scheme->prov, PROV_R_PARAMETER, "the key is too short for PSS with this digest and salt");
    }
    scheme->salt_len = (size_t)salt;
    return 1;
}

int prov_signing_scheme(struct prov_scheme *scheme, const struct prov_key *key, EVP_PKEY_CTX *params)
{
    const struct prov_family *family = key->variant->family;

    scheme->prov = key->prov;
    scheme->mgf1 = NULL;
    scheme->salt_len = 0;
    scheme->whole = family->default_digest == NULL;
    scheme->key_bits = (size_t)EVP_PKEY_get_bits(key->software);
    scheme->padding = family->default_padding;
    if (family->default_padding == 0 || params == NULL) {
        return 1;
    }
    if (EVP_PKEY_CTX_get_rsa_padding(params, &scheme->padding) <= 0) {
        return 0;
    }
    if (scheme->padding == RSA_NO_PADDING && scheme->digest != NULL) {
        return prov_raise(scheme->prov, PROV_R_PARAMETER, "without padding there is no room for a digest's name");
    }
    return scheme->padding == RSA_PKCS1_PSS_PADDING ? scheme_pss(scheme, params) : 1;
}

/* --- verification --------------------------------------------------------------------------------------------------
 */

static bool verify_setup(EVP_PKEY_CTX *ctx, const struct prov_scheme *scheme)
{
    if (scheme->digest != NULL && EVP_PKEY_CTX_set_signature_md(ctx, scheme->digest) <= 0) {
        return false;
    }
    if (scheme->padding != 0 && EVP_PKEY_CTX_set_rsa_padding(ctx, scheme->padding) <= 0) {
        return false;
    }
    if (scheme->padding != RSA_PKCS1_PSS_PADDING) {
        return true;
    }
    return EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, (int)scheme->salt_len) > 0 &&
           (scheme->mgf1 == NULL || EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, scheme->mgf1) > 0);
}

/* In libcrypto's words; `out` has room for two, and the end. */
static void extras_spell(OSSL_PARAM *out, const struct prov_extras *extras)
{
    if (extras != NULL && extras->instance != NULL) {
        *out++ = OSSL_PARAM_construct_utf8_string("instance", (char *)extras->instance, 0);
    }
    if (extras != NULL && extras->context_len > 0) {
        *out++ = OSSL_PARAM_construct_octet_string("context-string", (void *)extras->context, extras->context_len);
    }
    *out = OSSL_PARAM_construct_end();
}

static bool verify_whole(const struct prov_key *key, const struct prov_extras *extras, const struct prov_data *data,
                         const uint8_t *sig, size_t sig_len)
{
    SCOPED(md_ctx_end) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    OSSL_PARAM params[3];
    PROV_SOFTWARE_SCOPE(key->prov);

    extras_spell(params, extras);
    return PROV_SOFTWARE_ENTERED && ctx != NULL &&
           EVP_DigestVerifyInit_ex(ctx, NULL, NULL, key->prov->child, key->prov->query, key->software, params) > 0 &&
           EVP_DigestVerify(ctx, sig, sig_len, data->message, data->message_len) == 1;
}

/* Whether a signature is the key's, over what the token was given to sign. */
static bool verify(const struct prov_key *key, const struct prov_scheme *scheme, const struct prov_data *data,
                   const uint8_t *sig, size_t sig_len)
{
    SCOPED(pkey_ctx_end) EVP_PKEY_CTX *ctx = scheme->whole ? NULL : prov_software_ctx(key->prov, key->software);
    PROV_SOFTWARE_SCOPE(key->prov);

    if (scheme->whole) {
        return verify_whole(key, scheme->extras, data, sig, sig_len);
    }
    return PROV_SOFTWARE_ENTERED && ctx != NULL && EVP_PKEY_verify_init(ctx) > 0 && verify_setup(ctx, scheme) &&
           EVP_PKEY_verify(ctx, sig, sig_len, data->digest, data->digest_len) == 1;
}

/* --- a signature -------------------------------------------------------------------------------------------------- */

struct signing {
    struct prov_key *key;
    const struct prov_scheme *scheme;
    const struct prov_data *data;
    const struct prov_job *job;
    struct prov_mechanism mechanism;
    uint8_t *sig; /* `made`, or the application's buffer, where the token's signature is OpenSSL's */
    size_t room;  /* there, as the token is told */
    size_t len;
    uint64_t unproved;
    uint8_t made[PROV_SIGNING_MAX_RSA + SHAPE_ROOM];
};

static bool is_right(const struct signing *signing)
{
    const struct prov_key *key = signing->key;
    bool right;

    prov_err_mark(key->prov);
    right = verify(key, signing->scheme, signing->data, signing->sig, signing->len);
    prov_err_forget(key->prov);
    return right;
}

/* Some tokens take parameters that they don't know, and sign without them. */
static bool extras_hold(const struct signing *signing)
{
    const struct prov_extras *extras = signing->scheme->extras;

    return extras == NULL || (!extras->variant && extras->context_len == 0) || is_right(signing);
}

/* Where the token does not show which key it used, its signature does. */
static bool signing_proves(const struct signing *signing)
{
    const struct prov_key *key = signing->key;
    bool right;

    if (signing->unproved == 0) {
        return true;
    }
    right = is_right(signing);
    if (right) {
        tok_key_prove(key->token, signing->unproved);
    }
    return right;
}

static struct tok_result signing_try(struct signing *signing, const struct prov_choice *choice)
{
    const struct prov_family *family = signing->key->variant->family;

    TOK_TRY(family->prepare(&signing->mechanism, signing->scheme, choice, signing->data));
    signing->len = signing->room;
    return prov_async_sign(signing->key, signing->job, &signing->mechanism.mechanism, signing->mechanism.in,
                           signing->mechanism.in_len, signing->sig, &signing->len, &signing->unproved);
}

/* --- ways --------------------------------------------------------------------------------------------------------- */

/* Of the two paddings of RSA a token may lack one. */
static _Atomic uint8_t *way_of(struct prov_key *key, const struct prov_scheme *scheme)
{
    return &key->ways[scheme->padding == RSA_PKCS1_PSS_PADDING ? 1 : 0];
}

/* What serves with parameters of its own, or with a mask by another digest, says nothing of what serves without. */
static void way_keep(struct prov_key *key, const struct prov_scheme *scheme, unsigned way)
{
    bool is_usual = scheme->mgf1 == NULL || EVP_MD_get_type(scheme->mgf1) == EVP_MD_get_type(scheme->digest);

    if (scheme->extras == NULL && is_usual) {
        atomic_store(way_of(key, scheme), (uint8_t)way);
    }
}

/* Choice `way` of the key's family; false past the last. */
static bool choice_of(struct prov_choice *out, const struct prov_key *key, const struct prov_scheme *scheme,
                      unsigned way)
{
    return prov_family_choice(out, key->variant->family, scheme, way);
}

/* The same, if key, token and data have what it takes, as far as is known. */
static bool choice_get(struct prov_choice *out, struct prov_key *key, const struct prov_scheme *scheme, unsigned way,
                       bool message)
{
    return choice_of(out, key, scheme, way) && out->type != PROV_NO_CHOICE && (!out->message || message) &&
           (!tok_key_is_limited(key->token) || tok_key_offers(key->token, out->type) != TOK_NOT_OFFERED);
}

static bool is_way(const struct prov_key *key, const struct prov_scheme *scheme, unsigned way)
{
    struct prov_choice choice;

    return choice_of(&choice, key, scheme, way);
}

bool prov_signing_can(struct prov_key *key, const struct prov_scheme *scheme, bool message)
{
    struct prov_choice choice;

    for (unsigned way = 0; is_way(key, scheme, way); way++) {
        if (choice_get(&choice, key, scheme, way, message)) {
            return true;
        }
    }
    return false;
}

int prov_signing_can_by(struct prov_key *key, const EVP_MD *digest)
{
    struct prov_scheme scheme = { .prov = key->prov, .digest = digest };
    int padding = key->variant->family->default_padding;
    bool pss;

    if (!tok_key_is_limited(key->token)) {
        return 1;
    }
    scheme.padding = padding != 0 ? RSA_PKCS1_PSS_PADDING : 0;
    pss = prov_signing_can(key, &scheme, true);
    scheme.padding = padding;
    if (!pss && (key->variant->restricted || !prov_signing_can(key, &scheme, true))) {
        return prov_raise(key->prov, PROV_R_PARAMETER, "key '%s' or its token can't sign by %s",
                          tok_key_uri(key->token), EVP_MD_get0_name(digest));
    }
    if (!pss) {
        trace(TRACE_KEY, "key: warning: '%s' can't sign by PSS, should that be asked for", tok_key_uri(key->token));
    }
    return 1;
}

/* What a token says to a mechanism or parameters that it, or the key, does not have. */
static bool is_refusal(const struct tok_result *result)
{
    return tok_is(result, CKR_MECHANISM_INVALID) || tok_is(result, CKR_MECHANISM_PARAM_INVALID) ||
           tok_is(result, CKR_KEY_FUNCTION_NOT_PERMITTED) ||
           (tok_is(result, CKR_ARGUMENTS_BAD) && strcmp(result->function, "C_SignInit") == 0); /* SoftHSM, of a mask */
}

static struct tok_result no_way(const struct signing *signing)
{
    char names[256];
    struct text text = TEXT_OVER(names);
    struct prov_choice choice;

    for (unsigned way = 0; choice_of(&choice, signing->key, signing->scheme, way); way++) {
        if (choice.type != PROV_NO_CHOICE) {
            text_printf(&text, "%s%s", text.len > 0 ? ", " : "", tok_mech_name(choice.type));
        }
    }
    return tok_fail(TOK_CODE_UNSUPPORTED, "key '%s' and its token offer none of %s%s", tok_key_uri(signing->key->token),
                    names, signing->data->message == NULL ? " that signs a ready digest" : "");
}

/* Every other way, after the one that served so far was refused with `first`, or can't be used here (first == NULL). */
static struct tok_result signing_other_ways(struct signing *signing, unsigned tried, const struct tok_result *first)
{
    struct prov_key *key = signing->key;
    struct prov_choice choice;

    prov_async_ask_mechanisms(key, signing->job);
    for (unsigned way = 0; is_way(key, signing->scheme, way); way++) {
        struct tok_result result;

        if (way == tried || !choice_get(&choice, key, signing->scheme, way, signing->data->message != NULL)) {
            continue;
        }
        result = signing_try(signing, &choice);
        if (tok_ok(&result)) {
            trace(TRACE_KEY, "key: '%s' signs by %s", tok_key_uri(key->token), tok_mech_name(choice.type));
            way_keep(key, signing->scheme, way);
        }
        if (!is_refusal(&result)) {
            return result;
        }
    }
    trace(TRACE_KEY, "key: warning: there is no %sway to sign with '%s'",
          signing->scheme->padding == RSA_PKCS1_PSS_PADDING ? "PSS, nor raw RSA to make it with, and no other " : "",
          tok_key_uri(key->token));
    return first != NULL ? *first : no_way(signing);
}

static struct tok_result signing_run(struct signing *signing)
{
    unsigned way = signing->scheme->extras != NULL
                       ? 0
                       : atomic_load_explicit(way_of(signing->key, signing->scheme), memory_order_relaxed);
    struct tok_result result;
    struct prov_choice choice;

    if (!choice_get(&choice, signing->key, signing->scheme, way, signing->data->message != NULL)) {
        return signing_other_ways(signing, way, NULL);
    }
    result = signing_try(signing, &choice);
    return is_refusal(&result) ? signing_other_ways(signing, way, &result) : result;
}

#define MOST_OTHER_KEYS 16 /* replicas that turn out to hold another key */

/* Into OpenSSL's form, and proved. Where one of several tokens used another key, the next one is asked. */
static int signing_make(struct signing *signing)
{
    struct prov_key *key = signing->key;

    for (unsigned i = 0; i < MOST_OTHER_KEYS; i++) {
        struct tok_result result = signing_run(signing);

        if (!tok_ok(&result)) {
            return prov_fail(key->prov, &result);
        }
        if (!key->variant->family->shape(signing->sig, &signing->len,
                                         signing->scheme->whole ? signing->room
                                                                : (signing->scheme->key_bits + 7) / 8)) {
            return prov_raise(key->prov, PROV_R_WRONG_RESULT, "the token's signature has an impossible length (%zu)",
                              signing->len);
        }
        if (signing_proves(signing)) {
            return extras_hold(signing) ||
                   prov_raise(key->prov, PROV_R_WRONG_RESULT,
                              "the token of key '%s' has not signed with the context or variant that was set: it does "
                              "not know them, so sign without, or use another token",
                              tok_key_uri(key->token));
        }
        if (!tok_key_disprove(key->token, signing->unproved)) {
            break;
        }
    }
    return prov_raise(key->prov, PROV_R_WRONG_RESULT,
                      "the signature made with '%s' does not fit the public key that was loaded: another key bears "
                      "that name now",
                      tok_key_uri(key->token));
}

/* Where the token hashes, its signature has one length, and some tokens want just that much room (NSS). */
int prov_signing_run(struct prov_key *key, const struct prov_scheme *scheme, const struct prov_data *data,
                     const struct prov_job *job, unsigned char *sig, size_t *out_len, size_t room)
{
    struct signing signing;

    signing.key = key;
    signing.scheme = scheme;
    signing.data = data;
    signing.job = job;
    signing.sig = scheme->whole ? sig : signing.made;
    signing.room = scheme->whole ? (size_t)EVP_PKEY_get_size(key->software) : PROV_SIGNING_MAX_RSA;
    if (!signing_make(&signing)) {
        return 0;
    }
    if (!atomic_load_explicit(&key->signed_once, memory_order_relaxed)) {
        key->signed_once = true;
    }
    if (signing.len > room) {
        return prov_raise(key->prov, PROV_R_WRONG_RESULT, "the token's signature has an impossible length (%zu)",
                          signing.len);
    }
    if (signing.sig != sig) {
        memcpy(sig, signing.sig, signing.len);
    }
    *out_len = signing.len;
    return 1;
}
