# OpenSSL's side. `signet.la` is what OpenSSL loads; libprovider.la is the same code for the command and the unit tests.
noinst_LTLIBRARIES += libprovider.la
libprovider_la_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(P11KIT_CFLAGS)
libprovider_la_LIBADD = libtok.la $(CRYPTO_LIBS)
libprovider_la_SOURCES = \
    provider/provider.h provider/provider.c \
    provider/config.h provider/config.c \
    provider/rows.h provider/rows.c \
    provider/conffile.h provider/conffile.c \
    provider/err.h provider/err.c \
    provider/software.h provider/software.c \
    provider/variant.h provider/alg_rsa.c provider/alg_ec.c \
    provider/alg_bytes.h provider/alg_bytes.c provider/alg_edwards.c provider/alg_montgomery.c provider/alg_mldsa.c \
    provider/alg_slhdsa.c \
    provider/key.h provider/key.c \
    provider/keymgmt.h provider/keymgmt.c \
    provider/signature.h provider/signature.c \
    provider/signing.h provider/signing.c \
    provider/async.h provider/async.c \
    provider/pad.h provider/pad.c \
    provider/asymcipher.h provider/asymcipher.c \
    provider/decryption.h provider/decryption.c \
    provider/exchange.h provider/exchange.c \
    provider/unpad.h provider/unpad.c \
    provider/store.h provider/store.c \
    provider/prompt.h provider/prompt.c \
    provider/keyfile.h provider/keyfile.c \
    provider/decoder.h provider/decoder.c \
    provider/encoder.h provider/encoder.c \
    provider/capabilities.h provider/capabilities.c

signetdir = $(modulesdir)
signet_LTLIBRARIES = signet.la
signet_la_SOURCES = provider/entry.c
signet_la_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(P11KIT_CFLAGS)
signet_la_LIBADD = libprovider.la
signet_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared -export-symbols-regex '^OSSL_provider_init$$' \
    -Wl,-z,nodelete -Wl,-z,now -Wl,-z,defs
