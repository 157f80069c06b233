# All tests print TAP.
LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
SH_LOG_DRIVER = $(LOG_DRIVER)
SH_LOG_COMPILER = $(SHELL)
TEST_EXTENSIONS = .sh
AM_TESTS_ENVIRONMENT = abs_top_srcdir='$(abs_top_srcdir)' abs_top_builddir='$(abs_top_builddir)' \
    SANITIZER='$(SANITIZER)' CC='$(CC)'; \
    ASAN_OPTIONS=allocator_may_return_null=1; \
    export abs_top_srcdir abs_top_builddir SANITIZER CC ASAN_OPTIONS;

check_LTLIBRARIES += tests/token/token-counter.la
tests_token_token_counter_la_SOURCES = tests/token/token-counter.c tests/token/counts.h
tests_token_token_counter_la_CFLAGS = $(AM_CFLAGS) $(P11KIT_CFLAGS)
tests_token_token_counter_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -rpath /nowhere

check_PROGRAMS += tests/token/show-counts
tests_token_show_counts_SOURCES = tests/token/show-counts.c tests/token/counts.h
tests_token_show_counts_CFLAGS = $(AM_CFLAGS) $(P11KIT_CFLAGS)

noinst_PROGRAMS += tests/token/ask-secret
tests_token_ask_secret_SOURCES = tests/token/ask-secret.c
tests_token_ask_secret_CFLAGS = $(AM_CFLAGS) $(P11KIT_CFLAGS)

check_PROGRAMS += tests/token/make-key
tests_token_make_key_SOURCES = tests/token/make-key.c
tests_token_make_key_CFLAGS = $(AM_CFLAGS) $(P11KIT_CFLAGS)
tests_token_make_key_LDADD = -ldl

check_PROGRAMS += tests/tls/handshakes
tests_tls_handshakes_SOURCES = tests/tls/handshakes.c tests/tls/pair.c tests/tls/pair.h tests/lib/tap.h
tests_tls_handshakes_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS)
tests_tls_handshakes_LDADD = $(SSL_LIBS) $(CRYPTO_LIBS)

check_PROGRAMS += tests/tls/order
tests_tls_order_SOURCES = tests/tls/order.c tests/tls/pair.c tests/tls/pair.h tests/lib/tap.h
tests_tls_order_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS)
tests_tls_order_LDADD = $(SSL_LIBS) $(CRYPTO_LIBS)

check_PROGRAMS += tests/tls/calls
tests_tls_calls_SOURCES = tests/tls/calls.c tests/tls/pair.c tests/tls/pair.h tests/lib/tap.h tests/token/counts.h
tests_tls_calls_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS) $(P11KIT_CFLAGS)
tests_tls_calls_LDADD = $(SSL_LIBS) $(CRYPTO_LIBS)

shell_tests = tests/tool/keys.sh tests/tool/types.sh tests/tool/errors.sh tests/tls/handshakes.sh tests/tls/order.sh tests/tls/calls.sh \
    tests/tool/exit.sh tests/tls/programs.sh
TESTS += $(shell_tests)
if !SANITIZED
TESTS += tests/tls/valgrind.sh
endif
EXTRA_DIST += tests/lib tests/tls/setup.sh tests/tls/run.sh tests/tls/valgrind.supp \
    $(shell_tests) tests/tls/valgrind.sh

check_PROGRAMS += tests/bench/overhead
tests_bench_overhead_SOURCES = tests/bench/overhead.c
tests_bench_overhead_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(P11KIT_CFLAGS)
tests_bench_overhead_LDADD = $(CRYPTO_LIBS) -ldl
EXTRA_DIST += tests/bench/overhead.sh

bench: all tests/bench/overhead
	$(AM_TESTS_ENVIRONMENT) $(SHELL) $(top_srcdir)/tests/bench/overhead.sh
.PHONY: bench

include tests/unit/local.mk

# The same suite under the OpenSSL of other Debian releases; needs root.
check-matrix:
	abs_top_srcdir='$(abs_top_srcdir)' bash $(top_srcdir)/tests/check-matrix.sh $(MATRIX)
.PHONY: check-matrix
EXTRA_DIST += tests/check-matrix.sh
