#include "provider/keys/variant.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/scoped.h"
#include "provider/settings/config.h"

const struct prov_variant *const prov_variants[] = {
#define VARIANT(id) &prov_##id##_variant,
    PROV_VARIANTS(VARIANT) NULL,
};

bool prov_variant_is_known(const struct prov_variant *variant)
{
    return variant->since <= OpenSSL_version_num() >> 20;
}

/* What the setting calls the types, by how their names start. */
static const struct {
    const char *start;
    unsigned key_type;
} settings[] = {
    { "RSA-PSS", PROV_KEYS_RSA_PSS }, { "RSA", PROV_KEYS_RSA },       { "EC", PROV_KEYS_EC },
    { "ED25519", PROV_KEYS_ED25519 }, { "ED448", PROV_KEYS_ED448 },   { "X25519", PROV_KEYS_X25519 },
    { "X448", PROV_KEYS_X448 },       { "ML-DSA", PROV_KEYS_ML_DSA }, { "SLH-DSA", PROV_KEYS_SLH_DSA },
};

bool prov_variant_is_offered(const struct prov_variant *variant, unsigned key_types)
{
    size_t i = 0;

    while (i < COUNT_OF(settings) && strncmp(variant->type, settings[i].start, strlen(settings[i].start)) != 0) {
        i++;
    }
    return prov_variant_is_known(variant) &&
           (key_types == 0 || (i < COUNT_OF(settings) && (key_types & settings[i].key_type) != 0));
}

/* The next of names with colons between, with its length; NULL past the last. `name` starts as all of them. */
static const char *name_next(const char **names, size_t *out_len)
{
    const char *name = *names;

    *out_len = name != NULL ? strcspn(name, ":") : 0;
    *names = name != NULL && name[*out_len] == ':' ? name + *out_len + 1 : NULL;
    return name;
}

static bool is_of(const struct prov_variant *variant, const void *vkey)
{
    return EVP_PKEY_is_a(vkey, variant->type);
}

static bool is_named(const struct prov_variant *variant, const void *vname)
{
    const char *wanted = vname;
    const char *names = variant->names;
    const char *name;
    size_t len;

    while ((name = name_next(&names, &len)) != NULL) {
        if (len == strlen(wanted) && strncmp(name, wanted, len) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_of_type(const struct prov_variant *variant, const void *vtype)
{
    return variant->key_type == *(const CK_KEY_TYPE *)vtype;
}

static bool is_of_half(const struct prov_variant *variant, const void *vhalf)
{
    const struct tok_public *half = vhalf;

    return variant->key_type == half->type && (variant->public_len == 0 || variant->public_len == half->point.len) &&
           (variant->set == 0 || variant->set == half->set);
}

static const struct prov_variant *find(bool (*is)(const struct prov_variant *variant, const void *what),
                                       const void *what)
{
    for (size_t i = 0; prov_variants[i] != NULL; i++) {
        if (prov_variant_is_known(prov_variants[i]) && is(prov_variants[i], what)) {
            return prov_variants[i];
        }
    }
    return NULL;
}

const struct prov_variant *prov_variant_of(EVP_PKEY *key)
{
    return find(is_of, key);
}

const struct prov_variant *prov_variant_named(const char *name)
{
    return find(is_named, name);
}

const struct prov_variant *prov_variant_of_type(CK_KEY_TYPE type)
{
    return find(is_of_type, &type);
}

const struct prov_variant *prov_variant_of_half(const struct tok_public *half)
{
    return find(is_of_half, half);
}

bool prov_variant_oid(char *out, size_t room, const struct prov_variant *variant)
{
    const char *names = variant->names;
    const char *name;
    size_t len;

    while ((name = name_next(&names, &len)) != NULL) {
        if (isdigit((unsigned char)name[0]) && len < room) {
            memcpy(out, name, len);
            out[len] = '\0';
            return true;
        }
    }
    return false;
}
