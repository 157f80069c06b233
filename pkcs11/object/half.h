/* Which public half belongs to a private key.
 *
 * Names only lead to it. Candidates are the public keys and certificates that share the private object's id, else its
 * label, else its type alone; or one that is given from outside. What decides is the public key: where the private
 * object shows it, by comparing; where it shows none, by a signature that is verified before anything is given out, or
 * by a secret that a key agrees on which doesn't sign.
 * This floor has no cryptography, so the floor above lends it (`struct tok_prover`). Without a prover nothing is
 * decided but what can be compared: one candidate with the key's own id is believed, and its first signature tells
 * (`unproved`, pkcs11/key/key.h). For pkcs11/key/find.c. */
#ifndef SIGNET_PKCS11_OBJECT_HALF_H
#define SIGNET_PKCS11_OBJECT_HALF_H

#include "pkcs11/object/object.h"

struct tok_prover {
    /* read fills what a half shows only as a certificate or as a whole (spki). */
    void (*read)(void *arg, struct tok_public *half);
    /* ask gives the way-th mechanism by which a key of this half signs, and what it is to sign; all borrowed until the
     * next call. False: there is no such way. */
    bool (*ask)(void *arg, const struct tok_public *half, unsigned way, CK_MECHANISM *out_mechanism,
                const uint8_t **out_in, size_t *out_in_len, size_t *out_room);
    /* verify tells whether a signature of what was asked for last is this half's. */
    bool (*verify)(void *arg, const struct tok_public *half, const uint8_t *sig, size_t sig_len);
    /* agree gives the point of a key of the prover's own with which a key of this half agrees on a secret of so many
     * bytes, for keys that don't sign. Borrowed, too. */
    bool (*agree)(void *arg, const struct tok_public *half, const uint8_t **out_point, size_t *out_point_len,
                  size_t *out_len);
    /* agreed tells whether the secret is the one that this half and that key share. */
    bool (*agreed)(void *arg, const struct tok_public *half, const uint8_t *secret, size_t len);
    void *arg;
};

/* The public keys and certificates of a token, read once where many keys, or nameless ones, have to be joined with
 * them. The zero state is good. */
struct tok_halves {
    struct tok_half_row *rows;
    size_t count;
    bool read;
};

void tok_halves_end(struct tok_halves *halves);
/* tok_halves_read reads them, unless that was done. */
TOK_RESULT tok_halves_read(struct tok_halves *halves, struct tok_lease *lease);

/* What a search has to decide by; NULL: nothing of the kind. */
struct tok_evidence {
    const struct tok_prover *prover;
    const struct tok_public *given; /* the only candidate */
    bool in_doubt_only;             /* a listing: a key whose id has one half is not asked to sign */
};

/* tok_half_resolve completes the half of a key that tok_private_read has read. Whether it came to be known, and if not
 * why, is in *out_why (TOK_CODE_NO_PUBLIC_HALF, TOK_CODE_OTHER_KEY): no failure of this. The certificate of a key that
 * allows only PSS is looked for in any case: it says whether the key is one of RSA or of RSA-PSS. */
TOK_RESULT tok_half_resolve(struct tok_private *key, struct tok_result *out_why, struct tok_lease *lease,
                            struct tok_halves *halves, const struct tok_evidence *evidence);

#endif
