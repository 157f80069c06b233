#include "unit.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

#include "provider/files/keyfile.h"

#define URI "pkcs11:token=t;object=k;type=private"

/* A public half of each type, each with another kind of AlgorithmIdentifier. */
static struct half {
    const char *type;
    const char *algorithm;
    EVP_PKEY *key;
    struct bytes spki;
} halves[] = {
    { .type = "RSA", .algorithm = "1.2.840.113549.1.1.1" },
    { .type = "RSA-PSS", .algorithm = "1.2.840.113549.1.1.10" },
    { .type = "EC", .algorithm = "1.2.840.10045.2.1" },
    { .type = "ED25519", .algorithm = "1.3.101.112" },
};

static const struct half *const ec = &halves[2];

static EVP_PKEY *generate(const char *type)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;

    if (EVP_PKEY_keygen_init(ctx) == 1) {
        (void)EVP_PKEY_CTX_set_group_name(ctx, "P-256");
        (void)EVP_PKEY_generate(ctx, &key);
    }
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return key;
}

static int halves_make(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(halves); i++) {
        unsigned char *der = NULL;
        int len;

        halves[i].key = generate(halves[i].type);
        len = i2d_PUBKEY(halves[i].key, &der);
        if (len <= 0 || !bytes_set(&halves[i].spki, der, (size_t)len)) {
            return -1;
        }
        OPENSSL_free(der);
    }
    return 0;
}

static int halves_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(halves); i++) {
        EVP_PKEY_free(halves[i].key);
        bytes_end(&halves[i].spki);
    }
    return 0;
}

static struct bytes file_of(const char *uri, const struct half *half)
{
    struct bytes der = { 0 };

    assert_true(prov_keyfile_write(&der, uri, half->spki.data, half->spki.len));
    return der;
}

/* What a reader says; whatever it is, OpenSSL's queue stays empty. */
typedef enum prov_keyfile_kind (*reader)(struct prov_keyfile *, const char **, const unsigned char *, size_t);

static enum prov_keyfile_kind kind_by(reader read, const void *der, size_t len, const char **out_why)
{
    struct prov_keyfile file = { .uri = NULL };
    enum prov_keyfile_kind kind;

    *out_why = "";
    kind = read(&file, out_why, der, len);
    assert_int_equal(ERR_peek_error(), 0);
    assert_true((kind == PROV_KEYFILE_GOOD) == (file.uri != NULL));
    prov_keyfile_end(&file);
    return kind;
}

/* The file is ours, and the complaint has these words. */
static void says(const struct bytes *der, const char *words)
{
    const char *why;

    assert_int_equal(kind_by(prov_keyfile_read, der->data, der->len, &why), PROV_KEYFILE_BAD);
    if (strstr(why, words) == NULL) {
        fail_msg("'%s' does not say '%s'", why, words);
    }
}

/* One text in the file replaced by another of the same length. */
static void replaced(struct bytes *der, const void *what, const void *with, size_t len)
{
    uint8_t *at = memmem(der->data, der->len, what, len);

    assert_non_null(at);
    memcpy(at, with, len);
}

TEST(what_is_written_is_read)
{
    for (size_t i = 0; i < COUNT_OF(halves); i++) {
        SCOPED(bytes_end) struct bytes der = file_of(URI, &halves[i]);
        SCOPED(prov_keyfile_end) struct prov_keyfile file = { .uri = NULL };
        const char *why;

        assert_int_equal(prov_keyfile_read(&file, &why, der.data, der.len), PROV_KEYFILE_GOOD);
        assert_string_equal(file.uri, URI);
        assert_string_equal(file.algorithm, halves[i].algorithm);
        assert_true(bytes_equal(&file.spki, &halves[i].spki));
    }
}

