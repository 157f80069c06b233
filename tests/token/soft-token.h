/* What the files of soft-token.c share: its keys (soft-keys.c), what it does with them (soft-sign.c), and its sessions.
 * All but the functions of Cryptoki are called under its lock. */
#ifndef SIGNET_TESTS_SOFT_TOKEN_H
#define SIGNET_TESTS_SOFT_TOKEN_H

#include <openssl/evp.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>

#define MOST_KEYS 1000

/* Names of PKCS#11 3.x under names of our own: some headers have them, and some haven't. */
#define SOFT_CKK_EDWARDS 0x40UL
#define SOFT_CKK_MONTGOMERY 0x41UL
#define SOFT_CKK_ML_DSA 0x4aUL
#define SOFT_CKK_SLH_DSA 0x4bUL
#define SOFT_CKM_EDDSA 0x1057UL
#define SOFT_CKM_ML_DSA 0x1dUL
#define SOFT_CKM_SLH_DSA 0x2eUL

struct key {
    char label[64];
    EVP_PKEY *pkey;
    CK_KEY_TYPE type;
    CK_ULONG set; /* CKA_PARAMETER_SET; 0: none */
    unsigned char *spki;
    int spki_len;
};

/* CK_EDDSA_PARAMS and CK_SIGN_ADDITIONAL_CONTEXT, likewise. */
struct soft_eddsa_params {
    CK_BBOOL prehash;
    CK_ULONG context_len;
    CK_BYTE *context;
};
struct soft_sign_context {
    CK_ULONG hedge; /* SOFT_CKH_… */
    CK_BYTE *context;
    CK_ULONG context_len;
};
#define SOFT_CKH_DETERMINISTIC_REQUIRED 2UL

struct operation { /* what a session signs with */
    const struct key *key;
    CK_MECHANISM mechanism;
    union {
        CK_RSA_PKCS_PSS_PARAMS pss;
        struct soft_eddsa_params eddsa;
        struct soft_sign_context more;
    } params; /* the mechanism's parameters, where it has some */
    unsigned char context[255];
    int message; /* C_MessageSignInit */
    int authenticated;
};

struct session {
    int open;
    struct operation signing;
    const struct key *decrypting;
    CK_OBJECT_HANDLE found[2 * MOST_KEYS];
    CK_ULONG num_found;
    CK_ULONG next_found;
};

extern struct key soft_keys[MOST_KEYS];
extern CK_ULONG soft_num_keys;

/* is(WORD): was it asked for? */
int soft_is(const char *word);
/* Reads the folder, once. */
void soft_keys_read(void);
/* An attribute's value: its length, or -1 where there is none. */
long soft_value(const struct key *key, int private, unsigned char *out, size_t room, CK_ATTRIBUTE_TYPE type);
/* Signs, decrypts (raw RSA), derives; `*len` is the room before, and the length after. 0: libcrypto would not. */
int soft_sign(const struct key *key, const CK_MECHANISM *mechanism, unsigned char *out, size_t *len, const CK_BYTE *in,
              size_t in_len);
/* Whether it knows both digests. */
int soft_knows(const CK_RSA_PKCS_PSS_PARAMS *pss);
int soft_decrypt(const struct key *key, unsigned char *out, size_t *len, const CK_BYTE *in, size_t in_len);
int soft_derive(const struct key *key, const CK_ECDH1_DERIVE_PARAMS *params, unsigned char *out, size_t *len);

/* soft-token.c's. Private keys have odd handles, their public halves even ones; private keys are seen after a login. */
extern pthread_mutex_t soft_lock;
struct session *soft_session(CK_SESSION_HANDLE number);
const struct key *soft_key(CK_OBJECT_HANDLE object, int *out_private);
int soft_logged_in(void);
/* Notes the call. */
CK_RV soft_called(char letter, CK_RV rv);

static inline void soft_unlock(int *held)
{
    (void)held;
    pthread_mutex_unlock(&soft_lock);
}
#define LOCKED_CALL()                                                                                                  \
    __attribute__((cleanup(soft_unlock))) int held_ = pthread_mutex_lock(&soft_lock);                                  \
    (void)held_

/* soft-sign.c's. */
CK_RV soft_SignInit(CK_SESSION_HANDLE number, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE object);
CK_RV soft_Sign(CK_SESSION_HANDLE number, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len);
CK_RV soft_MessageSignInit(CK_SESSION_HANDLE number, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE object);
CK_RV soft_SignMessage(CK_SESSION_HANDLE number, void *param, CK_ULONG param_len, CK_BYTE *in, CK_ULONG in_len,
                       CK_BYTE *out, CK_ULONG *out_len);
CK_RV soft_MessageSignFinal(CK_SESSION_HANDLE number);
CK_RV soft_DecryptInit(CK_SESSION_HANDLE number, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE object);
CK_RV soft_Decrypt(CK_SESSION_HANDLE number, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len);
CK_RV soft_DeriveKey(CK_SESSION_HANDLE number, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *list,
                     CK_ULONG count, CK_OBJECT_HANDLE *out);
CK_RV soft_DestroyObject(CK_SESSION_HANDLE number, CK_OBJECT_HANDLE object);
/* CKR_OBJECT_HANDLE_INVALID where the object is no derived secret. */
CK_RV soft_secret_attributes(CK_OBJECT_HANDLE object, CK_ATTRIBUTE *list, CK_ULONG count);

#endif
