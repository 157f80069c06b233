/* signet key-file: writes the file by which a program loads a key that stays on its token. What it does is what any
 * application does: it loads the key by its URI and writes it as PEM. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "provider/provider.h"
#include "command.h"
#include "provider/conffile.h"

static void usage(FILE *out)
{
    fputs("usage: signet key-file [OPTION]... URI\n\n"
          "Writes a key file for the private key that URI names: pkcs11:token=...;object=...\n"
          "The file holds no secret. It goes wherever a program takes the file of a private key.\n\n"
          "  -o, --output FILE  write it there, not on the terminal\n"
          "  -f, --force        even if FILE exists\n" COMMON_USAGE,
          out);
}

/* The first error is ours where one is; what libcrypto adds behind it says less. */
static int report_first(const char *what)
{
    const char *data = NULL;
    int flags = 0;
    unsigned long code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags);
    const char *reason = ERR_reason_error_string(code);

    fprintf(stderr, "signet: %s: %s\n", what,
            (flags & ERR_TXT_STRING) != 0 && data[0] != '\0' ? data
            : reason != NULL                                 ? reason
                                                             : "unknown error");
    ERR_clear_error();
    return 1;
}

/* Our own code serves as the provider, with the settings of the configuration's section for it, or of the environment.
 */
static OSSL_LIB_CTX *library_open(const struct common_options *options)
{
    const char *name = options->provider != NULL ? options->provider : "signet";
    OSSL_LIB_CTX *library = OSSL_LIB_CTX_new();
    char *file = options->file == NULL ? CONF_get1_default_config_file() : NULL;

    if (library == NULL || !OSSL_PROVIDER_add_builtin(library, name, prov_init)) {
        OPENSSL_free(file);
        OSSL_LIB_CTX_free(library);
        return NULL;
    }
    ERR_set_mark();
    (void)OSSL_LIB_CTX_load_config(library, options->file != NULL ? options->file : file);
    ERR_pop_to_mark();
    OPENSSL_free(file);
    if (OSSL_PROVIDER_load(library, "default") == NULL || OSSL_PROVIDER_load(library, name) == NULL) {
        OSSL_LIB_CTX_free(library);
        return NULL;
    }
    return library;
}

static EVP_PKEY *key_load(OSSL_LIB_CTX *library, const char *uri)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(uri, library, NULL, UI_OpenSSL(), NULL, NULL, NULL, NULL);
    EVP_PKEY *key = NULL;

    if (store != NULL && OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        key = info == NULL ? NULL : OSSL_STORE_INFO_get1_PKEY(info);
        if (key != NULL && !OSSL_STORE_eof(store)) {
            fputs("signet: the URI matches several keys: add object= or id=\n", stderr);
            EVP_PKEY_free(key);
            key = NULL;
            ERR_clear_error();
        } else if (key == NULL) {
            report_first("the key can't be loaded");
        }
        OSSL_STORE_INFO_free(info);
    } else {
        report_first("the URI can't be opened");
    }
    OSSL_STORE_close(store);
    return key;
}

static BIO *output_open(const char *path, bool force)
{
    int fd;

    if (path == NULL) {
        return BIO_new_fp(stdout, BIO_NOCLOSE);
    }
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (force ? O_TRUNC : O_EXCL), 0644);
    if (fd < 0) {
        fprintf(stderr, "signet: %s: %s%s\n", path, strerror(errno), errno == EEXIST ? " (--force overwrites it)" : "");
        return NULL;
    }
    return BIO_new_fd(fd, BIO_CLOSE);
}

static int key_write(EVP_PKEY *key, const char *path, bool force)
{
    BIO *out = output_open(path, force);
    int good;

    if (out == NULL) {
        return 1;
    }
    good = PEM_write_bio_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1 && BIO_flush(out) == 1;
    BIO_free(out);
    return good ? 0 : report_first("the key file can't be written");
}

int key_file_main(int argc, char **argv)
{
    static const struct option known[] = {
        { "output", required_argument, NULL, 'o' },
        { "force", no_argument, NULL, 'f' },
        COMMON_OPTIONS,
        { NULL, 0, NULL, 0 },
    };
    struct common_options options = { NULL, NULL };
    const char *output = NULL;
    OSSL_LIB_CTX *library;
    bool force = false;
    EVP_PKEY *key;
    int status = 1;
    int option;

    while ((option = getopt_long(argc, argv, "o:f", known, NULL)) != -1) {
        if (option == 'o') {
            output = optarg;
        } else if (option == 'f') {
            force = true;
        } else if (!common_option(&options, option, optarg)) {
            usage(option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : EXIT_USAGE;
        }
    }
    if (argc - optind != 1) {
        usage(stderr);
        return EXIT_USAGE;
    }
    library = library_open(&options);
    if (library == NULL) {
        return report_first("the provider can't be started");
    }
    key = key_load(library, argv[optind]);
    if (key != NULL) {
        status = key_write(key, output, force);
    }
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(library);
    return status;
}
