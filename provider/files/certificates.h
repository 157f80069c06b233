/* Which of several certificates is meant.
 *
 * A renewed certificate often bears the id and label of the old one, and applications take the first that comes: nginx,
 * curl, `openssl x509` do. So of several for one key the one comes first that ends last, of those that are valid now;
 * then those that are not valid yet, then those no more. Where the URI names an object, the others don't come at all: a
 * program that takes all that a store has would take them for a chain. For provider/files/store.c. */
#ifndef SIGNET_PROVIDER_FILES_CERTIFICATES_H
#define SIGNET_PROVIDER_FILES_CERTIFICATES_H

#include "pkcs11/key/find.h"
#include "provider/core/context.h"

/* prov_certificates_count counts those among items, which stand together. */
size_t prov_certificates_count(const struct tok_items *items, size_t *out_first);

/* prov_certificates_settle puts them in order, those of one key together. Of items that are all of one name (`named`)
 * the best of each key stays: that of the `own` public half first (NULL: unknown), else the one that was issued last. */
void prov_certificates_settle(struct prov_ctx *prov, struct tok_items *items, bool named, const struct tok_public *own);

#endif
