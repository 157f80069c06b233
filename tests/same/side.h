/* One key, one context, and what they answered: of the token's key or of the same key in a file. */
#ifndef SIGNET_TESTS_SAME_SIDE_H
#define SIGNET_TESTS_SAME_SIDE_H

#include <openssl/evp.h>

#include "values.h"

enum op { SIGN, DIGEST_SIGN, STREAM_SIGN, VERIFY, DIGEST_VERIFY, RECOVER, DECRYPT, ENCRYPT, DERIVE, NUM_OPS };

extern const char *const op_names[NUM_OPS];

#define MOST_ANSWERS 64
#define MOST_BYTES 49856 /* the longest signature of SLH-DSA */

struct answer {
    const char *what;
    int ret;
    int raised;
    size_t len;
    unsigned long hash; /* of what was given, where that is to be equal */
};

struct bytes {
    unsigned char data[MOST_BYTES];
    size_t len;
};

struct side {
    const char *name;
    EVP_PKEY *key;
    EVP_PKEY *peer;       /* of DERIVE */
    EVP_PKEY_CTX *ctx;    /* owned, or of `md` */
    EVP_MD_CTX *md;       /* of the operations that hash */
    EVP_MD_CTX *original; /* that `md` is a copy of */
    EVP_PKEY_CTX *original_ctx; /* that `ctx` is a copy of */
    struct answer answers[MOST_ANSWERS];
    unsigned num_answers;
    struct bytes out[8]; /* signatures, one for each length of a ready digest */
    unsigned num_outs;
};

enum how {
    PLAIN,   /* set once the operation has begun */
    AT_INIT, /* in the parameters of its start */
    TEXT,    /* by name and text: EVP_PKEY_CTX_ctrl_str */
    LATE,    /* after the first piece of a stream; or after a first run, begun again where there is a digest */
    NUM_HOWS
};

struct plan {
    enum op op;
    const char *digest;         /* named at the start; NULL: none */
    const struct value *preset; /* set before; NULL: nothing */
    const char *param;          /* NULL: none */
    const struct value *value;
    const struct value *second; /* set after the first; NULL: none */
    enum how how;
    int dup;                   /* go on with a copy */
    const struct bytes *input; /* of VERIFY to ENCRYPT */
};

/* side_run goes through the plan; side_end forgets all but the keys. */
void side_run(struct side *side, const struct plan *plan);
void side_end(struct side *side);
/* side_start is the first part of it alone, for lists of parameters; 0 where the operation can't begin. */
int side_start(struct side *side, const struct plan *plan);
/* side_getters settles what is asked of a context from here on: what either side's list has. */
void side_getters(struct side *sides[2], enum op op);
/* side_verifies tells whether the key verifies a signature under the plan's parameters. */
int side_verifies(struct side *side, const struct plan *plan, const struct bytes *sig, unsigned which);
int side_hashes(enum op op);
/* The ready digest of the which-th length; 0 past the last. */
size_t side_ready(unsigned which);

/* answer notes what a step gave, and empties the queue of errors; before a step, side_clear. */
int side_answer(struct side *side, const char *what, int ret, const void *data, size_t len);

#endif
