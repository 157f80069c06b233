/* Cryptoki's types and constants, from the header that p11-kit ships. The one place that names that header, so that the
 * algorithm tables of provider/ and the rooms of pkcs11/ agree on one version. Holds no code. */
#ifndef SIGNET_PKCS11_RESULT_CRYPTOKI_H
#define SIGNET_PKCS11_RESULT_CRYPTOKI_H

#include <p11-kit/pkcs11.h>

/* An attribute that is not there, in the terms of PKCS#11 v3.0 §5.7.5. */
#ifndef CK_UNAVAILABLE_INFORMATION
#define CK_UNAVAILABLE_INFORMATION ((CK_ULONG)-1)
#endif

/* Names of PKCS#11 v3.0 and v3.2 that older headers lack. */
#ifndef CKK_EC_MONTGOMERY
#define CKK_EC_MONTGOMERY 0x41UL
#endif

/* The SHA-3 family, of PKCS#11 v3.0 and, under the same numbers, v3.2. */
#ifndef CKM_SHA3_224
#define CKM_SHA3_224 0x2b5UL
#define CKM_SHA3_256 0x2b0UL
#define CKM_SHA3_384 0x2c0UL
#define CKM_SHA3_512 0x2d0UL
#define CKM_SHA3_224_RSA_PKCS 0x66UL
#define CKM_SHA3_256_RSA_PKCS 0x60UL
#define CKM_SHA3_384_RSA_PKCS 0x61UL
#define CKM_SHA3_512_RSA_PKCS 0x62UL
#define CKM_SHA3_224_RSA_PKCS_PSS 0x67UL
#define CKM_SHA3_256_RSA_PKCS_PSS 0x63UL
#define CKM_SHA3_384_RSA_PKCS_PSS 0x64UL
#define CKM_SHA3_512_RSA_PKCS_PSS 0x65UL
#endif
#ifndef CKG_MGF1_SHA3_224
#define CKG_MGF1_SHA3_224 6UL
#define CKG_MGF1_SHA3_256 7UL
#define CKG_MGF1_SHA3_384 8UL
#define CKG_MGF1_SHA3_512 9UL
#endif

#ifndef CKK_ML_DSA
#define CKK_ML_DSA 0x4aUL
#endif
#ifndef CKM_ML_DSA
#define CKM_ML_DSA 0x1dUL
#endif
#ifndef CKK_SLH_DSA
#define CKK_SLH_DSA 0x4bUL
#endif
#ifndef CKM_SLH_DSA
#define CKM_SLH_DSA 0x2eUL
#endif
#ifndef CKA_PARAMETER_SET
#define CKA_PARAMETER_SET 0x61dUL
#endif

/* As much of CK_FUNCTION_LIST_3_0 as is used. */
struct tok_functions_3 {
    CK_FUNCTION_LIST base;
    void (*others[14])(void); /* from C_GetInterfaceList to C_MessageDecryptFinal */
    CK_RV (*C_MessageSignInit)(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key);
    CK_RV(*C_SignMessage)
    (CK_SESSION_HANDLE session, void *params, CK_ULONG params_len, CK_BYTE *data, CK_ULONG data_len, CK_BYTE *sig,
     CK_ULONG *sig_len);
    void (*streams[2])(void); /* C_SignMessageBegin, C_SignMessageNext */
    CK_RV (*C_MessageSignFinal)(CK_SESSION_HANDLE session);
};

/* CK_INTERFACE, likewise. */
struct tok_interface {
    const char *name;
    void *functions;
    CK_FLAGS flags;
};
typedef CK_RV tok_get_interface(CK_BYTE *name, CK_VERSION *version, struct tok_interface **out_interface,
                                CK_FLAGS flags);

/* CK_EDDSA_PARAMS of PKCS#11 v3.0, which older headers lack. */
struct tok_eddsa_params {
    CK_BBOOL prehash;
    CK_ULONG context_len;
    CK_BYTE *context;
};

/* CK_SIGN_ADDITIONAL_CONTEXT of PKCS#11 v3.2, likewise, and its CK_HEDGE_TYPE. */
struct tok_sign_context {
    CK_ULONG hedge;
    CK_BYTE *context;
    CK_ULONG context_len;
};
#ifndef CKH_HEDGE_PREFERRED
#define CKH_HEDGE_PREFERRED 0UL
#define CKH_HEDGE_REQUIRED 1UL
#define CKH_DETERMINISTIC_REQUIRED 2UL
#endif

#endif
