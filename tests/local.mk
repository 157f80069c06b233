# All tests print TAP.
LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
SH_LOG_DRIVER = $(LOG_DRIVER)
SH_LOG_COMPILER = $(SHELL)
TEST_EXTENSIONS = .sh
AM_TESTS_ENVIRONMENT = abs_top_srcdir='$(abs_top_srcdir)' abs_top_builddir='$(abs_top_builddir)' \
    SANITIZER='$(SANITIZER)' CC='$(CC)' P11KIT_CFLAGS='$(P11KIT_CFLAGS)'; \
    ASAN_OPTIONS=allocator_may_return_null=1; \
    export abs_top_srcdir abs_top_builddir SANITIZER CC P11KIT_CFLAGS ASAN_OPTIONS;

# A Cryptoki in front of any other, that counts and misbehaves.
control = tests/token/control.c tests/token/control.h tests/token/counts.h tests/token/functions.h tests/token/ckr.h
check_LTLIBRARIES += tests/token/token-counter.la
tests_token_token_counter_la_SOURCES = tests/token/token-counter.c tests/token/misbehave.c tests/token/misbehave.h tests/token/instance.c \
    tests/token/instance.h $(control)
tests_token_token_counter_la_CFLAGS = $(AM_CFLAGS) $(P11KIT_CFLAGS)
tests_token_token_counter_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -rpath /nowhere

# Also for `quickstart demo --browser`, so that `make` builds it. Loaded by a browser, which has no sanitizer.
noinst_LTLIBRARIES += tests/token/token-login.la
tests_token_token_login_la_SOURCES = tests/token/token-login.c
tests_token_token_login_la_CFLAGS = -std=gnu11 $(WARN_CFLAGS) $(P11KIT_CFLAGS)
tests_token_token_login_la_LDFLAGS = -module -avoid-version -rpath /nowhere

check_PROGRAMS += tests/token/show-counts tests/token/set-faults
tests_token_show_counts_SOURCES = tests/token/show-counts.c $(control)
tests_token_set_faults_SOURCES = tests/token/set-faults.c $(control)

check_PROGRAMS += tests/token/check-counter
tests_token_check_counter_SOURCES = tests/token/check-counter.c $(control) tests/lib/tap.h
tests_token_check_counter_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(P11KIT_CFLAGS)
tests_token_check_counter_LDADD = $(CRYPTO_LIBS) -ldl

noinst_PROGRAMS += tests/token/ask-secret
tests_token_ask_secret_SOURCES = tests/token/ask-secret.c
tests_token_ask_secret_CFLAGS = $(AM_CFLAGS) $(P11KIT_CFLAGS)

check_LTLIBRARIES += tests/token/poor-token.la
tests_token_poor_token_la_SOURCES = tests/token/poor-token.c
tests_token_poor_token_la_CFLAGS = $(AM_CFLAGS) $(P11KIT_CFLAGS) $(CRYPTO_CFLAGS)
tests_token_poor_token_la_LIBADD = $(CRYPTO_LIBS) -ldl
tests_token_poor_token_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -rpath /nowhere

check_LTLIBRARIES += tests/token/soft-token.la
tests_token_soft_token_la_SOURCES = tests/token/soft-token.c tests/token/soft-token.h tests/token/soft-keys.c \
    tests/token/soft-sign.c tests/token/functions.h
tests_token_soft_token_la_CFLAGS = $(AM_CFLAGS) $(P11KIT_CFLAGS) $(CRYPTO_CFLAGS)
tests_token_soft_token_la_LIBADD = $(CRYPTO_LIBS)
tests_token_soft_token_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -rpath /nowhere

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

check_PROGRAMS += tests/tls/beside
tests_tls_beside_SOURCES = tests/tls/beside.c tests/tls/pair.c tests/tls/pair.h tests/lib/tap.h
tests_tls_beside_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS)
tests_tls_beside_LDADD = $(SSL_LIBS) $(CRYPTO_LIBS)

check_PROGRAMS += tests/tls/calls
tests_tls_calls_SOURCES = tests/tls/calls.c tests/tls/pair.c tests/tls/pair.h tests/lib/tap.h tests/token/counts.h \
    tests/token/functions.h
tests_tls_calls_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS) $(P11KIT_CFLAGS)
tests_tls_calls_LDADD = $(SSL_LIBS) $(CRYPTO_LIBS)

check_PROGRAMS += tests/identity/halves
tests_identity_halves_SOURCES = tests/identity/halves.c tests/lib/tap.h
tests_identity_halves_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(P11KIT_CFLAGS)
tests_identity_halves_LDADD = $(CRYPTO_LIBS)

check_PROGRAMS += tests/identity/loads
tests_identity_loads_SOURCES = tests/identity/loads.c tests/lib/tap.h
tests_identity_loads_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
tests_identity_loads_LDADD = $(CRYPTO_LIBS)

check_PROGRAMS += tests/tls/padding
tests_tls_padding_SOURCES = tests/tls/padding.c tests/tls/pair.c tests/tls/pair.h tests/lib/tap.h tests/token/counts.h \
    tests/token/functions.h tests/token/ckr.h
tests_tls_padding_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS) $(P11KIT_CFLAGS)
tests_tls_padding_LDADD = $(SSL_LIBS) $(CRYPTO_LIBS)

check_PROGRAMS += tests/tls/signed
tests_tls_signed_SOURCES = tests/tls/signed.c tests/tls/pair.c tests/tls/pair.h tests/lib/tap.h
tests_tls_signed_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS)
tests_tls_signed_LDADD = $(SSL_LIBS) $(CRYPTO_LIBS)

