# Every function x every CKR; what `make check` runs of it takes seconds, the whole minutes.
check_PROGRAMS += tests/faults/faults
tests_faults_faults_SOURCES = tests/faults/faults.c tests/faults/case.c tests/faults/case.h tests/faults/app.c \
    tests/faults/app.h $(control)
tests_faults_faults_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(P11KIT_CFLAGS)
tests_faults_faults_LDADD = libtok.la $(CRYPTO_LIBS)
check_PROGRAMS += tests/faults/figures
tests_faults_figures_SOURCES = tests/faults/figures.c tests/faults/app.c tests/faults/app.h tests/lib/tap.h $(control)
tests_faults_figures_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
tests_faults_figures_LDADD = $(CRYPTO_LIBS)
check_PROGRAMS += tests/faults/many
tests_faults_many_SOURCES = tests/faults/many.c tests/faults/app.c tests/faults/app.h
tests_faults_many_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(P11KIT_CFLAGS)
tests_faults_many_LDADD = $(CRYPTO_LIBS) -ldl
TESTS += tests/faults/run.sh tests/faults/figures.sh
EXTRA_DIST += tests/faults/run.sh tests/faults/figures.sh tests/faults/all.sh tests/faults/many.sh \
    tests/faults/setup.sh

check-faults: all $(check_PROGRAMS) $(check_LTLIBRARIES)
	$(AM_TESTS_ENVIRONMENT) $(SHELL) $(top_srcdir)/tests/faults/all.sh
.PHONY: check-faults
