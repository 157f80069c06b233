#include "provider/files/certificates.h"

#include <openssl/x509.h>
#include <stdlib.h>
#include <time.h>

#include "base/trace.h"
#include "provider/core/ends.h"
#include "provider/core/software.h"
#include "provider/keys/key.h"

struct rated {
    struct tok_item item;
    X509 *certificate; /* NULL: unreadable */
    bool own;          /* of the key that is meant */
    int standing;      /* 2: valid now, 1: not yet, 0: no more */
    size_t place;      /* among all, so that equal ones stay in order */
    size_t key;        /* the place of the first one of the same key */
};

static int standing_of(const X509 *certificate)
{
    if (ASN1_TIME_cmp_time_t(X509_get0_notAfter(certificate), time(NULL)) == -1) {
        return 0;
    }
    return ASN1_TIME_cmp_time_t(X509_get0_notBefore(certificate), time(NULL)) != 1 ? 2 : 1;
}

/* For qsort: the later one comes first. */
static int later(const ASN1_TIME *a, const ASN1_TIME *b)
{
    int days = 0;
    int seconds = 0;

    return ASN1_TIME_diff(&days, &seconds, a, b) != 1 ? 0 : days != 0 ? days : seconds;
}

static int by_number(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

/* Those of a key stand together, and the one that ends last of those that are valid stands first. */
static int within_key(const void *va, const void *vb)
{
    const struct rated *a = va;
    const struct rated *b = vb;
    int order = by_number(a->key, b->key);

    if (order == 0) { /* both can be read */
        order = b->standing - a->standing;
    }
    if (order == 0 && a->certificate != NULL && b->certificate != NULL) {
        order = later(X509_get0_notAfter(a->certificate), X509_get0_notAfter(b->certificate));
    }
    return order != 0 ? order : by_number(a->place, b->place);
}

/* Of several keys' best ones the one that was issued last: an authority's, which may bear the same label, ends later
 * than what it certifies. */
static int among_keys(const void *va, const void *vb)
{
    const struct rated *a = va;
    const struct rated *b = vb;
    int order = (a->certificate == NULL) - (b->certificate == NULL);

    if (order == 0) {
        order = b->own - a->own;
    }
    if (order == 0) {
        order = b->standing - a->standing;
    }
    if (order == 0 && a->certificate != NULL && b->certificate != NULL) {
        order = later(X509_get0_notBefore(a->certificate), X509_get0_notBefore(b->certificate));
    }
    return order != 0 ? order : by_number(a->place, b->place);
}

static bool same_key(const struct rated *a, const struct rated *b)
{
    return a->certificate != NULL && b->certificate != NULL &&
           ASN1_STRING_cmp(X509_get0_pubkey_bitstr(a->certificate), X509_get0_pubkey_bitstr(b->certificate)) == 0;
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

static EVP_PKEY *key_of(struct prov_ctx *prov, const struct tok_public *half)
{
    struct prov_key *key = half == NULL ? NULL : prov_key_public(prov, half);
    EVP_PKEY *software = key != NULL && EVP_PKEY_up_ref(key->software) ? key->software : NULL;

    prov_key_unref(key);
    return software;
}

/* Keeps one for each key. The number of those that stay, in front. */
static size_t keep_best(struct rated *all, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || all[i].key != all[kept - 1].key) {
            struct rated moved = all[i];

            all[i] = all[kept];
            all[kept++] = moved;
        }
    }
    qsort(all, kept, sizeof(*all), among_keys);
    return kept;
}

static void tell(const struct rated *all, size_t count, size_t kept)
{
    if (kept > 1 && !all[0].own) {
        trace(TRACE_FIND, "find: warning: certificates of %zu keys have this name, and no key tells which is meant: '%s' "
              "comes first, as the one that was issued last; name it by its id", kept, all[0].item.uri);
    } else {
        trace(TRACE_FIND, "find: of %zu certificates '%s' comes first: of its key it is the one that ends last", count,
              all[0].item.uri);
    }
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

static void rate_all(struct rated *all, size_t count, struct prov_ctx *prov, const struct tok_item *items,
                     const struct tok_public *own)
{
    SCOPED(pkey_end) EVP_PKEY *key = key_of(prov, own);

    for (size_t i = 0; i < count; i++) {
        rate(&all[i], prov, &items[i], key, i);
        while (all[i].key < i && !same_key(&all[i], &all[all[i].key])) {
            all[i].key++;
        }
    }
}

size_t prov_certificates_count(const struct tok_items *items, size_t *out_first)
{
    size_t first = 0;
    size_t count = 0;

    while (first < items->count && items->items[first].kind != TOK_WANT_CERTIFICATE) {
        first++;
    }
    while (first + count < items->count && items->items[first + count].kind == TOK_WANT_CERTIFICATE) {
        count++;
    }
    *out_first = first;
    return count;
}

void prov_certificates_settle(struct prov_ctx *prov, struct tok_items *items, bool named, const struct tok_public *own)
{
    size_t first;
    size_t count = prov_certificates_count(items, &first);
    struct rated *all = count > 1 ? calloc(count, sizeof(*all)) : NULL;
    size_t kept = count;

    if (all == NULL) {
        return;
    }
    prov_err_mark(prov);
    rate_all(all, count, prov, &items->items[first], own);
    qsort(all, count, sizeof(*all), within_key);
    if (named) {
        kept = keep_best(all, count);
        tell(all, count, kept);
    }
    put_back(items, first, count, all, kept);
    for (size_t i = 0; i < count; i++) {
        X509_free(all[i].certificate);
    }
    free(all);
    prov_err_forget(prov);
}
