/* How signet list shows a token and an object; for list.c. All of it goes to standard output.
 *
 * What a token says of itself does not reach the terminal as control characters. */
#ifndef SIGNET_SRC_LIST_PRINT_H
#define SIGNET_SRC_LIST_PRINT_H

#include <stdio.h>

#include "pkcs11/key/find.h"

struct prov_ctx;

void print_bytes(const unsigned char *bytes, size_t len);
/* print_field prints a field of Cryptoki, which is padded and not terminated. */
void print_field(const unsigned char *field, size_t size);
#define PRINT_FIELD(before, field) (fputs((before), stdout), print_field((field), sizeof(field)))

void print_token(const CK_TOKEN_INFO *info);
/* print_item prints type, names and URI, and why the object can't be used. `instance` tells whether a key would load;
 * NULL: nobody does. */
void print_item(struct prov_ctx *instance, const struct tok_item *item);

#endif
