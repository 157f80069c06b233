/* Signs N times with a key: sign URI N. Digests have several names, and libssl uses two: one to ask whether the key takes
 * it, another to sign. */
#include <stdlib.h>

#include "../tls/pair.h"

static int sign(EVP_PKEY *key, const char *digest)
{
    static const unsigned char text[130] = { 1 }; /* what a server signs in TLS 1.3 with SHA-256 (RFC 8446 §4.4.3) */
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int good = EVP_DigestSignInit_ex(ctx, NULL, digest, NULL, NULL, key, NULL) == 1 &&
               EVP_DigestSign(ctx, sig, &len, text, sizeof(text)) == 1;

    EVP_MD_CTX_free(ctx);
    return good;
}

int main(int argc, char **argv)
{
    EVP_PKEY *key = argc == 3 ? key_by_name(argv[1]) : NULL;
    int good = key != NULL;

    for (int i = argc == 3 ? atoi(argv[2]) : 0; i > 0 && good; i--) {
        good = sign(key, i % 2 == 0 ? "SHA256" : "SHA2-256");
    }
    EVP_PKEY_free(key);
    return good ? 0 : 1;
}
