/* What an application does with software keys alone, N times: unused WHAT N FOLDER.
 *
 * WHAT is pem or der (a private key is read), certificate (with its public key), or ec-tls1.3, ec-tls1.2 and so on (a
 * mutual handshake of software keys). FOLDER has what soft_identity of tests/tls/setup.sh makes. */
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "../tls/pair.h"

static const char *folder;

static char *path(char out[300], const char *type, const char *file)
{
    snprintf(out, 300, "%s/%s%s", folder, type, file);
    return out;
}

/* All that a file holds; NULL if it can't be read. */
static BIO *whole(const char *file)
{
    BIO *in = BIO_new_file(file, "rb");
    BIO *out = BIO_new(BIO_s_mem());
    char part[4096];
    int len;

    while (in != NULL && (len = BIO_read(in, part, sizeof(part))) > 0) {
        BIO_write(out, part, len);
    }
    BIO_free(in);
    return out;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct input {
    unsigned char *data;
    long len;
};

static EVP_PKEY *read_pem(const struct input *in)
{
    BIO *bio = BIO_new_mem_buf(in->data, (int)in->len);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

    BIO_free(bio);
    return key;
}

static EVP_PKEY *read_der(const struct input *in)
{
    const unsigned char *at = in->data;

    return d2i_AutoPrivateKey(NULL, &at, in->len);
}

static EVP_PKEY *read_certificate(const struct input *in)
{
    const unsigned char *at = in->data;
    X509 *certificate = d2i_X509(NULL, &at, in->len);
    EVP_PKEY *key = certificate == NULL ? NULL : X509_get_pubkey(certificate);

    X509_free(certificate);
    return key;
}

/* The contents of the first PEM of a file, or the file itself. */
static struct input input_of(const char *file, int decoded)
{
    BIO *in = whole(file);
    struct input out = { NULL, 0 };
    char *name = NULL;
    char *header = NULL;

    if (decoded) {
        PEM_read_bio(in, &name, &header, &out.data, &out.len);
        OPENSSL_free(name);
        OPENSSL_free(header);
    } else {
        char *data;

        out.len = BIO_get_mem_data(in, &data);
        out.data = OPENSSL_memdup(data, (size_t)out.len);
    }
    BIO_free(in);
    return out;
}

static const struct reader {
    const char *what;
    const char *file;
    EVP_PKEY *(*read)(const struct input *in);
} readers[] = {
    { "pem", "ec-soft.key", read_pem },
    { "der", "ec-soft.key", read_der },
    { "certificate", "ec-soft.pem", read_certificate },
    { NULL, NULL, NULL },
};

static int reads(const struct reader *reader, int times)
{
    char file[300];
    struct input in = input_of(path(file, "", reader->file), strcmp(reader->what, "pem") != 0);
    int good = in.len > 0;

    while (times-- > 0 && good) {
        EVP_PKEY *key = reader->read(&in);

        good = key != NULL;
        EVP_PKEY_free(key);
    }
    OPENSSL_free(in.data);
    return good;
}

/* --- handshakes --------------------------------------------------------------------------------------------------- */

static SSL_CTX *end_of(const char *type, int version)
{
    char key[300];
    char chain[300];
    char root[300];

    return context_with(path(key, type, "-soft.key"), path(chain, type, "-soft-chain.pem"), path(root, "", "root.pem"),
                        version);
}

static int shakes(const char *type, int version, int times)
{
    SSL_CTX *server = end_of(type, version);
    SSL_CTX *client = end_of(type, version);
    int good = server != NULL && client != NULL;

    if (good) {
        SSL_CTX_set_verify(server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    while (times-- > 0 && good) {
        good = shake(server, client);
    }
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return good;
}

int main(int argc, char **argv)
{
    char type[16] = "";
    int version = 0;

    if (argc != 4) {
        return 2;
    }
    folder = argv[3];
    for (const struct reader *reader = readers; reader->what != NULL; reader++) {
        if (strcmp(reader->what, argv[1]) == 0) {
            return reads(reader, atoi(argv[2])) ? 0 : 1;
        }
    }
    if (sscanf(argv[1], "%15[a-z0-9]-tls1.%d", type, &version) != 2) {
        return 2;
    }
    return shakes(type, version == 3 ? TLS1_3_VERSION : TLS1_2_VERSION, atoi(argv[2])) ? 0 : 1;
}
