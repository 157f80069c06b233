/* What an order of providers, or a key on a token, must not change for the rest of the process; and the ways in which
 * programs read key files.
 *
 *     order [--beside] FOLDER TOKEN/TYPE...
 *
 * FOLDER has TYPE.key, the key file of TOKEN's key TYPE, and what tests/tls/order.sh puts there beside. With --beside
 * another provider for PKCS#11 is active, which reads its own form of key file, and what is wrong with one, in its own
 * way: there that is not looked at. */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/store.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/tap.h"
#include "pair.h"

static const char *folder;

static char *path(char out[300], const char *file)
{
    snprintf(out, 300, "%s/%s", folder, file);
    return out;
}

static int is_on_token(EVP_PKEY *key)
{
    char uri[512];

    return key != NULL && EVP_PKEY_get_utf8_string_param(key, "signet-uri", uri, sizeof(uri), NULL);
}

static int derives(EVP_PKEY *key, EVP_PKEY *peer)
{
    EVP_PKEY_CTX *ctx = key == NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    unsigned char secret[66];
    size_t len = sizeof(secret);
    int good = ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
               EVP_PKEY_derive(ctx, secret, &len) == 1;

    EVP_PKEY_CTX_free(ctx);
    return good;
}

/* Keys that are one string of bytes: whole, and by their halves. */
static void raw_keys_work(const char *when, const char *type)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, type);
    unsigned char secret[8192];
    unsigned char point[8192];
    size_t secret_len = sizeof(secret);
    size_t point_len = sizeof(point);
    EVP_PKEY *private_half = NULL;
    EVP_PKEY *public_half = NULL;
    EVP_PKEY *dup = key == NULL ? NULL : EVP_PKEY_dup(key);

    ok(key != NULL && key_signs(key) && key_signs(dup), "%s: an %s key is generated and signs", when, type);
    if (key != NULL && EVP_PKEY_get_raw_private_key(key, secret, &secret_len) == 1 &&
        EVP_PKEY_get_raw_public_key(key, point, &point_len) == 1) {
        private_half = EVP_PKEY_new_raw_private_key_ex(NULL, type, NULL, secret, secret_len);
        public_half = EVP_PKEY_new_raw_public_key_ex(NULL, type, NULL, point, point_len);
    }
    ok(private_half != NULL && key_signs(private_half) && EVP_PKEY_eq(private_half, key) == 1,
       "%s: %s: the private half makes a whole key", when, type);
    ok(public_half != NULL && EVP_PKEY_eq(public_half, key) == 1, "%s: %s: so does the public one", when, type);
    EVP_PKEY_free(dup);
    EVP_PKEY_free(private_half);
    EVP_PKEY_free(public_half);
    EVP_PKEY_free(key);
}

/* Keys that only agree on secrets: by their halves, and as libssl makes the other side's, of its own key's parameters.
 */
static void x_keys_work(const char *when, const char *type)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, type);
    EVP_PKEY *dup = key == NULL ? NULL : EVP_PKEY_dup(key);
    EVP_PKEY *half = NULL;
    EVP_PKEY *received = EVP_PKEY_new();
    unsigned char *point = NULL;
    unsigned char secret[64];
    size_t point_len = key == NULL ? 0 : EVP_PKEY_get1_encoded_public_key(key, &point);
    size_t secret_len = sizeof(secret);

    ok(derives(dup, key), "%s: an %s key is duplicated, and agrees", when, type);
    if (key != NULL && EVP_PKEY_get_raw_private_key(key, secret, &secret_len) == 1) {
        half = EVP_PKEY_new_raw_private_key_ex(NULL, type, NULL, secret, secret_len);
    }
    ok(half != NULL && EVP_PKEY_eq(half, key) == 1 && derives(half, key), "%s: %s: the private half makes a whole key",
       when, type);
    ok(point_len > 0 && EVP_PKEY_copy_parameters(received, key) == 1 &&
           EVP_PKEY_set1_encoded_public_key(received, point, point_len) == 1 && EVP_PKEY_eq(received, key) == 1 &&
           derives(key, received),
       "%s: %s: the other side's key is made of parameters and a point", when, type);
    OPENSSL_free(point);
    EVP_PKEY_free(received);
    EVP_PKEY_free(half);
    EVP_PKEY_free(dup);
    EVP_PKEY_free(key);
}

