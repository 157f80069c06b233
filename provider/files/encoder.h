/* Encoders: what may be written of a key.
 *
 * The "private key" of a key on a token is its key file, which holds no secret; as text it is a name and the public
 * half. Software keys that came to us are written by the others' encoders, encrypted where that was asked. Public
 * halves are the others' to export, but for those of EC, whose point has a form. For provider/provider.c, which makes
 * the algorithm table. */
#ifndef SIGNET_PROVIDER_FILES_ENCODER_H
#define SIGNET_PROVIDER_FILES_ENCODER_H

#include "provider/files/decoder.h"

extern const struct prov_coder_row prov_encoders[]; /* without functions: the end */

#endif
