/* Key files as DER: both forms are read, and what is read can be written and is then read as the same. */
#include "fuzz.h"

#include <openssl/err.h>

#include "provider/files/keyfile.h"

typedef enum prov_keyfile_kind (*reader)(struct prov_keyfile *, const char **, const unsigned char *, size_t);

static enum prov_keyfile_kind kind_by(reader read, struct prov_keyfile *out_file, const uint8_t *data, size_t size)
{
    const char *why = NULL;
    enum prov_keyfile_kind kind = read(out_file, &why, data, size);

    HOLDS(ERR_peek_error() == 0);
    HOLDS((kind == PROV_KEYFILE_GOOD) == (out_file->uri != NULL));
    HOLDS((kind == PROV_KEYFILE_BAD) == (why != NULL));
    HOLDS(out_file->uri == NULL || out_file->uri[0] != '\0');
    return kind;
}

/* The URI is a whole string of the file, behind its length; BER may have it in pieces. */
static void stands_in(const uint8_t *data, size_t size, const char *uri)
{
    uint8_t element[1 + 0xff];
    size_t len = strlen(uri);

    if (len <= 0xff && memchr(data, 0x2c, size) == NULL) {
        element[0] = (uint8_t)len;
        memcpy(element + 1, uri, len);
        HOLDS(memmem(data, size, element, 1 + len) != NULL);
    }
}

/* Another writer's DER may be longer than need be; ours is read as ours, and has the same in it. */
static void written_again(const struct prov_keyfile *file)
{
    SCOPED(bytes_end) struct bytes der = { 0 };
    SCOPED(prov_keyfile_end) struct prov_keyfile again = { .uri = NULL };

    HOLDS(prov_keyfile_write(&der, file->uri, file->spki.data, file->spki.len));
    HOLDS(kind_by(prov_keyfile_read, &again, der.data, der.len) == PROV_KEYFILE_GOOD);
    HOLDS(strcmp(again.uri, file->uri) == 0 && strcmp(again.algorithm, file->algorithm) == 0);
    HOLDS(bytes_equal(&again.spki, &file->spki));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED(prov_keyfile_end) struct prov_keyfile ours = { .uri = NULL };
    SCOPED(prov_keyfile_end) struct prov_keyfile peers = { .uri = NULL };
    SCOPED(bytes_end) struct bytes der = { 0 };

    if (kind_by(prov_keyfile_read, &ours, data, size) == PROV_KEYFILE_GOOD) {
        stands_in(data, size, ours.uri);
        written_again(&ours);
    }
    if (kind_by(prov_keyfile_read_peers, &peers, data, size) == PROV_KEYFILE_GOOD) {
        stands_in(data, size, peers.uri);
    }
    (void)prov_keyfile_write(&der, "pkcs11:token=t", data, size); /* as a public half */
    ERR_clear_error();
    return 0;
}
