#include "life.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/store.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

#include "../tls/pair.h"

#define CLEAR "a secret that was encrypted"
#define MOST_TRUE 8
#define URI(name, type) "pkcs11:token=soft;object=" name ";type=" type

static const char *folder;
static OSSL_LIB_CTX *plain; /* in which nothing is on a token */
static unsigned char cipher[512];
static size_t cipher_len;

/* The keys behind the token. */
static struct truth {
    const char *name;
    EVP_PKEY *key;
} truths[MOST_TRUE] = { { "ec", NULL }, { "rsa", NULL }, { "ed", NULL }, { "x", NULL } };

/* What the application has loaded. */
static EVP_PKEY *ec;
static EVP_PKEY *rsa;
static EVP_PKEY *ed;
static EVP_PKEY *x;

/* --- the truth ---------------------------------------------------------------------------------------------------- */

static EVP_PKEY *true_key(const char *name)
{
    for (size_t i = 0; truths[i].name != NULL; i++) {
        if (strcmp(truths[i].name, name) == 0) {
            return truths[i].key;
        }
    }
    return NULL;
}

static int encrypt(void)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(plain, true_key("rsa"), NULL);
    int good = ctx != NULL && EVP_PKEY_encrypt_init(ctx) == 1 &&
               EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1;

    cipher_len = sizeof(cipher);
    good = good && EVP_PKEY_encrypt(ctx, cipher, &cipher_len, (const unsigned char *)CLEAR, strlen(CLEAR)) == 1;
    EVP_PKEY_CTX_free(ctx);
    return good;
}

int life_files(const char *path)
{
    folder = path;
    plain = OSSL_LIB_CTX_new();
    for (size_t i = 0; truths[i].name != NULL; i++) {
        char name[512];
        BIO *file;

        snprintf(name, sizeof(name), "%s/keys/%s.pem", folder, truths[i].name);
        file = BIO_new_file(name, "r");
        truths[i].key = file == NULL ? NULL : PEM_read_bio_PrivateKey_ex(file, NULL, NULL, NULL, plain, NULL);
        BIO_free(file);
        if (truths[i].key == NULL) {
            return 0;
        }
    }
    return encrypt();
}

/* Is the key's public half, in whatever provider it is, that of one behind the token (of that name, unless NULL)? */
static int is_true(EVP_PKEY *key, const char *name)
{
    unsigned char *mine = NULL;
    int mine_len = i2d_PUBKEY(key, &mine);
    int found = 0;

    for (size_t i = 0; mine_len > 0 && truths[i].name != NULL && !found; i++) {
        unsigned char *theirs = NULL;
        int len = i2d_PUBKEY(truths[i].key, &theirs);

        found = (name == NULL || strcmp(name, truths[i].name) == 0) && len == mine_len &&
                memcmp(mine, theirs, (size_t)len) == 0;
        OPENSSL_free(theirs);
    }
    OPENSSL_free(mine);
    return found;
}

/* --- steps -------------------------------------------------------------------------------------------------------- */

/* Everything on the token, whatever it is. */
static enum outcome list(void)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open("pkcs11:token=soft", NULL, NULL, NULL, NULL);
    enum outcome outcome = LIFE_FAILED;

    while (store != NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        EVP_PKEY *key = info == NULL                                               ? NULL
                        : OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY   ? OSSL_STORE_INFO_get0_PKEY(info)
                        : OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PUBKEY ? OSSL_STORE_INFO_get0_PUBKEY(info)
                                                                                   : NULL;

        if (key != NULL && outcome != LIFE_WRONG) {
            outcome = is_true(key, NULL) ? LIFE_RIGHT : LIFE_WRONG;
        }
        OSSL_STORE_INFO_free(info);
        if (info == NULL && OSSL_STORE_error(store)) {
            break;
        }
    }
    OSSL_STORE_close(store);
    return outcome;
}

static enum outcome keep(EVP_PKEY **place, EVP_PKEY *key, const char *name)
{
    EVP_PKEY_free(*place);
    *place = key;
    return key == NULL ? LIFE_FAILED : is_true(key, name) ? LIFE_RIGHT : LIFE_WRONG;
}

static enum outcome load_ec(void)
{
    return keep(&ec, key_by_name(URI("ec", "private")), "ec");
}

static enum outcome load_rsa(void) /* by its key file, which has its public half */
{
    char path[512];

