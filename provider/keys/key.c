#include "provider/keys/key.h"

#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/secret.h"
#include "provider/core/rejection.h"
#include "provider/core/software.h"

struct prov_key *prov_key_new(struct prov_ctx *prov, const struct prov_variant *variant)
{
    struct prov_key *key = calloc(1, sizeof(*key));

    if (key == NULL) {
        prov_raise(prov, PROV_R_NO_MEMORY, "a key");
        return NULL;
    }
    if (!prov->software) {
        (void)prov_software_prove(prov);
    }
    key->refs = 1;
    key->prov = prov;
    key->variant = variant;
    return key;
}

struct prov_key *prov_key_ref(struct prov_key *key)
{
    atomic_fetch_add(&key->refs, 1);
    return key;
}

struct prov_digest {
    EVP_MD *digest;
    char name[32]; /* as it was asked for */
};

static void digest_free(struct prov_digest *kept)
{
    if (kept != NULL) {
        EVP_MD_free(kept->digest);
        free(kept);
    }
}

/* Where two threads are the first, both keep it, in one place each, or one of them finds none left. */
void prov_key_digest_keep(struct prov_key *key, EVP_MD *digest, const char *name)
{
    struct prov_digest *kept = strlen(name) < sizeof(kept->name) ? calloc(1, sizeof(*kept)) : NULL;

    if (kept == NULL) {
        return;
    }
    memcpy(kept->name, name, strlen(name) + 1);
    kept->digest = EVP_MD_up_ref(digest) ? digest : NULL;
    for (size_t i = 0; kept->digest != NULL && i < COUNT_OF(key->digests); i++) {
        struct prov_digest *none = NULL;

        if (atomic_compare_exchange_strong(&key->digests[i], &none, kept)) {
            return;
        }
    }
    digest_free(kept);
}

EVP_MD *prov_key_digest(struct prov_key *key, const char *name, bool *out_kept)
{
    const struct prov_digest *kept;

    *out_kept = false;
    for (size_t i = 0; i < COUNT_OF(key->digests) && (kept = atomic_load(&key->digests[i])) != NULL; i++) {
        if (strcmp(kept->name, name) == 0 && EVP_MD_up_ref(kept->digest)) {
            *out_kept = true;
            return kept->digest;
        }
    }
    return prov_software_digest(key->prov, name);
}

void prov_key_unref(struct prov_key *key)
{
    if (key == NULL || atomic_fetch_sub(&key->refs, 1) != 1) {
        return;
    }
    EVP_PKEY_free(key->software);
    tok_key_unref(key->token);
    secret_end(&(struct secret){ .data = atomic_load(&key->rejection), .len = PROV_REJECTION_LEN });
    for (size_t i = 0; i < COUNT_OF(key->digests); i++) {
        digest_free(atomic_load(&key->digests[i]));
    }
    free(key);
}

void prov_key_end(struct prov_key **key)
{
    prov_key_unref(*key);
}

bool prov_key_serves(const struct prov_ctx *prov, const struct tok_public *half)
{
    for (size_t i = 0; prov_variants[i] != NULL; i++) {
        if (prov_variants[i]->key_type == half->type && prov_variant_is_offered(prov_variants[i], prov->key_types)) {
            return true;
        }
    }
    return false;
}

/* The public half by whatever shows it: as a whole, in parts, in a certificate. A source that makes no sense is passed
 * over. */
static EVP_PKEY *public_half(struct prov_ctx *prov, const struct tok_public *half)
{
    const struct prov_variant *any = prov_variant_of_type(half->type);
    const struct prov_variant *variant = prov_variant_of_half(half);
    EVP_PKEY *key = NULL;

    if (any == NULL) {
        prov_raise(prov, PROV_R_KEY_TYPE, "keys of type 0x%lx are not served", half->type);
        return NULL;
    }
    prov_err_mark(prov);
    if (half->spki.len > 0) {
        key = prov_software_key_from_spki(prov, half->spki.data, half->spki.len);
    }
    if (key == NULL && variant != NULL) {
        key = variant->family->public_key(prov, variant, half);
    }
    if (key == NULL && half->certificate.len > 0) {
        key = prov_software_key_from_certificate(prov, half->certificate.data, half->certificate.len);
    }
    if (key != NULL && any->family->settle != NULL) {
        key = any->family->settle(prov, half, key);
    }
    prov_err_forget(prov);
    if (key == NULL) {
        prov_raise(prov, PROV_R_KEY_TYPE,
                   "the type or curve of the public half that the token shows is not served, or no other provider of "
                   "this application knows it; the FIPS provider knows fewer than default");
    }
    return key;
}

bool prov_key_left_out(const struct prov_ctx *prov, const struct prov_variant *variant)
{
    return !prov_variant_is_offered(variant, prov->key_types) &&
           prov_raise(prov, PROV_R_KEY_TYPE, "keys of type %s are left out by the setting key-types: add the type there",
                      variant->type) == 0;
}

/* Takes `software` over. */
static struct prov_key *key_around(struct prov_ctx *prov, EVP_PKEY *software, int parts)
{
    const struct prov_variant *variant = software == NULL ? NULL : prov_variant_of(software);
    struct prov_key *key;

    if (software == NULL) {
        return NULL;
    }
    if (variant == NULL) {
        prov_raise(prov, PROV_R_KEY_TYPE, "keys of type %s are not served", EVP_PKEY_get0_type_name(software));
    }
    key = variant == NULL || prov_key_left_out(prov, variant) ? NULL : prov_key_new(prov, variant);
    if (key == NULL) {
        EVP_PKEY_free(software);
        return NULL;
    }
    key->software = software;
    key->parts = parts;
    return key;
}

struct prov_key *prov_key_on_token(struct prov_ctx *prov, struct tok_key *token, EVP_PKEY *software)
{
    struct prov_key *key;

    if (software == NULL) {
        software = public_half(prov, tok_key_half(token));
    }
    key = key_around(prov, software, EVP_PKEY_KEYPAIR);
    if (key == NULL) {
        tok_key_unref(token);
        return NULL;
    }
    key->token = token;
    if (key->variant->family->asym_cipher != NULL) {
        (void)prov_rejection_secret(prov);
    }
    return key;
}

struct prov_key *prov_key_public(struct prov_ctx *prov, const struct tok_public *half)
{
    return key_around(prov, public_half(prov, half), EVP_PKEY_PUBLIC_KEY);
}

struct prov_key *prov_key_public_of(struct prov_ctx *prov, const struct tok_public *half)
{
    if (half->type == CK_UNAVAILABLE_INFORMATION && half->certificate.len > 0) {
        return key_around(prov,
                          prov_software_key_from_certificate(prov, half->certificate.data, half->certificate.len),
                          EVP_PKEY_PUBLIC_KEY);
    }
    return prov_key_public(prov, half);
}

int prov_key_offer(struct prov_key *key, OSSL_CALLBACK *callback, void *arg)
{
    int type = OSSL_OBJECT_PKEY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_construct_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, (char *)key->variant->type, 0),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &key, sizeof(key)),
        OSSL_PARAM_construct_end(),
    };
    int taken = callback(params, arg); /* keymgmt_load takes the reference, leaving NULL in `key` */

    prov_key_unref(key);
    return taken;
}
