/* Signing on a token: the ways in which a key and its token can do it, tried in the order of the family's choices.
 *
 * The first choice is what every good token has, and costs nothing to consider. A token that refuses it is asked once
 * what it offers; the next choice that key and token have serves from then on. Some of them have the token hash, which
 * takes the message, not its digest. For provider/operations/signature.c. */
#ifndef SIGNET_PROVIDER_OPERATIONS_SIGNING_H
#define SIGNET_PROVIDER_OPERATIONS_SIGNING_H

#include "provider/keys/key.h"
#include "provider/operations/async.h"

#define PROV_SIGNING_MAX_RSA 2048 /* 16384 bits, libcrypto's own limit */

/* prov_signing_scheme fills all of a scheme but its digest, which stands there already: of `params`, a context that was
 * given the application's parameters, or (NULL) the defaults: those of RSA are PKCS#1 v1.5. A restricted key has its
 * own, so that for these there are always `params`. 0 with an error raised. */
int prov_signing_scheme(struct prov_scheme *scheme, const struct prov_key *key, EVP_PKEY_CTX *params);

/* prov_signing_run signs into `sig`, of `room` bytes, which must be enough for any signature of the key. 0 with an
 * error raised. */
int prov_signing_run(struct prov_key *key, const struct prov_scheme *scheme, const struct prov_data *data,
                     const struct prov_job *job, unsigned char *sig, size_t *out_len, size_t room);

/* prov_signing_can tells, without a call, whether there may be a way to sign by the scheme; `message` is whether there
 * will be a message besides its digest. */
bool prov_signing_can(struct prov_key *key, const struct prov_scheme *scheme, bool message);

/* prov_signing_can_by tells whether there may be a way to sign by a digest, whatever the padding is going to be: libssl
 * takes another one then. 0 with an error raised. */
int prov_signing_can_by(struct prov_key *key, const EVP_MD *digest);

#endif
