/* Key files: the two forms in which a file names a key on a token. Pure functions over bytes; docs/key-file.md.
 *
 * Ours is a PKCS#8 PrivateKeyInfo whose privateKey octets hold, in place of a secret,
 *     SEQUENCE { UTF8String "signet key 1", UTF8String uri, SubjectPublicKeyInfo }
 * so that everything that reads a software key's file reads it, too. The peers' form is
 *     SEQUENCE { VisibleString "PKCS#11 Provider URI v1.0", UTF8String uri }
 * under a PEM label of its own. For the decoder and the encoder. */
#ifndef SIGNET_PROVIDER_FILES_KEYFILE_H
#define SIGNET_PROVIDER_FILES_KEYFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/bytes.h"

#define KEYFILE_LABEL "PRIVATE KEY"
#define KEYFILE_PEERS_LABEL "PKCS#11 PROVIDER URI"

/* What a file names; owned. The peers' form has a URI alone. */
struct keyfile {
    char *uri;
    char algorithm[64]; /* the key's, as numbers: "1.2.840.10045.2.1" */
    struct bytes spki;
};

void keyfile_end(struct keyfile *file);

enum keyfile_kind {
    KEYFILE_NOT_OURS, /* somebody else's, or no key file at all */
    KEYFILE_GOOD,
    KEYFILE_BAD, /* ours, and *out_why says what is wrong with it (static) */
};

/* Both read the one object that is the whole of der[0..len). Nothing is left on OpenSSL's queue. */
enum keyfile_kind keyfile_read(struct keyfile *out_file, const char **out_why, const unsigned char *der, size_t len);
enum keyfile_kind keyfile_read_peers(struct keyfile *out_file, const char **out_why, const unsigned char *der,
                                     size_t len);
/* keyfile_write makes our form; false without memory, or if the URI or the public half makes no sense. */
bool keyfile_write(struct bytes *out_der, const char *uri, const unsigned char *spki, size_t spki_len);

#endif
