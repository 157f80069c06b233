/* What the two signatures of a mutual handshake cover, by docs/mtls.md: put together again from the messages that the
 * client saw, and verified with the public keys of the certificates. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "pair.h"
#include "tests/lib/tap.h"

#define HEADER 4 /* of a handshake message: its type, and three bytes of length */
#define RANDOM 32

/* Every handshake message, in the order in which the client sent or got it. */
struct transcript {
    unsigned char bytes[1 << 15];
    size_t len;
    const EVP_MD *hash; /* of the cipher suite */
};

static void remember(int written, int version, int type, const void *message, size_t len, SSL *ssl, void *arg)
{
    struct transcript *all = arg;

    (void)written;
    (void)version;
    if (type == SSL3_RT_HANDSHAKE && all->len + len <= sizeof(all->bytes)) {
        memcpy(all->bytes + all->len, message, len);
        all->len += len;
        if (SSL_get_current_cipher(ssl) != NULL) {
            all->hash = SSL_CIPHER_get_handshake_digest(SSL_get_current_cipher(ssl));
        }
    }
}

/* Where the nth message of a type begins (counted from 1); the end of all of them if there is none. */
static size_t find(const struct transcript *all, int type, int nth)
{
    for (size_t at = 0; at + HEADER <= all->len;) {
        const unsigned char *message = all->bytes + at;

        if (message[0] == type && --nth == 0) {
            return at;
        }
        at += HEADER + ((size_t)message[1] << 16 | (size_t)message[2] << 8 | message[3]);
    }
    return all->len;
}

/* Whether the scheme, length and signature at `at` are those of `content`, by the key of the certificate in a file. */
static int verifies(const struct transcript *all, size_t at, const unsigned char *content, size_t len, const char *file)
{
    unsigned scheme = (unsigned)all->bytes[at] << 8 | all->bytes[at + 1];
    size_t sig_len = (size_t)all->bytes[at + 2] << 8 | all->bytes[at + 3];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    BIO *bio = BIO_new_file(file, "r");
    X509 *cert = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
    EVP_PKEY_CTX *how = NULL;
    int good = cert != NULL && (scheme == 0x0403 || scheme == 0x0804) && /* with SHA-256: ECDSA, RSA-PSS */
               EVP_DigestVerifyInit(ctx, &how, EVP_sha256(), NULL, X509_get0_pubkey(cert)) == 1;

    if (good && scheme == 0x0804) {
        good = EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST) == 1;
    }
    good = good && at + 4 + sig_len <= all->len &&
           EVP_DigestVerify(ctx, all->bytes + at + 4, sig_len, content, len) == 1;
    X509_free(cert);
    BIO_free(bio);
    EVP_MD_CTX_free(ctx);
    return good;
}

/* TLS 1.3: 64 spaces, the context with its NUL, the hash of everything before this CertificateVerify. */
static void check_13(const struct transcript *all, const char *who, int nth, const char *cert)
{
    unsigned char content[64 + 34 + EVP_MAX_MD_SIZE];
    size_t at = find(all, SSL3_MT_CERTIFICATE_VERIFY, nth);
    unsigned hash_len = 0;
    size_t len;

    memset(content, ' ', 64);
    snprintf((char *)content + 64, 34, "TLS 1.3, %s CertificateVerify", who);
    if (!ok(at < all->len && all->hash != NULL, "TLS 1.3: the %s sends a CertificateVerify", who) ||
        !ok(EVP_Digest(all->bytes, at, content + 98, &hash_len, all->hash, NULL) == 1, "the transcript has a hash")) {
        return;
    }
    len = 98 + hash_len;
    ok(len == 146 || len == 130, "TLS 1.3: what the %s signs has 130 or 146 bytes (%zu)", who, len);
    ok(verifies(all, at + HEADER, content, len, cert), "TLS 1.3: and is spaces, context and transcript hash");
    content[64 + 9] ^= 's' ^ 'c';
    ok(!verifies(all, at + HEADER, content, len, cert), "TLS 1.3: with the other end's context it is not");
}

