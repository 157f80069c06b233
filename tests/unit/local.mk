# One test for each file of base/ and pkcs11/; these link no libcrypto (tests/unit/walls.sh proves it).
unit_tests = tests/unit/test-bytes tests/unit/test-text tests/unit/test-secret tests/unit/test-ground \
    tests/unit/test-lock tests/unit/test-fork tests/unit/test-complain tests/unit/test-siphash tests/unit/test-shared tests/unit/test-trace \
    tests/unit/test-result tests/unit/test-breaker tests/unit/test-ckr tests/unit/test-uri \
    tests/unit/test-pin tests/unit/test-settings
# Those of the rooms that call a module have a mock to call.
mock_tests = tests/unit/test-call tests/unit/test-module tests/unit/test-registry tests/unit/test-token \
    tests/unit/test-session tests/unit/test-quirks tests/unit/test-child tests/unit/test-tries tests/unit/test-login tests/unit/test-recover tests/unit/test-attr tests/unit/test-object \
    tests/unit/test-find tests/unit/test-key tests/unit/test-mech
provider_tests = tests/unit/test-unpad tests/unit/test-pad tests/unit/test-alg-ec tests/unit/test-keyfile tests/unit/test-config tests/unit/test-err
check_PROGRAMS += $(unit_tests) $(mock_tests) $(provider_tests)
TESTS += $(unit_tests) $(mock_tests) $(provider_tests) tests/unit/walls.sh
EXTRA_DIST += tests/unit/walls.sh tests/unit/unit.h tests/unit/child.h tests/unit/mock-use.h

unit_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(P11KIT_CFLAGS)
unit_ldadd = libtok.la $(CMOCKA_LIBS)
mock_cflags = $(unit_cflags) -DMOCK_FILE='"$(abs_top_builddir)/tests/unit/.libs/mock.so"'
provider_ldadd = libprovider.la $(CMOCKA_LIBS) $(CRYPTO_LIBS)

tests_unit_test_bytes_CFLAGS = $(unit_cflags)
tests_unit_test_bytes_LDADD = libbase.la $(CMOCKA_LIBS)
tests_unit_test_text_CFLAGS = $(unit_cflags)
tests_unit_test_text_LDADD = libbase.la $(CMOCKA_LIBS)
tests_unit_test_secret_CFLAGS = $(unit_cflags)
tests_unit_test_secret_LDADD = libbase.la $(CMOCKA_LIBS)
tests_unit_test_ground_CFLAGS = $(unit_cflags)
tests_unit_test_ground_LDADD = libbase.la $(CMOCKA_LIBS)
tests_unit_test_lock_CFLAGS = $(unit_cflags)
tests_unit_test_lock_LDADD = libbase.la $(CMOCKA_LIBS)
tests_unit_test_fork_CFLAGS = $(unit_cflags)
tests_unit_test_fork_LDADD = libbase.la $(CMOCKA_LIBS)
tests_unit_test_complain_CFLAGS = $(unit_cflags)
tests_unit_test_complain_LDADD = libbase.la $(CMOCKA_LIBS)
tests_unit_test_siphash_CFLAGS = $(unit_cflags)
tests_unit_test_siphash_LDADD = libbase.la $(CMOCKA_LIBS)
tests_unit_test_shared_CFLAGS = $(unit_cflags)
tests_unit_test_shared_LDADD = libbase.la $(CMOCKA_LIBS)
tests_unit_test_trace_CFLAGS = $(unit_cflags)
tests_unit_test_trace_LDADD = libbase.la $(CMOCKA_LIBS)
tests_unit_test_result_CFLAGS = $(unit_cflags)
tests_unit_test_result_LDADD = $(unit_ldadd)
tests_unit_test_breaker_CFLAGS = $(unit_cflags)
tests_unit_test_breaker_LDADD = $(unit_ldadd)
tests_unit_test_ckr_CFLAGS = $(unit_cflags)
tests_unit_test_ckr_LDADD = $(unit_ldadd)
tests_unit_test_settings_CFLAGS = $(unit_cflags)
tests_unit_test_settings_LDADD = $(unit_ldadd)
tests_unit_test_mech_CFLAGS = $(mock_cflags)
tests_unit_test_mech_LDADD = $(unit_ldadd)
tests_unit_test_uri_CFLAGS = $(unit_cflags)
tests_unit_test_uri_LDADD = $(unit_ldadd)
tests_unit_test_pin_CFLAGS = $(unit_cflags)
tests_unit_test_pin_LDADD = $(unit_ldadd)
tests_unit_test_pad_CFLAGS = $(unit_cflags) $(CRYPTO_CFLAGS)
tests_unit_test_pad_LDADD = $(provider_ldadd)
tests_unit_test_unpad_CFLAGS = $(unit_cflags) $(CRYPTO_CFLAGS)
tests_unit_test_unpad_LDADD = $(provider_ldadd)
tests_unit_test_alg_ec_CFLAGS = $(unit_cflags) $(CRYPTO_CFLAGS)
tests_unit_test_alg_ec_LDADD = $(provider_ldadd)
tests_unit_test_keyfile_CFLAGS = $(unit_cflags) $(CRYPTO_CFLAGS)
tests_unit_test_keyfile_LDADD = $(provider_ldadd)
tests_unit_test_config_CFLAGS = $(unit_cflags) $(CRYPTO_CFLAGS)
tests_unit_test_config_LDADD = $(provider_ldadd)
tests_unit_test_err_CFLAGS = $(unit_cflags) $(CRYPTO_CFLAGS)
tests_unit_test_err_LDADD = $(provider_ldadd)

