# Small programs on libssl's public API, to be copied from. They link nothing of ours.
noinst_PROGRAMS += mtls-server mtls-client
mtls_shared = examples/common.c examples/common.h examples/flow.c examples/flow.h examples/messages.c \
    examples/messages.h examples/options.c examples/options.h examples/refusal.c examples/refusal.h examples/report.c \
    examples/report.h
mtls_server_SOURCES = examples/mtls-server.c examples/server-options.c examples/server-options.h examples/page.c \
    examples/page.h examples/serve-async.c examples/serve-async.h examples/events.c examples/events.h $(mtls_shared)
mtls_server_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS) $(JANSSON_CFLAGS)
mtls_server_LDADD = $(SSL_LIBS) $(CRYPTO_LIBS) $(JANSSON_LIBS) -lpthread
mtls_client_SOURCES = examples/mtls-client.c examples/client-options.c examples/client-options.h examples/load.c examples/load.h \
    examples/events.c examples/events.h $(mtls_shared)
mtls_client_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS) $(JANSSON_CFLAGS)
mtls_client_LDADD = $(SSL_LIBS) $(CRYPTO_LIBS) $(JANSSON_LIBS)
EXTRA_DIST += examples/openssl.cnf examples/openssl-tokens.cnf examples/nginx.conf examples/apache.conf examples/haproxy.cfg \
    examples/stunnel.conf examples/postgresql.conf
