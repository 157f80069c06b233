# Small programs on libssl's public API, to be copied from. They link nothing of ours.
noinst_PROGRAMS += mtls-server mtls-client
mtls_server_SOURCES = examples/mtls-server.c examples/common.c examples/common.h
mtls_server_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS)
mtls_server_LDADD = $(SSL_LIBS) $(CRYPTO_LIBS)
mtls_client_SOURCES = examples/mtls-client.c examples/common.c examples/common.h
mtls_client_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS)
mtls_client_LDADD = $(SSL_LIBS) $(CRYPTO_LIBS)
EXTRA_DIST += examples/openssl.cnf examples/openssl-tokens.cnf
