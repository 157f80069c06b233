/* A server that proves who it is, and lets only those in who prove who they are.
 *
 *     mtls-server --key URI-OR-FILE --cert URI-OR-FILE --ca ROOT.pem [--listen HOST:PORT] [--accept N]
 *
 * Each client sends a line and gets one back. */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common.h"

#define WHO "server"
#define PATIENCE_S 10 /* for a client that is silent */

struct options {
    struct identity identity;
    char *listen;
    long connections; /* then end; 0: never */
};

static void usage(FILE *out)
{
    fputs("usage: mtls-server --key URI-OR-FILE --cert URI-OR-FILE --ca ROOT.pem\n"
          "                   [--listen HOST:PORT] [--accept N] [--tls 1.2|1.3|any]\n"
          "\n"
          "  --key     our private key: a PEM file, or a URI such as pkcs11:token=...;object=...\n"
          "  --cert    our certificate and its intermediates: likewise\n"
          "  --ca      the root that clients' certificates must lead to (PEM)\n"
          "  --listen  where to listen (127.0.0.1:4433); port 0 takes a free one\n"
          "  --accept  end after so many connections; the exit status is 1 if one of them failed\n"
          "  --tls     the version of TLS (any)\n",
          out);
}

/* 1: go on; otherwise the exit status is in *out_status. */
static int options_read(struct options *options, int argc, char **argv, int *out_status)
{
    static const struct option known[] = {
        { "key", required_argument, NULL, 'k' },    { "cert", required_argument, NULL, 'c' },
        { "ca", required_argument, NULL, 'a' },     { "listen", required_argument, NULL, 'l' },
        { "accept", required_argument, NULL, 'n' }, { "tls", required_argument, NULL, 't' },
        { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
    };
    int option;

    *out_status = 2;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        char *end = NULL;

        switch (option) {
        case 'k':
            options->identity.key = optarg;
            break;
        case 'c':
            options->identity.chain = optarg;
            break;
        case 'a':
            options->identity.trust = optarg;
            break;
        case 'l':
            options->listen = optarg;
            break;
        case 'n':
            options->connections = strtol(optarg, &end, 10);
            if (*end != '\0' || options->connections < 1) {
                fprintf(stderr, "mtls-server: --accept '%s' is no number of connections\n", optarg);
                return 0;
            }
            break;
        case 't':
            if (!tls_version(&options->identity, optarg)) {
                fprintf(stderr, "mtls-server: --tls '%s' is neither 1.2, 1.3 nor any\n", optarg);
                return 0;
            }
            break;
        case 'h':
            usage(stdout);
            *out_status = 0;
            return 0;
        default:
            usage(stderr);
            return 0;
        }
    }
    if (optind != argc || options->identity.key == NULL || options->identity.chain == NULL ||
        options->identity.trust == NULL) {
        usage(stderr);
        return 0;
    }
    return 1;
}

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
    fd = socket(list->ai_family, list->ai_socktype | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    }
    if (fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen) != 0 || listen(fd, 64) != 0) {
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
static void announce(int fd, const char *host)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    char port[16] = "?";

    if (getsockname(fd, (struct sockaddr *)&address, &len) == 0) {
        getnameinfo((struct sockaddr *)&address, len, NULL, 0, port, sizeof(port), NI_NUMERICSERV);
    }
    printf(strchr(host, ':') != NULL ? "ready on [%s]:%s\n" : "ready on %s:%s\n", host, port);
    fflush(stdout);
}

static int greet(SSL *ssl)
{
    char message[512];
    char answer[600];
    int len = SSL_read(ssl, message, sizeof(message) - 1);

    if (len <= 0) {
        print_errors(WHO, "the client sent nothing");
        return 0;
    }
    message[len] = '\0';
    message[strcspn(message, "\r\n")] = '\0';
    printf("  received  %s\n", message);
    fflush(stdout);
    len = snprintf(answer, sizeof(answer), "the server has read: %s\n", message);
    if (SSL_write(ssl, answer, len) <= 0) {
        print_errors(WHO, "the answer could not be sent");
        return 0;
    }
    return 1;
}

/* Reads what the client has said since: closing over unread bytes would reset the connection, and our alert, which
 * tells the client why it was refused, would be lost on the way. */
static void let_alert_arrive(int fd)
{
    char waste[1024];

    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 16 && read(fd, waste, sizeof(waste)) > 0; i++) {
    }
}

/* One connection, from handshake to goodbye; whether all went well. */
static int serve(SSL_CTX *ctx, int fd)
{
    struct timeval patience = { .tv_sec = PATIENCE_S };
    SSL *ssl = SSL_new(ctx);
    int served = 0;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (ssl == NULL || !SSL_set_fd(ssl, fd) || SSL_accept(ssl) != 1) {
        print_errors(WHO, "a client was refused");
        if (ssl != NULL && SSL_get_verify_result(ssl) != X509_V_OK) {
            fprintf(stderr, "  its certificate: %s\n", X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
        }
        let_alert_arrive(fd);
    } else {
        print_connection(WHO, ssl);
        served = greet(ssl);
        SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    close(fd);
    return served;
}

/* The exit status: a client that fails is no reason to end, but one that scripts want to know of. */
static int serve_all(SSL_CTX *ctx, int listener, long connections)
{
    long count = 0;
    int status = 0;

    while (connections == 0 || count < connections) {
        int fd = accept(listener, NULL, NULL);

        if (fd >= 0) {
            status = serve(ctx, fd) ? status : 1;
            count++;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            fprintf(stderr, WHO ": no connections can be accepted: %s\n", strerror(errno));
            return 1;
        }
    }
    return status;
}

static int run(const struct options *options, const char *host, const char *port)
{
    SSL_CTX *ctx = context_new(TLS_server_method(), &options->identity);
    STACK_OF(X509_NAME) *names;
    int listener;
    int status;

    if (ctx == NULL) {
        return 1;
    }
    names = SSL_load_client_CA_file(options->identity.trust); /* tells clients which certificate is asked for */
    SSL_CTX_set_client_CA_list(ctx, names);
    SSL_CTX_set_session_id_context(ctx, (const unsigned char *)WHO, sizeof(WHO) - 1);
    listener = listen_on(host, port);
    if (listener < 0) {
        SSL_CTX_free(ctx);
        return 1;
    }
    announce(listener, host);
    status = serve_all(ctx, listener, options->connections);
    close(listener);
    SSL_CTX_free(ctx);
    return status;
}

int main(int argc, char **argv)
{
    char standard[] = "127.0.0.1:4433";
    struct options options = { .identity = { .min_tls = TLS1_2_VERSION }, .listen = standard };
    char *host;
    char *port;
    int status;

    if (!options_read(&options, argc, argv, &status)) {
        return status;
    }
    if (!split_address(options.listen, &host, &port)) {
        fprintf(stderr, "mtls-server: --listen '%s' is not HOST:PORT\n", options.listen);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN); /* a client that is gone is no reason to end */
    return run(&options, host, port);
}
