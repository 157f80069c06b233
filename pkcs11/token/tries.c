#include "pkcs11/token/tries.h"

#include <string.h>

/* What a row's words are: marks, 0 for none, but for the last three before AGAINST. */
enum word {
    ACCEPTED,      /* the PIN that was, last */
    AFTER_REFUSAL, /* of the token: the last answer was one */
    SENT,          /* the PIN that is on its way. The family's alone */
    DOUBTED_US,    /* since when the family calls refused what was accepted here. The process's own, as is the next */
    VOUCHED,       /* so many unclear answers were forgiven a PIN that only the family says was accepted */
    NEXT,          /* where the next mark goes */
    AGAINST,       /* from here on: what speaks against PINs */
};
#define MOST_AGAINST (SHARED_WORDS - AGAINST) /* more than a token forgives */

/* What a mark says: the first number of its hash, after those that others use. */
enum says { NOTHING = 0, RIGHT = 0x100, REFUSAL, WRONG, UNCLEAR, UNANSWERED, CUT_SHORT };

#define ABOUT_TOKENS 1

/* Who has had the turn for so long hangs. */
#define HANGS_AFTER_US (UINT64_C(2) * 1000 * 1000)
/* So long the family is believed against what this process has seen. */
#define BELIEVED_US (UINT64_C(60) * 1000 * 1000)
#define MOST_VOUCHED 3

/* --- marks -------------------------------------------------------------------------------------------------------- */

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

/* A mark copied to another token's row, or to another place, says nothing there. */
static uint64_t mark(const struct tok_try *try, enum says says)
{
    const uint64_t about[] = { try->about, says == REFUSAL ? 0 : try->pin };

    return shared_hash(says, about, sizeof(about));
}

static uint64_t get(const struct shared_row *row, size_t word)
{
    return atomic_load(&row->words[word]);
}

static void set(struct shared_row *row, size_t word, uint64_t value)
{
    atomic_store(&row->words[word], value);
}

static bool has(const struct shared_row *row, uint64_t what)
{
    size_t i = AGAINST;

    while (i < SHARED_WORDS && get(row, i) != what) {
        i++;
    }
    return i < SHARED_WORDS;
}

static void keep(struct shared_row *row, uint64_t what)
{
    uint64_t at = get(row, NEXT) % MOST_AGAINST;

    if (!has(row, what)) {
        set(row, AGAINST + at, what);
        set(row, NEXT, at + 1);
    }
}

static void drop(struct shared_row *row, uint64_t what)
{
    for (size_t i = AGAINST; i < SHARED_WORDS; i++) {
        (void)atomic_compare_exchange_strong(&row->words[i], &(uint64_t){ what }, 0);
    }
}

static void drop_all(struct shared_row *row)
{
    for (size_t i = NEXT; i < SHARED_WORDS; i++) {
        set(row, i, 0);
    }
}

/* --- what is known ------------------------------------------------------------------------------------------------ */

static struct tok_try try_of(struct tok_token *token, const struct secret *pin)
{
    uint64_t about = token_hash(token);

    return (struct tok_try){ .token = token,
                             .family = shared_row_of_family(about),
                             .own = shared_row_of_process(about),
                             .about = about,
                             .pin = shared_hash(about, pin->data, pin->len) };
}

static bool accepted_in(const struct shared_row *row, const struct tok_try *try)
{
    return get(row, ACCEPTED) == mark(try, RIGHT);
}

static bool was_accepted(const struct tok_try *try)
{
    return accepted_in(try->own, try) || accepted_in(try->family, try);
}

static enum says against(const struct shared_row *row, const struct tok_try *try)
{
    static const enum says all[] = { WRONG, UNCLEAR, UNANSWERED };
    size_t i = 0;

    while (i < COUNT_OF(all) && !has(row, mark(try, all[i]))) {
        i++;
    }
    return i < COUNT_OF(all) ? all[i] : NOTHING;
}

static bool token_saw_wrong_pin(struct tok_token *token)
{
    LOCKED(&token->lock);
    return (token->info.flags & (CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED)) != 0;
}

/* The family calls refused what was accepted here: somebody set another PIN on the token, and one try told it to all;
 * or it was forged, to keep us out. */
