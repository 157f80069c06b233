/* Signet and another provider for PKCS#11 in one process, each with a key of its own.
 *
 *     beside FOLDER alone|beside
 *
 * FOLDER has root.pem, and for each TYPE the chains of TYPE (Signet's key), their-TYPE (the other's) and TYPE-soft,
 * whose key is in a file. "alone" tells what the other can do without us, as lines "can NAME"; these lines are the
 * input of "beside", which demands all of that again, and what is ours without condition. */
#include <openssl/provider.h>
#include <openssl/store.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/tap.h"
#include "pair.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MOST 256

static const char *folder;
static const char *const types[] = { "ec", "rsa", "rsa-pss", "ed25519", "ed448" };
static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

enum owner {
    OURS,
    THEIRS,
    SOFT,
};
static const char *const owner_names[] = { "signet", "pkcs11", "default" };
static const char *const before_type[] = { "", "their-", "" };
static const char *const after_type[] = { "", "", "-soft" };

/* --- what the other can do alone ---------------------------------------------------------------------------------- */

static char can[MOST][64];
static size_t num_can;
static int alone;

static void learn(void)
{
    char line[80];

    while (num_can < MOST && fgets(line, sizeof(line), stdin) != NULL) {
        if (sscanf(line, "can %63[^\n]", can[num_can]) == 1) {
            num_can++;
        }
    }
}

static int can_alone(const char *name)
{
    for (size_t i = 0; i < num_can; i++) {
        if (strcmp(can[i], name) == 0) {
            return 1;
        }
    }
    return 0;
}

/* demand judges what the other did: alone it tells, beside us it must be as good as alone. */
static void demand(const char *name, int good)
{
    if (alone) {
        if (good) {
            printf("can %s\n", name);
        }
    } else if (can_alone(name)) {
        ok(good, "%s, as without Signet", name);
    }
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

static EVP_PKEY *key_from(enum owner owner, const char *type)
{
    char name[300];
    char query[32];
    OSSL_STORE_CTX *store;
    EVP_PKEY *key = NULL;

    if (owner == SOFT) {
        snprintf(name, sizeof(name), "%s/%s-soft.key", folder, type);
        return key_by_name(name);
    }
    snprintf(name, sizeof(name), "pkcs11:token=test;object=%s%s;type=private", before_type[owner], type);
    snprintf(query, sizeof(query), "provider=%s", owner_names[owner]);
    store = OSSL_STORE_open_ex(name, NULL, query, NULL, NULL, NULL, NULL, NULL);
    while (store != NULL && key == NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        key = info == NULL ? NULL : OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return key;
}

static int is_of(EVP_PKEY *key, enum owner owner)
{
    return key != NULL && strcmp(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key)), owner_names[owner]) == 0;
}

