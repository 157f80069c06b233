# Signatures inside ASYNC jobs: many handshakes in one thread.
async_cflags = $(AM_CFLAGS) $(SSL_CFLAGS) $(P11KIT_CFLAGS)
async_ldadd = $(SSL_LIBS) $(CRYPTO_LIBS)
async_common = tests/async/flight.c tests/async/flight.h tests/tls/pair.c tests/tls/pair.h

check_PROGRAMS += tests/async/jobs
tests_async_jobs_SOURCES = tests/async/jobs.c $(async_common) tests/lib/tap.h $(control)
tests_async_jobs_CFLAGS = $(async_cflags)
tests_async_jobs_LDADD = $(async_ldadd)

check_PROGRAMS += tests/async/kills
tests_async_kills_SOURCES = tests/async/kills.c $(async_common) tests/lib/tap.h $(control)
tests_async_kills_CFLAGS = $(async_cflags)
tests_async_kills_LDADD = $(async_ldadd)

check_PROGRAMS += tests/async/bench
tests_async_bench_SOURCES = tests/async/bench.c $(async_common) $(control)
tests_async_bench_CFLAGS = $(async_cflags)
tests_async_bench_LDADD = $(async_ldadd)

# Writes docs/performance.md and its plot: some 15 minutes on a machine that does nothing else.
bench-async: all $(check_PROGRAMS) $(check_LTLIBRARIES)
	$(AM_TESTS_ENVIRONMENT) $(SHELL) $(top_srcdir)/tests/async/report.sh bench-async.tsv
.PHONY: bench-async

async_tests = tests/async/jobs.sh tests/async/kills.sh tests/async/programs.sh
TESTS += $(async_tests)

# HAProxy, whose rates are compared: on a machine that has nothing else to do.
check-async: all $(check_PROGRAMS) $(check_LTLIBRARIES)
	$(AM_TESTS_ENVIRONMENT) $(SHELL) $(top_srcdir)/tests/async/haproxy.sh
.PHONY: check-async

# 10,000 connections killed while the token signs, and 2,500 with RSA key transport: two minutes.
check-kills: all $(check_PROGRAMS) $(check_LTLIBRARIES)
	KILLS=10000; export KILLS; $(AM_TESTS_ENVIRONMENT) $(SHELL) $(top_srcdir)/tests/async/kills.sh
.PHONY: check-kills
EXTRA_DIST += $(async_tests) tests/async/haproxy.sh tests/async/bench.sh tests/async/report.sh tests/async/plot.awk \
    tests/async/table.awk
