#include "unit.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "base/scoped.h"
#include "provider/operations/unpad.h"

#define K 256 /* RSA-2048 */
#define MOST (K - PROV_UNPAD_PKCS1)

static const uint8_t secrets[2][PROV_UNPAD_SECRET_LEN] = { { 1 }, { 2 } };
static const uint8_t random_premaster[PROV_UNPAD_TLS_LEN] = { [0 ... PROV_UNPAD_TLS_LEN - 1] = 0x99 };
static uint8_t out[K];

/* --- blocks ------------------------------------------------------------------------------------------------------- */

/* 00 02 PS 00 M, with a message of `len` bytes that starts with a zero. */
static void block(uint8_t em[K], size_t len)
{
    memset(em, 0xaa, K);
    em[0] = 0;
    em[1] = 2;
    em[K - len - 1] = 0;
    for (size_t i = 0; i < len; i++) {
        em[K - len + i] = (uint8_t)i;
    }
}

/* Each way of being wrong, out of a block that would be good. Returns false after the last. */
static bool spoil(uint8_t em[K], size_t way)
{
    if (way < 255) { /* every other first byte */
        em[0] = (uint8_t)(way + 1);
        return true;
    }
    if (way < 510) { /* every other second byte */
        em[1] = (uint8_t)(way - 255 < 2 ? way - 255 : way - 254);
        return true;
    }
    if (way < 518) { /* padding of 0 to 7 bytes */
        em[2 + (way - 510)] = 0;
        return true;
    }
    if (way == 518) { /* no end of the padding */
        memset(em + 2, 0xff, K - 2);
        return true;
    }
    memset(em, 0, K); /* nothing at all */
    return way == 519;
}

/* A message whose bytes are all told from those of `block`. */
static void synthetic_of(struct prov_unpad_synthetic *synthetic, size_t len)
{
    memset(synthetic->block, 0xee, K);
    synthetic->len = len;
}

/* --- PKCS#1 v1.5 -------------------------------------------------------------------------------------------------- */

TEST(messages_of_every_length_come_out)
{
    struct prov_unpad_synthetic synthetic;
    uint8_t em[K];

    synthetic_of(&synthetic, 5);
    for (size_t len = 0; len <= MOST; len++) {
        block(em, len);
        assert_int_equal(prov_unpad_pkcs1(out, em, K, &synthetic), len);
        assert_memory_equal(out, em + K - len, len);
    }
}

TEST(bad_padding_of_any_kind_gives_the_synthetic_message)
{
    struct prov_unpad_synthetic synthetic;
    uint8_t em[K];

    for (size_t way = 0; block(em, 20), spoil(em, way); way++) {
        size_t len = way % (MOST + 1);

        synthetic_of(&synthetic, len);
        assert_int_equal(prov_unpad_pkcs1(out, em, K, &synthetic), len);
        assert_memory_equal(out, synthetic.block, len);
    }
}

TEST(synthetic_messages_of_every_length_come_out)
{
    struct prov_unpad_synthetic synthetic;
    uint8_t em[K] = { 0 };

    for (size_t len = 0; len <= MOST; len++) {
        synthetic_of(&synthetic, len);
        for (size_t i = 0; i < len; i++) {
            synthetic.block[K - len + i] = (uint8_t)i;
        }
        assert_int_equal(prov_unpad_pkcs1(out, em, K, &synthetic), len);
        assert_memory_equal(out, synthetic.block + K - len, len);
    }
}

TEST(the_shortest_block_holds_the_empty_message)
{
    struct prov_unpad_synthetic synthetic;
    uint8_t em[PROV_UNPAD_PKCS1] = { 0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 0 };

    synthetic_of(&synthetic, 3); /* which no real one of this key could be */
    assert_int_equal(prov_unpad_pkcs1(out, em, sizeof(em), &synthetic), 0);
    em[9] = 0;
    assert_int_equal(prov_unpad_pkcs1(out, em, sizeof(em), &synthetic), 3);
}

/* --- as libcrypto does -------------------------------------------------------------------------------------------- */

static void pkey_end(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static void pkey_ctx_end(EVP_PKEY_CTX **ctx)
{
    EVP_PKEY_CTX_free(*ctx);
}

static void encrypt(EVP_PKEY *key, const uint8_t *in, size_t len, uint8_t ciphertext[K])
{
    SCOPED(pkey_ctx_end) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    size_t ciphertext_len = K;

    assert_true(EVP_PKEY_encrypt_init(ctx) > 0 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) > 0 &&
                EVP_PKEY_encrypt(ctx, ciphertext, &ciphertext_len, in, len) > 0);
    assert_int_equal(ciphertext_len, K);
}

