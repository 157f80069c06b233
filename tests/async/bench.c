/* Handshakes a second in one thread, both ends of each, TLS 1.3: with a software key, and with a key on a token whose
 * calls take so and so long, waiting for it or not.    bench FOLDER TYPE SECONDS DELAYS FLIGHTS
 *
 * DELAYS are microseconds a PKCS#11 call, FLIGHTS how many handshakes are under way at once, both with commas between.
 *
 * The three ways take turns in short blocks, for about SECONDS each, seven times at least: other things run on the
 * machine, and what they take away they take from neighbours. The figures are medians of blocks; what one way is of
 * another is the median of what its block was of the other's next to it. Lines: type, delay, in flight, way,
 * handshakes a second, p50 and p99 of a handshake in ms, threads of the process, processor time of all threads for a
 * handshake in microseconds, rate as a part of the software key's, and of the one that waits. */
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../tls/pair.h"
#include "../token/control.h"
#include "flight.h"

#define LEAST_ROUNDS 7
#define MOST_ROUNDS 200
#define BLOCK 25 /* handshakes, at least: 1 ms each, or more */

enum { SOFTWARE, SYNC, ASYNC, NUM_WAYS };

struct way {
    const char *name;
    const char *suffix; /* of the key's name */
    bool pauses;
};

static const struct way ways[NUM_WAYS] = {
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

/* --- a row -------------------------------------------------------------------------------------------------------- */

struct bench {
    const char *type;
    double seconds;
    SSL_CTX *servers[NUM_WAYS];
    SSL_CTX *client;
};

struct row {
    unsigned delay;
    unsigned most;
    size_t rounds;
    struct flight_report blocks[NUM_WAYS][MOST_ROUNDS];
    struct flight_times times[NUM_WAYS];
};

/* Who waits has one handshake under way, however many there might be. */
static bool block_run(const struct bench *bench, struct row *row, size_t way)
{
    struct flight_report *block = &row->blocks[way][row->rounds];
    unsigned most = way == SYNC ? 1 : row->most;
    unsigned total = most * 4 < BLOCK ? BLOCK : most * 4;

    if (!flight_run(block, &row->times[way], bench->servers[way], bench->client, most, total) || block->failed > 0) {
        fprintf(stderr, "bench: %s, %u us, %u in flight, %s: %u handshakes failed\n", bench->type, row->delay,
                row->most, ways[way].name, block->failed);
        return false;
    }
    return true;
}

static bool row_run(const struct bench *bench, struct row *row)
{
    double until = bench->seconds * NUM_WAYS;
    double spent = 0;

    for (size_t way = 0; way < NUM_WAYS; way++) { /* workers, sessions, and what OpenSSL looks up the first time */
        if (!block_run(bench, row, way)) {
            return false;
        }
        row->times[way].num = 0;
    }
    for (; row->rounds < MOST_ROUNDS && (row->rounds < LEAST_ROUNDS || spent < until); row->rounds++) {
        for (size_t i = 0; i < NUM_WAYS; i++) {
            size_t way = row->rounds % 2 == 0 ? i : NUM_WAYS - 1 - i; /* who comes after whom shall not matter */

            if (!block_run(bench, row, way)) {
                return false;
            }
            spent += row->blocks[way][row->rounds].seconds;
        }
    }
    return true;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double rate(const struct flight_report *block)
{
    return block->done / block->seconds;
}

static double cpu_us(const struct flight_report *block)
{
    return block->cpu_seconds * 1e6 / block->done;
}

static double one(const struct flight_report *block)
{
    (void)block;
    return 1;
}

/* The median of all rounds: a figure of one way as a part of a figure of another. */
static double median(const struct row *row, size_t way, double (*figure)(const struct flight_report *), size_t other,
                     double (*whole)(const struct flight_report *))
{
    double values[MOST_ROUNDS];

    for (size_t i = 0; i < row->rounds; i++) {
        values[i] = figure(&row->blocks[way][i]) / whole(&row->blocks[other][i]);
    }
    qsort(values, row->rounds, sizeof(double), by_size);
    return values[row->rounds / 2];
}

static void row_tell(const struct bench *bench, struct row *row)
{
    for (size_t way = 0; way < NUM_WAYS; way++) {
        printf("%s\t%u\t%u\t%s\t%.1f\t%.2f\t%.2f\t%u\t%.0f\t%.3f\t%.3f\n", bench->type, row->delay, row->most,
               ways[way].name, median(row, way, rate, way, one), flight_time(&row->times[way], 0.5),
               flight_time(&row->times[way], 0.99), row->blocks[way][row->rounds - 1].threads,
               median(row, way, cpu_us, way, one), median(row, way, rate, SOFTWARE, rate),
               median(row, way, rate, SYNC, rate));
    }
    fflush(stdout);
}

static bool row_all(const struct bench *bench, struct counts *counts, unsigned delay, unsigned most)
{
    struct row row = { delay, most, .rounds = 0 };
    bool good = delay_set(counts, delay) && row_run(bench, &row);

    if (good) {
        row_tell(bench, &row);
    }
    for (size_t way = 0; way < NUM_WAYS; way++) {
        flight_times_free(&row.times[way]);
    }
    return good;
}

/* --- all rows ----------------------------------------------------------------------------------------------------- */

static bool bench_begin(struct bench *bench, const char *folder)
{
    char root[256];

    snprintf(root, sizeof(root), "%s/root.pem", folder);
    bench->client = context_with(NULL, NULL, root, TLS1_3_VERSION);
    for (size_t way = 0; way < NUM_WAYS; way++) {
        bench->servers[way] = server_of(folder, bench->type, &ways[way]);
        if (bench->client == NULL || bench->servers[way] == NULL) {
            fprintf(stderr, "bench: no key '%s%s'\n", bench->type, ways[way].suffix);
            return false;
        }
    }
    return true;
}

static void bench_end(struct bench *bench)
{
    for (size_t way = 0; way < NUM_WAYS; way++) {
        SSL_CTX_free(bench->servers[way]);
    }
    SSL_CTX_free(bench->client);
}

int main(int argc, char **argv)
{
    struct counts *counts = argc == 6 ? counts_map(getenv("SIGNET_TEST_COUNTS")) : NULL;
    struct bench bench = { argc == 6 ? argv[2] : "", argc == 6 ? strtod(argv[3], NULL) : 0, .client = NULL };
    unsigned delays[16];
    unsigned flights[16];
    size_t num_delays;
    size_t num_flights;
    bool good;

    if (counts == NULL) {
        fprintf(stderr, "usage: bench FOLDER TYPE SECONDS DELAYS FLIGHTS\n");
        return 2;
    }
    num_delays = numbers(argv[4], delays, 16);
    num_flights = numbers(argv[5], flights, 16);
    good = bench_begin(&bench, argv[1]);
    for (size_t d = 0; d < num_delays && good; d++) {
        for (size_t f = 0; f < num_flights && good; f++) {
            good = row_all(&bench, counts, delays[d], flights[f]);
        }
    }
    bench_end(&bench);
    return good ? 0 : 1;
}
