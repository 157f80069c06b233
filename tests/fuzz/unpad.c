/* RSA padding: what is taken off without a branch against what RFC 8017 and RFC 5246 say, written down plainly; and
 * what is put on. An input is a block, and before it how it is looked at. */
#include "fuzz.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>

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

static void pkcs1(const uint8_t *em, size_t k, const struct unpad_synthetic *synthetic)
{
    uint8_t *out = malloc(k);
    long start = plain_start(em, k);
    size_t len;

    HOLDS(out != NULL);
    len = unpad_pkcs1(out, em, k, synthetic);
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
    uint8_t out[UNPAD_TLS_LEN];
    long start = plain_start(em, k);
    bool good = start >= 0 && k - (size_t)start == UNPAD_TLS_LEN && plain_version(em + start, client, negotiated);

    unpad_tls(out, em, k, random, client, negotiated);
    HOLDS(memcmp(out, good ? em + start : random, UNPAD_TLS_LEN) == 0);
}

static void tls_message(const uint8_t *message, size_t len, const uint8_t *random, unsigned client, unsigned negotiated)
{
    uint8_t out[UNPAD_TLS_LEN];
    bool good = len == UNPAD_TLS_LEN && plain_version(message, client, negotiated);

    unpad_tls_message(out, message, len, random, client, negotiated);
    HOLDS(memcmp(out, good ? message : random, UNPAD_TLS_LEN) == 0);
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

/* EMSA-PSS: libcrypto's own check takes it, for a key of just that size. */
static void put_on_pss(struct input *input)
{
    uint8_t digest[32];
    uint8_t salt[64];
    uint8_t block[MOST / 8 + 8];
    struct prov_pad_pss with = { .digest = EVP_sha256(), .mgf1 = EVP_sha256(), .salt = salt };
    size_t block_len;

    with.key_bits = input_number(input) % (MOST + 1);
    with.salt_len = input_byte(input) % (sizeof(salt) + 1);
    input_fill(input, digest, sizeof(digest));
    input_fill(input, salt, with.salt_len);
    block_len = (with.key_bits + 7) / 8;
    if (!prov_pad_pss(block, block_len, &with, digest, sizeof(digest))) {
        HOLDS(with.key_bits == 0 || (with.key_bits - 1 + 7) / 8 < sizeof(digest) + with.salt_len + 2);
        return;
    }
    {
        /* The number below 2^(bits-1) that it must be (RFC 8017 §9.1.1 step 11), and the trailer. */
        unsigned top = (unsigned)((with.key_bits - 1) % 8);

        HOLDS(block[block_len - 1] == 0xbc);
        HOLDS(top == 0 ? block[0] == 0 : (block[0] >> top) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    uint8_t how = input_byte(&input);
    uint8_t filler = input_byte(&input);
    unsigned client = (unsigned)input_number(&input);
    unsigned negotiated = (unsigned)input_number(&input);
    size_t number = input_number(&input);
    struct unpad_synthetic synthetic;
    uint8_t random[UNPAD_TLS_LEN];

    memset(random, filler, sizeof(random));
    memset(synthetic.block, filler, sizeof(synthetic.block));
    if (how == 4) {
        put_on(input.at, input.left, number % (MOST + 1));
    }
    if (how == 5) {
        put_on_pss(&input);
    }
    if (input.left < UNPAD_TLS_LEN + UNPAD_PKCS1 || input.left > UNPAD_MAX) {
        return 0;
    }
    synthetic.len = number % (input.left - UNPAD_PKCS1 + 1);
    pkcs1(input.at, input.left, &synthetic);
    tls(input.at, input.left, random, client, how == 1 ? 0 : negotiated);
    tls_message(input.at, how == 2 ? UNPAD_TLS_LEN : number, random, client, how == 1 ? 0 : negotiated);
    return 0;
}
