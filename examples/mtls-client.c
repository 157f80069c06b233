/* A client that proves who it is, and checks who it talks to.
 *
 *     mtls-client --key URI-OR-FILE --cert URI-OR-FILE --ca ROOT.pem --name SERVER [--connect HOST:PORT] ...
 *
 * Sends a line and prints the answer, or is a tunnel between stdin, stdout and the server, or many connections at once
 * (load.c). */
#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "client-options.h"
#include "common.h"
#include "flow.h"
#include "load.h"

#define WHO "client"
#define PATIENCE_S 10
#define LET_IN_MS 2000 /* for the server's first word */

struct client {
    const struct options *options;
    const struct report *report;
    SSL_CTX *ctx;
    SSL_SESSION *session; /* to go on with; NULL: none yet */
    unsigned done;
    unsigned resumed;
};

static int connect_to(const char *host, const char *port)
{
    struct addrinfo wanted = { .ai_socktype = SOCK_STREAM };
    struct timeval patience = { .tv_sec = PATIENCE_S };
    struct addrinfo *list = NULL;
    int fd = -1;
    int error = getaddrinfo(host, port, &wanted, &list);

    if (error != 0) {
        fprintf(stderr, WHO ": %s:%s: %s\n", host, port, gai_strerror(error));
        return -1;
    }
    for (struct addrinfo *at = list; at != NULL && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd < 0) {
        fprintf(stderr, WHO ": nobody answers on %s:%s\n", host, port);
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return fd;
}

/* With TLS 1.3 the client is done before the server has judged its certificate, so the connection is good only once the
 * server has said something: a session ticket, data, or an alert if it refuses us. A server that says nothing by itself
 * leaves it open. */
static bool let_in(SSL *ssl)
{
    struct pollfd fd = { .fd = SSL_get_fd(ssl), .events = POLLIN };
    char byte;
    int got;

    if (SSL_version(ssl) < TLS1_3_VERSION || poll(&fd, 1, LET_IN_MS) <= 0) {
        return true; /* TLS 1.2: its Finished has said so */
    }
    SSL_clear_mode(ssl, SSL_MODE_AUTO_RETRY); /* a ticket is no data: then there is no more to read, and that is good */
    got = SSL_peek(ssl, &byte, 1);
    if (got <= 0 && SSL_get_error(ssl, got) != SSL_ERROR_WANT_READ) {
        return false;
    }
    SSL_set_mode(ssl, SSL_MODE_AUTO_RETRY);
    flow_answered(ssl);
    return true;
}

/* A line each way. */
static bool talk(const struct client *client, SSL *ssl)
{
    char line[1024];
    int len = snprintf(line, sizeof(line), "%s\n", client->options->message);

    if (len >= (int)sizeof(line) || SSL_write(ssl, line, len) <= 0 ||
        (len = SSL_read(ssl, line, sizeof(line) - 1)) <= 0) {
        return false;
    }
    flow_answered(ssl);
    line[len] = '\0';
    text_printable(line);
    report(client->report, client->done + 1, 0, "received", "received", "message", line, (const char *)NULL);
    return true;
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t step = write(fd, data, len);

        if (step < 0 && errno != EINTR) {
            return false;
        }
        data += step > 0 ? step : 0;
        len -= step > 0 ? (size_t)step : 0;
    }
    return true;
}

/* What the server sent until now goes to stdout. False when it has said goodbye, or failed. */
static bool tunnel_in(SSL *ssl, bool *out_good)
{
    char data[16384];

    do {
        int len = SSL_read(ssl, data, sizeof(data));

        if (len <= 0) {
            int error = SSL_get_error(ssl, len);

            *out_good = error == SSL_ERROR_ZERO_RETURN || error == SSL_ERROR_WANT_READ;
            return error == SSL_ERROR_WANT_READ;
        }
        flow_answered(ssl);
        if (!write_all(STDOUT_FILENO, data, (size_t)len)) {
            *out_good = false;
            return false;
        }
    } while (SSL_pending(ssl) > 0);
    return true;
}

