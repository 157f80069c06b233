#include "provider/files/peek.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <string.h>

#include "provider/files/keyfile.h"

#define BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

/* Up to the line behind the first label, which is copied, too. False if there is none. */
static bool read_head(char label[128], char line[128], const struct prov_ctx *prov, OSSL_CORE_BIO *input)
{
    static const char begin[] = "-----BEGIN ";

    while (prov->bio_gets(input, line, 128) > 0) {
        if (strncmp(line, begin, strlen(begin)) == 0) {
            char *end = strstr(strcpy(label, line + strlen(begin)), "-----");

            if (end != NULL) {
                *end = '\0';
            }
            return end != NULL && prov->bio_gets(input, line, 128) > 0;
        }
    }
    return false;
}

bool prov_peek_may_be_ours(const struct prov_ctx *prov, OSSL_CORE_BIO *input)
{
    char label[128];
    char line[128];
    unsigned char start[96];
    int from = prov->bio_gets == NULL || prov->bio_ctrl == NULL ? -1
                                                                : prov->bio_ctrl(input, BIO_C_FILE_TELL, 0, NULL);
    bool may = true;
    int len;

    if (from < 0) {
        return true; /* there is no way back */
    }
    if (!read_head(label, line, prov, input)) {
        may = false;
    } else if (strcmp(label, PROV_KEYFILE_LABEL) == 0) {
        len = EVP_DecodeBlock(start, (const unsigned char *)line, (int)(strspn(line, BASE64) / 4 * 4));
        may = strchr(line, ':') != NULL || len < 0 || prov_keyfile_may_start(start, (size_t)len);
    } else {
        may = strcmp(label, PROV_KEYFILE_PEERS_LABEL) == 0;
    }
    (void)prov->bio_ctrl(input, BIO_C_FILE_SEEK, from, NULL);
    return may;
}
