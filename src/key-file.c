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
#include <unistd.h>

#include "provider/provider.h"
#include "command.h"
#include "provider/settings/conffile.h"

static void usage(FILE *out)
{
    fputs("usage: signet key-file [OPTION]... URI\n\n"
          "Writes a key file for the private key that URI names: pkcs11:token=...;object=...\n"
          "The file holds no secret. It goes wherever a program takes the file of a private key.\n\n"
          "  --output FILE    write it there, not on the terminal (-o)\n"
          "  --force          even if FILE exists (-f)\n" COMMON_USAGE,
          out);
}

/* Complains with one error of the queue: the first that is the provider's, since what libcrypto puts around it says
 * less; else the first. */
static int report_queue(const char *what, const char *provider)
{
    char text[2048] = "unknown error";
    bool first = true;
    const char *data;
    unsigned long code;
    int flags;

    while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        const char *library = ERR_lib_error_string(code);
        const char *reason = ERR_reason_error_string(code);
        bool ours = library != NULL && strcmp(library, provider) == 0;

        if (first || ours) {
            (void)snprintf(text, sizeof(text), "%s",
                           (flags & ERR_TXT_STRING) != 0 && data[0] != '\0' ? data
                           : reason != NULL                                 ? reason
                                                                            : "unknown error");
        }
        if (ours) {
            break;
        }
        first = false;
    }
    ERR_clear_error();
    tell("%s: %s", what, text);
    return 1;
}

/* Our own code serves as the provider, with the settings of the configuration's section for it, or of the environment.
 */
static OSSL_LIB_CTX *library_open(const struct common_options *options)
{
    const char *name = common_provider(options);
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

static EVP_PKEY *key_load(OSSL_LIB_CTX *library, const char *uri, const char *provider)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(uri, library, NULL, UI_OpenSSL(), NULL, NULL, NULL, NULL);
    EVP_PKEY *key = NULL;

    if (store != NULL && OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        key = info == NULL ? NULL : OSSL_STORE_INFO_get1_PKEY(info);
        if (key != NULL && !OSSL_STORE_eof(store)) {
            tell("the URI matches several keys: add object= or id=");
            EVP_PKEY_free(key);
            key = NULL;
            ERR_clear_error();
        } else if (key == NULL) {
            (void)report_queue("the key can't be loaded", provider);
        }
        OSSL_STORE_INFO_free(info);
    } else {
        (void)report_queue("the URI can't be opened", provider);
    }
    OSSL_STORE_close(store);
    return key;
}

/* A file that could not be written to its end is removed, if it is ours. */
static int save(const char *path, bool force, const char *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (force ? O_TRUNC : O_EXCL), 0644);
    ssize_t written = 0;

    if (fd < 0) {
        tell("%s: %s%s", path, strerror(errno), errno == EEXIST ? " (--force overwrites it)" : "");
        return 1;
    }
    while (len > 0 && (written = write(fd, data, len)) > 0) {
        data += written;
        len -= (size_t)written;
    }
    if (close(fd) != 0 || len > 0) {
        tell("%s: %s", path, strerror(errno));
        if (!force) {
            (void)unlink(path);
        }
        return 1;
    }
    return 0;
}

static int key_write(EVP_PKEY *key, const char *path, bool force, const char *provider)
{
    BIO *pem = BIO_new(BIO_s_mem());
    char *data = NULL;
    long len;
    int status = 0;

    if (pem == NULL || PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL) != 1) {
        BIO_free(pem);
        return report_queue("the key file can't be written", provider);
    }
    len = BIO_get_mem_data(pem, &data);
    if (path != NULL) {
        status = save(path, force, data, (size_t)len);
    } else {
        (void)fwrite(data, 1, (size_t)len, stdout); /* main looks whether that went well */
    }
    BIO_free(pem);
    return status;
}

/* The settings are read as the provider will read them, for a message that libcrypto has no part in. */
static struct tok_result check(const char *text, const struct common_options *options)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    SCOPED(prov_config_end) struct prov_config config = { .rsa_decrypt = 0 };

    TOK_TRY(tok_uri_parse(&uri, text, TOK_URI_FROM_APPLICATION));
    return common_config(&config, options);
}

static int key_file(const char *uri, const struct common_options *options, const char *path, bool force)
{
    struct tok_result result = check(uri, options);
    OSSL_LIB_CTX *library;
    EVP_PKEY *key;
    int status = 1;

    if (!tok_ok(&result)) {
        return report(&result);
    }
    library = library_open(options);
    if (library == NULL) {
        return report_queue("the provider can't be started", common_provider(options));
    }
    key = key_load(library, uri, common_provider(options));
    if (key != NULL) {
        status = key_write(key, path, force, common_provider(options));
    }
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(library);
    return status;
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
    bool force = false;
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
    return key_file(argv[optind], &options, output, force);
}
