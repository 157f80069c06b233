/* Signet and another provider for PKCS#11 in one process, each with a key of its own.
 *
 *     beside FOLDER alone|beside TOKEN TYPE[,1.2][,1.3]...
 *
 * FOLDER has root.pem, and for each TYPE the certificates and chains of TYPE (Signet's key on TOKEN), their-TYPE (the
 * other's) and TYPE-soft, whose key is in a file; a type is followed by the versions of TLS in which it shakes hands.
 * "alone" tells what the other can do without us, as lines "can NAME"; these lines are the input of "beside", which
 * demands all of that again, and what is ours without condition. */
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/tap.h"
#include "pair.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MOST 256
#define MOST_TYPES 16

static const char *folder;
static const char *token;
static char *types[MOST_TYPES];
static const char *has_version[MOST_TYPES]; /* what follows the type */
static size_t num_types;
static const struct {
    int number;
    const char *name;
} versions[] = { { TLS1_2_VERSION, "1.2" }, { TLS1_3_VERSION, "1.3" } };

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

    if (owner == SOFT) {
        snprintf(name, sizeof(name), "%s/%s-soft.key", folder, type);
        return key_by_name(name);
    }
    snprintf(name, sizeof(name), "pkcs11:token=%s;object=%s%s;type=private", token, before_type[owner], type);
    snprintf(query, sizeof(query), "provider=%s", owner_names[owner]);
    return key_by_query(name, query);
}

static int is_of(EVP_PKEY *key, enum owner owner)
{
    return key != NULL && strcmp(OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key)), owner_names[owner]) == 0;
}

/* The other's key is believed by its certificate alone, since not every token verifies. */
static int signs_for_certificate(EVP_PKEY *key, const char *type)
{
    char file[300];
    BIO *in;
    X509 *cert;
    int good;

    snprintf(file, sizeof(file), "%s/%s%s.pem", folder, before_type[THEIRS], type);
    in = BIO_new_file(file, "r");
    cert = in == NULL ? NULL : PEM_read_bio_X509(in, NULL, NULL, NULL);
    good = cert != NULL && key_signs_for(key, X509_get0_pubkey(cert));
    X509_free(cert);
    BIO_free(in);
    return good;
}

static void keys_sign(const char *when)
{
    for (size_t i = 0; i < num_types; i++) {
        EVP_PKEY *ours = alone ? NULL : key_from(OURS, types[i]);
        EVP_PKEY *theirs = key_from(THEIRS, types[i]);
        EVP_PKEY *soft = key_from(SOFT, types[i]);
        char name[64];

        if (!alone) {
            ok(is_of(ours, OURS), "%s, %s: our key is ours", when, types[i]);
            ok(key_signs(ours), "%s, %s: and signs", when, types[i]);
            ok(key_signs(soft), "%s, %s: a software key signs", when, types[i]);
        }
        snprintf(name, sizeof(name), "%s, %s: its key is its own", when, types[i]);
        demand(name, is_of(theirs, THEIRS));
        snprintf(name, sizeof(name), "%s, %s: its key signs", when, types[i]);
        demand(name, signs_for_certificate(theirs, types[i]));
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
static void handshakes_of(const char *type, int version, const char *version_name)
{
    char serves[64];
    char asks[64];

    snprintf(serves, sizeof(serves), "%s, TLS %s: it serves", type, version_name);
    snprintf(asks, sizeof(asks), "%s, TLS %s: it asks", type, version_name);
    demand(serves, handshake(THEIRS, SOFT, type, version));
    demand(asks, handshake(SOFT, THEIRS, type, version));
    if (!alone) {
        ok(handshake(OURS, SOFT, type, version), "%s, TLS %s: we serve", type, version_name);
        ok(handshake(SOFT, OURS, type, version), "%s, TLS %s: we ask", type, version_name);
        ok(handshake(OURS, OURS, type, version), "%s, TLS %s: both ends are ours", type, version_name);
        ok(handshake(SOFT, SOFT, type, version), "%s, TLS %s: neither end is", type, version_name);
        if (can_alone(asks)) {
            ok(handshake(OURS, THEIRS, type, version), "%s, TLS %s: we serve, it asks", type, version_name);
        }
        if (can_alone(serves)) {
            ok(handshake(THEIRS, OURS, type, version), "%s, TLS %s: it serves, we ask", type, version_name);
        }
    }
}

/* "ec,1.2,1.3": the type ends where its versions begin. */
static void types_read(char **list, int count)
{
    for (int i = 0; i < count && num_types < MOST_TYPES; i++) {
        char *end = list[i] + strcspn(list[i], ",");

        has_version[num_types] = *end == '\0' ? end : end + 1;
        *end = '\0';
        types[num_types++] = list[i];
    }
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        return 2;
    }
    folder = argv[1];
    alone = strcmp(argv[2], "alone") == 0;
    token = argv[3];
    types_read(argv + 4, argc - 4);
    if (!alone) {
        learn();
        ok(num_can > 0, "the other provider can do %zu things alone", num_can);
    }
    keys_sign("first");
    for (size_t i = 0; i < num_types; i++) {
        for (size_t v = 0; v < COUNT(versions); v++) {
            if (strstr(has_version[i], versions[v].name) != NULL) {
                handshakes_of(types[i], versions[v].number, versions[v].name);
            }
        }
    }
    keys_sign("at the end");
    return alone ? 0 : tap_done();
}
