/* Many handshakes at once in one thread, both ends of each, over memory: an event loop as a server has one.
 *
 * Ends whose context has SSL_MODE_ASYNC may pause; the loop goes on with others and waits for descriptors only when
 * none can go on. For the tests and the benchmark of this folder. */
#ifndef SIGNET_TESTS_FLIGHT_H
#define SIGNET_TESTS_FLIGHT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

/* Two ends. */
struct flight_pair {
    SSL *server;
    SSL *client;
    uint64_t began_us;
};

enum flight_step { FLIGHT_DONE, FLIGHT_PAUSED, FLIGHT_FAILED };

/* flight_begin makes the ends; false on failure. flight_step goes as far as it can. flight_end frees them, at any
 * time. */
bool flight_begin(struct flight_pair *pair, SSL_CTX *server, SSL_CTX *client);
enum flight_step flight_step(struct flight_pair *pair);
void flight_end(struct flight_pair *pair);
/* flight_wait waits until the pair that paused may be gone on with; false after so many milliseconds. */
bool flight_wait(struct flight_pair *pair, int timeout_ms);

struct flight_report {
    unsigned done;
    unsigned failed;
    unsigned pauses;
    double seconds;
    double cpu_seconds; /* of all threads */
    unsigned threads;   /* of the process at the end */
};

/* How long each handshake took: runs add to it. */
struct flight_times {
    double *ms;
    size_t num, room;
};

/* flight_run makes `total` handshakes, `most` at once. `times` may be NULL. False if it could not begin. */
bool flight_run(struct flight_report *out, struct flight_times *times, SSL_CTX *server, SSL_CTX *client, unsigned most,
                unsigned total);
/* flight_time is what so great a part of them took at the most; sorts. */
double flight_time(struct flight_times *times, double part);
void flight_times_free(struct flight_times *times);

uint64_t flight_clock_us(void);
unsigned flight_threads(void);

#endif
