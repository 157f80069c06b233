#include "load.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"
#include "events.h"

#define WHO "client"
#define PATIENCE_S 30.0

enum stage { SHAKING, ASKING, READING };

struct place { /* of one connection after the other */
    SSL *ssl;
    enum stage stage;
    double began;
};

struct load {
    const struct options *options;
    SSL_CTX *ctx;
    struct addrinfo *where;
    struct place *places;
    int epoll;
    char line[1024];
    int len;
    unsigned total;
    unsigned begun;
    unsigned done;
    unsigned failed;
    unsigned under_way;
    double *took_ms; /* of those that are done */
    double started;
    double shown;
    int width; /* of the progress line, where stderr is a terminal */
};

/* --- one connection ----------------------------------------------------------------------------------------------- */

static void place_end(struct load *load, struct place *place, const char *wrong)
{
    int fd = place->ssl != NULL ? SSL_get_fd(place->ssl) : -1;

    if (wrong == NULL) {
        load->took_ms[load->done++] = (events_clock() - place->began) * 1e3;
        SSL_shutdown(place->ssl);
    } else if (load->failed++ == 0) {
        print_errors(WHO, wrong); /* the others are counted */
    }
    ERR_clear_error();
    SSL_free(place->ssl);
    place->ssl = NULL;
    if (fd >= 0) {
        close(fd);
    }
    load->under_way--;
}

