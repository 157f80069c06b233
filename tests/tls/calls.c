/* What the token is asked, counted by a module in front of it.    calls FOLDER TYPE
 *
 * One process for each type, since the first load in a process is what is dear. The folder is that of
 * tests/tls/setup.sh; SIGNET_TEST_COUNTS names the counters' file. */
#include <p11-kit/pkcs11.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/tap.h"
#include "../token/counts.h"
#include "keys.h"
#include "pair.h"

#define HANDSHAKES 20

static struct counts *counts;
static const char *type;

static const struct {
    int number;
    const char *name;
} versions[] = { { TLS1_2_VERSION, "TLS 1.2" }, { TLS1_3_VERSION, "TLS 1.3" } };

static char uri[100];
static char key_file[300];
static char chain[300];
static char root[300];

static void key_file_costs_nothing(void)
{
    EVP_PKEY *key = key_by_name(key_file);
    EVP_PKEY *again = key_of_store(key_file, NULL);

    ok(is_on_token(key) && is_on_token(again) && counts_total(counts) == 0, "loading a key file makes no call (%u)",
       counts_total(counts));
    EVP_PKEY_free(key);
    EVP_PKEY_free(again);
}

static void first_load_is_cheap(void)
{
    unsigned most = strcmp(type, "rsa") == 0 ? 12 : 16; /* an EC key's public object must be read, too */
    EVP_PKEY *key = key_by_name(uri);

    ok(is_on_token(key) && counts_total(counts) <= most, "the first load by URI costs at most %u calls (%u)", most,
       counts_total(counts));
    ok(counts->of[COUNT_Initialize].calls == 1 && counts->of[COUNT_Login].calls <= 1,
       "of them one C_Initialize, and at most one C_Login");
    EVP_PKEY_free(key);
}

/* After the first one, which may have to find the key, each signature is C_SignInit and C_Sign. */
static void signatures_cost_two(SSL_CTX *server, SSL_CTX *client, unsigned signatures, const char *what)
{
    unsigned expected = HANDSHAKES * signatures;
    int passed = 0;

    ok(shake(server, client, NULL), "%s: the first handshake", what);
    counts_forget(counts);
    for (int i = 0; i < HANDSHAKES; i++) {
        passed += shake(server, client, NULL);
    }
    ok(passed == HANDSHAKES && counts->of[COUNT_SignInit].calls == expected &&
           counts->of[COUNT_Sign].calls == expected && counts_total(counts) == 2 * expected,
       "%s: %d handshakes are %u times C_SignInit and C_Sign, and nothing else (%u calls)", what, passed, expected,
       counts_total(counts));
}

static void handshakes_cost_two_calls(const char *key, const char *form)
{
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        SSL_CTX *server = context_with(key, chain, root, versions[i].number);
        SSL_CTX *anonymous = context_with(NULL, NULL, root, versions[i].number);
        SSL_CTX *client = context_with(key, chain, root, versions[i].number);
        char what[100];

        snprintf(what, sizeof(what), "%s, %s", versions[i].name, form);
        if (ok(server != NULL && anonymous != NULL && client != NULL, "%s: contexts", what)) {
            ask_clients(server, 0);
            signatures_cost_two(server, anonymous, 1, what);
            ask_clients(server, 1);
            snprintf(what, sizeof(what), "%s, %s, both ends", versions[i].name, form);
            signatures_cost_two(server, client, 2, what);
        }
        SSL_CTX_free(server);
        SSL_CTX_free(anonymous);
        SSL_CTX_free(client);
    }
}

static void nothing_secret_was_asked(void)
{
    ok(counts->secrets_asked == 0, "no secret part of a key was asked for, and no key wrapped");
    ok(counts_asked(counts, CKA_PRIVATE_EXPONENT) == 0 && counts_asked(counts, CKA_PRIME_1) == 0,
       "nor any that only such keys have");
    ok(counts_asked(counts, CKA_ID) > 0, "while what names a key was");
}

int main(int argc, char **argv)
{
    counts = argc == 3 ? counts_map(getenv("SIGNET_TEST_COUNTS")) : NULL;
    if (counts == NULL) {
        return 2;
    }
    type = argv[2];
    snprintf(uri, sizeof(uri), "pkcs11:token=test;object=%s;type=private", type);
    snprintf(key_file, sizeof(key_file), "%s/%s.key", argv[1], type);
    snprintf(chain, sizeof(chain), "%s/%s-chain.pem", argv[1], type);
    snprintf(root, sizeof(root), "%s/root.pem", argv[1]);
    key_file_costs_nothing();
    first_load_is_cheap();
    handshakes_cost_two_calls(uri, "by URI");
    handshakes_cost_two_calls(key_file, "by key file");
    nothing_secret_was_asked();
    return tap_done();
}
