# All tests print TAP.
LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
SH_LOG_DRIVER = $(LOG_DRIVER)
SH_LOG_COMPILER = $(SHELL)
TEST_EXTENSIONS = .sh
AM_TESTS_ENVIRONMENT = abs_top_srcdir='$(abs_top_srcdir)' abs_top_builddir='$(abs_top_builddir)' \
    SANITIZER='$(SANITIZER)' CC='$(CC)'; \
    export abs_top_srcdir abs_top_builddir SANITIZER CC;

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

TESTS += tests/tool/keys.sh tests/tool/errors.sh
EXTRA_DIST += tests/lib tests/tool
