#include "client-options.h"

#include <string.h>

/* NULL, or what is missing or too much. */
static const char *incomplete(const struct options *options)
{
    bool many = options->resume || options->repeat > 1;

    if (options->demands.trust == NULL) {
        return "--ca is missing: the root that the server's certificate must lead to";
    }
    if (options->name == NULL) {
        return "--name is missing: the host name that the server's certificate must have";
    }
    if (options->identity.key == NULL && options->identity.chain != NULL) {
        return "--cert without --key: an identity is both";
    }
    if (options->identity.key != NULL && options->identity.chain == NULL) {
        return "--key without --cert: an identity is both";
    }
    if (options->tunnel && (options->message != NULL || many || options->load > 0)) {
        return "--tunnel is one connection, without --message, --repeat, --resume and --load";
    }
    if (options->load > 0 && (options->resume || options->load > 100000 || options->repeat > 10000)) {
        return "--load takes up to 100000 connections at once, up to 10000 times, without --resume";
    }
    return NULL;
}

bool options_read(struct options *options, int argc, char **argv, int *out_status)
{
    const struct option_row rows[] = {
        { "key", "our private key: a PEM file, or a URI such as pkcs11:token=...;object=...", option_text,
          &options->identity.key },
        { "cert", "our certificate and its intermediates: likewise (without both, we show none)", option_text,
          &options->identity.chain },
        { "ca", "the root that the server's certificate must lead to (PEM)", option_text, &options->demands.trust },
        { "crl", "the list of revoked certificates of its issuer (PEM)", option_text, &options->demands.crl },
        { "name", "the host name that it must have", option_text, &options->name },
        { "connect", "where the server is (127.0.0.1:4433)", option_address, &options->where },
        { "message", "what to say (hello)", option_text, &options->message },
        { "tunnel", "sends what stdin gives, writes what comes to stdout, and tells the rest on stderr", option_flag,
          &options->tunnel },
        { "repeat", "so many connections, one after the other", option_count, &options->repeat },
        { "resume", "all but the first go on with a session, which costs no signature", option_flag, &options->resume },
        { "load",
          "so many connections at once, in one thread (times --repeat): tells how many a\nsecond, and how long they "
          "take",
          option_count, &options->load },
        { "tls", "the version of TLS (any)", option_tls, &options->demands },
        { "suites", "cipher suites of TLS 1.2, as OpenSSL calls them (AES128-SHA256 has no step 2)", option_text,
          &options->suites },
        { "alpn", "application protocols that we speak, comma-separated", option_alpn, &options->alpn },
        { "json", "one JSON object a line", option_flag, &options->json },
        { "quiet", "without the steps of the handshakes", option_flag, &options->quiet },
    };
    const struct option_table table = {
        .who = "mtls-client",
        .synopsis =
            "usage: mtls-client [--key URI-OR-FILE --cert URI-OR-FILE] --ca ROOT.pem --name SERVER\n"
            "                   [--connect HOST:PORT] [--message TEXT | --tunnel] [--repeat N [--resume]] [--load N]\n"
            "                   [--tls 1.2|1.3|any] [--suites NAMES] [--crl FILE] [--alpn NAMES] [--json] [--quiet]\n",
        .rows = rows,
        .num_rows = sizeof(rows) / sizeof(rows[0]),
    };
    static char host[] = "127.0.0.1";
    static char port[] = "4433";
    const char *what;

    memset(options, 0, sizeof(*options));
    options->demands.min_tls = TLS1_2_VERSION;
    options->where = (struct address){ host, port };
    options->repeat = 1;
    if (!options_parse(&table, argc, argv, out_status)) {
        return false;
    }
    what = incomplete(options);
    if (what != NULL) {
        return options_incomplete(&table, what);
    }
    if (options->message == NULL) {
        options->message = "hello";
    }
    return true;
}