static int socket_begin(const struct addrinfo *where)
{
    int fd = socket(where->ai_family, where->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0 && connect(fd, where->ai_addr, where->ai_addrlen) != 0 && errno != EINPROGRESS) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* False if it has failed at once. */
static bool place_begin(struct load *load, struct place *place)
{
    const struct options *options = load->options;
    int fd = socket_begin(load->where);

    place->ssl = SSL_new(load->ctx);
    place->stage = SHAKING;
    place->began = events_clock();
    load->begun++;
    load->under_way++;
    if (fd < 0 || place->ssl == NULL || !SSL_set_fd(place->ssl, fd) || !expect_server(place->ssl, options->name) ||
        !events_socket(load->epoll, fd, EPOLLOUT, place)) {
        if (fd >= 0 && (place->ssl == NULL || SSL_get_fd(place->ssl) != fd)) {
            close(fd);
        }
        place_end(load, place, "no connection can be made");
        return false;
    }
    SSL_set_mode(place->ssl, SSL_MODE_ASYNC);
    SSL_set_connect_state(place->ssl);
    return true;
}

/* As far as it goes. False if it is over. */
static bool place_run(struct load *load, struct place *place)
{
    for (;;) {
        char answer[2048];
        int result;

        ERR_clear_error();
        switch (place->stage) {
        case SHAKING:
            result = SSL_do_handshake(place->ssl);
            break;
        case ASKING:
            result = SSL_write(place->ssl, load->line, load->len);
            break;
        default:
            result = SSL_read(place->ssl, answer, sizeof(answer));
            break;
        }
        if (result > 0 && place->stage == READING) {
            place_end(load, place, NULL);
            return false;
        }
        if (result > 0) {
            place->stage++;
            continue;
        }
        if (events_arm(load->epoll, place->ssl, result, place)) {
            return true;
        }
        place_end(load, place, place->stage == SHAKING ? "a handshake failed" : "a connection was broken off");
        return false;
    }
}

/* The next connections of a place, until one is under way or there are no more. */
static void place_next(struct load *load, struct place *place)
{
    while (load->begun < load->total && !place_begin(load, place)) {
    }
}

/* --- figures ------------------------------------------------------------------------------------------------------ */

static void progress(struct load *load, bool at_end)
{
    double now = events_clock();
    char text[200];
    int width;

    if (!at_end && now - load->shown < (isatty(STDERR_FILENO) ? 0.2 : 2.0)) {
        return;
    }
    load->shown = now;
    width = snprintf(text, sizeof(text), WHO ": %u of %u connections, %u under way, %u failed, %.0f a second",
                     load->done, load->total, load->under_way, load->failed, load->done / (now - load->started));
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r%s%*s%s", text, load->width > width ? load->width - width : 0, "", at_end ? "\n" : "");
        load->width = width;
    } else {
        fprintf(stderr, "%s\n", text);
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double percentile(const struct load *load, unsigned percent)
{
    return load->done == 0 ? 0 : load->took_ms[(size_t)(load->done - 1) * percent / 100];
}

static void summary(struct load *load, const struct report *out, double seconds)
{
    char figures[7][24];

    qsort(load->took_ms, load->done, sizeof(double), by_size);
    snprintf(figures[0], sizeof(figures[0]), "%u", load->done);
    snprintf(figures[1], sizeof(figures[1]), "%u", load->failed);
    snprintf(figures[2], sizeof(figures[2]), "%.1f", load->done / seconds);
    snprintf(figures[3], sizeof(figures[3]), "%.2f", percentile(load, 50));
    snprintf(figures[4], sizeof(figures[4]), "%.2f", percentile(load, 90));
    snprintf(figures[5], sizeof(figures[5]), "%.2f", percentile(load, 99));
    snprintf(figures[6], sizeof(figures[6]), "%.2f", percentile(load, 100));
    report(out, 0, 0, "load", "connections", "#done", figures[0], "#failed", figures[1], "#per_second", figures[2],
           "#p50_ms", figures[3], "#p90_ms", figures[4], "#p99_ms", figures[5], "#longest_ms", figures[6],
           (const char *)NULL);
}

/* --- all ---------------------------------------------------------------------------------------------------------- */

/* Those that have been under way for too long will not end. */
static void end_the_late(struct load *load)
{
    for (unsigned i = 0; i < load->options->load; i++) {
        struct place *place = &load->places[i];

        if (place->ssl != NULL && events_clock() - place->began > PATIENCE_S &&
            !SSL_waiting_for_async(place->ssl)) { /* which the token's deadline ends */
            place_end(load, place, "the server does not answer");
            place_next(load, place);
        }
    }
}

static void run_all(struct load *load)
{
    for (unsigned i = 0; i < load->options->load; i++) {
        place_next(load, &load->places[i]);
    }
    while (load->under_way > 0) {
        struct epoll_event events[256];
        int count = epoll_wait(load->epoll, events, 256, 1000);

        for (int i = 0; i < count; i++) {
            struct place *place = events[i].data.ptr;

            if (!place_run(load, place)) {
                place_next(load, place);
            }
        }
        if (count == 0) {
            end_the_late(load);
        }
        progress(load, false);
    }
    progress(load, true);
}

bool load_run(const struct options *options, const struct report *report, SSL_CTX *ctx)
{
    struct addrinfo wanted = { .ai_socktype = SOCK_STREAM };
    struct load load = { .options = options, .ctx = ctx, .epoll = epoll_create1(EPOLL_CLOEXEC) };
    int error = getaddrinfo(options->where.host, options->where.port, &wanted, &load.where);
    bool good = error == 0 && load.epoll >= 0;

    events_more_files();
    load.total = options->load * options->repeat;
    load.places = calloc(options->load, sizeof(*load.places));
    load.took_ms = calloc(load.total, sizeof(double));
    load.len = snprintf(load.line, sizeof(load.line), "%s\n", options->message);
    load.started = load.shown = events_clock();
    if (!good || load.places == NULL || load.took_ms == NULL || load.len >= (int)sizeof(load.line)) {
        fprintf(stderr, WHO ": %s:%s: %s\n", options->where.host, options->where.port,
                error != 0 ? gai_strerror(error) : "no memory or no event loop");
        good = false;
    } else {
        run_all(&load);
        summary(&load, report, events_clock() - load.started);
        good = load.failed == 0 && load.done == load.total;
    }
    if (load.where != NULL) {
        freeaddrinfo(load.where);
    }
    free(load.places);
    free(load.took_ms);
    close(load.epoll);
    return good;
}
