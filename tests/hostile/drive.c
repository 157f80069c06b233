/* One odd answer at a time, at each of the first calls of an application's life, of each kind; and random ones. Each in
 * a process of its own.     drive MODULE FOLDER STRIDE RANDOM SEED
 *
 * STRIDE takes every so many-th of the cases that there are; RANDOM is how many random programs follow, drawn from
 * SEED. FOLDER is made by tests/hostile/setup.sh. Prints TAP, a line for each function; then "N passed, N failed" of
 * cases. A case that fails is shown with its program, which any application runs with SIGNET_TEST_HOSTILE=PROGRAM.
 *
 *     drive MODULE FOLDER PROGRAM        runs one, with its stderr here */
#include <dlfcn.h>
#include <errno.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hostile.h"
#include "life.h"

#define PIN "24680"
#define WORKERS 8
#define FIRST_CALLS 200
#define MOST_PROGRAM (8 * HOSTILE_RECORD)
#define MOST_CALLS 20000 /* of a life: it has some two hundred when all is well */
#define GIVE_UP_AFTER 60 /* seconds: then it hangs, however busy the machine is */
#define MOST_FAILURES                                                                                                  \
    3 /* steps in a row, where the answers stay odd: the others take their time and tell nothing new */
#define REPORT_SIZE 1024
#define MOST_SHOWN 40
#define MOST_TRIES 6                       /* of a case, */
#define UNMET "no call was answered oddly" /* where the deadline was over before, on a busy machine */

/* The module's, found in it. */
static struct {
    void (*drive)(const unsigned char *program, size_t len);
    void (*watch)(struct hostile_seen *where);
    unsigned (*kinds)(enum hostile_function which);
    unsigned (*args)(enum odd kind);
    const char *(*name)(enum hostile_function which);
} hostile;

struct one {
    unsigned char program[MOST_PROGRAM];
    size_t len;
    unsigned about; /* a function; HOSTILE_NUM_FUNCTIONS: random */
};

/* What a child leaves. */
struct page {
    struct hostile_seen seen;
    char report[REPORT_SIZE];
    int done; /* all its steps */
};

static struct worker {
    struct page *page;
    FILE *errors; /* its stderr */
    struct one now;
    int tries;
    pid_t pid; /* 0: idle */
    time_t since;
} workers[WORKERS];

static unsigned long passed[HOSTILE_NUM_FUNCTIONS + 1];
static unsigned long failed[HOSTILE_NUM_FUNCTIONS + 1];
static unsigned long stride;
static unsigned long offset;
static unsigned long counted;
static unsigned tap_lines;
static int bad;

/* --- the child ---------------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void complain(struct page *page, const char *format, ...)
{
    va_list args;

    if (page->report[0] == '\0') { /* the first; the others may follow from it */
        va_start(args, format);
        vsnprintf(page->report, sizeof(page->report), format, args);
        va_end(args);
    }
}

/* Some lies can be told from the truth by nobody who does not know it. */
static int may_be_wrong(size_t step, const struct hostile_seen *seen)
{
    switch (life_step_gives(step)) {
    case GIVES_KEY:
        return seen->false_attributes > 0;
    case GIVES_SIGNATURE:
        return seen->false_outputs > 0;
    case GIVES_SECRET:
        return seen->false_attributes > 0 || seen->false_outputs > 0;
    default:
        return 0;
    }
}

static int is_forever(const struct one *one)
{
    return one->len > 0 && (one->program[1] & ODD_FOREVER) != 0;
}

static enum hostile_function most_called(const struct hostile_seen *seen)
{
    unsigned long counts[HOSTILE_NUM_FUNCTIONS] = { 0 };
    enum hostile_function most = 0;

    for (size_t i = 0; i < HOSTILE_MOST_NOTED && i < seen->calls; i++) {
        if (++counts[seen->called[i]] > counts[most]) {
            most = seen->called[i];
        }
    }
    return most;
}

