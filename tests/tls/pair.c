#include "pair.h"

#include <openssl/err.h>

#include "keys.h"

static int use_key(SSL_CTX *ctx, const char *name)
{
    EVP_PKEY *key;
    int used;

    if (!is_uri(name)) {
        return SSL_CTX_use_PrivateKey_file(ctx, name, SSL_FILETYPE_PEM);
    }
    key = key_of_store(name, NULL);
    used = key != NULL && SSL_CTX_use_PrivateKey(ctx, key) == 1;
    EVP_PKEY_free(key);
    return used;
}

SSL_CTX *context_with(const char *key, const char *chain, const char *root, int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());

    if (ctx == NULL || !SSL_CTX_set_min_proto_version(ctx, version) || !SSL_CTX_set_max_proto_version(ctx, version) ||
        SSL_CTX_load_verify_locations(ctx, root, NULL) != 1 ||
        (key != NULL && (SSL_CTX_use_certificate_chain_file(ctx, chain) != 1 || use_key(ctx, key) != 1 ||
                         SSL_CTX_check_private_key(ctx) != 1))) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    return ctx;
}

void ask_clients(SSL_CTX *server, int authenticate)
{
    int mode = authenticate ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE;

    SSL_CTX_set_verify(server, mode, NULL);
}

/* Gets on with one end. False if it can't any more. */
static int step(SSL *end, int *done)
{
    int rv;

    if (*done) {
        return 1;
    }
    rv = SSL_do_handshake(end);
    *done = rv == 1;
    return rv == 1 || SSL_get_error(end, rv) == SSL_ERROR_WANT_READ;
}

/* Turns of both ends until both are done, or neither gets on. */
static int handshake(SSL *server, SSL *client)
{
    int done_server = 0;
    int done_client = 0;

    for (int turn = 0; turn < 50 && !(done_server && done_client); turn++) {
        if (!step(client, &done_client) || !step(server, &done_server)) {
            return 0;
        }
    }
    return done_server && done_client;
}

static int byte_over(SSL *from, SSL *to)
{
    char byte = 0;

    return SSL_write(from, "x", 1) == 1 && SSL_read(to, &byte, 1) == 1 && byte == 'x';
}

static int has_verified(const SSL *end)
{
    return SSL_get0_peer_certificate(end) != NULL && SSL_get_verify_result(end) == X509_V_OK;
}

static int set_groups(SSL *end, const char *groups)
{
    return groups == NULL || SSL_set1_groups_list(end, groups) == 1;
}

static int shake_ends(SSL *server, SSL *client)
{
    int asks = (SSL_get_verify_mode(server) & SSL_VERIFY_PEER) != 0;

    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    return SSL_set1_host(client, "localhost") == 1 && handshake(server, client) && byte_over(client, server) &&
           byte_over(server, client) && has_verified(client) && (!asks || has_verified(server));
}

int shake(SSL_CTX *server_ctx, SSL_CTX *client_ctx, const char *groups)
{
    SSL *server = SSL_new(server_ctx);
    SSL *client = SSL_new(client_ctx);
    BIO *one = NULL;
    BIO *other = NULL;
    int good = 0;

    if (server != NULL && client != NULL && BIO_new_bio_pair(&one, 1 << 16, &other, 1 << 16)) {
        SSL_set_bio(server, one, one);
        SSL_set_bio(client, other, other);
        good = set_groups(server, groups) && set_groups(client, groups) && shake_ends(server, client);
    }
    SSL_free(server);
    SSL_free(client);
    return good;
}

/* --- a handshake over a line that damages ------------------------------------------------------------------------- */

#define RECORD_HEADER 5
#define RECORD_HANDSHAKE 22

/* The length of the record at `at`, with its header. */
static size_t record_size(const unsigned char *at)
{
    return RECORD_HEADER + ((size_t)at[3] << 8 | at[4]);
}

/* Carries what one end has written to the other, and damages the record that begins with this handshake message. */
static void carry(BIO *from, BIO *to, unsigned char type)
{
    unsigned char *data;
    size_t len = (size_t)BIO_get_mem_data(from, &data);

    for (size_t at = 0; at + RECORD_HEADER < len; at += record_size(data + at)) {
        if (data[at] == RECORD_HANDSHAKE && data[at + RECORD_HEADER] == type) {
            data[at + record_size(data + at) - 1] ^= 0x01;
        }
    }
    BIO_write(to, data, (int)len);
    BIO_reset(from);
}

/* The alert with which an end was told to stop, from the error that libssl makes of it. */
static int alert_received(SSL *end)
{
    int reason;

    ERR_clear_error();
    SSL_do_handshake(end);
    reason = ERR_GET_REASON(ERR_peek_last_error());
    ERR_clear_error();
    return reason >= SSL_AD_REASON_OFFSET ? reason - SSL_AD_REASON_OFFSET : -1;
}

int shake_damaged(SSL_CTX *server_ctx, SSL_CTX *client_ctx, unsigned char type)
{
    SSL *server = SSL_new(server_ctx);
    SSL *client = SSL_new(client_ctx);
    BIO *up = BIO_new(BIO_s_mem());   /* what the client writes */
    BIO *line = BIO_new(BIO_s_mem()); /* what of it arrives */
    BIO *down = BIO_new(BIO_s_mem());
    int alert = -1;
    int done = 0;

    BIO_up_ref(down);
    SSL_set_bio(server, line, down);
    SSL_set_bio(client, down, up);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    for (int turn = 0; turn < 10 && !done && alert < 0; turn++) {
        SSL_do_handshake(client);
        carry(up, line, type);
        ERR_clear_error();
        alert = step(server, &done) ? -1 : alert_received(client);
    }
    SSL_free(server);
    SSL_free(client);
    return alert;
}
