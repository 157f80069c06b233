# Smartcards: OpenSC through pcscd, with a card that is a program, and a person at a terminal.
check_PROGRAMS += tests/cards/piv-card tests/cards/on-terminal
tests_cards_piv_card_SOURCES = tests/cards/piv-card.c tests/cards/piv.c tests/cards/apdu.h
tests_cards_piv_card_CFLAGS = $(AM_CFLAGS) $(CRYPTO_CFLAGS)
tests_cards_piv_card_LDADD = $(CRYPTO_LIBS)
tests_cards_on_terminal_SOURCES = tests/cards/on-terminal.c
tests_cards_on_terminal_LDADD = -lutil

card_tests = tests/cards/piv.sh tests/cards/person.sh tests/cards/always.sh
TESTS += $(card_tests)
EXTRA_DIST += tests/cards/setup.sh $(card_tests)
