#include "case.h"

#include <p11-kit/pkcs11.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../token/control.h"
#include "app.h"
#include "pkcs11/result/ckr.h"

#define HANG_MS 2000
#define MOST_CALLS 100          /* of an operation, on the average */
#define TOO_LONG (DEADLINE + 1) /* for a thread whose own call does not hang */
#define HEALED_WITHIN 2.5       /* after a failure that lasted: a token that was given up is tried again so soon */

struct step_result {
    int good;
    double took;
    struct trouble trouble;
};

struct life {
    struct app app;
    double waited; /* for a processor */
    struct step_result steps[NUM_STEPS];
};

static const struct fault_case *now;
static struct counts *counts;
static struct life lives[NUM_THREADS];
static int num_lives;
static struct outcome *outcome;
static int is_busy; /* the machine: a thread waited for a processor for a good part of the deadline */

/* Only the first thing that is wrong is told; the others may follow from it. */
__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
    va_list args;

    char *wrong = outcome->report;

    if (wrong[0] == '\0') {
        va_start(args, format);
        vsnprintf(wrong, REPORT_SIZE - sizeof(LATE), format, args);
        va_end(args);
        strcat(wrong, is_busy ? LATE : "");
    }
}

const char *variant_name(enum variant variant)
{
    static const char *const names[NUM_VARIANTS] = {
        [ONCE] = "fails once",
        [ONCE_LEFT] = "fails once, its operation left active",
        [ONCE_AMONG] = "fails once, among eight threads",
        [ALWAYS] = "fails always",
        [ALWAYS_AMONG] = "fails always, under eight threads",
        [HANGS_AMONG] = "hangs, among eight threads",
    };

    return names[variant];
}

int is_among(enum variant variant)
{
    return variant == ONCE_AMONG || variant == ALWAYS_AMONG || variant == HANGS_AMONG;
}

/* Is it about calls of this function? */
static int strikes(enum count function)
{
    return now->function == function || now->also == function;
}

static int lasts(void)
{
    return now->variant == ALWAYS || now->variant == ALWAYS_AMONG;
}

/* --- what is right -------------------------------------------------------------------------------------------------
 */

/* A PIN that was never accepted is not sent again after these: no later step can go well, and no second C_Login may be
 * made. */
static int pin_refused(void)
{
    enum tok_of_pin answer = tok_ckr(now->rv)->pin;

    return strikes(COUNT_Login) && now->variant != HANGS_AMONG &&
           (answer == TOK_PIN_WRONG || answer == TOK_PIN_BARRED || answer == TOK_PIN_UNCLEAR);
}

/* Once it is believed that nobody looked. */
static int pin_is_given_up(void)
{
    return strikes(COUNT_Login) && lasts() && tok_ckr(now->rv)->pin == TOK_PIN_CUT_SHORT;
}

/* A module that says that it was initialised, or that the user is logged in, when that is not so. Nobody can do more
 * than go on living. */
static int is_lie(void)
{
    return (strikes(COUNT_Initialize) && now->rv == CKR_CRYPTOKI_ALREADY_INITIALIZED) ||
           (strikes(COUNT_Login) && now->rv == CKR_USER_ALREADY_LOGGED_IN);
}

/* Codes that are answers: the specification has them for calls that went well but for a part. And what C_Finalize says
 * is nobody's business: the error is about what made it necessary. */
static int is_answer_of(enum count function)
{
    switch (function) {
    case COUNT_GetAttributeValue:
        return now->rv == CKR_ATTRIBUTE_SENSITIVE || now->rv == CKR_ATTRIBUTE_TYPE_INVALID ||
               now->rv == CKR_BUFFER_TOO_SMALL;
    case COUNT_GetSlotList:
        return now->rv == CKR_BUFFER_TOO_SMALL;
    case COUNT_GetTokenInfo:
        return now->rv == CKR_TOKEN_NOT_PRESENT || now->rv == CKR_TOKEN_NOT_RECOGNIZED;
    case COUNT_Finalize:
        return 1;
    case COUNT_Decrypt: /* that raw RSA is not to be had; then the token removes the padding, and whatever it says of
                           that is kept to ourselves, since it might tell whether the padding was right */
        return now->rv == CKR_FUNCTION_NOT_SUPPORTED || now->rv == CKR_KEY_FUNCTION_NOT_PERMITTED ||
               now->rv == CKR_KEY_TYPE_INCONSISTENT || now->rv == CKR_MECHANISM_INVALID ||
               now->rv == CKR_MECHANISM_PARAM_INVALID;
    default:
        return is_lie();
    }
}

static int is_answer(void)
{
    return is_answer_of(now->function) || (now->also != NUM_COUNTS && is_answer_of(now->also));
}

