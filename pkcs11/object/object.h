/* Objects on a token: searching, and what a key shows of itself.
 *
 * `struct tok_public` is the public half of a key in the token's own bytes, as far as objects and attributes show it;
 * making an OpenSSL key of it is the business of the floor above. For the rooms of pkcs11/; the structs travel upwards.
 */
#ifndef SIGNET_PKCS11_OBJECT_OBJECT_H
#define SIGNET_PKCS11_OBJECT_OBJECT_H

#include "base/bytes.h"
#include "pkcs11/token/session.h"

struct tok_public {
    CK_KEY_TYPE type;
    struct bytes modulus; /* RSA */
    struct bytes exponent;
    struct bytes params; /* EC: DER of CKA_EC_PARAMS */
    struct bytes point;  /* EC: the point itself, without the OCTET STRING around it; ML-DSA and SLH-DSA: the key */
    CK_ULONG set;        /* of parameters, ML-DSA and SLH-DSA: CKA_PARAMETER_SET; 0: not shown */
    struct bytes spki;   /* SubjectPublicKeyInfo, where the token has it */
    struct bytes certificate; /* DER, where only a certificate shows the key */
    bool pss_only;            /* RSA: the private object allows PSS and nothing else */
    bool by_key_itself;       /* the private object shows it, or a signature did: it can't belong to another key */
};

void tok_public_end(struct tok_public *half);
/* tok_public_copy copies into an empty one. False without memory: then it is to be ended as well. */
bool tok_public_copy(struct tok_public *out, const struct tok_public *half);
/* tok_public_known tells whether there is enough to make a key of. */
bool tok_public_known(const struct tok_public *half);

enum tok_likeness { TOK_SAME, TOK_DIFFERENT, TOK_CANT_TELL };
/* tok_public_compare compares two halves by what both show. */
enum tok_likeness tok_public_compare(const struct tok_public *a, const struct tok_public *b);
/* tok_public_complete moves what `from` shows and `to` doesn't. */
void tok_public_complete(struct tok_public *to, struct tok_public *from);

/* What a private key's own object tells, in one round trip. */
struct tok_private {
    CK_OBJECT_HANDLE handle;
    struct bytes id;
    struct bytes label;
    struct bytes allowed; /* CKA_ALLOWED_MECHANISMS; empty: any */
    struct tok_public half;
    bool always_authenticate;
    bool sensitive;
    bool extractable;
    bool local;
};

void tok_private_end(struct tok_private *key);

struct tok_handles {
    CK_OBJECT_HANDLE *items;
    size_t count;
};

void tok_handles_end(struct tok_handles *handles);

/* tok_search lists the objects of a class; id and label restrict it, NULL doesn't. With `first_only` one answer of the
 * token is enough. Not finding any is good, with count 0. */
TOK_RESULT tok_search(struct tok_handles *out_handles, struct tok_lease *lease, CK_OBJECT_CLASS class,
                      const struct bytes *id, const struct bytes *label, bool first_only);

/* tok_is_asked: may an object that shows these names be one of those that were searched for? A search whose template
 * the module ignored gives others. Blanks and NULs at the end don't count; what is not shown can't differ. */
bool tok_is_asked(const struct bytes *id_asked, const struct bytes *label_asked, const struct bytes *id,
                  const struct bytes *label);

TOK_RESULT tok_private_read(struct tok_private *out_key, struct tok_lease *lease, CK_OBJECT_HANDLE object);
/* tok_public_read reads a public key object, with the names that it goes by. */
TOK_RESULT tok_public_read(struct tok_public *out_half, struct bytes *out_id, struct bytes *out_label,
                           struct tok_lease *lease, CK_OBJECT_HANDLE object);
TOK_RESULT tok_certificate_read(struct bytes *out_der, struct bytes *out_id, struct bytes *out_label,
                                struct tok_lease *lease, CK_OBJECT_HANDLE object);

#endif
