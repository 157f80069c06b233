#include "pkcs11/uri.h"

#include <ctype.h>
#include <limits.h>
#include <p11-kit/uri.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/secret.h"
#include "base/text.h"

#define SCHEME "pkcs11:"

struct tok_uri {
    char *text; /* scheme and path, as given but for the scheme's case */
    P11KitUri *path;
    struct bytes id;
    struct bytes label;
    bool has_id;
    bool has_label;
    struct secret pin_value; /* no secret: absent, like the other three */
    char *pin_source;
    char *module_path;
    char *module_name;
};

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
/* §2.4. Each is the business of who asks, since p11-kit's own copy of a PIN could not be wiped. */
static const char *const query_names[] = { "pin-source", "pin-value", "module-name", "module-path", NULL };

/* An attribute of the text: name=value, borrowed. */
struct attribute {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};

bool tok_uri_has_scheme(const char *text)
{
    return strncasecmp(text, SCHEME, strlen(SCHEME)) == 0;
}

void tok_uri_free(struct tok_uri *uri)
{
    if (uri == NULL) {
        return;
    }
    free(uri->text);
    p11_kit_uri_free(uri->path);
    bytes_end(&uri->id);
    bytes_end(&uri->label);
    secret_end(&uri->pin_value);
    free(uri->pin_source);
    free(uri->module_path);
    free(uri->module_name);
    free(uri);
}

void tok_uri_end(struct tok_uri **uri)
{
    tok_uri_free(*uri);
}

static void p11_uri_end(P11KitUri **uri)
{
    p11_kit_uri_free(*uri);
}

/* Splits off the attribute before the next `separator`. False at the end. */
static bool attribute_next(struct attribute *out, const char **rest, const char *end, char separator)
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
    *out = (struct attribute){ .name = at, .name_len = (size_t)((equals == NULL ? stop : equals) - at) };
    if (equals != NULL) {
        out->value = equals + 1;
        out->value_len = (size_t)(stop - equals - 1);
    }
    *rest = stop + (stop < end ? 1 : 0);
    return true;
}

static bool attribute_is(const struct attribute *attribute, const char *name)
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
static int shown_len(const struct attribute *attribute)
{
    size_t len = 0;

    while (len < attribute->name_len && (isalpha((unsigned char)attribute->name[len]) || attribute->name[len] == '-')) {
        len++;
    }
    return (int)(len < 64 ? len : 64);
}

/* `a&pin-value=1234` where `a?pin-value=1234` was meant would make the PIN a part of the name, which errors show. */
static bool hides_pin(const struct attribute *attribute)
{
    static const char hidden[] = "pin-value=";

    for (size_t i = 0; i + strlen(hidden) <= attribute->value_len; i++) {
        if (strncasecmp(attribute->value + i, hidden, strlen(hidden)) == 0) {
            return true;
        }
    }
    return false;
}

/* `token=a&object=b` would make all of it the token's name. NULL if no attribute seems to stand inside the value. */
static const char *swallowed(const struct attribute *attribute, const char *const *names)
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

static bool has_control(const struct attribute *attribute)
{
    for (size_t i = 0; i < attribute->value_len; i++) {
        if (iscntrl((unsigned char)attribute->value[i])) {
            return true;
        }
    }
    return false;
}

static struct tok_result value_check(const struct attribute *attribute, const char *name, const char *const *names)
{
    const char *inside;

