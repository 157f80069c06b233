/* A server's long day, made short: mutual handshakes on eight threads, both keys on the token, while sessions are lost,
 * the login is, calls fail, the token goes and returns in other slots, and children are forked. Every outage is shorter
 * than the deadline: no handshake may fail, and memory and descriptors stay as they are.
 *
 *     soak SECONDS FOLDER COUNTS none|asan|tsan        FOLDER as tests/tls/setup.sh leaves it
 *
 * The last word is the sanitizer: both keep what is freed, ThreadSanitizer can't follow the children of a process with
 * threads, and AddressSanitizer's allocator may be locked for ever in them, so that there are none. Without a sanitizer
 * there are some if SOAK_CHILDREN is set: one in a hundred may hang in a lock of libcrypto's own (signet(7), FORKING
 * SERVERS). */
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../lib/tap.h"
#include "../tls/pair.h"
#include "../token/control.h"
#include "life.h"

#define THREADS 8
#define CONTEXTS 4
#define MOST_RSS_GROWTH_KIB 4096 /* in half of the time, after every kind of trouble */
#define CHILD_S 20
#define MOST_TIMES_LONGER 6 /* than was asked for, until there was every kind of trouble */

static struct counts *counts;
static const char *folder;
static struct pairing {
    SSL_CTX *server;
    SSL_CTX *client;
    EVP_PKEY *key; /* of the server */
} pairings[CONTEXTS];

static _Atomic int over;
static int with_children;
static _Atomic unsigned long handshakes;
static _Atomic unsigned long ended[THREADS]; /* handshakes of each thread, good or bad */
static _Atomic unsigned long failures;
static _Atomic unsigned long children;
static unsigned long children_failed;

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void pause_ms(long ms)
{
    struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

    nanosleep(&time, NULL);
}

static char *path(char out[300], const char *file)
{
    snprintf(out, 300, "%s/%s", folder, file);
    return out;
}

