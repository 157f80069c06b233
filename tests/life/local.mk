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

check_PROGRAMS += tests/life/wiped
tests_life_wiped_SOURCES = tests/life/wiped.c tests/lib/tap.h
tests_life_wiped_CFLAGS = $(life_cflags)
tests_life_wiped_LDADD = $(life_ldadd)

life_tests = tests/life/contexts.sh \
    tests/life/daemons.sh \
    tests/life/returns.sh \
    tests/life/soak.sh \
    tests/life/keys.sh \
    tests/life/lessons.sh \
    tests/life/limits.sh \
    tests/life/messages.sh \
    tests/life/memory.sh
TESTS += $(life_tests)
EXTRA_DIST += $(life_tests) tests/life/drive.sh

# The provider once more, with every function by which it allocates under the test's control.
frail_functions = malloc calloc reallocarray strdup strndup vasprintf asprintf mmap p11_kit_uri_new p11_kit_uri_format \
    ASN1_item_new ASN1_item_i2d BIO_new_from_core_bio BIO_new_mem_buf BN_bin2bn CRYPTO_memdup ECDSA_SIG_new \
    EVP_KDF_CTX_new EVP_KDF_fetch EVP_KEYMGMT_fetch EVP_MD_fetch EVP_MD_CTX_new EVP_MD_CTX_copy_ex EVP_DigestInit_ex2 \
    EVP_PKEY_dup EVP_PKEY_CTX_dup EVP_PKEY_CTX_new_from_name EVP_PKEY_CTX_new_from_pkey EVP_PKEY_fromdata \
    EVP_PKEY_todata NCONF_new OSSL_ENCODER_CTX_new_for_pkey OSSL_LIB_CTX_new_child OSSL_PARAM_BLD_new \
    OSSL_PARAM_BLD_to_param OSSL_PARAM_dup OSSL_PARAM_merge X509_ALGOR_dup X509_PUBKEY_new X509_SIG_new X509_new_ex \
    d2i_PUBKEY_ex
check_LTLIBRARIES += tests/life/frail.la
tests_life_frail_la_SOURCES = tests/life/frail.c tests/life/frail.h provider/entry.c
tests_life_frail_la_CFLAGS = $(signet_la_CFLAGS)
tests_life_frail_la_LIBADD = libprovider.la
tests_life_frail_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -rpath /nowhere -Wl,-z,nodelete -Wl,-z,now \
    $(patsubst %,-Wl$(comma)--wrap=%,$(frail_functions))
comma = ,

check_PROGRAMS += tests/life/memory
tests_life_memory_SOURCES = tests/life/memory.c tests/life/frail.h tests/tls/pair.c tests/tls/pair.h tests/lib/tap.h \
    $(life_common)
tests_life_memory_CFLAGS = $(life_cflags)
tests_life_memory_LDADD = $(life_ldadd) -ldl

check_PROGRAMS += tests/life/threads
tests_life_threads_SOURCES = tests/life/threads.c tests/tls/pair.c tests/tls/pair.h $(life_common)
tests_life_threads_CFLAGS = $(life_cflags)
tests_life_threads_LDADD = $(life_ldadd)

check_LTLIBRARIES += tests/life/strict.la
tests_life_strict_la_SOURCES = tests/life/strict.c
tests_life_strict_la_CFLAGS = $(AM_CFLAGS) $(P11KIT_CFLAGS)
tests_life_strict_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -rpath /nowhere

check_PROGRAMS += tests/life/soak
tests_life_soak_SOURCES = tests/life/soak.c tests/tls/pair.c tests/tls/pair.h tests/lib/tap.h $(control) $(life_common)
tests_life_soak_CFLAGS = $(life_cflags) $(P11KIT_CFLAGS)
tests_life_soak_LDADD = $(life_ldadd)

# The same for as long as one likes, and 400 forks amid sessions that come and go:    make check-soak SECONDS=60
check-soak: all $(check_PROGRAMS) $(check_LTLIBRARIES)
	$(AM_TESTS_ENVIRONMENT) SOAK_SECONDS='$(SECONDS)' SOAK_CHILDREN=yes $(SHELL) $(top_srcdir)/tests/life/soak.sh
	$(AM_TESTS_ENVIRONMENT) FORKS=400 $(SHELL) $(top_srcdir)/tests/fork/forks.sh
.PHONY: check-soak
