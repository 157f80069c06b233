#include "refusal.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "common.h"
#include "report.h"

void refusal_begin(struct refusal *refusal, const char *peer)
{
    memset(refusal, 0, sizeof(*refusal));
    refusal->peer = peer;
    refusal->peer_certs = -1;
}

void refusal_peer(struct refusal *refusal, STACK_OF(X509) *chain)
{
    refusal->peer_certs = sk_X509_num(chain);
}

/* Warnings are no refusal: close_notify is one. */
void refusal_alert(struct refusal *refusal, bool sent, int level, int description)
{
    if (level == SSL3_AL_FATAL && refusal->alert == 0) {
        refusal->alert = description;
        refusal->alert_sent = sent;
    }
}

/* OpenSSL 3.0 has no names for the newer ones. */
const char *refusal_alert_name(const struct refusal *refusal)
{
    switch (refusal->alert) {
    case 0:
        return NULL;
    case TLS13_AD_MISSING_EXTENSION:
        return "missing extension";
    case TLS13_AD_CERTIFICATE_REQUIRED:
        return "certificate required";
    case TLS1_AD_NO_APPLICATION_PROTOCOL:
        return "no application protocol";
    default:
        return SSL_alert_desc_string_long(refusal->alert);
    }
}

/* --- what is wrong with a chain ----------------------------------------------------------------------------------- */

static void names_text(char *out, size_t size, X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    size_t len = 0;

    out[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && len < size; i++) {
        int type;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);

        if (type == GEN_DNS) {
            len += (size_t)snprintf(out + len, size - len, "%s%.*s", len > 0 ? ", " : "", ASN1_STRING_length(value),
                                    (const char *)ASN1_STRING_get0_data(value));
        }
    }
    GENERAL_NAMES_free(names);
    text_printable(out);
}

/* The certificate at fault, and a sentence for each of the usual faults. */
struct fault {
    struct refusal *refusal;
    X509 *cert;
    int error;
    int depth;
    char subject[200];
};

static void fault_dates(struct fault *fault, char *out, size_t size)
{
    char date[32];
    bool over = fault->error == X509_V_ERR_CERT_HAS_EXPIRED;

    time_text(date, sizeof(date), over ? X509_get0_notAfter(fault->cert) : X509_get0_notBefore(fault->cert), true);
    snprintf(out, size, over ? "has expired: it was good until %s" : "is not yet valid: it is good from %s", date);
}

static void fault_issuer(struct fault *fault, char *out, size_t size)
{
    char issuer[200];

    name_text(issuer, sizeof(issuer), X509_get_issuer_name(fault->cert));
    if (fault->depth == 0 && fault->refusal->peer_certs <= 1) {
        snprintf(out, size,
                 "was issued by %s, which we don't know: no intermediate certificate was sent, or the root is not ours",
                 issuer);
    } else {
        snprintf(out, size, "leads to %s, which is no root that we trust", issuer);
    }
}

static void fault_root(struct fault *fault, char *out, size_t size)
{
    snprintf(out, size, "leads to %s, which is no root that we trust", fault->subject);
}

static void fault_name(struct fault *fault, char *out, size_t size)
{
    char names[200];

    names_text(names, sizeof(names), fault->cert);
    snprintf(out, size, "is for another host: it names %s", names[0] != '\0' ? names : "none");
}

static void fault_usage(struct fault *fault, char *out, size_t size)
{
    snprintf(out, size, "is not meant for a TLS %s (key usage)", fault->refusal->peer);
}

static void fault_revoked(struct fault *fault, char *out, size_t size)
{
    char serial[64];

    serial_text(serial, sizeof(serial), fault->cert);
    snprintf(out, size, "was revoked by its issuer (serial %s)", serial);
}

static void fault_no_list(struct fault *fault, char *out, size_t size)
{
    char issuer[200];

    name_text(issuer, sizeof(issuer), X509_get_issuer_name(fault->cert));
    snprintf(out, size, "may have been revoked: there is no current list of its issuer, %s", issuer);
}

static void fault_other(struct fault *fault, char *out, size_t size)
{
    snprintf(out, size, "is not good: %s", X509_verify_cert_error_string(fault->error));
}

