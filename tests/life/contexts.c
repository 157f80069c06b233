/* One process, several library contexts, each with its own configuration and its own instance of the provider, on one
 * module; and the provider unloaded while its keys live.
 *
 *     contexts KEY CONFIGURATION...        each configuration is one context's; the first is also that of the threads
 */
#include <openssl/provider.h>
#include <openssl/store.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/tap.h"
#include "life.h"

#define MOST 8
#define THREADS 4

static const char *key_name;

static OSSL_LIB_CTX *context_new(const char *configuration)
{
    OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();

    if (ctx != NULL && OSSL_LIB_CTX_load_config(ctx, configuration) != 1) {
        OSSL_LIB_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

static EVP_PKEY *key_in(OSSL_LIB_CTX *ctx)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(key_name, ctx, NULL, NULL, NULL, NULL, NULL, NULL);
    EVP_PKEY *key = NULL;

    while (store != NULL && key == NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        key = info == NULL ? NULL : OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return key;
}

static int signs(EVP_PKEY *key)
{
    return key != NULL && sign_with(key) == SIGNED;
}

static void contexts_share_a_module(char **configurations, int count)
{
    OSSL_LIB_CTX *ctx[MOST] = { NULL };
    EVP_PKEY *key[MOST] = { NULL };

    for (int i = 0; i < count; i++) {
        ctx[i] = context_new(configurations[i]);
        key[i] = ctx[i] == NULL ? NULL : key_in(ctx[i]);
        ok(signs(key[i]), "context %d: its key signs", i + 1);
    }
    for (int i = 0; i < count; i++) {
        EVP_PKEY_free(key[i]);
        OSSL_LIB_CTX_free(ctx[i]);
        for (int j = i + 1; j < count; j++) {
            ok(signs(key[j]), "context %d is gone: the key of %d signs", i + 1, j + 1);
        }
    }
    ctx[0] = context_new(configurations[0]);
    key[0] = ctx[0] == NULL ? NULL : key_in(ctx[0]);
    ok(signs(key[0]), "all are gone: the key of a new one signs");
    EVP_PKEY_free(key[0]);
    OSSL_LIB_CTX_free(ctx[0]);
}

/* A context that comes and goes in a thread, while others do the same. */
static void *whole_life(void *configuration)
{
    OSSL_LIB_CTX *ctx = context_new(configuration);
    EVP_PKEY *key = ctx == NULL ? NULL : key_in(ctx);
    intptr_t made = 0;

    for (int i = 0; i < 5; i++) {
        made += signs(key);
    }
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
    return (void *)made;
}

static void contexts_in_threads(char *configuration)
{
    unsigned before = descriptors_open();

    for (int round = 0; round < 5; round++) {
        pthread_t threads[THREADS];
        intptr_t made = 0;

        for (int i = 0; i < THREADS; i++) {
            pthread_create(&threads[i], NULL, whole_life, configuration);
        }
        for (int i = 0; i < THREADS; i++) {
            void *result = NULL;

            pthread_join(threads[i], &result);
            made += (intptr_t)result;
        }
        ok(made == THREADS * 5, "%d threads, each with a context of its own, once and for all: %d of %d signatures",
           THREADS, (int)made, THREADS * 5);
    }
    ok(descriptors_open() == before, "they leave no descriptor behind");
}

/* The settings come from the environment here: no file names the provider. */
static void unloaded_while_a_key_lives(void)
{
    OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
    OSSL_PROVIDER *base = OSSL_PROVIDER_load(ctx, "default");
    OSSL_PROVIDER *ours = OSSL_PROVIDER_load(ctx, "signet");
    EVP_PKEY *first = ours == NULL ? NULL : key_in(ctx);
    EVP_PKEY *second;
    unsigned before;
    int good = 1;

    ok(signs(first), "a provider that the program loads itself");
    ok(OSSL_PROVIDER_unload(ours) == 1, "is unloaded while a key of it lives");
    ok(signs(first), "the key still signs");
    ok((second = key_in(ctx)) == NULL, "no other is loaded from there now");
    EVP_PKEY_free(second);
    before = descriptors_open();
    for (int i = 0; i < 20 && good; i++) {
        ours = OSSL_PROVIDER_load(ctx, "signet");
        second = ours == NULL ? NULL : key_in(ctx);
        good = signs(second) && signs(first) && OSSL_PROVIDER_unload(ours) == 1 && signs(second) && signs(first);
        EVP_PKEY_free(first);
        first = second;
    }
    ok(good, "loaded and unloaded 20 times, the key of before and the key of now sign at every step");
    ok(descriptors_open() == before, "and no descriptor is left behind");
    EVP_PKEY_free(first);
    ours = OSSL_PROVIDER_load(ctx, "signet");
    first = key_in(ctx);
    ok(signs(first), "with no key of before alive, it is loaded again and signs");
    OSSL_PROVIDER_unload(ours);
    OSSL_PROVIDER_unload(base);
    EVP_PKEY_free(first);
    OSSL_LIB_CTX_free(ctx);
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc - 2 > MOST) {
        fputs("usage: contexts KEY CONFIGURATION...\n", stderr);
        return 2;
    }
    key_name = argv[1];
    contexts_share_a_module(argv + 2, argc - 2);
    contexts_in_threads(argv[2]);
    unloaded_while_a_key_lives();
    return tap_done();
}
