/* A key as OpenSSL holds it (the key data behind an EVP_PKEY of ours).
 *
 * Either its private half is on a token (`token` != NULL), and then `software` is its public half; or it is a software
 * key that OpenSSL's fetching brought to us, and `software` is all of it: every keymgmt that we register serves those
 * too, by delegation to the child context. A key with neither is one that is being made. Reference-counted: contexts of
 * operations hold one. What a key on a token is never
 * changes; how its public half is written may. */
#ifndef SIGNET_PROVIDER_KEYS_KEY_H
#define SIGNET_PROVIDER_KEYS_KEY_H

#include <openssl/types.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pkcs11/key/find.h"
#include "pkcs11/key/key.h"
#include "provider/core/context.h"
#include "provider/keys/variant.h"

struct prov_key {
    _Atomic unsigned refs;
    struct prov_ctx *prov;
    const struct prov_variant *variant;
    EVP_PKEY *software;    /* of the child context; owned */
    int parts;             /* OSSL_KEYMGMT_SELECT_ bits of what the key has */
    struct tok_key *token; /* owned */
    _Atomic bool signed_once;
    _Atomic(uint8_t *) rejection; /* its secret for implicit rejection (provider/operations/decryption.c); NULL: none
                                     yet. Owned, constant once there */
    _Atomic uint8_t ways[2]; /* which choice signs with it (provider/operations/signing.h): [1] for PSS */
    struct prov_digest
        *_Atomic digests[4]; /* the first ones that it was found to sign by; owned, constant once there */
    _Atomic bool may_sign;   /* libcrypto was asked, for ready digests */
};

struct prov_key *prov_key_new(struct prov_ctx *prov, const struct prov_variant *variant);
struct prov_key *prov_key_ref(struct prov_key *key);
void prov_key_unref(struct prov_key *key);
void prov_key_end(struct prov_key **key);

/* prov_key_on_token makes the key for a private key on a token; takes over the reference to `token`, also on failure.
 * Its type is that of the public half. NULL with an error raised: a type that we don't serve, or a public half that
 * makes no sense. `software` may give the public half, whose reference is then taken; NULL: it is made of what the
 * token shows. */
struct prov_key *prov_key_on_token(struct prov_ctx *prov, struct tok_key *token, EVP_PKEY *software);
/* prov_key_public makes the key for a public key on a token. NULL with an error raised. */
struct prov_key *prov_key_public(struct prov_ctx *prov, const struct tok_public *half);
/* prov_key_public_of takes a certificate's of an unknown type (CK_UNAVAILABLE_INFORMATION) as well. */
struct prov_key *prov_key_public_of(struct prov_ctx *prov, const struct tok_public *half);
/* prov_key_serves tells whether keys of the half's type are served at all; those of a type that shows by the key alone
 * may turn out not to be. */
bool prov_key_serves(const struct prov_ctx *prov, const struct tok_public *half);
/* prov_key_digest fetches a digest for signing with the key, as a new reference; NULL with an error raised. Each
 * handshake of a server asks for the same ones, by two names each: the first ones that are kept save a search, and the
 * question whether the key may sign by them. */
EVP_MD *prov_key_digest(struct prov_key *key, const char *name, bool *out_kept);
void prov_key_digest_keep(struct prov_key *key, EVP_MD *digest, const char *name);

/* prov_key_left_out tells whether the setting `key-types` leaves the type out: true with an error raised. */
bool prov_key_left_out(const struct prov_ctx *prov, const struct prov_variant *variant);

/* prov_key_offer hands the key to OpenSSL as the result of a store or a decoder; takes over the reference. What the
 * callback returns. */
int prov_key_offer(struct prov_key *key, OSSL_CALLBACK *callback, void *arg);

#endif
