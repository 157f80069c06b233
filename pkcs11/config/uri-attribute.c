/* Attributes of a PKCS#11 URI, each by itself, for its path and its query. */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "pkcs11/config/uri-parts.h"

/* RFC 7512 §2.3. */
const char *const uri_path_names[] = {
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

/* RFC 7512 §2.4. Each is the business of who asks, since p11-kit's own copy of a PIN could not be wiped. */
const char *const uri_query_names[] = { "pin-source", "pin-value", "module-name", "module-path", NULL };

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

static bool is_among(const struct uri_attribute *attribute, const char *const *names)
{
    size_t i = 0;

    while (names[i] != NULL && !uri_attribute_is(attribute, names[i])) {
        i++;
    }
    return names[i] != NULL;
}

/* Known, but not here. */
static struct tok_result misplaced(const struct uri_attribute *attribute)
{
    struct uri_attribute bare = *attribute;

    while (bare.name_len > 0 && isspace((unsigned char)bare.name[0])) {
        bare.name++;
        bare.name_len--;
    }
    if (bare.name_len < attribute->name_len && (is_among(&bare, uri_path_names) || is_among(&bare, uri_query_names))) {
        return tok_fail(TOK_CODE_BAD_URI, "a blank stands before '%.*s' in the PKCS#11 URI: leave it out",
                        (int)bare.name_len, bare.name);
    }
    if (is_among(attribute, uri_query_names)) {
        return tok_fail(TOK_CODE_BAD_URI,
                        "'%.*s' stands before the '?' of the PKCS#11 URI, and belongs behind it: put '?' (or '&' after "
                        "another one) in place of the ';' before it",
                        (int)attribute->name_len, attribute->name);
    }
    if (is_among(attribute, uri_path_names)) {
        return tok_fail(TOK_CODE_BAD_URI,
                        "'%.*s' stands behind the '?' of the PKCS#11 URI, and belongs before it, after a ';'",
                        (int)attribute->name_len, attribute->name);
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
    TOK_TRY(misplaced(attribute));
    names_list(&text, names);
    return tok_fail(TOK_CODE_BAD_URI, "unknown attribute '%.*s' in the PKCS#11 URI; there are: %s",
                    shown_len(attribute), attribute->name, list);
}
