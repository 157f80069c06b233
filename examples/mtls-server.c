/* A server that proves who it is, and lets only those in who prove who they are.
 *
 *     mtls-server --key URI-OR-FILE --cert URI-OR-FILE --ca ROOT.pem [--listen HOST:PORT] ...
 *
 * One thread for each connection, or with --async one for all (serve-async.c). Each line that a client sends is
 * answered; so is an HTTP request, by a page that tells what was proved. SIGHUP loads keys and certificates again,
 * SIGTERM ends it when the open connections are done.
 */
#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "flow.h"
#include "page.h"
#include "serve-async.h"
#include "server-options.h"

#define WHO "server"
#define PATIENCE_S 10 /* for a client that is silent, and for open connections at the end */
#define MOST_CONNECTIONS 1000

struct server {
    const struct options *options;
    const struct report *report;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t ended; /* a connection did */
    SSL_CTX *ctx;         /* for new connections; replaced by SIGHUP */
    unsigned open;
    struct connection *done; /* whose threads are to be joined */
    bool failed;             /* a connection did */
};

struct connection {
    struct server *server;
    int fd;
    unsigned number;
    pthread_t thread;
    struct connection *next; /* in `done` */
};

/* --- contexts: one for each identity ------------------------------------------------------------------------------ */

static void contexts_free(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
    SSL_CTX **others = ptr;

    (void)parent;
    (void)data;
    (void)index;
    (void)argl;
    (void)argp;
    for (int i = 0; others != NULL && i < MOST_IDENTITIES; i++) {
        SSL_CTX_free(others[i]);
    }
    free(others);
}

/* The contexts of the other host names hang from the default one, and end with it. */
static int others_index(void)
{
    static int index = -1;

    if (index < 0) {
        index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, contexts_free);
    }
    return index;
}

