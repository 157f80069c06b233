#include "flow.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "messages.h"
#include "refusal.h"

struct flow {
    const struct report *report;
    unsigned connection;
    bool server;         /* we are */
    bool client_checked; /* step 5 was told */
    bool answered;       /* steps 7 and 8 were told */
    const char *ours;    /* scheme of our signature; NULL: none yet */
    const char *peers;
    struct refusal refusal;
};

static void flow_free(void *parent, void *ptr, CRYPTO_EX_DATA *data, int index, long argl, void *argp)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)argl;
    (void)argp;
    free(ptr);
}

static int flow_index(void)
{
    static int index = -1; /* made by flow_watch, before there are threads */

    if (index < 0) {
        index = SSL_get_ex_new_index(0, NULL, NULL, NULL, flow_free);
    }
    return index;
}

static struct flow *flow_of(const SSL *ssl)
{
    return SSL_get_ex_data(ssl, flow_index());
}

#define TELL(flow, step, event, text, ...)                                                                             \
    report((flow)->report, (flow)->connection, step, event, text, __VA_ARGS__, (const char *)NULL)

/* --- what a message says ------------------------------------------------------------------------------------------ */

static void tell_client_hello(struct flow *flow, SSL *ssl, bool sent, struct cursor *body)
{
    struct client_hello hello;
    char suites[16];

    (void)ssl;
    client_hello_read(&hello, body);
    snprintf(suites, sizeof(suites), "%u", hello.num_suites);
    TELL(flow, 1, "client_hello", sent ? "sent the client hello" : "received the client hello", "random", hello.random,
         "versions", hello.versions, "#suites", suites, "host", hello.name[0] != '\0' ? hello.name : NULL);
}

static void tell_server_hello(struct flow *flow, SSL *ssl, bool sent, struct cursor *body)
{
    struct server_hello hello;
    const char *group;

    server_hello_read(&hello, body);
    group = hello.group == 0 ? NULL : SSL_group_to_name(ssl, (int)hello.group | TLSEXT_nid_unknown);
    if (hello.retry) {
        TELL(flow, 3, "hello_retry", sent ? "asked for a client hello with another group" : "must say hello again",
             "group", group);
        return;
    }
    TELL(flow, 3, "server_hello", sent ? "sent the server hello" : "received the server hello", "random", hello.random,
         "version", version_name(hello.version), "suite", suite_name(ssl, hello.suite), "group", group);
}

static void tell_request(struct flow *flow, SSL *ssl, bool sent, struct cursor *body)
{
    (void)ssl;
    (void)body;
    TELL(flow, 3, "certificate_request",
         sent ? "asked for the client's certificate" : "the server asks for our certificate", "", (const char *)NULL);
}

/* "CN = Alice, issued by CN = CA, until 2027-01-01": a line for each certificate. */
static void certificate_text(char *out, size_t size, const X509 *cert)
{
    char subject[160];
    char issuer[160];
    char until[32];

    name_text(subject, sizeof(subject), X509_get_subject_name(cert));
    name_text(issuer, sizeof(issuer), X509_get_issuer_name(cert));
    time_text(until, sizeof(until), X509_get0_notAfter(cert), false);
    snprintf(out, size, "%s; issued by %s; until %s", subject, issuer, until);
}