static bool is_believed(const struct tok_try *try)
{
    uint64_t now = clock_us();
    uint64_t since = get(try->own, DOUBTED_US);

    if (since == 0) {
        LOCKED(&try->token->lock);
        set(try->own, DOUBTED_US, now);
        try->token->info_fresh = false; /* its flags tell, by the next look */
        return true;
    }
    return now < since + BELIEVED_US || token_saw_wrong_pin(try->token);
}

/* What keeps the PIN from being sent. */
static enum says refusal_of(const struct tok_try *try)
{
    enum says seen = against(try->own, try);
    enum says claimed;

    if (seen != NOTHING) {
        return seen;
    }
    claimed = against(try->family, try);
    if (claimed == NOTHING || !accepted_in(try->own, try)) {
        return claimed;
    }
    return claimed == WRONG && is_believed(try) ? WRONG : NOTHING;
}

static struct tok_result refused(enum says why, const char *name)
{
    switch (why) {
    case NOTHING:
        return tok_good();
    case UNANSWERED:
        return tok_fail(TOK_CODE_PIN_REFUSED,
                        "a process that sent the PIN from %s died before the token answered, so that it may be wrong; "
                        "it is not tried again until the service is restarted",
                        name);
    case UNCLEAR:
        return tok_fail(TOK_CODE_PIN_UNCLEAR,
                        "the token has answered the PIN from %s with an error that may mean that it is wrong; it is "
                        "not tried again until its source gives another one, or the service is restarted",
                        name);
    default:
        return tok_fail(TOK_CODE_PIN_REFUSED, "the PIN from %s was refused before; it is not tried again", name);
    }
}

bool tok_pin_was_refused(struct tok_token *token, const struct secret *pin)
{
    struct tok_try try = try_of(token, pin);

    return refusal_of(&try) != NOTHING;
}

/* --- the turn ----------------------------------------------------------------------------------------------------- */

/* Whoever has the turn hangs (a child that was forked amid a lock of libcrypto's, a module that waits for the network).
 * A PIN that was right before needs no turn: it goes on without. */
static bool may_pass(const struct tok_try *try, uint64_t waited_us)
{
    return waited_us >= HANGS_AFTER_US && was_accepted(try) && refusal_of(try) == NOTHING;
}

static struct tok_result turn_is_kept(const struct tok_try *try, uint64_t waited_us)
{
    unsigned process = shared_turn_holder(try->about);
    unsigned long long ms = waited_us / 1000;

    return process == 0
               ? tok_fail(TOK_CODE_DEADLINE,
                          "another process is logging in to this token, and has not ended within %llu ms", ms)
               : tok_fail(TOK_CODE_DEADLINE, "process %u is logging in to this token, and has not ended within %llu ms",
                          process, ms);
}

/* Waits for the turn, up to the deadline. */
static struct tok_result turn_take(struct tok_try *try, enum shared_turn *out_turn, uint64_t deadline_us)
{
    uint64_t began_us = clock_us();

    for (;;) {
        uint64_t now = clock_us();
        uint64_t soon_us = now + HANGS_AFTER_US;

        *out_turn = shared_turn_take(try->about, soon_us < deadline_us ? soon_us : deadline_us);
        now = clock_us();
        if (*out_turn != SHARED_BUSY) {
            try->has_turn = true;
            return tok_good();
        }
        if (may_pass(try, now - began_us)) {
            return tok_good();
        }
        if (now >= deadline_us) {
            return turn_is_kept(try, now - began_us);
        }
    }
}

/* Without the kernel's word on other processes: one of them may have sent a PIN, and not have died of it. */
static void sent_wait(const struct tok_try *try, uint64_t deadline_us)
{
    uint64_t until = clock_us() + HANGS_AFTER_US;

    until = until < deadline_us ? until : deadline_us;
    while (get(try->family, SENT) != 0 && clock_us() < until) {
        clock_sleep_us(10 * 1000);
    }
}

/* Whoever had the turn before died in C_Login, and left the mark that says so. */
static void dead_judge(const struct tok_try *try)
{
    uint64_t sent = get(try->family, SENT);

    if (sent != 0) {
        keep(try->family, sent);
        set(try->family, AFTER_REFUSAL, mark(try, REFUSAL));
        set(try->family, SENT, 0);
    }
}

