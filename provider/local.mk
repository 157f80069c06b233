# OpenSSL's side. `signet.la` is what OpenSSL loads; libprovider.la is the same code for the command and the unit tests.
noinst_LTLIBRARIES += libprovider.la
libprovider_la_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(P11KIT_CFLAGS)
libprovider_la_LIBADD = libtok.la $(CRYPTO_LIBS)
libprovider_la_SOURCES = \
    provider/provider.h provider/provider.c \
    provider/settings/config.h provider/settings/config.c \
    provider/settings/table.h provider/settings/table.c \
    provider/settings/conffile.h provider/settings/conffile.c provider/settings/conffile-pin.c \
    provider/core/context.h provider/core/context.c provider/core/ends.h \
    provider/core/err.h provider/core/err.c \
    provider/core/rejection.h provider/core/rejection.c \
    provider/core/software.h provider/core/software.c \
    provider/keys/family.h provider/keys/variant.h provider/keys/variant.c \
    provider/keys/alg-rsa.h provider/keys/alg-rsa.c provider/keys/alg-ec.h provider/keys/alg-ec.c \
    provider/keys/alg-bytes.h provider/keys/alg-bytes.c provider/keys/alg-edwards.c provider/keys/alg-montgomery.c provider/keys/alg-mldsa.c \
    provider/keys/alg-slhdsa.c \
    provider/keys/key.h provider/keys/key.c \
    provider/keys/prover.h provider/keys/prover.c \
    provider/keys/keymgmt.h provider/keys/keymgmt.c \
    provider/operations/signature.h provider/operations/signature.c provider/operations/signature-parts.h \
    provider/operations/signature-params.c provider/operations/signature-stream.c \
    provider/operations/signing.h provider/operations/signing.c \
    provider/operations/async.h provider/operations/async.c \
    provider/keys/pad.h provider/keys/pad.c \
    provider/operations/asymcipher.h provider/operations/asymcipher.c \
    provider/operations/decryption.h provider/operations/decryption.c \
    provider/operations/encapsulation.h provider/operations/encapsulation.c \
    provider/operations/exchange.h provider/operations/exchange.c \
    provider/operations/unpad.h provider/operations/unpad.c \
    provider/files/store.h provider/files/store.c \
    provider/files/certificates.h provider/files/certificates.c \
    provider/files/prompt.h provider/files/prompt.c \
    provider/files/keyfile.h provider/files/keyfile.c \
    provider/files/decoder.h provider/files/decoder.c \
    provider/files/peek.h provider/files/peek.c \
    provider/files/encoder.h provider/files/encoder.c \
    provider/capabilities.h provider/capabilities.c

signetdir = $(modulesdir)
signet_LTLIBRARIES = signet.la
signet_la_SOURCES = provider/entry.c
signet_la_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(P11KIT_CFLAGS)
signet_la_LIBADD = libprovider.la
signet_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -export-symbols-regex '^OSSL_provider_init$$' \
    -Wl,-z,nodelete -Wl,-z,now $(NO_UNDEFINED)
