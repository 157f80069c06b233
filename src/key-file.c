/* signet key-file: writes the file by which a program loads a key that stays on its token. What it does is what any
 * application does: it loads the key by its URI and writes it as PEM. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "command.h"
#include "signet.h"

static void usage(FILE *out)
{
    fputs("usage: signet key-file [OPTION]... URI\n\n"
          "Writes a key file for the private key that URI names: pkcs11:token=...;object=...\n"
          "The file holds no secret. It goes wherever a program takes the file of a private key.\n\n"
          "  --certificate FILE\n"
          "                   write that of the key whose certificate this is, whatever the token shows (PEM or DER)\n"
          "  --public-key FILE\n"
          "                   likewise, of the key that has this public half\n"
          "  --output FILE    write it there, not on the terminal (-o)\n"
          "  --force          even if FILE exists (-f)\n" COMMON_USAGE,
          out);
}

/* Complains with one error of the queue: the first that is the provider's, since what libcrypto puts around it says
 * less; else the first. Returns the provider's reason, or 0. */
static int report_reason(const char *what, const char *provider)
{
    char text[2048] = "unknown error";
    bool first = true;
    int reason_of_ours = 0;
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
            reason_of_ours = ERR_GET_REASON(code);
            break;
        }
        first = false;
    }
    ERR_clear_error();
    tell("%s: %s", what, text);
    return reason_of_ours;
}

static int report_queue(const char *what, const char *provider)
{
    (void)report_reason(what, provider);
    return 1;
}

/* The public half that was given, as a SubjectPublicKeyInfo. */
struct half {
    const char *file; /* NULL: none was given */
    bool certified;   /* it is a certificate's */
    unsigned char *der;
    int len;
};

static void half_end(struct half *half)
{
    OPENSSL_free(half->der);
}

static int nobody_is_asked(char *buffer, int size, int writing, void *arg)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static EVP_PKEY *certified_key(BIO *in)
{
    X509 *certificate = PEM_read_bio_X509(in, NULL, nobody_is_asked, NULL);
    EVP_PKEY *key = NULL;

    if (certificate == NULL && BIO_seek(in, 0) >= 0) {
        certificate = d2i_X509_bio(in, NULL);
    }
    if (certificate != NULL) {
        key = X509_get_pubkey(certificate);
    }
    X509_free(certificate);
    return key;
}

static EVP_PKEY *public_key(BIO *in)
{
    EVP_PKEY *key = PEM_read_bio_PUBKEY(in, NULL, nobody_is_asked, NULL);

    return key != NULL || BIO_seek(in, 0) < 0 ? key : d2i_PUBKEY_bio(in, NULL);
}

/* Read by libcrypto as it is, without any provider of ours. */
static bool half_read(struct half *half)
{
    BIO *in;
    EVP_PKEY *key;

    if (half->file == NULL) {
        return true;
    }
    in = BIO_new_file(half->file, "r");
    if (in == NULL) {
        tell("%s: %s", half->file, strerror(errno));
        ERR_clear_error();
        return false;
    }
    key = half->certified ? certified_key(in) : public_key(in);
    half->len = key == NULL ? -1 : i2d_PUBKEY(key, &half->der);
    EVP_PKEY_free(key);
    BIO_free(in);
    ERR_clear_error();
    if (half->len <= 0) {
        tell("%s: no %s in PEM or DER is there", half->file, half->certified ? "certificate" : "public key");
    }
    return half->len > 0;
}

/* As ssh-keygen prints it, but of the SubjectPublicKeyInfo, in hexadecimal digits: as `openssl pkey -pubout -outform DER
 * | openssl sha256` does. */
static void fingerprint(char out[2 * EVP_MAX_MD_SIZE + 1], const unsigned char *der, int len)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned hash_len = 0;
    struct text text = text_over(out, 2 * EVP_MAX_MD_SIZE + 1);

    out[0] = '\0';
    if (EVP_Digest(der, (size_t)len, hash, &hash_len, EVP_sha256(), NULL) == 1) {
        for (unsigned i = 0; i < hash_len; i++) {
            text_printf(&text, "%02x", hash[i]);
        }
    }
}

static OSSL_STORE_CTX *store_open(OSSL_LIB_CTX *library, const char *uri, const struct half *half)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(SIGNET_STORE_PARAM_PUBLIC_KEY, half->der, (size_t)half->len),
        OSSL_PARAM_construct_end(),
    };
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(uri, library, NULL, UI_OpenSSL(), NULL,
                                               half->file != NULL ? params : NULL, NULL, NULL);

    if (store != NULL && !OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY)) {
        OSSL_STORE_close(store);
        store = NULL;
    }
    return store;
}

static EVP_PKEY *key_load(OSSL_LIB_CTX *library, const char *uri, const struct half *half, const char *provider,
                          bool *out_other_key)
{
    OSSL_STORE_CTX *store = store_open(library, uri, half);
    OSSL_STORE_INFO *info;
    EVP_PKEY *key;

    if (store == NULL) {
        (void)report_queue("the URI can't be opened", provider);
        return NULL;
    }
    info = OSSL_STORE_load(store);
    key = info == NULL ? NULL : OSSL_STORE_INFO_get1_PKEY(info);
    if (key != NULL && !OSSL_STORE_eof(store)) {
        tell("the URI matches several keys: add object= or id=%s",
             half->file == NULL ? ", or give its --certificate or --public-key" : "");
        EVP_PKEY_free(key);
        key = NULL;
        ERR_clear_error();
    } else if (key == NULL) {
        *out_other_key = report_reason("the key can't be loaded", provider) == TOK_CODE_OTHER_KEY;
    }
    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    return key;
}

