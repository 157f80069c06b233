/* Everything that is not the token's work: other providers' algorithms, reached through the child library context.
 *
 * Every fetch there carries the instance's query, which keeps it away from us: an instance that fetched itself, or
 * another one of ours, would call itself without end. A thread-local depth turns what might be left of that into an
 * error. No function here takes a lock or touches a module. For all rooms from core on; owns nothing. */
#ifndef SIGNET_PROVIDER_CORE_SOFTWARE_H
#define SIGNET_PROVIDER_CORE_SOFTWARE_H

#include <openssl/types.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "base/scoped.h"
#include "provider/core/context.h"

/* prov_software_prove checks the query: whether RSA and EC of others can be fetched with it (then prov->software is
 * set), and that none of them is ours. False if one is. Not during our own start: a fetch in a child that has no
 * provider yet would wake OpenSSL's fallback there, and hide that the application has none; so the first key does it.
 */
bool prov_software_prove(struct prov_ctx *prov);

/* prov_software_first_query is the query until prov_software_prove knows better; static. */
const char *prov_software_first_query(void);

/* PROV_SOFTWARE_SCOPE counts a delegation in this thread, to the end of the block; PROV_SOFTWARE_ENTERED is false, with
 * an error raised, where delegations are nested too deep. */
int prov_software_enter(const struct prov_ctx *prov);
void prov_software_leave(const int *entered);
#define PROV_SOFTWARE_SCOPE(prov) SCOPED(prov_software_leave) int entered_ = prov_software_enter(prov)
#define PROV_SOFTWARE_ENTERED (entered_ != 0)

/* prov_software_said returns what a delegation answered; where that is no success and nobody said why, an error is
 * raised: algorithms of other providers fail silently here and there. */
int prov_software_said(const struct prov_ctx *prov, int answer, const char *what);

/* New contexts in the child, NULL on failure. */
EVP_PKEY_CTX *prov_software_ctx(const struct prov_ctx *prov, EVP_PKEY *key);
EVP_PKEY_CTX *prov_software_ctx_by_name(const struct prov_ctx *prov, const char *type);
EVP_MD *prov_software_digest(const struct prov_ctx *prov, const char *name);
bool prov_software_random(const struct prov_ctx *prov, unsigned char *out, size_t len);

/* prov_software_key makes a key out of parameters (EVP_PKEY_fromdata); NULL on failure. */
EVP_PKEY *prov_software_key(const struct prov_ctx *prov, const char *type, int selection, const OSSL_PARAM params[]);
/* prov_software_key_from_spki decodes a SubjectPublicKeyInfo, prov_software_key_from_certificate takes the key of a
 * certificate.
 */
EVP_PKEY *prov_software_key_from_spki(const struct prov_ctx *prov, const unsigned char *der, size_t len);
EVP_PKEY *prov_software_key_from_certificate(const struct prov_ctx *prov, const unsigned char *der, size_t len);
/* prov_software_public_bytes copies the public half of a key that is one string of bytes (a point); false if it is
 * none. */
bool prov_software_public_bytes(struct bytes *out, EVP_PKEY *key);
/* prov_software_spki encodes the public half; returns the length, *out_der is OPENSSL_malloc'd; negative on failure. */
int prov_software_spki(unsigned char **out_der, EVP_PKEY *key);

#endif
