#include "serve-async.h"

#include <errno.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common.h"
#include "events.h"
#include "flow.h"
#include "page.h"

#define WHO "server"
#define PATIENCE_S 10 /* for a client that is silent, and for open connections at the end */
#define MOST_WASTE 65536

enum stage { HANDSHAKE, REQUEST, ANSWER, GOODBYE, LAST_WORDS };

struct connection {
    SSL *ssl;
    unsigned number;
    enum stage stage;
    bool last_answer; /* after it, goodbye */
    bool paused;      /* a signature is being made for it */
    bool dead;        /* it is freed once that is done: OpenSSL can't end a job that is under way */
    char request[8192];
    int len;
    char *answer;
    int answer_len;
    size_t waste; /* read of what nobody wants */
    double since; /* when something happened; the list is in this order */
    struct connection *next, **prev;
};

struct loop {
    const struct async_server *server;
    int epoll;
    struct connection *first, **last;
    unsigned open;
    unsigned count;
    bool listening;
    bool ending;
    bool failed;
};

/* --- the list of connections, the longest silent one first -------------------------------------------------------- */

static void list_add(struct loop *loop, struct connection *connection)
{
    connection->since = events_clock();
    connection->next = NULL;
    connection->prev = loop->last;
    *loop->last = connection;
    loop->last = &connection->next;
}

static void list_remove(struct loop *loop, struct connection *connection)
{
    *connection->prev = connection->next;
    if (connection->next != NULL) {
        connection->next->prev = connection->prev;
    } else {
        loop->last = connection->prev;
    }
}

static void connection_end(struct loop *loop, struct connection *connection, bool served)
{
    int fd = SSL_get_fd(connection->ssl);

    loop->failed = loop->failed || !served;
    list_remove(loop, connection);
    SSL_free(connection->ssl);
    close(fd);
    free(connection->answer);
    free(connection);
    loop->open--;
}

/* --- stages ------------------------------------------------------------------------------------------------------- */

/* A stage goes as far as it can: on to the next one, waiting for an event, or to the end of the connection. */
enum step { STEP_ON, STEP_WAIT, STEP_SERVED, STEP_FAILED };

static enum step wait_or(struct loop *loop, struct connection *connection, int result, void (*otherwise)(SSL *ssl))
{
    if (events_arm(loop->epoll, connection->ssl, result, connection)) {
        connection->paused = SSL_waiting_for_async(connection->ssl) != 0;
        return STEP_WAIT;
    }
    otherwise(connection->ssl);
    return STEP_FAILED;
}

/* What ends a connection badly still lets our last words, an alert, arrive. */
static enum step last_words(struct connection *connection, enum step step)
{
    if (step == STEP_FAILED) {
        connection->stage = LAST_WORDS;
        shutdown(SSL_get_fd(connection->ssl), SHUT_WR);
        return STEP_ON;
    }
    return step;
}

static enum step stage_handshake(struct loop *loop, struct connection *connection)
{
    int result = SSL_do_handshake(connection->ssl);

    if (result != 1) {
        enum step step = wait_or(loop, connection, result, flow_refused);

        loop->failed = loop->failed || step == STEP_FAILED;
        return last_words(connection, step);
    }
    flow_connected(connection->ssl);
    SSL_clear_mode(connection->ssl, SSL_MODE_ASYNC); /* there is nothing left to sign */
    connection->stage = REQUEST;
    return STEP_ON;
}

static bool request_is_whole(const char *text)
{
    return page_wanted(text) ? strstr(text, "\r\n\r\n") != NULL || strstr(text, "\n\n") != NULL
                             : strchr(text, '\n') != NULL;
}

