/* TLS 1.2 key transport with an RSA key on a token: the server decrypts the secret that the client chose. Whether the
 * decrypted block was well-formed must not show, or the server becomes an oracle that decrypts and signs for strangers:
 * a malformed one gives a random secret, each time another, and never an error.     transport FOLDER */
#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <string.h>

#include "../lib/tap.h"
#include "keys.h"
#include "pair.h"

#define SECRET 48 /* bytes of the premaster secret, of which the first two are the client's version */
#define BLOCK 256 /* bytes of the key's modulus */

static int premaster(unsigned char out[SECRET], EVP_PKEY *key, const unsigned char *cipher, size_t cipher_len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    unsigned version = TLS1_2_VERSION;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &version),
        OSSL_PARAM_construct_end(),
    };
    size_t len = SECRET;
    int good = EVP_PKEY_decrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_WITH_TLS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_params(ctx, params) == 1 && EVP_PKEY_decrypt(ctx, out, &len, cipher, cipher_len) == 1 &&
               len == SECRET;

    EVP_PKEY_CTX_free(ctx);
    return good;
}

/* Raw RSA with the public half, so that a block can be as wrong as it likes. */
static int encrypt(unsigned char out[BLOCK], EVP_PKEY *key, const unsigned char block[BLOCK])
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    size_t len = BLOCK;
    int good = EVP_PKEY_encrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1 &&
               EVP_PKEY_encrypt(ctx, out, &len, block, BLOCK) == 1 && len == BLOCK;

    EVP_PKEY_CTX_free(ctx);
    return good;
}

/* 00 02, padding without a zero, 00, the secret; then one byte of it is changed, counted from the end if negative. */
static const struct {
    const char *what;
    int secret; /* its length */
    int change;
    unsigned char to;
} blocks[] = {
    { "the first byte not 0", SECRET, 0, 0x01 },
    { "block type 1", SECRET, 1, 0x01 },
    { "block type 0", SECRET, 1, 0x00 },
    { "a zero in the first byte of the padding", SECRET, 2, 0x00 },
    { "a zero in the eighth byte of the padding", SECRET, 9, 0x00 },
    { "a zero in the last byte of the padding", SECRET, -SECRET - 2, 0x00 },
    { "no end of the padding", SECRET, -SECRET - 1, 0x5a },
    { "the wrong major version", SECRET, -SECRET, 0x02 },
    { "the wrong minor version", SECRET, -SECRET + 1, 0x02 },
    { "a secret one byte too short", SECRET - 1, 1, 0x02 },
    { "a secret one byte too long", SECRET + 1, 1, 0x02 },
    { "no secret", 0, 1, 0x02 },
};

static void block_make(unsigned char block[BLOCK], int secret_len, int change, unsigned char to)
{
    memset(block, 0x5a, BLOCK);
    block[0] = 0x00;
    block[1] = 0x02;
    block[BLOCK - secret_len - 1] = 0x00;
    if (secret_len > 0) {
        block[BLOCK - secret_len] = 0x03;
        block[BLOCK - secret_len + 1] = 0x03;
    }
    block[change < 0 ? BLOCK + change : change] = to;
}

static void good_secrets_arrive(EVP_PKEY *key)
{
    unsigned char block[BLOCK];
    unsigned char cipher[BLOCK];
    unsigned char got[SECRET];

    block_make(block, SECRET, 1, 0x02);
    ok(encrypt(cipher, key, block) && premaster(got, key, cipher, BLOCK) &&
           memcmp(got, block + BLOCK - SECRET, SECRET) == 0,
       "a well-formed block gives its secret");
}

static int all_differ(const unsigned char *a, const unsigned char *b, const unsigned char *c)
{
    return memcmp(a, b, SECRET) != 0 && memcmp(b, c, SECRET) != 0 && memcmp(a, c, SECRET) != 0;
}

/* Whatever is in the block's last bytes is what must not come out. */
static void bad_secrets_do_not(EVP_PKEY *key, const unsigned char block[BLOCK], const unsigned char cipher[BLOCK],
                               const char *what)
{
    unsigned char one[SECRET];
    unsigned char two[SECRET];

    ok(premaster(one, key, cipher, BLOCK) && premaster(two, key, cipher, BLOCK) &&
           all_differ(one, two, block + BLOCK - SECRET),
       "%s: a random secret each time, and no error", what);
}

static void bad_blocks(EVP_PKEY *key)
{
    unsigned char block[BLOCK];
    unsigned char cipher[BLOCK];

    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        block_make(block, blocks[i].secret, blocks[i].change, blocks[i].to);
        if (ok(encrypt(cipher, key, block), "%s: encrypted", blocks[i].what)) {
            bad_secrets_do_not(key, block, cipher, blocks[i].what);
        }
    }
    memset(cipher, 0x77, BLOCK);
    cipher[0] = 0;
    bad_secrets_do_not(key, block, cipher, "random bytes");
}

/* --- within a handshake ------------------------------------------------------------------------------------------- */

static SSL_CTX *server_with(const char *folder, const char *key, const char *chain_name)
{
    char chain[300];
    char root[300];
    SSL_CTX *ctx;

    snprintf(chain, sizeof(chain), "%s/%s-chain.pem", folder, chain_name);
    snprintf(root, sizeof(root), "%s/root.pem", folder);
    ctx = context_with(key, chain, root, TLS1_2_VERSION);
    if (ctx != NULL) {
        ask_clients(ctx, 0);
    }
    return ctx;
}

/* The last byte of ClientKeyExchange is the last of the encrypted secret. The server must not notice before the
 * Finished that does not fit, exactly as one with a software key. */
static void handshakes(const char *folder)
{
    char soft[300];
    SSL_CTX *token;
    SSL_CTX *software;
    SSL_CTX *client = server_with(folder, NULL, NULL);
    int alert;

    snprintf(soft, sizeof(soft), "%s/rsa-soft.key", folder);
    token = server_with(folder, "pkcs11:token=test;object=rsa;type=private", "rsa");
    software = server_with(folder, soft, "rsa-soft");
    if (!ok(token != NULL && software != NULL && client != NULL, "contexts for key transport")) {
        return;
    }
    SSL_CTX_set_verify(client, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_cipher_list(client, "kRSA+AES128+AESGCM");
    ok(shake(token, client, NULL), "a handshake with key transport");
    alert = shake_damaged(software, client, SSL3_MT_CLIENT_KEY_EXCHANGE);
    ok(alert == SSL_AD_BAD_RECORD_MAC, "of a damaged secret, software says nothing but bad_record_mac (%d)", alert);
    alert = shake_damaged(token, client, SSL3_MT_CLIENT_KEY_EXCHANGE);
    ok(alert == SSL_AD_BAD_RECORD_MAC, "nor is more said with the key on a token (%d)", alert);
    SSL_CTX_free(token);
    SSL_CTX_free(software);
    SSL_CTX_free(client);
}

int main(int argc, char **argv)
{
    EVP_PKEY *key = argc == 2 ? key_by_name("pkcs11:token=test;object=rsa;type=private") : NULL;

    if (argc != 2) {
        return 2;
    }
    if (ok(is_on_token(key), "the key is on a token")) {
        good_secrets_arrive(key);
        bad_blocks(key);
    }
    EVP_PKEY_free(key);
    handshakes(argv[1]);
    return tap_done();
}
