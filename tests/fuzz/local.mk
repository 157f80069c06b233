# What reads foreign bytes, given bytes of all kinds. With --enable-fuzz clang's libFuzzer drives each target; without it
# main.c gives each one its seeds, as a part of `make check`. docs/fuzzing.md.
fuzz_common = tests/fuzz/fuzz.h
if !FUZZ
fuzz_common += tests/fuzz/main.c
endif
fuzz_cflags = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(P11KIT_CFLAGS)
fuzz_ldflags = $(AM_LDFLAGS) $(FUZZ_LDFLAGS)
fuzz_safe = tests/fuzz/safe.h tests/fuzz/safe.c
fuzz_safe_ldflags = $(fuzz_ldflags) -Wl,--wrap=trace_set -Wl,--wrap=posix_spawn

fuzz_targets = uri text mech pin settings keyfile unpad conf attrs decoder module tries
fuzz_programs = $(patsubst %,tests/fuzz/%,$(fuzz_targets))
check_PROGRAMS += tests/fuzz/uri tests/fuzz/text tests/fuzz/mech tests/fuzz/pin tests/fuzz/settings tests/fuzz/keyfile \
    tests/fuzz/unpad tests/fuzz/conf tests/fuzz/attrs tests/fuzz/decoder \
    tests/fuzz/module tests/fuzz/tries
TESTS += tests/fuzz/seeds.sh
EXTRA_DIST += tests/fuzz/seeds.sh tests/fuzz/run.sh tests/fuzz/corpus tests/fuzz/dict

tests_fuzz_uri_SOURCES = tests/fuzz/uri.c $(fuzz_common)
tests_fuzz_uri_CFLAGS = $(fuzz_cflags)
tests_fuzz_uri_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_uri_LDADD = libtok.la
tests_fuzz_text_SOURCES = tests/fuzz/text.c $(fuzz_common)
tests_fuzz_text_CFLAGS = $(fuzz_cflags)
tests_fuzz_text_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_text_LDADD = libbase.la
tests_fuzz_mech_SOURCES = tests/fuzz/mech.c $(fuzz_common)
tests_fuzz_mech_CFLAGS = $(fuzz_cflags)
tests_fuzz_mech_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_mech_LDADD = libtok.la
tests_fuzz_pin_SOURCES = tests/fuzz/pin.c $(fuzz_common) $(fuzz_safe)
tests_fuzz_pin_CFLAGS = $(fuzz_cflags)
tests_fuzz_pin_LDFLAGS = $(fuzz_safe_ldflags)
tests_fuzz_pin_LDADD = libtok.la
tests_fuzz_settings_SOURCES = tests/fuzz/settings.c $(fuzz_common) $(fuzz_safe)
tests_fuzz_settings_CFLAGS = $(fuzz_cflags)
tests_fuzz_settings_LDFLAGS = $(fuzz_safe_ldflags)
tests_fuzz_settings_LDADD = libprovider.la $(CRYPTO_LIBS)
tests_fuzz_keyfile_SOURCES = tests/fuzz/keyfile.c $(fuzz_common)
tests_fuzz_keyfile_CFLAGS = $(fuzz_cflags)
tests_fuzz_keyfile_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_keyfile_LDADD = libprovider.la $(CRYPTO_LIBS)
tests_fuzz_unpad_SOURCES = tests/fuzz/unpad.c $(fuzz_common)
tests_fuzz_unpad_CFLAGS = $(fuzz_cflags)
tests_fuzz_unpad_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_unpad_LDADD = libprovider.la $(CRYPTO_LIBS)

fuzz_provider = tests/fuzz/provider.h tests/fuzz/provider.c
tests_fuzz_conf_SOURCES = tests/fuzz/conf.c $(fuzz_common) $(fuzz_safe) $(fuzz_provider)
tests_fuzz_conf_CFLAGS = $(fuzz_cflags)
tests_fuzz_conf_LDFLAGS = $(fuzz_safe_ldflags)
tests_fuzz_conf_LDADD = libprovider.la $(CRYPTO_LIBS)
tests_fuzz_attrs_SOURCES = tests/fuzz/attrs.c $(fuzz_common) $(fuzz_provider)
tests_fuzz_attrs_CFLAGS = $(fuzz_cflags)
tests_fuzz_attrs_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_attrs_LDADD = libprovider.la $(CRYPTO_LIBS)
tests_fuzz_decoder_SOURCES = tests/fuzz/decoder.c $(fuzz_common) $(fuzz_provider) tests/unit/mock.h
tests_fuzz_decoder_CFLAGS = $(fuzz_cflags) -DMOCK_FILE='"$(abs_top_builddir)/tests/unit/.libs/mock.so"'
tests_fuzz_decoder_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_decoder_LDADD = libprovider.la $(CRYPTO_LIBS) -ldl
fuzz_apart = tests/fuzz/apart.h tests/fuzz/apart.c
tests_fuzz_module_SOURCES = tests/fuzz/module.c $(fuzz_common) $(fuzz_provider) $(fuzz_apart) tests/hostile/hostile.h
tests_fuzz_module_CFLAGS = $(fuzz_cflags) -DHOSTILE_FILE='"$(abs_top_builddir)/tests/hostile/.libs/hostile.so"'
tests_fuzz_module_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_module_LDADD = libprovider.la $(CRYPTO_LIBS) -ldl
tests_fuzz_tries_SOURCES = tests/fuzz/tries.c $(fuzz_common) $(fuzz_apart)
tests_fuzz_tries_CFLAGS = $(fuzz_cflags)
tests_fuzz_tries_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_tries_LDADD = libtok.la

# Each target for so many seconds:    make fuzz FUZZ_SECONDS=20 FUZZ_TARGETS="uri pin"
fuzz: $(fuzz_programs) tests/unit/mock.la tests/hostile/hostile.la
	$(AM_TESTS_ENVIRONMENT) FUZZING='$(FUZZING)' FUZZ_SECONDS='$(FUZZ_SECONDS)' \
	    $(SHELL) $(top_srcdir)/tests/fuzz/run.sh $(or $(FUZZ_TARGETS),$(fuzz_targets))
.PHONY: fuzz