/* Makes the answer to what was read. */
static bool answer_make(struct loop *loop, struct connection *connection)
{
    const struct report *out = loop->server->report;
    char line[500];

    connection->last_answer = page_wanted(connection->request);
    snprintf(line, sizeof(line), "%.499s", connection->request);
    text_printable(line);
    if (connection->last_answer) {
        report(out, connection->number, 0, "received", "answers by a page what was proved", "request", line,
               (const char *)NULL);
        connection->answer = page_make(connection->ssl, connection->request);
    } else {
        report(out, connection->number, 0, "received", "received", "message", line, (const char *)NULL);
        connection->answer = malloc(sizeof(line) + 40);
        if (connection->answer != NULL) {
            snprintf(connection->answer, sizeof(line) + 40, "the server has read: %s\n", line);
        }
    }
    connection->len = 0;
    if (connection->answer == NULL) {
        return false;
    }
    connection->answer_len = (int)strlen(connection->answer);
    connection->stage = ANSWER;
    return true;
}

static enum step stage_request(struct loop *loop, struct connection *connection)
{
    int room = (int)sizeof(connection->request) - 1 - connection->len;
    int got = SSL_read(connection->ssl, connection->request + connection->len, room);

    if (got <= 0) {
        if (SSL_get_error(connection->ssl, got) == SSL_ERROR_ZERO_RETURN) {
            connection->stage = GOODBYE;
            return STEP_ON;
        }
        return wait_or(loop, connection, got, flow_broken);
    }
    connection->len += got;
    connection->request[connection->len] = '\0';
    if (request_is_whole(connection->request) || got == room) {
        return answer_make(loop, connection) ? STEP_ON : STEP_FAILED;
    }
    return STEP_ON;
}

static enum step stage_answer(struct loop *loop, struct connection *connection)
{
    int sent = SSL_write(connection->ssl, connection->answer, connection->answer_len);

    if (sent <= 0) {
        return wait_or(loop, connection, sent, flow_broken);
    }
    free(connection->answer);
    connection->answer = NULL;
    connection->stage = connection->last_answer ? GOODBYE : REQUEST;
    return STEP_ON;
}

static enum step stage_goodbye(struct loop *loop, struct connection *connection)
{
    int result = SSL_shutdown(connection->ssl);

    if (result < 0 && events_arm(loop->epoll, connection->ssl, result, connection)) {
        return STEP_WAIT;
    }
    flow_closed(connection->ssl);
    if (result == 1) {
        return STEP_SERVED;
    }
    connection->stage = LAST_WORDS;
    shutdown(SSL_get_fd(connection->ssl), SHUT_WR);
    return STEP_ON;
}

/* Closing over unread bytes would reset the connection, and our last words would be lost on the way. */
static enum step stage_last_words(struct loop *loop, struct connection *connection)
{
    char waste[4096];
    int fd = SSL_get_fd(connection->ssl);
    ssize_t got = 0;

    while (connection->waste < MOST_WASTE && (got = read(fd, waste, sizeof(waste))) > 0) {
        connection->waste += (size_t)got;
    }
    if (connection->waste < MOST_WASTE && got < 0 && errno == EAGAIN &&
        events_socket(loop->epoll, fd, EPOLLIN, connection)) {
        return STEP_WAIT;
    }
    return STEP_SERVED; /* whether well or not was said before */
}

static void connection_run(struct loop *loop, struct connection *connection)
{
    static enum step (*const stages[])(struct loop * loop, struct connection * connection) = {
        [HANDSHAKE] = stage_handshake, [REQUEST] = stage_request,       [ANSWER] = stage_answer,
        [GOODBYE] = stage_goodbye,     [LAST_WORDS] = stage_last_words,
    };
    enum step step = STEP_ON;

    connection->paused = false;
    ERR_clear_error(); /* SSL_get_error looks at it */
    while (step == STEP_ON) {
        step = stages[connection->stage](loop, connection);
    }
    if (step != STEP_WAIT || (connection->dead && !connection->paused)) {
        connection_end(loop, connection, step != STEP_FAILED && !connection->dead);
        return;
    }
    list_remove(loop, connection);
    list_add(loop, connection);
}

/* --- the loop ----------------------------------------------------------------------------------------------------- */

