#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/scoped.h"
#include "provider/unpad.h"

#define K 128

static uint8_t synthetic[K];
static uint8_t out[K];
static uint8_t random_secret[UNPAD_TLS_LEN];

/* 00 02 PS 00 M, with a message of `len` bytes. */
static void block(uint8_t em[K], size_t len)
{
    memset(em, 0xaa, K);
    em[0] = 0;
    em[1] = 2;
    em[K - len - 1] = 0;
    for (size_t i = 0; i < len; i++) {
        em[K - len + i] = (uint8_t)i; /* the message may hold zeros */
    }
}

TEST(messages_of_every_length_come_out)
{
    uint8_t em[K];

    for (size_t len = 0; len <= K - 11; len++) {
        block(em, len);
        assert_int_equal(unpad_pkcs1(out, em, synthetic, K, 5), len);
        for (size_t i = 0; i < len; i++) {
            assert_int_equal(out[i], (uint8_t)i);
        }
    }
}

/* Each way of being wrong, made of a good block with a message of 20 bytes. */
static void spoil(uint8_t em[K], int way)
{
    block(em, 20);
    switch (way) {
    case 0:
        em[0] = 1;
        break;
    case 1:
        em[1] = 1;
        break;
    case 2:
        em[1] = 0;
        break;
    case 3: /* seven bytes of padding */
        em[9] = 0;
        break;
    case 4:
        em[2] = 0;
        break;
    default: /* no end of the padding */
        memset(em + 2, 0xff, K - 2);
        break;
    }
}

TEST(bad_padding_of_any_kind_gives_the_synthetic_message)
{
    uint8_t em[K];

    for (size_t i = 0; i < K; i++) {
        synthetic[i] = (uint8_t)(200 + i);
    }
    for (int way = 0; way < 6; way++) {
        for (size_t len = 0; len <= K - 11; len += 13) {
            spoil(em, way);
            assert_int_equal(unpad_pkcs1(out, em, synthetic, K, len), len);
            assert_memory_equal(out, synthetic + K - len, len);
        }
    }
}

TEST(the_shortest_padding_is_eight_bytes)
{
    uint8_t em[K];

    block(em, K - 11);
    assert_int_equal(unpad_pkcs1(out, em, synthetic, K, 1), K - 11);
}

static void premaster(uint8_t em[K], size_t len, unsigned version)
{
    block(em, len);
    em[K - len] = (uint8_t)(version >> 8);
    em[K - len + 1] = (uint8_t)version;
}

TEST(a_premaster_secret_comes_out)
{
    uint8_t em[K];
    uint8_t got[UNPAD_TLS_LEN];

    memset(random_secret, 0x99, sizeof(random_secret));
    premaster(em, 48, 0x0303);
    unpad_tls(got, em, K, random_secret, 0x0303, 0);
    assert_memory_equal(got, em + K - 48, 48);
    unpad_tls(got, em, K, random_secret, 0x0302, 0x0303); /* the version that was negotiated, if that is allowed */
    assert_memory_equal(got, em + K - 48, 48);
    unpad_tls_message(got, em + K - 48, 48, random_secret, 0x0303, 0);
    assert_memory_equal(got, em + K - 48, 48);
}

TEST(anything_wrong_with_it_gives_the_random_one)
{
    uint8_t em[K];
    uint8_t got[UNPAD_TLS_LEN];

    for (int way = 0; way < 6; way++) {
        spoil(em, way);
        unpad_tls(got, em, K, random_secret, 0x0303, 0);
        assert_memory_equal(got, random_secret, 48);
    }
    for (size_t len = 40; len < 60; len++) {
        premaster(em, len, len == 48 ? 0x0301 : 0x0303);
        unpad_tls(got, em, K, random_secret, 0x0303, 0);
        assert_memory_equal(got, random_secret, 48);
    }
    unpad_tls_message(got, em, 47, random_secret, 0x0303, 0);
    assert_memory_equal(got, random_secret, 48);
    unpad_tls_message(got, em, 0, random_secret, 0x0303, 0);
    assert_memory_equal(got, random_secret, 48);
}

TEST(synthetic_lengths_fit_and_vary)
{
    uint8_t random[256];
    size_t seen[K] = { 0 };
    size_t different = 0;

    srandom(1);
    for (int round = 0; round < 2000; round++) {
        size_t len;

        for (size_t i = 0; i < sizeof(random); i++) {
            random[i] = (uint8_t)(unsigned long)rand();
        }
        len = unpad_length(random, K - 11);
        assert_true(len <= K - 11);
        seen[len]++;
    }
    for (size_t i = 0; i < K; i++) {
        different += seen[i] > 0;
    }
    assert_true(different > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_every_length_come_out),
        cmocka_unit_test(bad_padding_of_any_kind_gives_the_synthetic_message),
        cmocka_unit_test(the_shortest_padding_is_eight_bytes),
        cmocka_unit_test(a_premaster_secret_comes_out),
        cmocka_unit_test(anything_wrong_with_it_gives_the_random_one),
        cmocka_unit_test(synthetic_lengths_fit_and_vary),
    };

    return RUN(tests);
}