/* Whether no step may fail. Of two conditions at once nothing is promised but what holds of all: a clear error in time,
 * no PIN twice, and a token that is well serves again. */
static int promised(void)
{
    if (now->also != NUM_COUNTS || lasts() || now->variant == HANGS_AMONG || now->function == COUNT_Finalize ||
        now->function == COUNT_GetFunctionList) {
        return 0; /* without its list there is no module yet that could be recovered */
    }
    if (now->function == COUNT_Decrypt) { /* all else may be about the data, of which a recovery would tell something */
        return now->rv == CKR_CRYPTOKI_NOT_INITIALIZED || now->rv == CKR_SESSION_HANDLE_INVALID ||
               now->rv == CKR_SESSION_CLOSED || now->rv == CKR_TOKEN_NOT_PRESENT || now->rv == CKR_DEVICE_REMOVED ||
               now->rv == CKR_USER_NOT_LOGGED_IN || now->rv == CKR_OPERATION_NOT_INITIALIZED;
    }
    if (pin_refused()) {
        return 0;
    }
    return tok_ckr(now->rv)->recovery != TOK_GIVE_UP;
}

/* Who waited for another thread can tell what that one called, and perhaps not yet what it was answered. */
static int trouble_is_of_waiting(const struct trouble *trouble)
{
    return strstr(trouble->text, "the deadline passed") != NULL || strstr(trouble->text, "no answer for") != NULL;
}

/* Does the error name a function that fails? */
static int names_function(const struct trouble *trouble)
{
    char function[64];

    snprintf(function, sizeof(function), "C_%s", count_name(now->function));
    if (strstr(trouble->first, function) != NULL) {
        return 1;
    }
    snprintf(function, sizeof(function), "C_%s", now->also == NUM_COUNTS ? "?" : count_name(now->also));
    return strstr(trouble->first, function) != NULL;
}

/* A person must see which function, and what it answered. */
static int is_clear(const struct trouble *trouble)
{
    char name[64];

    snprintf(name, sizeof(name), "CKR_%s", ckr_name(now->rv) == NULL ? "?" : ckr_name(now->rv));
    if (trouble->errors == 0 || strstr(trouble->text, "24680") != NULL) {
        return 0;
    }
    if ((pin_refused() || pin_is_given_up()) && strstr(trouble->first, "not tried again") != NULL) {
        return 1;
    }
    if (now->variant == HANGS_AMONG) { /* a hung call may cost its own operation's time after another failure */
        return strstr(trouble->first, "C_") != NULL;
    }
    if (now->variant == ALWAYS_AMONG && trouble_is_of_waiting(trouble)) {
        return names_function(trouble);
    }
    return is_answer() || (names_function(trouble) && strstr(trouble->first, name) != NULL);
}

/* --- judgement -----------------------------------------------------------------------------------------------------
 */

static void judge_step(enum step step, const struct step_result *result)
{
    const char *late = result->took >= DEADLINE ? LATE : "";

    if (result->good && result->trouble.errors > 0) {
        complain("%s went well and left on the queue: %s", app_step_name(step), result->trouble.text);
    }
    if (!result->good && promised()) {
        complain("%s failed%s where a recovery is promised: %s", app_step_name(step), late, result->trouble.text);
    }
    if (!result->good && !is_clear(&result->trouble)) {
        complain("%s failed%s without a clear error: %s", app_step_name(step), late,
                 result->trouble.errors > 0 ? result->trouble.text : "the queue is empty, or the result is wrong");
    }
}

static void judge_lives(void)
{
    unsigned failures = 0;
    unsigned slow = 0;

    for (int i = 0; i < num_lives; i++) {
        for (int step = 0; step < NUM_STEPS; step++) {
            const struct step_result *result = &lives[i].steps[step];

            failures += !result->good;
            slow += result->took > TOO_LONG;
            outcome->slowest = result->took > outcome->slowest ? result->took : outcome->slowest;
            judge_step((enum step)step, result);
        }
    }
    if (slow > (now->variant == HANGS_AMONG)) {
        complain("%u steps took longer than the deadline and a second", slow);
    }
    if (!lasts() && now->variant != HANGS_AMONG && !pin_refused() && !is_lie() &&
        failures > (now->also == NUM_COUNTS ? 1 : 2)) {
        complain("%s call failed, and %u steps with it", now->also == NUM_COUNTS ? "one" : "each", failures);
    }
    if (counts->faults[now->function].struck == 0) {
        complain("no call was struck");
    }
}

