/* What a URI is made of: for pkcs11/config/uri.c, which tells what it means, uri-parse.c, which reads it,
 * uri-query.c, which reads the part that names modules and PINs, and uri-attribute.c, for both. Everybody else goes
 * through pkcs11/config/uri.h. */
#ifndef SIGNET_PKCS11_CONFIG_URI_PARTS_H
#define SIGNET_PKCS11_CONFIG_URI_PARTS_H

#include <p11-kit/uri.h>

#include "pkcs11/config/uri.h"

#define URI_SCHEME "pkcs11:"

struct tok_uri {
    bool from_stranger; /* a key file that is not trusted */
    char *text;         /* scheme and path, as given but for the scheme's case */
    P11KitUri *path;
    struct bytes id;
    struct bytes label;
    bool has_id;
    bool has_label;
    struct tok_pin_source *pin; /* shared with every copy; NULL: absent, like the other two */
    char *module_path;
    char *module_name;
};

/* An attribute of the text: name=value, borrowed. */
struct uri_attribute {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};

static inline void p11_uri_end(P11KitUri **uri)
{
    p11_kit_uri_free(*uri);
}

/* uri_attribute_next splits off the attribute before the next `separator`. False at the end. */
bool uri_attribute_next(struct uri_attribute *out, const char **rest, const char *end, char separator);
bool uri_attribute_is(const struct uri_attribute *attribute, const char *name);
/* uri_attribute_check: each attribute must be known, have a value, and stand once (RFC 7512 §2.3: "MUST NOT be used
 * more than once"). `names` ends with NULL, `seen` has a bit for each. */
TOK_RESULT uri_attribute_check(const struct uri_attribute *attribute, const char *const *names, unsigned *seen);

/* The attributes before and behind the question mark, with NULL at their ends. */
extern const char *const uri_path_names[];
extern const char *const uri_query_names[];

/* uri_query_parse reads what stands behind the question mark. */
TOK_RESULT uri_query_parse(struct tok_uri *uri, const char *query, enum tok_uri_origin origin);

#endif