/* Everything that a fetch of ours might break for others. */
static void software_works(const char *when)
{
    EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    EVP_PKEY *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    EVP_PKEY *peer = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    EVP_PKEY *dup = ec == NULL ? NULL : EVP_PKEY_dup(ec);
    EVP_PKEY *params = NULL;
    EVP_PKEY_CTX *paramgen = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *x = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    EVP_PKEY *x_peer = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    unsigned char *der = NULL;
    int der_len;

    ok(ec != NULL && key_signs(ec), "%s: an EC key is generated and signs", when);
    ok(rsa != NULL && key_signs(rsa), "%s: an RSA key is generated and signs", when);
    ok(dup != NULL && EVP_PKEY_eq(ec, dup) == 1, "%s: a key is duplicated", when);
    ok(derives(ec, peer), "%s: ECDH", when);
    ok(derives(x, x_peer), "%s: X25519", when);
    x_keys_work(when, "X25519");
    x_keys_work(when, "X448");
    raw_keys_work(when, "ED25519");
    raw_keys_work(when, "ED448");
    if (OpenSSL_version_num() >= 0x30500000UL) {
        raw_keys_work(when, "ML-DSA-44");
        raw_keys_work(when, "ML-DSA-65");
        raw_keys_work(when, "ML-DSA-87");
        raw_keys_work(when, "SLH-DSA-SHA2-128f");
    }
    ok(paramgen != NULL && EVP_PKEY_paramgen_init(paramgen) == 1 &&
           EVP_PKEY_CTX_set_group_name(paramgen, "P-384") == 1 && EVP_PKEY_paramgen(paramgen, &params) == 1,
       "%s: parameters are generated", when);
    der_len = ec == NULL ? -1 : i2d_PrivateKey(ec, &der);
    if (ok(der_len > 0, "%s: a private software key is written", when)) {
        const unsigned char *at = der;
        EVP_PKEY *back = d2i_AutoPrivateKey(NULL, &at, der_len);

        ok(back != NULL && EVP_PKEY_eq(back, ec) == 1 && key_signs(back), "%s: and read again", when);
        EVP_PKEY_free(back);
    }
    OPENSSL_free(der);
    EVP_PKEY_free(params);
    EVP_PKEY_CTX_free(paramgen);
    EVP_PKEY_free(x);
    EVP_PKEY_free(x_peer);
    EVP_PKEY_free(dup);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
}

/* A software key's encryption on disk stays what was asked for, whoever's keymgmt it lives in. */
static void encrypted_stays_encrypted(void)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    BIO *out = BIO_new(BIO_s_mem());
    char *text;
    long len;

    ok(key != NULL &&
           PEM_write_bio_PrivateKey(out, key, EVP_aes_256_cbc(), (const unsigned char *)"pw", 2, NULL, NULL) == 1,
       "a software key is written with a password");
    len = BIO_get_mem_data(out, &text);
    ok(len > 30 && strncmp(text, "-----BEGIN ENCRYPTED PRIVATE KEY", 32) == 0, "and is encrypted");
    BIO_free(out);
    EVP_PKEY_free(key);
}

/* "TOKEN/TYPE" */
static const char *type_of(const char *which)
{
    return strchr(which, '/') + 1;
}

