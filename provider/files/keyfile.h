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

#define PROV_KEYFILE_LABEL "PRIVATE KEY"
#define PROV_KEYFILE_PEERS_LABEL "PKCS#11 PROVIDER URI"

/* What a file names; owned. The peers' form has a URI alone. */
struct prov_keyfile {
    char *uri;
    char algorithm[64]; /* the key's, as numbers: "1.2.840.10045.2.1" */
    struct bytes spki;
};

void prov_keyfile_end(struct prov_keyfile *file);

enum prov_keyfile_kind {
    PROV_KEYFILE_NOT_OURS, /* somebody else's, or no key file at all */
    PROV_KEYFILE_GOOD,
    PROV_KEYFILE_BAD, /* ours, and *out_why says what is wrong with it (static) */
};

/* Both read the one object that is the whole of der[0..len). Nothing is left on OpenSSL's queue. */
enum prov_keyfile_kind prov_keyfile_read(struct prov_keyfile *out_file, const char **out_why, const unsigned char *der,
                                         size_t len);
enum prov_keyfile_kind prov_keyfile_read_peers(struct prov_keyfile *out_file, const char **out_why,
                                               const unsigned char *der, size_t len);
/* prov_keyfile_may_start tells of the start of an object whether it may be of our form; false only where enough of it is
 * there to say that it is not. */
bool prov_keyfile_may_start(const unsigned char *start, size_t len);
/* prov_keyfile_write makes our form; false without memory, or if the URI or the public half makes no sense. */
bool prov_keyfile_write(struct bytes *out_der, const char *uri, const unsigned char *spki, size_t spki_len);

#endif