static void tell_certificate(struct flow *flow, SSL *ssl, bool sent, struct cursor *body)
{
    static const char *const texts[2][2] = {
        { "the server shows its certificate chain", "sent our certificate chain" },
        { "the client shows its certificate chain", "sent our certificate chain" },
    };
    bool of_server = sent == flow->server;
    STACK_OF(X509) *chain = certificates_read(body, SSL_version(ssl) == TLS1_3_VERSION);
    char line[3][400] = { "", "", "" };

    for (int i = 0; i < sk_X509_num(chain) && i < 3; i++) {
        certificate_text(line[i], sizeof(line[i]), sk_X509_value(chain, i));
    }
    if (!sent) {
        refusal_peer(&flow->refusal, chain);
    }
    if (sk_X509_num(chain) == 0) {
        TELL(flow, of_server ? 3 : 6, "certificate", sent ? "sent no certificate" : "the client shows no certificate",
             "", (const char *)NULL);
    } else {
        TELL(flow, of_server ? 3 : 6, "certificate", texts[!of_server][sent], "subject", line[0], "via",
             line[1][0] != '\0' ? line[1] : NULL, "via_2", line[2][0] != '\0' ? line[2] : NULL);
    }
    sk_X509_pop_free(chain, X509_free);
}

/* --- signatures --------------------------------------------------------------------------------------------------- */

static void tell_our_signature(struct flow *flow, SSL *ssl, const char *covers)
{
    struct key_facts facts;
    char duration[24];

    key_facts(&facts, SSL_get_privatekey(ssl));
    snprintf(duration, sizeof(duration), "%llu", (unsigned long long)facts.signed_us);
    TELL(flow, flow->server ? 2 : 4, "signature", "signed with our private key", "scheme", flow->ours, "covers", covers,
         "key", facts.label, "token", facts.token, facts.on_token ? "#took_us" : "took_us",
         facts.on_token ? duration : "-");
}

static void tell_signature(struct flow *flow, SSL *ssl, bool sent, const char *scheme, const char *covers)
{
    if (sent) {
        flow->ours = scheme;
        tell_our_signature(flow, ssl, covers);
        return;
    }
    flow->peers = scheme;
    TELL(flow, flow->server ? 4 : 2, "signature",
         flow->server ? "the client signs with its private key" : "the server signs with its private key", "scheme",
         scheme, "covers", covers);
}

static const char *root_text(SSL *ssl, char *out, size_t size)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    int count = chain == NULL ? 0 : sk_X509_num(chain);

    if (count == 0) {
        return NULL;
    }
    name_text(out, size, X509_get_subject_name(sk_X509_value(chain, count - 1)));
    return out;
}

/* The server's messages are complete: the client goes on only if all was well. */
static void tell_client_checked(struct flow *flow, SSL *ssl)
{
    char root[256];

    if (flow->client_checked || SSL_session_reused(ssl)) {
        return;
    }
    flow->client_checked = true;
    if (flow->server) {
        TELL(flow, 5, "checked", "the client goes on: it trusts our chain, name and signature", "", (const char *)NULL);
    } else {
        TELL(flow, 5, "checked",
             flow->peers != NULL ? "checked the server's chain, name and signature: good"
                                 : "checked the server's chain and name: good",
             "root", root_text(ssl, root, sizeof(root)), "name", SSL_get0_peername(ssl));
    }
}

static void tell_verify(struct flow *flow, SSL *ssl, bool sent, struct cursor *body)
{
    bool of_server = sent == flow->server;
    char root[256];

    tell_signature(flow, ssl, sent, scheme_name(cursor_u16(body)), "all messages so far");
    if (!sent && !of_server) { /* libssl has just checked the chain */
        TELL(flow, 7, "checked", "checked the client's chain: good", "root", root_text(ssl, root, sizeof(root)));
    }
}

/* Only in TLS 1.2: the signature comes with the server's share of the key exchange. */
static void tell_server_exchange(struct flow *flow, SSL *ssl, bool sent, struct cursor *body)
{
    const SSL_CIPHER *cipher = SSL_get_pending_cipher(ssl);

    if (cipher != NULL && key_exchange_skip(body, SSL_CIPHER_get_kx_nid(cipher))) {
        tell_signature(flow, ssl, sent, scheme_name(cursor_u16(body)), "both randoms and the server's key share");
    }
}

static void tell_server_done(struct flow *flow, SSL *ssl, bool sent, struct cursor *body)
{
    (void)body;
    if (!sent) {
        tell_client_checked(flow, ssl);
    }
}

