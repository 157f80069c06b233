#include "provider/files/store.h"

#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/store.h>

#include "provider/core/ends.h"
#include "provider/core/software.h"
#include "provider/files/certificates.h"
#include "provider/files/prompt.h"
#include "provider/keys/prover.h"
#include "signet.h"

static OSSL_FUNC_store_open_fn store_open;
static OSSL_FUNC_store_settable_ctx_params_fn store_settable;
static OSSL_FUNC_store_set_ctx_params_fn store_set_params;
static OSSL_FUNC_store_load_fn store_load;
static OSSL_FUNC_store_eof_fn store_eof;
static OSSL_FUNC_store_close_fn store_close;
static OSSL_FUNC_store_export_object_fn store_export;

struct store {
    struct prov_ctx *prov;
    struct tok_uri *uri;      /* NULL if it is malformed */
    struct tok_result parsed; /* what is wrong with it is told by the first load: before that, errors of the `file:`
                                 loader, which OpenSSL asks first, would stand before ours */
    unsigned wanted;          /* bits of enum tok_wanted */
    struct tok_public given;  /* the public half of the key that is meant; type CK_UNAVAILABLE_INFORMATION: any */
    bool looked;              /* the tokens were asked */
    bool over;                /* nothing more to come */
    struct tok_items items;
    size_t next;
    bool handed; /* one was handed over */
};

/* What an application may expect of a store, in our terms; what is not here we don't have. */
static const struct {
    int expected;
    unsigned wanted;
} expectations[] = {
    { 0, TOK_WANT_PRIVATE | TOK_WANT_CERTIFICATE | TOK_WANT_PUBLIC },
    { OSSL_STORE_INFO_PKEY, TOK_WANT_PRIVATE },
    { OSSL_STORE_INFO_PUBKEY, TOK_WANT_PUBLIC },
    { OSSL_STORE_INFO_CERT, TOK_WANT_CERTIFICATE },
};

static int store_close(void *vstore)
{
    struct store *store = vstore;

    if (store != NULL) {
        tok_items_end(&store->items);
        tok_public_end(&store->given);
        tok_uri_free(store->uri);
        free(store);
    }
    return 1;
}

static void *store_open(void *vprov, const char *text)
{
    struct prov_ctx *prov = vprov;
    struct store *store;

    if (!tok_uri_has_scheme(text)) {
        return NULL;
    }
    store = calloc(1, sizeof(*store));
    if (store == NULL) {
        prov_raise(prov, PROV_R_NO_MEMORY, "a store");
        return NULL;
    }
    store->prov = prov;
    store->given.type = CK_UNAVAILABLE_INFORMATION;
    store->wanted = expectations[0].wanted;
    store->parsed = tok_uri_parse(&store->uri, text, TOK_URI_FROM_APPLICATION);
    return store;
}

static const OSSL_PARAM *store_settable(void *vprov)
{
    static const OSSL_PARAM known[] = {
        OSSL_PARAM_int(OSSL_STORE_PARAM_EXPECT, NULL),
        OSSL_PARAM_utf8_string(OSSL_STORE_PARAM_PROPERTIES, NULL, 0),
        OSSL_PARAM_octet_string(SIGNET_STORE_PARAM_PUBLIC_KEY, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vprov;
    return known;
}

static int given_set(struct store *store, const OSSL_PARAM *param)
{
    const struct prov_variant *variant = NULL;
    SCOPED(pkey_end) EVP_PKEY *key = NULL;
    const void *der;
    size_t len;

    if (OSSL_PARAM_get_octet_string_ptr(param, &der, &len)) {
        key = prov_software_key_from_spki(store->prov, der, len);
    }
    variant = key == NULL ? NULL : prov_variant_of(key);
    if (variant == NULL) {
        return prov_raise(store->prov, PROV_R_KEY_TYPE, "%s is no public key of a type that is served",
                          SIGNET_STORE_PARAM_PUBLIC_KEY);
    }
    tok_public_end(&store->given);
    store->given = (struct tok_public){ .type = variant->key_type, .set = variant->set };
    return (bytes_set(&store->given.spki, der, len) && variant->family->describe(&store->given, key)) ||
           prov_raise(store->prov, PROV_R_NO_MEMORY, "a public key");
}

static int store_set_params(void *vstore, const OSSL_PARAM params[])
{
    struct store *store = vstore;
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, SIGNET_STORE_PARAM_PUBLIC_KEY);
    int expected;

    if (p != NULL && !given_set(store, p)) {
        return 0;
    }
    p = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_EXPECT);
    if (p == NULL) {
        return 1;
    }
    if (!OSSL_PARAM_get_int(p, &expected)) {
        return 0;
    }
    store->wanted = 0;
    for (size_t i = 0; i < COUNT_OF(expectations); i++) {
        store->wanted |= expectations[i].expected == expected ? expectations[i].wanted : 0;
    }
    store->over = store->wanted == 0;
    return 1;
}

