/* The matrix of handshakes, for the provider setup that OPENSSL_CONF makes: version x key type of each end x how each
 * end's key is named x groups, with and without client authentication.     handshakes FOLDER good|no-token
 *
 * FOLDER has TYPE.key (key file), TYPE-soft.key, their chains and root.pem (tests/tls/setup.sh). With "no-token" keys
 * on a token must be refused with an error, and software keys work all the same. */
#include <string.h>

#include "../lib/tap.h"
#include "keys.h"
#include "pair.h"

static const char *folder;

static const char *const types[] = { "ec", "rsa" };
static const char *const groups[] = { NULL, "P-256", "X25519:P-256", "P-384:P-256" };
static const struct version {
    int number;
    const char *name;
} versions[] = { { TLS1_2_VERSION, "1.2" }, { TLS1_3_VERSION, "1.3" } };

/* How a key is named, and whose certificate goes with it. */
static const struct form {
    const char *name;
    const char *before; /* the type comes between these */
    const char *after;
    const char *chain;
    int on_token;
} forms[] = {
    { "token by URI", "pkcs11:token=test;object=", ";type=private", "-chain.pem", 1 },
    { "token by key file", "", ".key", "-chain.pem", 1 },
    { "software by URI", "file:", "-soft.key", "-soft-chain.pem", 0 },
    { "software by file", "", "-soft.key", "-soft-chain.pem", 0 },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* One end of a handshake, ready for any number of them. */
struct end {
    const struct form *form;
    const char *type;
    SSL_CTX *ctx;
};
#define NUM_ENDS (COUNT(types) * COUNT(forms))

static SSL_CTX *context_for(const struct form *form, const char *type, int version)
{
    int token_uri = strncmp(form->before, "pkcs11:", 7) == 0;
    char key[300];
    char chain[300];
    char root[300];

    snprintf(key, sizeof(key), "%s%s%s%s%s", form->before, token_uri ? "" : folder, token_uri ? "" : "/", type,
             form->after);
    snprintf(chain, sizeof(chain), "%s/%s%s", folder, type, form->chain);
    snprintf(root, sizeof(root), "%s/root.pem", folder);
    return context_with(key, chain, root, version);
}

static SSL_CTX *client_without_key(int version)
{
    char root[300];

    snprintf(root, sizeof(root), "%s/root.pem", folder);
    return context_with(NULL, NULL, root, version);
}

/* Those ends whose keys are of use, with how many there are. */
static size_t ends_open(struct end *ends, int version, int no_token)
{
    size_t num = 0;

    for (size_t i = 0; i < NUM_ENDS; i++) {
        struct end end = { &forms[i % COUNT(forms)], types[i / COUNT(forms)], NULL };

        if (no_token && end.form->on_token) {
            continue;
        }
        end.ctx = context_for(end.form, end.type, version);
        if (ok(end.ctx != NULL && is_on_token(SSL_CTX_get0_privatekey(end.ctx)) == end.form->on_token, "%s, %s: loaded",
               end.type, end.form->name)) {
            ends[num++] = end;
        } else {
            SSL_CTX_free(end.ctx);
        }
    }
    return num;
}

/* All groups, in one line; a group that fails is told in another. */
static int row(const struct version *version, const struct end *server, const struct end *client)
{
    size_t passed = 0;

    ask_clients(server->ctx, client->form != NULL);
    for (size_t i = 0; i < COUNT(groups); i++) {
        if (shake(server->ctx, client->ctx, groups[i])) {
            passed++;
        } else {
            printf("# failed with groups %s\n", groups[i] == NULL ? "of the default" : groups[i]);
        }
    }
    ok(passed == COUNT(groups), "TLS %s, server %s %s, client %s %s", version->name, server->type, server->form->name,
       client->type, client->form == NULL ? "certificate" : client->form->name);
    return (int)passed;
}

static int run_version(const struct version *version, int no_token)
{
    struct end anonymous = { NULL, "without", client_without_key(version->number) };
    struct end servers[NUM_ENDS];
    struct end clients[NUM_ENDS];
    size_t num_servers = ends_open(servers, version->number, no_token);
    size_t num_clients = ends_open(clients, version->number, no_token);
    int passed = 0;

    for (size_t i = 0; i < num_servers; i++) {
        passed += row(version, &servers[i], &anonymous);
        for (size_t j = 0; j < num_clients; j++) {
            passed += row(version, &servers[i], &clients[j]);
        }
        SSL_CTX_free(servers[i].ctx);
    }
    for (size_t j = 0; j < num_clients; j++) {
        SSL_CTX_free(clients[j].ctx);
    }
    SSL_CTX_free(anonymous.ctx);
    return passed;
}

/* A token key that may not be used fails where it is loaded or where it signs, and there is an error to read. */
static void run_refused(const struct form *form, const char *type, const struct version *version)
{
    SSL_CTX *client = client_without_key(version->number);
    SSL_CTX *server = context_for(form, type, version->number);
    int good = 0;

    if (server != NULL) {
        ask_clients(server, 0);
        good = shake(server, client, NULL);
    }
    ok(!good && ERR_peek_error() != 0, "TLS %s, %s %s: refused, with an error", version->name, type, form->name);
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
    for (size_t v = 0; v < COUNT(versions); v++) {
        for (size_t i = 0; no_token && i < NUM_ENDS; i++) {
            if (forms[i % COUNT(forms)].on_token) {
                run_refused(&forms[i % COUNT(forms)], types[i / COUNT(forms)], &versions[v]);
            }
        }
        passed += run_version(&versions[v], no_token);
    }
    printf("# %d handshakes\n", passed);
    return tap_done();
}
