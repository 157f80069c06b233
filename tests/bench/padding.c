/* What time tells of RSA padding that a token removes itself: good data and bad in random turns, and the times of each
 * decryption and of the operation after it; here, and at a TLS 1.2 server with RSA key transport, over loopback.
 *
 *     padding SAMPLES CERTIFICATE       the keys are those of lib/setup.sh, behind tests/token/token-counter
 *
 * Bad data are of two kinds: with bad padding, so that the token's own time shows as well, and good ones to which the
 * token answers, in the same time, that they are bad: what is seen then is Signet's. */
#include <arpa/inet.h>
#include <math.h>
#include <netinet/tcp.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../tls/pair.h"
#include "../token/counts.h"

#define K 256
#define WARM_UP 20
#define RESAMPLES 1000
#define ENCRYPTED_DATA_INVALID 0x40 /* CKR_ */

static struct counts *counts;
static EVP_PKEY *key;
static EVP_PKEY *signer;

static double now_us(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static void must(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "padding: %s\n", what);
        exit(1);
    }
}

/* --- statistics --------------------------------------------------------------------------------------------------- */

static uint64_t next_random(void)
{
    static uint64_t state = 88172645463325252;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

struct samples {
    double *us[2]; /* of good data, of bad */
    size_t num[2];
};

static void samples_begin(struct samples *samples, size_t most)
{
    for (int i = 0; i < 2; i++) {
        samples->us[i] = calloc(most, sizeof(double));
        samples->num[i] = 0;
        must(samples->us[i] != NULL, "no memory");
    }
}

static int by_size(const void *a, const void *b)
{
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static double median(double *values, size_t num)
{
    qsort(values, num, sizeof(*values), by_size);
    return num % 2 == 1 ? values[num / 2] : (values[num / 2 - 1] + values[num / 2]) / 2;
}

/* The middle 99 % of what the difference of medians is, of samples drawn anew from these. */
static void confidence(const struct samples *samples, double *out_low, double *out_high)
{
    static double differences[RESAMPLES];
    size_t most = samples->num[0] > samples->num[1] ? samples->num[0] : samples->num[1];
    double *drawn = calloc(most, sizeof(*drawn));

    must(drawn != NULL, "no memory");
    for (size_t i = 0; i < RESAMPLES; i++) {
        double medians[2];

        for (int class = 0; class < 2; class ++) {
            for (size_t j = 0; j < samples->num[class]; j++) {
                drawn[j] = samples->us[class][next_random() % samples->num[class]];
            }
            medians[class] = median(drawn, samples->num[class]);
        }
        differences[i] = medians[1] - medians[0];
    }
    free(drawn);
    qsort(differences, RESAMPLES, sizeof(*differences), by_size);
    *out_low = differences[RESAMPLES / 200];
    *out_high = differences[RESAMPLES - 1 - RESAMPLES / 200];
}

/* Welch's t of the lower nine tenths of each class, which are sorted: what else the machine does is in the rest. */
static double welch(const struct samples *samples)
{
    double mean[2] = { 0, 0 };
    double variance[2] = { 0, 0 };
    double num[2];

    for (int class = 0; class < 2; class ++) {
        size_t count = samples->num[class] * 9 / 10;

        num[class] = (double)count;
        for (size_t i = 0; i < count; i++) {
            mean[class] += samples->us[class][i] / num[class];
        }
        for (size_t i = 0; i < count; i++) {
            variance[class] += pow(samples->us[class][i] - mean[class], 2) / (num[class] - 1);
        }
    }
    return (mean[1] - mean[0]) / sqrt(variance[0] / num[0] + variance[1] / num[1]);
}

static void report(const char *what, const char *kind, const char *when, struct samples *samples)
{
    double medians[2];
    double low;
    double high;

    for (int class = 0; class < 2; class ++) {
        medians[class] = median(samples->us[class], samples->num[class]);
    }
    confidence(samples, &low, &high);
    printf("%-10s %-11s %-8s good %9.1f us  bad %9.1f us  difference %+9.1f us (99 %%: %+9.1f to %+9.1f)  t %+7.2f\n",
           what, kind, when, medians[0], medians[1], medians[1] - medians[0], low, high, welch(samples));
    fflush(stdout);
    for (int class = 0; class < 2; class ++) {
        free(samples->us[class]);
    }
}

/* --- data --------------------------------------------------------------------------------------------------------- */

static void encrypt(unsigned char out[K], int mode, const unsigned char *text, size_t text_len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    size_t len = K;

    must(EVP_PKEY_encrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, mode) == 1 &&
             EVP_PKEY_encrypt(ctx, out, &len, text, text_len) == 1,
         "data can't be encrypted");
    EVP_PKEY_CTX_free(ctx);
}

/* Each time another one, so that no cache knows it. */
static void cipher_make(unsigned char out[K], int mode, int bad)
{
    unsigned char block[K];

    must(RAND_bytes(block, K) == 1, "no random numbers");
    block[0] = bad ? 0 : 3;
    block[1] = bad ? 1 : 3;
    mode = mode == RSA_PKCS1_WITH_TLS_PADDING ? RSA_PKCS1_PADDING : mode;
    encrypt(out, bad ? RSA_NO_PADDING : mode, block, bad ? K : 48);
}

static void answer_badly(void)
{
    struct fault *fault = &counts->faults[COUNT_Decrypt];

    fault->with = ENCRYPTED_DATA_INVALID;
    fault->after = 0;
    fault->times = 1;
}

/* One run: of good data and bad in random turns, what it takes and what the operation after it takes. */
struct race {
    const char *name;
    int mode;
    double (*decrypt)(const struct race *race, const unsigned char cipher[K], int bad);
    double (*next)(const struct race *race);
};

static void race_run(const struct race *race, size_t num, int by_answer)
{
    struct samples itself;
    struct samples next;

    samples_begin(&itself, num);
    samples_begin(&next, num);
    for (size_t i = 0; i < num + WARM_UP; i++) {
        int bad = next_random() >> 40 & 1;
        unsigned char cipher[K];
        double took;

        cipher_make(cipher, race->mode, bad && !by_answer);
        if (bad && by_answer) {
            answer_badly();
        }
        took = race->decrypt(race, cipher, bad);
        if (i >= WARM_UP) {
            itself.us[bad][itself.num[bad]++] = took;
        }
        took = race->next(race);
        if (i >= WARM_UP) {
            next.us[bad][next.num[bad]++] = took;
        }
    }
    report(race->name, by_answer ? "an answer" : "its padding", "itself", &itself);
    report(race->name, by_answer ? "an answer" : "its padding", "the next", &next);
}

/* --- here --------------------------------------------------------------------------------------------------------- */

static double decrypt_here(const struct race *race, const unsigned char cipher[K], int bad)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    unsigned version = TLS1_2_VERSION;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &version),
        OSSL_PARAM_construct_end(),
    };
    unsigned char out[K];
    size_t len = sizeof(out);
    double began = now_us();
    int good = EVP_PKEY_decrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, race->mode) == 1 &&
               (race->mode != RSA_PKCS1_WITH_TLS_PADDING || EVP_PKEY_CTX_set_params(ctx, params) == 1) &&
               EVP_PKEY_decrypt(ctx, out, &len, cipher, K) == 1;
    double took = now_us() - began;

    must(good == !(bad && race->mode == RSA_PKCS1_OAEP_PADDING), "a decryption has another end than it should");
    EVP_PKEY_CTX_free(ctx);
    return took;
}

