#include "provider/operations/unpad.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <string.h>

#include "base/secret.h"

#define LENGTHS 256 /* bytes that a synthetic message's length is chosen out of */

/* Masks are all ones for yes and zero for no. The empty assembly keeps the compiler from making branches of them. */
typedef size_t mask;

static mask hide(mask value)
{
    __asm__("" : "+r"(value));
    return value;
}

static mask is_zero(size_t value)
{
    return hide((mask)0 - ((~value & (value - 1)) >> (sizeof(value) * 8 - 1)));
}

static mask is_equal(size_t a, size_t b)
{
    return is_zero(a ^ b);
}

/* a <= b, both below half of the range. */
static mask is_at_most(size_t a, size_t b)
{
    return hide(~((mask)0 - ((b - a) >> (sizeof(a) * 8 - 1))));
}

static size_t choose(mask which, size_t yes, size_t no)
{
    which = hide(which);
    return (which & yes) | (~which & no);
}

/* Where the message starts in a block 00 02 PS 00 M, whose PS has at least eight bytes, none of them zero. *good is the
 * mask that tells whether it is such a block. */
static size_t message_start(mask *good, const uint8_t *em, size_t k)
{
    mask found = 0;
    size_t zero = 0;

    for (size_t i = 2; i < k; i++) {
        mask first = is_zero(em[i]) & ~found;

        zero = choose(first, i, zero);
        found |= first;
    }
    *good = is_zero(em[0]) & is_equal(em[1], 2) & is_at_most(2 + 8, zero);
    return zero + 1;
}

size_t prov_unpad_pkcs1(uint8_t *out, const uint8_t *em, size_t k, const struct prov_unpad_synthetic *synthetic)
{
    mask good;
    size_t start = message_start(&good, em, k);
    size_t len;

    start = choose(good, start, k - synthetic->len);
    for (size_t i = 0; i < k; i++) {
        out[i] = (uint8_t)choose(good, em[i], synthetic->block[i]);
    }
    len = k - start; /* public from here on: it is the length that the caller returns */
    memmove(out, out + start, len);
    return len;
}

size_t prov_unpad_message(uint8_t *out, const uint8_t *em, size_t len, size_t k,
                          const struct prov_unpad_synthetic *synthetic)
{
    mask good = is_at_most(len, k - PROV_UNPAD_PKCS1);

    memset(out, 0, k);
    memcpy(out, synthetic->block + k - synthetic->len, synthetic->len);
    for (size_t i = 0; i < k; i++) {
        out[i] = (uint8_t)choose(good, em[i], out[i]);
    }
    return choose(good, len, synthetic->len);
}

/* By powers of two, each of which is done or not, in the same steps. */
void prov_unpad_align(uint8_t *block, size_t len, size_t k)
{
    size_t gap = k - len;

    for (size_t i = 0; i < k; i++) {
        block[i] = (uint8_t)choose(is_at_most(i + 1, len), block[i], 0);
    }
    for (size_t step = 1; step < k; step *= 2) {
        mask moves = ~is_zero(gap & step);

        for (size_t i = k; i-- > 0;) {
            block[i] = (uint8_t)choose(moves, i >= step ? block[i - step] : 0, block[i]);
        }
    }
}

static mask version_is(const uint8_t *message, unsigned version)
{
    return is_equal(message[0], version >> 8 & 0xff) & is_equal(message[1], version & 0xff);
}

static void choose_premaster(uint8_t out[PROV_UNPAD_TLS_LEN], mask good, const uint8_t *message, const uint8_t *random,
                             unsigned client_version, unsigned negotiated_version)
{
    mask version = version_is(message, client_version);

    if (negotiated_version != 0) {
        version |= version_is(message, negotiated_version);
    }
    for (size_t i = 0; i < PROV_UNPAD_TLS_LEN; i++) {
        out[i] = (uint8_t)choose(good & version, message[i], random[i]);
    }
}

void prov_unpad_tls(uint8_t out[PROV_UNPAD_TLS_LEN], const uint8_t *em, size_t k,
                    const uint8_t random[PROV_UNPAD_TLS_LEN], unsigned client_version, unsigned negotiated_version)
{
    mask good;
    size_t start = message_start(&good, em, k);

    good &= is_equal(start, k - PROV_UNPAD_TLS_LEN);
    choose_premaster(out, good, em + k - PROV_UNPAD_TLS_LEN, random, client_version, negotiated_version);
}

void prov_unpad_tls_message(uint8_t out[PROV_UNPAD_TLS_LEN], const uint8_t message[PROV_UNPAD_TLS_LEN], size_t len,
                            const uint8_t random[PROV_UNPAD_TLS_LEN], unsigned client_version,
                            unsigned negotiated_version)
{
    choose_premaster(out, is_equal(len, PROV_UNPAD_TLS_LEN), message, random, client_version, negotiated_version);
}

/* A length of 0..most: the last of 128 numbers that fits. That none does is as likely as guessing an AES key. */
static size_t synthetic_length(const uint8_t random[LENGTHS], size_t most)
{
    size_t bits = most;
    size_t len = 0;

    for (size_t shift = 1; shift < sizeof(bits) * 8; shift *= 2) {
        bits |= bits >> shift; /* all bits below the highest one of `most` */
    }
    for (size_t i = 0; i < LENGTHS; i += 2) {
        size_t candidate = ((size_t)random[i] << 8 | random[i + 1]) & bits;

        len = choose(is_at_most(candidate, most), candidate, len);
    }
    return len;
}

static void kdf_end(EVP_KDF **kdf)
{
    EVP_KDF_free(*kdf);
}

static void kdf_ctx_end(EVP_KDF_CTX **ctx)
{
    EVP_KDF_CTX_free(*ctx);
}

/* HKDF with SHA-256, RFC 5869. */
static bool derive(uint8_t *out, size_t len, const struct prov_unpad_source *source, const uint8_t *ciphertext,
                   size_t k)
{
    SCOPED(kdf_end) EVP_KDF *kdf = EVP_KDF_fetch(source->libctx, "HKDF", source->query);
    SCOPED(kdf_ctx_end) EVP_KDF_CTX *ctx = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_PROPERTIES, (char *)source->query, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)source->secret, PROV_UNPAD_SECRET_LEN),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)source->key_name, strlen(source->key_name)),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)ciphertext, k),
        OSSL_PARAM_construct_end(),
    };

    return ctx != NULL && EVP_KDF_derive(ctx, out, len, params) > 0;
}

bool prov_unpad_synthetic(struct prov_unpad_synthetic *out, const struct prov_unpad_source *source,
                          const uint8_t *ciphertext, size_t k)
{
    uint8_t random[LENGTHS + PROV_UNPAD_MAX];
    bool good = derive(random, LENGTHS + k, source, ciphertext, k);

    if (good) {
        out->len = synthetic_length(random, k - PROV_UNPAD_PKCS1);
        memcpy(out->block, random + LENGTHS, k);
    }
    secret_wipe(random, sizeof(random));
    return good;
}
