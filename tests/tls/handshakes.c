/* The matrix of handshakes, for the provider setup that OPENSSL_CONF makes: key type x version x groups x client
 * authentication x how the keys are named.     handshakes FOLDER good|no-token
 *
 * FOLDER has TYPE-uri.name, TYPE.key (key file), TYPE-soft.key, their chains and root.pem (tests/tls/handshakes.sh).
 * With "no-token" keys on a token must be refused with an error, and software keys work all the same. */
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/tap.h"
#include "pair.h"

static const char *folder;

static const char *const types[] = { "ec", "rsa", "ed25519", "ed448", "rsa-pss" };
static const struct {
    int version;
    const char *name;
} versions[] = { { TLS1_2_VERSION, "1.2" }, { TLS1_3_VERSION, "1.3" } };
static const char *const groups[] = { "", "P-256", "X25519:P-256", "P-384:P-256" };

/* How a key is named, and whose certificate goes with it. */
static const struct form {
    const char *name;
    const char *key; /* with the type for %s, below the folder unless it is a URI */
    const char *chain;
    int on_token;
} forms[] = {
    { "uri", "pkcs11:token=test;object=%s;type=private", "%s-chain.pem", 1 },
    { "key file", "%s.key", "%s-chain.pem", 1 },
    { "software", "%s-soft.key", "%s-soft-chain.pem", 0 },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The pattern's hole is filled with the type; what is no URI is a file in the folder. */
static const char *name_of(char *out, size_t size, const char *pattern, const char *type)
{
    const char *hole = strstr(pattern, "%s");
    int uri = strncmp(pattern, "pkcs11:", 7) == 0;

    snprintf(out, size, "%s%s%.*s%s%s", uri ? "" : folder, uri ? "" : "/", (int)(hole - pattern), pattern, type,
             hole + 2);
    return out;
}

static SSL_CTX *end_with(const struct form *form, const char *type, int version)
{
    char key[300];
    char chain[300];
    char root[300];

    snprintf(root, sizeof(root), "%s/root.pem", folder);
    return context_with(name_of(key, sizeof(key), form->key, type), name_of(chain, sizeof(chain), form->chain, type),
                        root, version);
}

static int one(SSL_CTX *server, SSL_CTX *client, const char *group, int authenticate)
{
    if (group[0] != '\0' && (!SSL_CTX_set1_groups_list(server, group) || !SSL_CTX_set1_groups_list(client, group))) {
        return 0;
    }
    SSL_CTX_set_verify(server, authenticate ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE,
                       NULL);
    return shake(server, client);
}

static int run_row(const struct form *form, const char *type, size_t version, const char *group, int authenticate)
{
    SSL_CTX *server = end_with(form, type, versions[version].version);
    SSL_CTX *client = end_with(form, type, versions[version].version);
    int good = server != NULL && client != NULL && one(server, client, group, authenticate);

    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return ok(good, "TLS %s, %s, %s, groups %s, client authentication %s", versions[version].name, type, form->name,
              group[0] != '\0' ? group : "default", authenticate ? "yes" : "no");
}

static void run_form(const struct form *form, int *passed)
{
    for (size_t type = 0; type < COUNT(types); type++) {
        for (size_t version = 0; version < COUNT(versions); version++) {
            for (size_t group = 0; group < COUNT(groups); group++) {
                *passed += run_row(form, types[type], version, groups[group], 0);
                *passed += run_row(form, types[type], version, groups[group], 1);
            }
        }
    }
}

/* ML-DSA, where OpenSSL has it: in TLS 1.3 alone, and no token of Debian 12 or 13 has it. */
static void run_mldsa(int *passed)
{
    for (size_t form = 0; OpenSSL_version_num() >= 0x30500000UL && form < COUNT(forms); form++) {
        for (size_t group = 0; !forms[form].on_token && group < COUNT(groups); group++) {
            *passed += run_row(&forms[form], "mldsa", 1, groups[group], 0);
            *passed += run_row(&forms[form], "mldsa", 1, groups[group], 1);
        }
    }
}

/* A token key that may not be used fails where it is loaded or where it signs, and there is an error to read. */
static void run_refused(const struct form *form, const char *type)
{
    SSL_CTX *server = end_with(form, type, TLS1_3_VERSION);
    SSL_CTX *client = end_with(form, type, TLS1_3_VERSION);
    int good = server != NULL && client != NULL && one(server, client, "", 1);

    ok(!good && ERR_peek_error() != 0, "%s, %s: refused, with an error", type, form->name);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

int main(int argc, char **argv)
{
    int passed = 0;
    int no_token;

    if (argc != 3) {
        return 2;
    }
    folder = argv[1];
    no_token = strcmp(argv[2], "no-token") == 0;
    for (size_t form = 0; form < COUNT(forms); form++) {
        for (size_t type = 0; no_token && forms[form].on_token && type < COUNT(types); type++) {
            run_refused(&forms[form], types[type]);
        }
        if (!no_token || !forms[form].on_token) {
            run_form(&forms[form], &passed);
        }
    }
    run_mldsa(&passed);
    printf("# %d handshakes\n", passed);
    return tap_done();
}