TEST(it_is_a_pkcs8_key_of_the_keys_own_algorithm)
{
    for (size_t i = 0; i < COUNT_OF(halves); i++) {
        SCOPED(bytes_end) struct bytes der = file_of(URI, &halves[i]);
        const unsigned char *at = der.data;
        PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.len);
        X509_PUBKEY *half = X509_PUBKEY_new();
        const X509_ALGOR *algorithm;
        X509_ALGOR *own;

        assert_non_null(info);
        assert_ptr_equal(at, der.data + der.len);
        assert_int_equal(X509_PUBKEY_set(&half, halves[i].key), 1);
        assert_int_equal(PKCS8_pkey_get0(NULL, NULL, NULL, &algorithm, info), 1);
        assert_int_equal(X509_PUBKEY_get0_param(NULL, NULL, NULL, &own, half), 1);
        assert_int_equal(X509_ALGOR_cmp(algorithm, own), 0);
        X509_PUBKEY_free(half);
        PKCS8_PRIV_KEY_INFO_free(info);
    }
}

TEST(a_uri_may_be_long)
{
    char uri[20000];
    SCOPED(bytes_end) struct bytes der = { 0 };
    SCOPED(prov_keyfile_end) struct prov_keyfile file = { .uri = NULL };
    const char *why;

    memset(uri, 'x', sizeof(uri) - 1);
    uri[sizeof(uri) - 1] = '\0';
    der = file_of(uri, ec);
    assert_int_equal(prov_keyfile_read(&file, &why, der.data, der.len), PROV_KEYFILE_GOOD);
    assert_string_equal(file.uri, uri);
}

TEST(software_keys_and_public_keys_are_not_ours)
{
    for (size_t i = 0; i < COUNT_OF(halves); i++) {
        PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(halves[i].key);
        unsigned char *der = NULL;
        int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
        const char *why;

        assert_true(len > 0);
        assert_int_equal(kind_by(prov_keyfile_read, der, (size_t)len, &why), PROV_KEYFILE_NOT_OURS);
        assert_int_equal(kind_by(prov_keyfile_read, der, (size_t)len / 2, &why), PROV_KEYFILE_NOT_OURS);
        assert_int_equal(kind_by(prov_keyfile_read_peers, der, (size_t)len, &why), PROV_KEYFILE_NOT_OURS);
        assert_int_equal(kind_by(prov_keyfile_read, halves[i].spki.data, halves[i].spki.len, &why),
                         PROV_KEYFILE_NOT_OURS);
        OPENSSL_free(der);
        PKCS8_PRIV_KEY_INFO_free(info);
    }
}

TEST(noise_is_not_ours)
{
    static const char *const noise[] = { "", "0", "0\x80", "0\xff", "0\x84zzzz", "-----BEGIN", "signet key 1" };
    const char *why;

    for (size_t i = 0; i < COUNT_OF(noise); i++) {
        assert_int_equal(kind_by(prov_keyfile_read, noise[i], strlen(noise[i]), &why), PROV_KEYFILE_NOT_OURS);
        assert_int_equal(kind_by(prov_keyfile_read_peers, noise[i], strlen(noise[i]), &why), PROV_KEYFILE_NOT_OURS);
    }
}

TEST(a_file_that_is_cut_off_says_so)
{
    SCOPED(bytes_end) struct bytes der = file_of(URI, ec);
    uint8_t *magic = memmem(der.data, der.len, "signet key 1", 12);
    const char *why;

    for (size_t len = 0; len < der.len; len++) {
        struct bytes cut = { der.data, len };

        if (der.data + len < magic + strlen("signet key ")) {
            assert_int_equal(kind_by(prov_keyfile_read, cut.data, cut.len, &why), PROV_KEYFILE_NOT_OURS);
        } else {
            says(&cut, "cut off");
        }
    }
}

TEST(a_byte_too_many_is_told)
{
    SCOPED(bytes_end) struct bytes der = file_of(URI, ec);
    SCOPED(bytes_end) struct bytes longer = { 0 };

    assert_true(bytes_new(&longer, der.len + 1));
    memcpy(longer.data, der.data, der.len);
    says(&longer, "follows");
}