static int store_eof(void *vstore)
{
    const struct store *store = vstore;

    return store->over;
}

static int offer_certificate(const struct tok_item *item, OSSL_CALLBACK *callback, void *arg)
{
    int type = OSSL_OBJECT_CERT;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_construct_octet_string(OSSL_OBJECT_PARAM_DATA, item->certificate.data, item->certificate.len),
        OSSL_PARAM_construct_end(),
    };

    return callback(params, arg);
}

/* A public key may be had of what shows it: of a private key, or of a certificate. */
static struct prov_key *public_of(struct store *store, const struct tok_item *item)
{
    const struct tok_public certified = { .type = CK_UNAVAILABLE_INFORMATION, .certificate = item->certificate };

    return prov_key_public_of(store->prov, item->kind == TOK_WANT_PRIVATE       ? tok_key_half(item->key)
                                           : item->kind == TOK_WANT_CERTIFICATE ? &certified
                                                                                : &item->half);
}

static struct prov_key *key_of(struct store *store, struct tok_item *item)
{
    if (store->wanted == TOK_WANT_PUBLIC) {
        return public_of(store, item);
    }
    return item->kind == TOK_WANT_PRIVATE ? prov_key_on_token(store->prov, STEAL(item->key), NULL)
                                          : prov_key_public(store->prov, &item->half);
}

/* Hands the next item over. Keys of a curve that we don't serve are passed over, unless there is nothing else. */
static int offer_next(struct store *store, OSSL_CALLBACK *callback, void *arg)
{
    struct prov_key *key = NULL;

    while (key == NULL && store->next < store->items.count) {
        struct tok_item *item = &store->items.items[store->next++];
        bool only = !store->handed && store->next == store->items.count;

        if (item->kind == TOK_WANT_CERTIFICATE && store->wanted != TOK_WANT_PUBLIC) {
            store->handed = true;
            return offer_certificate(item, callback, arg);
        }
        prov_err_mark(store->prov);
        key = key_of(store, item);
        if (key != NULL || only) {
            prov_err_keep(store->prov);
        } else {
            prov_err_forget(store->prov);
        }
    }
    store->handed |= key != NULL;
    return key != NULL && prov_key_offer(key, callback, arg);
}

static bool served(const struct prov_ctx *prov, const struct tok_item *item)
{
    switch (item->kind) {
    case TOK_WANT_PRIVATE:
        return prov_key_serves(prov, tok_key_half(item->key));
    case TOK_WANT_PUBLIC:
        return prov_key_serves(prov, &item->half);
    default:
        return true;
    }
}

/* Keys of types that we don't serve go to the end of a listing and are left out of it; one that is all there is stays,
 * to be told of. */
static void pass_over_unserved(const struct prov_ctx *prov, struct tok_items *items)
{
    size_t kept = 0;

    for (size_t i = 0; i < items->count; i++) {
        if (served(prov, &items->items[i])) {
            struct tok_item moved = items->items[i];

            items->items[i] = items->items[kept];
            items->items[kept++] = moved;
        }
    }
    if (kept > 0) {
        tok_items_cut(items, kept);
    }
}

static bool names_certificates(const struct store *store)
{
    CK_OBJECT_CLASS class;

    return tok_uri_class(store->uri, &class) && class == CKO_CERTIFICATE;
}

/* Where a public key is wanted and the token has none of that name, a private key or a certificate shows it: the key
 * first, since others' certificates may bear its name. Where neither does, what went wrong is told, or the first
 * answer.
 */
static struct tok_result find(struct store *store, struct tok_find_options *options)
{
    static const unsigned instead[] = { TOK_WANT_PRIVATE, TOK_WANT_CERTIFICATE };
    const struct tok_settings *settings = &store->prov->settings;
    struct tok_result first = tok_find_by(&store->items, settings, store->uri, store->wanted, options);
    bool none = store->wanted == TOK_WANT_PUBLIC && first.code == TOK_CODE_NO_OBJECT;

