#include "page.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common.h"
#include "flow.h"

bool page_wanted(const char *line)
{
    return strncmp(line, "GET /", 5) == 0 || strncmp(line, "HEAD /", 6) == 0;
}

/* --- a page of rows, in one of two forms -------------------------------------------------------------------------- */

struct page {
    FILE *out;
    bool html;
};

static void escaped(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc(*text, out);
        }
    }
}

static void section(struct page *page, const char *title)
{
    fprintf(page->out, page->html ? "<tr><th colspan=2>%s</th></tr>\n" : "\n%s\n", title);
}

__attribute__((format(printf, 3, 4))) static void row(struct page *page, const char *label, const char *format, ...)
{
    char value[512];
    va_list args;

    va_start(args, format);
    vsnprintf(value, sizeof(value), format, args);
    va_end(args);
    if (!page->html) {
        fprintf(page->out, "  %-20s %s\n", label, value);
        return;
    }
    fprintf(page->out, "<tr><td>%s</td><td>", label);
    escaped(page->out, value);
    fputs("</td></tr>\n", page->out);
}

/* --- what was proved ---------------------------------------------------------------------------------------------- */

/* Each part of a name for itself: O, OU, CN ... */
static void rows_of_name(struct page *page, const X509_NAME *name)
{
    for (int i = 0; i < X509_NAME_entry_count(name); i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);
        char label[80];
        unsigned char *text = NULL;
        int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(entry));

        OBJ_obj2txt(label, sizeof(label), X509_NAME_ENTRY_get_object(entry), 0);
        row(page, label, "%.*s", len > 0 ? len : 0, text != NULL ? (const char *)text : "");
        OPENSSL_free(text);
    }
}

static void rows_of_certificate(struct page *page, X509 *cert)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    char fingerprint[2 * EVP_MAX_MD_SIZE + 1] = "";
    char issuer[256];
    char serial[64];

    X509_digest(cert, EVP_sha256(), digest, &digest_len);
    for (unsigned i = 0; i < digest_len; i++) {
        snprintf(fingerprint + 2 * i, 3, "%02x", digest[i]);
    }
    name_text(issuer, sizeof(issuer), X509_get_issuer_name(cert));
    serial_text(serial, sizeof(serial), cert);
    row(page, "issued by", "%s", issuer);
    row(page, "serial number", "%s", serial);
    row(page, "SHA-256", "%s", fingerprint);
}

static void server_rows(struct page *page, SSL *ssl)
{
    struct key_facts facts;

    key_facts(&facts, SSL_get_privatekey(ssl));
    section(page, "This server");
    rows_of_name(page, X509_get_subject_name(SSL_get_certificate(ssl)));
    rows_of_certificate(page, SSL_get_certificate(ssl));
    row(page, "its key", "%s, '%s'", facts.type, facts.label);
    row(page, "on the token", "%s", facts.token);
    row(page, "signed", "%s", flow_our_scheme(ssl));
    if (facts.on_token) {
        row(page, "in", "%llu us", (unsigned long long)facts.signed_us);
    }
}

static void client_rows(struct page *page, SSL *ssl)
{
    X509 *peer = SSL_get1_peer_certificate(ssl);

    section(page, "You");
    if (peer != NULL) {
        rows_of_name(page, X509_get_subject_name(peer));
        rows_of_certificate(page, peer);
    }
    row(page, "signed", "%s", flow_peer_scheme(ssl));
    X509_free(peer);
}

static void connection_rows(struct page *page, SSL *ssl)
{
    int group = (int)SSL_get_negotiated_group(ssl);

    section(page, "The connection");
    row(page, "version", "%s", SSL_get_version(ssl));
    row(page, "cipher suite", "%s", SSL_CIPHER_standard_name(SSL_get_current_cipher(ssl)));
    row(page, "group", "%s", group > 0 ? SSL_group_to_name(ssl, group) : "-");
    row(page, "session", "%s", SSL_session_reused(ssl) ? "resumed: both proofs are of its first handshake" : "new");
}

#define TITLE "Both ends have proved who they are"

static void body(struct page *page, SSL *ssl)
{
    fprintf(page->out,
            page->html ? "<!doctype html><html lang=en><meta charset=utf-8><title>Mutual TLS</title><style>"
                         "body{font:16px sans-serif;margin:2em;max-width:60em}td{padding:.1em 1em .1em 0;"
                         "vertical-align:top;word-break:break-all}td:first-child{color:#666;white-space:nowrap}"
                         "th{text-align:left;padding-top:1em}</style><h1>%s</h1><table>\n"
                       : "%s\n",
            TITLE);
    server_rows(page, ssl);
    client_rows(page, ssl);
    connection_rows(page, ssl);
    if (page->html) {
        fputs("</table></html>\n", page->out);
    }
}

/* Whether a header of the request accepts HTML. */
static bool accepts_html(const char *request)
{
    const char *accept = strcasestr(request, "\naccept:");
    const char *html = accept == NULL ? NULL : strcasestr(accept, "text/html");

    return html != NULL && html < accept + 1 + strcspn(accept + 1, "\n");
}

char *page_make(SSL *ssl, const char *request)
{
    char *content = NULL;
    char *response = NULL;
    size_t content_len;
    size_t response_len;
    struct page page = { .out = open_memstream(&content, &content_len), .html = accepts_html(request) };
    FILE *out = open_memstream(&response, &response_len);

    if (page.out != NULL) {
        body(&page, ssl);
        fclose(page.out);
    }
    if (out != NULL) {
        fprintf(out,
                "HTTP/1.1 200 OK\r\nContent-Type: text/%s; charset=utf-8\r\nContent-Length: %zu\r\n"
                "Cache-Control: no-store\r\nConnection: close\r\n\r\n%s",
                page.html ? "html" : "plain", content != NULL ? strlen(content) : 0,
                content != NULL && strncmp(request, "HEAD", 4) != 0 ? content : "");
        fclose(out);
    }
    free(content);
    return response;
}