/* Of two conditions the other may be met before anybody logs in. */
static void judge_tries(void)
{
    unsigned tries = counts->calls[COUNT_Login];
    unsigned expected = pin_refused() ? 1 : 2;

    if ((pin_refused() || pin_is_given_up()) && tries != expected && (now->also == NUM_COUNTS || tries > expected)) {
        complain("a PIN that may be wrong was tried %u times", tries);
    }
}

/* What an answer may cost in calls. */
static void judge_cost(void)
{
    unsigned operations = (unsigned)(num_lives * NUM_STEPS);

    if (outcome->calls > MOST_CALLS * operations) {
        complain("%u calls were made in %u operations", outcome->calls, operations);
    }
}

/* How long this thread was ready to run, and did not: Linux tells, if it was built to. */
static double waited_for_processor(void)
{
    unsigned long long ran;
    unsigned long long waited = 0;
    FILE *file = fopen("/proc/thread-self/schedstat", "r");

    if (file != NULL) {
        waited = fscanf(file, "%llu %llu", &ran, &waited) == 2 ? waited : 0;
        fclose(file);
    }
    return (double)waited / 1e9;
}

/* The token is well again. A failure that lasted, or a hang, may have shut it out for a while. */
static void judge_healed(struct life *life)
{
    static const enum step steps[] = { STEP_SIGN_EC, STEP_DECRYPT_RSA, STEP_SIGN_RSA,
                                       STEP_AGREE,   STEP_LOAD_EC,     STEP_SIGN_EC };
    double waited = waited_for_processor();
    double until = seconds_now() + (lasts() || now->variant == HANGS_AMONG ? HEALED_WITHIN : 0);
    struct trouble trouble;

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        int good = app_step(&life->app, steps[i], &trouble);

        while (!good && seconds_now() < until) {
            usleep(20000);
            good = app_step(&life->app, steps[i], &trouble);
        }
        is_busy |= waited_for_processor() - waited > DEADLINE / 3;
        if (!good && !pin_refused() && !pin_is_given_up() && !is_lie()) {
            complain("the token is well, but %s fails: %s", app_step_name(steps[i]), trouble.text);
        }
    }
}

/* --- the child -----------------------------------------------------------------------------------------------------
 */

static pthread_barrier_t start;

static void *live(void *arg)
{
    struct life *life = arg;
    double waited = waited_for_processor();

    pthread_barrier_wait(&start);
    for (int step = 0; step < NUM_STEPS; step++) {
        struct step_result *result = &life->steps[step];
        double from = seconds_now();

        result->good = app_step(&life->app, (enum step)step, &result->trouble);
        result->took = seconds_now() - from;
    }
    life->waited = waited_for_processor() - waited;
    return NULL;
}

static void lives_run(void)
{
    pthread_t threads[NUM_THREADS];

    num_lives = is_among(now->variant) ? NUM_THREADS : 1;
    pthread_barrier_init(&start, NULL, (unsigned)num_lives);
    for (int i = 1; i < num_lives; i++) {
        pthread_create(&threads[i], NULL, live, &lives[i]);
    }
    live(&lives[0]);
    for (int i = 1; i < num_lives; i++) {
        pthread_join(threads[i], NULL);
    }
    for (int i = 0; i < num_lives; i++) {
        is_busy |= lives[i].waited > DEADLINE / 3;
    }
}

static void fault_set(enum count function)
{
    struct fault *fault = &counts->faults[function];

    fault->left = now->variant == ONCE_LEFT;
    fault->hang_ms = now->variant == HANGS_AMONG ? HANG_MS : 0;
    fault->with = now->variant == HANGS_AMONG ? CKR_OK : now->rv;
    fault->times = lasts() ? FOREVER : 1;
}

void case_run(const struct fault_case *what, struct counts *page, const char *folder, struct outcome *left)
{
    char word[256];

    now = what;
    counts = page;
    outcome = left;
    if (!counts_obey(counts, what->before, word) || !app_files(folder)) {
        complain("the case can't be set up");
        _exit(0);
    }
    if (what->rv == NO_FAULT) {
        lives_run();
        for (int step = 0; step < NUM_STEPS; step++) {
            if (!lives[0].steps[step].good) {
                complain("without a fault, %s fails: %s", app_step_name((enum step)step),
                         lives[0].steps[step].trouble.text);
            }
        }
        _exit(0);
    }
    fault_set(now->function);
    if (now->also != NUM_COUNTS) {
        fault_set(now->also);
    }
    lives_run();
    outcome->calls = counts_total(counts);
    outcome->logins = counts->calls[COUNT_Login];
    judge_lives();
    judge_cost();
    counts_calm(counts);
    judge_healed(&lives[0]);
    judge_tries();
    for (int i = 0; i < num_lives; i++) {
        app_end(&lives[i].app);
    }
    exit(0); /* with the exit handlers of everybody: a crash there counts */
}
