/* The whole provider on a module whose answers are driven by bytes (tests/hostile/hostile.h has their meaning). An
 * input is a byte that says what an application does, and the module's program. Each input has a process of its own:
 * what a module once was is remembered as long as a process lives. */
#include "fuzz.h"

#include <dlfcn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/store.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apart.h"
#include "provider.h"
#include "tests/hostile/hostile.h"

enum act { ACT_LIST = 1, ACT_RSA = 2, ACT_PSS = 4, ACT_EC = 8, ACT_DECRYPT = 16, ACT_DERIVE = 32, ACT_AGAIN = 64 };

static OSSL_LIB_CTX *software; /* without Signet: makes the token's keys */
static EVP_PKEY *ec_key;

/* --- the token's keys, once --------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/signet-fuzz-XXXXXX";

static void folder_end(void)
{
    static pid_t made_by;
    char path[64];

    if (made_by == 0) {
        made_by = getpid();
        return;
    }
    if (made_by == getpid()) {
        snprintf(path, sizeof(path), "%s/rsa.pem", folder);
        unlink(path);
        snprintf(path, sizeof(path), "%s/ec.pem", folder);
        unlink(path);
        rmdir(folder);
    }
}

static void key_file(const char *name, EVP_PKEY *key)
{
    char path[64];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s.pem", folder, name);
    file = fopen(path, "w");
    HOLDS(file != NULL && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1);
    fclose(file);
}

static void start(void)
{
    EVP_PKEY *rsa;

    if (software != NULL) {
        return;
    }
    software = OSSL_LIB_CTX_new();
    HOLDS(software != NULL && mkdtemp(folder) != NULL);
    folder_end();
    atexit(folder_end);
    rsa = EVP_PKEY_Q_keygen(software, NULL, "RSA", (size_t)1024);
    ec_key = EVP_PKEY_Q_keygen(software, NULL, "EC", "P-256");
    HOLDS(rsa != NULL && ec_key != NULL);
    key_file("rsa", rsa);
    key_file("ec", ec_key);
    EVP_PKEY_free(rsa);
    HOLDS(setenv("SIGNET_TEST_KEYS", folder, 1) == 0);
    HOLDS(dlopen(HOSTILE_FILE, RTLD_NOW | RTLD_LOCAL) != NULL);
}

/* --- what an application does --------------------------------------------------------------------------------------
 */

static void key_end(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

static void ctx_end(EVP_PKEY_CTX **ctx)
{
    EVP_PKEY_CTX_free(*ctx);
}

static void md_ctx_end(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

/* The first key of what the URI names; all of it is looked through. */
static EVP_PKEY *load(OSSL_LIB_CTX *libctx, const char *uri)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(uri, libctx, NULL, NULL, NULL, NULL, NULL, NULL);
    EVP_PKEY *key = NULL;

    for (unsigned i = 0; store != NULL && i < 50 && !OSSL_STORE_eof(store); i++) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        if (info != NULL && key == NULL && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY) {
            key = OSSL_STORE_INFO_get1_PKEY(info);
        }
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return key;
}

/* A signature that is said to be good has the length of one. */
static void sign(OSSL_LIB_CTX *libctx, EVP_PKEY *key, bool pss)
{
    SCOPED(md_ctx_end) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *inner = NULL;
    uint8_t sig[1024];
    size_t len = sizeof(sig);

    if (EVP_DigestSignInit_ex(ctx, &inner, "SHA256", libctx, NULL, key, NULL) == 1 &&
        (!pss || EVP_PKEY_CTX_set_rsa_padding(inner, RSA_PKCS1_PSS_PADDING) == 1) &&
        EVP_DigestSign(ctx, sig, &len, (const uint8_t *)"message", 7) == 1) {
        HOLDS(len > 0 && len <= (size_t)EVP_PKEY_get_size(key));
    }
}

static void decrypt(OSSL_LIB_CTX *libctx, EVP_PKEY *key)
{
    SCOPED(ctx_end) EVP_PKEY_CTX *to = EVP_PKEY_CTX_new_from_pkey(libctx, key, NULL);
    SCOPED(ctx_end) EVP_PKEY_CTX *from = EVP_PKEY_CTX_new_from_pkey(libctx, key, NULL);
    uint8_t in[1024];
    uint8_t out[1024];
    size_t in_len = sizeof(in);
    size_t out_len = sizeof(out);

    if (EVP_PKEY_encrypt_init(to) == 1 && EVP_PKEY_encrypt(to, in, &in_len, (const uint8_t *)"secret", 6) == 1 &&
        EVP_PKEY_decrypt_init(from) == 1 && EVP_PKEY_decrypt(from, out, &out_len, in, in_len) == 1) {
        HOLDS(out_len <= in_len);
    }
}

static void derive(OSSL_LIB_CTX *libctx, EVP_PKEY *key)
{
    SCOPED(ctx_end) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(libctx, key, NULL);
    uint8_t secret[256];
    size_t len = sizeof(secret);

    if (EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, ec_key) == 1 &&
        EVP_PKEY_derive(ctx, secret, &len) == 1) {
        HOLDS(len > 0 && len <= sizeof(secret));
    }
}