/* The provider is each child's own: one that came before the fork would let them share what they know of the PIN. */
static void live(const struct one *one, struct page *page)
{
    char text[2048];
    unsigned failures = 0;

    if (OSSL_LIB_CTX_load_config(NULL, getenv("OPENSSL_CONF")) != 1 || !OSSL_PROVIDER_available(NULL, "signet")) {
        complain(page, "the provider can't be loaded");
    }
    for (size_t step = 0; step < life_num_steps && (!is_forever(one) || failures < MOST_FAILURES); step++) {
        enum outcome outcome = life_step(step, text, sizeof(text));

        failures = outcome == LIFE_RIGHT ? 0 : failures + 1;
        if (outcome == LIFE_MUTE) {
            complain(page, "%s failed without an error", life_step_name(step));
        }
        if (outcome == LIFE_WRONG && !may_be_wrong(step, &page->seen)) {
            complain(page, "%s went well, and the result is wrong", life_step_name(step));
        }
        if (strstr(text, PIN) != NULL) {
            complain(page, "an error has the PIN: %s", text);
        }
        if (one->len == 0 && outcome != LIFE_RIGHT) {
            complain(page, "without an odd answer %s fails: %s", life_step_name(step), text);
        }
    }
    if (page->seen.calls > MOST_CALLS) {
        complain(page, "%lu calls, most of them %s", page->seen.calls, hostile.name(most_called(&page->seen)));
    }
    if (one->about != HOSTILE_NUM_FUNCTIONS && page->seen.struck == 0) {
        complain(page, UNMET ": %lu calls", page->seen.calls);
    }
    if (page->seen.pins_after_refusal > 0) {
        complain(page, "a PIN that was refused was sent again");
    }
    life_end();
    page->done = 1;
}

static void child(const struct worker *worker)
{
    dup2(fileno(worker->errors), STDERR_FILENO);
    hostile.watch(&worker->page->seen);
    hostile.drive(worker->now.program, worker->now.len);
    live(&worker->now, worker->page);
    exit(0); /* with the exit handlers of everybody: a crash there counts */
}

/* --- a case ------------------------------------------------------------------------------------------------------- */

static void worker_start(struct worker *worker)
{
    memset(worker->page, 0, sizeof(*worker->page));
    rewind(worker->errors);
    if (ftruncate(fileno(worker->errors), 0) != 0) {
        exit(99);
    }
    worker->tries++;
    worker->since = time(NULL);
    fflush(stdout);
    worker->pid = fork();
    if (worker->pid == 0) {
        child(worker);
    }
    if (worker->pid < 0) {
        perror("fork");
        exit(99);
    }
}

static void show(const struct worker *worker)
{
    char line[400];
    unsigned lines = 0;

    printf("# %s, program ", worker->now.about == HOSTILE_NUM_FUNCTIONS ? "random" : hostile.name(worker->now.about));
    for (size_t i = 0; i < worker->now.len; i++) {
        printf("%02x", worker->now.program[i]);
    }
    printf(": %s\n", worker->page->report);
    rewind(worker->errors);
    while (fgets(line, sizeof(line), worker->errors) != NULL && lines++ < 24) {
        printf("#     %s%s", line, strchr(line, '\n') == NULL ? "\n" : "");
    }
}

static void worker_begin(struct worker *worker, const struct one *one)
{
    worker->now = *one;
    worker->tries = 0;
    worker_start(worker);
}

static void worker_end(struct worker *worker, int status)
{
    struct page *page = worker->page;
    static unsigned shown;

    worker->pid = 0;
    if (WIFSIGNALED(status)) {
        snprintf(page->report, REPORT_SIZE, "%s of signal %d",
                 WTERMSIG(status) == SIGKILL ? "it hangs, and died" : "it died", WTERMSIG(status));
    } else if (WEXITSTATUS(status) != 0 || !page->done) {
        snprintf(page->report, REPORT_SIZE, "it ended with status %d%s", WEXITSTATUS(status),
                 page->done ? "" : ", early");
    }
    if (strncmp(page->report, UNMET, strlen(UNMET)) == 0 && worker->tries < MOST_TRIES) {
        worker_start(worker);
        return;
    }
    if (page->report[0] == '\0') {
        passed[worker->now.about]++;
        return;
    }
    failed[worker->now.about]++;
    if (shown++ < MOST_SHOWN) {
        show(worker);
    }
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
            } else if (workers[i].pid != 0 && time(NULL) - workers[i].since > GIVE_UP_AFTER) {
                kill(workers[i].pid, SIGKILL);
            }
            busy += workers[i].pid != 0;
            idle = workers[i].pid == 0 ? &workers[i] : idle;
        }
        if (idle != NULL && (!all || busy == 0)) {
            return idle;
        }
        usleep(500);
    }
}

