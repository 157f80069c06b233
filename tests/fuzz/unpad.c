/* RSA padding: what is taken off without a branch against what RFC 8017 and RFC 5246 say, written down plainly; and
 * what is put on. An input is a block, and before it how it is looked at. */
#include "fuzz.h"

#include <openssl/evp.h>

#include "provider/keys/pad.h"
#include "provider/operations/unpad.h"

#define MOST 512

/* RFC 8017 §7.2.2 step 3: 00 02 PS 00 M. -1 if it is no such block. */
static long plain_start(const uint8_t *em, size_t k)
{
    size_t zero = 2;

    if (em[0] != 0 || em[1] != 2) {
        return -1;
    }
    while (zero < k && em[zero] != 0) {
        zero++;
    }
    if (zero == k || zero - 2 < 8) {
        return -1;
    }
    return (long)zero + 1;
}

static void pkcs1(const uint8_t *em, size_t k, const struct prov_unpad_synthetic *synthetic)
{
    uint8_t *out = malloc(k);
    long start = plain_start(em, k);
    size_t len;

    HOLDS(out != NULL);
    len = prov_unpad_pkcs1(out, em, k, synthetic);
    if (start >= 0) {
        HOLDS(len == k - (size_t)start && memcmp(out, em + start, len) == 0);
    } else {
        HOLDS(len == synthetic->len && memcmp(out, synthetic->block + k - len, len) == 0);
    }
    free(out);
}

/* RFC 5246 §7.4.7.1: 48 bytes that begin with the version. */
static bool plain_version(const uint8_t *message, unsigned client, unsigned negotiated)
{
    unsigned version = (unsigned)message[0] << 8 | message[1];

    return version == client || (negotiated != 0 && version == negotiated);
}

static void tls(const uint8_t *em, size_t k, const uint8_t *random, unsigned client, unsigned negotiated)
{
    uint8_t out[PROV_UNPAD_TLS_LEN];
    long start = plain_start(em, k);
    bool good = start >= 0 && k - (size_t)start == PROV_UNPAD_TLS_LEN && plain_version(em + start, client, negotiated);

    prov_unpad_tls(out, em, k, random, client, negotiated);
    HOLDS(memcmp(out, good ? em + start : random, PROV_UNPAD_TLS_LEN) == 0);
}

static void tls_message(const uint8_t *message, size_t len, const uint8_t *random, unsigned client, unsigned negotiated)
{
    uint8_t out[PROV_UNPAD_TLS_LEN];
    bool good = len == PROV_UNPAD_TLS_LEN && plain_version(message, client, negotiated);

    prov_unpad_tls_message(out, message, len, random, client, negotiated);
    HOLDS(memcmp(out, good ? message : random, PROV_UNPAD_TLS_LEN) == 0);
}

/* EMSA-PKCS1-v1_5: 00 01 FF… 00 info. */
static void put_on(const uint8_t *info, size_t info_len, size_t block_len)
{
    uint8_t *block = malloc(block_len > 0 ? block_len : 1);
    bool fits = block_len >= info_len + 11;

    HOLDS(block != NULL);
    HOLDS(prov_pad_pkcs1(block, block_len, info, info_len) == fits);
    for (size_t i = 0; fits && i < block_len; i++) {
        size_t info_at = block_len - info_len;
        uint8_t expected = i == 1 ? 1 : i == 0 || i == info_at - 1 ? 0 : i < info_at ? 0xff : info[i - info_at];

        HOLDS(block[i] == expected);
    }
    free(block);
}

/* MGF1 with SHA-256 (RFC 8017 §B.2.1). */
static void plain_mask(uint8_t *out, size_t len, const uint8_t seed[32])
{
    for (size_t i = 0; i < len; i += 32) {
        uint8_t block[36] = { 0 };
        uint8_t mask[32];

        memcpy(block, seed, 32);
        block[35] = (uint8_t)(i / 32);
        HOLDS(EVP_Digest(block, sizeof(block), mask, NULL, EVP_sha256(), NULL) == 1);
        memcpy(out + i, mask, len - i < 32 ? len - i : 32);
    }
}

/* EMSA-PSS-VERIFY (RFC 8017 §9.1.2) with a salt that is known. */
static bool plain_pss(const uint8_t *em, size_t bits, const uint8_t digest[32], const uint8_t *salt, size_t salt_len)
{
    size_t len = (bits + 7) / 8;
    size_t db_len = len - 32 - 1;
    uint8_t message[8 + 32 + 64] = { 0 };
    uint8_t hash[32];
    uint8_t db[MOST / 8];

    plain_mask(db, db_len, em + db_len);
    for (size_t i = 0; i < db_len; i++) {
        db[i] ^= em[i];
    }
    db[0] &= (uint8_t)(0xff >> (8 * len - bits));
    for (size_t i = 0; i < db_len - salt_len; i++) {
        if (db[i] != (i == db_len - salt_len - 1)) {
            return false;
        }
    }
    memcpy(message + 8, digest, 32);
    memcpy(message + 40, salt, salt_len);
    return em[len - 1] == 0xbc && em[0] >> (8 - (8 * len - bits)) == 0 &&
           memcmp(db + db_len - salt_len, salt, salt_len) == 0 &&
           EVP_Digest(message, 40 + salt_len, hash, NULL, EVP_sha256(), NULL) == 1 &&
           memcmp(hash, em + db_len, 32) == 0;
}

static void put_on_pss(struct input *input)
{
    uint8_t digest[32];
    uint8_t salt[64];
    uint8_t block[MOST / 8];
    struct prov_pad_pss with = { .digest = EVP_sha256(), .mgf1 = EVP_sha256(), .salt = salt };
    size_t bits;
    size_t len;

    with.key_bits = 1 + input_number(input) % MOST;
    with.salt_len = input_byte(input) % (sizeof(salt) + 1);
    input_fill(input, digest, sizeof(digest));
    input_fill(input, salt, with.salt_len);
    bits = with.key_bits - 1;
    len = (with.key_bits + 7) / 8;
    if (!prov_pad_pss(block, len, &with, digest, sizeof(digest))) {
        HOLDS((bits + 7) / 8 < sizeof(digest) + with.salt_len + 2);
        return;
    }
    HOLDS(len == (bits + 7) / 8 || block[0] == 0); /* a key of 8n + 1 bits has a byte more than its block */
    HOLDS(plain_pss(block + len - (bits + 7) / 8, bits, digest, salt, with.salt_len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    uint8_t how = input_byte(&input);
    uint8_t filler = input_byte(&input);
    unsigned client = (unsigned)input_number(&input);
    unsigned negotiated = (unsigned)input_number(&input);
    size_t number = input_number(&input);
    struct prov_unpad_synthetic synthetic;
    uint8_t random[PROV_UNPAD_TLS_LEN];

    memset(random, filler, sizeof(random));
    memset(synthetic.block, filler, sizeof(synthetic.block));
    if (how == 4) {
        put_on(input.at, input.left, number % (MOST + 1));
    }
    if (how == 5) {
        put_on_pss(&input);
    }
    if (input.left < PROV_UNPAD_TLS_LEN + PROV_UNPAD_PKCS1 || input.left > PROV_UNPAD_MAX) {
        return 0;
    }
    synthetic.len = number % (input.left - PROV_UNPAD_PKCS1 + 1);
    pkcs1(input.at, input.left, &synthetic);
    tls(input.at, input.left, random, client, how == 1 ? 0 : negotiated);
    tls_message(input.at, how == 2 ? PROV_UNPAD_TLS_LEN : number, random, client, how == 1 ? 0 : negotiated);
    return 0;
}
