/* The query of a URI: the module and the PIN that it asks for, and who may ask for which. */
#include <ctype.h>
#include <limits.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/path.h"
#include "pkcs11/config/uri-parts.h"

/* RFC 3986 §2.1. False for a % without two digits, and for a NUL. `out` has room for len + 1. */
static bool percent_decode(char *out, size_t *out_len, const char *value, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        char c = value[i];

        if (c == '%') {
            char digits[3] = { 0 };

            if (len - i < 3 || !isxdigit((unsigned char)value[i + 1]) || !isxdigit((unsigned char)value[i + 2])) {
                return false;
            }
            memcpy(digits, value + i + 1, 2);
            c = (char)strtoul(digits, NULL, 16);
            i += 2;
        }
        if (c == '\0') {
            return false;
        }
        out[n++] = c;
    }
    out[n] = '\0';
    *out_len = n;
    return true;
}

static struct tok_result query_text(char **out, const struct uri_attribute *attribute)
{
    size_t len;

    *out = malloc(attribute->value_len + 1);
    if (*out == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PKCS#11 URI");
    }
    if (!percent_decode(*out, &len, attribute->value, attribute->value_len) || len == 0) {
        return tok_fail(TOK_CODE_BAD_URI, "'%.*s' of the PKCS#11 URI is empty or badly encoded",
                        (int)attribute->name_len, attribute->name);
    }
    return tok_good();
}

/* A PIN that stands in the URI comes before one that the URI says where to find. */
static struct tok_result query_pin_value(struct tok_uri *uri, const struct uri_attribute *attribute)
{
    SCOPED(secret_end) struct secret pin = { 0 };
    size_t len;

    if (!secret_new(&pin, attribute->value_len)) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PKCS#11 URI");
    }
    if (!percent_decode((char *)pin.data, &len, attribute->value, attribute->value_len)) {
        return tok_fail(TOK_CODE_BAD_URI, "'pin-value' of the PKCS#11 URI is badly encoded");
    }
    secret_shorten(&pin, len);
    tok_pin_source_free(STEAL(uri->pin));
    return tok_pin_source_value(&uri->pin, &pin);
}

static bool is_read_otherwise(const char *path)
{
    return strpbrk(path, ",$") != NULL || isspace((unsigned char)path[strlen(path) - 1]);
}

/* What an application passes on may come from a stranger: a module is code that we will run. So the path becomes the
 * one that was checked, which leads nowhere else any more. The registry takes lists, and cuts white space off; one URI
 * names one module. dlopen puts folders of its own in place of $LIB and its like, which nobody has checked. */
static struct tok_result module_path_check(char **in_out_path)
{
    const char *path = *in_out_path;
    char resolved[PATH_MAX];
    char why[PATH_MAX];
    struct text text = TEXT_OVER(why);

    if (path[0] != '/') {
        return tok_fail(TOK_CODE_BAD_URI, "module-path '%s' of the PKCS#11 URI is not absolute", path);
    }
    if (is_read_otherwise(path)) {
        return tok_fail(TOK_CODE_BAD_URI,
                        "module-path '%s' of the PKCS#11 URI has a comma, a '$', or a space at its end", path);
    }
    if (!path_resolve(resolved, path, &text) || is_read_otherwise(resolved)) {
        return tok_fail(TOK_CODE_BAD_URI,
                        "module-path '%s' of the PKCS#11 URI may be changed by others than root%s: %s", path,
                        geteuid() == 0 ? "" : " and this user", why);
    }
    free(*in_out_path);
    *in_out_path = strdup(resolved);
    return *in_out_path != NULL ? tok_good() : tok_fail(TOK_CODE_NO_MEMORY, "a PKCS#11 URI");
}

static struct tok_result module_name_check(const char *name)
{
    return strpbrk(name, "/, \t") == NULL
               ? tok_good()
               : tok_fail(TOK_CODE_BAD_URI,
                          "module-name '%s' of the PKCS#11 URI is a name that p11-kit knows; a path is given "
                          "as module-path",
                          name);
}

static struct tok_result query_pin_source(struct tok_uri *uri, const struct uri_attribute *attribute)
{
    SCOPED(scoped_free) char *source = NULL;

    TOK_TRY(query_text(&source, attribute));
    if (source[0] == '|') {
        return tok_fail(TOK_CODE_BAD_URI, "pin-source of a PKCS#11 URI may not run a command");
    }
    if (source[0] != '/' && strncmp(source, "file:/", 6) != 0) {
        return tok_fail(TOK_CODE_BAD_URI, "pin-source of a PKCS#11 URI must be the absolute path of a file: "
                                          "file:/PATH or /PATH");
    }
    return uri->pin != NULL ? tok_good() : tok_pin_source_new(&uri->pin, source, TOK_PIN_FROM_URI);
}

static struct tok_result query_take(struct tok_uri *uri, const struct uri_attribute *attribute)
{
    if (uri_attribute_is(attribute, "pin-value")) {
        return query_pin_value(uri, attribute);
    }
    if (uri_attribute_is(attribute, "pin-source")) {
        return query_pin_source(uri, attribute);
    }
    if (uri_attribute_is(attribute, "module-path")) {
        TOK_TRY(query_text(&uri->module_path, attribute));
        return module_path_check(&uri->module_path);
    }
    TOK_TRY(query_text(&uri->module_name, attribute));
    return module_name_check(uri->module_name);
}

/* Whoever starts a set-user-id program may choose the URI, but neither its modules nor the files that it reads. */
static struct tok_result origin_check(const struct uri_attribute *attribute, enum tok_uri_origin origin)
{
    if (origin == TOK_URI_FROM_FILE) {
        return tok_fail(TOK_CODE_TRUST, "the key file's URI has '%.*s'", (int)attribute->name_len, attribute->name);
    }
    if (getauxval(AT_SECURE) != 0 && !uri_attribute_is(attribute, "pin-value")) {
        return tok_fail(TOK_CODE_TRUST, "'%.*s' of a PKCS#11 URI does not count in a set-user-id process",
                        (int)attribute->name_len, attribute->name);
    }
    return tok_good();
}

/* `?pin-value=1234;object=www` would make all of it the PIN (RFC 7512 §2.3: a ';' in a query is written otherwise). */
static struct tok_result semicolon_check(const struct uri_attribute *attribute)
{
    if (attribute->value == NULL || memchr(attribute->value, ';', attribute->value_len) == NULL) {
        return tok_good();
    }
    return tok_fail(
        TOK_CODE_BAD_URI,
        "a ';' stands behind the '?' of the PKCS#11 URI: attributes there are parted by '&', those of token "
        "and key stand before the '?' (a ';' in a value is written %%3B)");
}

struct tok_result uri_query_parse(struct tok_uri *uri, const char *query, enum tok_uri_origin origin)
{
    const char *end = query + strlen(query);
    struct uri_attribute attribute;
    unsigned seen = 0;

    while (uri_attribute_next(&attribute, &query, end, '&')) {
        TOK_TRY(semicolon_check(&attribute));
        TOK_TRY(uri_attribute_check(&attribute, uri_query_names, &seen));
        TOK_TRY(origin_check(&attribute, origin));
        TOK_TRY(query_take(uri, &attribute));
    }
    return tok_good();
}