static double sign_here(const struct race *race)
{
    double began = now_us();

    (void)race;
    must(key_signs(signer), "a signature failed");
    return now_us() - began;
}

/* --- a server ----------------------------------------------------------------------------------------------------- */

static int listener;
static struct sockaddr_in address;

static void *serve(void *context)
{
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        SSL *ssl;

        if (fd < 0) {
            return NULL;
        }
        ssl = SSL_new(context);
        must(ssl != NULL && SSL_set_fd(ssl, fd) == 1, "no connection");
        (void)SSL_accept(ssl); /* fails, as nobody knows the premaster secret */
        ERR_clear_error();
        SSL_free(ssl);
        close(fd);
    }
}

static void server_start(const char *certificate)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    socklen_t len = sizeof(address);
    pthread_t thread;

    must(context != NULL && SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION) == 1 &&
             SSL_CTX_set_cipher_list(context, "AES128-SHA256:@SECLEVEL=0") == 1 &&
             SSL_CTX_use_certificate_file(context, certificate, SSL_FILETYPE_PEM) == 1 &&
             SSL_CTX_use_PrivateKey(context, key) == 1,
         "no server");
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 8) == 0 &&
             getsockname(listener, (struct sockaddr *)&address, &len) == 0 &&
             pthread_create(&thread, NULL, serve, context) == 0,
         "no server");
}

