/* A token in trouble under threads that sign: none of them may notice.     figures FOLDER
 *
 * FOLDER is that of tests/faults/setup.sh. Each row is a process of its own; what the token does is proved by its
 * counters, since trouble that never came proves nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "../lib/tap.h"
#include "../token/control.h"
#include "app.h"

#define RUN_SECONDS 0.8
#define MOST_THREADS 8

static struct counts *counts;
static const char *folder;

static unsigned sessions_lost(void)
{
    return counts->lost;
}

static unsigned logged_out(void)
{
    return counts->logged_out;
}

static unsigned sign_init_failed(void)
{
    return counts->faults[COUNT_SignInit].struck;
}

static unsigned sign_failed(void)
{
    return counts->faults[COUNT_Sign].struck;
}

static unsigned sessions_refused(void)
{
    return counts->sessions_refused;
}

static unsigned was_serial(void)
{
    return counts->serialise;
}

static const struct figure {
    const char *sentence;
    int threads;
    const char *before; /* words of control.h: from the start, */
    const char *during; /* after a quarter of the time, */
    const char *after;  /* and after a half */
    unsigned (*came)(void);
} figures[] = {
    { "every session is lost once", 2, "", "lose", "", sessions_lost },
    { "every session is lost at every 500th call", 4, "lose-every=500", "", "", sessions_lost },
    { "the login is lost", 4, "", "log-out", "", logged_out },
    { "one CKR_DEVICE_ERROR from C_SignInit", 1, "SignInit:rv=CKR_DEVICE_ERROR:nth=20", "", "", sign_init_failed },
    { "the same under eight threads", 8, "SignInit:rv=CKR_DEVICE_ERROR:nth=20", "", "", sign_init_failed },
    { "one CKR_DEVICE_ERROR from C_Sign, its operation left active", 1, "Sign:rv=CKR_DEVICE_ERROR:nth=20:left", "", "",
      sign_failed },
    { "the same under eight threads", 8, "Sign:rv=CKR_DEVICE_ERROR:nth=20:left", "", "", sign_failed },
    { "a token with two sessions", 8, "max-sessions=2", "", "", sessions_refused },
    { "a token with one session", 8, "max-sessions=1", "", "", sessions_refused },
    { "a token that does one thing at a time, slowly", 8, "serialise SignInit:delay=1000 Sign:delay=1000", "", "",
      was_serial },
    { "a token that goes for a while", 4, "", "go-away", "come-back", sessions_lost },
    { "a token that comes back in another slot", 4, "", "go-away", "come-back=77", sessions_lost },
};
#define NUM_FIGURES (sizeof(figures) / sizeof(figures[0]))

/* What a child tells its parent. */
struct outcome {
    _Atomic unsigned good;
    _Atomic unsigned bad;
    unsigned came;
    int done;
    struct trouble trouble; /* of the first that failed */
};

static struct outcome *outcome;
static _Atomic int ready; /* threads that have used both keys */
static _Atomic int over;

static void *sign_on(void *unused)
{
    struct app app = { .ec = NULL };
    struct trouble trouble;

    (void)unused;
    for (int i = 0; i < 20 || !over; i++) {
        enum step step = i == 0 ? STEP_LOAD_EC : i % 2 == 0 ? STEP_SIGN_RSA : STEP_SIGN_EC;

        if (app_step(&app, step, &trouble)) {
            outcome->good++;
        } else if (outcome->bad++ == 0) {
            outcome->trouble = trouble;
        }
        ready += i == 2;
    }
    app_end(&app);
    return NULL;
}

static void obey(const char *words)
{
    char wrong[256];

    if (!counts_obey(counts, words, wrong)) {
        fprintf(stderr, "'%s' makes no sense\n", wrong);
        _exit(2);
    }
}

static void run_in_child(const struct figure *figure)
{
    pthread_t threads[MOST_THREADS];

    obey(figure->before);
    if (!app_files(folder)) {
        _exit(2);
    }
    for (int i = 0; i < figure->threads; i++) {
        pthread_create(&threads[i], NULL, sign_on, NULL);
    }
    while (ready < figure->threads) { /* a key whose token was never met is not waited for */
        usleep(1000);
    }
    usleep((unsigned)(RUN_SECONDS / 4 * 1e6));
    obey(figure->during);
    usleep((unsigned)(RUN_SECONDS / 4 * 1e6));
    obey(figure->after);
    usleep((unsigned)(RUN_SECONDS / 2 * 1e6));
    over = 1;
    for (int i = 0; i < figure->threads; i++) {
        pthread_join(threads[i], NULL);
    }
    outcome->came = figure->came();
    outcome->done = 1;
    exit(0);
}

static void run(const struct figure *figure)
{
    int status = 0;
    pid_t child;

    memset(counts, 0, sizeof(*counts));
    memset(outcome, 0, sizeof(*outcome));
    child = fork();
    if (child == 0) {
        alarm(120);
        run_in_child(figure);
    }
    waitpid(child, &status, 0);
    ok(WIFEXITED(status) && WEXITSTATUS(status) == 0 && outcome->done && outcome->came > 0 && outcome->good > 10 &&
           outcome->bad == 0,
       "%s, %d thread%s: %u signatures, %u failed", figure->sentence, figure->threads, figure->threads > 1 ? "s" : "",
       outcome->good, outcome->bad);
    if (!outcome->done) {
        printf("# it ended early, with status 0x%x\n", (unsigned)status);
    } else if (outcome->came == 0) {
        printf("# but it never came to that\n");
    }
    for (char *rest = outcome->trouble.text, *line = strsep(&rest, "\n"); line != NULL; line = strsep(&rest, "\n")) {
        if (line[0] != '\0') {
            printf("# %s\n", line);
        }
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    counts = argc == 2 ? counts_map(getenv("SIGNET_TEST_COUNTS")) : NULL;
    outcome = mmap(NULL, sizeof(*outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counts == NULL || outcome == MAP_FAILED) {
        fprintf(stderr, "usage: SIGNET_TEST_COUNTS=FILE figures FOLDER\n");
        return 2;
    }
    folder = argv[1];
    for (size_t i = 0; i < NUM_FIGURES; i++) {
        run(&figures[i]);
    }
    return tap_done();
}
