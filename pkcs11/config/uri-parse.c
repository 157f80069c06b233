/* The part of pkcs11/config/uri.h that reads: attributes, each by itself, and the path. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "pkcs11/config/uri-parts.h"

/* RFC 7512 §2.3. */
static const char *const path_names[] = {
    "token",
    "manufacturer",
    "serial",
    "model",
    "library-manufacturer",
    "library-version",
    "library-description",
    "slot-manufacturer",
    "slot-description",
    "slot-id",
    "object",
    "type",
    "id",
    NULL,
};
bool tok_uri_has_scheme(const char *text)
{
    return strncasecmp(text, URI_SCHEME, strlen(URI_SCHEME)) == 0;
}

/* --- attributes --------------------------------------------------------------------------------------------------- */

bool uri_attribute_next(struct uri_attribute *out, const char **rest, const char *end, char separator)
{
    const char *at = *rest;
    const char *stop;
    const char *equals;

    if (at >= end) {
        return false;
    }
    stop = memchr(at, separator, (size_t)(end - at));
    stop = stop == NULL ? end : stop;
    equals = memchr(at, '=', (size_t)(stop - at));
    *out = (struct uri_attribute){ .name = at, .name_len = (size_t)((equals == NULL ? stop : equals) - at) };
    if (equals != NULL) {
        out->value = equals + 1;
        out->value_len = (size_t)(stop - equals - 1);
    }
    *rest = stop + (stop < end ? 1 : 0);
    return true;
}

bool uri_attribute_is(const struct uri_attribute *attribute, const char *name)
{
    return strlen(name) == attribute->name_len && memcmp(name, attribute->name, attribute->name_len) == 0;
}

static void names_list(struct text *text, const char *const *names)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        text_printf(text, "%s%s", i > 0 ? ", " : "", names[i]);
    }
}

/* An unknown name, as far as it may be shown: to the first character that no name has. `pin-value:1234` keeps its PIN.
 */
static int shown_len(const struct uri_attribute *attribute)
{
    size_t len = 0;

    while (len < attribute->name_len && (isalpha((unsigned char)attribute->name[len]) || attribute->name[len] == '-')) {
        len++;
    }
    return (int)(len < 64 ? len : 64);
}

/* `a&pin-value=1234` where `a?pin-value=1234` was meant would make the PIN a part of the name, which errors show. */
static bool hides_pin(const struct uri_attribute *attribute)
{
    static const char hidden[] = "pin-value=";

    for (size_t i = 0; i + strlen(hidden) <= attribute->value_len; i++) {
        if (strncasecmp(attribute->value + i, hidden, strlen(hidden)) == 0) {
            return true;
        }
    }
    return false;
}

static bool has_control(const struct uri_attribute *attribute)
{
    for (size_t i = 0; i < attribute->value_len; i++) {
        if (iscntrl((unsigned char)attribute->value[i])) {
            return true;
        }
    }
    return false;
}

/* `token=a&object=b` would make all of it the token's name. NULL if no attribute seems to stand inside the value. */
static const char *swallowed(const struct uri_attribute *attribute, const char *const *names)
{
    for (const char *at = attribute->value; at < attribute->value + attribute->value_len; at++) {
        for (size_t i = 0; *at == '&' && names[i] != NULL; i++) {
            size_t len = strlen(names[i]);

            if (at + 1 + len < attribute->value + attribute->value_len && strncmp(at + 1, names[i], len) == 0 &&
                at[1 + len] == '=') {
                return names[i];
            }
        }
    }
    return NULL;
}

static struct tok_result value_check(const struct uri_attribute *attribute, const char *name, const char *const *names)
{
    const char *inside;

    if (attribute->value == NULL) {
        return tok_fail(TOK_CODE_BAD_URI, "'%s' has no value in the PKCS#11 URI", name);
    }
    if (has_control(attribute)) {
        return tok_fail(TOK_CODE_BAD_URI, "'%s' of the PKCS#11 URI has a line end or another control character", name);
    }
    if (!uri_attribute_is(attribute, "pin-value") && hides_pin(attribute)) {
        return tok_fail(TOK_CODE_BAD_URI,
                        "'pin-value' stands inside '%s': it belongs behind the one '?' of a PKCS#11 URI, "
                        "parted from others by '&'",
                        name);
    }
    inside = swallowed(attribute, names);
    if (inside != NULL) {
        return tok_fail(TOK_CODE_BAD_URI,
                        "'%s' stands inside '%s': ';' parts attributes before the '?' of a PKCS#11 URI (a '&' in a "
                        "name is written %%26)",
                        inside, name);
    }
    return tok_good();
}

struct tok_result uri_attribute_check(const struct uri_attribute *attribute, const char *const *names, unsigned *seen)
{
    char list[256];
    struct text text = TEXT_OVER(list);

    for (size_t i = 0; names[i] != NULL; i++) {
        if (!uri_attribute_is(attribute, names[i])) {
            continue;
        }
        if ((*seen & (1u << i)) != 0) {
            return tok_fail(TOK_CODE_BAD_URI, "'%s' stands twice in the PKCS#11 URI", names[i]);
        }
        *seen |= 1u << i;
        return value_check(attribute, names[i], names);
    }
    names_list(&text, names);
    return tok_fail(TOK_CODE_BAD_URI, "unknown attribute '%.*s' in the PKCS#11 URI; there are: %s",
                    shown_len(attribute), attribute->name, list);
}

