/* Why a handshake failed, in words. The end that refuses knows the reason, and tells the other one an alert, which is
 * all that one learns. */
#ifndef SIGNET_EXAMPLES_REFUSAL_H
#define SIGNET_EXAMPLES_REFUSAL_H

#include <openssl/ssl.h>
#include <stdbool.h>

#define REFUSAL_WORDS 600

struct refusal {
    const char *peer; /* "client" or "server": the other end */
    int peer_certs;   /* in the chain that it sent; -1: it has not come so far */
    bool verify_failed;
    char words[REFUSAL_WORDS]; /* what was wrong with its chain */
    int alert;                 /* the fatal alert of the handshake; 0: none */
    bool alert_sent;           /* by us */
};

void refusal_begin(struct refusal *refusal, const char *peer);
/* What happens during the handshake. */
void refusal_peer(struct refusal *refusal, STACK_OF(X509) *chain);
void refusal_verify(struct refusal *refusal, X509_STORE_CTX *store);
void refusal_alert(struct refusal *refusal, bool sent, int level, int description);

/* refusal_words says why it failed; the result is the event's name, REPORT_REFUSED or REPORT_ALERT. Takes what
 * OpenSSL's queue says into account. */
const char *refusal_words(const struct refusal *refusal, char *out, size_t size);
/* refusal_alert_name is the alert's name in words; NULL: there was none. Static. */
const char *refusal_alert_name(const struct refusal *refusal);

#endif