TEST(a_file_of_a_later_version_says_so)
{
    SCOPED(bytes_end) struct bytes der = file_of(URI, ec);

    replaced(&der, "signet key 1", "signet key 2", 12);
    says(&der, "later version");
    replaced(&der, "token=t", "\x04token=", 7); /* whatever such a file holds */
    says(&der, "later version");
}

TEST(another_version_of_pkcs8_is_told)
{
    SCOPED(bytes_end) struct bytes der = file_of(URI, ec);

    replaced(&der, "\x02\x01\x00", "\x02\x01\x01", 3);
    says(&der, "PKCS#8 version");
}

TEST(an_algorithm_that_is_not_the_public_keys_is_told)
{
    SCOPED(bytes_end) struct bytes der = file_of(URI, ec);

    replaced(&der, "\x2a\x86\x48\xce\x3d\x03\x01\x07", "\x2a\x86\x48\xce\x3d\x03\x01\x01", 8); /* the outer curve */
    says(&der, "algorithm");
}

TEST(contents_that_are_something_else_are_told)
{
    SCOPED(bytes_end) struct bytes der = file_of(URI, ec);

    replaced(&der, "\x0c\x24pkcs11:", "\x13\x24pkcs11:", 9); /* the URI as a PrintableString */
    says(&der, "not a text, a URI and a public key");
}

TEST(a_uri_that_is_none_is_told)
{
    /* SEQUENCE { 0, SEQUENCE { ecPublicKey }, OCTET STRING { SEQUENCE { "signet key 1", "", SEQUENCE { … } } } } */
    static uint8_t empty[] = "\x30\x37\x02\x01\x00\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x04\x27\x30\x25"
                             "\x0c\x0csignet key 1\x0c\x00\x30\x13\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x02\x01"
                             "\x03\x06\x00keyed";
    struct bytes without = { empty, sizeof(empty) - 1 };
    SCOPED(bytes_end) struct bytes der = file_of(URI, ec);
    SCOPED(bytes_end) struct bytes none = { 0 };

    says(&without, "URI is empty");
    replaced(&der, "object", "obj\0ct", 6);
    says(&der, "zero byte");
    assert_false(prov_keyfile_write(&none, "", ec->spki.data, ec->spki.len));
}

TEST(no_public_half_no_file)
{
    SCOPED(bytes_end) struct bytes der = { 0 };

    assert_false(prov_keyfile_write(&der, URI, ec->spki.data, ec->spki.len - 1));
    assert_false(prov_keyfile_write(&der, URI, (const unsigned char *)"", 0));
    assert_null(der.data);
    ERR_clear_error();
}