/* SNI: the client names the host that it wants. One that we don't know gets the default identity. */
static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    const struct options *options = arg;
    SSL_CTX **others = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), others_index());
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    (void)alert;
    for (int i = 0; name != NULL && others != NULL && i < options->num_identities; i++) {
        if (options->identities[i].host != NULL && OPENSSL_strcasecmp(options->identities[i].host, name) == 0) {
            return SSL_set_SSL_CTX(ssl, others[i]) != NULL ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
        }
    }
    return SSL_TLSEXT_ERR_OK;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *wanted,
                   unsigned wanted_len, void *arg)
{
    const struct options *options = arg;

    (void)ssl;
    return SSL_select_next_proto((unsigned char **)out, out_len, options->alpn.names, options->alpn.len, wanted,
                                 wanted_len) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *context_of(const struct options *options, const struct identity *identity)
{
    SSL_CTX *ctx = context_new(WHO, TLS_server_method(), identity, &options->demands);

    if (ctx != NULL) {
        flow_watch(ctx);
        /* Tells clients which certificate is asked for. */
        SSL_CTX_set_client_CA_list(ctx, SSL_load_client_CA_file(options->demands.trust));
        /* Sessions are resumed by tickets, whose keys are the context's: after SIGHUP everybody proves anew. */
        SSL_CTX_set_session_id_context(ctx, (const unsigned char *)WHO, sizeof(WHO) - 1);
        SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
        SSL_CTX_set_tlsext_servername_arg(ctx, (void *)options);
        if (options->alpn.names != NULL) {
            SSL_CTX_set_alpn_select_cb(ctx, on_alpn, (void *)options);
        }
    }
    return ctx;
}

/* NULL after printing why. */
static SSL_CTX *contexts_load(const struct options *options)
{
    SSL_CTX **others = calloc(MOST_IDENTITIES, sizeof(SSL_CTX *));
    SSL_CTX *ctx = NULL;
    bool good = others != NULL;

    for (int i = 0; good && i < options->num_identities; i++) {
        SSL_CTX *made = context_of(options, &options->identities[i]);

        good = made != NULL;
        if (options->identities[i].host == NULL) {
            ctx = made;
        } else {
            others[i] = made;
        }
    }
    if (good && SSL_CTX_set_ex_data(ctx, others_index(), others)) {
        return ctx;
    }
    contexts_free(NULL, others, NULL, 0, 0, NULL);
    SSL_CTX_free(ctx);
    return NULL;
}

static void reload(struct server *server)
{
    SSL_CTX *fresh = contexts_load(server->options);
    SSL_CTX *old = NULL;

    if (fresh == NULL) {
        report(server->report, 0, 0, "not_reloaded",
               "keys and certificates stay as they were: the new ones are not good", (const char *)NULL);
        return;
    }
    pthread_mutex_lock(&server->lock);
    old = server->ctx;
    server->ctx = fresh;
    pthread_mutex_unlock(&server->lock);
    SSL_CTX_free(old); /* open connections hold it on */
    report(server->report, 0, 0, "reloaded", "keys and certificates are loaded again", (const char *)NULL);
}

/* --- one connection ----------------------------------------------------------------------------------------------- */

/* Reads up to the end of what is asked: a line, or the headers of a request. Its length; 0 at the end. */
static int request_read(SSL *ssl, char *out, int size)
{
    int len = 0;

    while (len < size - 1) {
        int got = SSL_read(ssl, out + len, size - 1 - len);

        if (got <= 0) {
            break;
        }
        len += got;
        out[len] = '\0';
        if (page_wanted(out) ? strstr(out, "\r\n\r\n") != NULL || strstr(out, "\n\n") != NULL
                             : strchr(out, '\n') != NULL) {
            return len;
        }
    }
    out[len] = '\0';
    return len;
}

static bool answer_line(const struct server *server, const struct connection *connection, SSL *ssl, char *line)
{
    char answer[600];
    int len;

    text_printable(line);
    line[500] = '\0';
    report(server->report, connection->number, 0, "received", "received", "message", line, (const char *)NULL);
    len = snprintf(answer, sizeof(answer), "the server has read: %s\n", line);
    return SSL_write(ssl, answer, len) > 0;
}

static bool answer_page(const struct server *server, const struct connection *connection, SSL *ssl, const char *request)
{
    char *response = page_make(ssl, request);
    char line[200];
    bool sent;

    snprintf(line, sizeof(line), "%.199s", request);
    text_printable(line);
    report(server->report, connection->number, 0, "received", "answers by a page what was proved", "request", line,
           (const char *)NULL);
    sent = response != NULL && SSL_write(ssl, response, (int)strlen(response)) > 0;
    free(response);
    return sent;
}

/* Whether the client was served to its goodbye. */
static bool talk(const struct server *server, const struct connection *connection, SSL *ssl)
{
    char request[8192];
    bool good = true;
    int len;

    while (good && (len = request_read(ssl, request, sizeof(request))) > 0) {
        if (page_wanted(request)) {
            return answer_page(server, connection, ssl, request);
        }
        good = answer_line(server, connection, ssl, request);
    }
    return good && (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

/* Reads what the client has said since: closing over unread bytes would reset the connection, and our last words (the
 * alert that tells the client why it was refused, the end of a page) would be lost on the way. */
static void let_last_words_arrive(int fd)
{
    char waste[1024];

    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 16 && read(fd, waste, sizeof(waste)) > 0; i++) {
    }
}

/* From handshake to goodbye; whether all went well. */
static bool serve(const struct connection *connection, SSL_CTX *ctx)
{
    struct timeval patience = { .tv_sec = PATIENCE_S };
    SSL *ssl = SSL_new(ctx);
    bool served = false;

    setsockopt(connection->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(connection->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (ssl == NULL || !SSL_set_fd(ssl, connection->fd)) {
        print_errors(WHO, "no connection can be made");
    } else {
        SSL_set_accept_state(ssl);
        if (!flow_begin(ssl, connection->server->report, connection->number)) {
            print_errors(WHO, "out of memory");
        } else if (SSL_do_handshake(ssl) != 1) {
            flow_refused(ssl);
            let_last_words_arrive(connection->fd);
        } else {
            flow_connected(ssl);
            served = talk(connection->server, connection, ssl);
            if (!served) {
                flow_broken(ssl);
            }
            if (SSL_shutdown(ssl) == 0) {
                let_last_words_arrive(connection->fd);
            }
            flow_closed(ssl);
        }
    }
    SSL_free(ssl);
    return served;
}

static void *connection_run(void *argument)
{
    struct connection *connection = argument;
    struct server *server = connection->server;
    SSL_CTX *ctx;
    bool served;

    pthread_mutex_lock(&server->lock);
    ctx = server->ctx;
    SSL_CTX_up_ref(ctx);
    pthread_mutex_unlock(&server->lock);
    served = serve(connection, ctx);
    SSL_CTX_free(ctx);
    close(connection->fd);

    pthread_mutex_lock(&server->lock);
    server->failed = server->failed || !served;
    connection->next = server->done;
    server->done = connection;
    server->open--;
    pthread_cond_signal(&server->ended);
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

/* Ends what connections leave behind. */
static void join_done(struct server *server)
{
    struct connection *done;

    pthread_mutex_lock(&server->lock);
    done = server->done;
    server->done = NULL;
    pthread_mutex_unlock(&server->lock);
    while (done != NULL) {
        struct connection *next = done->next;

        pthread_join(done->thread, NULL);
        free(done);
        done = next;
    }
}

/* Waits until fewer than `most` connections are open. False when patience ends. */
static bool wait_for_fewer(struct server *server, unsigned most, time_t patience_s)
{
    struct timespec until;
    bool fewer;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += patience_s;
    pthread_mutex_lock(&server->lock);
    while (server->open >= most && pthread_cond_timedwait(&server->ended, &server->lock, &until) != ETIMEDOUT) {
    }
    fewer = server->open < most;
    pthread_mutex_unlock(&server->lock);
    return fewer;
}

static void connection_start(struct server *server, int fd, unsigned number)
{
    struct connection *connection = calloc(1, sizeof(*connection));

    pthread_mutex_lock(&server->lock);
    server->open++;
    pthread_mutex_unlock(&server->lock);
    if (connection != NULL) {
        *connection = (struct connection){ .server = server, .fd = fd, .number = number };
        if (pthread_create(&connection->thread, NULL, connection_run, connection) == 0) {
            return;
        }
    }
    fprintf(stderr, WHO ": no thread for connection %u: %s\n", number, strerror(errno));
    free(connection);
    close(fd);
    pthread_mutex_lock(&server->lock);
    server->open--;
    server->failed = true;
    pthread_mutex_unlock(&server->lock);
}

/* --- all of them -------------------------------------------------------------------------------------------------- */

/* A listening socket; -1 after printing why there is none. */
static int listen_on(const char *host, const char *port)
{
    struct addrinfo wanted = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
    struct addrinfo *list = NULL;
    int yes = 1;
    int fd;
    int error = getaddrinfo(host, port, &wanted, &list);

    if (error != 0) {
        fprintf(stderr, WHO ": %s:%s: %s\n", host, port, gai_strerror(error));
        return -1;
    }
    fd = socket(list->ai_family, list->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    }
    if (fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen) != 0 || listen(fd, 128) != 0) {
        fprintf(stderr, WHO ": %s:%s: %s\n", host, port, strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        fd = -1;
    }
    freeaddrinfo(list);
    return fd;
}

/* The port may have been 0: tell the one that we got. */
static void announce(const struct report *out, int fd, const char *host)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    char port[16] = "?";
    char text[300];

    if (getsockname(fd, (struct sockaddr *)&address, &len) == 0) {
        getnameinfo((struct sockaddr *)&address, len, NULL, 0, port, sizeof(port), NI_NUMERICSERV);
    }
    snprintf(text, sizeof(text), strchr(host, ':') != NULL ? "ready on [%s]:%s" : "ready on %s:%s", host, port);
    if (out->json) {
        report(out, 0, 0, "ready", text, "#port", port, (const char *)NULL);
    } else {
        puts(text);
        fflush(stdout);
    }
}

/* Takes one connection. False: none can be taken any more. */
static bool accept_one(struct server *server, int listener, unsigned *count)
{
    int fd = accept(listener, NULL, NULL);

    join_done(server);
    if (fd >= 0) {
        (void)wait_for_fewer(server, MOST_CONNECTIONS, PATIENCE_S);
        connection_start(server, fd, ++*count);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) { /* passes when a connection ends */
        fprintf(stderr, WHO ": no connection can be taken now: %s\n", strerror(errno));
        (void)wait_for_fewer(server, 1, 1);
        return true;
    }
    if (errno == EINTR || errno == EAGAIN || errno == ECONNABORTED) {
        return true;
    }
    fprintf(stderr, WHO ": no connections can be taken: %s\n", strerror(errno));
    return false;
}

/* Until the signal to end, or so many connections. False: something is wrong. */
static bool serve_all(struct server *server, int listener, int signals)
{
    struct pollfd fds[] = { { .fd = listener, .events = POLLIN }, { .fd = signals, .events = POLLIN } };
    unsigned most = server->options->connections;
    unsigned count = 0;

    while (most == 0 || count < most) {
        struct signalfd_siginfo signal;

        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            return false;
        }
        if ((fds[1].revents & POLLIN) != 0 && read(signals, &signal, sizeof(signal)) == sizeof(signal)) {
            if (signal.ssi_signo != SIGHUP) {
                return true;
            }
            reload(server);
        } else if ((fds[0].revents & POLLIN) != 0 && !accept_one(server, listener, &count)) {
            return false;
        }
    }
    return true;
}

/* Signals come as messages; threads inherit that they don't interrupt. */
static int signals_take(void)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN); /* a client that is gone is no reason to end */
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static SSL_CTX *context_now(void *vserver)
{
    return ((struct server *)vserver)->ctx;
}

static void reload_now(void *vserver)
{
    reload(vserver);
}

static int run_async(struct server *server, int listener, int signals)
{
    const struct async_server as = {
        server->options, server->report, listener, signals, context_now, reload_now, server,
    };
    bool good = serve_async(&as);

    close(listener);
    close(signals);
    SSL_CTX_free(server->ctx);
    return good ? 0 : 1;
}

static int run(struct server *server)
{
    int signals = signals_take();
    int listener = -1;
    bool good;

    server->ctx = contexts_load(server->options);
    if (server->ctx == NULL || (listener = listen_on(server->options->where.host, server->options->where.port)) < 0) {
        SSL_CTX_free(server->ctx);
        return 1;
    }
    announce(server->report, listener, server->options->where.host);
    if (server->options->async) {
        return run_async(server, listener, signals);
    }
    good = serve_all(server, listener, signals);
    close(listener);
    if (!wait_for_fewer(server, 1, server->options->connections != 0 ? 3 * PATIENCE_S : PATIENCE_S)) {
        fprintf(stderr, WHO ": ends with connections that are still open\n");
        return 1; /* their threads run on until the process ends: nothing is freed under them */
    }
    join_done(server);
    SSL_CTX_free(server->ctx);
    close(signals);
    /* A client that fails is no reason to end, but one that scripts want to know of. */
    return good && (server->options->connections == 0 || !server->failed) ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct options options;
    struct report report = { .who = WHO };
    struct server server = {
        .options = &options,
        .report = &report,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .ended = PTHREAD_COND_INITIALIZER,
    };
    int status;

    if (!options_read(&options, argc, argv, &status)) {
        return status;
    }
    report.json = options.json;
    report.quiet = options.quiet;
    report_begin(&report);
    status = run(&server);
    free(options.alpn.names);
    return status;
}
