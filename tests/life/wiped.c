/* A PIN that a token accepted is in memory as long as there is a context, and not after the last one. Looks at all that
 * this process may write. wiped URI PIN-FILE CONFIGURATION; libcrypto's own context must not
 * have that configuration, since it goes at exit alone. */
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/tap.h"

#define MASK 0x55 /* the PIN that is looked for is not to be found in the looking */

#define LARGEST (1UL << 30) /* a sanitizer's own book-keeping is larger, and takes for ever */

static unsigned char masked[64];
static size_t masked_len;

static void pin_read(const char *path)
{
    int fd = open(path, O_RDONLY);
    unsigned char byte;

    while (fd >= 0 && masked_len < sizeof(masked) && read(fd, &byte, 1) == 1 && byte != '\n') {
        masked[masked_len++] = byte ^ MASK;
    }
    byte = 0;
    close(fd);
}

/* The sanitizers have a word on what may be read, and none on this. */
__attribute__((no_sanitize("address", "thread"))) static int is_here(const volatile unsigned char *at)
{
    for (size_t i = 0; i < masked_len; i++) {
        if ((at[i] ^ MASK) != masked[i]) {
            return 0;
        }
    }
    return 1;
}

static unsigned times_in_memory(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned times = 0;
    unsigned long from;
    unsigned long to;
    char line[512];
    char rights[8];

    while (maps != NULL && fgets(line, sizeof(line), maps) != NULL) {
        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || strncmp(rights, "rw", 2) != 0 ||
            to - from > LARGEST) {
            continue;
        }
        for (unsigned long at = from; at + masked_len <= to; at++) {
            times += (unsigned)is_here((const volatile unsigned char *)at);
        }
    }
    fclose(maps);
    return times;
}

static EVP_PKEY *load(OSSL_LIB_CTX *library, const char *uri)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(uri, library, NULL, NULL, NULL, NULL, NULL, NULL);
    OSSL_STORE_INFO *info = store == NULL ? NULL : OSSL_STORE_load(store);
    EVP_PKEY *key = info == NULL ? NULL : OSSL_STORE_INFO_get1_PKEY(info);

    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    return key;
}

static OSSL_LIB_CTX *library_open(const char *configuration)
{
    OSSL_LIB_CTX *library = OSSL_LIB_CTX_new();

    return library != NULL && OSSL_LIB_CTX_load_config(library, configuration) ? library : NULL;
}

int main(int argc, char **argv)
{
    OSSL_LIB_CTX *first = library_open(argc == 4 ? argv[3] : "");
    OSSL_LIB_CTX *second = library_open(argc == 4 ? argv[3] : "");
    EVP_PKEY *key = argc == 4 && first != NULL ? load(first, argv[1]) : NULL;

    setvbuf(stdout, NULL, _IONBF, 0); /* its buffer is memory, too */
    pin_read(argc == 4 ? argv[2] : "");
    ok(key != NULL && second != NULL && masked_len > 3, "a key is loaded, by a login");
    ok(times_in_memory() > 0, "its PIN is in memory");
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(first);
    ok(times_in_memory() > 0, "and stays while there is another context");
    OSSL_LIB_CTX_free(second);
    ok(times_in_memory() == 0, "after the last one it is nowhere in memory");
    return tap_done();
}