/* --- the path ----------------------------------------------------------------------------------------------------- */

/* p11-kit leaves white space out of a URI; who writes a token's name with a space means it. */
static void value_put(struct text *text, const struct uri_attribute *attribute)
{
    for (size_t i = 0; i < attribute->value_len; i++) {
        if (attribute->value[i] == ' ') {
            text_put(text, "%20");
        } else {
            text_put_n(text, attribute->value + i, 1);
        }
    }
}

/* p11-kit names no culprit; its answer about one attribute alone does. An empty slot-id would be slot 0 to it. */
static struct tok_result attribute_parse(const struct uri_attribute *attribute, const char *text)
{
    SCOPED(p11_uri_end) P11KitUri *alone = p11_kit_uri_new();
    SCOPED(scoped_free) char *whole = NULL;

    if (alone == NULL || asprintf(&whole, "%s%s", URI_SCHEME, text) < 0) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PKCS#11 URI");
    }
    if (p11_kit_uri_parse(whole, P11_KIT_URI_FOR_ANY, alone) == P11_KIT_URI_OK &&
        !p11_kit_uri_any_unrecognized(alone) &&
        !(uri_attribute_is(attribute, "slot-id") && attribute->value_len == 0)) {
        return tok_good();
    }
    if (uri_attribute_is(attribute, "type")) {
        return tok_fail(TOK_CODE_BAD_URI,
                        "'%s' in the PKCS#11 URI: type= is one of private, public, cert, secret-key, data", text);
    }
    return tok_fail(TOK_CODE_BAD_URI, "'%s' in the PKCS#11 URI is badly encoded, too long, or no number", text);
}

/* Writes scheme and path into uri->text, in p11-kit's spelling. */
static struct tok_result path_write(struct tok_uri *uri, const char *path, const char *end)
{
    size_t room = strlen(URI_SCHEME) + 3 * (size_t)(end - path) + 1; /* all of it may be spaces */
    struct uri_attribute attribute;
    struct text text;
    unsigned seen = 0;

    uri->text = malloc(room);
    if (uri->text == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PKCS#11 URI");
    }
    text = text_over(uri->text, room);
    text_put(&text, URI_SCHEME);
    while (uri_attribute_next(&attribute, &path, end, ';')) {
        size_t start;

        if (uri_attribute_is(&attribute, "object-type")) { /* what some write for it */
            attribute.name = "type";
            attribute.name_len = strlen("type");
        }
        TOK_TRY(uri_attribute_check(&attribute, path_names, &seen));
        text_put(&text, text.len > strlen(URI_SCHEME) ? ";" : "");
        start = text.len;
        text_printf(&text, "%.*s=", (int)attribute.name_len, attribute.name);
        value_put(&text, &attribute);
        TOK_TRY(attribute_parse(&attribute, uri->text + start));
    }
    return tok_good();
}

static struct tok_result object_take(struct bytes *out, bool *out_has, P11KitUri *path, CK_ATTRIBUTE_TYPE type)
{
    const CK_ATTRIBUTE *attribute = p11_kit_uri_get_attribute(path, type);

    *out_has = attribute != NULL;
    return attribute == NULL || bytes_set(out, attribute->pValue, attribute->ulValueLen)
               ? tok_good()
               : tok_fail(TOK_CODE_NO_MEMORY, "a PKCS#11 URI");
}

static struct tok_result path_parse(struct tok_uri *uri)
{
    int status;

    uri->path = p11_kit_uri_new();
    if (uri->path == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PKCS#11 URI");
    }
    status = p11_kit_uri_parse(uri->text, P11_KIT_URI_FOR_ANY, uri->path);
    if (status != P11_KIT_URI_OK) {
        return tok_fail(TOK_CODE_BAD_URI, "'%s': %s", uri->text, p11_kit_uri_message(status));
    }
    TOK_TRY(object_take(&uri->id, &uri->has_id, uri->path, CKA_ID));
    return object_take(&uri->label, &uri->has_label, uri->path, CKA_LABEL);
}

struct tok_result tok_uri_parse(struct tok_uri **out_uri, const char *text, enum tok_uri_origin origin)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = calloc(1, sizeof(*uri));
    const char *path;
    const char *query;

    if (uri == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PKCS#11 URI");
    }
    if (!tok_uri_has_scheme(text)) {
        return tok_fail(TOK_CODE_BAD_URI, "a PKCS#11 URI starts with '%s'", URI_SCHEME);
    }
    path = text + strlen(URI_SCHEME);
    query = strchr(path, '?');
    TOK_TRY(path_write(uri, path, query != NULL ? query : path + strlen(path)));
    TOK_TRY(path_parse(uri));
    if (query != NULL) {
        TOK_TRY(uri_query_parse(uri, query + 1, origin));
    }
    *out_uri = STEAL(uri);
    return tok_good();
}
