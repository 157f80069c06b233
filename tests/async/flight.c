#include "flight.h"

#include <dirent.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define MOST_FDS 4

static uint64_t us_of(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

uint64_t flight_clock_us(void)
{
    return us_of(CLOCK_MONOTONIC);
}

unsigned flight_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    unsigned count = 0;

    while (tasks != NULL && readdir(tasks) != NULL) {
        count++;
    }
    if (tasks != NULL) {
        closedir(tasks);
    }
    return count > 2 ? count - 2 : 0; /* "." and ".." */
}

/* --- a pair ------------------------------------------------------------------------------------------------------- */

bool flight_begin(struct flight_pair *pair, SSL_CTX *server, SSL_CTX *client)
{
    BIO *server_bio = NULL;
    BIO *client_bio = NULL;

    *pair = (struct flight_pair){ SSL_new(server), SSL_new(client), flight_clock_us() };
    if (pair->server == NULL || pair->client == NULL || BIO_new_bio_pair(&server_bio, 0, &client_bio, 0) != 1) {
        flight_end(pair);
        return false;
    }
    SSL_set_bio(pair->server, server_bio, server_bio);
    SSL_set_bio(pair->client, client_bio, client_bio);
    SSL_set_accept_state(pair->server);
    SSL_set_connect_state(pair->client);
    return true;
}

void flight_end(struct flight_pair *pair)
{
    SSL_free(pair->server);
    SSL_free(pair->client);
    *pair = (struct flight_pair){ .server = NULL };
}

/* One end as far as it goes. */
static enum flight_step end_step(SSL *ssl, bool *out_wants_bytes)
{
    int result = SSL_do_handshake(ssl);
    int why = SSL_get_error(ssl, result);

    *out_wants_bytes = result != 1 && (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE);
    if (result == 1) {
        return FLIGHT_DONE;
    }
    return why == SSL_ERROR_WANT_ASYNC || why == SSL_ERROR_WANT_ASYNC_JOB || *out_wants_bytes ? FLIGHT_PAUSED
                                                                                              : FLIGHT_FAILED;
}

enum flight_step flight_step(struct flight_pair *pair)
{
    for (int round = 0; round < 20; round++) {
        bool client_wants;
        bool server_wants;
        enum flight_step client = end_step(pair->client, &client_wants);
        enum flight_step server = end_step(pair->server, &server_wants);

        if (client == FLIGHT_FAILED || server == FLIGHT_FAILED) {
            return FLIGHT_FAILED;
        }
        if (client == FLIGHT_DONE && server == FLIGHT_DONE) {
            return FLIGHT_DONE;
        }
        if ((client == FLIGHT_PAUSED && !client_wants) || (server == FLIGHT_PAUSED && !server_wants)) {
            return FLIGHT_PAUSED;
        }
    }
    return FLIGHT_FAILED;
}

static size_t fds_of(SSL *ssl, OSSL_ASYNC_FD fds[MOST_FDS])
{
    size_t count = 0;

    if (!SSL_waiting_for_async(ssl) || SSL_get_all_async_fds(ssl, NULL, &count) != 1 || count > MOST_FDS) {
        return 0;
    }
    return SSL_get_all_async_fds(ssl, fds, &count) == 1 ? count : 0;
}

bool flight_wait(struct flight_pair *pair, int timeout_ms)
{
    struct pollfd polled[2 * MOST_FDS];
    OSSL_ASYNC_FD fds[MOST_FDS];
    nfds_t num = 0;
    SSL *ends[] = { pair->server, pair->client };

    for (size_t end = 0; end < 2; end++) {
        size_t count = fds_of(ends[end], fds);

        for (size_t i = 0; i < count; i++) {
            polled[num++] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
        }
    }
    return num > 0 && poll(polled, num, timeout_ms) > 0;
}

/* --- times -------------------------------------------------------------------------------------------------------- */

