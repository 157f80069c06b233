#include "provider/unpad.h"

#include <string.h>

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

/* Where the message starts in a block 00 02 PS 00 M, whose PS has at least eight bytes, none of them zero. *good is a
 * mask. */
static size_t message_start(mask *good, const uint8_t *em, size_t k)
{
    mask found = 0;
    size_t zero = 0;

    for (size_t i = 2; i < k; i++) {
        mask first = is_zero(em[i]) & ~found;

        zero = choose(first, i, zero);
        found |= first;
    }
    *good = is_zero(em[0]) & is_equal(em[1], 2) & found & is_at_most(2 + 8, zero);
    return zero + 1;
}

size_t unpad_pkcs1(uint8_t *out, const uint8_t *em, const uint8_t *synthetic, size_t k, size_t synthetic_len)
{
    mask good;
    size_t start = message_start(&good, em, k);
    size_t len;

    start = choose(good, start, k - synthetic_len);
    for (size_t i = 0; i < k; i++) {
        out[i] = (uint8_t)choose(good, em[i], synthetic[i]);
    }
    len = k - start; /* public from here on: it is the length that the caller returns */
    memmove(out, out + start, len);
    return len;
}

static mask version_is(const uint8_t *message, unsigned version)
{
    return is_equal(message[0], version >> 8 & 0xff) & is_equal(message[1], version & 0xff);
}

static void choose_premaster(uint8_t out[UNPAD_TLS_LEN], mask good, const uint8_t *message, const uint8_t *random,
                             unsigned client_version, unsigned negotiated_version)
{
    mask version = version_is(message, client_version);

    if (negotiated_version != 0) {
        version |= version_is(message, negotiated_version);
    }
    for (size_t i = 0; i < UNPAD_TLS_LEN; i++) {
        out[i] = (uint8_t)choose(good & version, message[i], random[i]);
    }
}

void unpad_tls(uint8_t out[UNPAD_TLS_LEN], const uint8_t *em, size_t k, const uint8_t random[UNPAD_TLS_LEN],
               unsigned client_version, unsigned negotiated_version)
{
    mask good;
    size_t start = message_start(&good, em, k);

    good &= is_equal(start, k - UNPAD_TLS_LEN);
    choose_premaster(out, good, em + k - UNPAD_TLS_LEN, random, client_version, negotiated_version);
}

void unpad_tls_message(uint8_t out[UNPAD_TLS_LEN], const uint8_t *message, size_t len,
                       const uint8_t random[UNPAD_TLS_LEN], unsigned client_version, unsigned negotiated_version)
{
    uint8_t block[UNPAD_TLS_LEN] = { 0 };

    memcpy(block, message, len < UNPAD_TLS_LEN ? len : UNPAD_TLS_LEN);
    choose_premaster(out, is_equal(len, UNPAD_TLS_LEN), block, random, client_version, negotiated_version);
}

size_t unpad_length(const uint8_t random[256], size_t most)
{
    size_t bits = most;
    size_t len = 0;

    for (size_t shift = 1; shift < sizeof(bits) * 8; shift *= 2) {
        bits |= bits >> shift; /* all bits below the highest one of `most` */
    }
    for (size_t i = 0; i < 256; i += 2) {
        size_t candidate = ((size_t)random[i] << 8 | random[i + 1]) & bits;

        len = choose(is_at_most(candidate, most), candidate, len);
    }
    return len;
}
