/* What the token is asked, counted by a module in front of it.    calls FOLDER
 *
 * The folder is that of tests/tls/handshakes.sh; SIGNET_TEST_COUNTS names the counters' file. */
#include <p11-kit/pkcs11.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/tap.h"
#include "../token/counts.h"
#include "pair.h"

static struct counts *counts;

/* The server's key is on the token, the client has none: all calls are the server's. */
static void handshakes_cost_two_calls(const char *folder, const char *type, int version, const char *version_name)
{
    char key[128];
    char chain[256];
    char root[256];
    SSL_CTX *server;
    SSL_CTX *client;

    snprintf(key, sizeof(key), "pkcs11:token=test;object=%s;type=private", type);
    snprintf(chain, sizeof(chain), "%s/%s-chain.pem", folder, type);
    snprintf(root, sizeof(root), "%s/root.pem", folder);
    server = context_with(key, chain, root, version);
    client = context_with(NULL, NULL, root, version);
    if (ok(server != NULL && client != NULL, "%s: contexts", type)) {
        SSL_CTX_set_verify(server, SSL_VERIFY_NONE, NULL);
        ok(shake(server, client), "%s, TLS %s: the first handshake", type, version_name);
        counts_forget(counts);
        for (int i = 0; i < 20; i++) {
            if (!shake(server, client)) {
                ok(0, "%s, TLS %s: handshake %d", type, version_name, i);
            }
        }
        ok(counts->calls[COUNT_SignInit] == 20 && counts->calls[COUNT_Sign] == 20 && counts_total(counts) == 40,
           "%s, TLS %s: 20 handshakes are 20 C_SignInit, 20 C_Sign and nothing else (%u calls)", type, version_name,
           counts_total(counts));
    }
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

static void key_file_costs_nothing(const char *folder, const char *type)
{
    char path[256];
    EVP_PKEY *key;

    snprintf(path, sizeof(path), "%s/%s.key", folder, type);
    counts_forget(counts);
    key = key_by_name(path);
    ok(key != NULL && counts_total(counts) == 0, "%s: loading a key file makes no call (%u)", type,
       counts_total(counts));
    EVP_PKEY_free(key);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *type;
        unsigned most;
    } loads[] = { { "rsa", 12 }, { "ec", 17 } }; /* EC: its public object is read, and a signature proves it */
    EVP_PKEY *key;

    counts = argc == 3 ? counts_map(getenv("SIGNET_TEST_COUNTS")) : NULL;
    if (counts == NULL) {
        return 2;
    }
    key_file_costs_nothing(argv[1], "ec");
    key_file_costs_nothing(argv[1], "rsa");
    /* The first load of a process, which is why each type gets a process of its own: argv[2] says which. */
    for (size_t i = 0; i < 2; i++) {
        char uri[128];

        if (strcmp(argv[2], loads[i].type) != 0) {
            continue;
        }
        counts_forget(counts);
        snprintf(uri, sizeof(uri), "pkcs11:token=test;object=%s;type=private", loads[i].type);
        key = key_by_name(uri);
        ok(key != NULL && counts_total(counts) <= loads[i].most,
           "%s: the first load by URI costs at most %u calls (%u)", loads[i].type, loads[i].most, counts_total(counts));
        EVP_PKEY_free(key);
    }
    handshakes_cost_two_calls(argv[1], argv[2], TLS1_3_VERSION, "1.3");
    handshakes_cost_two_calls(argv[1], argv[2], TLS1_2_VERSION, "1.2");
    ok(counts->secrets_asked == 0, "nobody asked for a secret part of a key");
    return tap_done();
}
