/* The secret behind implicit rejection of bad RSA padding (provider/operations/unpad.h): drawn once for a process and
 * its children, by the instance that needs it first, and kept to the end. Two workers that drew their own would answer
 * one bad ciphertext differently, and so tell that it is bad: whoever loads a key that decrypts asks for it then. */
#ifndef SIGNET_PROVIDER_CORE_REJECTION_H
#define SIGNET_PROVIDER_CORE_REJECTION_H

#include <stdint.h>

#include "provider/core/context.h"

#define PROV_REJECTION_LEN 32

/* prov_rejection_secret gives it; NULL if it can't be drawn. */
const uint8_t *prov_rejection_secret(const struct prov_ctx *prov);

#endif