static void decrypt_raw(EVP_PKEY *key, const uint8_t ciphertext[K], uint8_t em[K])
{
    SCOPED(pkey_ctx_end) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    size_t len = K;

    assert_true(EVP_PKEY_decrypt_init(ctx) > 0 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) > 0 &&
                EVP_PKEY_decrypt(ctx, em, &len, ciphertext, K) > 0);
    assert_int_equal(len, K);
}

TEST(a_message_that_a_token_has_unpadded_comes_out_or_another_in_its_place)
{
    struct prov_unpad_synthetic synthetic;
    uint8_t em[K];

    synthetic_of(&synthetic, 17);
    memset(em, 0x11, K);
    for (size_t len = 0; len <= K + 1; len++) {
        bool good = len <= MOST;

        assert_int_equal(prov_unpad_message(out, em, len, K, &synthetic), good ? len : 17);
        assert_memory_equal(out, good ? em : synthetic.block, good ? len : 17);
    }
    assert_int_equal(prov_unpad_message(out, em, PROV_UNPAD_NO_MESSAGE, K, &synthetic), 17);
    assert_memory_equal(out, synthetic.block, 17);
    memset(synthetic.block, 0x77, K); /* the longest one */
    synthetic.len = MOST;
    assert_int_equal(prov_unpad_message(out, em, PROV_UNPAD_NO_MESSAGE, K, &synthetic), MOST);
    assert_memory_equal(out, synthetic.block, MOST);
}

TEST(a_token_that_gives_no_premaster_secret_makes_a_random_one)
{
    static const uint8_t message[PROV_UNPAD_TLS_LEN] = { 3, 3, 1 };

    prov_unpad_tls_message(out, message, PROV_UNPAD_NO_MESSAGE, random_premaster, 0x0303, 0);
    assert_memory_equal(out, random_premaster, PROV_UNPAD_TLS_LEN);
    prov_unpad_tls_message(out, message, PROV_UNPAD_TLS_LEN, random_premaster, 0x0303, 0);
    assert_memory_equal(out, message, PROV_UNPAD_TLS_LEN);
}

TEST(zeros_that_a_token_left_out_are_put_back)
{
    for (size_t k = PROV_UNPAD_PKCS1; k <= K; k++) {
        for (size_t len = 1; len <= k; len++) {
            uint8_t em[K];
            uint8_t expected[K] = { 0 };

            memset(em, 0xcc, sizeof(em)); /* what stands behind it is no part of it */
            for (size_t i = 0; i < len; i++) {
                em[i] = expected[k - len + i] = (uint8_t)(i + 1);
            }
            prov_unpad_align(em, len, k);
            assert_memory_equal(em, expected, k);
        }
    }
}

TEST(what_libcrypto_encrypts_comes_out)
{
    SCOPED(pkey_end) EVP_PKEY *key = EVP_RSA_gen(K * 8);
    struct prov_unpad_synthetic synthetic;
    uint8_t message[MOST];
    uint8_t ciphertext[K];
    uint8_t em[K];

    synthetic_of(&synthetic, 7);
    memset(message, 0x5a, sizeof(message));
    for (size_t len = 1; len <= MOST; len += 12) {
        encrypt(key, message, len, ciphertext);
        decrypt_raw(key, ciphertext, em);
        assert_int_equal(prov_unpad_pkcs1(out, em, K, &synthetic), len);
        assert_memory_equal(out, message, len);
    }
    message[0] = 3;
    message[1] = 3;
    encrypt(key, message, PROV_UNPAD_TLS_LEN, ciphertext);
    decrypt_raw(key, ciphertext, em);
    prov_unpad_tls(out, em, K, random_premaster, 0x0303, 0);
    assert_memory_equal(out, message, PROV_UNPAD_TLS_LEN);
}

/* libcrypto's own function knows no synthetic message: it fails. */
static int libcrypto_unpad(const uint8_t em[K])
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    return RSA_padding_check_PKCS1_type_2(out, K, em, K, K);
#pragma GCC diagnostic pop
}