    options->of_any_type = none;
    for (size_t i = none && names_certificates(store) ? 1 : 0; none && i < COUNT_OF(instead); i++) {
        struct tok_result result = tok_find_by(&store->items, settings, store->uri, instead[i], options);

        if (tok_ok(&result) ||
            result.code == TOK_CODE_NO_PUBLIC_HALF) { /* its certificates were looked at, and are others' */
            return result;
        }
        first = result.code != TOK_CODE_NO_OBJECT && first.code == TOK_CODE_NO_OBJECT ? result : first;
    }
    return first;
}

/* Of several certificates of one name: the private key that is among the items tells whose is meant, or a public key
 * of the same name, which is to be seen without a login, where it is the only one. */
static void settle_certificates(struct store *store)
{
    struct tok_find_options options = { .of_any_type = true };
    SCOPED(tok_items_end) struct tok_items keys = { .items = NULL };
    bool named = tok_uri_id(store->uri) != NULL || tok_uri_label(store->uri) != NULL;
    const struct tok_public *own = NULL;
    struct tok_result result;
    size_t first;

    if (prov_certificates_count(&store->items, &first) < 2) {
        return;
    }
    if (named && first > 0) {
        own = tok_key_half(store->items.items[0].key);
    } else if (named) {
        result = tok_find_by(&keys, &store->prov->settings, store->uri, TOK_WANT_PUBLIC, &options);
        own = tok_ok(&result) ? &keys.items[0].half : NULL;
        for (size_t i = 1; i < keys.count; i++) {
            own = own != NULL && tok_public_compare(own, &keys.items[i].half) == TOK_SAME ? own : NULL;
        }
    }
    prov_certificates_settle(store->prov, &store->items, named, own);
}

static int look(struct store *store, OSSL_PASSPHRASE_CALLBACK *ask, void *ask_arg)
{
    struct prov_prompt asker = { ask, ask_arg };
    struct tok_pin_prompt prompt = prov_prompt_pin(&asker);
    SCOPED(prov_prover_end) struct prov_prover prover = { .digest = NULL };
    struct tok_find_options options = { .prompt = &prompt, .evidence = { .prover = &prover.prover } };
    bool is_given = store->given.type != CK_UNAVAILABLE_INFORMATION;
    struct tok_result result;

    store->looked = true;
    if (!prov_ctx_ready(store->prov)) {
        return 0;
    }
    if (!tok_ok(&store->parsed)) {
        return prov_fail(store->prov, &store->parsed);
    }
    prov_err_mark(store->prov);
    prov_prover_begin(&prover, store->prov);
    options.evidence.given = is_given ? &store->given : NULL;
    result = find(store, &options);
    prov_err_forget(store->prov);
    pass_over_unserved(store->prov, &store->items);
    settle_certificates(store);
    return tok_ok(&result) ? 1 : prov_fail(store->prov, &result);
}

/* One object a call. */
static int store_load(void *vstore, OSSL_CALLBACK *object, void *object_arg, OSSL_PASSPHRASE_CALLBACK *ask,
                      void *ask_arg)
{
    struct store *store = vstore;
    int given;

    if (store->over || (!store->looked && !look(store, ask, ask_arg))) {
        store->over = true;
        return 0;
    }
    given = offer_next(store, object, object_arg);
    store->over = !given || store->next == store->items.count;
    return given;
}

/* For a keymgmt that is not ours: the public half of a key. */
static int store_export(void *vstore, const void *reference, size_t reference_size, OSSL_CALLBACK *callback, void *arg)
{
    struct prov_key *key;

    (void)vstore;
    if (reference_size != sizeof(key)) {
        return 0;
    }
    key = *(struct prov_key *const *)reference;
    return key->token == NULL && EVP_PKEY_export(key->software, EVP_PKEY_PUBLIC_KEY, callback, arg) > 0;
}

const OSSL_DISPATCH prov_store_functions[] = {
    { OSSL_FUNC_STORE_OPEN, (void (*)(void))store_open },
    { OSSL_FUNC_STORE_SETTABLE_CTX_PARAMS, (void (*)(void))store_settable },
    { OSSL_FUNC_STORE_SET_CTX_PARAMS, (void (*)(void))store_set_params },
    { OSSL_FUNC_STORE_LOAD, (void (*)(void))store_load },
    { OSSL_FUNC_STORE_EOF, (void (*)(void))store_eof },
    { OSSL_FUNC_STORE_CLOSE, (void (*)(void))store_close },
    { OSSL_FUNC_STORE_EXPORT_OBJECT, (void (*)(void))store_export },
    { 0, NULL },
};
