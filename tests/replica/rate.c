/* Signatures a second by many threads with a key, and TLS handshakes while a token is killed and returns; prints.
 *
 *     rate KEY THREADS SECONDS                          signatures a second
 *     rate KEY THREADS SECONDS FOLDER COUNTS...         handshakes: made, failed, and those that each token signed; the
 *                                                       second of the tokens, whose pages COUNTS are, goes after a
 * quarter of the time, and is back after a half */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../tls/pair.h"
#include "../token/control.h"

#define MOST_THREADS 128
#define MOST_TOKENS 8

static EVP_PKEY *key;
static SSL_CTX *server;
static SSL_CTX *client;
static _Atomic int over;
static _Atomic unsigned long good;
static _Atomic unsigned long bad;

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int sign(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    int made = ctx != NULL && EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
               EVP_DigestSign(ctx, sig, &len, (const unsigned char *)"message", 7) == 1;

    EVP_MD_CTX_free(ctx);
    return made;
}

static void *work(void *unused)
{
    (void)unused;
    while (!over) {
        if (server != NULL ? shake(server, client) : sign()) {
            good++;
        } else {
            bad++;
            ERR_print_errors_fp(stderr);
        }
        ERR_clear_error();
    }
    return NULL;
}

static void pause_s(double seconds)
{
    usleep((unsigned)(seconds * 1e6));
}

static void signatures(double seconds)
{
    double began;
    unsigned long before;

    pause_s(0.5); /* sessions and logins */
    before = good;
    began = now_s();
    pause_s(seconds);
    printf("%.1f\t%lu\n", (double)(good - before) / (now_s() - began), bad);
}

static void handshakes(double seconds, struct counts *tokens[], int num)
{
    char wrong[256];

    for (int i = 0; i < num; i++) {
        counts_forget(tokens[i]);
    }
    pause_s(seconds / 4);
    printf("before\t%lu\t%lu", good, bad);
    for (int i = 0; i < num; i++) {
        printf("\t%u", tokens[i]->calls[COUNT_Sign]);
        counts_forget(tokens[i]);
    }
    counts_obey(tokens[1], "go-away", wrong);
    pause_s(seconds / 4);
    printf("\nkilled\t%lu\t%lu", good, bad);
    for (int i = 0; i < num; i++) {
        printf("\t%u", tokens[i]->calls[COUNT_Sign]);
        counts_forget(tokens[i]);
    }
    counts_obey(tokens[1], "come-back", wrong);
    pause_s(seconds / 2);
    printf("\nback\t%lu\t%lu", good, bad);
    for (int i = 0; i < num; i++) {
        printf("\t%u", tokens[i]->calls[COUNT_Sign]);
    }
    printf("\n");
}

static int contexts(const char *name, const char *folder)
{
    char chain[300];
    char root[300];

    snprintf(chain, sizeof(chain), "%s/www-chain.pem", folder);
    snprintf(root, sizeof(root), "%s/root.pem", folder);
    server = context_with(name, chain, root, TLS1_3_VERSION);
    client = context_with(NULL, NULL, root, TLS1_3_VERSION);
    if (server == NULL || client == NULL) {
        return 0;
    }
    SSL_CTX_set_verify(server, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(server, SSL_SESS_CACHE_OFF);
    return 1;
}

int main(int argc, char **argv)
{
    struct counts *tokens[MOST_TOKENS];
    pthread_t threads[MOST_THREADS];
    int num_threads = argc >= 4 ? atoi(argv[2]) : 0;
    int num = argc > 5 ? argc - 5 : 0;

    if (num_threads < 1 || num_threads > MOST_THREADS || num > MOST_TOKENS || (argc > 4 && num < 2)) {
        fprintf(stderr, "usage: rate KEY THREADS SECONDS [FOLDER COUNTS COUNTS...]\n");
        return 2;
    }
    for (int i = 0; i < num; i++) {
        tokens[i] = counts_map(argv[5 + i]);
    }
    key = key_by_name(argv[1]);
    if (key == NULL || !sign() || (argc > 4 && !contexts(argv[1], argv[4]))) {
        ERR_print_errors_fp(stderr);
        return 1;
    }
    for (int i = 0; i < num_threads; i++) {
        pthread_create(&threads[i], NULL, work, NULL);
    }
    if (num == 0) {
        signatures(atof(argv[3]));
    } else {
        handshakes(atof(argv[3]), tokens, num);
    }
    over = 1;
    for (int i = 0; i < num_threads; i++) {
        pthread_join(threads[i], NULL);
    }
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    EVP_PKEY_free(key);
    return 0;
}
