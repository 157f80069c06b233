/* Every function that the engine calls x every CKR of the specification x six ways of failing, and pairs of functions
 * that fail with one code, each in a process of its own, judged by case.c.     faults smoke|full FOLDER FUNCTION...
 *
 * The functions, C_Sign and so on, are those that the engine's sources call: a new one that no case reaches is a
 * failure. FOLDER is made by tests/faults/run.sh: an application's files (app.h), and for each of WORKERS a SoftHSM of
 * its own (softhsm-N.conf). Prints TAP, a line for each function and way; then a table, and "N passed, N failed" of
 * cases. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "../token/ckr.h"
#include "../token/control.h"
#include "app.h"
#include "case.h"

#define WORKERS 4         /* many cases just wait */
#define MOST_TRIES 8      /* of one */
#define GIVE_UP_AFTER 60  /* seconds: then a case has hung */
#define MOST_COMPLAINTS 4 /* that are shown of one function and way */

static const unsigned long all_codes[] = {
#define CODE(name, value) value,
    CRYPTOKI_CKR(CODE)
#undef CODE
};

/* One or two of each kind of recovery, and of the others those that are met most. */
static const unsigned long few_codes[] = { 0x2,  0x5,  0x7,  0x30, 0x54, 0x60,  0x70,  0x82,
                                           0x90, 0xa0, 0xb1, 0xb3, 0xe0, 0x101, 0x190, 0x80000000 };

/* What must go wrong for the engine to call certain functions: words of control.h. With several threads it takes more
 * than luck for a module to be initialised again, so that these cases have one. */
static const struct before {
    const char *words;
    int alone;
} befores[] = {
    { "", 0 },
    { "Sign:rv=CKR_OPERATION_NOT_INITIALIZED", 0 },
    { "SignInit:rv=CKR_CRYPTOKI_NOT_INITIALIZED", 0 },
    { "FindObjectsInit:log-out", 1 },
    { "without=0x1", 0 },
    { "OpenSession:hang=230 SignInit:rv=CKR_DEVICE_ERROR:times=2", 1 }, /* not right after its start */
};
#define NUM_BEFORES (sizeof(befores) / sizeof(befores[0]))

static struct worker {
    struct counts *counts;
    struct outcome *outcome; /* shared with the child */
    char conf[512];
    char page[512];
    struct fault_case now;
    int tries;
    pid_t pid; /* 0: idle */
    double since;
} workers[WORKERS];

static const char *folder;
static int full;
static const struct before *needed[NUM_COUNTS]; /* for functions that the engine calls; else NULL */
static unsigned passed[NUM_COUNTS][NUM_VARIANTS];
static unsigned failed[NUM_COUNTS][NUM_VARIANTS];
static struct outcome dearest[NUM_COUNTS][2]; /* what the dearest case cost: alone, and among eight threads */
static unsigned pairs_passed;
static unsigned pairs_failed;
static struct outcome dearest_pair;
static unsigned tap_lines;
static int bad;

/* --- one case ------------------------------------------------------------------------------------------------------
 */

