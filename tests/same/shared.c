/* Secrets that two sides share, and the public half alone: a key on a token beside the same key in a file.
 *
 *     shared encapsulation|agreement|public|quiet URI FILE
 *     shared elsewhere URI CONFIGURATION            in a library context of its own; the default one has no algorithm */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/store.h>
#include <openssl/x509.h>
#include <string.h>

#include "tests/lib/tap.h"

#define MOST 512

struct secret {
    unsigned char data[MOST];
    size_t len;
};

static EVP_PKEY *load(OSSL_LIB_CTX *context, const char *uri, int expected)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(uri, context, NULL, NULL, NULL, NULL, NULL, NULL);
    EVP_PKEY *key = NULL;

    if (store != NULL) {
        (void)OSSL_STORE_expect(store, expected);
    }
    while (store != NULL && key == NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        if (info != NULL) {
            key = expected == OSSL_STORE_INFO_PUBKEY ? OSSL_STORE_INFO_get1_PUBKEY(info)
                                                     : OSSL_STORE_INFO_get1_PKEY(info);
        }
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return key;
}

static EVP_PKEY *read_file(const char *path)
{
    FILE *in = fopen(path, "r");
    EVP_PKEY *key = in == NULL ? NULL : PEM_read_PrivateKey_ex(in, NULL, NULL, NULL, NULL, "provider=default");

    if (in != NULL) {
        fclose(in);
    }
    return key;
}

/* Whether it went well; an error of one that did is a fault. */
static int is_quiet(int good)
{
    return good && ERR_peek_error() == 0;
}

/* --- RSASVE ------------------------------------------------------------------------------------------------------- */

static int seal(EVP_PKEY *key, struct secret *out, struct secret *secret)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    int good;

    out->len = secret->len = MOST;
    good = ctx != NULL && EVP_PKEY_encapsulate_init(ctx, NULL) > 0 && EVP_PKEY_CTX_set_kem_op(ctx, "RSASVE") > 0 &&
           EVP_PKEY_encapsulate(ctx, out->data, &out->len, secret->data, &secret->len) > 0;
    EVP_PKEY_CTX_free(ctx);
    return good;
}

static int unseal(EVP_PKEY *key, const struct secret *in, struct secret *secret, size_t room)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    int good;

    secret->len = room;
    good = ctx != NULL && EVP_PKEY_decapsulate_init(ctx, NULL) > 0 && EVP_PKEY_CTX_set_kem_op(ctx, "RSASVE") > 0 &&
           EVP_PKEY_decapsulate(ctx, secret->data, &secret->len, in->data, in->len) > 0;
    EVP_PKEY_CTX_free(ctx);
    return good;
}

static int opens(EVP_PKEY *to, EVP_PKEY *by)
{
    static struct secret sealed, one, two;

    return is_quiet(seal(to, &sealed, &one) && unseal(by, &sealed, &two, MOST)) && one.len > 0 && one.len == two.len &&
           memcmp(one.data, two.data, one.len) == 0;
}

static void encapsulation(EVP_PKEY *token, EVP_PKEY *file)
{
    static struct secret sealed, secret;

    ok(opens(file, token), "what is encapsulated for the key in the file, the token opens");
    ok(opens(token, file), "and the other way round");
    ok(opens(token, token), "and by the token's key alone");
    ok(seal(file, &sealed, &secret), "of what is encapsulated");
    memset(&secret, 0xa5, sizeof(secret));
    ok(!unseal(token, &sealed, &secret, sealed.len - 1) && ERR_peek_error() != 0 && secret.data[sealed.len - 1] == 0xa5,
       "nothing is written behind a buffer that is too small");
    ERR_clear_error();
    sealed.len--;
    ok(!unseal(token, &sealed, &secret, MOST) && ERR_peek_error() != 0, "a piece is refused with a reason");
}

/* --- agreement ---------------------------------------------------------------------------------------------------- */

static int agree(EVP_PKEY *key, EVP_PKEY *peer, struct secret *out, size_t room)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    int good;

    memset(out, 0, sizeof(*out));
    out->len = room;
    good = ctx != NULL && EVP_PKEY_derive_init(ctx) > 0 && EVP_PKEY_derive_set_peer(ctx, peer) > 0 &&
           EVP_PKEY_derive(ctx, out->data, &out->len) > 0;
    EVP_PKEY_CTX_free(ctx);
    return good;
}