    snprintf(path, sizeof(path), "%s/rsa.key", folder);
    return keep(&rsa, key_by_name(path), "rsa");
}

static enum outcome load_ed(void)
{
    return keep(&ed, key_by_name(URI("ed", "private")), "ed");
}

static enum outcome load_x(void)
{
    return keep(&x, key_by_name(URI("x", "private")), "x");
}

static enum outcome load_public(void)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open(URI("rsa", "public"), NULL, NULL, NULL, NULL);
    OSSL_STORE_INFO *info = store == NULL ? NULL : OSSL_STORE_load(store);
    EVP_PKEY *key = info == NULL ? NULL : OSSL_STORE_INFO_get0_PUBKEY(info);
    enum outcome outcome = key == NULL ? LIFE_FAILED : is_true(key, "rsa") ? LIFE_RIGHT : LIFE_WRONG;

    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    return outcome;
}

static EVP_MD_CTX *digest_begin(EVP_PKEY *key, OSSL_LIB_CTX *where, const char *digest, int pss)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *params;
    int good = ctx != NULL &&
               (where == plain ? EVP_DigestVerifyInit_ex(ctx, &params, digest, where, NULL, key, NULL)
                               : EVP_DigestSignInit_ex(ctx, &params, digest, where, NULL, key, NULL)) == 1;

    if (!good || (pss && EVP_PKEY_CTX_set_rsa_padding(params, RSA_PKCS1_PSS_PADDING) != 1)) {
        EVP_MD_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static enum outcome sign(EVP_PKEY *key, const char *name, const char *digest, int pss)
{
    static const unsigned char message[] = "what is signed";
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = key == NULL ? NULL : digest_begin(key, NULL, digest, pss);
    int good = ctx != NULL && EVP_DigestSign(ctx, sig, &len, message, sizeof(message)) == 1;

    EVP_MD_CTX_free(ctx);
    if (!good) {
        return LIFE_FAILED;
    }
    ctx = digest_begin(true_key(name), plain, digest, pss);
    good = ctx != NULL && EVP_DigestVerify(ctx, sig, len, message, sizeof(message)) == 1;
    EVP_MD_CTX_free(ctx);
    return good ? LIFE_RIGHT : LIFE_WRONG;
}

static enum outcome sign_ec(void)
{
    return ec == NULL && load_ec() == LIFE_FAILED ? LIFE_FAILED : sign(ec, "ec", "SHA256", 0);
}

static enum outcome sign_rsa(void)
{
    return rsa == NULL && load_rsa() == LIFE_FAILED ? LIFE_FAILED : sign(rsa, "rsa", "SHA256", 0);
}

static enum outcome sign_pss(void)
{
    return rsa == NULL && load_rsa() == LIFE_FAILED ? LIFE_FAILED : sign(rsa, "rsa", "SHA384", 1);
}

static enum outcome sign_ed(void)
{
    return ed == NULL && load_ed() == LIFE_FAILED ? LIFE_FAILED : sign(ed, "ed", NULL, 0);
}

static enum outcome decrypt(void)
{
    unsigned char clear[512];
    size_t len = sizeof(clear);
    EVP_PKEY_CTX *ctx = rsa == NULL && load_rsa() == LIFE_FAILED ? NULL : EVP_PKEY_CTX_new_from_pkey(NULL, rsa, NULL);
    int good = ctx != NULL && EVP_PKEY_decrypt_init(ctx) == 1 &&
               EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
               EVP_PKEY_decrypt(ctx, clear, &len, cipher, cipher_len) == 1;

    EVP_PKEY_CTX_free(ctx);
    if (!good) {
        return LIFE_FAILED;
    }
    return len == strlen(CLEAR) && memcmp(clear, CLEAR, len) == 0 ? LIFE_RIGHT : LIFE_WRONG;
}

static int secret_of(EVP_PKEY *key, EVP_PKEY *peer, OSSL_LIB_CTX *where, unsigned char *out, size_t *len)
{
    EVP_PKEY_CTX *ctx = key == NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(where, key, NULL);
    int good = ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
               EVP_PKEY_derive(ctx, out, len) == 1;

    EVP_PKEY_CTX_free(ctx);
    return good;
}

/* With the key itself as the other side, whose public half the application has in software. */
static enum outcome agree(EVP_PKEY *key, const char *name)
{
    unsigned char mine[64];
    unsigned char theirs[64];
    unsigned char *der = NULL;
    const unsigned char *at;
    size_t len = sizeof(mine);
    size_t true_len = sizeof(theirs);
    EVP_PKEY *truth = true_key(name);
    int der_len = i2d_PUBKEY(truth, &der);
    EVP_PKEY *peer;
    int good;

    at = der;
    peer = d2i_PUBKEY(NULL, &at, der_len);
    OPENSSL_free(der);
    good = peer != NULL && secret_of(key, peer, NULL, mine, &len);
    EVP_PKEY_free(peer);
    if (!good) {
        return LIFE_FAILED;
    }
    return secret_of(truth, truth, plain, theirs, &true_len) && len == true_len && memcmp(mine, theirs, len) == 0
               ? LIFE_RIGHT
               : LIFE_WRONG;
}

static enum outcome agree_ec(void)
{
    return ec == NULL && load_ec() == LIFE_FAILED ? LIFE_FAILED : agree(ec, "ec");
}

static enum outcome agree_x(void)
{
    return x == NULL && load_x() == LIFE_FAILED ? LIFE_FAILED : agree(x, "x");
}

static enum outcome shake_hands(const char *key, const char *name, int version)
{
    char path[512];
    char chain[512];
    SSL_CTX *server;
    SSL_CTX *client;
    int good;

    snprintf(chain, sizeof(chain), "%s/%s.crt", folder, name);
    snprintf(path, sizeof(path), "%s/%s", folder, key);
    server = context_with(strncmp(key, "pkcs11:", 7) == 0 ? key : path, chain, chain, version);
    client = context_with(NULL, NULL, chain, version);
    good = server != NULL && client != NULL;
    if (good) {
        SSL_CTX_set_verify(server, SSL_VERIFY_NONE, NULL);
        good = shake(server, client);
    }
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return good ? LIFE_RIGHT : LIFE_FAILED;
}

static enum outcome tls_1_3(void)
{
    return shake_hands(URI("ec", "private"), "ec", TLS1_3_VERSION);
}

static enum outcome tls_1_2(void)
{
    return shake_hands("rsa.key", "rsa", TLS1_2_VERSION);
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static const struct step {
    const char *name;
    enum outcome (*run)(void);
    enum gives gives;
} steps[] = {
    { "loading the EC key", load_ec, GIVES_KEY },
    { "signing with the EC key", sign_ec, GIVES_SIGNATURE },
    { "listing the token", list, GIVES_KEY },
    { "loading the RSA key by its key file", load_rsa, GIVES_KEY },
    { "signing with the RSA key", sign_rsa, GIVES_SIGNATURE },
    { "decrypting with the RSA key", decrypt, GIVES_PROOF },
    { "signing by PSS", sign_pss, GIVES_SIGNATURE },
    { "loading the Ed25519 key", load_ed, GIVES_KEY },
    { "signing with the Ed25519 key", sign_ed, GIVES_SIGNATURE },
    { "loading the X25519 key", load_x, GIVES_KEY },
    { "agreeing by X25519", agree_x, GIVES_SECRET },
    { "agreeing by ECDH", agree_ec, GIVES_SECRET },
    { "loading the public RSA key", load_public, GIVES_KEY },
    { "a TLS 1.3 handshake", tls_1_3, GIVES_PROOF },
    { "a TLS 1.2 handshake", tls_1_2, GIVES_PROOF },
    { "signing with the EC key again", sign_ec, GIVES_SIGNATURE },
};

const size_t life_num_steps = sizeof(steps) / sizeof(steps[0]);

const char *life_step_name(size_t step)
{
    return steps[step].name;
}

enum gives life_step_gives(size_t step)
{
    return steps[step].gives;
}

static void queue_read(char *text, size_t room)
{
    const char *data;
    int flags;
    size_t len = 0;

    text[0] = '\0';
    while (ERR_get_error_all(NULL, NULL, NULL, &data, &flags) != 0) {
        if (len < room) {
            len += (size_t)snprintf(text + len, room - len, "%s; ", (flags & ERR_TXT_STRING) != 0 ? data : "an error");
        }
    }
}

enum outcome life_step(size_t step, char *text, size_t room)
{
    enum outcome outcome;

    ERR_clear_error();
    outcome = steps[step].run();
    queue_read(text, room);
    return outcome == LIFE_FAILED && text[0] == '\0' ? LIFE_MUTE : outcome;
}

void life_end(void)
{
    EVP_PKEY_free(ec);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ed);
    EVP_PKEY_free(x);
    ec = rsa = ed = x = NULL;
}
