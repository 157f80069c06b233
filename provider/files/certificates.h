/* Which of several certificates of one name is meant.
 *
 * A renewed certificate often bears the id and label of the old one, and applications take the first that comes. So of
 * several for one key there is one: of those that are valid now the one that ends last. For provider/files/store.c. */
#ifndef SIGNET_PROVIDER_FILES_CERTIFICATES_H
#define SIGNET_PROVIDER_FILES_CERTIFICATES_H

#include "pkcs11/key/find.h"
#include "provider/core/context.h"

/* prov_certificates_settle leaves one certificate for each key among `items`, which are all of one name, the best one
 * first; where a private key is among them, too, its own comes before all others. Those that can't be read are left as
 * they are, at the end. */
void prov_certificates_settle(struct prov_ctx *prov, struct tok_items *items);

#endif
