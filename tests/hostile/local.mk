# A Cryptoki whose answers are driven by bytes, in front of the keys that libcrypto plays.
soft_token = tests/token/soft-token.c tests/token/soft-token.h tests/token/soft-keys.c tests/token/soft-sign.c \
    tests/token/functions.h
check_LTLIBRARIES += tests/hostile/hostile.la
tests_hostile_hostile_la_SOURCES = tests/hostile/hostile.c tests/hostile/hostile.h tests/hostile/hostile-module.c \
    $(soft_token)
tests_hostile_hostile_la_CFLAGS = $(AM_CFLAGS) $(P11KIT_CFLAGS) $(CRYPTO_CFLAGS) -DSOFT_ENTRY='"soft_"'
tests_hostile_hostile_la_LIBADD = $(CRYPTO_LIBS)
tests_hostile_hostile_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -rpath /nowhere
