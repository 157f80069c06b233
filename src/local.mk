# The command. It links the provider's code, so that it is the provider's settings, errors and key files that it shows.
bin_PROGRAMS += signet
signet_SOURCES = src/main.c src/common.c src/list.c src/list-print.c src/list-print.h src/key-file.c src/command.h
signet_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/src
signet_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS) $(P11KIT_CFLAGS)
signet_LDADD = libprovider.la $(CRYPTO_LIBS)

TESTS += tests/tool/command.sh
EXTRA_DIST += tests/tool/command.sh
