# The life of a process that holds keys: contexts, reloads, daemons that die, limits that are reached.
life_cflags = $(AM_CFLAGS) $(SSL_CFLAGS)
life_ldadd = $(SSL_LIBS) $(CRYPTO_LIBS)
life_common = tests/life/life.c tests/life/life.h

check_PROGRAMS += tests/life/driver tests/life/contexts
tests_life_driver_SOURCES = tests/life/driver.c tests/tls/pair.c tests/tls/pair.h $(life_common)
tests_life_driver_CFLAGS = $(life_cflags)
tests_life_driver_LDADD = $(life_ldadd)
tests_life_contexts_SOURCES = tests/life/contexts.c tests/lib/tap.h $(life_common)
tests_life_contexts_CFLAGS = $(life_cflags)
tests_life_contexts_LDADD = $(life_ldadd)

life_tests = tests/life/contexts.sh tests/life/keys.sh
TESTS += $(life_tests)
EXTRA_DIST += $(life_tests) tests/life/drive.sh
