/* Removing RSA padding without telling whether it was right: pure functions, constant in time but for public lengths.
 *
 * Who can learn whether a ciphertext of his had good padding can decrypt others (Bleichenbacher 1998). So nothing here
 * fails: a message with bad padding becomes another one, which the sender can't tell from a real one. For
 * provider/asymcipher.c. */
#ifndef SIGNET_PROVIDER_UNPAD_H
#define SIGNET_PROVIDER_UNPAD_H

#include <stddef.h>
#include <stdint.h>

#define UNPAD_TLS_LEN 48 /* a premaster secret, RFC 5246 §7.4.7.1 */

/* unpad_pkcs1 takes the message out of the encoded block em[0..k), k >= 11 (RFC 8017 §7.2.2). If its padding is bad,
 * the message is the last `synthetic_len` bytes of synthetic[0..k), synthetic_len <= k - 11. `out` has room for k.
 * Returns the message's length. */
size_t unpad_pkcs1(uint8_t *out, const uint8_t *em, const uint8_t *synthetic, size_t k, size_t synthetic_len);

/* unpad_tls takes a premaster secret out of em[0..k), k >= 11 + 48. It is `random` if the padding is bad, the length is
 * not 48, or the version in it is neither `client_version` nor (if that is not 0) `negotiated_version`. */
void unpad_tls(uint8_t out[UNPAD_TLS_LEN], const uint8_t *em, size_t k, const uint8_t random[UNPAD_TLS_LEN],
               unsigned client_version, unsigned negotiated_version);

/* unpad_tls_message does the rest of that for a message that a token has unpadded itself. */
void unpad_tls_message(uint8_t out[UNPAD_TLS_LEN], const uint8_t *message, size_t len,
                       const uint8_t random[UNPAD_TLS_LEN], unsigned client_version, unsigned negotiated_version);

/* unpad_length chooses the length of a synthetic message, 0..most, out of 256 random bytes: the last of their 128
 * numbers that fits. */
size_t unpad_length(const uint8_t random[256], size_t most);

#endif
