/* What the provider costs: signatures a second by EVP_DigestSign, a new context each, divided by those of C_SignInit
 * and C_Sign of the ready digest, one session a thread. Median of interleaved runs, by the clock and by the processor
 * time of the threads, which other programs disturb less. Fails where both ratios miss what docs/design.md promises.
 *
 *     overhead MODULE TOKEN SECONDS-PER-RUN */
#include <dlfcn.h>
#include <openssl/evp.h>
#include <openssl/store.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RUNS 99 /* many and short: what else the machine does changes from second to second */
#define MOST_THREADS 8

static CK_FUNCTION_LIST *p11;
static CK_SLOT_ID slot;
static _Atomic int stop;

/* DigestInfo of SHA-256, RFC 8017 §9.2 note 1. */
static const unsigned char sha256_info[] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                             0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20 };

struct work {
    const char *label;
    EVP_PKEY *key;
    CK_MECHANISM_TYPE mechanism;
    size_t prefix_len;
    double promised; /* the ratio that must be reached */
    unsigned long done;
    double cpu_s;
    int failed;
};

struct rates { /* signatures a second */
    double wall;
    double cpu;
};

static double now(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void *by_provider(void *argument)
{
    struct work *work = argument;
    unsigned char text[32] = { 1 };
    unsigned char sig[1024];

    while (!stop) {
        size_t len = sizeof(sig);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();

        work->failed |= EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, work->key, NULL) != 1 ||
                        EVP_DigestSign(ctx, sig, &len, text, sizeof(text)) != 1;
        EVP_MD_CTX_free(ctx);
        work->done++;
    }
    work->cpu_s = now(CLOCK_THREAD_CPUTIME_ID);
    return NULL;
}

static CK_OBJECT_HANDLE find(CK_SESSION_HANDLE session, const char *label)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof(class) }, { CKA_LABEL, (void *)label, strlen(label) } };
    CK_OBJECT_HANDLE object = 0;
    CK_ULONG count = 0;

    p11->C_FindObjectsInit(session, template, 2);
    p11->C_FindObjects(session, &object, 1, &count);
    p11->C_FindObjectsFinal(session);
    return object;
}

static void *bare(void *argument)
{
    struct work *work = argument;
    CK_MECHANISM mechanism = { work->mechanism, NULL, 0 };
    unsigned char input[64];
    unsigned char sig[1024];
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE object;

    memcpy(input, sha256_info, work->prefix_len);
    memset(input + work->prefix_len, 7, 32);
    work->failed |= p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session) != CKR_OK;
    object = find(session, work->label);
    while (!stop && !work->failed) {
        CK_ULONG len = sizeof(sig);

        work->failed |= p11->C_SignInit(session, &mechanism, object) != CKR_OK ||
                        p11->C_Sign(session, input, work->prefix_len + 32, sig, &len) != CKR_OK;
        work->done++;
    }
    work->cpu_s = now(CLOCK_THREAD_CPUTIME_ID);
    p11->C_CloseSession(session);
    return NULL;
}

/* Signatures a second over all threads; ends the program if one failed. */
static struct rates rate(void *(*body)(void *), const struct work *model, int threads, double seconds)
{
    pthread_t ids[MOST_THREADS];
    struct work works[MOST_THREADS];
    struct timespec pause = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
    unsigned long done = 0;
    double cpu_s = 0;
    double began = now(CLOCK_MONOTONIC);

    stop = 0;
    for (int i = 0; i < threads; i++) {
        works[i] = *model;
        pthread_create(&ids[i], NULL, body, &works[i]);
    }
    nanosleep(&pause, NULL);
    stop = 1;
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        done += works[i].done;
        cpu_s += works[i].cpu_s;
        if (works[i].failed) {
            fprintf(stderr, "overhead: a signature failed\n");
            exit(1);
        }
    }
    return (struct rates){ (double)done / (now(CLOCK_MONOTONIC) - began), (double)done / cpu_s };
}

static int by_size(const void *a, const void *b)
{
    return *(const double *)a < *(const double *)b ? -1 : 1;
}

static double median(double *values)
{
    qsort(values, RUNS, sizeof(values[0]), by_size);
    return values[RUNS / 2];
}

/* Whether the promise is kept. */
static int compare(const struct work *work, int threads, double seconds)
{
    double wall[RUNS];
    double cpu[RUNS];
    double provider[RUNS];
    double plain[RUNS];

    for (int run = 0; run < RUNS; run++) {
        struct rates without = rate(bare, work, threads, seconds);
        struct rates with = rate(by_provider, work, threads, seconds);

        plain[run] = without.wall;
        provider[run] = with.wall;
        wall[run] = with.wall / without.wall;
        cpu[run] = with.cpu / without.cpu;
    }
    printf("%-4s %d thread%s  bare %8.0f/s  provider %8.0f/s  ratio %.3f, by processor time %.3f (promised %.2f)\n",
           work->label, threads, threads > 1 ? "s" : " ", median(plain), median(provider), median(wall), median(cpu),
           work->promised);
    fflush(stdout);
    return median(wall) >= work->promised || median(cpu) >= work->promised;
}

static EVP_PKEY *load(const char *token, const char *label)
{
    char uri[256];
    OSSL_STORE_CTX *store;
    OSSL_STORE_INFO *info;
    EVP_PKEY *key;

    snprintf(uri, sizeof(uri), "pkcs11:token=%s;object=%s;type=private", token, label);
    store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
    info = store == NULL ? NULL : OSSL_STORE_load(store);
    key = info == NULL ? NULL : OSSL_STORE_INFO_get1_PKEY(info);
    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    return key;
}

static int find_slot(const char *label)
{
    CK_SLOT_ID slots[32];
    CK_ULONG count = 32;

    if (p11->C_GetSlotList(CK_TRUE, slots, &count) != CKR_OK) {
        return 0;
    }
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;

        if (p11->C_GetTokenInfo(slots[i], &info) == CKR_OK && memcmp(info.label, label, strlen(label)) == 0) {
            slot = slots[i];
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct work works[] = {
        { .label = "ec", .mechanism = CKM_ECDSA, .promised = 0.9 },
        { .label = "rsa", .mechanism = CKM_RSA_PKCS, .prefix_len = sizeof(sha256_info), .promised = 0.97 }
    };
    static const int threads[] = { 1, 2, 8 };
    int kept = 1;
    CK_C_GetFunctionList get_list;
    void *module = argc == 4 ? dlopen(argv[1], RTLD_NOW) : NULL;
    void *symbol = module == NULL ? NULL : dlsym(module, "C_GetFunctionList");

    if (symbol == NULL) {
        fprintf(stderr, "usage: overhead MODULE TOKEN SECONDS\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN); /* as servers do */
    memcpy(&get_list, &symbol, sizeof(get_list));
    for (size_t i = 0; i < 2; i++) {
        works[i].key = load(argv[2], works[i].label);
        if (works[i].key == NULL) {
            fprintf(stderr, "overhead: key '%s' can't be loaded\n", works[i].label);
            return 1;
        }
    }
    /* The provider has initialised the module and logged in, for the whole process. */
    if (get_list(&p11) != CKR_OK || !find_slot(argv[2])) {
        fprintf(stderr, "overhead: no token\n");
        return 1;
    }
    for (size_t t = 0; t < 3; t++) {
        for (size_t i = 0; i < 2; i++) {
            kept &= compare(&works[i], threads[t], atof(argv[3]));
        }
    }
    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY_free(works[i].key);
    }
    return kept ? 0 : 1;
}