/* The key is not the one that was meant: which it is, as far as the token shows it. */
static void tell_both(OSSL_LIB_CTX *library, const char *uri, const struct half *half)
{
    static const struct half none;
    OSSL_STORE_CTX *store = store_open(library, uri, &none);
    OSSL_STORE_INFO *info = store == NULL ? NULL : OSSL_STORE_load(store);
    EVP_PKEY *key = info == NULL ? NULL : OSSL_STORE_INFO_get1_PKEY(info);
    char text[2 * EVP_MAX_MD_SIZE + 1];
    unsigned char *der = NULL;
    int len = key == NULL ? 0 : i2d_PUBKEY(key, &der);

    fingerprint(text, half->der, half->len);
    tell("the public key of %s has the SHA-256 fingerprint %s", half->file, text);
    if (len > 0) {
        fingerprint(text, der, len);
        tell("that of the token's key is %s", text);
    }
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    ERR_clear_error();
}

static bool write_all(int fd, const char *data, size_t len)
{
    ssize_t written = 0;

    while (len > 0 && (written = write(fd, data, len)) > 0) {
        data += written;
        len -= (size_t)written;
    }
    return len == 0;
}

/* To what is no file, as /dev/stdout is none, it is written as it is. */
static bool is_no_file(const char *path)
{
    struct stat seen;

    return stat(path, &seen) == 0 && !S_ISREG(seen.st_mode);
}

/* A copy of standard output or error, where the path leads there: /dev/stdout is a link that leads to a file where the
 * output is redirected to one, and must not be replaced. -1: it does not. */
static int standard_copy(const char *path)
{
    struct stat asked;
    struct stat seen;

    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO && stat(path, &asked) == 0; fd++) {
        if (fstat(fd, &seen) == 0 && seen.st_dev == asked.st_dev && seen.st_ino == asked.st_ino) {
            return fcntl(fd, F_DUPFD_CLOEXEC, 0);
        }
    }
    return -1;
}

/* A file is there as a whole or not at all: it is written beside and renamed, so that neither a full disk nor a symbolic
 * link loses anything. Without `force`, none may be there. */
static int save(const char *path, bool force, const char *data, size_t len)
{
    SCOPED(scoped_free) char *beside = NULL;
    int fd = force ? standard_copy(path) : -1;
    bool direct = !force || fd >= 0 || is_no_file(path);
    mode_t mask = umask(0);
    bool good;

    (void)umask(mask);
    if (asprintf(&beside, "%s.XXXXXX", path) < 0) {
        beside = NULL;
        tell("there is no memory");
        if (fd >= 0) {
            (void)close(fd);
        }
        return 1;
    }
    if (fd < 0) {
        fd = direct ? open(path, O_WRONLY | O_CLOEXEC | (force ? 0 : O_CREAT | O_EXCL), 0644)
                    : mkostemp(beside, O_CLOEXEC);
    }
    if (fd < 0) {
        tell("%s: %s%s", path, strerror(errno), errno == EEXIST ? " (--force overwrites it)" : "");
        return 1;
    }
    good = write_all(fd, data, len) && (direct || fchmod(fd, 0644 & ~mask) == 0);
    good = close(fd) == 0 && good && (direct || rename(beside, path) == 0);
    if (!good) {
        tell("%s: %s", path, strerror(errno));
        if (!force || !direct) {
            (void)unlink(direct ? path : beside);
        }
    }
    return good ? 0 : 1;
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

static int key_file(const char *uri, const struct common_options *options, const struct half *half, const char *path,
                    bool force)
{
    struct tok_result result = check(uri, options);
    OSSL_LIB_CTX *library;
    EVP_PKEY *key;
    bool is_other_key = false;
    int status = 1;

    if (!tok_ok(&result)) {
        return report(&result);
    }
    library = common_library(options, NULL);
    if (library == NULL) {
        return report_queue("the provider can't be started", common_provider(options));
    }
    key = key_load(library, uri, half, common_provider(options), &is_other_key);
    if (key != NULL) {
        status = key_write(key, path, force, common_provider(options));
    } else if (is_other_key) { /* a look after another failure might ask for a PIN again, and cost a try */
        tell_both(library, uri, half);
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
        { "certificate", required_argument, NULL, 'c' },
        { "public-key", required_argument, NULL, 'k' },
        COMMON_OPTIONS,
        { NULL, 0, NULL, 0 },
    };
    struct common_options options = { NULL, NULL };
    SCOPED(half_end) struct half half = { .file = NULL };
    const char *output = NULL;
    bool force = false;
    int option;

    while ((option = getopt_long(argc, argv, "o:f", known, NULL)) != -1) {
        if (option == 'o') {
            output = optarg;
        } else if (option == 'f') {
            force = true;
        } else if (option == 'c' || option == 'k') {
            if (half.file != NULL) {
                tell("one --certificate or --public-key says which key is meant");
                return EXIT_USAGE;
            }
            half.certified = option == 'c';
            half.file = optarg;
        } else if (!common_option(&options, option, optarg)) {
            usage(option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : EXIT_USAGE;
        }
    }
    if (argc - optind != 1) {
        usage(stderr);
        return EXIT_USAGE;
    }
    return half_read(&half) ? key_file(argv[optind], &options, &half, output, force) : 1;
}