static int signs(EVP_PKEY *key)
{
    const char *digest = key != NULL && (EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448")) ? NULL
                                                                                                       : "SHA256";
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    EVP_MD_CTX *sign = EVP_MD_CTX_new();
    EVP_MD_CTX *verify = EVP_MD_CTX_new();
    int good = key != NULL && EVP_DigestSignInit_ex(sign, NULL, digest, NULL, NULL, key, NULL) == 1 &&
               EVP_DigestSign(sign, sig, &len, (const unsigned char *)"text", 4) == 1 &&
               EVP_DigestVerifyInit_ex(verify, NULL, digest, NULL, NULL, key, NULL) == 1 &&
               EVP_DigestVerify(verify, sig, len, (const unsigned char *)"text", 4) == 1;

    EVP_MD_CTX_free(sign);
    EVP_MD_CTX_free(verify);
    return good;
}

static void keys_sign(const char *when)
{
    for (size_t i = 0; i < COUNT(types); i++) {
        EVP_PKEY *ours = alone ? NULL : key_from(OURS, types[i]);
        EVP_PKEY *theirs = key_from(THEIRS, types[i]);
        EVP_PKEY *soft = key_from(SOFT, types[i]);
        char name[64];

        if (!alone) {
            ok(is_of(ours, OURS), "%s, %s: our key is ours", when, types[i]);
            ok(signs(ours), "%s, %s: and signs", when, types[i]);
            ok(signs(soft), "%s, %s: a software key signs", when, types[i]);
        }
        snprintf(name, sizeof(name), "%s, %s: its key is its own", when, types[i]);
        demand(name, is_of(theirs, THEIRS));
        snprintf(name, sizeof(name), "%s, %s: its key signs", when, types[i]);
        demand(name, signs(theirs));
        EVP_PKEY_free(ours);
        EVP_PKEY_free(theirs);
        EVP_PKEY_free(soft);
    }
}

/* --- handshakes --------------------------------------------------------------------------------------------------- */

static SSL_CTX *end_with(enum owner owner, const char *type, int version)
{
    char root[300];
    char chain[300];
    EVP_PKEY *key = key_from(owner, type);
    SSL_CTX *ctx;

    snprintf(root, sizeof(root), "%s/root.pem", folder);
    snprintf(chain, sizeof(chain), "%s/%s%s%s-chain.pem", folder, before_type[owner], type, after_type[owner]);
    ctx = context_with(NULL, NULL, root, version);
    if (ctx == NULL || SSL_CTX_use_certificate_chain_file(ctx, chain) != 1 || key == NULL ||
        SSL_CTX_use_PrivateKey(ctx, key) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
        SSL_CTX_free(ctx);
        ctx = NULL;
    }
    EVP_PKEY_free(key);
    return ctx;
}

static int handshake(enum owner server_owner, enum owner client_owner, const char *type, int version)
{
    SSL_CTX *server = end_with(server_owner, type, version);
    SSL_CTX *client = end_with(client_owner, type, version);
    int good = 0;

    if (server != NULL && client != NULL) {
        SSL_CTX_set_verify(server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        good = shake(server, client);
    }
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return good;
}

/* Whether the other serves and asks with a key of that type by itself is what its handshakes with us depend on. */
static void handshakes_of(const char *type, size_t v)
{
    char serves[64];
    char asks[64];

    snprintf(serves, sizeof(serves), "%s, TLS 1.%zu: it serves", type, v + 2);
    snprintf(asks, sizeof(asks), "%s, TLS 1.%zu: it asks", type, v + 2);
    demand(serves, handshake(THEIRS, SOFT, type, versions[v]));
    demand(asks, handshake(SOFT, THEIRS, type, versions[v]));
    if (!alone) {
        ok(handshake(OURS, SOFT, type, versions[v]), "%s, TLS 1.%zu: we serve", type, v + 2);
        ok(handshake(SOFT, OURS, type, versions[v]), "%s, TLS 1.%zu: we ask", type, v + 2);
        ok(handshake(OURS, OURS, type, versions[v]), "%s, TLS 1.%zu: both ends are ours", type, v + 2);
        ok(handshake(SOFT, SOFT, type, versions[v]), "%s, TLS 1.%zu: neither end is", type, v + 2);
        if (can_alone(asks)) {
            ok(handshake(OURS, THEIRS, type, versions[v]), "%s, TLS 1.%zu: we serve, it asks", type, v + 2);
        }
        if (can_alone(serves)) {
            ok(handshake(THEIRS, OURS, type, versions[v]), "%s, TLS 1.%zu: it serves, we ask", type, v + 2);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        return 2;
    }
    folder = argv[1];
    alone = strcmp(argv[2], "alone") == 0;
    if (!alone) {
        learn();
        ok(num_can > 0, "the other provider can do %zu things alone", num_can);
    }
    keys_sign("first");
    for (size_t i = 0; i < COUNT(types); i++) {
        for (size_t v = 0; v < COUNT(versions); v++) {
            handshakes_of(types[i], v);
        }
    }
    keys_sign("at the end");
    return alone ? 0 : tap_done();
}