static void times_add(struct flight_times *times, uint64_t since_us)
{
    if (times == NULL) {
        return;
    }
    if (times->num == times->room) {
        size_t room = times->room * 2 + 64;
        double *grown = realloc(times->ms, room * sizeof(double));

        if (grown == NULL) {
            return;
        }
        times->ms = grown;
        times->room = room;
    }
    times->ms[times->num++] = (double)(flight_clock_us() - since_us) / 1e3;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

double flight_time(struct flight_times *times, double part)
{
    if (times->num == 0) {
        return 0;
    }
    qsort(times->ms, times->num, sizeof(double), by_size);
    return times->ms[(size_t)((double)(times->num - 1) * part)];
}

void flight_times_free(struct flight_times *times)
{
    free(times->ms);
    *times = (struct flight_times){ .ms = NULL };
}

/* --- many --------------------------------------------------------------------------------------------------------- */

struct loop {
    SSL_CTX *server;
    SSL_CTX *client;
    struct flight_pair *pairs;
    unsigned most;
    unsigned total;
    unsigned begun;
    int epoll;
    struct flight_report *report;
    struct flight_times *times;
};

static bool watch(struct loop *loop, unsigned at)
{
    SSL *ends[] = { loop->pairs[at].server, loop->pairs[at].client };
    OSSL_ASYNC_FD fds[MOST_FDS];

    for (size_t end = 0; end < 2; end++) {
        size_t count = fds_of(ends[end], fds);

        for (size_t i = 0; i < count; i++) {
            struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data = { .u32 = at } };

            if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fds[i], &event) != 0 &&
                epoll_ctl(loop->epoll, EPOLL_CTL_MOD, fds[i], &event) != 0) {
                return false;
            }
        }
    }
    return true;
}

/* Goes on with one place: its pair as far as that goes, and the next ones after it, until one pauses or none is left.
 * False if there is nothing more for this place. */
static bool place_run(struct loop *loop, unsigned at)
{
    struct flight_pair *pair = &loop->pairs[at];
    struct flight_report *report = loop->report;

    for (;;) {
        if (pair->server == NULL) {
            if (loop->begun == loop->total) {
                return false;
            }
            loop->begun++;
            if (!flight_begin(pair, loop->server, loop->client)) {
                report->failed++;
                continue;
            }
        }
        switch (flight_step(pair)) {
        case FLIGHT_PAUSED:
            report->pauses++;
            if (watch(loop, at)) {
                return true;
            }
            report->failed++;
            break;
        case FLIGHT_DONE:
            report->done++;
            times_add(loop->times, pair->began_us);
            break;
        default:
            report->failed++;
            break;
        }
        flight_end(pair);
    }
}

static void loop_run(struct loop *loop)
{
    unsigned waiting = 0;

    for (unsigned i = 0; i < loop->most; i++) {
        waiting += place_run(loop, i);
    }
    while (waiting > 0) {
        struct epoll_event events[64];
        int count = epoll_wait(loop->epoll, events, 64, 30000);

        if (count <= 0) {
            loop->report->failed += waiting;
            break;
        }
        for (int i = 0; i < count; i++) {
            waiting -= !place_run(loop, events[i].data.u32);
        }
    }
}

bool flight_run(struct flight_report *out, struct flight_times *times, SSL_CTX *server, SSL_CTX *client, unsigned most,
                unsigned total)
{
    struct loop loop = {
        server, client, calloc(most, sizeof(struct flight_pair)), most, total, 0, epoll_create1(EPOLL_CLOEXEC),
        out,    times
    };
    uint64_t began = flight_clock_us();
    uint64_t cpu_began = us_of(CLOCK_PROCESS_CPUTIME_ID);
    bool good = loop.pairs != NULL && loop.epoll >= 0;

    *out = (struct flight_report){ .done = 0 };
    if (good) {
        loop_run(&loop);
        out->seconds = (double)(flight_clock_us() - began) / 1e6;
        out->cpu_seconds = (double)(us_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_began) / 1e6;
        out->threads = flight_threads();
        for (unsigned i = 0; i < most; i++) {
            flight_end(&loop.pairs[i]);
        }
    }
    free(loop.pairs);
    close(loop.epoll);
    return good;
}
