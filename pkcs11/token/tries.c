#include "pkcs11/token/tries.h"

#include <string.h>

/* What a row's words mean: hashes, 0 for none; AFTER_REFUSAL is 1 when the last answer was one. */
enum word { SENT, ACCEPTED, AFTER_REFUSAL, NEXT, DIED, REFUSED };
#define MOST_REFUSED (SHARED_WORDS - REFUSED) /* the last ones; more than a token forgives */

#define ABOUT_TOKENS 1

/* Who has had the turn for so long hangs. */
#define HANGS_AFTER_US (UINT64_C(2) * 1000 * 1000)

static uint64_t token_hash(struct tok_token *token)
{
    CK_TOKEN_INFO info;
    uint8_t identity[sizeof(info.label) + sizeof(info.serialNumber) + sizeof(info.manufacturerID) + sizeof(info.model)];
    uint8_t *at = identity;

    tok_token_info(token, &info);
    at = mempcpy(at, info.label, sizeof(info.label));
    at = mempcpy(at, info.serialNumber, sizeof(info.serialNumber));
    at = mempcpy(at, info.manufacturerID, sizeof(info.manufacturerID));
    memcpy(at, info.model, sizeof(info.model));
    return shared_hash(ABOUT_TOKENS, identity, sizeof(identity));
}

static uint64_t get(const struct shared_row *row, size_t word)
{
    return atomic_load(&row->words[word]);
}

static void set(struct shared_row *row, size_t word, uint64_t value)
{
    atomic_store(&row->words[word], value);
}

/* The place of the refusal, or MOST_REFUSED. */
static size_t refusal_of(const struct shared_row *row, uint64_t pin)
{
    size_t i = 0;

    while (i < MOST_REFUSED && get(row, REFUSED + i) != pin) {
        i++;
    }
    return i;
}

static void refusals_forget(struct shared_row *row)
{
    for (size_t i = NEXT; i < SHARED_WORDS; i++) {
        set(row, i, 0);
    }
}

static void refusal_keep(struct shared_row *row, uint64_t pin, bool died)
{
    uint64_t at = get(row, NEXT) % MOST_REFUSED;
    uint64_t bit = UINT64_C(1) << at;

    set(row, REFUSED + at, pin);
    set(row, DIED, died ? get(row, DIED) | bit : get(row, DIED) & ~bit);
    set(row, NEXT, at + 1);
}

/* Whoever had the row before died in C_Login. */
static void dead_judge(struct shared_row *row)
{
    uint64_t sent = get(row, SENT);

    if (sent != 0 && sent != get(row, ACCEPTED) && refusal_of(row, sent) == MOST_REFUSED) {
        refusal_keep(row, sent, true);
        set(row, AFTER_REFUSAL, 1);
    }
    set(row, SENT, 0);
}

static struct tok_result refused(const struct shared_row *row, size_t place, const char *name)
{
    if ((get(row, DIED) & UINT64_C(1) << place) != 0) {
        return tok_fail(TOK_CODE_PIN_REFUSED,
                        "a process that sent the PIN from %s died before the token answered, so that it may be wrong; "
                        "it is not tried again until the service is restarted",
                        name);
    }
    return tok_fail(TOK_CODE_PIN_REFUSED, "the PIN from %s was refused before; it is not tried again", name);
}

/* Whoever has the turn hangs (a child that was forked amid a lock of libcrypto's, a module that waits for the network).
 * A PIN that was right before needs no turn: it goes on without. */
static bool may_pass(struct shared_row *row, uint64_t pin)
{
    uint64_t ms;

    (void)shared_row_holder(row, &ms);
    return ms * 1000 >= HANGS_AFTER_US && get(row, ACCEPTED) == pin && refusal_of(row, pin) == MOST_REFUSED;
}

/* Waits for the turn, up to the deadline. */
static struct tok_result turn_take(struct tok_try *try, struct shared_row **out_row, uint64_t about,
                                   uint64_t deadline_us)
{
    for (;;) {
        uint64_t soon_us = clock_us() + HANGS_AFTER_US;
        enum shared_taken taken = shared_row_take(out_row, about, soon_us < deadline_us ? soon_us : deadline_us);
        unsigned process;
        uint64_t ms;

        if (taken != SHARED_BUSY) {
            try->has_turn = true;
            if (taken == SHARED_TAKEN_FROM_DEAD) {
                dead_judge(*out_row);
            }
            return tok_good();
        }
        if (may_pass(*out_row, try->pin)) {
            return tok_good();
        }
        process = shared_row_holder(*out_row, &ms);
        if (clock_us() >= deadline_us) {
            return tok_fail(TOK_CODE_DEADLINE, "process %u has been logging in to this token for %llu ms", process,
                            (unsigned long long)ms);
        }
    }
}

struct tok_result tok_try_begin(struct tok_try *try, struct tok_token *token, const struct secret *pin,
                                const char *name, uint64_t deadline_us)
{
    uint64_t about = token_hash(token);
    struct shared_row *row = NULL;
    size_t place;

    try->pin = shared_hash(about, pin->data, pin->len);
    TOK_TRY(turn_take(try, &row, about, deadline_us));
    try->row = row;
    try->after_refusal = get(row, AFTER_REFUSAL) != 0;
    place = refusal_of(row, try->pin);
    return place < MOST_REFUSED ? refused(row, place, name) : tok_good();
}

/* Which PIN is under way is the business of who has the turn. */
static void sent_set(const struct tok_try *try, uint64_t pin)
{
    if (try->has_turn) {
        set(try->row, SENT, pin);
    }
}

void tok_try_sent(struct tok_try *try)
{
    sent_set(try, try->pin);
}

bool tok_refuses_pin(CK_RV rv)
{
    return rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LEN_RANGE || rv == CKR_PIN_INVALID || rv == CKR_PIN_LOCKED ||
           rv == CKR_PIN_EXPIRED;
}

/* A right PIN leaves the wrong ones wrong: a sibling may still hold one of them that its source has long replaced. One
 * that was right and is refused was changed on the token, perhaps to one of those. */
void tok_try_answered(struct tok_try *try, CK_RV rv)
{
    struct shared_row *row = try->row;

    if (rv == CKR_OK) {
        set(row, ACCEPTED, try->pin);
        set(row, AFTER_REFUSAL, 0);
    } else if (tok_refuses_pin(rv)) {
        if (get(row, ACCEPTED) == try->pin) {
            refusals_forget(row);
            set(row, ACCEPTED, 0);
        }
        refusal_keep(row, try->pin, false);
        set(row, AFTER_REFUSAL, 1);
    }
    sent_set(try, 0);
}

void tok_try_end(struct tok_try *try)
{
    if (try->row != NULL && try->has_turn) {
        shared_row_give(try->row);
    }
    try->row = NULL;
    try->has_turn = false;
}

bool tok_pin_was_refused(struct tok_token *token, const struct secret *pin)
{
    uint64_t about = token_hash(token);

    return refusal_of(shared_row_look(about), shared_hash(about, pin->data, pin->len)) < MOST_REFUSED;
}
