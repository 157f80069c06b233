# A token's key beside the same key in a file.
check_PROGRAMS += tests/same/same
tests_same_same_SOURCES = tests/same/same.c tests/same/side.c tests/same/side.h tests/same/values.c tests/same/values.h tests/lib/tap.h
tests_same_same_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
tests_same_same_LDADD = $(CRYPTO_LIBS)
TESTS += tests/same/same.sh
EXTRA_DIST += tests/same/same.sh

check_PROGRAMS += tests/same/shared
tests_same_shared_SOURCES = tests/same/shared.c tests/lib/tap.h
tests_same_shared_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
tests_same_shared_LDADD = $(CRYPTO_LIBS)
TESTS += tests/same/shared.sh
EXTRA_DIST += tests/same/shared.sh
