#include "server-options.h"

#include <string.h>

/* --key and --cert are of the last --sni, or of no host. */
static struct identity *last_identity(struct options *options)
{
    return &options->identities[options->num_identities - 1];
}

static const char *key_read(void *into, char *value)
{
    last_identity(into)->key = value;
    return NULL;
}

static const char *chain_read(void *into, char *value)
{
    last_identity(into)->chain = value;
    return NULL;
}

static const char *identity_begin(void *into, char *host)
{
    struct options *options = into;

    if (options->num_identities == MOST_IDENTITIES) {
        return "is one host too many";
    }
    options->num_identities++;
    last_identity(options)->host = host;
    return NULL;
}

/* NULL, or what is missing. */
static const char *incomplete(const struct options *options)
{
    for (int i = 0; i < options->num_identities; i++) {
        const struct identity *identity = &options->identities[i];

        if (identity->key == NULL || identity->chain == NULL) {
            return identity->host == NULL ? "--key and --cert are missing before any --sni: the server's own identity"
                                          : "--key and --cert are missing after an --sni: the identity for that host";
        }
    }
    return options->demands.trust == NULL ? "--ca is missing: the root that clients' certificates must lead to" : NULL;
}

bool options_read(struct options *options, int argc, char **argv, int *out_status)
{
    const struct option_row rows[] = {
        { "key", "our private key: a PEM file, or a URI such as pkcs11:token=...;object=...", key_read, options },
        { "cert", "our certificate and its intermediates: likewise", chain_read, options },
        { "sni", "the key and certificate after it are for this host name; those before any --sni for all others",
          identity_begin, options },
        { "ca", "the root that clients' certificates must lead to (PEM)", option_text, &options->demands.trust },
        { "crl", "the list of revoked certificates of their issuers (PEM)", option_text, &options->demands.crl },
        { "listen", "where to listen (127.0.0.1:4433); port 0 takes a free one", option_address, &options->where },
        { "accept", "end after so many connections; the exit status is 1 if one of them failed", option_count,
          &options->connections },
        { "tls", "the version of TLS (any)", option_tls, &options->demands },
        { "alpn", "application protocols that we speak, comma-separated", option_alpn, &options->alpn },
        { "async", "one thread for all connections, which goes on with others while the token signs for one",
          option_flag, &options->async },
        { "json", "one JSON object a line", option_flag, &options->json },
        { "quiet", "without the steps of the handshakes", option_flag, &options->quiet },
    };
    const struct option_table table = {
        .who = "mtls-server",
        .synopsis = "usage: mtls-server --key URI-OR-FILE --cert URI-OR-FILE --ca ROOT.pem\n"
                    "                   [--sni NAME --key URI-OR-FILE --cert URI-OR-FILE]...\n"
                    "                   [--listen HOST:PORT] [--accept N] [--tls 1.2|1.3|any]\n"
                    "                   [--crl FILE] [--alpn NAMES] [--async] [--json] [--quiet]\n",
        .epilogue =
            "SIGHUP loads keys, certificates and lists again; SIGTERM ends when the open connections are done.\n",
        .rows = rows,
        .num_rows = sizeof(rows) / sizeof(rows[0]),
    };
    static char host[] = "127.0.0.1";
    static char port[] = "4433";
    const char *what;

    memset(options, 0, sizeof(*options));
    options->num_identities = 1;
    options->demands.min_tls = TLS1_2_VERSION;
    options->where = (struct address){ host, port };
    if (!options_parse(&table, argc, argv, out_status)) {
        return false;
    }
    what = incomplete(options);
    return what == NULL || options_incomplete(&table, what);
}
