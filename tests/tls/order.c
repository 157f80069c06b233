/* What an order of providers, or a key on a token, must not change for the rest of the process:
 *
 *     order FOLDER STEP...
 *
 *     software    everything that libcrypto does with keys of its own
 *     ec, rsa     a key on the token is loaded, by URI and by key file, and used
 *     encrypted   a software key is written with a password
 *     instances   two of ours, "signet" and "signet2", each with a token of its own ("test" and "other")
 *     alone       nobody has keys but us: one on a token can't be loaded, and the error says what is missing
 *     alone-files likewise by key file, for which somebody must read PEM
 *
 * The steps are done in the order given. FOLDER is that of tests/tls/setup.sh. */
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <string.h>

#include "../lib/tap.h"
#include "keys.h"
#include "pair.h"

static const char *folder;

static char *path(char out[300], const char *name, const char *after)
{
    snprintf(out, 300, "%s/%s%s", folder, name, after);
    return out;
}

static char *uri(char out[300], const char *token, const char *type)
{
    snprintf(out, 300, "pkcs11:token=%s;object=%s;type=private", token, type);
    return out;
}

/* --- software ----------------------------------------------------------------------------------------------------- */

/* Our operations have names of their own, so that an operation by its usual name is always somebody else's. */
static void fetches_are_answered(void)
{
    EVP_KEYMGMT *ec = EVP_KEYMGMT_fetch(NULL, "EC", NULL);
    EVP_KEYMGMT *rsa = EVP_KEYMGMT_fetch(NULL, "RSA", NULL);
    EVP_SIGNATURE *ecdsa = EVP_SIGNATURE_fetch(NULL, "ECDSA", NULL);
    EVP_SIGNATURE *rsa_sign = EVP_SIGNATURE_fetch(NULL, "RSA", NULL);
    EVP_ASYM_CIPHER *rsa_cipher = EVP_ASYM_CIPHER_fetch(NULL, "RSA", NULL);
    EVP_KEYEXCH *ecdh = EVP_KEYEXCH_fetch(NULL, "ECDH", NULL);
    EVP_MD *md = EVP_MD_fetch(NULL, "SHA2-256", NULL);

    ok(ec != NULL && rsa != NULL, "key management is fetched");
    ok(ecdsa != NULL && strcmp(OSSL_PROVIDER_get0_name(EVP_SIGNATURE_get0_provider(ecdsa)), "default") == 0 &&
           rsa_sign != NULL && strcmp(OSSL_PROVIDER_get0_name(EVP_SIGNATURE_get0_provider(rsa_sign)), "default") == 0,
       "signatures are fetched from default");
    ok(rsa_cipher != NULL && strcmp(OSSL_PROVIDER_get0_name(EVP_ASYM_CIPHER_get0_provider(rsa_cipher)), "default") == 0,
       "so is encryption");
    ok(ecdh != NULL && strcmp(OSSL_PROVIDER_get0_name(EVP_KEYEXCH_get0_provider(ecdh)), "default") == 0,
       "so is key exchange");
    ok(md != NULL && strcmp(OSSL_PROVIDER_get0_name(EVP_MD_get0_provider(md)), "default") == 0, "so are digests");
    EVP_KEYMGMT_free(ec);
    EVP_KEYMGMT_free(rsa);
    EVP_SIGNATURE_free(ecdsa);
    EVP_SIGNATURE_free(rsa_sign);
    EVP_ASYM_CIPHER_free(rsa_cipher);
    EVP_KEYEXCH_free(ecdh);
    EVP_MD_free(md);
}

static int agrees(EVP_PKEY *key, EVP_PKEY *peer)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    unsigned char secret[66];
    size_t len = sizeof(secret);
    int good = ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
               EVP_PKEY_derive(ctx, secret, &len) == 1;

    EVP_PKEY_CTX_free(ctx);
    return good;
}