static void token_keys_are_themselves(const char *which)
{
    const char *type = type_of(which);
    char uri[128];
    char file[300];
    char name[64];
    EVP_PKEY *by_uri;
    EVP_PKEY *by_file;
    EVP_PKEY *dup;
    BIO *out = BIO_new(BIO_s_mem());

    snprintf(uri, sizeof(uri), "pkcs11:token=%.*s;object=%s;type=private", (int)(type - which - 1), which, type);
    snprintf(name, sizeof(name), "%s.key", type);
    by_uri = key_by_name(uri);
    by_file = key_by_name(path(file, name));
    dup = by_uri == NULL ? NULL : EVP_PKEY_dup(by_uri);
    ok(is_on_token(by_uri) && key_signs(by_uri), "%s: by URI", type);
    ok(is_on_token(by_file) && key_signs(by_file), "%s: by key file", type);
    ok(by_uri != NULL && by_file != NULL && EVP_PKEY_eq(by_uri, by_file) == 1, "%s: the same key", type);
    ok(is_on_token(dup) && key_signs(dup), "%s: a duplicate", type);
    if (by_uri != NULL) {
        OSSL_PARAM *params = NULL;

        ok(EVP_PKEY_todata(by_uri, EVP_PKEY_KEYPAIR, &params) != 1, "%s: its private half is not exported", type);
        OSSL_PARAM_free(params);
        ok(PEM_write_bio_PUBKEY(out, by_uri) == 1, "%s: its public half is", type);
    }
    BIO_free(out);
    EVP_PKEY_free(by_uri);
    EVP_PKEY_free(by_file);
    EVP_PKEY_free(dup);
}

/* --- the readers of key files ------------------------------------------------------------------------------------- */

static int read_by_pem(const char *file)
{
    BIO *in = BIO_new_file(file, "r");
    EVP_PKEY *key = in == NULL ? NULL : PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
    int good = is_on_token(key) && key_signs(key);

    EVP_PKEY_free(key);
    BIO_free(in);
    return good;
}

static int read_by_info(const char *file)
{
    BIO *in = BIO_new_file(file, "r");
    STACK_OF(X509_INFO) *list = in == NULL ? NULL : PEM_X509_INFO_read_bio(in, NULL, NULL, NULL);
    int good = 0;

    for (int i = 0; i < sk_X509_INFO_num(list); i++) {
        X509_INFO *info = sk_X509_INFO_value(list, i);

        if (info->x_pkey != NULL && info->x_pkey->dec_pkey != NULL) {
            good = is_on_token(info->x_pkey->dec_pkey) && key_signs(info->x_pkey->dec_pkey);
        }
    }
    sk_X509_INFO_pop_free(list, X509_INFO_free);
    BIO_free(in);
    return good;
}

static int read_by_store(const char *file)
{
    char uri[320];
    OSSL_STORE_CTX *store;
    int good = 0;

    snprintf(uri, sizeof(uri), "file:%s", file);
    store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
    while (store != NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        if (info != NULL && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY) {
            good = is_on_token(OSSL_STORE_INFO_get0_PKEY(info)) && key_signs(OSSL_STORE_INFO_get0_PKEY(info));
        }
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return good;
}

static int read_by_ssl(const char *file)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    int good = ctx != NULL && SSL_CTX_use_PrivateKey_file(ctx, file, SSL_FILETYPE_PEM) == 1 &&
               is_on_token(SSL_CTX_get0_privatekey(ctx));

    SSL_CTX_free(ctx);
    return good;
}

/* As DER, whatever it is labelled, but for certificates. */
static BIO *der_of(const char *file)
{
    BIO *in = BIO_new_file(file, "r");
    BIO *der = BIO_new(BIO_s_mem());
    char *name = NULL;
    char *header = NULL;
    unsigned char *data = NULL;
    long len = 0;

    while (in != NULL && PEM_read_bio(in, &name, &header, &data, &len)) {
        if (strcmp(name, "CERTIFICATE") != 0) {
            BIO_write(der, data, (int)len);
        }
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_free(data);
    }
    ERR_clear_error();
    BIO_free(in);
    return der;
}

static int read_as_der(const char *file)
{
    BIO *der = der_of(file);
    EVP_PKEY *key = d2i_PrivateKey_bio(der, NULL);
    int good = is_on_token(key) && key_signs(key);

    EVP_PKEY_free(key);
    BIO_free(der);
    return good;
}

/* By a function that is told the type. */
static EVP_PKEY *read_as_type(const char *file, int type)
{
    char name[300];
    BIO *der = der_of(path(name, file));
    unsigned char *data;
    long len = BIO_get_mem_data(der, &data);
    const unsigned char *at = data;
    EVP_PKEY *key = d2i_PrivateKey(type, NULL, &at, len);

    BIO_free(der);
    return key;
}

