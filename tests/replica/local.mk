# One key on several tokens.
replica_common = tests/tls/pair.c tests/tls/pair.h $(control)

check_PROGRAMS += tests/replica/replicas tests/replica/rate
tests_replica_replicas_SOURCES = tests/replica/replicas.c tests/async/flight.c tests/async/flight.h $(replica_common) tests/lib/tap.h
tests_replica_replicas_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS) $(P11KIT_CFLAGS)
tests_replica_replicas_LDADD = $(SSL_LIBS) $(CRYPTO_LIBS)
tests_replica_rate_SOURCES = tests/replica/rate.c $(replica_common)
tests_replica_rate_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS) $(P11KIT_CFLAGS)
tests_replica_rate_LDADD = $(SSL_LIBS) $(CRYPTO_LIBS)

replica_tests = tests/replica/replicas.sh tests/replica/modules.sh
TESTS += $(replica_tests)

# Prints how much two and four tokens do beside one, and handshakes while one of three is killed and returns.
bench-replicas: all tests/replica/rate $(check_LTLIBRARIES)
	$(AM_TESTS_ENVIRONMENT) $(SHELL) $(top_srcdir)/tests/replica/bench.sh
.PHONY: bench-replicas
EXTRA_DIST += tests/replica/setup.sh tests/replica/bench.sh $(replica_tests)