TEST(libcrypto_agrees_on_what_is_good)
{
    struct prov_unpad_synthetic synthetic;
    uint8_t em[K];
    int good = 0;
    int len;

    synthetic_of(&synthetic, 17);
    srandom(1);
    for (int round = 0; round < 20000; round++) {
        for (size_t i = 0; i < K; i++) {
            em[i] = (uint8_t)(random() % 5 == 0 ? random() % 3 : random());
        }
        em[0] = (uint8_t)(random() % 20 == 0);
        em[1] = (uint8_t)(random() % 20 == 0 ? random() : 2);
        len = libcrypto_unpad(em);
        assert_int_equal(prov_unpad_pkcs1(out, em, K, &synthetic), len >= 0 ? (size_t)len : synthetic.len);
        assert_memory_equal(out, len >= 0 ? em + K - len : synthetic.block, len >= 0 ? (size_t)len : synthetic.len);
        good += len >= 0;
    }
    assert_true(good >= 1000 && good <= 19000); /* both kinds were there */
}

/* --- synthetic messages ------------------------------------------------------------------------------------------- */

static void make(struct prov_unpad_synthetic *synthetic, size_t secret, const char *key_name, uint8_t first, size_t k)
{
    const struct prov_unpad_source source = { NULL, "?provider=default", secrets[secret], key_name };
    uint8_t ciphertext[PROV_UNPAD_MAX] = { first };

    assert_true(prov_unpad_synthetic(synthetic, &source, ciphertext, k));
}

static bool same(const struct prov_unpad_synthetic *a, const struct prov_unpad_synthetic *b)
{
    return a->len == b->len && memcmp(a->block, b->block, K) == 0;
}

TEST(the_same_ciphertext_gives_the_same_message)
{
    struct prov_unpad_synthetic first;
    struct prov_unpad_synthetic again;

    make(&first, 0, "a key", 1, K);
    make(&again, 0, "a key", 1, K);
    assert_true(same(&first, &again));
}

TEST(another_ciphertext_or_key_or_secret_gives_another)
{
    struct prov_unpad_synthetic first;
    struct prov_unpad_synthetic other;

    make(&first, 0, "a key", 1, K);
    make(&other, 0, "a key", 2, K);
    assert_false(same(&first, &other));
    make(&other, 0, "another key", 1, K);
    assert_false(same(&first, &other));
    make(&other, 1, "a key", 1, K);
    assert_false(same(&first, &other));
}

TEST(their_lengths_fit_and_none_is_preferred)
{
    struct prov_unpad_synthetic synthetic;
    size_t quarters[4] = { 0 };
    size_t zeros = 0;

    for (size_t first = 0; first < 256; first++) {
        for (size_t k = 240; k < 256; k++) {
            make(&synthetic, 0, "a key", (uint8_t)first, k);
            assert_true(synthetic.len <= k - PROV_UNPAD_PKCS1);
            quarters[synthetic.len * 4 / (k - PROV_UNPAD_PKCS1 + 1)]++;
            zeros += synthetic.len == 0;
        }
    }
    for (size_t i = 0; i < 4; i++) { /* each has 1024 of 4096, give or take six standard deviations */
        assert_true(quarters[i] >= 1024 - 170 && quarters[i] <= 1024 + 170);
    }
    assert_true(zeros >= 1 && zeros <= 60); /* 17 */
}

TEST(the_longest_and_the_shortest_keys_have_them_too)
{
    struct prov_unpad_synthetic synthetic;

    make(&synthetic, 0, "a key", 1, PROV_UNPAD_MAX);
    assert_true(synthetic.len <= PROV_UNPAD_MAX - PROV_UNPAD_PKCS1);
    make(&synthetic, 0, "a key", 1, PROV_UNPAD_PKCS1);
    assert_int_equal(synthetic.len, 0);
}

TEST(without_an_hkdf_there_is_none)
{
    const struct prov_unpad_source source = { NULL, "provider=nobody", secrets[0], "a key" };
    struct prov_unpad_synthetic synthetic;

    assert_false(prov_unpad_synthetic(&synthetic, &source, out, K));
}

/* --- TLS ---------------------------------------------------------------------------------------------------------- */

/* A message of `len` bytes with a version at its start, and at the start of its last 48. */
static void premaster(uint8_t em[K], size_t len, unsigned version)
{
    const size_t starts[] = { K - len, len > PROV_UNPAD_TLS_LEN ? K - PROV_UNPAD_TLS_LEN : K - len };

    block(em, len);
    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        em[starts[i]] = (uint8_t)(version >> 8);
        em[starts[i] + 1] = (uint8_t)version;
    }
}