static EVP_PKEY *peer_of(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    EVP_PKEY *peer = NULL;

    if (ctx != NULL && EVP_PKEY_keygen_init(ctx) > 0) {
        (void)EVP_PKEY_generate(ctx, &peer);
    }
    EVP_PKEY_CTX_free(ctx);
    return peer;
}

static void agreement(EVP_PKEY *token, EVP_PKEY *file)
{
    static struct secret ours, theirs;
    EVP_PKEY *peer = peer_of(file);
    size_t different = 0;
    size_t silent = 0;

    for (size_t room = 0; room < 80; room++) {
        int mine;
        int its = agree(file, peer, &theirs, room);

        ERR_clear_error();
        mine = agree(token, peer, &ours, room);
        silent += !mine && ERR_peek_error() == 0;
        different += mine != its || (mine && (ours.len != theirs.len || memcmp(ours.data, theirs.data, MOST) != 0));
    }
    ok(different == 0, "a buffer of any length gets what it gets of the key in the file (%zu differ)", different);
    ok(silent == 0, "and a refusal has a reason");
    EVP_PKEY_free(peer);
}

/* --- elsewhere ---------------------------------------------------------------------------------------------------- */

/* A ready digest, by PSS. */
static int signs(OSSL_LIB_CTX *context, EVP_PKEY *key, const char *digest, int len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(context, key, NULL);
    EVP_PKEY_CTX *check = EVP_PKEY_CTX_new_from_pkey(context, key, NULL);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string("digest", (char *)digest, 0),
        OSSL_PARAM_construct_utf8_string("pad-mode", (char *)"pss", 0),
        OSSL_PARAM_construct_end(),
    };
    unsigned char ready[64] = "a digest";
    unsigned char sig[MOST];
    size_t sig_len = sizeof(sig);
    int good;

    ERR_clear_error();
    good = EVP_PKEY_sign_init_ex(ctx, params) > 0 && EVP_PKEY_sign(ctx, sig, &sig_len, ready, (size_t)len) > 0 &&
           EVP_PKEY_verify_init_ex(check, params) > 0 &&
           EVP_PKEY_verify(check, sig, sig_len, ready, (size_t)len) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_CTX_free(check);
    return good;
}

static int elsewhere(const char *uri, const char *configuration)
{
    OSSL_PROVIDER *none = OSSL_PROVIDER_load(NULL, "null");
    OSSL_LIB_CTX *context = OSSL_LIB_CTX_new();
    EVP_PKEY *key = OSSL_LIB_CTX_load_config(context, configuration) == 1
                        ? load(context, uri, OSSL_STORE_INFO_PKEY)
                        : NULL;

    ok(key != NULL, "a key is loaded where the default library context has no algorithm");
    ok(key != NULL && signs(context, key, "SHA256", 32), "it signs a ready digest by PSS");
    ok(key != NULL && signs(context, key, "SHA512-256", 32), "and by a digest that the token can't be told");
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(context);
    OSSL_PROVIDER_unload(none);
    return tap_done();
}

/* --- what libcrypto does by itself -------------------------------------------------------------------------------- */