/* Only in TLS 1.2. Without ephemeral keys nothing is signed by the server: it proves its key by decrypting this. */
static void tell_client_exchange(struct flow *flow, SSL *ssl, bool sent, struct cursor *body)
{
    const SSL_CIPHER *cipher = SSL_get_pending_cipher(ssl);

    (void)body;
    if (cipher != NULL && SSL_CIPHER_get_kx_nid(cipher) == NID_kx_rsa) {
        TELL(flow, 0, "key_transport",
             sent ? "encrypted the secret to the server's public key: only its private key can read it"
                  : "received the secret, encrypted to our public key: our private key decrypts it",
             "", (const char *)NULL);
    }
}

static void tell_let_in(struct flow *flow)
{
    if (flow->answered || flow->ours == NULL) {
        return;
    }
    flow->answered = true;
    TELL(flow, 7, "checked", "the server lets us in: it trusts our chain", "", (const char *)NULL);
    TELL(flow, 8, "checked", "and our signature", "", (const char *)NULL);
}

static void tell_finished(struct flow *flow, SSL *ssl, bool sent, struct cursor *body)
{
    (void)body;
    if (sent) {
        return;
    }
    if (!flow->server) {
        if (SSL_version(ssl) == TLS1_3_VERSION) {
            tell_client_checked(flow, ssl);
        } else {
            tell_let_in(flow);
        }
    } else if (flow->peers != NULL) {
        TELL(flow, 8, "checked", "checked the client's signature: good", "scheme", flow->peers);
    }
}

static void tell_ticket(struct flow *flow, SSL *ssl, bool sent, struct cursor *body)
{
    (void)ssl;
    (void)body;
    if (!sent && !flow->server && SSL_version(ssl) == TLS1_3_VERSION) {
        tell_let_in(flow);
    }
}

/* --- libssl's callbacks ------------------------------------------------------------------------------------------- */

static const struct {
    int type; /* RFC 8446 §4, RFC 5246 §7.4 */
    void (*tell)(struct flow *flow, SSL *ssl, bool sent, struct cursor *body);
} messages[] = {
    { SSL3_MT_CLIENT_HELLO, tell_client_hello },
    { SSL3_MT_SERVER_HELLO, tell_server_hello },
    { SSL3_MT_CERTIFICATE_REQUEST, tell_request },
    { SSL3_MT_CERTIFICATE, tell_certificate },
    { SSL3_MT_SERVER_KEY_EXCHANGE, tell_server_exchange },
    { SSL3_MT_SERVER_DONE, tell_server_done },
    { SSL3_MT_CLIENT_KEY_EXCHANGE, tell_client_exchange },
    { SSL3_MT_CERTIFICATE_VERIFY, tell_verify },
    { SSL3_MT_FINISHED, tell_finished },
    { SSL3_MT_NEWSESSION_TICKET, tell_ticket },
};

static void on_message(int sent, int version, int content_type, const void *data, size_t len, SSL *ssl, void *arg)
{
    struct flow *flow = arg;
    struct cursor body = cursor_over(data, len);

    (void)version;
    if (content_type == SSL3_RT_ALERT && len == 2) {
        refusal_alert(&flow->refusal, sent != 0, ((const unsigned char *)data)[0], ((const unsigned char *)data)[1]);
        return;
    }
    if (content_type != SSL3_RT_HANDSHAKE || len < 4) {
        return;
    }
    if (flow->server && !sent && cursor_peek(&body) == SSL3_MT_CERTIFICATE) {
        tell_client_checked(flow, ssl);
    }
    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        if (messages[i].type == (int)cursor_peek(&body)) {
            cursor_skip(&body, 4); /* type and length */
            messages[i].tell(flow, ssl, sent != 0, &body);
            return;
        }
    }
}

static int on_verify(int good, X509_STORE_CTX *store)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());

    if (!good) {
        refusal_verify(&flow_of(ssl)->refusal, store);
    }
    return good;
}

