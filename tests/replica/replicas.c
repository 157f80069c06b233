/* TLS handshakes with one key on three tokens, of which one goes away and comes back: none may fail.
 *
 *     replicas FOLDER KEY...        FOLDER as replicas.sh leaves it, tokens r1, r2, r3; keys by URI or file
 *
 * What happens is judged by the tokens' counters; nothing here depends on how fast anything is. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../async/flight.h"
#include "../lib/tap.h"
#include "../tls/pair.h"
#include "../token/control.h"

#define NUM 3
#define THREADS 6
#define PATIENCE_S 60

static struct counts *tokens[NUM];
static SSL_CTX *server;
static SSL_CTX *client;
static SSL_CTX *pausing; /* the server, whose handshakes pause */

static _Atomic int over;
static _Atomic unsigned good;
static _Atomic unsigned bad;

/* --- tokens ------------------------------------------------------------------------------------------------------- */

static void tell(int i, const char *words)
{
    char wrong[256];

    if (!counts_obey(tokens[i], words, wrong)) {
        fprintf(stderr, "'%s' makes no sense\n", wrong);
        exit(2);
    }
}

static unsigned signed_by(int i)
{
    return tokens[i]->calls[COUNT_Sign];
}

static double now_s(void)
{
    return (double)flight_clock_us() / 1e6;
}

/* Waits for an event, while handshakes go on. */
static int comes(int (*event)(unsigned long arg), unsigned long arg)
{
    double until = now_s() + PATIENCE_S;

    while (!event(arg)) {
        if (now_s() > until) {
            return 0;
        }
        usleep(2000);
    }
    return 1;
}

static int are_made(unsigned long handshakes)
{
    return good >= handshakes;
}

static int all_sign(unsigned long mark)
{
    (void)mark;
    return signed_by(0) > 0 && signed_by(1) > 0 && signed_by(2) > 0;
}

static void forget(void)
{
    for (int i = 0; i < NUM; i++) {
        counts_forget(tokens[i]);
    }
}

/* --- in one thread ------------------------------------------------------------------------------------------------ */

static int one_shake(void)
{
    return shake(server, client);
}

static void in_order(const char *key)
{
    int shaken = 1;

    forget();
    for (int i = 0; i < 5; i++) {
        shaken = shaken && one_shake();
    }
    ok(shaken && signed_by(0) == 5 && signed_by(1) + signed_by(2) == 0,
       "%s: with nothing else to do, the first token signs", key);
    tell(0, "Sign:rv=CKR_DEVICE_REMOVED:go-away");
    ok(one_shake() && signed_by(0) == 6 && signed_by(1) + signed_by(2) == 1,
       "%s: it is pulled in the middle of a signature, and another one signs", key);
    forget();
    for (int i = 0; i < 5; i++) {
        shaken = shaken && one_shake();
    }
    ok(shaken && signed_by(1) >= 4 && signed_by(0) == 0, "%s: from then on the second signs", key);
    tell(1, "go-away");
    forget();
    ok(one_shake() && signed_by(2) == 1, "%s: two of three are away, and the third signs", key);
    tell(2, "go-away");
    tell(1, "come-back=3");
    forget();
    ok(one_shake() && signed_by(1) == 1, "%s: the one that is back, in another slot, signs when the last goes", key);
    tell(0, "calm");
    tell(1, "calm");
    tell(2, "calm");
}

/* --- in many ------------------------------------------------------------------------------------------------------ */

static void *shakes(void *unused)
{
    (void)unused;
    while (!over) {
        if (one_shake()) {
            good++;
        } else {
            bad++;
            ERR_print_errors_fp(stderr);
        }
        ERR_clear_error();
    }
    return NULL;
}

/* Many handshakes of one thread, as an event loop has them. */
static void *flies(void *unused)
{
    (void)unused;
    while (!over) {
        struct flight_report report;

        if (flight_run(&report, NULL, pausing, client, 8, 40)) {
            good += report.done;
            bad += report.failed;
        } else {
            bad++;
        }
        ERR_print_errors_fp(stderr);
    }
    return NULL;
}

