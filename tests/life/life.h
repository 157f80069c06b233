/* What the tests of a process's life share: a signature that is looked at, and what a process holds. */
#ifndef SIGNET_TESTS_LIFE_H
#define SIGNET_TESTS_LIFE_H

#include <openssl/evp.h>
#include <stddef.h>

enum outcome { SIGNED, REFUSED, WRONG };

/* sign_with signs, with SHA-256 where the type of key takes a digest, and verifies with the public half that was loaded
 * with the key. REFUSED leaves why on OpenSSL's queue; WRONG is a signature that does not verify, which nothing
 * excuses. */
enum outcome sign_with(EVP_PKEY *key);

/* A test that breaks things for the signature alone mends them here. */
extern void (*before_verifying)(void);

/* first_reason empties OpenSSL's queue into `out`: its first error, which is the one that users read. */
const char *first_reason(char *out, size_t size);

unsigned descriptors_open(void);
long resident_kib(void);

#endif
