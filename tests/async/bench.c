/* Handshakes a second in one thread, both ends of each, TLS 1.3: with a software key, and with a key on a token whose
 * calls take so and so long, waiting for it or not.    bench FOLDER TYPE SECONDS DELAYS FLIGHTS
 *
 * DELAYS are microseconds a PKCS#11 call, FLIGHTS how many handshakes are under way at once, both with commas between.
 * Each figure is of a run of about SECONDS. Lines: type, delay, in flight, way, handshakes a second, p50 and p99 of a
 * handshake in ms, threads of the process. */
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tls/pair.h"
#include "../token/control.h"
#include "flight.h"

#define ROUNDS 3

struct way {
    const char *name;
    const char *suffix; /* of the key's name */
    bool pauses;
};

static const struct way ways[] = {
    { "software", "-soft", false },
    { "sync", "", false },
    { "async", "", true },
};

static SSL_CTX *server_of(const char *folder, const char *type, const struct way *way)
{
    char key[256];
    char chain[256];
    char root[256];
    SSL_CTX *server;

    snprintf(key, sizeof(key), "%s/%s%s.key", folder, type, way->suffix);
    snprintf(chain, sizeof(chain), "%s/%s%s-chain.pem", folder, type, way->suffix);
    snprintf(root, sizeof(root), "%s/root.pem", folder);
    server = context_with(key, chain, root, TLS1_3_VERSION);
    if (server != NULL) {
        SSL_CTX_set_verify(server, SSL_VERIFY_NONE, NULL);
        SSL_CTX_set_session_cache_mode(server, SSL_SESS_CACHE_OFF);
        if (way->pauses) {
            SSL_CTX_set_mode(server, SSL_MODE_ASYNC);
        }
    }
    return server;
}

/* So many handshakes as fill the time, of which a first run tells how many these are. */
static bool measure(struct flight_report *out, SSL_CTX *server, SSL_CTX *client, unsigned most, double seconds)
{
    unsigned first = 20 + most;
    double wanted;

    if (!flight_run(out, server, client, most, first) || out->failed > 0) {
        return false;
    }
    wanted = first / out->seconds * seconds;
    return flight_run(out, server, client, most, wanted < first ? first : (unsigned)wanted) && out->failed == 0;
}

/* A list of numbers; the text is cut up. */
static size_t numbers(char *text, unsigned out[], size_t most)
{
    size_t count = 0;

    for (char *item = strtok(text, ","); item != NULL && count < most; item = strtok(NULL, ",")) {
        out[count++] = (unsigned)strtoul(item, NULL, 10);
    }
    return count;
}

static bool delay_set(struct counts *counts, unsigned us)
{
    char words[64];
    char wrong[256];

    snprintf(words, sizeof(words), "delay=%u", us);
    return counts_obey(counts, words, wrong);
}

static int by_rate(const void *a, const void *b)
{
    const struct flight_report *x = a;
    const struct flight_report *y = b;
    double left = x->done / x->seconds;
    double right = y->done / y->seconds;

    return (left > right) - (left < right);
}

/* Each way in turn, three times: the median is told, since other things run on the machine, too. */
static bool row(const char *type, unsigned delay, unsigned most, double seconds, SSL_CTX *servers[3], SSL_CTX *client)
{
    struct flight_report reports[3][ROUNDS];

    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < 3; i++) {
            if (!measure(&reports[i][round], servers[i], client, most, seconds / ROUNDS)) {
                fprintf(stderr, "bench: %s, %u us, %u in flight, %s: %u handshakes failed\n", type, delay, most,
                        ways[i].name, reports[i][round].failed);
                return false;
            }
        }
    }
    for (size_t i = 0; i < 3; i++) {
        const struct flight_report *median = &reports[i][ROUNDS / 2];

        qsort(reports[i], ROUNDS, sizeof(struct flight_report), by_rate);
        printf("%s\t%u\t%u\t%s\t%.1f\t%.2f\t%.2f\t%u\n", type, delay, most, ways[i].name,
               median->done / median->seconds, median->p50_ms, median->p99_ms, median->threads);
    }
    fflush(stdout);
    return true;
}

int main(int argc, char **argv)
{
    struct counts *counts = argc == 6 ? counts_map(getenv("SIGNET_TEST_COUNTS")) : NULL;
    unsigned delays[16];
    unsigned flights[16];
    size_t num_delays;
    size_t num_flights;
    SSL_CTX *servers[3];
    SSL_CTX *client;
    char root[256];

    if (counts == NULL) {
        fprintf(stderr, "usage: bench FOLDER TYPE SECONDS DELAYS FLIGHTS\n");
        return 2;
    }
    num_delays = numbers(argv[4], delays, 16);
    num_flights = numbers(argv[5], flights, 16);
    snprintf(root, sizeof(root), "%s/root.pem", argv[1]);
    client = context_with(NULL, NULL, root, TLS1_3_VERSION);
    for (size_t i = 0; i < 3; i++) {
        servers[i] = server_of(argv[1], argv[2], &ways[i]);
        if (client == NULL || servers[i] == NULL) {
            fprintf(stderr, "bench: no key '%s%s'\n", argv[2], ways[i].suffix);
            return 1;
        }
    }
    for (size_t d = 0; d < num_delays; d++) {
        for (size_t f = 0; f < num_flights; f++) {
            if (!delay_set(counts, delays[d]) ||
                !row(argv[2], delays[d], flights[f], strtod(argv[3], NULL), servers, client)) {
                return 1;
            }
        }
    }
    for (size_t i = 0; i < 3; i++) {
        SSL_CTX_free(servers[i]);
    }
    SSL_CTX_free(client);
    return 0;
}
