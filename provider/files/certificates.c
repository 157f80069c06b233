#include "provider/files/certificates.h"

#include <openssl/x509.h>
#include <stdlib.h>

#include "base/trace.h"
#include "provider/core/ends.h"
#include "provider/core/software.h"
#include "provider/keys/key.h"

struct rated {
    struct tok_item item;
    X509 *certificate; /* NULL: unreadable */
    bool own;          /* of the private key */
    int standing;      /* 2: valid now, 1: not yet, 0: no more */
    size_t place;      /* among all, so that equal ones stay in order */
};

static int standing_of(const X509 *certificate)
{
    if (X509_cmp_time(X509_get0_notAfter(certificate), NULL) < 0) {
        return 0;
    }
    return X509_cmp_time(X509_get0_notBefore(certificate), NULL) < 0 ? 2 : 1;
}

static int better(const void *va, const void *vb)
{
    const struct rated *a = va;
    const struct rated *b = vb;
    int days = 0;
    int seconds = 0;

    if ((a->certificate == NULL) != (b->certificate == NULL)) {
        return a->certificate == NULL ? 1 : -1;
    }
    if (a->own != b->own) {
        return a->own ? -1 : 1;
    }
    if (a->standing != b->standing) {
        return b->standing - a->standing;
    }
    if (a->certificate != NULL && ASN1_TIME_diff(&days, &seconds, X509_get0_notAfter(a->certificate),
                                                 X509_get0_notAfter(b->certificate)) == 1 &&
        (days != 0 || seconds != 0)) {
        return days != 0 ? days : seconds; /* the later end comes first */
    }
    return a->place < b->place ? -1 : 1;
}

static bool same_key(const X509 *a, const X509 *b)
{
    return a != NULL && b != NULL && X509_PUBKEY_eq(X509_get_X509_PUBKEY(a), X509_get_X509_PUBKEY(b)) == 1;
}

static X509 *read_certificate(const struct prov_ctx *prov, const struct tok_item *item)
{
    const unsigned char *at = item->certificate.data;
    X509 *certificate = X509_new_ex(prov->child, prov->query);

    if (certificate != NULL && d2i_X509(&certificate, &at, (long)item->certificate.len) == NULL) {
        return NULL; /* d2i has freed it */
    }
    return certificate;
}

/* The public half of the only private key there. */
static EVP_PKEY *key_beside(struct prov_ctx *prov, const struct tok_items *items)
{
    struct prov_key *key;
    EVP_PKEY *half = NULL;

    if (items->count == 0 || items->items[0].kind != TOK_WANT_PRIVATE || items->items[0].key == NULL) {
        return NULL;
    }
    key = prov_key_public(prov, tok_key_half(items->items[0].key));
    if (key != NULL && EVP_PKEY_up_ref(key->software)) {
        half = key->software;
    }
    prov_key_unref(key);
    return half;
}

/* From `first` on there are `count` certificates. The number of them that stay, in front. */
static size_t settle(struct rated *all, size_t count)
{
    size_t kept = 0;

    qsort(all, count, sizeof(*all), better);
    for (size_t i = 0; i < count; i++) {
        bool again = false;

        for (size_t j = 0; j < kept && !again; j++) {
            again = same_key(all[j].certificate, all[i].certificate);
        }
        if (!again) {
            struct rated moved = all[i];

            all[i] = all[kept];
            all[kept++] = moved;
        }
    }
    return kept;
}

static void rate(struct rated *out, struct prov_ctx *prov, const struct tok_item *item, EVP_PKEY *own, size_t place)
{
    *out = (struct rated){ .item = *item, .certificate = read_certificate(prov, item), .place = place };
    if (out->certificate != NULL) {
        EVP_PKEY *key = own == NULL ? NULL : X509_get0_pubkey(out->certificate);

        out->own = key != NULL && EVP_PKEY_eq(key, own) == 1;
        out->standing = standing_of(out->certificate);
    }
}

/* Those that don't stay go to the end of all items, and are cut there. */
static void put_back(struct tok_items *items, size_t first, size_t count, const struct rated *all, size_t kept)
{
    size_t rest = items->count - first - count;
    struct tok_item *behind = items->items + first + count;

    for (size_t i = 0; i < kept; i++) {
        items->items[first + i] = all[i].item;
    }
    for (size_t i = 0; i < rest; i++) {
        items->items[first + kept + i] = behind[i];
    }
    for (size_t i = kept; i < count; i++) {
        items->items[items->count - count + i] = all[i].item;
    }
    tok_items_cut(items, items->count - (count - kept));
}

void prov_certificates_settle(struct prov_ctx *prov, struct tok_items *items)
{
    SCOPED(pkey_end) EVP_PKEY *own = NULL;
    struct rated *all;
    size_t first = 0;
    size_t count = 0;
    size_t kept;

    while (first < items->count && items->items[first].kind != TOK_WANT_CERTIFICATE) {
        first++;
    }
    while (first + count < items->count && items->items[first + count].kind == TOK_WANT_CERTIFICATE) {
        count++;
    }
    all = count > 1 ? calloc(count, sizeof(*all)) : NULL;
    if (all == NULL) {
        return;
    }
    prov_err_mark(prov);
    own = key_beside(prov, items);
    for (size_t i = 0; i < count; i++) {
        rate(&all[i], prov, &items->items[first + i], own, i);
    }
    kept = settle(all, count);
    if (kept < count) {
        trace(TRACE_FIND, "find: of %zu certificates '%s' is taken: it is the one that ends last", count, all[0].item.uri);
    }
    put_back(items, first, count, all, kept);
    for (size_t i = 0; i < count; i++) {
        X509_free(all[i].certificate);
    }
    free(all);
    prov_err_forget(prov);
}
