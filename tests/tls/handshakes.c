/* The matrix of handshakes, for the provider setup that OPENSSL_CONF makes: key type x version x groups x client
 * authentication x how the keys are named.     handshakes FOLDER good|no-token
 *
 * FOLDER has TYPE.key (key file), TYPE-soft.key, their chains and root.pem (tests/tls/handshakes.sh).
 * With "no-token" keys on a token must be refused with an error, and software keys work all the same. */
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/tap.h"
#include "pair.h"

static const char *folder;

static const struct {
    int version;
    const char *name;
} versions[] = { { TLS1_2_VERSION, "1.2" }, { TLS1_3_VERSION, "1.3" } };
static const char *const groups[] = { "", "P-256", "X25519:P-256", "P-384:P-256" };

static const struct type {
    const char *name;
    const char *token;
    size_t first_version;
} types[] = {
    { "ec", "test", 0 },    { "rsa", "test", 0 },     { "ed25519", "test", 0 },
    { "ed448", "test", 0 }, { "rsa-pss", "test", 0 }, { "ML-DSA-65", "soft", 1 },
};

/* How a key is named. */
static const struct form {
    const char *name;
    int uri;
    const char *suffix;
    int on_token;
} forms[] = {
    { "uri", 1, "", 1 },
    { "key file", 0, "", 1 },
    { "software", 0, "-soft", 0 },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The last type is OpenSSL's from 3.5 on. */
static size_t num_types(void)
{
    return COUNT(types) - (OpenSSL_version_num() < 0x30500000UL);
}

static SSL_CTX *end_with(const struct form *form, const struct type *type, int version)
{
    char key[300];
    char chain[300];
    char root[300];

    if (form->uri) {
        snprintf(key, sizeof(key), "pkcs11:token=%s;object=%s;type=private", type->token, type->name);
    } else {
        snprintf(key, sizeof(key), "%s/%s%s.key", folder, type->name, form->suffix);
    }
    snprintf(chain, sizeof(chain), "%s/%s%s-chain.pem", folder, type->name, form->suffix);
    snprintf(root, sizeof(root), "%s/root.pem", folder);
    return context_with(key, chain, root, version);
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

static int run_row(const struct form *form, const struct type *type, size_t version, const char *group,
                   int authenticate)
{
    SSL_CTX *server = end_with(form, type, versions[version].version);
    SSL_CTX *client = end_with(form, type, versions[version].version);
    int good = server != NULL && client != NULL && one(server, client, group, authenticate);

    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return ok(good, "TLS %s, %s, %s, groups %s, client authentication %s", versions[version].name, type->name,
              form->name, group[0] != '\0' ? group : "default", authenticate ? "yes" : "no");
}

static void run_form(const struct form *form, int *passed)
{
    for (const struct type *type = types; type < types + num_types(); type++) {
        for (size_t version = type->first_version; version < COUNT(versions); version++) {
            for (size_t group = 0; group < COUNT(groups); group++) {
                *passed += run_row(form, type, version, groups[group], 0);
                *passed += run_row(form, type, version, groups[group], 1);
            }
        }
    }
}

/* A token key that may not be used fails where it is loaded or where it signs, and there is an error to read. */
static void run_refused(const struct form *form, const struct type *type)
{
    SSL_CTX *server = end_with(form, type, TLS1_3_VERSION);
    SSL_CTX *client = end_with(form, type, TLS1_3_VERSION);
    int good = server != NULL && client != NULL && one(server, client, "", 1);

    ok(!good && ERR_peek_error() != 0, "%s, %s: refused, with an error", type->name, form->name);
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
        for (size_t type = 0; no_token && forms[form].on_token && type < num_types(); type++) {
            run_refused(&forms[form], &types[type]);
        }
        if (!no_token || !forms[form].on_token) {
            run_form(&forms[form], &passed);
        }
    }
    printf("# %d handshakes\n", passed);
    return tap_done();
}
