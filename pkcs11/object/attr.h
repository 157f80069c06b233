/* Attributes of an object, in one round trip where the token allows it.
 *
 * The caller says which attributes it wants and how much room each needs. What that leaves open is asked for once more,
 * alone: what was too long, what the module left unfilled (some stop at the first attribute that they lack), all of a
 * list that was refused whatever the code, and what the object must have. An attribute that the token hasn't, or won't
 * show, is absent, not an error. Nothing of this floor ever asks for the secret part of
 * a key. */
#ifndef SIGNET_PKCS11_OBJECT_ATTR_H
#define SIGNET_PKCS11_OBJECT_ATTR_H

#include <stdbool.h>

#include "base/bytes.h"
#include "pkcs11/token/session.h"

#define TOK_MAX_ATTRS 20

struct tok_attrs {
    CK_ATTRIBUTE list[TOK_MAX_ATTRS];
    size_t count;
    struct bytes room; /* for all values of the first call */
    struct bytes longer[TOK_MAX_ATTRS];
};

/* tok_attrs_read asks for `types`, each with the room of its place in `rooms` (bytes). End with tok_attrs_end. */
TOK_RESULT tok_attrs_read(struct tok_attrs *attrs, struct tok_lease *lease, CK_OBJECT_HANDLE object,
                          const CK_ATTRIBUTE_TYPE *types, const size_t *rooms, size_t count);
void tok_attrs_end(struct tok_attrs *attrs);

/* What came: the empty string of bytes, 0 and the default where an attribute is absent. Values are borrowed. */
struct cursor tok_attrs_value(const struct tok_attrs *attrs, CK_ATTRIBUTE_TYPE type);
CK_ULONG tok_attrs_ulong(const struct tok_attrs *attrs, CK_ATTRIBUTE_TYPE type, CK_ULONG otherwise);
bool tok_attrs_bool(const struct tok_attrs *attrs, CK_ATTRIBUTE_TYPE type, bool otherwise);
/* tok_attrs_copy copies a value; an absent one is empty. */
TOK_RESULT tok_attrs_copy(struct bytes *out, const struct tok_attrs *attrs, CK_ATTRIBUTE_TYPE type);

#endif