check_PROGRAMS += tests/fork/forks
tests_fork_forks_SOURCES = tests/fork/forks.c tests/lib/tap.h tests/token/counts.h tests/token/functions.h
tests_fork_forks_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(P11KIT_CFLAGS)
tests_fork_forks_LDFLAGS = $(AM_LDFLAGS) -rdynamic
tests_fork_forks_LDADD = $(CRYPTO_LIBS)

shell_tests = tests/tool/keys.sh tests/tool/rsa.sh tests/tool/errors.sh tests/tool/advice.sh tests/tool/pins.sh tests/tool/exit.sh tests/tool/types.sh
shell_tests += tests/tls/handshakes.sh tests/tls/order.sh tests/tls/calls.sh tests/tls/padding.sh tests/tls/programs.sh tests/tls/server.sh \
    tests/tls/signed.sh
shell_tests += tests/tls/refusals.sh tests/tls/browser.sh
shell_tests += tests/fork/forks.sh tests/fork/nss.sh
shell_tests += tests/tool/documents.sh tests/tool/poor.sh tests/tool/soft.sh tests/tool/derive.sh tests/tool/fips.sh tests/tool/nss.sh
shell_tests += tests/identity/halves.sh tests/identity/files.sh tests/identity/listing.sh tests/identity/renamed.sh
shell_tests += tests/token/counter.sh
TESTS += $(shell_tests)
if !SANITIZED
TESTS += tests/tls/valgrind.sh tests/bench/instructions.sh tests/bench/costs.sh tests/bench/unused.sh
endif
EXTRA_DIST += tests/lib tests/fork/setup.sh tests/tls/setup.sh tests/tls/run.sh tests/tls/valgrind.supp \
    $(shell_tests) tests/tls/valgrind.sh

check_PROGRAMS += tests/bench/overhead
tests_bench_overhead_SOURCES = tests/bench/overhead.c
tests_bench_overhead_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(P11KIT_CFLAGS)
tests_bench_overhead_LDADD = $(CRYPTO_LIBS) -ldl
check_PROGRAMS += tests/bench/sign
tests_bench_sign_SOURCES = tests/bench/sign.c tests/tls/pair.c tests/tls/pair.h
tests_bench_sign_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS)
tests_bench_sign_LDADD = $(SSL_LIBS) $(CRYPTO_LIBS)
check_PROGRAMS += tests/bench/unused
tests_bench_unused_SOURCES = tests/bench/unused.c tests/tls/pair.c tests/tls/pair.h
tests_bench_unused_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS)
tests_bench_unused_LDADD = $(SSL_LIBS) $(CRYPTO_LIBS)
check_LTLIBRARIES += tests/bench/costs.la
tests_bench_costs_la_SOURCES = tests/bench/costs.c
tests_bench_costs_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -rpath /nowhere
tests_bench_costs_la_LIBADD = -ldl
EXTRA_DIST += tests/bench/overhead.sh tests/bench/instructions.sh tests/bench/costs.sh tests/bench/unused.sh

check_PROGRAMS += tests/bench/padding
tests_bench_padding_SOURCES = tests/bench/padding.c tests/tls/pair.c tests/tls/pair.h tests/token/counts.h tests/token/functions.h
tests_bench_padding_CFLAGS = $(AM_CFLAGS) $(SSL_CFLAGS) $(P11KIT_CFLAGS)
tests_bench_padding_LDADD = $(SSL_LIBS) $(CRYPTO_LIBS) -lm
EXTRA_DIST += tests/bench/padding.sh

bench: all tests/bench/overhead
	$(AM_TESTS_ENVIRONMENT) $(SHELL) $(top_srcdir)/tests/bench/overhead.sh
bench-padding: all tests/bench/padding tests/token/token-counter.la
	$(AM_TESTS_ENVIRONMENT) $(SHELL) $(top_srcdir)/tests/bench/padding.sh
.PHONY: bench bench-padding

include tests/async/local.mk
include tests/replica/local.mk
include tests/life/local.mk
include tests/unit/local.mk
include tests/faults/local.mk
include tests/cards/local.mk
include tests/fuzz/local.mk
include tests/hostile/local.mk
include tests/same/local.mk

# The same suite under the OpenSSL of other Debian releases; needs root.
check-matrix:
	abs_top_srcdir='$(abs_top_srcdir)' DOCS='$(DOCS)' bash $(top_srcdir)/tests/check-matrix.sh $(MATRIX)
.PHONY: check-matrix
EXTRA_DIST += tests/check-matrix.sh tests/matrix

# Real tokens, with the tables of docs/tokens.md. Here, or TOKENS="bookworm trixie sid", which needs root; with
# TOKENS=--write the tables are written.
check-tokens: all $(check_PROGRAMS) $(check_LTLIBRARIES)
	$(AM_TESTS_ENVIRONMENT) bash $(top_srcdir)/tests/check-tokens.sh $(TOKENS)
.PHONY: check-tokens
EXTRA_DIST += tests/check-tokens.sh tests/tokens

# Servers that people run, or some of them: SERVERS="nginx apache"; needs root.
check-servers: all tests/token/make-key
	$(AM_TESTS_ENVIRONMENT) bash $(top_srcdir)/tests/check-servers.sh $(SERVERS)
.PHONY: check-servers
EXTRA_DIST += tests/check-servers.sh tests/servers
