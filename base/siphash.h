/* SipHash-2-4: a short keyed hash (Aumasson and Bernstein, 2012), 128 bits of key to 64 bits.
 *
 * Who does not know the key can neither tell what was hashed nor find two texts of one hash; for more than that it is
 * too short. Here it compares PINs and names within a family of processes (base/shared.h), which needs no library of
 * cryptography. For everybody; owns nothing, and leaves nothing of what it read on the stack. */
#ifndef SIGNET_BASE_SIPHASH_H
#define SIGNET_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define SIPHASH_KEY_SIZE 16

uint64_t siphash(const uint8_t key[SIPHASH_KEY_SIZE], const void *data, size_t len);

#endif