    if (attribute->value == NULL) {
        return tok_fail(TOK_CODE_BAD_URI, "'%s' has no value in the PKCS#11 URI", name);
    }
    if (has_control(attribute)) {
        return tok_fail(TOK_CODE_BAD_URI, "'%s' of the PKCS#11 URI has a line end or another control character", name);
    }
    if (!attribute_is(attribute, "pin-value") && hides_pin(attribute)) {
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

/* Each attribute must be known, have a value, and stand once (RFC 7512 §2.3: "MUST NOT be used more than once"). `seen`
 * has a bit for each name. */
static struct tok_result attribute_check(const struct attribute *attribute, const char *const *names, unsigned *seen)
{
    char list[256];
    struct text text = TEXT_OVER(list);

    for (size_t i = 0; names[i] != NULL; i++) {
        if (!attribute_is(attribute, names[i])) {
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

static struct tok_result query_text(char **out, const struct attribute *attribute)
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

static struct tok_result query_secret(struct secret *out, const struct attribute *attribute)
{
    size_t len;

    if (!secret_new(out, attribute->value_len)) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PKCS#11 URI");
    }
    if (!percent_decode((char *)out->data, &len, attribute->value, attribute->value_len)) {
        return tok_fail(TOK_CODE_BAD_URI, "'pin-value' of the PKCS#11 URI is badly encoded");
    }
    secret_shorten(out, len);
    return tok_good();
}

/* Whether somebody but root may change the file or folder. In a folder with the sticky bit only owners replace their
 * files. */
static bool others_may_change(const char *path)
{
    struct stat info;

    if (stat(path, &info) != 0) {
        return false; /* loading will say so */
    }
    if (S_ISDIR(info.st_mode) && (info.st_mode & S_ISVTX) != 0) {
        return false;
    }
    return info.st_uid != 0 || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0;
}

static bool others_may_change_module(const char *path)
{
    char file[PATH_MAX];
    char *slash;

    if (realpath(path, file) == NULL) {
        return false;
    }
    if (others_may_change(file)) {
        return true;
    }
    slash = strrchr(file, '/');
    slash[slash == file ? 1 : 0] = '\0';
    return others_may_change(file);
}

/* What an application passes on may come from a stranger: a module is code that we will run. The registry takes lists,
 * and cuts white space off; one URI names one module, the very one that was checked. */
static struct tok_result module_path_check(const char *path)
{
    if (path[0] != '/') {
        return tok_fail(TOK_CODE_BAD_URI, "module-path '%s' of the PKCS#11 URI is not absolute", path);
    }
    if (strpbrk(path, ",") != NULL || isspace((unsigned char)path[strlen(path) - 1])) {
        return tok_fail(TOK_CODE_BAD_URI, "module-path '%s' of the PKCS#11 URI has a comma, or a space at its end",
                        path);
    }
    if (geteuid() == 0 && others_may_change_module(path)) {
        return tok_fail(TOK_CODE_BAD_URI, "module-path '%s' of the PKCS#11 URI may be changed by others than root",
                        path);
    }
    return tok_good();
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

static struct tok_result pin_source_check(const char *source)
{
    if (source[0] == '|') {
        return tok_fail(TOK_CODE_BAD_URI, "pin-source of a PKCS#11 URI may not run a command");
    }
    if (source[0] != '/' && strncmp(source, "file:/", 6) != 0) {
        return tok_fail(TOK_CODE_BAD_URI, "pin-source of a PKCS#11 URI must be a file: file:/path or /path");
    }
    return tok_good();
}

static struct tok_result query_take(struct tok_uri *uri, const struct attribute *attribute)
{
    if (attribute_is(attribute, "pin-value")) {
        return query_secret(&uri->pin_value, attribute);
    }
    if (attribute_is(attribute, "pin-source")) {
        TOK_TRY(query_text(&uri->pin_source, attribute));
        return pin_source_check(uri->pin_source);
    }
    if (attribute_is(attribute, "module-path")) {
        TOK_TRY(query_text(&uri->module_path, attribute));
        return module_path_check(uri->module_path);
    }
    TOK_TRY(query_text(&uri->module_name, attribute));
    return module_name_check(uri->module_name);
}

/* Whoever starts a set-user-id program may choose the URI, but neither its modules nor the files that it reads. */
static struct tok_result origin_check(const struct attribute *attribute, enum tok_uri_origin origin)
{
    if (origin == TOK_URI_FROM_FILE) {
        return tok_fail(TOK_CODE_TRUST, "the key file's URI has '%.*s'", (int)attribute->name_len, attribute->name);
    }
    if (getauxval(AT_SECURE) != 0 && !attribute_is(attribute, "pin-value")) {
        return tok_fail(TOK_CODE_TRUST, "'%.*s' of a PKCS#11 URI does not count in a set-user-id process",
                        (int)attribute->name_len, attribute->name);
    }
    return tok_good();
}

static struct tok_result query_parse(struct tok_uri *uri, const char *query, enum tok_uri_origin origin)
{
    const char *end = query + strlen(query);
    struct attribute attribute;
    unsigned seen = 0;

    while (attribute_next(&attribute, &query, end, '&')) {
        TOK_TRY(attribute_check(&attribute, query_names, &seen));
        TOK_TRY(origin_check(&attribute, origin));
        TOK_TRY(query_take(uri, &attribute));
    }
    return tok_good();
}

/* p11-kit leaves white space out of a URI; who writes a token's name with a space means it. */
static void value_put(struct text *text, const struct attribute *attribute)
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
static struct tok_result attribute_parse(const struct attribute *attribute, const char *text)
{
    SCOPED(p11_uri_end) P11KitUri *alone = p11_kit_uri_new();
    SCOPED(scoped_free) char *whole = NULL;

    if (alone == NULL || asprintf(&whole, "%s%s", SCHEME, text) < 0) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PKCS#11 URI");
    }
    if (p11_kit_uri_parse(whole, P11_KIT_URI_FOR_ANY, alone) == P11_KIT_URI_OK &&
        !p11_kit_uri_any_unrecognized(alone) && !(attribute_is(attribute, "slot-id") && attribute->value_len == 0)) {
        return tok_good();
    }
    if (attribute_is(attribute, "type")) {
        return tok_fail(TOK_CODE_BAD_URI,
                        "'%s' in the PKCS#11 URI: type= is one of private, public, cert, secret-key, data", text);
    }
    return tok_fail(TOK_CODE_BAD_URI, "'%s' in the PKCS#11 URI is badly encoded, too long, or no number", text);
}

/* Writes scheme and path into uri->text, in p11-kit's spelling. */
static struct tok_result path_write(struct tok_uri *uri, const char *path, const char *end)
{
    size_t room = strlen(SCHEME) + 3 * (size_t)(end - path) + 1; /* all of it may be spaces */
    struct attribute attribute;
    struct text text;
    unsigned seen = 0;

    uri->text = malloc(room);
    if (uri->text == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PKCS#11 URI");
    }
    text = text_over(uri->text, room);
    text_put(&text, SCHEME);
    while (attribute_next(&attribute, &path, end, ';')) {
        size_t start;

        if (attribute_is(&attribute, "object-type")) { /* what some write for it */
            attribute.name = "type";
            attribute.name_len = strlen("type");
        }
        TOK_TRY(attribute_check(&attribute, path_names, &seen));
        text_put(&text, text.len > strlen(SCHEME) ? ";" : "");
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
        return tok_fail(TOK_CODE_BAD_URI, "a PKCS#11 URI starts with '%s'", SCHEME);
    }
    path = text + strlen(SCHEME);
    query = strchr(path, '?');
    TOK_TRY(path_write(uri, path, query != NULL ? query : path + strlen(path)));
    TOK_TRY(path_parse(uri));
    if (query != NULL) {
        TOK_TRY(query_parse(uri, query + 1, origin));
    }
    *out_uri = STEAL(uri);
    return tok_good();
}

static bool text_dup(char **out, const char *text)
{
    *out = text != NULL ? strdup(text) : NULL;
    return text == NULL || *out != NULL;
}

struct tok_result tok_uri_parse_like(struct tok_uri **out_uri, const char *text, const struct tok_uri *like)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;

    TOK_TRY(tok_uri_parse(&uri, text, TOK_URI_FROM_APPLICATION));
    if (!text_dup(&uri->pin_source, like->pin_source) || !text_dup(&uri->module_path, like->module_path) ||
        !text_dup(&uri->module_name, like->module_name) ||
        (secret_exists(&like->pin_value) && !secret_set(&uri->pin_value, like->pin_value.data, like->pin_value.len))) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PKCS#11 URI");
    }
    *out_uri = STEAL(uri);
    return tok_good();
}

struct tok_result tok_uri_dup(struct tok_uri **out_uri, const struct tok_uri *uri)
{
    return tok_uri_parse_like(out_uri, uri->text, uri);
}

const char *tok_uri_text(const struct tok_uri *uri)
{
    return uri->text;
}

bool tok_uri_matches_module(const struct tok_uri *uri, const CK_INFO *info)
{
    return p11_kit_uri_match_module_info(uri->path, info) == 1;
}

bool tok_uri_matches_slot(const struct tok_uri *uri, CK_SLOT_ID id, const CK_SLOT_INFO *info)
{
    CK_SLOT_ID asked = p11_kit_uri_get_slot_id(uri->path);

    return (asked == (CK_SLOT_ID)-1 || asked == id) && p11_kit_uri_match_slot_info(uri->path, info) == 1;
}

bool tok_uri_matches_token(const struct tok_uri *uri, const CK_TOKEN_INFO *info)
{
    return p11_kit_uri_match_token_info(uri->path, info) == 1;
}

bool tok_uri_within_token(const struct tok_uri *uri, const struct tok_uri *token)
{
    return tok_uri_matches_token(token,
                                 p11_kit_uri_get_token_info(uri->path)); /* a field that is not set is no match */
}

/* Fields that are not set are empty. */
static bool may_be_equal(const unsigned char *a, const unsigned char *b, size_t size)
{
    return a[0] == '\0' || b[0] == '\0' || memcmp(a, b, size) == 0;
}

bool tok_uri_may_mean_token(const struct tok_uri *uri, const struct tok_uri *token)
{
    const CK_TOKEN_INFO *a = p11_kit_uri_get_token_info(uri->path);
    const CK_TOKEN_INFO *b = p11_kit_uri_get_token_info(token->path);

    return may_be_equal(a->label, b->label, sizeof(a->label)) &&
           may_be_equal(a->serialNumber, b->serialNumber, sizeof(a->serialNumber)) &&
           may_be_equal(a->manufacturerID, b->manufacturerID, sizeof(a->manufacturerID)) &&
           may_be_equal(a->model, b->model, sizeof(a->model));
}

/* Whether a field of the URI's own structures was set: unset ones are empty. */
bool tok_uri_asks_module(const struct tok_uri *uri)
{
    const CK_INFO *info = p11_kit_uri_get_module_info(uri->path);

    return info->manufacturerID[0] != '\0' || info->libraryDescription[0] != '\0' ||
           info->libraryVersion.major != (CK_BYTE)-1 || info->libraryVersion.minor != (CK_BYTE)-1;
}

bool tok_uri_asks_slot(const struct tok_uri *uri)
{
    const CK_SLOT_INFO *info = p11_kit_uri_get_slot_info(uri->path);

    return p11_kit_uri_get_slot_id(uri->path) != (CK_SLOT_ID)-1 || info->slotDescription[0] != '\0' ||
           info->manufacturerID[0] != '\0';
}

bool tok_uri_names_token(const struct tok_uri *uri)
{
    const CK_TOKEN_INFO *info = p11_kit_uri_get_token_info(uri->path);

    return info->label[0] != '\0' || info->serialNumber[0] != '\0';
}

const struct bytes *tok_uri_id(const struct tok_uri *uri)
{
    return uri->has_id ? &uri->id : NULL;
}

const struct bytes *tok_uri_label(const struct tok_uri *uri)
{
    return uri->has_label ? &uri->label : NULL;
}

bool tok_uri_class(const struct tok_uri *uri, CK_OBJECT_CLASS *out_class)
{
    const CK_ATTRIBUTE *class = p11_kit_uri_get_attribute(uri->path, CKA_CLASS);

    if (class == NULL || class->ulValueLen != sizeof(*out_class)) {
        return false;
    }
    memcpy(out_class, class->pValue, sizeof(*out_class));
    return true;
}

const char *tok_uri_pin_value(const struct tok_uri *uri)
{
    return (const char *)uri->pin_value.data;
}

const char *tok_uri_pin_source(const struct tok_uri *uri)
{
    return uri->pin_source;
}

const char *tok_uri_module_path(const struct tok_uri *uri)
{
    return uri->module_path;
}

const char *tok_uri_module_name(const struct tok_uri *uri)
{
    return uri->module_name;
}

static struct tok_result format(char **out_text, P11KitUri *uri, const CK_TOKEN_INFO *token)
{
    CK_TOKEN_INFO *named = p11_kit_uri_get_token_info(uri);

    memcpy(named->label, token->label, sizeof(named->label));
    memcpy(named->serialNumber, token->serialNumber, sizeof(named->serialNumber));
    memcpy(named->manufacturerID, token->manufacturerID, sizeof(named->manufacturerID));
    memcpy(named->model, token->model, sizeof(named->model));
    return p11_kit_uri_format(uri, P11_KIT_URI_FOR_OBJECT_ON_TOKEN, out_text) == P11_KIT_URI_OK
               ? tok_good()
               : tok_fail(TOK_CODE_NO_MEMORY, "a PKCS#11 URI");
}

struct tok_result tok_uri_of_object(char **out_text, const CK_TOKEN_INFO *token, CK_OBJECT_CLASS class,
                                    const struct bytes *id, const struct bytes *label)
{
    SCOPED(p11_uri_end) P11KitUri *uri = p11_kit_uri_new();
    CK_ATTRIBUTE attributes[] = {
        { CKA_CLASS, &class, sizeof(class) },
        { CKA_ID, id->data, (CK_ULONG)id->len },
        { CKA_LABEL, label->data, (CK_ULONG)label->len },
    };

    if (uri == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PKCS#11 URI");
    }
    for (size_t i = 0; i < COUNT_OF(attributes); i++) {
        if (attributes[i].ulValueLen > 0 && p11_kit_uri_set_attribute(uri, &attributes[i]) != P11_KIT_URI_OK) {
            return tok_fail(TOK_CODE_NO_MEMORY, "a PKCS#11 URI");
        }
    }
    return format(out_text, uri, token);
}

struct tok_result tok_uri_of_token(char **out_text, const CK_TOKEN_INFO *token)
{
    SCOPED(p11_uri_end) P11KitUri *uri = p11_kit_uri_new();

    return uri == NULL ? tok_fail(TOK_CODE_NO_MEMORY, "a PKCS#11 URI") : format(out_text, uri, token);
}
