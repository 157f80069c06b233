/* Keys as programs load them, and a first use of them. For the tests in this folder. */
#ifndef SIGNET_TESTS_KEYS_H
#define SIGNET_TESTS_KEYS_H

#include <openssl/evp.h>

/* is_uri tells the `pkcs11:` and `file:` URIs of these tests from the names of files. */
int is_uri(const char *name);

/* key_of_store loads the first private key of such a URI, through the providers that `query` selects (NULL: all); NULL
 * with errors on the queue. */
EVP_PKEY *key_of_store(const char *uri, const char *query);

/* key_by_name loads a private key from such a URI or from a PEM file; NULL with errors on the queue. */
EVP_PKEY *key_by_name(const char *name);

/* is_on_token tells a key on a token from any other; is_from, whose key management it lives in. NULL is neither. */
int is_on_token(EVP_PKEY *key);
int is_from(EVP_PKEY *key, const char *provider);

/* signs makes a signature and verifies it, through the providers that `query` selects. NULL does not. */
int signs(EVP_PKEY *key, const char *query);

#endif