/* The end of stdin ends our half: the server may go on. */
static bool tunnel(SSL *ssl)
{
    struct pollfd fds[] = { { .fd = SSL_get_fd(ssl), .events = POLLIN }, { .fd = STDIN_FILENO, .events = POLLIN } };
    char data[16384];
    bool good = true;

    SSL_clear_mode(ssl, SSL_MODE_AUTO_RETRY);
    for (;;) {
        if (SSL_pending(ssl) == 0 && poll(fds, 2, -1) < 0 && errno != EINTR) {
            return false;
        }
        if ((SSL_pending(ssl) > 0 || fds[0].revents != 0) && !tunnel_in(ssl, &good)) {
            return good;
        }
        if (fds[1].fd >= 0 && fds[1].revents != 0) {
            ssize_t len = read(STDIN_FILENO, data, sizeof(data));

            if (len <= 0) {
                fds[1].fd = -1;
                SSL_shutdown(ssl);
            } else if (SSL_write(ssl, data, (int)len) <= 0) {
                return false;
            }
        }
    }
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct client *client = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    SSL_SESSION_free(client->session);
    client->session = session;
    return 1; /* ours now */
}

static bool handshake(struct client *client, SSL *ssl, int fd)
{
    const struct options *options = client->options;

    if (!flow_begin(ssl, client->report, client->done + 1) || !SSL_set_fd(ssl, fd) ||
        !expect_server(ssl, options->name) ||
        (options->alpn.names != NULL && SSL_set_alpn_protos(ssl, options->alpn.names, options->alpn.len) != 0)) {
        print_errors(WHO, "no connection can be made");
        return false;
    }
    if (options->resume && client->session != NULL) {
        SSL_set_session(ssl, client->session);
    }
    if (SSL_connect(ssl) != 1 || !let_in(ssl)) {
        flow_refused(ssl);
        return false;
    }
    flow_connected(ssl);
    return true;
}

/* One connection, from TCP to goodbye. */
static bool connection(struct client *client)
{
    int fd = connect_to(client->options->where.host, client->options->where.port);
    SSL *ssl = fd < 0 ? NULL : SSL_new(client->ctx);
    bool good = ssl != NULL && handshake(client, ssl, fd);

    if (good) {
        good = client->options->tunnel ? tunnel(ssl) : talk(client, ssl);
        if (!good) {
            flow_broken(ssl);
        } else {
            SSL_shutdown(ssl);
        }
        client->resumed += SSL_session_reused(ssl) != 0;
        client->done++;
        flow_closed(ssl);
    }
    SSL_free(ssl);
    if (fd >= 0) {
        close(fd);
    }
    return good;
}

static bool context_begin(struct client *client)
{
    const struct options *options = client->options;

    client->ctx = context_new(WHO, TLS_client_method(), options->identity.key != NULL ? &options->identity : NULL,
                              &options->demands);
    if (client->ctx == NULL) {
        return false;
    }
    if (options->suites != NULL && !SSL_CTX_set_cipher_list(client->ctx, options->suites)) {
        print_errors(WHO, "no such cipher suite");
        return false;
    }
    if (options->load > 0) {
        SSL_CTX_set_verify(client->ctx, SSL_VERIFY_PEER, NULL);
        return true;
    }
    flow_watch(client->ctx);
    SSL_CTX_set_app_data(client->ctx, client);
    SSL_CTX_set_session_cache_mode(client->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client->ctx, on_session);
    return true;
}

static void summary(const struct client *client, double seconds)
{
    char done[24];
    char resumed[24];
    char ms[24];

    snprintf(done, sizeof(done), "%u", client->done);
    snprintf(resumed, sizeof(resumed), "%u", client->resumed);
    snprintf(ms, sizeof(ms), "%.2f", client->done > 0 ? seconds * 1000 / client->done : 0);
    report(client->report, 0, 0, "summary", "connections", "#done", done, "#resumed", resumed, "ms_each", ms,
           (const char *)NULL);
}

static int run(struct client *client)
{
    struct timespec began;
    struct timespec ended;
    bool good = context_begin(client);

    if (good && client->options->load > 0) {
        good = load_run(client->options, client->report, client->ctx);
        SSL_SESSION_free(client->session);
        SSL_CTX_free(client->ctx);
        return good ? 0 : 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &began);
    for (unsigned i = 0; good && i < client->options->repeat; i++) {
        good = connection(client);
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    if (client->options->repeat > 1) {
        summary(client, (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9);
    }
    SSL_SESSION_free(client->session);
    SSL_CTX_free(client->ctx);
    return good ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct options options;
    struct report report = { .who = WHO };
    struct client client = { .options = &options, .report = &report };
    int status;

    if (!options_read(&options, argc, argv, &status)) {
        return status;
    }
    signal(SIGPIPE, SIG_IGN);
    report.json = options.json;
    report.quiet = options.quiet;
    report.to_stderr = options.tunnel; /* stdout is the server's */
    report_begin(&report);
    status = run(&client);
    free(options.alpn.names);
    return status;
}
