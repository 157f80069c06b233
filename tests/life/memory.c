/* Memory that runs out: each allocation that the provider makes, in everything that it is asked for, fails once; and
 * then that one and all after it. Nothing may crash, every failure has a reason, and the next try succeeds.
 *
 *     memory FRAIL-MODULE FOLDER CONFIGURATION        FOLDER as tests/tls/setup.sh leaves it */
#include <dlfcn.h>
#include <openssl/conf.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/tap.h"
#include "../tls/pair.h"
#include "frail.h"
#include "life.h"

#define MOST 5000 /* allocations in one step: more is a loop */

static frail_arm_fn *arm;
static frail_disarm_fn *disarm;
static const char *configuration;
static char paths[8][300];

enum { EC_FILE, RSA_FILE, EC_CHAIN, ROOT, SOFT_FILE, NUM_PATHS };

/* What is looked at is the signature, not whether there was memory for verifying it. */
static void memory_is_back(void)
{
    const char *what = NULL;

    (void)disarm(&what);
}

static enum outcome use(const char *name)
{
    EVP_PKEY *key = key_by_name(name);
    enum outcome outcome = key == NULL ? REFUSED : sign_with(key);

    EVP_PKEY_free(key);
    return outcome;
}

static enum outcome ec_by_uri(void)
{
    return use("pkcs11:token=test;object=ec;type=private");
}

static enum outcome rsa_by_uri(void)
{
    return use("pkcs11:token=test;object=rsa;type=private");
}

static enum outcome ec_by_file(void)
{
    return use(paths[EC_FILE]);
}

static enum outcome rsa_by_file(void)
{
    return use(paths[RSA_FILE]);
}

static enum outcome soft(void)
{
    return use(paths[SOFT_FILE]);
}

static enum outcome decryption(void)
{
    static const unsigned char text[] = "a secret";
    EVP_PKEY *key = key_by_name(paths[RSA_FILE]);
    EVP_PKEY_CTX *to = key == NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    EVP_PKEY_CTX *from = key == NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    unsigned char cipher[512];
    unsigned char back[512];
    size_t cipher_len = sizeof(cipher);
    size_t back_len = sizeof(back);
    enum outcome outcome = REFUSED;

    if (to != NULL && from != NULL && EVP_PKEY_encrypt_init(to) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(to, RSA_PKCS1_OAEP_PADDING) == 1 &&
        EVP_PKEY_encrypt(to, cipher, &cipher_len, text, sizeof(text)) == 1 && EVP_PKEY_decrypt_init(from) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(from, RSA_PKCS1_OAEP_PADDING) == 1 &&
        EVP_PKEY_decrypt(from, back, &back_len, cipher, cipher_len) == 1) {
        outcome = back_len == sizeof(text) && memcmp(back, text, sizeof(text)) == 0 ? SIGNED : WRONG;
    }
    EVP_PKEY_CTX_free(to);
    EVP_PKEY_CTX_free(from);
    EVP_PKEY_free(key);
    return outcome;
}

static enum outcome handshake(void)
{
    SSL_CTX *server = context_with(paths[EC_FILE], paths[EC_CHAIN], paths[ROOT], TLS1_3_VERSION);
    SSL_CTX *client = /* reading a chain clears the queue */
        server == NULL ? NULL : context_with(paths[EC_FILE], paths[EC_CHAIN], paths[ROOT], TLS1_3_VERSION);
    enum outcome outcome = server != NULL && client != NULL && shake(server, client) ? SIGNED : REFUSED;

    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return outcome;
}

static enum outcome written(void)
{
    EVP_PKEY *key = key_by_name(paths[EC_FILE]);
    BIO *out = BIO_new(BIO_s_mem());
    enum outcome outcome = key != NULL && PEM_write_bio_PUBKEY(out, key) == 1 &&
                                   PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1
                               ? SIGNED
                               : REFUSED;

    BIO_free(out);
    EVP_PKEY_free(key);
    return outcome;
}

/* A library context of its own, from its beginning to its end: activation is in it. */
static enum outcome context(void)
{
    OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
    BIO *in = BIO_new_file(paths[EC_FILE], "r");
    EVP_PKEY *key = NULL;
    enum outcome outcome;

