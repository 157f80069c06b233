/* Key files as DER: both forms are read, and what is read can be written and is then read as the same. */
#include "fuzz.h"

#include <openssl/err.h>

#include "provider/files/keyfile.h"

typedef enum keyfile_kind (*reader)(struct keyfile *, const char **, const unsigned char *, size_t);

static enum keyfile_kind kind_by(reader read, struct keyfile *out_file, const uint8_t *data, size_t size)
{
    const char *why = NULL;
    enum keyfile_kind kind = read(out_file, &why, data, size);

    HOLDS(ERR_peek_error() == 0);
    HOLDS((kind == KEYFILE_GOOD) == (out_file->uri != NULL));
    HOLDS((kind == KEYFILE_BAD) == (why != NULL));
    HOLDS(out_file->uri == NULL || out_file->uri[0] != '\0');
    return kind;
}

/* Another writer's DER may be longer than need be; ours is read as ours, and has the same in it. */
static void written_again(const struct keyfile *file)
{
    SCOPED(bytes_end) struct bytes der = { 0 };
    SCOPED(keyfile_end) struct keyfile again = { .uri = NULL };

    HOLDS(keyfile_write(&der, file->uri, file->spki.data, file->spki.len));
    HOLDS(kind_by(keyfile_read, &again, der.data, der.len) == KEYFILE_GOOD);
    HOLDS(strcmp(again.uri, file->uri) == 0 && strcmp(again.algorithm, file->algorithm) == 0);
    HOLDS(bytes_equal(&again.spki, &file->spki));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED(keyfile_end) struct keyfile ours = { .uri = NULL };
    SCOPED(keyfile_end) struct keyfile peers = { .uri = NULL };
    SCOPED(bytes_end) struct bytes der = { 0 };

    if (kind_by(keyfile_read, &ours, data, size) == KEYFILE_GOOD) {
        written_again(&ours);
    }
    (void)kind_by(keyfile_read_peers, &peers, data, size);
    (void)keyfile_write(&der, "pkcs11:token=t", data, size); /* as a public half */
    ERR_clear_error();
    return 0;
}
