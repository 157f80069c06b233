#include "values.h"

#include <stdlib.h>
#include <string.h>

#define LONG_TEXT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define TOO_LONG LONG_TEXT LONG_TEXT LONG_TEXT LONG_TEXT

const struct value values[] = {
    { "digest", 's', "SHA1" },
    { "digest", 's', "SHA2-256" },
    { "digest", 's', "SHA256" },
    { "digest", 's', "SHA384" },
    { "digest", 's', "SHA512" },
    { "digest", 's', "MD5" },
    { "digest", 's', "SHA3-256" },
    { "digest", 's', "SHA512-256" },
    { "digest", 's', "SHAKE256" },
    { "digest", 's', "SHA3-256" },
    { "digest", 's', "SHA2-512/256" },
    { "digest", 's', "SM3" },
    { "properties", 's', "provider=default" },
    { "properties", 's', "provider=nobody" },
    { "properties", 's', "?fips=yes" },
    { "pad-mode", 's', "pkcs1" },
    { "pad-mode", 's', "pss" },
    { "pad-mode", 's', "none" },
    { "pad-mode", 's', "oaep" },
    { "pad-mode", 's', "x931" },
    { "pad-mode", 'i', "1" },
    { "pad-mode", 'i', "3" },
    { "pad-mode", 'i', "4" },
    { "pad-mode", 'i', "5" },
    { "pad-mode", 'i', "6" },
    { "pad-mode", 'i', "7" },
    { "mgf1-digest", 's', "SHA1" },
    { "mgf1-digest", 's', "SHA256" },
    { "mgf1-digest", 's', "SHA384" },
    { "mgf1-digest", 's', "SHA3-256" },
    { "mgf1-properties", 's', "provider=default" },
    { "mgf1-properties", 's', "provider=nobody" },
    { "saltlen", 's', "digest" },
    { "saltlen", 's', "max" },
    { "saltlen", 's', "auto" },
    { "saltlen", 's', "auto-digestmax" },
    { "saltlen", 's', "20" },
    { "saltlen", 'i', "-1" },
    { "saltlen", 'i', "-2" },
    { "saltlen", 'i', "-3" },
    { "saltlen", 'i', "-4" },
    { "saltlen", 'i', "-5" },
    { "saltlen", 'i', "20" },
    { "saltlen", 'i', "48" },
    { "saltlen", 'i', "94" },
    { "saltlen", 'i', "120" },
    { "digest-size", 'z', "32" },
    { "digest-size", 'z', "48" },
    { "nonce-type", 'u', "0" },
    { "nonce-type", 'u', "1" },
    { "nonce-type", 'u', "2" },
    { "instance", 's', "Ed25519" },
    { "instance", 's', "Ed25519ctx" },
    { "instance", 's', "Ed25519ph" },
    { "instance", 's', "Ed448" },
    { "instance", 's', "Ed448ph" },
    { "instance", 's', "ED25519PH" },
    { "context-string", 'o', "a context" },
    { "context-string", 'o', TOO_LONG },
    { "message-encoding", 'i', "0" },
    { "message-encoding", 'i', "1" },
    { "deterministic", 'i', "0" },
    { "deterministic", 'i', "1" },
    { "mu", 'i', "0" },
    { "mu", 'i', "1" },
    { "test-entropy", 'o', "0123456789abcdef0123456789abcdef" },
    { "tls-version", 'i', "772" },
    { "kdf-type", 's', "X963KDF" },
    { "kdf-digest", 's', "SHA256" },
    { "kdf-outlen", 'z', "48" },
    { "kdf-ukm", 'o', "ukm" },
    { "ecdh-cofactor-mode", 'i', "-1" },
    { "ecdh-cofactor-mode", 'i', "0" },
    { "ecdh-cofactor-mode", 'i', "1" },
    { "ecdh-cofactor-mode", 'i', "2" },
    { "oaep-label", 'o', "label" },
    { "point-format", 's', "compressed" },
    { "point-format", 's', "uncompressed" },
    { "point-format", 's', "hybrid" },
    { "encoding", 's', "explicit" },
    { "encoding", 's', "named_curve" },
    { "include-public", 'i', "0" },
    { "include-public", 'i', "1" },
    { "group-check", 's', "named" },
    { "use-cofactor-flag", 'i', "0" },
    { "use-cofactor-flag", 'i', "1" },
    { NULL, 's', "nonsense" },
    { NULL, 's', "" },
    { NULL, 'i', "-7" },
    { NULL, 'i', "0" },
    { NULL, 'i', "1" },
    { NULL, 'u', "4000000000" },
    { NULL, 'o', "xyz" },
    { NULL, 'o', "" },
    { NULL, 0, NULL },
};

