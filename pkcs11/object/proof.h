/* What a private key is asked to do, once, so that its public half can be told from others: a signature, or a secret
 * that it agrees on. For pkcs11/object/half.c; the mathematics are the prover's. */
#ifndef SIGNET_PKCS11_OBJECT_PROOF_H
#define SIGNET_PKCS11_OBJECT_PROOF_H

#include "pkcs11/object/half.h"

struct proof {
    const struct tok_prover *prover; /* borrowed; NULL: nothing can be proved */
    struct bytes sig;                /* empty: none was made */
    struct bytes secret;             /* likewise; of no use to anybody: the other key of it is thrown away */
    bool over;                       /* the key was asked all that it can be asked */
};

void proof_end(struct proof *proof);
/* proof_ask has the key do what a key of this half can do, unless it did already. That it can't is no failure. */
TOK_RESULT proof_ask(struct proof *proof, struct tok_lease *lease, CK_OBJECT_HANDLE key, const struct tok_public *half);
bool proof_is_made(const struct proof *proof);
/* proof_fits tells whether what was made is this half's. */
bool proof_fits(const struct proof *proof, const struct tok_public *half);

#endif
