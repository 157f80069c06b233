/* The part of pkcs11/config/uri.h that reads: the path, attribute by attribute. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "pkcs11/config/uri-parts.h"

bool tok_uri_has_scheme(const char *text)
{
    return strncasecmp(text, URI_SCHEME, strlen(URI_SCHEME)) == 0;
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
        TOK_TRY(uri_attribute_check(&attribute, uri_path_names, &seen));
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

/* NULs at the end of a field that is set count no more than blanks do. Fields that are not set are all NULs. */
static void fields_pad(P11KitUri *path)
{
    CK_TOKEN_INFO *token = p11_kit_uri_get_token_info(path);
    CK_SLOT_INFO *slot = p11_kit_uri_get_slot_info(path);
    CK_INFO *module = p11_kit_uri_get_module_info(path);
    const struct {
        unsigned char *field;
        size_t size;
    } fields[] = {
        { token->label, sizeof(token->label) },
        { token->manufacturerID, sizeof(token->manufacturerID) },
        { token->model, sizeof(token->model) },
        { token->serialNumber, sizeof(token->serialNumber) },
        { slot->slotDescription, sizeof(slot->slotDescription) },
        { slot->manufacturerID, sizeof(slot->manufacturerID) },
        { module->libraryDescription, sizeof(module->libraryDescription) },
        { module->manufacturerID, sizeof(module->manufacturerID) },
    };

    for (size_t i = 0; i < COUNT_OF(fields); i++) {
        if (fields[i].field[0] != '\0') {
            tok_field_pad(fields[i].field, fields[i].size);
        }
    }
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
    fields_pad(uri->path);
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
    uri->from_stranger = origin == TOK_URI_FROM_FILE;
    path = text + strlen(URI_SCHEME);
    if (path[0] == '/') {
        return tok_fail(TOK_CODE_BAD_URI, "a PKCS#11 URI has no '/' after '%s': write %stoken=...", URI_SCHEME,
                        URI_SCHEME);
    }
    query = strchr(path, '?');
    TOK_TRY(path_write(uri, path, query != NULL ? query : path + strlen(path)));
    TOK_TRY(path_parse(uri));
    if (query != NULL) {
        TOK_TRY(uri_query_parse(uri, query + 1, origin));
    }
    *out_uri = STEAL(uri);
    return tok_good();
}

static bool text_dup(char **out, const char *text)
{
    *out = text != NULL ? strdup(text) : NULL;
    return text == NULL || *out != NULL;
}

/* A PIN is shared, never copied. */
struct tok_result tok_uri_parse_like(struct tok_uri **out_uri, const char *text, const struct tok_uri *like)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;

    TOK_TRY(tok_uri_parse(&uri, text, TOK_URI_FROM_APPLICATION));
    if (!text_dup(&uri->module_path, like->module_path) || !text_dup(&uri->module_name, like->module_name)) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PKCS#11 URI");
    }
    uri->pin = tok_pin_source_ref(like->pin);
    uri->from_stranger = like->from_stranger;
    *out_uri = STEAL(uri);
    return tok_good();
}

struct tok_result tok_uri_dup(struct tok_uri **out_uri, const struct tok_uri *uri)
{
    return tok_uri_parse_like(out_uri, uri->text, uri);
}
