#include "server-options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void usage(FILE *out)
{
    fputs("usage: mtls-server --key URI-OR-FILE --cert URI-OR-FILE --ca ROOT.pem\n"
          "                   [--sni NAME --key URI-OR-FILE --cert URI-OR-FILE]...\n"
          "                   [--listen HOST:PORT] [--accept N] [--tls 1.2|1.3|any]\n"
          "                   [--crl FILE] [--alpn NAMES] [--async] [--json] [--quiet]\n"
          "\n"
          "  --key     our private key: a PEM file, or a URI such as pkcs11:token=...;object=...\n"
          "  --cert    our certificate and its intermediates: likewise\n"
          "  --sni     the key and certificate after it are for this host name; those before any --sni for all others\n"
          "  --ca      the root that clients' certificates must lead to (PEM)\n"
          "  --crl     the list of revoked certificates of their issuers (PEM)\n"
          "  --listen  where to listen (127.0.0.1:4433); port 0 takes a free one\n"
          "  --accept  end after so many connections; the exit status is 1 if one of them failed\n"
          "  --tls     the version of TLS (any)\n"
          "  --alpn    application protocols that we speak, comma-separated\n"
          "  --async   one thread for all connections, which goes on with others while the token signs for one\n"
          "  --json    one JSON object a line\n"
          "  --quiet   without the steps of the handshakes\n"
          "\n"
          "SIGHUP loads keys, certificates and lists again; SIGTERM ends when the open connections are done.\n",
          out);
}

static bool wrong(const char *option, const char *value, const char *what)
{
    fprintf(stderr, "mtls-server: --%s '%s' %s\n", option, value, what);
    return false;
}

static bool identity_begin(struct options *options, const char *host)
{
    if (options->num_identities == MOST_IDENTITIES) {
        return wrong("sni", host, "is one host too many");
    }
    options->identities[options->num_identities++].host = host;
    return true;
}

static bool connections_read(struct options *options, const char *value)
{
    char *end;
    unsigned long number = strtoul(value, &end, 10);

    if (value[0] == '-' || *end != '\0' || number < 1 || number > 1000000000) {
        return wrong("accept", value, "is no number of connections");
    }
    options->connections = (unsigned)number;
    return true;
}

static bool option_read(struct options *options, int option, char *value)
{
    struct identity *identity = &options->identities[options->num_identities - 1];

    switch (option) {
    case 'k':
        identity->key = value;
        return true;
    case 'c':
        identity->chain = value;
        return true;
    case 's':
        return identity_begin(options, value);
    case 'a':
        options->demands.trust = value;
        return true;
    case 'r':
        options->demands.crl = value;
        return true;
    case 'l':
        return split_address(value, &options->host, &options->port) || wrong("listen", value, "is not HOST:PORT");
    case 'n':
        return connections_read(options, value);
    case 't':
        return tls_version(&options->demands, value) || wrong("tls", value, "is neither 1.2, 1.3 nor any");
    case 'p':
        free(options->alpn);
        options->alpn = alpn_list(value, &options->alpn_len);
        return options->alpn != NULL || wrong("alpn", value, "is no list of protocols");
    case 'y':
        options->async = true;
        return true;
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

static bool missing(const char *option)
{
    fprintf(stderr, "mtls-server: --%s is missing; --help shows all options\n", option);
    return false;
}

static bool complete(const struct options *options)
{
    for (int i = 0; i < options->num_identities; i++) {
        if (options->identities[i].key == NULL) {
            return missing("key");
        }
        if (options->identities[i].chain == NULL) {
            return missing("cert");
        }
    }
    return options->demands.trust != NULL || missing("ca");
}

bool options_read(struct options *options, int argc, char **argv, int *out_status)
{
    static const struct option known[] = {
        { "key", required_argument, NULL, 'k' },    { "cert", required_argument, NULL, 'c' },
        { "sni", required_argument, NULL, 's' },    { "ca", required_argument, NULL, 'a' },
        { "crl", required_argument, NULL, 'r' },    { "listen", required_argument, NULL, 'l' },
        { "accept", required_argument, NULL, 'n' }, { "tls", required_argument, NULL, 't' },
        { "alpn", required_argument, NULL, 'p' },   { "async", no_argument, NULL, 'y' },
        { "json", no_argument, NULL, 'j' },         { "quiet", no_argument, NULL, 'q' },
        { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
    };
    static char host[] = "127.0.0.1";
    static char port[] = "4433";
    int option;

    memset(options, 0, sizeof(*options));
    options->num_identities = 1;
    options->demands.min_tls = TLS1_2_VERSION;
    options->host = host;
    options->port = port;
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
    return complete(options);
}