/* TLS 1.2: the server signs both randoms and its parameters, the client every message so far. */
static void check_12_server(const struct transcript *all, const char *cert)
{
    size_t at = find(all, SSL3_MT_SERVER_KEY_EXCHANGE, 1);
    size_t server_hello = find(all, SSL3_MT_SERVER_HELLO, 1);
    unsigned char content[2 * RANDOM + 512];
    size_t params_len;

    if (!ok(at < all->len && server_hello < all->len, "TLS 1.2: the server sends a ServerKeyExchange")) {
        return;
    }
    params_len = 4 + (size_t)all->bytes[at + HEADER + 3]; /* type, curve and length, then the point */
    memcpy(content, all->bytes + HEADER + 2, RANDOM);     /* behind the version in both hellos */
    memcpy(content + RANDOM, all->bytes + server_hello + HEADER + 2, RANDOM);
    memcpy(content + 2 * RANDOM, all->bytes + at + HEADER, params_len);
    ok(params_len == 36, "TLS 1.2: the parameters of X25519 have 36 bytes, so that 100 are signed (%zu)", params_len);
    ok(verifies(all, at + HEADER + params_len, content, 2 * RANDOM + params_len, cert),
       "TLS 1.2: and the server signs them behind both randoms");
    content[0] ^= 1;
    ok(!verifies(all, at + HEADER + params_len, content, 2 * RANDOM + params_len, cert),
       "TLS 1.2: another client's random would not do");
}

static void check_12_client(const struct transcript *all, const char *cert)
{
    size_t at = find(all, SSL3_MT_CERTIFICATE_VERIFY, 1);

    if (ok(at < all->len, "TLS 1.2: the client sends a CertificateVerify")) {
        ok(verifies(all, at + HEADER, all->bytes, at, cert), "TLS 1.2: which signs every message before it");
        ok(!verifies(all, at + HEADER, all->bytes, at - 1, cert), "TLS 1.2: every byte of them");
    }
}

static void check(const char *folder, const char *server_type, const char *client_type, int version)
{
    static struct transcript all;
    char root[256], server_cert[256], client_cert[256], server_key[128], client_key[128];
    SSL_CTX *server;
    SSL_CTX *client;

    all = (struct transcript){ 0 };
    snprintf(root, sizeof(root), "%s/root.pem", folder);
    snprintf(server_cert, sizeof(server_cert), "%s/%s-chain.pem", folder, server_type);
    snprintf(client_cert, sizeof(client_cert), "%s/%s-chain.pem", folder, client_type);
    snprintf(server_key, sizeof(server_key), "pkcs11:token=test;object=%s;type=private", server_type);
    snprintf(client_key, sizeof(client_key), "pkcs11:token=test;object=%s;type=private", client_type);
    server = context_with(server_key, server_cert, root, version);
    client = context_with(client_key, client_cert, root, version);
    if (ok(server != NULL && client != NULL, "server %s, client %s: contexts", server_type, client_type)) {
        SSL_CTX_set_verify(server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        SSL_CTX_set_msg_callback(client, remember);
        SSL_CTX_set_msg_callback_arg(client, &all);
        SSL_CTX_set1_groups_list(client, "X25519:P-256"); /* TLS 1.2 allows certificates on these curves only */
        SSL_CTX_set1_sigalgs_list(server, "ECDSA+SHA256:RSA-PSS+SHA256");
        SSL_CTX_set1_sigalgs_list(client, "ECDSA+SHA256:RSA-PSS+SHA256");
        ok(shake(server, client), "server %s, client %s: a mutual handshake", server_type, client_type);
        if (version == TLS1_3_VERSION) {
            check_13(&all, "server", 1, server_cert);
            check_13(&all, "client", 2, client_cert);
        } else {
            check_12_server(&all, server_cert);
            check_12_client(&all, client_cert);
        }
    }
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        return 2;
    }
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        check(argv[1], "ec", "rsa", version);
        check(argv[1], "rsa", "ec", version);
    }
    return tap_done();
}
