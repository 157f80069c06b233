#include "unit.h"

#include <openssl/ec.h>
#include <openssl/rand.h>
#include <string.h>

#include "provider/keys/variant.h"

#define ROOM 512

/* What libcrypto makes of the same two numbers. */
static size_t expected(unsigned char *out, const uint8_t *raw, size_t half)
{
    ECDSA_SIG *signature = ECDSA_SIG_new();
    int len;

    assert_int_equal(ECDSA_SIG_set0(signature, BN_bin2bn(raw, (int)half, NULL), BN_bin2bn(raw + half, (int)half, NULL)),
                     1);
    len = i2d_ECDSA_SIG(signature, &out);
    ECDSA_SIG_free(signature);
    assert_true(len > 0);
    return (size_t)len;
}

static void check_shape(const uint8_t *raw, size_t half)
{
    uint8_t sig[ROOM];
    unsigned char der[ROOM];
    size_t der_len = expected(der, raw, half);
    size_t len = 2 * half;

    memcpy(sig, raw, len);
    assert_true(prov_ec_variant.family->shape(sig, &len, sizeof(sig)));
    assert_int_equal(len, der_len);
    assert_memory_equal(sig, der, der_len);
}

TEST(r_and_s_of_any_size_become_the_der_that_libcrypto_writes)
{
    uint8_t raw[2 * 126];

    for (size_t half = 1; half <= 126; half++) {
        for (int run = 0; run < 64; run++) {
            assert_int_equal(RAND_bytes(raw, (int)(2 * half)), 1);
            check_shape(raw, half);
        }
    }
}

TEST(leading_zeros_go_and_high_bits_get_one)
{
    static const uint8_t edges[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
    uint8_t raw[64];

    for (size_t zeros = 0; zeros < 32; zeros++) {
        for (size_t i = 0; i < COUNT_OF(edges); i++) {
            for (size_t j = 0; j < COUNT_OF(edges); j++) {
                memset(raw, 0x55, sizeof(raw));
                memset(raw, 0, zeros);
                memset(raw + 32, 0, 31 - zeros);
                raw[zeros] = edges[i];
                raw[63 - zeros] = edges[j];
                check_shape(raw, 32);
            }
        }
    }
}

TEST(zero_stays_a_number)
{
    static const uint8_t raw[64];

    check_shape(raw, 32);
}

TEST(an_odd_length_no_length_and_too_long_a_one_are_refused)
{
    static const size_t bad[] = { 0, 1, 63, 2 * 127, 400 };
    uint8_t sig[ROOM] = { 1 };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        size_t len = bad[i];

        assert_false(prov_ec_variant.family->shape(sig, &len, sizeof(sig)));
    }
}

TEST(numbers_longer_than_the_groups_order_are_refused)
{
    uint8_t sig[ROOM] = { 1 };
    size_t len = 66;

    assert_false(prov_ec_variant.family->shape(sig, &len, 32));
    assert_true(prov_ec_variant.family->shape(sig, &len, 33));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(r_and_s_of_any_size_become_the_der_that_libcrypto_writes),
        cmocka_unit_test(leading_zeros_go_and_high_bits_get_one),
        cmocka_unit_test(zero_stays_a_number),
        cmocka_unit_test(an_odd_length_no_length_and_too_long_a_one_are_refused),
        cmocka_unit_test(numbers_longer_than_the_groups_order_are_refused),
    };

    return RUN(tests);
}