static void act(OSSL_LIB_CTX *libctx, uint8_t acts)
{
    SCOPED(key_end) EVP_PKEY *any = (acts & ACT_LIST) != 0 ? load(libctx, "pkcs11:") : NULL;
    bool wants_rsa = (acts & (ACT_RSA | ACT_PSS | ACT_DECRYPT)) != 0;
    bool wants_ec = (acts & (ACT_EC | ACT_DERIVE)) != 0;
    SCOPED(key_end) EVP_PKEY *rsa = wants_rsa ? load(libctx, "pkcs11:token=soft;object=rsa;type=private") : NULL;
    SCOPED(key_end) EVP_PKEY *ec = wants_ec ? load(libctx, "pkcs11:token=soft;object=ec;type=private") : NULL;

    HOLDS(any == NULL || EVP_PKEY_get_bits(any) > 0);
    for (unsigned i = 0; i < ((acts & ACT_AGAIN) != 0 ? 3u : 1u); i++) {
        if (rsa != NULL && (acts & ACT_RSA) != 0) {
            sign(libctx, rsa, false);
        }
        if (rsa != NULL && (acts & ACT_PSS) != 0) {
            sign(libctx, rsa, true);
        }
        if (rsa != NULL && (acts & ACT_DECRYPT) != 0) {
            decrypt(libctx, rsa);
        }
        if (ec != NULL && (acts & ACT_EC) != 0) {
            sign(libctx, ec, false);
        }
        if (ec != NULL && (acts & ACT_DERIVE) != 0) {
            derive(libctx, ec);
        }
    }
}

static void run(const uint8_t *data, size_t size)
{
    static const char conf[] = "openssl_conf = i\n[i]\nproviders = p\n[p]\ndefault = d\nsignet = s\n[d]\nactivate = 1\n"
                               "[s]\nactivate = 1\npkcs11-module = " HOSTILE_FILE
                               "\npin = value:1234\ndeadline = 0.05\n";
    struct input input = { data, size };
    uint8_t acts = input_byte(&input);
    void *library = dlopen(HOSTILE_FILE, RTLD_NOW | RTLD_LOCAL);
    void (*drive)(const unsigned char *program, size_t len) = NULL;
    const struct hostile_seen *(*seen)(void) = NULL;
    OSSL_LIB_CTX *libctx = provider_context(NULL);

    HOLDS(library != NULL);
    *(void **)&drive = dlsym(library, "hostile_drive");
    *(void **)&seen = dlsym(library, "hostile_seen");
    HOLDS(provider_configure(libctx, conf, strlen(conf)));
    drive(input.at, input.left);
    act(libctx, acts);
    OSSL_LIB_CTX_free(libctx);
    HOLDS(seen()->calls < 200000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    start();
    apart(run, data, size);
    return 0;
}