static int worker_open(struct worker *worker, int number)
{
    snprintf(worker->conf, sizeof(worker->conf), "%s/softhsm-%d.conf", folder, number);
    snprintf(worker->page, sizeof(worker->page), "%s/page-%d", folder, number);
    worker->counts = counts_map(worker->page);
    worker->outcome = mmap(NULL, sizeof(*worker->outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return worker->counts != NULL && worker->outcome != MAP_FAILED;
}

static void worker_start(struct worker *worker)
{
    memset(worker->counts, 0, sizeof(*worker->counts));
    memset(worker->outcome, 0, sizeof(*worker->outcome));
    worker->tries++;
    worker->since = seconds_now();
    fflush(stdout);
    worker->pid = fork();
    if (worker->pid == 0) {
        setenv("SOFTHSM2_CONF", worker->conf, 1);
        setenv("SIGNET_TEST_COUNTS", worker->page, 1);
        case_run(&worker->now, worker->counts, folder, worker->outcome);
    }
}

static void worker_begin(struct worker *worker, const struct fault_case *what)
{
    worker->now = *what;
    worker->tries = 0;
    worker_start(worker);
}

/* On a busy machine a step may need more than the deadline by itself; then other tries tell. */
static int was_in_a_hurry(const struct worker *worker)
{
    return strstr(worker->outcome->report, LATE) != NULL && worker->tries < MOST_TRIES;
}

/* What the first ones of a function and way complain of; the others by name. */
static void tell_complaint(const struct worker *worker)
{
    const struct fault_case *what = &worker->now;
    char *rest = worker->outcome->report;

    printf("# C_%s%s%s %s, CKR_%s\n", count_name(what->function), what->also == NUM_COUNTS ? "" : " and C_",
           what->also == NUM_COUNTS ? "" : count_name(what->also), variant_name(what->variant),
           ckr_name(what->rv) == NULL ? "?" : ckr_name(what->rv));
    if ((what->also == NUM_COUNTS ? failed[what->function][what->variant] : pairs_failed) > MOST_COMPLAINTS) {
        return;
    }
    for (char *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (line[0] != '\0') {
            printf("#     %s\n", line);
        }
    }
}

static void note_cost(struct outcome *dearest_one, const struct outcome *outcome)
{
    if (outcome->calls > dearest_one->calls) {
        dearest_one->calls = outcome->calls;
    }
    if (outcome->logins > dearest_one->logins) {
        dearest_one->logins = outcome->logins;
    }
    if (outcome->slowest > dearest_one->slowest) {
        dearest_one->slowest = outcome->slowest;
    }
}

/* Counted where it belongs, with what it cost. */
static void worker_count(struct worker *worker)
{
    const struct fault_case *what = &worker->now;
    int good = worker->outcome->report[0] == '\0';

    if (what->also != NUM_COUNTS) {
        *(good ? &pairs_passed : &pairs_failed) += 1;
        note_cost(&dearest_pair, worker->outcome);
    } else {
        (good ? passed : failed)[what->function][what->variant]++;
        note_cost(&dearest[what->function][is_among(what->variant)], worker->outcome);
    }
    if (!good) {
        tell_complaint(worker);
    }
}

static void worker_end(struct worker *worker, int status)
{
    const struct fault_case *what = &worker->now;

    worker->pid = 0;
    if (WIFSIGNALED(status)) {
        snprintf(worker->outcome->report, REPORT_SIZE, "%s",
                 WTERMSIG(status) == SIGKILL ? "it hangs" : "the process died of a signal");
    } else if (WEXITSTATUS(status) != 0) {
        snprintf(worker->outcome->report, REPORT_SIZE, "the process ended with status %d", WEXITSTATUS(status));
    }
    if (what->rv == NO_FAULT) {
        return;
    }
    if (was_in_a_hurry(worker)) {
        worker_start(worker);
        return;
    }
    worker_count(worker);
}

/* Waits until a worker is idle, or all are. */
static struct worker *workers_wait(int all)
{
    for (;;) {
        struct worker *idle = NULL;
        int busy = 0;

        for (int i = 0; i < WORKERS; i++) {
            int status;

            if (workers[i].pid != 0 && waitpid(workers[i].pid, &status, WNOHANG) == workers[i].pid) {
                worker_end(&workers[i], status);
            } else if (workers[i].pid != 0 && seconds_now() - workers[i].since > GIVE_UP_AFTER) {
                kill(workers[i].pid, SIGKILL);
            }
            busy += workers[i].pid != 0;
            idle = workers[i].pid == 0 ? &workers[i] : idle;
        }
        if (idle != NULL && (!all || busy == 0)) {
            return idle;
        }
        usleep(1000);
    }
}

/* --- all of them ---------------------------------------------------------------------------------------------------
 */

static void tap(int good, const char *sentence)
{
    printf("%s %u - %s\n", good ? "ok" : "not ok", ++tap_lines, sentence);
    bad |= !good;
}

/* Learns which functions the engine calls, by counting. What the engine does not recover from, however often it is
 * tried, teaches nothing. */
static void learn(void)
{
    for (size_t i = 0; i < NUM_BEFORES; i++) {
        const struct fault_case nothing = { .also = NUM_COUNTS, .rv = NO_FAULT, .before = befores[i].words };
        struct worker *worker = workers_wait(1);

        worker_begin(worker, &nothing);
        workers_wait(1);
        while (worker->outcome->report[0] != '\0' && worker->tries < MOST_TRIES) { /* the machine may be busy */
            worker_start(worker);
            workers_wait(1);
        }
        if (i == 0) {
            tap(worker->outcome->report[0] == '\0', "without a fault all works");
        }
        if (worker->outcome->report[0] != '\0') {
            printf("# %s: %s\n", befores[i].words, worker->outcome->report);
            continue;
        }
        for (unsigned which = 0; which < NUM_COUNTS; which++) {
            if (worker->counts->calls[which] > 0 && needed[which] == NULL) {
                needed[which] = &befores[i];
            }
        }
    }
}

static void is_reached(const char *function)
{
    char sentence[100];
    int reached = 0;

    for (unsigned which = 0; which < NUM_COUNTS; which++) {
        reached |= needed[which] != NULL && strcmp(function + 2, count_name(which)) == 0;
    }
    snprintf(sentence, sizeof(sentence), "%s, which the engine's sources name, is called", function);
    tap(reached, sentence);
}

static void run_function(enum count which, enum variant variant)
{
    const unsigned long *codes = full ? all_codes : few_codes;
    size_t num = full ? sizeof(all_codes) / sizeof(all_codes[0]) : sizeof(few_codes) / sizeof(few_codes[0]);
    char sentence[200];

    for (size_t i = 0; i < num; i++) {
        struct fault_case what = { which, NUM_COUNTS, codes[i], variant, needed[which]->words };

        if (variant == HANGS_AMONG ? i > 0 : codes[i] == 0) { /* CKR_OK is no failure, and of hangs there is one */
            continue;
        }
        worker_begin(workers_wait(0), &what);
    }
    workers_wait(1);
    snprintf(sentence, sizeof(sentence), "C_%s %s: %u of %u", count_name(which), variant_name(variant),
             passed[which][variant], passed[which][variant] + failed[which][variant]);
    tap(failed[which][variant] == 0, sentence);
}

/* --- two conditions, one answer ------------------------------------------------------------------------------------
 */

/* What an operation needs one after the other. A token that has one code for all its troubles gives it to each. */
static const enum count steps[] = {
    COUNT_Initialize,      COUNT_GetSlotList, COUNT_GetTokenInfo,      COUNT_OpenSession, COUNT_Login,
    COUNT_FindObjectsInit, COUNT_FindObjects, COUNT_GetAttributeValue, COUNT_SignInit,    COUNT_Sign,
    COUNT_CloseSession,
};
#define NUM_STEPS_OF_ALL (sizeof(steps) / sizeof(steps[0]))

static void run_pair(enum count first, enum count second, enum variant variant)
{
    for (size_t i = 0; i < sizeof(few_codes) / sizeof(few_codes[0]); i++) {
        struct fault_case what = { first, second, few_codes[i], variant, "" };

        if (full || i % 4 == (first + second) % 4) { /* the small run takes each code in turn */
            worker_begin(workers_wait(0), &what);
        }
    }
}

static void run_pairs(enum variant variant)
{
    unsigned failed_before;
    unsigned passed_before;
    char sentence[200];

    workers_wait(1);
    failed_before = pairs_failed;
    passed_before = pairs_passed;
    for (size_t i = 0; i < NUM_STEPS_OF_ALL; i++) {
        for (size_t j = i + 1; j < NUM_STEPS_OF_ALL; j++) {
            run_pair(steps[i], steps[j], variant);
        }
    }
    workers_wait(1);
    snprintf(sentence, sizeof(sentence), "two functions with one code, each %s: %u of %u", variant_name(variant),
             pairs_passed - passed_before, pairs_passed - passed_before + pairs_failed - failed_before);
    tap(pairs_failed == failed_before && pairs_passed > passed_before, sentence);
}

/* The small run leaves out the ways whose rules the others have, too. */
static int small_run(enum count which, enum variant variant)
{
    return variant == ONCE || which == COUNT_Sign || which == COUNT_SignInit;
}

static int wanted(enum count which, enum variant variant)
{
    const char *only = getenv("FAULTS_ONLY"); /* a function, without its C_ */

    if (needed[which] == NULL || (only != NULL && strcmp(only, count_name(which)) != 0)) {
        return 0;
    }
    if (needed[which]->alone && is_among(variant)) {
        return 0;
    }
    return full || (small_run(which, variant) && (variant != HANGS_AMONG || which == COUNT_Sign));
}

static void tell_cost(const struct outcome *cost)
{
    printf(" %6u %4u %5.2f s", cost->calls, cost->logins, cost->slowest);
}

static void table(double took)
{
    unsigned good = 0;
    unsigned ill = 0;

    printf("%-22s %6s %6s %6s   %s\n", "function", "cases", "passed", "failed",
           "dearest case alone, and among eight threads: calls, C_Login, slowest step");
    for (unsigned which = 0; which < NUM_COUNTS; which++) {
        unsigned p = 0;
        unsigned f = 0;

        for (unsigned variant = 0; variant < NUM_VARIANTS; variant++) {
            p += passed[which][variant];
            f += failed[which][variant];
        }
        if (p + f > 0) {
            printf("C_%-20s %6u %6u %6u  ", count_name(which), p + f, p, f);
            tell_cost(&dearest[which][0]);
            tell_cost(&dearest[which][1]);
            printf("\n");
        }
        good += p;
        ill += f;
    }
    if (pairs_passed + pairs_failed > 0) {
        printf("%-22s %6u %6u %6u  ", "two, with one code", pairs_passed + pairs_failed, pairs_passed, pairs_failed);
        tell_cost(&dearest_pair);
        printf("\n");
    }
    good += pairs_passed;
    ill += pairs_failed;
    printf("%u cases in %.0f s\n%u passed, %u failed\n", good + ill, took, good, ill);
}

int main(int argc, char **argv)
{
    double from = seconds_now();

    if (argc < 4 || (strcmp(argv[1], "smoke") != 0 && strcmp(argv[1], "full") != 0)) {
        fprintf(stderr, "usage: faults smoke|full FOLDER FUNCTION...\n");
        return 2;
    }
    full = strcmp(argv[1], "full") == 0;
    folder = argv[2];
    for (int i = 0; i < WORKERS; i++) {
        if (!worker_open(&workers[i], i)) {
            return 2;
        }
    }
    learn();
    for (int i = 3; i < argc; i++) {
        is_reached(argv[i]);
    }
    for (unsigned which = 0; which < NUM_COUNTS; which++) {
        for (unsigned variant = 0; variant < NUM_VARIANTS; variant++) {
            if (wanted(which, variant)) {
                run_function(which, variant);
            }
        }
    }
    if (getenv("FAULTS_ONLY") == NULL || strcmp(getenv("FAULTS_ONLY"), "pairs") == 0) {
        run_pairs(ONCE);
        run_pairs(ALWAYS);
    }
    printf("1..%u\n", tap_lines);
    table(seconds_now() - from);
    return bad;
}
