#include "unit.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "provider/keys/pad.h"

/* What is padded here and signed raw must verify as what libcrypto would have made. */
static void verifies(size_t bits, const char *digest_name, const char *mgf1_name, int salt_len)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", bits);
    EVP_MD *digest = EVP_MD_fetch(NULL, digest_name, NULL);
    EVP_MD *mgf1 = EVP_MD_fetch(NULL, mgf1_name, NULL);
    EVP_PKEY_CTX *raw = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    EVP_PKEY_CTX *check = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    uint8_t salt[256];
    uint8_t block[512];
    uint8_t sig[512];
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned hash_len;
    size_t block_len = (bits + 7) / 8;
    size_t sig_len = sizeof(sig);
    struct prov_pad_pss with = { digest, mgf1, salt, (size_t)salt_len, bits };

    memset(salt, 0x5a, sizeof(salt));
    assert_int_equal(EVP_Digest("text", 4, hash, &hash_len, digest, NULL), 1);
    assert_true(prov_pad_pss(block, block_len, &with, hash, hash_len));
    assert_int_equal(EVP_PKEY_sign_init(raw), 1);
    assert_true(EVP_PKEY_CTX_set_rsa_padding(raw, RSA_NO_PADDING) > 0);
    assert_int_equal(EVP_PKEY_sign(raw, sig, &sig_len, block, block_len), 1);
    assert_int_equal(EVP_PKEY_verify_init(check), 1);
    assert_true(EVP_PKEY_CTX_set_rsa_padding(check, RSA_PKCS1_PSS_PADDING) > 0);
    assert_true(EVP_PKEY_CTX_set_signature_md(check, digest) > 0);
    assert_true(EVP_PKEY_CTX_set_rsa_mgf1_md(check, mgf1) > 0);
    assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(check, salt_len) > 0);
    assert_int_equal(EVP_PKEY_verify(check, sig, sig_len, hash, hash_len), 1);
    EVP_PKEY_CTX_free(raw);
    EVP_PKEY_CTX_free(check);
    EVP_MD_free(digest);
    EVP_MD_free(mgf1);
    EVP_PKEY_free(key);
}

TEST(pss_of_every_salt_verifies)
{
    verifies(1024, "SHA256", "SHA256", 32);
    verifies(1024, "SHA256", "SHA256", 0);
    verifies(1024, "SHA256", "SHA1", 94); /* the longest */
    verifies(1024, "SHA1", "SHA512", 20);
}

/* The block's number has one bit less than the modulus: with 1025 bits it has one byte less. */
TEST(pss_fits_moduli_of_any_bits)
{
    for (size_t bits = 1024; bits <= 1033; bits++) {
        verifies(bits, "SHA256", "SHA256", 32);
    }
}

TEST(what_does_not_fit_is_refused)
{
    uint8_t block[64];
    uint8_t hash[32] = { 0 };
    uint8_t salt[32] = { 0 };
    struct prov_pad_pss with = { EVP_sha256(), EVP_sha256(), salt, 31, 512 };

    assert_false(prov_pad_pss(block, 64, &with, hash, sizeof(hash))); /* 32 + 31 + 2 > 64 */
    with.salt_len = 30;
    assert_true(prov_pad_pss(block, 64, &with, hash, sizeof(hash)));
    assert_false(prov_pad_pss(block, 63, &with, hash, sizeof(hash)));
    with.key_bits = 0;
    assert_false(prov_pad_pss(block, 64, &with, hash, sizeof(hash)));
    assert_false(prov_pad_pkcs1(block, 42, hash, sizeof(hash)));
    assert_true(prov_pad_pkcs1(block, 43, hash, sizeof(hash)));
}

TEST(pkcs1_is_a_one_a_row_of_ff_and_a_zero)
{
    static const uint8_t expected[] = { 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 'i', 'n' };
    uint8_t block[sizeof(expected)];

    assert_true(prov_pad_pkcs1(block, sizeof(block), (const uint8_t *)"in", 2));
    assert_memory_equal(block, expected, sizeof(expected));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pss_of_every_salt_verifies),
        cmocka_unit_test(pss_fits_moduli_of_any_bits),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(pkcs1_is_a_one_a_row_of_ff_and_a_zero),
    };

    return RUN(tests);
}