check_LTLIBRARIES += tests/unit/mock.la
tests_unit_mock_la_SOURCES = tests/unit/mock.c tests/unit/mock.h
tests_unit_mock_la_CFLAGS = $(AM_CFLAGS) $(P11KIT_CFLAGS)
tests_unit_mock_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -rpath /nowhere
tests_unit_test_call_CFLAGS = $(mock_cflags)
tests_unit_test_call_LDADD = $(unit_ldadd)
tests_unit_test_module_CFLAGS = $(mock_cflags)
tests_unit_test_module_LDADD = $(unit_ldadd)
tests_unit_test_registry_CFLAGS = $(mock_cflags)
tests_unit_test_registry_LDADD = $(unit_ldadd)
tests_unit_test_token_CFLAGS = $(mock_cflags)
tests_unit_test_token_LDADD = $(unit_ldadd)
tests_unit_test_session_CFLAGS = $(mock_cflags)
tests_unit_test_session_LDADD = $(unit_ldadd)
tests_unit_test_child_CFLAGS = $(mock_cflags)
tests_unit_test_child_LDADD = $(unit_ldadd)
tests_unit_test_quirks_CFLAGS = $(mock_cflags)
tests_unit_test_quirks_LDADD = $(unit_ldadd)
tests_unit_test_tries_CFLAGS = $(mock_cflags)
tests_unit_test_tries_LDADD = $(unit_ldadd)
tests_unit_test_login_CFLAGS = $(mock_cflags)
tests_unit_test_login_LDADD = $(unit_ldadd)
tests_unit_test_recover_CFLAGS = $(mock_cflags)
tests_unit_test_recover_LDADD = $(unit_ldadd)
tests_unit_test_attr_CFLAGS = $(mock_cflags)
tests_unit_test_attr_LDADD = $(unit_ldadd)
tests_unit_test_object_CFLAGS = $(mock_cflags)
tests_unit_test_object_LDADD = $(unit_ldadd)
tests_unit_test_find_CFLAGS = $(mock_cflags)
tests_unit_test_find_LDADD = $(unit_ldadd)
tests_unit_test_key_CFLAGS = $(mock_cflags)
tests_unit_test_key_LDADD = $(unit_ldadd)
