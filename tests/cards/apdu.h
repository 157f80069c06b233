/* What a card gets and gives, as ISO 7816 lays it out, and the files by which a test talks to it. For piv-card.c and
 * piv.c alone. */
#ifndef SIGNET_TESTS_APDU_H
#define SIGNET_TESTS_APDU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LONGEST 4096

struct data {
    uint8_t bytes[LONGEST];
    size_t len;
};

/* One command, put together where it came in a chain of several. */
struct command {
    uint8_t class, ins, p1, p2;
    struct data data;
};

/* Each fails the test where there is no room. */
void put(struct data *data, const void *bytes, size_t len);
void put_byte(struct data *data, uint8_t byte);
/* put_tagged puts a tag of one to three bytes, a length and what it is of. */
void put_tagged(struct data *data, uint32_t tag, const struct data *inner);
/* find_tagged finds a tag of one byte among others; NULL if it is not there. */
const uint8_t *find_tagged(size_t *out_len, const uint8_t *bytes, size_t len, uint8_t tag);

/* piv_start reads the card's folder: keys and certificates by slot (9a.key, 9a.der ...), pin, tries, serial. */
void piv_start(const char *folder);
/* piv_power is what happens where the card is powered or reset: it forgets whom it knew. */
void piv_power(void);
/* piv_answer carries out a command; returns the status word. */
unsigned piv_answer(const struct command *command, struct data *out);

#endif
