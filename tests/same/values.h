/* What each parameter is set to: values that software takes, and values that it should not. */
#ifndef SIGNET_TESTS_SAME_VALUES_H
#define SIGNET_TESTS_SAME_VALUES_H

#include <openssl/params.h>

struct value {
    const char *param; /* NULL: for every one */
    char kind;         /* s: text, i: int, u: unsigned, z: size_t, o: octets; a list ends with 0 */
    const char *text;
};

extern const struct value values[];

/* What a token is not told, and a key on one refuses where software takes it; all that is not here is the same. */
struct difference {
    const char *token;  /* SoftHSM's alone; NULL: any */
    const char *op;     /* as side.c calls it; NULL: every one that signs, and what is set of a key */
    const char *type;   /* of key, as EVP_PKEY_is_a has it; NULL: any */
    const char *param;  /* NULL: any */
    const char *values; /* those that are refused, " a b "; NULL: all */
    const char *why;
};

extern const struct difference differences[];

/* value_param makes the parameter of a value, which stays the value's; false where text is not of that kind. */
int value_param(OSSL_PARAM *out, const char *name, const struct value *value, long long *room);

#endif