/* Parameters, and from them a key. */
static int generates_by_parameters(void)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *params = NULL;
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *by = NULL;
    int good = ctx != NULL && EVP_PKEY_paramgen_init(ctx) == 1 && EVP_PKEY_CTX_set_group_name(ctx, "P-384") == 1 &&
               EVP_PKEY_paramgen(ctx, &params) == 1 && (by = EVP_PKEY_CTX_new_from_pkey(NULL, params, NULL)) != NULL &&
               EVP_PKEY_keygen_init(by) == 1 && EVP_PKEY_keygen(by, &key) == 1 && EVP_PKEY_get_bits(key) == 384;

    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_CTX_free(by);
    EVP_PKEY_free(params);
    EVP_PKEY_free(key);
    return good;
}

/* Out as data and in again, with the private half or without. */
static int goes_through_data(EVP_PKEY *key, const char *name, int selection)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, name, NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *back = NULL;
    int good = EVP_PKEY_todata(key, selection, &params) == 1 && EVP_PKEY_fromdata_init(ctx) == 1 &&
               EVP_PKEY_fromdata(ctx, &back, selection, params) == 1 && EVP_PKEY_eq(key, back) == 1 &&
               (selection == EVP_PKEY_PUBLIC_KEY || signs(back, NULL));

    OSSL_PARAM_free(params);
    EVP_PKEY_free(back);
    EVP_PKEY_CTX_free(ctx);
    return good;
}

static int goes_through_der(EVP_PKEY *key)
{
    unsigned char *der = NULL;
    int len = i2d_PrivateKey(key, &der);
    const unsigned char *at = der;
    EVP_PKEY *back = len > 0 ? d2i_AutoPrivateKey(NULL, &at, len) : NULL;
    int good = back != NULL && EVP_PKEY_eq(back, key) == 1 && signs(back, NULL);

    OPENSSL_free(der);
    EVP_PKEY_free(back);
    return good;
}

static int chain_verifies(const char *name)
{
    char file[300];
    BIO *in = BIO_new_file(path(file, name, "-chain.pem"), "r");
    X509 *leaf = PEM_read_bio_X509(in, NULL, NULL, NULL);
    X509 *issuer = PEM_read_bio_X509(in, NULL, NULL, NULL);
    int good = leaf != NULL && issuer != NULL && X509_verify(leaf, X509_get0_pubkey(issuer)) == 1;

    X509_free(leaf);
    X509_free(issuer);
    BIO_free(in);
    return good;
}

static void key_works(EVP_PKEY *key, const char *name)
{
    EVP_PKEY *dup;

    if (!ok(key != NULL, "a key is generated (%s)", name)) {
        return;
    }
    dup = EVP_PKEY_dup(key);
    ok(signs(key, NULL), "it signs (%s)", name);
    ok(dup != NULL && EVP_PKEY_eq(key, dup) == 1 && signs(dup, NULL), "so does its duplicate (%s)", name);
    ok(goes_through_der(key), "it is written and read (%s)", name);
    ok(goes_through_data(key, name, EVP_PKEY_PUBLIC_KEY), "its public half goes through data (%s)", name);
    ok(goes_through_data(key, name, EVP_PKEY_KEYPAIR), "the whole does (%s)", name);
    EVP_PKEY_free(dup);
}

static void software(void)
{
    EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    EVP_PKEY *peer = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    EVP_PKEY *rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);

    key_works(ec, "EC");
    key_works(rsa, "RSA");
    ok(ec != NULL && peer != NULL && agrees(ec, peer), "two keys agree on a secret");
    ok(generates_by_parameters(), "a key is generated from parameters");
    ok(chain_verifies("ec") && chain_verifies("rsa"), "certificates verify");
    fetches_are_answered();
    EVP_PKEY_free(ec);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(rsa);
}

/* A software key's encryption on disk stays what was asked for, whoever's key management it lives in. */
static void encrypted(void)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    BIO *out = BIO_new(BIO_s_mem());
    char *text;

    ok(PEM_write_bio_PrivateKey(out, key, EVP_aes_256_cbc(), (const unsigned char *)"pw", 2, NULL, NULL) == 1 &&
           BIO_get_mem_data(out, &text) > 32 && strncmp(text, "-----BEGIN ENCRYPTED PRIVATE KEY", 32) == 0,
       "a software key that is written with a password is encrypted");
    BIO_free(out);
    EVP_PKEY_free(key);
}

