#include "client-options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void usage(FILE *out)
{
    fputs("usage: mtls-client [--key URI-OR-FILE --cert URI-OR-FILE] --ca ROOT.pem --name SERVER\n"
          "                   [--connect HOST:PORT] [--message TEXT | --tunnel] [--repeat N [--resume]] [--load N]\n"
          "                   [--tls 1.2|1.3|any] [--suites NAMES] [--crl FILE] [--alpn NAMES] [--json] [--quiet]\n"
          "\n"
          "  --key      our private key: a PEM file, or a URI such as pkcs11:token=...;object=...\n"
          "  --cert     our certificate and its intermediates: likewise (without both, we show none)\n"
          "  --ca       the root that the server's certificate must lead to (PEM)\n"
          "  --crl      the list of revoked certificates of its issuer (PEM)\n"
          "  --name     the host name that it must have\n"
          "  --connect  where the server is (127.0.0.1:4433)\n"
          "  --message  what to say (hello)\n"
          "  --tunnel   sends what stdin gives, writes what comes to stdout, and tells the rest on stderr\n"
          "  --repeat   so many connections, one after the other\n"
          "  --resume   all but the first go on with a session, which costs no signature\n"
          "  --load     so many connections at once, in one thread (times --repeat): tells how many a second, and how\n"
          "             long they take\n"
          "  --tls      the version of TLS (any)\n"
          "  --suites   cipher suites of TLS 1.2, as OpenSSL calls them (AES128-SHA256 has no step 2)\n"
          "  --alpn     application protocols that we speak, comma-separated\n"
          "  --json     one JSON object a line\n"
          "  --quiet    without the steps of the handshakes\n",
          out);
}

static bool wrong(const char *option, const char *value, const char *what)
{
    fprintf(stderr, "mtls-client: --%s '%s' %s\n", option, value, what);
    return false;
}

static bool count_read(unsigned *out, const char *option, const char *value, unsigned most)
{
    char *end;
    unsigned long number = strtoul(value, &end, 10);

    if (value[0] == '-' || *end != '\0' || number < 1 || number > most) {
        return wrong(option, value, "is no number of connections");
    }
    *out = (unsigned)number;
    return true;
}

static bool option_read(struct options *options, int option, char *value)
{
    switch (option) {
    case 'k':
        options->identity.key = value;
        return true;
    case 'c':
        options->identity.chain = value;
        return true;
    case 'a':
        options->demands.trust = value;
        return true;
    case 'r':
        options->demands.crl = value;
        return true;
    case 'n':
        options->name = value;
        return true;
    case 'l':
        return split_address(value, &options->host, &options->port) || wrong("connect", value, "is not HOST:PORT");
    case 'm':
        options->message = value;
        return true;
    case 'u':
        options->tunnel = true;
        return true;
    case 'x':
        return count_read(&options->repeat, "repeat", value, 1000000000);
    case 'o':
        return count_read(&options->load, "load", value, 100000);
    case 'e':
        options->resume = true;
        return true;
    case 't':
        return tls_version(&options->demands, value) || wrong("tls", value, "is neither 1.2, 1.3 nor any");
    case 'i':
        options->suites = value;
        return true;
    case 'p':
        free(options->alpn);
        options->alpn = alpn_list(value, &options->alpn_len);
        return options->alpn != NULL || wrong("alpn", value, "is no list of protocols");
    case 'j':
        options->json = true;
        return true;
    case 'q':
        options->quiet = true;
        return true;
    default:
        usage(stderr);
        return false;
    }
}

static bool refuse(const char *what)
{
    fprintf(stderr, "mtls-client: %s; --help shows all options\n", what);
    return false;
}

static bool complete(const struct options *options)
{
    if (options->identity.key == NULL && options->identity.chain != NULL) {
        return refuse("--cert needs --key");
    }
    if (options->identity.key != NULL && options->identity.chain == NULL) {
        return refuse("--key needs --cert");
    }
    if (options->demands.trust == NULL) {
        return refuse("--ca is missing");
    }
    if (options->name == NULL) {
        return refuse("--name is missing");
    }
    if (options->tunnel && (options->message != NULL || options->repeat > 1)) {
        return refuse("--tunnel goes with neither --message nor --repeat");
    }
    if (options->load > 0 && (options->tunnel || options->resume || options->repeat > 10000)) {
        return refuse("--load goes with neither --tunnel, --resume nor a --repeat above 10000");
    }
    return true;
}

bool options_read(struct options *options, int argc, char **argv, int *out_status)
{
    static const struct option known[] = {
        { "key", required_argument, NULL, 'k' },     { "cert", required_argument, NULL, 'c' },
        { "ca", required_argument, NULL, 'a' },      { "crl", required_argument, NULL, 'r' },
        { "connect", required_argument, NULL, 'l' }, { "name", required_argument, NULL, 'n' },
        { "message", required_argument, NULL, 'm' }, { "tunnel", no_argument, NULL, 'u' },
        { "repeat", required_argument, NULL, 'x' },  { "load", required_argument, NULL, 'o' },
        { "resume", no_argument, NULL, 'e' },        { "tls", required_argument, NULL, 't' },
        { "suites", required_argument, NULL, 'i' },  { "alpn", required_argument, NULL, 'p' },
        { "json", no_argument, NULL, 'j' },          { "quiet", no_argument, NULL, 'q' },
        { "help", no_argument, NULL, 'h' },          { NULL, 0, NULL, 0 },
    };
    static char host[] = "127.0.0.1";
    static char port[] = "4433";
    int option;

    memset(options, 0, sizeof(*options));
    options->demands.min_tls = TLS1_2_VERSION;
    options->host = host;
    options->port = port;
    options->repeat = 1;
    *out_status = 2;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == 'h') {
            usage(stdout);
            *out_status = 0;
            return false;
        }
        if (!option_read(options, option, optarg)) {
            return false;
        }
    }
    if (optind != argc) {
        usage(stderr);
        return false;
    }
    if (!complete(options)) {
        return false;
    }
    if (options->message == NULL) {
        options->message = "hello";
    }
    return true;
}