/* The peers' form does not say what it names: there OpenSSL 3.0 takes a key of another type than it has asked for. */
static void types_are_asked_for(int beside)
{
    EVP_PKEY *right = read_as_type("ec.key", EVP_PKEY_EC);
    EVP_PKEY *wrong = read_as_type("ec.key", EVP_PKEY_RSA);
    EVP_PKEY *peers_right = beside ? NULL : read_as_type("peers-ec.pem", EVP_PKEY_EC);
    EVP_PKEY *peers_wrong = beside ? NULL : read_as_type("peers-ec.pem", EVP_PKEY_RSA);

    ok(is_on_token(right) && key_signs(right), "d2i_PrivateKey, told the right type");
    ok(wrong == NULL, "told another type, it refuses");
    ok(beside || (is_on_token(peers_right) && key_signs(peers_right)), "another provider's form, and the right type");
    ok(peers_wrong == NULL || is_on_token(peers_wrong), "another provider's form, and another type: no harm is done");
    EVP_PKEY_free(right);
    EVP_PKEY_free(wrong);
    EVP_PKEY_free(peers_right);
    EVP_PKEY_free(peers_wrong);
}

static void readers(const char *file, const char *what)
{
    char name[300];

    path(name, file);
    ok(read_by_pem(name), "%s: PEM_read_bio_PrivateKey", what);
    ok(read_by_info(name), "%s: PEM_X509_INFO_read_bio", what);
    ok(read_by_store(name), "%s: the file: store", what);
    if (strncmp(file, "SLH-DSA", 7) == 0) {
        ok(!read_by_ssl(name), "%s: SSL_CTX_use_PrivateKey_file refuses it, as TLS has no such signatures", what);
    } else {
        ok(read_by_ssl(name), "%s: SSL_CTX_use_PrivateKey_file", what);
    }
    ok(read_as_der(name), "%s: d2i_PrivateKey_bio", what);
}

/* The form of another provider, which has no public half: the token is asked. PEM_X509_INFO_read_bio knows no such
 * label, whoever could read what stands under it. */
static void peers_form(const char *type)
{
    char file[64];
    char name[300];

    snprintf(file, sizeof(file), "peers-%s.pem", type);
    path(name, file);
    ok(read_by_pem(name), "another provider's form, %s: PEM_read_bio_PrivateKey", type);
    ok(read_by_store(name), "another provider's form, %s: the file: store", type);
    ok(read_by_ssl(name), "another provider's form, %s: SSL_CTX_use_PrivateKey_file", type);
    ok(read_as_der(name), "another provider's form, %s: d2i_PrivateKey_bio", type);
}

static int is_told(const char *text)
{
    const char *data;
    int flags;
    int told = 0;

    while (ERR_get_error_all(NULL, NULL, NULL, &data, &flags) != 0) {
        told |= (flags & ERR_TXT_STRING) != 0 && strstr(data, text) != NULL;
    }
    return told;
}

/* A reader fails, and says why. */
static void tells(int (*read)(const char *file), const char *reader, const char *file, const char *why)
{
    char name[300];
    int good;

    path(name, file);
    ERR_clear_error();
    good = read(name);
    ok(!good && is_told(why), "%s: %s fails, and tells of '%s'", file, reader, why);
}

/* The file: store drops the reason where the default provider's decoder is asked first of what stands under "PRIVATE
 * KEY"; which one is depends on the order. */
static void bad_files(void)
{
    static const struct {
        const char *file;
        const char *why;
        int ours_alone; /* no other decoder knows the label */
    } bad[] = {
        { "bad-cut.key", "it is cut off", 0 },
        { "bad-half.key", "public key makes no sense", 0 },
        { "bad-label.pem", "no PKCS#11 URI", 1 },
        { "bad-token.pem", "no token matches", 1 },
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tells(read_by_pem, "PEM_read_bio_PrivateKey", bad[i].file, bad[i].why);
        tells(read_by_ssl, "SSL_CTX_use_PrivateKey_file", bad[i].file, bad[i].why);
        if (bad[i].ours_alone) {
            tells(read_by_store, "the file: store", bad[i].file, bad[i].why);
        }
    }
}