static bool is_random(const uint8_t *got)
{
    return memcmp(got, random_premaster, PROV_UNPAD_TLS_LEN) == 0;
}

TEST(a_premaster_secret_comes_out)
{
    uint8_t em[K];
    uint8_t got[PROV_UNPAD_TLS_LEN];

    premaster(em, PROV_UNPAD_TLS_LEN, 0x0303);
    prov_unpad_tls(got, em, K, random_premaster, 0x0303, 0);
    assert_memory_equal(got, em + K - PROV_UNPAD_TLS_LEN, PROV_UNPAD_TLS_LEN);
    prov_unpad_tls(got, em, K, random_premaster, 0x0302,
                   0x0303); /* the version that was negotiated, if that is allowed */
    assert_memory_equal(got, em + K - PROV_UNPAD_TLS_LEN, PROV_UNPAD_TLS_LEN);
    prov_unpad_tls_message(got, em + K - PROV_UNPAD_TLS_LEN, PROV_UNPAD_TLS_LEN, random_premaster, 0x0303, 0);
    assert_memory_equal(got, em + K - PROV_UNPAD_TLS_LEN, PROV_UNPAD_TLS_LEN);
}

TEST(bad_padding_gives_the_random_one)
{
    uint8_t em[K];
    uint8_t got[PROV_UNPAD_TLS_LEN];

    for (size_t way = 0; premaster(em, PROV_UNPAD_TLS_LEN, 0x0303), spoil(em, way); way++) {
        prov_unpad_tls(got, em, K, random_premaster, 0x0303, 0);
        assert_true(is_random(got));
    }
}

TEST(another_length_gives_the_random_one)
{
    uint8_t em[K + PROV_UNPAD_TLS_LEN] = { 0 }; /* with room behind, as in the buffer that a token fills */
    uint8_t got[PROV_UNPAD_TLS_LEN];

    for (size_t len = 2; len <= MOST; len++) {
        premaster(em, len, 0x0303);
        prov_unpad_tls(got, em, K, random_premaster, 0x0303, 0);
        assert_int_equal(is_random(got), len != PROV_UNPAD_TLS_LEN);
        prov_unpad_tls_message(got, em + K - len, len, random_premaster, 0x0303, 0);
        assert_int_equal(is_random(got), len != PROV_UNPAD_TLS_LEN);
    }
    prov_unpad_tls_message(got, em, 0, random_premaster, 0x0303, 0);
    assert_true(is_random(got));
}

TEST(another_version_gives_the_random_one)
{
    uint8_t em[K];
    uint8_t got[PROV_UNPAD_TLS_LEN];

    for (unsigned version = 0; version <= 0xffff; version += version < 0x0400 ? 1 : 0x0101) {
        premaster(em, PROV_UNPAD_TLS_LEN, version);
        prov_unpad_tls(got, em, K, random_premaster, 0x0303, 0);
        assert_int_equal(is_random(got), version != 0x0303);
        prov_unpad_tls(got, em, K, random_premaster, 0x0303, 0x0301);
        assert_int_equal(is_random(got), version != 0x0303 && version != 0x0301);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_every_length_come_out),
        cmocka_unit_test(bad_padding_of_any_kind_gives_the_synthetic_message),
        cmocka_unit_test(synthetic_messages_of_every_length_come_out),
        cmocka_unit_test(the_shortest_block_holds_the_empty_message),
        cmocka_unit_test(a_message_that_a_token_has_unpadded_comes_out_or_another_in_its_place),
        cmocka_unit_test(a_token_that_gives_no_premaster_secret_makes_a_random_one),
        cmocka_unit_test(zeros_that_a_token_left_out_are_put_back),
        cmocka_unit_test(what_libcrypto_encrypts_comes_out),
        cmocka_unit_test(libcrypto_agrees_on_what_is_good),
        cmocka_unit_test(the_same_ciphertext_gives_the_same_message),
        cmocka_unit_test(another_ciphertext_or_key_or_secret_gives_another),
        cmocka_unit_test(their_lengths_fit_and_none_is_preferred),
        cmocka_unit_test(the_longest_and_the_shortest_keys_have_them_too),
        cmocka_unit_test(without_an_hkdf_there_is_none),
        cmocka_unit_test(a_premaster_secret_comes_out),
        cmocka_unit_test(bad_padding_gives_the_random_one),
        cmocka_unit_test(another_length_gives_the_random_one),
        cmocka_unit_test(another_version_gives_the_random_one),
    };

    return RUN(tests);
}
