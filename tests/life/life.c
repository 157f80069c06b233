#include "life.h"

#include <dirent.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void (*before_verifying)(void);

/* NULL for keys that take the whole message. */
static const char *digest_of(EVP_PKEY *key)
{
    char name[32] = "";
    int answer = EVP_PKEY_get_default_digest_name(key, name, sizeof(name));

    return answer == 2 && strcmp(name, "UNDEF") == 0 ? NULL : "SHA256";
}

static int verifies(EVP_PKEY *key, const unsigned char *sig, size_t len, const unsigned char *text, size_t text_len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int good = ctx != NULL && EVP_DigestVerifyInit_ex(ctx, NULL, digest_of(key), NULL, NULL, key, NULL) == 1 &&
               EVP_DigestVerify(ctx, sig, len, text, text_len) == 1;

    EVP_MD_CTX_free(ctx);
    return good;
}

enum outcome sign_with(EVP_PKEY *key)
{
    static const unsigned char text[] = "a message";
    unsigned char sig[5000]; /* of ML-DSA-87: 4627 */
    size_t len = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int made = ctx != NULL && EVP_DigestSignInit_ex(ctx, NULL, digest_of(key), NULL, NULL, key, NULL) == 1 &&
               EVP_DigestSign(ctx, sig, &len, text, sizeof(text)) == 1;

    EVP_MD_CTX_free(ctx);
    if (!made) {
        return REFUSED;
    }
    if (before_verifying != NULL) {
        before_verifying();
    }
    return verifies(key, sig, len, text, sizeof(text)) ? SIGNED : WRONG;
}

const char *first_reason(char *out, size_t size)
{
    const char *data = "";
    int flags = 0;
    unsigned long error = ERR_get_error_all(NULL, NULL, NULL, &data, &flags);
    const char *reason = error == 0 ? "no reason on the queue" : ERR_reason_error_string(error);

    snprintf(out, size, "%s: %s", reason != NULL ? reason : "?", (flags & ERR_TXT_STRING) != 0 ? data : "");
    for (char *at = out; *at != '\0'; at++) {
        *at = *at == '\n' ? ' ' : *at;
    }
    ERR_clear_error();
    return out;
}

unsigned descriptors_open(void)
{
    DIR *list = opendir("/proc/self/fd");
    unsigned count = 0;

    while (list != NULL && readdir(list) != NULL) {
        count++;
    }
    if (list != NULL) {
        closedir(list);
    }
    return count < 3 ? 0 : count - 3; /* ".", ".." and the folder itself */
}

long resident_kib(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long size = 0;
    long resident = 0;

    if (file == NULL || fscanf(file, "%ld %ld", &size, &resident) != 2) {
        resident = 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}
