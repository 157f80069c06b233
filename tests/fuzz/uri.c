/* URIs: whatever is read can be said again, copied and compared. An input is a URI, and behind a line end another one,
 * and behind another line end what a token says of itself. */
#include "fuzz.h"

#include "pkcs11/config/uri.h"

static bool same_bytes(const struct bytes *a, const struct bytes *b)
{
    return a == NULL || b == NULL ? a == b : bytes_equal(a, b);
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* What two URIs ask of an object and of a token. */
static void asks_the_same(const struct tok_uri *a, const struct tok_uri *b)
{
    CK_OBJECT_CLASS class_a = 0;
    CK_OBJECT_CLASS class_b = 0;

    HOLDS(same_text(tok_uri_text(a), tok_uri_text(b)));
    HOLDS(same_bytes(tok_uri_id(a), tok_uri_id(b)));
    HOLDS(same_bytes(tok_uri_label(a), tok_uri_label(b)));
    HOLDS(tok_uri_class(a, &class_a) == tok_uri_class(b, &class_b) && class_a == class_b);
    HOLDS(tok_uri_asks_module(a) == tok_uri_asks_module(b));
    HOLDS(tok_uri_asks_slot(a) == tok_uri_asks_slot(b));
    HOLDS(tok_uri_names_token(a) == tok_uri_names_token(b));
    HOLDS(tok_uri_within_token(a, b) && tok_uri_within_token(b, a));
    HOLDS(tok_uri_may_mean_token(a, b) && tok_uri_may_mean_token(b, a));
}

static struct tok_uri *parsed(const char *text, enum tok_uri_origin origin)
{
    struct tok_uri *uri = NULL;
    struct tok_result result = tok_uri_parse(&uri, text, origin);

    HOLDS(tok_ok(&result) == (uri != NULL));
    HOLDS(uri != NULL || result.code == TOK_CODE_BAD_URI || result.code == TOK_CODE_TRUST ||
          result.code == TOK_CODE_PIN_SOURCE);
    return uri;
}

static unsigned digit(char c)
{
    return (unsigned)(c >= 'a' ? c - 'a' + 10 : c >= 'A' ? c - 'A' + 10 : c - '0');
}

/* An attribute of the path, read plainly: RFC 7512 §2.3, RFC 3986 §2.1, and a space may stand for itself. */
static void attribute_is(const char *text, const char *name, const struct bytes *value)
{
    const char *end = text + strcspn(text, "?");
    const char *at = text + strlen("pkcs11:");

    for (; at < end; at += strcspn(at, ";?") + 1) {
        size_t len = 0;

        if (strncmp(at, name, strlen(name)) != 0) {
            continue;
        }
        at += strlen(name);
        for (; at < end && *at != ';'; at += *at == '%' ? 3 : 1) {
            uint8_t byte = *at == '%' ? (uint8_t)(digit(at[1]) << 4 | digit(at[2])) : (uint8_t)*at;

            HOLDS(value != NULL && len < value->len && value->data[len] == byte);
            len++;
        }
        HOLDS(value != NULL && len == value->len);
        return;
    }
    HOLDS(value == NULL);
}

/* Its text, which has lost the query, is a URI that a key file may hold, and means the same. */
static void said_again(const struct tok_uri *uri)
{
    SCOPED(tok_uri_end) struct tok_uri *again = parsed(tok_uri_text(uri), TOK_URI_FROM_FILE);

    HOLDS(again != NULL);
    asks_the_same(uri, again);
    HOLDS(tok_uri_pin(again) == NULL);
    HOLDS(tok_uri_module_path(again) == NULL && tok_uri_module_name(again) == NULL);
}

static void copied(const struct tok_uri *uri)
{
    SCOPED(tok_uri_end) struct tok_uri *copy = NULL;
    struct tok_result result = tok_uri_dup(&copy, uri);

    HOLDS(tok_ok(&result));
    asks_the_same(uri, copy);
    HOLDS(tok_uri_pin(uri) == tok_uri_pin(copy)); /* it is kept once */
    HOLDS(same_text(tok_uri_module_path(uri), tok_uri_module_path(copy)));
    HOLDS(same_text(tok_uri_module_name(uri), tok_uri_module_name(copy)));
}

/* The URI that is made for an object of that id and label on a token that says `info` of itself. */
static void made_for(const struct tok_uri *uri, const CK_TOKEN_INFO *info)
{
    static const struct bytes none;
    const struct bytes *id = tok_uri_id(uri) != NULL ? tok_uri_id(uri) : &none;
    const struct bytes *label = tok_uri_label(uri) != NULL ? tok_uri_label(uri) : &none;
    SCOPED(scoped_free) char *text = NULL;
    SCOPED(tok_uri_end) struct tok_uri *made = NULL;
    struct tok_result result = tok_uri_of_object(&text, info, CKO_PRIVATE_KEY, id, label);
    CK_OBJECT_CLASS class;

    HOLDS(tok_ok(&result));
    made = parsed(text, TOK_URI_FROM_FILE);
    HOLDS(made != NULL && strcmp(tok_uri_text(made), text) == 0);
    HOLDS(tok_uri_class(made, &class) && class == CKO_PRIVATE_KEY);
    HOLDS(id->len == 0 || same_bytes(tok_uri_id(made), id));
    HOLDS(label->len == 0 || same_bytes(tok_uri_label(made), label));
    HOLDS(tok_uri_matches_token(made, info));
}

static void one(const char *text, const char *other, const CK_TOKEN_INFO *info)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = parsed(text, TOK_URI_FROM_APPLICATION);
    SCOPED(tok_uri_end) struct tok_uri *trusted = parsed(text, TOK_URI_FROM_TRUSTED_FILE);
    SCOPED(tok_uri_end) struct tok_uri *of_file = parsed(text, TOK_URI_FROM_FILE);
    SCOPED(tok_uri_end) struct tok_uri *second = other != NULL ? parsed(other, TOK_URI_FROM_APPLICATION) : NULL;

    HOLDS((uri != NULL) == (trusted != NULL));
    HOLDS(of_file == NULL || uri != NULL);
    if (uri == NULL) {
        return;
    }
    HOLDS(tok_uri_has_scheme(text));
    attribute_is(text, "object=", tok_uri_label(uri));
    attribute_is(text, "id=", tok_uri_id(uri));
    said_again(uri);
    copied(uri);
    made_for(uri, info);
    (void)tok_uri_matches_token(uri, info);
    if (second != NULL && tok_uri_within_token(uri, second)) {
        HOLDS(tok_uri_may_mean_token(uri, second) && tok_uri_may_mean_token(second, uri));
        HOLDS(!tok_uri_matches_token(uri, info) || tok_uri_matches_token(second, info));
    }
}

/* A token's fields are padded by spaces. */
static void field(unsigned char *out, size_t size, struct input *input)
{
    SCOPED(scoped_free) char *text = input_text(input, '\n');
    size_t len = text == NULL ? 0 : strnlen(text, size);

    memset(out, ' ', size);
    if (len > 0) {
        memcpy(out, text, len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    SCOPED(scoped_free) char *text = input_text(&input, '\n');
    SCOPED(scoped_free) char *other = input_text(&input, '\n');
    CK_TOKEN_INFO info = { .flags = 0 };

    field(info.label, sizeof(info.label), &input);
    field(info.serialNumber, sizeof(info.serialNumber), &input);
    field(info.manufacturerID, sizeof(info.manufacturerID), &input);
    field(info.model, sizeof(info.model), &input);
    if (text != NULL) {
        one(text, other, &info);
    }
    return 0;
}