/* --- on the token ------------------------------------------------------------------------------------------------- */

/* A context in the middle of a message goes on twice. */
static int context_is_duplicated(EVP_PKEY *key)
{
    EVP_MD_CTX *one = EVP_MD_CTX_new();
    EVP_MD_CTX *two = EVP_MD_CTX_new();
    EVP_MD_CTX *verify = EVP_MD_CTX_new();
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    int good = EVP_DigestSignInit_ex(one, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
               EVP_DigestSignUpdate(one, "te", 2) == 1 && EVP_MD_CTX_copy_ex(two, one) == 1 &&
               EVP_DigestSignUpdate(one, "a", 1) == 1 && EVP_DigestSignUpdate(two, "xt", 2) == 1 &&
               EVP_DigestSignFinal(two, sig, &len) == 1 &&
               EVP_DigestVerifyInit_ex(verify, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
               EVP_DigestVerify(verify, sig, len, (const unsigned char *)"text", 4) == 1;

    EVP_MD_CTX_free(one);
    EVP_MD_CTX_free(two);
    EVP_MD_CTX_free(verify);
    return good;
}

static int private_half_comes_out(EVP_PKEY *key)
{
    OSSL_PARAM *params = NULL;
    int out = EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &params) == 1;

    OSSL_PARAM_free(params);
    return out;
}

static int public_half_comes_out(EVP_PKEY *key)
{
    BIO *out = BIO_new(BIO_s_mem());
    EVP_PKEY *public = PEM_write_bio_PUBKEY(out, key) == 1 ? PEM_read_bio_PUBKEY(out, NULL, NULL, NULL) : NULL;
    int good = public != NULL && EVP_PKEY_eq(key, public) == 1;

    EVP_PKEY_free(public);
    BIO_free(out);
    return good;
}

static void on_token(const char *type)
{
    char name[300];
    EVP_PKEY *by_uri = key_by_name(uri(name, "test", type));
    EVP_PKEY *by_file = key_by_name(path(name, type, ".key"));
    EVP_PKEY *dup = by_uri == NULL ? NULL : EVP_PKEY_dup(by_uri);

    ok(is_on_token(by_file) && signs(by_file, NULL), "%s by key file signs", type);
    if (ok(is_on_token(by_uri) && signs(by_uri, NULL), "%s by URI signs", type)) {
        ok(by_file != NULL && EVP_PKEY_eq(by_uri, by_file) == 1, "%s: both are the same", type);
        ok(is_on_token(dup) && signs(dup, NULL), "%s: a duplicate signs", type);
        ok(context_is_duplicated(by_uri), "%s: a context is duplicated in the middle of a message", type);
        ok(!private_half_comes_out(by_uri), "%s: the private half does not come out", type);
        ok(public_half_comes_out(by_uri), "%s: the public half does", type);
    }
    EVP_PKEY_free(by_uri);
    EVP_PKEY_free(by_file);
    EVP_PKEY_free(dup);
}

static void ec(void)
{
    on_token("ec");
}

static void rsa(void)
{
    on_token("rsa");
}

/* --- two of ours -------------------------------------------------------------------------------------------------- */

static const struct instance {
    const char *name;
    const char *query;
    const char *token;
    const char *chain_after;
} both[] = {
    { "signet", "provider=signet", "test", "-chain.pem" },
    { "signet2", "provider=signet2", "other", "-other-chain.pem" },
};

static void instance_works(const struct instance *instance, const char *type, EVP_PKEY *key)
{
    const char *name = strcmp(type, "ec") == 0 ? "EC" : "RSA";
    EVP_PKEY *made = strcmp(type, "ec") == 0 ? EVP_PKEY_Q_keygen(NULL, instance->query, "EC", "P-256")
                                             : EVP_PKEY_Q_keygen(NULL, instance->query, "RSA", (size_t)2048);

    ok(is_on_token(key) && is_from(key, instance->name) && signs(key, NULL) && signs(key, instance->query),
       "%s: its %s key on its own token signs", instance->name, type);
    ok(is_from(made, instance->name) && !is_on_token(made) && signs(made, NULL) && signs(made, instance->query),
       "%s: asked for a software key (%s), it makes one that signs", instance->name, type);
    ok(made != NULL && goes_through_data(made, name, EVP_PKEY_KEYPAIR), "%s: which goes through data (%s)",
       instance->name, type);
    EVP_PKEY_free(made);
}

static SSL_CTX *context_of(const struct instance *instance, const char *type, EVP_PKEY *key, int version)
{
    char root[300];
    char chain[300];
    SSL_CTX *ctx = context_with(NULL, NULL, path(root, "root", ".pem"), version);

    if (ctx == NULL || SSL_CTX_use_certificate_chain_file(ctx, path(chain, type, instance->chain_after)) != 1 ||
        SSL_CTX_use_PrivateKey(ctx, key) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    ask_clients(ctx, 1);
    return ctx;
}

static void instances_shake(const char *type, EVP_PKEY *const keys[2], int server, int version)
{
    SSL_CTX *at_server = context_of(&both[server], type, keys[server], version);
    SSL_CTX *at_client = context_of(&both[!server], type, keys[!server], version);

    ok(at_server != NULL && at_client != NULL && shake(at_server, at_client, NULL), "server %s, client %s: %s, TLS %s",
       both[server].name, both[!server].name, type, version == TLS1_3_VERSION ? "1.3" : "1.2");
    SSL_CTX_free(at_server);
    SSL_CTX_free(at_client);
}

static void instances_with(const char *type)
{
    char name[300];
    EVP_PKEY *keys[2];

    for (size_t i = 0; i < 2; i++) {
        keys[i] = key_of_store(uri(name, both[i].token, type), both[i].query);
        instance_works(&both[i], type, keys[i]);
    }
    if (ok(keys[0] != NULL && keys[1] != NULL && EVP_PKEY_eq(keys[0], keys[1]) != 1, "two tokens, two %s keys", type)) {
        for (int server = 0; server < 2; server++) {
            instances_shake(type, keys, server, TLS1_2_VERSION);
            instances_shake(type, keys, server, TLS1_3_VERSION);
        }
    }
    EVP_PKEY_free(keys[0]);
    EVP_PKEY_free(keys[1]);
}

static void instances(void)
{
    instances_with("ec");
    instances_with("rsa");
}

/* --- alone -------------------------------------------------------------------------------------------------------- */

/* Whether a message on the queue has the text; empties it. */
static int queue_says(const char *text)
{
    const char *data;
    int flags;
    int found = 0;

    while (ERR_get_error_all(NULL, NULL, NULL, &data, &flags) != 0) {
        found = found || ((flags & ERR_TXT_STRING) != 0 && strstr(data, text) != NULL);
    }
    return found;
}

static void is_refused(const char *name, const char *what)
{
    EVP_PKEY *key = key_by_name(name);
    int refused = key == NULL;
    int told = queue_says("default = default_sect");

    ok(refused, "%s can't be loaded", what);
    ok(told, "%s: the error says which provider to activate", what);
    EVP_PKEY_free(key);
}

static void alone(void)
{
    char name[300];

    is_refused(uri(name, "test", "ec"), "an EC key by URI");
    is_refused(uri(name, "test", "rsa"), "an RSA key by URI");
}

static void alone_files(void)
{
    char name[300];

    is_refused(path(name, "ec", ".key"), "an EC key by key file");
    is_refused(path(name, "rsa", ".key"), "an RSA key by key file");
}

/* ------------------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    void (*run)(void);
} steps[] = {
    { "software", software },
    { "ec", ec },
    { "rsa", rsa },
    { "encrypted", encrypted },
    { "instances", instances },
    { "alone", alone },
    { "alone-files", alone_files },
};

static int run(const char *name)
{
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (strcmp(steps[i].name, name) == 0) {
            steps[i].run();
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        return 2;
    }
    folder = argv[1];
    for (int i = 2; i < argc; i++) {
        if (!run(argv[i])) {
            return 2;
        }
    }
    return tap_done();
}
