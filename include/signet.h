/* The names that an application, a script or a configuration may rely on. Nothing here needs linking: they are the
 * parameters of a key (EVP_PKEY_get_utf8_string_param and friends) and the labels of files. */
#ifndef SIGNET_H
#define SIGNET_H

/* Parameters of an EVP_PKEY whose private half is on a token. On any other key they do not exist, so that asking for
 * one also tells which kind of key it is. All are read-only. */

/* UTF-8 string: the key's PKCS#11 URI (RFC 7512), without a PIN. Known from load. */
#define SIGNET_PKEY_PARAM_URI "signet-uri"
/* UTF-8 string: the label of the token that holds the key. Known from load by URI; for a key file that names no token,
 * empty until the first operation. */
#define SIGNET_PKEY_PARAM_TOKEN "signet-token"
/* UTF-8 string: the key's own label (CKA_LABEL). As above. */
#define SIGNET_PKEY_PARAM_LABEL "signet-label"
/* Unsigned 64-bit integer: the duration of the last signature or decryption by this key, in microseconds, as seen by
 * the caller; 0 before the first. */
#define SIGNET_PKEY_PARAM_LAST_SIGN_US "signet-last-sign-us"

/* A parameter of OSSL_STORE_open_ex with a PKCS#11 URI. Octet string: a SubjectPublicKeyInfo in DER. Of the private keys
 * that the URI names, the one with this public half is meant, whatever else the token shows of it; one that does not
 * have it is not given out. */
#define SIGNET_STORE_PARAM_PUBLIC_KEY "signet-public-key"

/* Marks a PKCS#8 PrivateKeyInfo as a Signet key file: its privateKey octets hold
 *     SEQUENCE { UTF8String "signet key 1", UTF8String uri, SubjectPublicKeyInfo }
 * and no secret (docs/key-file.md). */
#define SIGNET_KEY_FILE_MAGIC "signet key 1"

#endif