/* Both ends demand a certificate: that is what makes it mutual. */
void flow_watch(SSL_CTX *ctx)
{
    (void)flow_index();
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, on_verify);
    SSL_CTX_set_msg_callback(ctx, on_message);
#ifdef SSL_OP_NO_RX_CERTIFICATE_COMPRESSION /* since 3.2: a chain that is sent compressed could not be shown */
    SSL_CTX_set_options(ctx, SSL_OP_NO_RX_CERTIFICATE_COMPRESSION | SSL_OP_NO_TX_CERTIFICATE_COMPRESSION);
#endif
}

bool flow_begin(SSL *ssl, const struct report *report, unsigned connection)
{
    struct flow *flow = calloc(1, sizeof(*flow));

    if (flow == NULL || !SSL_set_ex_data(ssl, flow_index(), flow)) {
        free(flow);
        return false;
    }
    flow->report = report;
    flow->connection = connection;
    flow->server = SSL_is_server(ssl) != 0;
    refusal_begin(&flow->refusal, flow->server ? "client" : "server");
    SSL_set_msg_callback_arg(ssl, flow);
    return true;
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

void flow_connected(SSL *ssl)
{
    struct flow *flow = flow_of(ssl);
    X509 *peer = SSL_get1_peer_certificate(ssl);
    const unsigned char *alpn;
    unsigned alpn_len;
    char protocol[256];
    char subject[256] = "-";
    int group = (int)SSL_get_negotiated_group(ssl);

    if (peer != NULL) {
        name_text(subject, sizeof(subject), X509_get_subject_name(peer));
    }
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_len);
    snprintf(protocol, sizeof(protocol), "%.*s", (int)alpn_len, alpn_len > 0 ? (const char *)alpn : "");
    TELL(flow, 9, "connected",
         SSL_session_reused(ssl) ? "connected: an earlier session goes on, whose ends have proved who they are"
         : flow->server || flow->answered
             ? "connected: both ends have proved who they are"
             : "connected: the server has proved who it is; it has not yet judged our proof",
         "peer", subject, "version", SSL_get_version(ssl), "suite",
         SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl)), "group",
         group > 0 ? SSL_group_to_name(ssl, group) : NULL, "protocol", alpn_len > 0 ? protocol : NULL);
    X509_free(peer);
}

void flow_answered(SSL *ssl)
{
    tell_let_in(flow_of(ssl));
}

void flow_refused(SSL *ssl)
{
    struct flow *flow = flow_of(ssl);
    char words[REFUSAL_WORDS];
    const char *event = refusal_words(&flow->refusal, words, sizeof(words));

    TELL(flow, 0, event, words, "alert", refusal_alert_name(&flow->refusal));
    ERR_clear_error();
}

void flow_broken(SSL *ssl)
{
    struct flow *flow = flow_of(ssl);
    char words[REFUSAL_WORDS];

    (void)refusal_words(&flow->refusal, words, sizeof(words));
    TELL(flow, 0, "broken", words, "alert", refusal_alert_name(&flow->refusal));
    ERR_clear_error();
}

void flow_closed(SSL *ssl)
{
    struct flow *flow = flow_of(ssl);
    char in[24];
    char out[24];

    snprintf(in, sizeof(in), "%llu", (unsigned long long)BIO_number_read(SSL_get_rbio(ssl)));
    snprintf(out, sizeof(out), "%llu", (unsigned long long)BIO_number_written(SSL_get_wbio(ssl)));
    TELL(flow, 9, "closed", "closed", "#received", in, "#sent", out);
}

const char *flow_our_scheme(SSL *ssl)
{
    return flow_of(ssl)->ours != NULL ? flow_of(ssl)->ours : "-";
}

const char *flow_peer_scheme(SSL *ssl)
{
    return flow_of(ssl)->peers != NULL ? flow_of(ssl)->peers : "-";
}
