# A Cryptoki whose answers are driven by bytes, in front of the keys that libcrypto plays.
soft_token = tests/token/soft-token.c tests/token/soft-token.h tests/token/soft-keys.c tests/token/soft-sign.c \
    tests/token/functions.h
check_LTLIBRARIES += tests/hostile/hostile.la
tests_hostile_hostile_la_SOURCES = tests/hostile/hostile.c tests/hostile/hostile.h tests/hostile/hostile-module.c \
    $(soft_token)
tests_hostile_hostile_la_CFLAGS = $(AM_CFLAGS) $(P11KIT_CFLAGS) $(CRYPTO_CFLAGS) -DSOFT_ENTRY='"soft_"'
tests_hostile_hostile_la_LIBADD = $(CRYPTO_LIBS)
tests_hostile_hostile_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -rpath /nowhere

check_PROGRAMS += tests/hostile/drive
tests_hostile_drive_SOURCES = tests/hostile/drive.c tests/hostile/life.c tests/hostile/life.h tests/hostile/hostile.h \
    tests/tls/pair.c tests/tls/pair.h
tests_hostile_drive_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS) $(P11KIT_CFLAGS)
tests_hostile_drive_LDADD = $(SSL_LIBS) $(CRYPTO_LIBS) -ldl
TESTS += tests/hostile/sample.sh
EXTRA_DIST += tests/hostile/sample.sh tests/hostile/all.sh tests/hostile/setup.sh

# Every kind of odd answer at each of the first calls, and random ones; HOSTILE_SEED=N repeats a run.
check-hostile: all $(check_PROGRAMS) $(check_LTLIBRARIES)
	$(AM_TESTS_ENVIRONMENT) HOSTILE_SEED='$(HOSTILE_SEED)' HOSTILE_STRIDE='$(HOSTILE_STRIDE)' \
	    HOSTILE_RANDOM='$(HOSTILE_RANDOM)' $(SHELL) $(top_srcdir)/tests/hostile/all.sh
.PHONY: check-hostile