/* Nothing crashes, and no file with a bit turned in its frame passes for the same. */
TEST(a_bit_that_is_turned_does_no_harm)
{
    SCOPED(bytes_end) struct bytes der = file_of(URI, ec);
    const char *why;

    for (size_t bit = 0; bit < 8 * der.len; bit++) {
        der.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        (void)kind_by(prov_keyfile_read, der.data, der.len, &why);
        (void)kind_by(prov_keyfile_read_peers, der.data, der.len, &why);
        der.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    for (size_t i = 0; i < 2; i++) {
        der.data[i] ^= 1;
        assert_int_not_equal(kind_by(prov_keyfile_read, der.data, der.len, &why), PROV_KEYFILE_GOOD);
        der.data[i] ^= 1;
    }
    assert_int_equal(kind_by(prov_keyfile_read, der.data, der.len, &why), PROV_KEYFILE_GOOD);
}

TEST(the_peers_form_is_read)
{
    static const uint8_t der[] = "\x30\x28\x1a\x19PKCS#11 Provider URI v1.0\x0c\x0bpkcs11:id=1";
    SCOPED(prov_keyfile_end) struct prov_keyfile file = { .uri = NULL };
    const char *why;

    assert_int_equal(prov_keyfile_read_peers(&file, &why, der, sizeof(der) - 1), PROV_KEYFILE_GOOD);
    assert_string_equal(file.uri, "pkcs11:id=1");
    assert_null(file.spki.data);
    assert_int_equal(kind_by(prov_keyfile_read, der, sizeof(der) - 1, &why), PROV_KEYFILE_NOT_OURS);
}

TEST(what_is_wrong_with_the_peers_form_is_told)
{
    static const struct {
        const char *der;
        size_t len;
        const char *words;
    } cases[] = {
        { "\x30\x28\x1a\x19PKCS#11 Provider URI v1.0\x0c\x0bpkcs11:id=", 41, "cut off" },
        { "\x30\x28\x1a\x19PKCS#11 Provider URI v1.0\x0c\x0bpkcs11:id=1z", 43, "follows" },
        { "\x30\x28\x1a\x19PKCS#11 Provider URI v2.0\x0c\x0bpkcs11:id=1", 42, "description" },
        { "\x30\x1d\x1a\x19PKCS#11 Provider URI v1.0\x0c\x00", 31, "empty" },
        { "\x30\x28\x1a\x19PKCS#11 Provider URI v1.0\x0c\x0bpkcs11\0id=1", 42, "zero byte" },
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *why;

        assert_int_equal(kind_by(prov_keyfile_read_peers, cases[i].der, cases[i].len, &why), PROV_KEYFILE_BAD);
        assert_non_null(strstr(why, cases[i].words));
    }
}

/* As far as 48 bytes, which a line of PEM has. */
TEST(the_start_of_our_form_may_be_ours_and_that_of_a_software_key_is_not)
{
    for (size_t i = 0; i < COUNT_OF(halves); i++) {
        SCOPED(bytes_end) struct bytes file = { 0 };
        PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(halves[i].key);
        unsigned char *der = NULL;
        int len = i2d_PKCS8_PRIV_KEY_INFO(info, &der);

        assert_true(prov_keyfile_write(&file, URI, halves[i].spki.data, halves[i].spki.len));
        for (size_t start = 0; start <= 48; start++) {
            assert_true(prov_keyfile_may_start(file.data, start));
        }
        assert_true(len >= 48);
        if (strcmp(halves[i].type, "RSA") == 0 || strcmp(halves[i].type, "EC") == 0) {
            assert_false(prov_keyfile_may_start(der, 48));
        }
        OPENSSL_free(der);
        PKCS8_PRIV_KEY_INFO_free(info);
    }
    assert_false(prov_keyfile_may_start((const unsigned char *)"no DER", 6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_start_of_our_form_may_be_ours_and_that_of_a_software_key_is_not),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(it_is_a_pkcs8_key_of_the_keys_own_algorithm),
        cmocka_unit_test(a_uri_may_be_long),
        cmocka_unit_test(software_keys_and_public_keys_are_not_ours),
        cmocka_unit_test(noise_is_not_ours),
        cmocka_unit_test(a_file_that_is_cut_off_says_so),
        cmocka_unit_test(a_byte_too_many_is_told),
        cmocka_unit_test(a_file_of_a_later_version_says_so),
        cmocka_unit_test(another_version_of_pkcs8_is_told),
        cmocka_unit_test(an_algorithm_that_is_not_the_public_keys_is_told),
        cmocka_unit_test(contents_that_are_something_else_are_told),
        cmocka_unit_test(a_uri_that_is_none_is_told),
        cmocka_unit_test(no_public_half_no_file),
        cmocka_unit_test(a_bit_that_is_turned_does_no_harm),
        cmocka_unit_test(the_peers_form_is_read),
        cmocka_unit_test(what_is_wrong_with_the_peers_form_is_told),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, halves_make, halves_end);
}
