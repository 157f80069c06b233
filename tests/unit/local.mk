# One test for each file of base/ and pkcs11/ that stands alone; these link no libcrypto (tests/unit/walls.sh proves it).
unit_tests = tests/unit/test-bytes tests/unit/test-text tests/unit/test-secret tests/unit/test-ground \
    tests/unit/test-lock tests/unit/test-fork tests/unit/test-trace \
    tests/unit/test-result tests/unit/test-ckr tests/unit/test-uri tests/unit/test-pin tests/unit/test-settings
provider_tests = tests/unit/test-unpad tests/unit/test-keyfile tests/unit/test-config
check_PROGRAMS += $(unit_tests) $(provider_tests)
TESTS += $(unit_tests) $(provider_tests) tests/unit/walls.sh
EXTRA_DIST += tests/unit/walls.sh tests/unit/unit.h tests/unit/child.h

unit_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(P11KIT_CFLAGS)
unit_ldadd = libtok.la $(CMOCKA_LIBS)
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
tests_unit_test_trace_CFLAGS = $(unit_cflags)
tests_unit_test_trace_LDADD = libbase.la $(CMOCKA_LIBS)
tests_unit_test_result_CFLAGS = $(unit_cflags)
tests_unit_test_result_LDADD = $(unit_ldadd)
tests_unit_test_ckr_CFLAGS = $(unit_cflags)
tests_unit_test_ckr_LDADD = $(unit_ldadd)
tests_unit_test_settings_CFLAGS = $(unit_cflags)
tests_unit_test_settings_LDADD = $(unit_ldadd)
tests_unit_test_uri_CFLAGS = $(unit_cflags)
tests_unit_test_uri_LDADD = $(unit_ldadd)
tests_unit_test_pin_CFLAGS = $(unit_cflags)
tests_unit_test_pin_LDADD = $(unit_ldadd)
tests_unit_test_unpad_CFLAGS = $(unit_cflags) $(CRYPTO_CFLAGS)
tests_unit_test_unpad_LDADD = $(provider_ldadd)
tests_unit_test_keyfile_CFLAGS = $(unit_cflags) $(CRYPTO_CFLAGS)
tests_unit_test_keyfile_LDADD = $(provider_ldadd)
tests_unit_test_config_CFLAGS = $(unit_cflags) $(CRYPTO_CFLAGS)
tests_unit_test_config_LDADD = $(provider_ldadd)