/* It probes here and there, and what it finds is no error as long as all goes well. */
static void quiet(EVP_PKEY *token, EVP_PKEY *file)
{
    unsigned char *der = NULL;
    OSSL_PARAM *params = NULL;
    EVP_PKEY *copy = EVP_PKEY_dup(token);
    EVP_PKEY *public = NULL;
    const unsigned char *at;
    BIO *out = BIO_new(BIO_s_mem());
    X509 *certificate = X509_new();
    int len;

    ok(is_quiet(copy != NULL && EVP_PKEY_eq(copy, token) == 1), "a copy is made and compared without a word");
    len = i2d_PUBKEY(token, &der);
    at = der;
    public = len > 0 ? d2i_PUBKEY(NULL, &at, len) : NULL;
    ok(is_quiet(public != NULL && EVP_PKEY_eq(public, token) == 1 && EVP_PKEY_eq(token, public) == 1),
       "its public half is written, read and compared");
    ok(is_quiet(EVP_PKEY_eq(file, token) == 1), "it is compared with a whole key of another provider");
    ok(is_quiet(EVP_PKEY_todata(token, EVP_PKEY_PUBLIC_KEY, &params) > 0), "its public half is told");
    ok(is_quiet(PEM_write_bio_PUBKEY(out, token) == 1), "and written as PEM");
    ok(is_quiet(EVP_PKEY_print_private(out, token, 0, NULL) == 1), "it is printed");
    ok(EVP_PKEY_print_params(out, token, 0, NULL) == EVP_PKEY_print_params(out, file, 0, NULL) &&
           EVP_PKEY_print_public(out, token, 0, NULL) == 1,
       "so are its parameters, and its public half, as of a file's key");
    ERR_clear_error();
    ok(is_quiet(PEM_write_bio_PrivateKey(out, token, NULL, NULL, 0, NULL, NULL) == 1), "it is written as a key file");
    ok(is_quiet(certificate != NULL && X509_set_pubkey(certificate, token) == 1 &&
                X509_check_private_key(certificate, token) == 1),
       "it fits to a certificate");
    OSSL_PARAM_free(params);
    params = NULL;
    ok(EVP_PKEY_todata(token, EVP_PKEY_KEYPAIR, &params) <= 0 && ERR_get_error() != 0 && ERR_peek_error() == 0,
       "that its private half stays is one error");
    OSSL_PARAM_free(params);
    OPENSSL_free(der);
    X509_free(certificate);
    BIO_free(out);
    EVP_PKEY_free(copy);
    EVP_PKEY_free(public);
}

/* --- a stream that EVP_DigestSign ends ----------------------------------------------------------------------------- */

static int stream_ended(EVP_PKEY *key, EVP_PKEY *file)
{
    static struct secret sig;
    const unsigned char *text = (const unsigned char *)"ab";
    EVP_MD_CTX *sign = EVP_MD_CTX_new();
    EVP_MD_CTX *verify = EVP_MD_CTX_new();
    int good;

    sig.len = MOST;
    good = sign != NULL && verify != NULL && EVP_DigestSignInit(sign, NULL, EVP_sha256(), NULL, key) == 1 &&
           EVP_DigestSignUpdate(sign, text, 1) == 1 && EVP_DigestSign(sign, sig.data, &sig.len, text + 1, 1) == 1 &&
           EVP_DigestVerifyInit(verify, NULL, EVP_sha256(), NULL, file) == 1 &&
           EVP_DigestVerify(verify, sig.data, sig.len, text, 2) == 1;
    EVP_MD_CTX_free(sign);
    EVP_MD_CTX_free(verify);
    return good;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static int beside(int argc, char **argv)
{
    int half = argc > 1 && strcmp(argv[1], "public") == 0;
    EVP_PKEY *token = argc < 4 ? NULL : load(NULL, argv[2], half ? OSSL_STORE_INFO_PUBKEY : OSSL_STORE_INFO_PKEY);
    EVP_PKEY *file = argc < 4 ? NULL : read_file(argv[3]);

    if (ok(is_quiet(token != NULL && file != NULL && EVP_PKEY_eq(token, file) == 1), "%s: the key is the file's",
           argc < 4 ? "" : argv[2])) {
        if (strcmp(argv[1], "encapsulation") == 0) {
            encapsulation(token, file);
            ERR_clear_error();
            ok(is_quiet(stream_ended(file, file)), "EVP_DigestSign ends a stream of the key in the file");
            ok(is_quiet(stream_ended(token, file)), "and one of the token's key: all of it is signed");
        } else if (strcmp(argv[1], "agreement") == 0) {
            agreement(token, file);
        } else if (strcmp(argv[1], "quiet") == 0) {
            quiet(token, file);
        }
    }
    EVP_PKEY_free(token);
    EVP_PKEY_free(file);
    return tap_done();
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "elsewhere") == 0) {
        return elsewhere(argv[2], argv[3]);
    }
    return beside(argc, argv);
}