static void kill_each(const char *key, const char *how)
{
    ok(comes(all_sign, 0), "%s, %s: all tokens sign", key, how);
    for (int i = 0; i < NUM; i++) {
        unsigned before;

        tell(i, "go-away");
        forget();
        comes(are_made, good + 60);
        before = signed_by(i);
        tell(i, "come-back");
        forget();
        ok(comes(all_sign, 0) && bad == 0, "%s, %s: token %d goes (asked %u times) and comes, none of %u has failed",
           key, how, i + 1, before, (unsigned)good);
    }
}

static void in_many(const char *key, const char *how, void *(*work)(void *), int num)
{
    pthread_t threads[THREADS];

    over = 0;
    good = bad = 0;
    for (int i = 0; i < NUM; i++) {
        tell(i, "calm serialise SignInit:delay=1000 Sign:delay=1000");
    }
    forget();
    for (int i = 0; i < num; i++) {
        pthread_create(&threads[i], NULL, work, NULL);
    }
    kill_each(key, how);
    over = 1;
    for (int i = 0; i < num; i++) {
        pthread_join(threads[i], NULL);
    }
    ok(bad == 0, "%s, %s: %u handshakes, %u failed", key, how, (unsigned)good, (unsigned)bad);
    for (int i = 0; i < NUM; i++) {
        tell(i, "calm");
    }
}

/* --- in children -------------------------------------------------------------------------------------------------- */

static void in_children(const char *key)
{
    int status = 0;
    int shaken = 0;

    tell(0, "go-away");
    for (int i = 0; i < 4; i++) {
        pid_t child = fork();

        if (child == 0) {
            alarm(PATIENCE_S);
            _exit(one_shake() && one_shake() ? 0 : 1);
        }
        shaken += child > 0 && waitpid(child, &status, 0) == child && status == 0;
    }
    ok(shaken == 4, "%s: children of a parent whose first token goes have handshakes (%d of 4)", key, shaken);
    tell(0, "calm");
}

static int begin(const char *folder, const char *key)
{
    char chain[300];
    char root[300];

    snprintf(chain, sizeof(chain), "%s/www-chain.pem", folder);
    snprintf(root, sizeof(root), "%s/root.pem", folder);
    server = context_with(key, chain, root, TLS1_3_VERSION);
    pausing = context_with(key, chain, root, TLS1_3_VERSION);
    client = context_with(NULL, NULL, root, TLS1_3_VERSION);
    if (server == NULL || pausing == NULL || client == NULL) {
        return 0;
    }
    SSL_CTX_set_verify(server, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_verify(pausing, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(pausing, SSL_MODE_ASYNC);
    return 1;
}

static void end(void)
{
    SSL_CTX_free(server);
    SSL_CTX_free(pausing);
    SSL_CTX_free(client);
}

static int map_tokens(const char *folder)
{
    for (int i = 0; i < NUM; i++) {
        char path[300];

        snprintf(path, sizeof(path), "%s/r%d.counts", folder, i + 1);
        tokens[i] = counts_map(path);
        if (tokens[i] == NULL) {
            return 0;
        }
    }
    return 1;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 3 || !map_tokens(argv[1])) {
        fprintf(stderr, "usage: replicas FOLDER KEY...\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        const char *name = strncmp(argv[i], "pkcs11:", 7) == 0 ? "by URI" : "by key file";

        if (!ok(begin(argv[1], argv[i]), "%s: the key is loaded", name)) {
            continue;
        }
        in_order(name);
        if (i % 2 == 0) {
            in_many(name, "six threads", shakes, THREADS);
        } else {
            in_many(name, "one thread with ASYNC jobs", flies, 1);
        }
        in_children(name);
        end();
    }
    return tap_done();
}