static void run(const struct one *one)
{
    worker_begin(workers_wait(0), one);
}

/* --- one odd answer ----------------------------------------------------------------------------------------------- */

static struct hostile_seen usual; /* of a life without one */

/* Calls before the record's are skipped by as many as a byte counts, and by records that change nothing. */
static void one_make(struct one *one, size_t call, unsigned char kind, unsigned char arg, unsigned char which)
{
    const unsigned char record[HOSTILE_RECORD] = { (unsigned char)call, kind, arg, which };

    memcpy(one->program, record, sizeof(record));
    one->len = sizeof(record);
    one->about = usual.called[call];
}

static void one_run(size_t call, unsigned char kind, unsigned char arg, unsigned char which)
{
    struct one one;

    if (counted++ % stride != offset) {
        return;
    }
    one_make(&one, call, kind, arg, which);
    run(&one);
}

/* How many of a kind's values are taken: all lengths, of the codes those that are unlike, some patterns. */
static unsigned args_of(enum odd kind, int forever)
{
    unsigned all = hostile.args(kind);
    unsigned most = all;

    if (kind == ODD_CODE) {
        most = forever ? 6 : 12;
    } else if (kind == ODD_CODE_AFTER || kind == ODD_FILL || kind == ODD_FILL_WORD) {
        most = forever ? 2 : 4;
    } else if (forever) {
        most = 6;
    }
    return all < most ? all : most;
}

/* At a list of attributes one of them, and at a value one of its words, is chosen by turns. */
static void kind_run(size_t call, enum odd kind, int forever)
{
    for (unsigned arg = 0; arg < args_of(kind, forever); arg++) {
        one_run(call, (unsigned char)(kind | (forever ? ODD_FOREVER : 0)), (unsigned char)arg,
                (unsigned char)(call + arg));
    }
}

static int is_first(size_t call)
{
    return memchr(usual.called, usual.called[call], call) == NULL;
}

static void call_run(size_t call)
{
    for (unsigned kind = 0; kind < hostile.kinds(usual.called[call]); kind++) {
        kind_run(call, kind, 0);
        if (is_first(call)) {
            kind_run(call, kind, 1);
        }
    }
}

/* --- random ones -------------------------------------------------------------------------------------------------- */

static void random_run(unsigned long count, unsigned long seed)
{
    struct one one = { .about = HOSTILE_NUM_FUNCTIONS };
    unsigned short state[3] = { (unsigned short)seed, (unsigned short)(seed >> 16), 0x330e };

    for (unsigned long i = 0; i < count; i++) {
        one.len = HOSTILE_RECORD * (1 + (size_t)nrand48(state) % 6);
        for (size_t at = 0; at < one.len; at++) {
            one.program[at] = (unsigned char)(nrand48(state) >> 8);
        }
        for (size_t at = 0; at < one.len; at += HOSTILE_RECORD) {
            one.program[at] %= 40; /* so that most of them come */
        }
        run(&one);
    }
}

/* --- all of it ---------------------------------------------------------------------------------------------------- */

static void tap(int good, const char *sentence)
{
    printf("%s %u - %s\n", good ? "ok" : "not ok", ++tap_lines, sentence);
    bad |= !good;
}