    if (ctx != NULL && OSSL_LIB_CTX_load_config(ctx, configuration) == 1) {
        key = PEM_read_bio_PrivateKey_ex(in, NULL, NULL, NULL, ctx, NULL);
    }
    outcome = key == NULL ? REFUSED : sign_with(key);
    EVP_PKEY_free(key);
    BIO_free(in);
    OSSL_LIB_CTX_free(ctx);
    return outcome;
}

struct sweep {
    long cases;
    long failures;
    long silent; /* failures without a reason */
    long wrong;
    long dead; /* after which the next try failed */
};

static void one_case(struct sweep *sweep, enum outcome (*step)(void), enum outcome outcome, long n, const char *what)
{
    char why[1024];

    sweep->cases++;
    sweep->wrong += outcome == WRONG;
    if (outcome == REFUSED) {
        sweep->failures++;
        if (ERR_peek_error() == 0) {
            sweep->silent++;
            fprintf(stderr, "allocation %ld (%s): an error without a reason\n", n, what);
        }
    }
    ERR_clear_error();
    if (step() != SIGNED) {
        sweep->dead++;
        fprintf(stderr, "allocation %ld (%s): the next try fails: %s\n", n, what, first_reason(why, sizeof(why)));
        ERR_clear_error();
    }
}

static void swept(const char *name, enum outcome (*step)(void), int on)
{
    struct sweep sweep = { 0 };
    unsigned before;
    long fired = 1;
    long n;

    ok(step() == SIGNED, "%s works", name);
    before = descriptors_open();
    for (n = 1; fired > 0 && n < MOST; n++) {
        const char *what = NULL;
        enum outcome outcome;

        arm(n, on);
        outcome = step();
        fired = disarm(&what);
        one_case(&sweep, step, outcome, n, what);
    }
    printf("# %s: %ld allocations, %ld failures\n", name, sweep.cases - 1, sweep.failures);
    ok(n < MOST && sweep.cases > 5, "%s, %s: each of %ld allocations fails", name, on ? "and all after it" : "alone",
       sweep.cases - 1);
    ok(sweep.wrong == 0, "%s: never a wrong answer", name);
    ok(sweep.silent == 0, "%s: never an error without a reason (%ld of %ld)", name, sweep.silent, sweep.failures);
    ok(sweep.dead == 0, "%s: the next try succeeds (%ld did not)", name, sweep.dead);
    ok(descriptors_open() == before, "%s: no descriptor is left behind", name);
}

static int symbols(const char *module)
{
    void *library = dlopen(module, RTLD_NOW);
    void *one = library == NULL ? NULL : dlsym(library, "frail_arm");
    void *other = library == NULL ? NULL : dlsym(library, "frail_disarm");

    if (one == NULL || other == NULL) {
        fprintf(stderr, "memory: %s: %s\n", module, dlerror());
        return 0;
    }
    memcpy(&arm, &one, sizeof(one));
    memcpy(&disarm, &other, sizeof(other));
    return 1;
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "ec.key", "rsa.key", "ec-chain.pem", "root.pem", "ec-soft.key" };
    static const struct {
        const char *name;
        enum outcome (*step)(void);
    } steps[] = {
        { "an EC key by URI", ec_by_uri },
        { "an RSA key by URI", rsa_by_uri },
        { "an EC key by file", ec_by_file },
        { "an RSA key by file", rsa_by_file },
        { "a decryption", decryption },
        { "a handshake", handshake },
        { "a key that is written", written },
        { "a key in software", soft },
        { "a context, from activation", context },
    };

    if (argc != 4 || !symbols(argv[1])) {
        return 2;
    }
    for (int i = 0; i < NUM_PATHS; i++) {
        snprintf(paths[i], sizeof(paths[i]), "%s/%s", argv[2], names[i]);
    }
    configuration = argv[3];
    before_verifying = memory_is_back;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        swept(steps[i].name, steps[i].step, 0);
        swept(steps[i].name, steps[i].step, 1);
    }
    return tap_done();
}