static const struct {
    int error;
    void (*words)(struct fault *fault, char *out, size_t size);
} faults[] = {
    { X509_V_ERR_CERT_HAS_EXPIRED, fault_dates },
    { X509_V_ERR_CERT_NOT_YET_VALID, fault_dates },
    { X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, fault_issuer },
    { X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, fault_issuer },
    { X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, fault_issuer },
    { X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, fault_root },
    { X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, fault_root },
    { X509_V_ERR_HOSTNAME_MISMATCH, fault_name },
    { X509_V_ERR_INVALID_PURPOSE, fault_usage },
    { X509_V_ERR_CERT_REVOKED, fault_revoked },
    { X509_V_ERR_UNABLE_TO_GET_CRL, fault_no_list },
    { X509_V_ERR_CRL_HAS_EXPIRED, fault_no_list },
};

/* The first fault is told; libssl asks on, and what follows is a consequence. */
void refusal_verify(struct refusal *refusal, X509_STORE_CTX *store)
{
    struct fault fault = {
        .refusal = refusal,
        .cert = X509_STORE_CTX_get_current_cert(store),
        .error = X509_STORE_CTX_get_error(store),
        .depth = X509_STORE_CTX_get_error_depth(store),
        .subject = "?",
    };
    void (*words)(struct fault *, char *, size_t) = fault_other;
    char what[420];

    if (refusal->verify_failed) {
        return;
    }
    refusal->verify_failed = true;
    for (size_t i = 0; fault.cert != NULL && i < sizeof(faults) / sizeof(faults[0]); i++) {
        if (faults[i].error == fault.error) {
            words = faults[i].words;
        }
    }
    if (fault.cert != NULL) {
        name_text(fault.subject, sizeof(fault.subject), X509_get_subject_name(fault.cert));
    }
    words(&fault, what, sizeof(what));
    snprintf(refusal->words, sizeof(refusal->words), "the %s's certificate %s (%s)", refusal->peer, what,
             fault.subject);
}

/* --- other reasons ------------------------------------------------------------------------------------------------ */

static const struct {
    int reason;        /* of libssl */
    const char *words; /* after "the client" or "the server" */
} reasons[] = {
    { SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, " sent no certificate" },
    { SSL_R_NO_SHARED_CIPHER, " and we have no cipher suite in common that our key serves" },
    { SSL_R_UNSUPPORTED_PROTOCOL, " speaks no version of TLS that we do" },
    { SSL_R_WRONG_VERSION_NUMBER, " does not speak TLS" },
    { SSL_R_HTTP_REQUEST, " speaks HTTP without TLS" },
    { SSL_R_HTTPS_PROXY_REQUEST, " takes us for a proxy" },
    { SSL_R_NO_APPLICATION_PROTOCOL, " wants none of our application protocols (ALPN)" },
    { SSL_R_BAD_SIGNATURE, "'s signature does not fit its certificate" },
    { SSL_R_UNEXPECTED_EOF_WHILE_READING, " went away without a goodbye" },
    { SSL_R_CALLBACK_FAILED, " asks for what we don't serve" },
};

/* The first error is the cause; ours (a token that fails) come before libssl's. */
static void queue_words(const struct refusal *refusal, char *out, size_t size)
{
    const char *data = "";
    int flags = 0;
    unsigned long code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags);

    for (size_t i = 0; ERR_GET_LIB(code) == ERR_LIB_SSL && i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (ERR_GET_REASON(code) == reasons[i].reason) {
            snprintf(out, size, "the %s%s", refusal->peer, reasons[i].words);
            return;
        }
    }
    if (code == 0) {
        snprintf(out, size, "the %s went away%s%s", refusal->peer, errno != 0 ? ": " : "",
                 errno != 0 ? strerror(errno) : "");
        return;
    }
    snprintf(out, size, "%s%s%s", ERR_reason_error_string(code) != NULL ? ERR_reason_error_string(code) : "?",
             (flags & ERR_TXT_STRING) && data[0] != '\0' ? ": " : "", (flags & ERR_TXT_STRING) ? data : "");
}

const char *refusal_words(const struct refusal *refusal, char *out, size_t size)
{
    if (refusal->alert != 0 && !refusal->alert_sent) {
        snprintf(out, size, "the %s sent the alert \"%s\"", refusal->peer, refusal_alert_name(refusal));
        return REPORT_ALERT;
    }
    if (refusal->verify_failed) {
        snprintf(out, size, "%s", refusal->words);
    } else {
        queue_words(refusal, out, size);
    }
    return REPORT_REFUSED;
}