static void software_files_stay(void)
{
    char name[300];
    EVP_PKEY *key = key_by_name(path(name, "ec-soft.key"));

    ok(key != NULL && !is_on_token(key) && strcmp(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key)), "default") == 0,
       "a software key's file is read by the default provider");
    EVP_PKEY_free(key);
}

/* --- TLS 1.2 key transport ---------------------------------------------------------------------------------------- */

static int premaster(unsigned char out[48], EVP_PKEY *key, const unsigned char *cipher, size_t cipher_len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    unsigned version = TLS1_2_VERSION;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &version),
        OSSL_PARAM_construct_end(),
    };
    size_t len = 48;
    int good = EVP_PKEY_decrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_WITH_TLS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_params(ctx, params) == 1 && EVP_PKEY_decrypt(ctx, out, &len, cipher, cipher_len) == 1 &&
               len == 48;

    EVP_PKEY_CTX_free(ctx);
    return good;
}

static size_t encrypt(unsigned char *out, EVP_PKEY *key, const unsigned char *text, size_t text_len, int padding)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    size_t len = 512;
    int good = EVP_PKEY_encrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, padding) == 1 &&
               EVP_PKEY_encrypt(ctx, out, &len, text, text_len) == 1;

    EVP_PKEY_CTX_free(ctx);
    return good ? len : 0;
}

/* Bad input of every kind gives another random secret each time, never an error. */
static void bad_premaster(EVP_PKEY *key, const unsigned char *cipher, size_t len, const unsigned char *right,
                          const char *what)
{
    unsigned char one[48];
    unsigned char two[48];

    ok(len > 0 && premaster(one, key, cipher, len) && premaster(two, key, cipher, len) && memcmp(one, two, 48) != 0 &&
           memcmp(one, right, 48) != 0,
       "key transport with %s gives a random secret, no error", what);
}

static void key_transport(void)
{
    EVP_PKEY *key = key_by_name("pkcs11:token=test;object=rsa;type=private");
    unsigned char secret[49] = { 3, 3, 1, 2, 3, 4 };
    unsigned char block[256] = { 0, 2 };
    unsigned char cipher[512];
    unsigned char got[48];
    size_t len = encrypt(cipher, key, secret, 48, RSA_PKCS1_PADDING);

    ok(premaster(got, key, cipher, len) && memcmp(got, secret, 48) == 0, "key transport gives the premaster secret");
    len = encrypt(cipher, key, secret, 49, RSA_PKCS1_PADDING);
    bad_premaster(key, cipher, len, secret, "49 bytes");
    len = encrypt(cipher, key, secret, 47, RSA_PKCS1_PADDING);
    bad_premaster(key, cipher, len, secret, "47 bytes");
    secret[1] = 2;
    len = encrypt(cipher, key, secret, 48, RSA_PKCS1_PADDING);
    bad_premaster(key, cipher, len, secret, "the wrong version");
    secret[1] = 3;
    memset(block + 2, 0x5a, sizeof(block) - 2);
    len = encrypt(cipher, key, block, 256, RSA_NO_PADDING);
    bad_premaster(key, cipher, len, secret, "no end of the padding");
    block[1] = 1;
    block[256 - 49] = 0;
    memcpy(block + 256 - 48, secret, 48);
    len = encrypt(cipher, key, block, 256, RSA_NO_PADDING);
    bad_premaster(key, cipher, len, secret, "block type 1");
    memset(cipher, 0x77, 256);
    cipher[0] = 0;
    bad_premaster(key, cipher, 256, secret, "garbage");
    EVP_PKEY_free(key);
}

