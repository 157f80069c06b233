/* What is known of PINs, in memory that every process of the family can write: an input is a row of steps, some of them
 * what a member does that was broken into (words written, and copied from one place to another, since marks are keyed
 * hashes that no bytes would hit), the others PINs that are sent here. What this process saw refused it does not send,
 * whatever the page says. */
#include "fuzz.h"

#include "apart.h"
#include "base/lock.h"
#include "pkcs11/token/tries.h"

#define PINS 4
#define STEP 4 /* bytes */

static struct shared_row *page; /* the family's; rows of it are found from its first one on */

static _Atomic uint64_t *word_at(uint8_t row, uint8_t word)
{
    return &page[row % SHARED_ROWS].words[word % SHARED_WORDS];
}

/* What this process has seen. */
struct seen {
    bool wrong[PINS];
    int accepted; /* -1: none */
};

static void note(struct seen *seen, unsigned number, enum tok_of_pin answer)
{
    if (answer == TOK_PIN_WRONG && seen->accepted == (int)number) { /* it was changed, perhaps to a wrong one */
        *seen = (struct seen){ .accepted = -1 };
    }
    if (answer == TOK_PIN_WRONG) {
        seen->wrong[number] = true;
    }
    if (answer == TOK_PIN_RIGHT) {
        seen->wrong[number] = false;
        seen->accepted = (int)number;
    }
}

static void send(struct tok_token *token, struct seen *seen, unsigned number, enum tok_of_pin answer)
{
    SCOPED(tok_try_end) struct tok_try try = { .token = NULL };
    SCOPED(secret_end) struct secret pin = { 0 };
    char text[8];
    int len = snprintf(text, sizeof(text), "pin%u", number);
    struct tok_result result;

    HOLDS(secret_set(&pin, text, (size_t)len));
    (void)tok_pin_was_refused(token, &pin);
    result = tok_try_begin(&try, token, &pin, "a test", clock_us());
    if (!tok_ok(&result)) {
        HOLDS(result.code == TOK_CODE_PIN_REFUSED || result.code == TOK_CODE_PIN_UNCLEAR);
        return;
    }
    HOLDS(!seen->wrong[number]);
    tok_try_sent(&try);
    HOLDS(!tok_try_answered(&try, answer) || answer != TOK_PIN_WRONG);
    note(seen, number, answer);
}

static void run(const uint8_t *data, size_t size)
{
    struct tok_token token = { .module = NULL };
    struct seen seen = { .accepted = -1 };
    struct input input = { data, size };

    lock_init(&token.lock);
    memset(&token.info, ' ', sizeof(token.info));
    token.info.flags = 0;
    while (input.left >= STEP) {
        uint8_t what = input_byte(&input);
        uint8_t a = input_byte(&input);
        uint8_t b = input_byte(&input);
        uint8_t c = input_byte(&input);

        if (what % 4 == 0) {
            uint64_t value;

            input_fill(&input, &value, sizeof(value));
            atomic_store(c % 4 == 0 ? &page[a % SHARED_ROWS].name : word_at(a, b), value);
        } else if (what % 4 == 1) {
            atomic_store(word_at(a, b >> 4), *word_at(what >> 2, c >> 4));
        } else {
            send(&token, &seen, a % PINS, (enum tok_of_pin)(b % (TOK_PIN_UNSEEN + 1)));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (page == NULL) {
        page = shared_row_of_family(SHARED_ROWS); /* all are free: the first one */
    }
    memset((void *)page, 0, SHARED_ROWS * sizeof(*page));
    apart(run, data, size);
    return 0;
}