/* As RFC 5246 has them: records, and a ClientHello of one cipher suite, TLS_RSA_WITH_AES_128_CBC_SHA256. */
static void hello(int fd)
{
    unsigned char record[50] = { 22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3 };

    must(RAND_bytes(record + 11, 32) == 1, "no random numbers");
    memcpy(record + 43, "\0\0\2\0\x3c\1\0", 7);
    must(write(fd, record, sizeof(record)) == sizeof(record), "a ClientHello can't be sent");
}

/* Until the ServerHelloDone, whose four bytes are the last that the server sends for now. */
static void hello_done(int fd)
{
    unsigned char buffer[8192];
    ssize_t num = 0;

    while (num < 4 || memcmp(buffer + num - 4, "\16\0\0\0", 4) != 0) {
        ssize_t got = read(fd, buffer + num, sizeof(buffer) - (size_t)num);

        must(got > 0, "the server sends no ServerHelloDone");
        num += got;
    }
}

/* The ciphertext and what goes with it, of which the server can make nothing whether or not the padding is good. */
static double ask_server(const struct race *race, const unsigned char cipher[K], int bad)
{
    unsigned char sent[11 + K + 6 + 5 + 80] = { 22, 3, 3, 1, 6, 16, 0, 1, 2, 1, 0 };
    unsigned char answer[64];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int yes = 1;
    double began;

    (void)race;
    (void)bad;
    must(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
             setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) == 0,
         "the server can't be reached");
    hello(fd);
    hello_done(fd);
    memcpy(sent + 11, cipher, K);
    memcpy(sent + 11 + K, "\24\3\3\0\1\1\26\3\3\0\120", 11);
    must(RAND_bytes(sent + 11 + K + 11, 80) == 1, "no random numbers");
    began = now_us();
    must(write(fd, sent, sizeof(sent)) == sizeof(sent) && read(fd, answer, sizeof(answer)) > 0 && answer[0] == 21,
         "the server sends no alert");
    began = now_us() - began;
    close(fd);
    return began;
}

static double ask_server_again(const struct race *race)
{
    unsigned char cipher[K];

    cipher_make(cipher, race->mode, 0);
    return ask_server(race, cipher, 0);
}

/* ------------------------------------------------------------------------------------------------------------------ */

int main(int argc, char **argv)
{
    static const struct race races[] = {
        { "PKCS#1", RSA_PKCS1_PADDING, decrypt_here, sign_here },
        { "TLS", RSA_PKCS1_WITH_TLS_PADDING, decrypt_here, sign_here },
        { "OAEP", RSA_PKCS1_OAEP_PADDING, decrypt_here, sign_here },
        { "a server", RSA_PKCS1_PADDING, ask_server, ask_server_again },
    };
    size_t num = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;

    must(num >= 100, "usage: padding SAMPLES CERTIFICATE, of at least 100");
    counts = counts_map(getenv("SIGNET_TEST_COUNTS"));
    key = key_by_name("pkcs11:token=test;object=rsa;type=private");
    signer = key_by_name("pkcs11:token=test;object=ec;type=private");
    must(counts != NULL && key != NULL && signer != NULL, "no keys");
    server_start(argv[2]);
    for (size_t i = 0; i < sizeof(races) / sizeof(*races); i++) {
        race_run(&races[i], num, 0);
        race_run(&races[i], num, 1);
    }
    return 0;
}