static void connection_begin(struct loop *loop, int fd)
{
    struct connection *connection = calloc(1, sizeof(*connection));
    const struct async_server *server = loop->server;

    if (connection == NULL || (connection->ssl = SSL_new(server->context(server->arg))) == NULL ||
        !SSL_set_fd(connection->ssl, fd)) {
        print_errors(WHO, "no connection can be made");
        SSL_free(connection != NULL ? connection->ssl : NULL);
        free(connection);
        close(fd);
        loop->failed = true;
        return;
    }
    connection->number = ++loop->count;
    SSL_set_mode(connection->ssl, SSL_MODE_ASYNC | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_set_accept_state(connection->ssl);
    loop->open++;
    list_add(loop, connection);
    if (!flow_begin(connection->ssl, server->report, connection->number)) {
        print_errors(WHO, "out of memory");
        connection_end(loop, connection, false);
        return;
    }
    connection_run(loop, connection);
}

static bool is_full(const struct loop *loop)
{
    return loop->ending ||
           (loop->server->options->connections != 0 && loop->count >= loop->server->options->connections);
}

/* Takes all that wait. Where no more can be, the loop listens again once one has ended. */
static bool accept_all(struct loop *loop)
{
    loop->listening = false;
    while (!is_full(loop)) {
        int fd = accept4(loop->server->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            connection_begin(loop, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
            fprintf(stderr, WHO ": no connection can be taken now: %s\n", strerror(errno));
            return true;
        } else if (errno == EAGAIN) {
            loop->listening = events_socket(loop->epoll, loop->server->listener, EPOLLIN, loop);
            return loop->listening;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            fprintf(stderr, WHO ": no connections can be taken: %s\n", strerror(errno));
            return false;
        }
    }
    return true;
}

static void on_signal(struct loop *loop)
{
    struct signalfd_siginfo signal;

    if (read(loop->server->signals, &signal, sizeof(signal)) == sizeof(signal) && signal.ssi_signo == SIGHUP) {
        loop->server->reload(loop->server->arg);
    } else {
        loop->ending = true;
    }
    (void)events_socket(loop->epoll, loop->server->signals, EPOLLIN, NULL);
}

/* A client that says nothing is not waited for. */
static void end_the_silent(struct loop *loop)
{
    double now = events_clock();

    while (loop->first != NULL && now - loop->first->since > PATIENCE_S) {
        struct connection *connection = loop->first;

        if (!connection->paused) {
            connection_end(loop, connection, connection->stage == LAST_WORDS);
            continue;
        }
        connection->dead = true; /* the token's deadline will wake it */
        list_remove(loop, connection);
        list_add(loop, connection);
    }
}

static bool loop_run(struct loop *loop)
{
    while (loop->open > 0 || !is_full(loop)) {
        struct epoll_event events[128];
        int count;

        if (!loop->listening && !is_full(loop) && !accept_all(loop)) {
            return false;
        }
        count = epoll_wait(loop->epoll, events, 128, loop->open > 0 ? 1000 : -1);
        if (count < 0 && errno != EINTR) {
            return false;
        }
        for (int i = 0; i < count; i++) {
            void *who = events[i].data.ptr;

            if (who == NULL) {
                on_signal(loop);
            } else if (who == loop) {
                loop->listening = false;
            } else {
                connection_run(loop, who);
            }
        }
        end_the_silent(loop);
    }
    return true;
}

bool serve_async(const struct async_server *server)
{
    struct loop loop = { .server = server, .epoll = epoll_create1(EPOLL_CLOEXEC) };
    bool good;

    events_more_files();
    loop.last = &loop.first;
    if (loop.epoll < 0 || !events_socket(loop.epoll, server->signals, EPOLLIN, NULL)) {
        fprintf(stderr, WHO ": no event loop: %s\n", strerror(errno));
        return false;
    }
    good = loop_run(&loop);
    close(loop.epoll);
    return good && (server->options->connections == 0 || !loop.failed);
}