static int module_find(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_RV (*list_get)(CK_FUNCTION_LIST **);
    CK_FUNCTION_LIST *list;

    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 0;
    }
    *(void **)&hostile.drive = dlsym(library, "hostile_drive");
    *(void **)&hostile.watch = dlsym(library, "hostile_watch");
    *(void **)&hostile.kinds = dlsym(library, "hostile_kinds");
    *(void **)&hostile.args = dlsym(library, "hostile_args");
    *(void **)&hostile.name = dlsym(library, "hostile_name");
    *(void **)&list_get = dlsym(library, "C_GetFunctionList");
    /* Its keys are read once, and not by each child. */
    return hostile.drive != NULL && list_get != NULL && list_get(&list) == CKR_OK &&
           list->C_Initialize(NULL) == CKR_OK && list->C_Finalize(NULL) == CKR_OK;
}

static int workers_open(void)
{
    for (int i = 0; i < WORKERS; i++) {
        workers[i].page =
            mmap(NULL, sizeof(*workers[i].page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        workers[i].errors = tmpfile();
        if (workers[i].page == MAP_FAILED || workers[i].errors == NULL) {
            return 0;
        }
        setvbuf(workers[i].errors, NULL, _IONBF, 0); /* a child writes to it, too */
    }
    return 1;
}

/* What is called when all is well. */
static int learn(void)
{
    const struct one nothing = { .about = HOSTILE_NUM_FUNCTIONS };
    struct worker *worker = workers_wait(1);

    worker_begin(worker, &nothing);
    workers_wait(1);
    usual = worker->page->seen;
    passed[HOSTILE_NUM_FUNCTIONS] = 0;
    tap(worker->page->report[0] == '\0', "without an odd answer all works");
    return worker->page->report[0] == '\0';
}

static void sum(double took)
{
    unsigned long good = 0;
    unsigned long ill = 0;
    char sentence[200];

    for (unsigned which = 0; which <= HOSTILE_NUM_FUNCTIONS; which++) {
        unsigned long all = passed[which] + failed[which];

        good += passed[which];
        ill += failed[which];
        if (all > 0) {
            snprintf(sentence, sizeof(sentence), "%s: %lu of %lu cases",
                     which == HOSTILE_NUM_FUNCTIONS ? "random answers" : hostile.name(which), passed[which], all);
            tap(failed[which] == 0, sentence);
        }
    }
    printf("# %lu calls when all is well, %lu cases, of which every %lu. was taken, and random ones, in %.0f s\n",
           usual.calls, counted, stride, took);
    snprintf(sentence, sizeof(sentence), "%lu cases: %lu crashed, hung, or gave a result that does not verify",
             good + ill, ill);
    tap(good > 0 && ill == 0, sentence);
    printf("1..%u\n%lu passed, %lu failed\n", tap_lines, good, ill);
}

/* One program, in this process. */
static int one_here(const char *hex)
{
    struct one one = { .about = HOSTILE_NUM_FUNCTIONS };
    struct page *page = workers[0].page;
    unsigned byte;

    while (one.len < sizeof(one.program) && sscanf(hex, "%2x", &byte) == 1) {
        one.program[one.len++] = (unsigned char)byte;
        hex += 2;
    }
    hostile.watch(&page->seen);
    hostile.drive(one.program, one.len);
    live(&one, page);
    printf("%lu calls, %lu odd answers: %s\n", page->seen.calls, page->seen.struck,
           page->report[0] != '\0' ? page->report : "as it should be");
    return page->report[0] != '\0';
}

int main(int argc, char **argv)
{
    time_t from = time(NULL);

    OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    if ((argc != 6 && argc != 4) || !module_find(argv[1]) || !life_files(argv[2]) || !workers_open()) {
        fprintf(stderr, "usage: drive MODULE FOLDER STRIDE RANDOM SEED\n");
        return 99;
    }
    if (argc == 4) {
        return one_here(argv[3]);
    }
    stride = strtoul(argv[3], NULL, 10);
    stride = stride > 0 ? stride : 1;
    offset = strtoul(argv[5], NULL, 10) % stride;
    printf("# seed %s\n", argv[5]);
    if (!learn()) {
        return 99;
    }
    for (size_t call = 0; call < usual.calls && call < FIRST_CALLS; call++) {
        call_run(call);
    }
    random_run(strtoul(argv[4], NULL, 10), strtoul(argv[5], NULL, 10));
    workers_wait(1);
    sum((double)(time(NULL) - from));
    return bad;
}
