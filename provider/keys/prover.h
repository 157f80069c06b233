/* The cryptography that a search on the token's floor borrows to tell whose a public half is (pkcs11/object/half.h).
 *
 * What a key is asked to sign is a text of ours that means nothing anywhere else. Errors of libcrypto do not reach the
 * queue. For provider/files and the command. */
#ifndef SIGNET_PROVIDER_KEYS_PROVER_H
#define SIGNET_PROVIDER_KEYS_PROVER_H

#include <openssl/evp.h>

#include "pkcs11/object/half.h"
#include "provider/keys/key.h"

struct prov_prover {
    struct tok_prover prover; /* what is lent */
    struct prov_ctx *prov;    /* borrowed */
    EVP_MD *digest;           /* owned */
    struct prov_scheme scheme;
    struct prov_data data;
    struct prov_mechanism mechanism;
    uint8_t hash[EVP_MAX_MD_SIZE];
    EVP_PKEY *own; /* with which keys that don't sign agree on a secret; owned */
    struct bytes point;
};

/* prov_prover_begin makes one that must stay where it is in memory. Without a digest it proves nothing, which is not
 * wrong. End with prov_prover_end. */
void prov_prover_begin(struct prov_prover *out, struct prov_ctx *prov);
void prov_prover_end(struct prov_prover *prover);

/* prov_prover_lender is for searches that begin on the token's floor (pkcs11/config/settings.h). */
struct tok_lender prov_prover_lender(struct prov_ctx *prov);

#endif
