/* A client that proves who it is, and checks who it talks to.
 *
 *     mtls-client --key URI-OR-FILE --cert URI-OR-FILE --ca ROOT.pem --name SERVER [--connect HOST:PORT]
 *
 * Sends a line, prints the answer. */
#include <getopt.h>
#include <netdb.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "common.h"

#define WHO "client"
#define PATIENCE_S 10

struct options {
    struct identity identity;
    char *connect;
    const char *name;
    const char *message;
};

static void usage(FILE *out)
{
    fputs("usage: mtls-client --key URI-OR-FILE --cert URI-OR-FILE --ca ROOT.pem --name SERVER\n"
          "                   [--connect HOST:PORT] [--message TEXT] [--tls 1.2|1.3|any]\n"
          "\n"
          "  --key      our private key: a PEM file, or a URI such as pkcs11:token=...;object=...\n"
          "  --cert     our certificate and its intermediates: likewise\n"
          "  --ca       the root that the server's certificate must lead to (PEM)\n"
          "  --name     the host name that it must have\n"
          "  --connect  where the server is (127.0.0.1:4433)\n"
          "  --message  what to say (hello)\n"
          "  --tls      the version of TLS (any)\n",
          out);
}

static int options_read(struct options *options, int argc, char **argv, int *out_status)
{
    static const struct option known[] = {
        { "key", required_argument, NULL, 'k' },
        { "cert", required_argument, NULL, 'c' },
        { "ca", required_argument, NULL, 'a' },
        { "connect", required_argument, NULL, 'l' },
        { "name", required_argument, NULL, 'n' },
        { "message", required_argument, NULL, 'm' },
        { "tls", required_argument, NULL, 't' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    *out_status = 2;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
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
            options->connect = optarg;
            break;
        case 'n':
            options->name = optarg;
            break;
        case 'm':
            options->message = optarg;
            break;
        case 't':
            if (!tls_version(&options->identity, optarg)) {
                fprintf(stderr, "mtls-client: --tls '%s' is neither 1.2, 1.3 nor any\n", optarg);
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
        options->identity.trust == NULL || options->name == NULL) {
        usage(stderr);
        return 0;
    }
    return 1;
}

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

/* With TLS 1.3 the client is done before the server has judged its certificate: only an answer proves that it was
 * let in. */
static int talk(SSL *ssl, const char *message)
{
    char line[512];
    int len = snprintf(line, sizeof(line), "%s\n", message);

    if (len >= (int)sizeof(line) || SSL_write(ssl, line, len) <= 0) {
        print_errors(WHO, "the message could not be sent");
        return 1;
    }
    len = SSL_read(ssl, line, sizeof(line) - 1);
    if (len <= 0) {
        print_errors(WHO, "the server refused us");
        return 1;
    }
    line[len] = '\0';
    line[strcspn(line, "\r\n")] = '\0';
    print_connection(WHO, ssl);
    printf("  received  %s\n", line);
    SSL_shutdown(ssl);
    return 0;
}

static int run(const struct options *options, int fd)
{
    SSL_CTX *ctx = context_new(TLS_client_method(), &options->identity);
    SSL *ssl = ctx == NULL ? NULL : SSL_new(ctx);
    int status = 1;

    if (ssl != NULL) {
        SSL_set_tlsext_host_name(ssl, options->name);
        if (!SSL_set1_host(ssl, options->name) || !SSL_set_fd(ssl, fd) || SSL_connect(ssl) != 1) {
            print_errors(WHO, "no connection");
            if (SSL_get_verify_result(ssl) != X509_V_OK) {
                fprintf(stderr, "  the server's certificate: %s\n",
                        X509_verify_cert_error_string(SSL_get_verify_result(ssl)));
            }
        } else {
            status = talk(ssl, options->message);
        }
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    return status;
}

int main(int argc, char **argv)
{
    char standard[] = "127.0.0.1:4433";
    struct options options = { .identity = { .min_tls = TLS1_2_VERSION }, .connect = standard, .message = "hello" };
    char *host;
    char *port;
    int status;
    int fd;

    if (!options_read(&options, argc, argv, &status)) {
        return status;
    }
    if (!split_address(options.connect, &host, &port)) {
        fprintf(stderr, "mtls-client: --connect '%s' is not HOST:PORT\n", options.connect);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    fd = connect_to(host, port);
    if (fd < 0) {
        return 1;
    }
    status = run(&options, fd);
    close(fd);
    return status;
}