/* Keys by URI and by file, both types, both versions. */
static int pairing_make(struct pairing *pairing, const char *server, const char *client, int version)
{
    char key[300];
    char chain[300];
    char root[300];
    char name[64];

    snprintf(key, sizeof(key), "pkcs11:token=test;object=%s;type=private", server);
    snprintf(name, sizeof(name), "%s-chain.pem", server);
    pairing->server = context_with(key, path(chain, name), path(root, "root.pem"), version);
    snprintf(key, sizeof(key), "%s/%s.key", folder, client);
    snprintf(name, sizeof(name), "%s-chain.pem", client);
    pairing->client = context_with(key, path(chain, name), root, version);
    if (pairing->server == NULL || pairing->client == NULL) {
        return 0;
    }
    SSL_CTX_set_verify(pairing->server, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_session_cache_mode(pairing->server, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(pairing->server, 0);
    pairing->key = SSL_CTX_get0_privatekey(pairing->server);
    return shake(pairing->server, pairing->client); /* a token that was never seen is not waited for */
}

static void *shakes(void *which)
{
    size_t self = (size_t)(uintptr_t)which;

    for (size_t i = self; !atomic_load(&over); i++) {
        struct pairing *pairing = &pairings[i % CONTEXTS];
        double began = now_s();

        if (shake(pairing->server, pairing->client)) {
            atomic_fetch_add(&handshakes, 1);
        } else {
            char why[1024];

            atomic_fetch_add(&failures, 1);
            fprintf(stderr, "handshake failed after %.3f s: %s\n", now_s() - began, first_reason(why, sizeof(why)));
        }
        ERR_clear_error();
        atomic_fetch_add(&ended[self], 1);
    }
    return NULL;
}

/* --- trouble ------------------------------------------------------------------------------------------------------ */

static void obey(const char *words)
{
    char wrong[256];

    if (!counts_obey(counts, words, wrong)) {
        fprintf(stderr, "soak: '%s' makes no sense\n", wrong);
        abort();
    }
}

static const struct trouble {
    const char *what;
    const char *begins;
    long ms;
    const char *ends;
} troubles[] = {
    { "sessions were lost", "lose", 0, NULL },
    { "the token was away", "go-away", 700, "come-back" },
    { "a call failed", "SignInit:rv=CKR_DEVICE_ERROR", 0, NULL },
    { "the login was lost", "log-out", 0, NULL },
    { "there were three sessions for all", "max-sessions=3 lose", 600, "max-sessions=0" },
    { "the token came back in another slot", "go-away", 400, "come-back=7" },
    { "a call failed and left its operation active", "Sign:rv=CKR_GENERAL_ERROR:left", 0, NULL },
    { "calls were slow", "delay=2000", 400, "delay=0" },
};
#define NUM_TROUBLES (sizeof(troubles) / sizeof(troubles[0]))

static _Atomic unsigned long outages[NUM_TROUBLES]; /* survived */

/* Until whatever was under way has ended, however slow the machine: each operation meets one trouble, and recovers once
 * from a kind. */
static void let_all_end(void)
{
    unsigned long before[THREADS];
    unsigned long children_before = atomic_load(&children);

    for (size_t i = 0; i < THREADS; i++) {
        before[i] = atomic_load(&ended[i]);
    }
    for (size_t i = 0; i < THREADS; i++) {
        while (atomic_load(&ended[i]) == before[i] && !atomic_load(&over)) {
            pause_ms(2);
        }
    }
    while (with_children && atomic_load(&children) == children_before && !atomic_load(&over)) {
        pause_ms(2);
    }
}

static void *makes_trouble(void *unused)
{
    (void)unused;
    for (size_t i = 0; !atomic_load(&over); i++) {
        const struct trouble *trouble = &troubles[i % NUM_TROUBLES];

        obey(trouble->begins);
        pause_ms(trouble->ms);
        if (trouble->ends != NULL) {
            obey(trouble->ends);
        }
        let_all_end();
        outages[i % NUM_TROUBLES]++;
    }
    return NULL;
}

/* Says where a child hangs, and ends it. */
static void hangs(int sig)
{
    static const char what[] = "a child hangs:\n";
    void *frames[40];

    (void)sig;
    (void)!write(STDERR_FILENO, what, sizeof(what) - 1);
    backtrace_symbols_fd(frames, backtrace(frames, 40), STDERR_FILENO);
    _exit(1);
}

/* A child signs with each key that its parent has loaded, and so does a child of its own. */
static int child_signs(int generations)
{
    int good = 1;
    int status = 0;
    pid_t pid;

    signal(SIGALRM, hangs);
    alarm(CHILD_S);
    for (size_t i = 0; i < CONTEXTS && good; i++) {
        char why[1024];

        good = sign_with(pairings[i].key) == SIGNED;
        if (!good) {
            fprintf(stderr, "a child failed: %s\n", first_reason(why, sizeof(why)));
        }
    }
    if (good && generations > 1) {
        pid = fork();
        if (pid == 0) {
            _exit(child_signs(generations - 1) ? 0 : 1);
        }
        good = pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
    }
    return good;
}

/* A child that does not even end by its alarm is ended. */
static int child_status(pid_t pid)
{
    double until = now_s() + 2 * CHILD_S;
    int status = -1;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (now_s() > until) {
            kill(pid, SIGKILL);
        }
        pause_ms(5);
    }
    return status;
}

static void *has_children(void *unused)
{
    (void)unused;
    while (with_children && !atomic_load(&over)) {
        int status;
        pid_t pid = fork();

        if (pid == 0) {
            _exit(child_signs(children % 4 == 0 ? 2 : 1) ? 0 : 1);
        }
        status = pid < 0 ? -1 : child_status(pid);
        if (status != 0) {
            fprintf(stderr, "a child ended with status %#x\n", (unsigned)status);
            children_failed++;
        }
        children++;
        pause_ms(20);
    }
    return NULL;
}

/* --- what the process holds --------------------------------------------------------------------------------------- */

struct held {
    long rss_kib;
    unsigned descriptors;
};

static void hold_more(struct held *most, struct held also)
{
    most->rss_kib = also.rss_kib > most->rss_kib ? also.rss_kib : most->rss_kib;
    most->descriptors = also.descriptors > most->descriptors ? also.descriptors : most->descriptors;
}

/* The most of what is held in a stretch of time: a moment may find a handshake half done. */
static struct held most_held(double until)
{
    struct held most = { 0, 0 };

    do {
        hold_more(&most, (struct held){ resident_kib(), descriptors_open() });
        pause_ms(20);
    } while (now_s() < until);
    return most;
}

static void tell(double seconds)
{
    printf("# %lu handshakes in %.0f s, %lu failed; %lu children, %lu failed\n", handshakes, seconds, failures,
           children, children_failed);
    for (size_t i = 0; i < NUM_TROUBLES; i++) {
        printf("# %s: %lu times\n", troubles[i].what, outages[i]);
    }
}

static int all_made(void)
{
    return pairing_make(&pairings[0], "ec", "ec", TLS1_3_VERSION) &&
           pairing_make(&pairings[1], "rsa", "ec", TLS1_3_VERSION) &&
           pairing_make(&pairings[2], "ec", "rsa", TLS1_2_VERSION) &&
           pairing_make(&pairings[3], "rsa", "rsa", TLS1_2_VERSION);
}

static void soak(double seconds, int forgive_memory)
{
    pthread_t threads[THREADS + 2];
    double began = now_s();
    struct held warm;
    struct held late;

    for (size_t i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, shakes, (void *)(uintptr_t)i);
    }
    pthread_create(&threads[THREADS], NULL, makes_trouble, NULL);
    pthread_create(&threads[THREADS + 1], NULL, has_children, NULL);
    pause_ms((long)(seconds * 1000 / 4));
    warm = most_held(began + seconds / 2);
    while (outages[NUM_TROUBLES - 1] == 0 && now_s() < began + seconds * MOST_TIMES_LONGER) {
        hold_more(&warm, most_held(now_s() + 0.1)); /* a busy machine has not met everything yet */
    }
    late = most_held(now_s() + seconds / 2);
    atomic_store(&over, 1);
    for (size_t i = 0; i < THREADS + 2; i++) {
        pthread_join(threads[i], NULL);
    }
    tell(now_s() - began);
    ok(handshakes > 50, "there were handshakes: %lu", handshakes);
    ok(failures == 0, "none failed");
    ok(!with_children || (children > 3 && children_failed == 0), "all of %lu children signed%s", children,
       with_children ? "" : " (none are made here: make check-soak has them)");
    ok(outages[NUM_TROUBLES - 1] > 0, "there was every kind of trouble");
    printf("# resident memory: %ld KiB until there was every kind of trouble, %ld KiB afterwards\n", warm.rss_kib,
           late.rss_kib);
    ok(forgive_memory || late.rss_kib <= warm.rss_kib + MOST_RSS_GROWTH_KIB, "resident memory is flat%s",
       forgive_memory ? " (not looked at: a sanitizer keeps what is freed)" : "");
    /* SoftHSM opens a file for a moment in each call, of which each thread may be found in one. */
    ok(late.descriptors <= warm.descriptors + THREADS, "descriptors are flat: %u, then %u", warm.descriptors,
       late.descriptors);
    obey("calm");
    ok(shake(pairings[0].server, pairings[0].client), "and a last handshake");
}

int main(int argc, char **argv)
{
    double seconds = argc == 5 ? strtod(argv[1], NULL) : 0;

    if (argc != 5 || seconds <= 0 || (counts = counts_map(argv[3])) == NULL) {
        fputs("usage: soak SECONDS FOLDER COUNTS none|asan|tsan\n", stderr);
        return 2;
    }
    folder = argv[2];
    with_children = strcmp(argv[4], "none") == 0 && getenv("SOAK_CHILDREN") != NULL;
    signal(SIGPIPE, SIG_DFL);
    if (ok(all_made(), "keys by URI and by file, contexts for both versions")) {
        soak(seconds, strcmp(argv[4], "none") != 0);
    }
    for (size_t i = 0; i < CONTEXTS; i++) {
        SSL_CTX_free(pairings[i].server);
        SSL_CTX_free(pairings[i].client);
    }
    return tap_done();
}