const struct difference differences[] = {
    { NULL, NULL, NULL, "nonce-type", NULL, "no mechanism of ECDSA says where its nonce comes from" },
    { NULL, NULL, NULL, "kat", NULL, "likewise; it is for tests with known answers" },
    { NULL, NULL, NULL, "mu", NULL, "no mechanism of ML-DSA takes the hash of a message that was made elsewhere" },
    { NULL, NULL, NULL, "message-encoding", NULL, "mechanisms of ML-DSA and SLH-DSA encode the message themselves" },
    { NULL, NULL, NULL, "test-entropy", NULL, "a token has its own random numbers" },
    { NULL, NULL, NULL, "pad-mode", " x931 5 ", "no mechanism pads by X9.31 after hashing elsewhere" },
    { NULL, NULL, "RSA-PSS", "digest", " MD5-SHA1 SHA512-256 SHA2-512/256 SM3 ",
      "no parameters of PSS name it, and the key allows no mechanism but that" },
    { NULL, NULL, "ED25519", "instance", " Ed448 Ed448ph ",
      "libcrypto takes the other curve's, and signs what nobody verifies" },
    { NULL, NULL, "ED448", "instance", " Ed25519 Ed25519ctx Ed25519ph ED25519PH ", "likewise" },
    { NULL, "sign", "ED25519", "instance", " Ed25519ph ED25519PH ",
      "no mechanism takes a digest that was made elsewhere" },
    { NULL, "sign", "ED448", "instance", " Ed448ph ", "likewise" },
    { "SoftHSM", NULL, "ED25519", "instance", " Ed25519ph ED25519PH Ed25519ctx ",
      "SoftHSM 2.6 takes EdDSA's parameters and signs without them, which is found" },
    { "SoftHSM", NULL, "ED448", "instance", " Ed448ph ", "likewise" },
    { "SoftHSM", NULL, "ED448", "context-string", " a context nonsense -7 0 1 4000000000 xyz ", "likewise" },
    { NULL, NULL, "EC", "encoded-pub-key", NULL, "a key on a token is what it is" },
    { NULL, NULL, "EC", "pub", NULL, "likewise" },
    { NULL, NULL, "X25519", "encoded-pub-key", NULL, "likewise" },
    { NULL, NULL, "X448", "encoded-pub-key", NULL, "likewise" },
    { .why = NULL },
};

int value_param(OSSL_PARAM *out, const char *name, const struct value *value, long long *room)
{
    switch (value->kind) {
    case 's':
        *out = OSSL_PARAM_construct_utf8_string(name, (char *)value->text, 0);
        return 1;
    case 'o':
        *out = OSSL_PARAM_construct_octet_string(name, (char *)value->text, strlen(value->text));
        return 1;
    case 'i':
        *(int *)room = atoi(value->text);
        *out = OSSL_PARAM_construct_int(name, (int *)room);
        return 1;
    case 'u':
        *(unsigned *)room = (unsigned)strtoul(value->text, NULL, 10);
        *out = OSSL_PARAM_construct_uint(name, (unsigned *)room);
        return 1;
    default:
        *(size_t *)room = strtoul(value->text, NULL, 10);
        *out = OSSL_PARAM_construct_size_t(name, (size_t *)room);
        return 1;
    }
}
