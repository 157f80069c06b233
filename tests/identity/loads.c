/* Whether each URI of a listing leads back to its object, in one process, as in a server's:
 *
 *     loads COUNT <URIS
 *
 * COUNT lines are expected. A URI has to give one object, of the type that it says, whose own names are the ones asked
 * for: a module that ignores a name gives several. */
#include <openssl/store.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/tap.h"

static int type_of(const char *uri)
{
    return strstr(uri, "type=private") != NULL ? OSSL_STORE_INFO_PKEY
           : strstr(uri, "type=cert") != NULL  ? OSSL_STORE_INFO_CERT
                                               : OSSL_STORE_INFO_PUBKEY;
}

static int gives_one(const char *uri)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
    int count = 0;

    while (store != NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        count += info == NULL ? 0 : OSSL_STORE_INFO_get_type(info) == type_of(uri) ? 1 : 100;
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return count == 1;
}

int main(int argc, char **argv)
{
    static char line[16384];
    int expected = argc == 2 ? atoi(argv[1]) : 0;
    int count = 0;
    int good = 0;

    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        count++;
        if (gives_one(line)) {
            good++;
        } else {
            fprintf(stderr, "%s\n", line);
            ERR_print_errors_fp(stderr);
        }
        ERR_clear_error();
    }
    ok(count == expected, "%d objects are listed", expected);
    ok(count > 0 && good == count, "each URI leads back to its object");
    return tap_done();
}
