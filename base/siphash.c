#include "base/siphash.h"

#include "base/secret.h"

static uint64_t rotate(uint64_t word, unsigned by)
{
    return word << by | word >> (64 - by);
}

/* Words are little-endian whatever the machine is, so that the published vectors hold. */
static uint64_t word_of(const uint8_t *bytes, size_t len)
{
    uint64_t word = 0;

    for (size_t i = 0; i < len; i++) {
        word |= (uint64_t)bytes[i] << (8 * i);
    }
    return word;
}

struct sip {
    uint64_t v[4];
};

static void rounds(struct sip *sip, unsigned count)
{
    uint64_t *v = sip->v;

    while (count-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] = rotate(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] = rotate(v[2], 32);
    }
}

static void take(struct sip *sip, uint64_t word)
{
    sip->v[3] ^= word;
    rounds(sip, 2);
    sip->v[0] ^= word;
}

uint64_t siphash(const uint8_t key[SIPHASH_KEY_SIZE], const void *data, size_t len)
{
    const uint8_t *bytes = data;
    uint64_t k0 = word_of(key, 8);
    uint64_t k1 = word_of(key + 8, 8);
    struct sip sip = { { k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
                         k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573) } };
    size_t left = len;
    uint64_t hash;

    for (; left >= 8; bytes += 8, left -= 8) {
        take(&sip, word_of(bytes, 8));
    }
    take(&sip, (uint64_t)(len & 0xff) << 56 | word_of(bytes, left));
    sip.v[2] ^= 0xff;
    rounds(&sip, 4);
    hash = sip.v[0] ^ sip.v[1] ^ sip.v[2] ^ sip.v[3];
    secret_wipe(&sip, sizeof(sip));
    return hash;
}