static void key_transport_handshake(void)
{
    char chain[300];
    char root[300];
    SSL_CTX *server = context_with("pkcs11:token=test;object=rsa;type=private", path(chain, "rsa-chain.pem"),
                                   path(root, "root.pem"), TLS1_2_VERSION);
    SSL_CTX *client = context_with(NULL, NULL, root, TLS1_2_VERSION);

    if (ok(server != NULL && client != NULL, "contexts for key transport")) {
        SSL_CTX_set_verify(server, SSL_VERIFY_NONE, NULL);
        SSL_CTX_set_cipher_list(client, "AES128-GCM-SHA256");
        SSL_CTX_set_cipher_list(server, "AES128-GCM-SHA256");
        ok(shake(server, client), "a handshake with key transport");
    }
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

/* --- key shares of TLS 1.3 ------------------------------------------------------------------------------------------
 */

static void handshake_by(const char *group)
{
    char chain[300];
    char root[300];
    SSL_CTX *server = context_with("pkcs11:token=test;object=ec;type=private", path(chain, "ec-chain.pem"),
                                   path(root, "root.pem"), TLS1_3_VERSION);
    SSL_CTX *client = context_with(NULL, NULL, root, TLS1_3_VERSION);

    if (ok(server != NULL && client != NULL, "%s: contexts", group)) {
        SSL_CTX_set_verify(server, SSL_VERIFY_NONE, NULL);
        ok(SSL_CTX_set1_groups_list(client, group) == 1 && SSL_CTX_set1_groups_list(server, group) == 1 &&
               shake(server, client),
           "%s: a handshake", group);
    }
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

/* Also those whose halves OpenSSL makes of other keys: the providers' own fetches meet us, too. */
static void handshakes_by_groups(void)
{
    static const char *const groups[] = { "P-256", "P-384", "P-521", "X25519", "X448", "ffdhe2048" };
    static const char *const since_3_5[] = { "brainpoolP256r1tls13", "MLKEM768", "X25519MLKEM768", "SecP256r1MLKEM768",
                                             "SecP384r1MLKEM1024" };

    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        handshake_by(groups[i]);
    }
    for (size_t i = 0; i < sizeof(since_3_5) / sizeof(since_3_5[0]) && OpenSSL_version_num() >= 0x30500000UL; i++) {
        handshake_by(since_3_5[i]);
    }
}

/* A context in the middle of a message goes on twice. */
static void contexts_are_duplicated(const char *type)
{
    char uri[128];
    EVP_PKEY *key;
    EVP_MD_CTX *one = EVP_MD_CTX_new();
    EVP_MD_CTX *two = EVP_MD_CTX_new();
    EVP_MD_CTX *verify = EVP_MD_CTX_new();
    unsigned char sig[1024];
    size_t len = sizeof(sig);

    snprintf(uri, sizeof(uri), "pkcs11:token=test;object=%s;type=private", type);
    key = key_by_name(uri);
    ok(key != NULL && EVP_DigestSignInit_ex(one, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
           EVP_DigestSignUpdate(one, "te", 2) == 1 && EVP_MD_CTX_copy_ex(two, one) == 1 &&
           EVP_DigestSignUpdate(one, "a", 1) == 1 && EVP_DigestSignUpdate(two, "xt", 2) == 1 &&
           EVP_DigestSignFinal(two, sig, &len) == 1 &&
           EVP_DigestVerifyInit_ex(verify, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
           EVP_DigestVerify(verify, sig, len, (const unsigned char *)"text", 4) == 1,
       "%s: a context is duplicated in the middle of a message", type);
    EVP_MD_CTX_free(one);
    EVP_MD_CTX_free(two);
    EVP_MD_CTX_free(verify);
    EVP_PKEY_free(key);
}

int main(int argc, char **argv)
{
    char file[64];
    int beside = argc > 1 && strcmp(argv[1], "--beside") == 0;

    argc -= beside;
    argv += beside;
    if (argc < 3) {
        return 2;
    }
    folder = argv[1];
    software_works("before a key on a token");
    for (int i = 2; i < argc; i++) {
        token_keys_are_themselves(argv[i]);
    }
    software_works("after it");
    encrypted_stays_encrypted();
    for (int i = 2; i < argc; i++) {
        snprintf(file, sizeof(file), "%s.key", type_of(argv[i]));
        readers(file, file);
    }
    readers("before.pem", "a key before certificates");
    readers("after.pem", "a key after certificates");
    types_are_asked_for(beside);
    if (!beside) {
        peers_form("rsa");
        peers_form("ec");
        peers_form("ed25519");
        bad_files();
    }
    software_files_stay();
    contexts_are_duplicated("ec");
    contexts_are_duplicated("rsa");
    key_transport();
    key_transport_handshake();
    handshakes_by_groups();
    software_works("at the end");
    return tap_done();
}
