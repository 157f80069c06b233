#include "pkcs11/config/uri.h"

#include <stddef.h>
#include <string.h>

#include "base/text.h"
#include "pkcs11/config/uri-parts.h"

void tok_uri_free(struct tok_uri *uri)
{
    if (uri == NULL) {
        return;
    }
    free(uri->text);
    p11_kit_uri_free(uri->path);
    bytes_end(&uri->id);
    bytes_end(&uri->label);
    tok_pin_source_free(uri->pin);
    free(uri->module_path);
    free(uri->module_name);
    free(uri);
}

void tok_uri_end(struct tok_uri **uri)
{
    tok_uri_free(*uri);
}

const char *tok_uri_text(const struct tok_uri *uri)
{
    return uri->text;
}

bool tok_uri_may_choose(const struct tok_uri *uri)
{
    return !uri->from_stranger;
}

void tok_field_pad(unsigned char *field, size_t size)
{
    while (size > 0 && (field[size - 1] == '\0' || field[size - 1] == ' ')) {
        field[--size] = ' ';
    }
}

void tok_token_info_pad(CK_TOKEN_INFO *info)
{
    tok_field_pad(info->label, sizeof(info->label));
    tok_field_pad(info->manufacturerID, sizeof(info->manufacturerID));
    tok_field_pad(info->model, sizeof(info->model));
    tok_field_pad(info->serialNumber, sizeof(info->serialNumber));
}

bool tok_uri_matches_module(const struct tok_uri *uri, const CK_INFO *info)
{
    CK_INFO padded = *info;

    tok_field_pad(padded.manufacturerID, sizeof(padded.manufacturerID));
    tok_field_pad(padded.libraryDescription, sizeof(padded.libraryDescription));
    return p11_kit_uri_match_module_info(uri->path, &padded) == 1;
}

bool tok_uri_matches_slot(const struct tok_uri *uri, CK_SLOT_ID id, const CK_SLOT_INFO *info)
{
    CK_SLOT_ID asked = p11_kit_uri_get_slot_id(uri->path);
    CK_SLOT_INFO padded = *info;

    tok_field_pad(padded.manufacturerID, sizeof(padded.manufacturerID));
    tok_field_pad(padded.slotDescription, sizeof(padded.slotDescription));
    return (asked == (CK_SLOT_ID)-1 || asked == id) && p11_kit_uri_match_slot_info(uri->path, &padded) == 1;
}

bool tok_uri_matches_token(const struct tok_uri *uri, const CK_TOKEN_INFO *info)
{
    return p11_kit_uri_match_token_info(uri->path, info) == 1;
}

/* What a URI asks of a token; a higher weight is better evidence that a token is the one that was meant. */
static const struct token_field {
    const char *name;
    size_t offset;
    size_t size;
    unsigned weight;
} token_fields[] = {
#define TOKEN_FIELD(name, member, weight)                                                                              \
    {                                                                                                                  \
        name, offsetof(CK_TOKEN_INFO, member), sizeof(((CK_TOKEN_INFO *)0)->member), weight                            \
    }
    TOKEN_FIELD("serial", serialNumber, TOK_LIKE_SERIAL),
    TOKEN_FIELD("token", label, 4),
    TOKEN_FIELD("model", model, 2),
    TOKEN_FIELD("manufacturer", manufacturerID, 1),
#undef TOKEN_FIELD
};

static bool is_padding(unsigned char c)
{
    return c == ' ' || c == '\0';
}

static size_t field_len(const unsigned char *field, size_t size)
{
    while (size > 0 && is_padding(field[size - 1])) {
        size--;
    }
    return size;
}

unsigned tok_uri_likeness(struct text *differences, const struct tok_uri *uri, const CK_TOKEN_INFO *info)
{
    unsigned likeness = 0;

    for (size_t i = 0; i < COUNT_OF(token_fields); i++) {
        const struct token_field *row = &token_fields[i];
        const unsigned char *asked = (const unsigned char *)p11_kit_uri_get_token_info(uri->path) + row->offset;
        const unsigned char *shown = (const unsigned char *)info + row->offset;
        size_t asked_len = field_len(asked, row->size);
        size_t shown_len = field_len(shown, row->size);

        if (asked[0] == '\0') { /* not set */
            continue;
        }
        if (asked_len == shown_len && memcmp(asked, shown, asked_len) == 0) {
            likeness += row->weight;
        } else if (differences != NULL) {
            text_printf(differences, "%s%s was '%.*s', is '%.*s'", differences->len > 0 ? ", " : "", row->name,
                        (int)asked_len, (const char *)asked, (int)shown_len, (const char *)shown);
        }
    }
    return likeness;
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

struct tok_pin_source *tok_uri_pin(const struct tok_uri *uri)
{
    return uri->pin;
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
