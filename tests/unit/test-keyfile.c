#include "unit.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

#include "provider/keyfile.h"

#define URI "pkcs11:token=t;object=k;type=private"

static struct bytes spki;

static struct bytes good_file(void)
{
    struct bytes der = { 0 };

    assert_true(keyfile_write(&der, URI, spki.data, spki.len));
    return der;
}

static enum keyfile_kind kind_of(const struct bytes *der, const char **out_why)
{
    struct keyfile file = { 0 };
    enum keyfile_kind kind;

    *out_why = NULL;
    kind = keyfile_read(&file, out_why, der->data, der->len);
    keyfile_end(&file);
    return kind;
}

TEST(what_is_written_is_read)
{
    SCOPED(bytes_end) struct bytes der = good_file();
    SCOPED(keyfile_end) struct keyfile file = { 0 };
    const char *why;

    assert_int_equal(keyfile_read(&file, &why, der.data, der.len), KEYFILE_GOOD);
    assert_string_equal(file.uri, URI);
    assert_true(bytes_equal(&file.spki, &spki));
}

TEST(it_is_a_pkcs8_key_of_its_own_algorithm)
{
    SCOPED(bytes_end) struct bytes der = good_file();
    const unsigned char *at = der.data;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.len);
    const ASN1_OBJECT *algorithm;

    assert_non_null(info);
    assert_int_equal(PKCS8_pkey_get0(&algorithm, NULL, NULL, NULL, info), 1);
    assert_int_equal(OBJ_obj2nid(algorithm), NID_X9_62_id_ecPublicKey);
    PKCS8_PRIV_KEY_INFO_free(info);
}

TEST(a_software_key_is_not_ours)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    unsigned char *der = NULL;
    int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    struct bytes bytes = { der, (size_t)len };
    const char *why;

    assert_int_equal(kind_of(&bytes, &why), KEYFILE_NOT_OURS);
    OPENSSL_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
    EVP_PKEY_free(key);
}

TEST(a_file_that_is_cut_anywhere_is_never_good)
{
    SCOPED(bytes_end) struct bytes der = good_file();
    const char *why;

    for (size_t len = 0; len < der.len; len++) {
        struct bytes cut = { der.data, len };

        assert_int_not_equal(kind_of(&cut, &why), KEYFILE_GOOD);
    }
}

TEST(a_byte_too_many_is_told)
{
    SCOPED(bytes_end) struct bytes der = good_file();
    SCOPED(bytes_end) struct bytes longer = { 0 };
    const char *why;

    assert_true(bytes_new(&longer, der.len + 1));
    memcpy(longer.data, der.data, der.len);
    assert_int_equal(kind_of(&longer, &why), KEYFILE_BAD);
    assert_non_null(strstr(why, "follows"));
}

/* The file with one text in it replaced by another of the same length. */
static void replaced(struct bytes *der, const char *what, const char *with)
{
    uint8_t *at = memmem(der->data, der->len, what, strlen(what));

    assert_non_null(at);
    assert_int_equal(strlen(what), strlen(with));
    memcpy(at, with, strlen(with));
}

TEST(a_file_of_a_later_version_says_so)
{
    SCOPED(bytes_end) struct bytes der = good_file();
    const char *why;

    replaced(&der, "signet key 1", "signet key 2");
    assert_int_equal(kind_of(&der, &why), KEYFILE_BAD);
    assert_non_null(strstr(why, "later version"));
}

TEST(an_algorithm_that_is_not_the_keys_is_told)
{
    SCOPED(bytes_end) struct bytes der = good_file();
    const char *why;
    uint8_t *oid = memmem(der.data, der.len, "\x2a\x86\x48\xce\x3d\x03\x01\x07", 8); /* prime256v1, outside */

    assert_non_null(oid);
    oid[7] = 0x01;
    assert_int_equal(kind_of(&der, &why), KEYFILE_BAD);
    assert_non_null(strstr(why, "algorithm"));
}

TEST(a_zero_in_the_uri_is_told)
{
    SCOPED(bytes_end) struct bytes der = good_file();
    const char *why;
    uint8_t *at = memmem(der.data, der.len, "object", 6);

    assert_non_null(at);
    *at = 0;
    assert_int_equal(kind_of(&der, &why), KEYFILE_BAD);
    assert_non_null(strstr(why, "zero"));
}

TEST(the_peers_form_is_read)
{
    static const uint8_t der[] = "\x30\x28\x1a\x19PKCS#11 Provider URI v1.0\x0c\x0bpkcs11:id=1";
    SCOPED(keyfile_end) struct keyfile file = { 0 };
    const char *why;

    assert_int_equal(keyfile_read_peers(&file, &why, der, sizeof(der) - 1), KEYFILE_GOOD);
    assert_string_equal(file.uri, "pkcs11:id=1");
    assert_int_equal(keyfile_read_peers(&file, &why, der, sizeof(der) - 2), KEYFILE_BAD);
    assert_int_equal(keyfile_read_peers(&file, &why, (const uint8_t *)"", 0), KEYFILE_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(it_is_a_pkcs8_key_of_its_own_algorithm),
        cmocka_unit_test(a_software_key_is_not_ours),
        cmocka_unit_test(a_file_that_is_cut_anywhere_is_never_good),
        cmocka_unit_test(a_byte_too_many_is_told),
        cmocka_unit_test(a_file_of_a_later_version_says_so),
        cmocka_unit_test(an_algorithm_that_is_not_the_keys_is_told),
        cmocka_unit_test(a_zero_in_the_uri_is_told),
        cmocka_unit_test(the_peers_form_is_read),
    };
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    int failed;

    if (len <= 0 || !bytes_set(&spki, der, (size_t)len)) {
        return 99;
    }
    failed = RUN(tests);
    bytes_end(&spki);
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    return failed;
}
