/* EC keys, beyond what every family has: key agreement. For provider/operations/exchange.c; constant data. */
#ifndef SIGNET_PROVIDER_KEYS_ALG_EC_H
#define SIGNET_PROVIDER_KEYS_ALG_EC_H

#include "pkcs11/result/cryptoki.h"

/* Static ECDH, also on the curves of RFC 7748; the floor below makes the parameters (pkcs11/object/derive.h). */
extern const CK_MECHANISM prov_ec_derive;

#endif