struct tok_result tok_try_begin(struct tok_try *try, struct tok_token *token, const struct secret *pin,
                                const char *name, uint64_t deadline_us)
{
    uint64_t refusal;
    enum shared_turn turn;

    *try = try_of(token, pin);
    TOK_TRY(turn_take(try, &turn, deadline_us));
    if (turn == SHARED_TURN_ALONE) {
        sent_wait(try, deadline_us);
    }
    if (try->has_turn) {
        dead_judge(try);
    }
    refusal = mark(try, REFUSAL);
    try->after_refusal = get(try->family, AFTER_REFUSAL) == refusal || get(try->own, AFTER_REFUSAL) == refusal;
    return refused(refusal_of(try), name);
}

/* --- answers ------------------------------------------------------------------------------------------------------ */

/* Of a PIN that was right before it needs no answer to know what to do with it. */
void tok_try_sent(struct tok_try *try)
{
    if (try->has_turn && !was_accepted(try)) {
        set(try->family, SENT, mark(try, UNANSWERED));
    }
}

static void both_set(struct tok_try *try, enum word word, uint64_t value)
{
    set(try->own, word, value);
    set(try->family, word, value);
}

static void both_keep(struct tok_try *try, enum says says)
{
    keep(try->own, mark(try, says));
    keep(try->family, mark(try, says));
}

/* It leaves the wrong ones wrong: a sibling may still hold one of them that its source has long replaced. */
static void is_right(struct tok_try *try)
{
    static const enum says all[] = { WRONG, UNCLEAR, UNANSWERED, CUT_SHORT };

    for (size_t i = 0; i < COUNT_OF(all); i++) {
        drop(try->own, mark(try, all[i]));
        drop(try->family, mark(try, all[i]));
    }
    both_set(try, ACCEPTED, mark(try, RIGHT));
    both_set(try, AFTER_REFUSAL, 0);
    set(try->own, DOUBTED_US, 0);
    set(try->own, VOUCHED, 0);
}

/* One that was right and is refused was changed on the token, perhaps to one of those that were wrong. */
static void is_wrong(struct tok_try *try)
{
    struct shared_row *rows[] = { try->own, try->family };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (accepted_in(rows[i], try)) {
            drop_all(rows[i]);
            set(rows[i], ACCEPTED, 0);
        }
    }
    both_keep(try, WRONG);
}

/* True: another time may be tried. Of a PIN that others had accepted, they say, this process bears a few such answers.
 */
static bool is_unclear(struct tok_try *try)
{
    uint64_t vouched = get(try->own, VOUCHED);

    if (accepted_in(try->own, try)) {
        return true;
    }
    if (accepted_in(try->family, try) && vouched < MOST_VOUCHED) {
        set(try->own, VOUCHED, vouched + 1);
        return true;
    }
    both_keep(try, UNCLEAR);
    return false;
}

static bool is_cut_short(struct tok_try *try)
{
    uint64_t once = mark(try, CUT_SHORT);

    if (has(try->own, once) || has(try->family, once)) {
        return is_unclear(try);
    }
    both_keep(try, CUT_SHORT);
    return true;
}

static bool judge(struct tok_try *try, enum tok_of_pin answer)
{
    switch (answer) {
    case TOK_PIN_RIGHT:
        is_right(try);
        return true;
    case TOK_PIN_WRONG:
        is_wrong(try);
        return false;
    case TOK_PIN_CUT_SHORT:
        return is_cut_short(try);
    case TOK_PIN_UNSEEN:
        return true;
    default:
        return is_unclear(try);
    }
}

bool tok_try_answered(struct tok_try *try, enum tok_of_pin answer)
{
    bool may_be_sent_again = judge(try, answer);

    if (answer != TOK_PIN_RIGHT && answer != TOK_PIN_UNSEEN) {
        both_set(try, AFTER_REFUSAL, mark(try, REFUSAL));
    }
    if (try->has_turn) { /* else what is on its way is the business of who has it */
        set(try->family, SENT, 0);
    }
    return may_be_sent_again;
}

void tok_try_end(struct tok_try *try)
{
    if (try->has_turn) {
        shared_turn_give(try->about);
    }
    *try = (struct tok_try){ .token = NULL };
}
