/* Handshakes, and key agreement, whose operations on the token are done while the thread does other things.
 *
 *     jobs FOLDER [exit|free|hang|waits|one|late]
 *
 * The folder is that of tests/tls/setup.sh; SIGNET_TEST_COUNTS names the file of the module's counters, by which calls
 * are delayed and hang. Where a job must be found pausing, the call hangs until it was: a busy machine may take any
 * time between two steps. The deadline must be longer than that, but 1 s for "late". */
#include <openssl/async.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <p11-kit/pkcs11.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lib/tap.h"
#include "../tls/pair.h"
#include "../token/control.h"
#include "flight.h"

#ifdef __SANITIZE_THREAD__
#define SANITIZER_THREADS 1
#else
#define SANITIZER_THREADS 0
#endif

static struct counts *counts;
static const char *folder;
static SSL_CTX *client_of_all;

static void obey(const char *words)
{
    char wrong[256];

    if (!counts_obey(counts, words, wrong)) {
        ok(0, "'%s' is a word for the module", wrong);
    }
}

/* Also calls that hang go on. */
static void calm(void)
{
    counts_calm(counts);
}

static SSL_CTX *server_of(const char *type, int version, bool async)
{
    char key[256];
    char chain[256];
    char root[256];
    SSL_CTX *server;

    snprintf(key, sizeof(key), "%s/%s.key", folder, type);
    snprintf(chain, sizeof(chain), "%s/%s-chain.pem", folder, type);
    snprintf(root, sizeof(root), "%s/root.pem", folder);
    server = context_with(key, chain, root, version);
    if (server != NULL) {
        SSL_CTX_set_verify(server, SSL_VERIFY_NONE, NULL);
        if (async) {
            SSL_CTX_set_mode(server, SSL_MODE_ASYNC);
        }
    }
    return server;
}

static bool runs(struct flight_pair *pair)
{
    enum flight_step step;

    while ((step = flight_step(pair)) == FLIGHT_PAUSED) {
        if (!flight_wait(pair, 30000)) {
            return false;
        }
    }
    return step == FLIGHT_DONE;
}

/* --- good days ---------------------------------------------------------------------------------------------------- */

static void pauses_and_ends(const char *type, int version, const char *ciphers, const char *what)
{
    SSL_CTX *server = server_of(type, version, true);
    struct flight_pair pair;
    OSSL_ASYNC_FD fds[8];
    size_t num_fds = 0;

    if (server == NULL || (ciphers != NULL && SSL_CTX_set_cipher_list(server, ciphers) != 1) ||
        !flight_begin(&pair, server, client_of_all)) {
        ok(0, "%s: there is a server", what);
        return;
    }
    obey("all:hang=forever");
    ok(flight_step(&pair) == FLIGHT_PAUSED && SSL_waiting_for_async(pair.server), "%s: the handshake pauses", what);
    ok(SSL_get_all_async_fds(pair.server, NULL, &num_fds) == 1 && num_fds == 1 &&
           SSL_get_all_async_fds(pair.server, fds, &num_fds) == 1,
       "%s: on one descriptor", what);
    calm();
    ok(runs(&pair), "%s: and ends well", what);
    flight_end(&pair);
    SSL_CTX_free(server);
}

static void spurious_resumes(void)
{
    SSL_CTX *server = server_of("ec", TLS1_3_VERSION, true);
    struct flight_pair pair;
    unsigned paused = 0;

    obey("Sign:hang=forever");
    if (flight_begin(&pair, server, client_of_all)) {
        for (int i = 0; i < 50; i++) {
            paused += flight_step(&pair) == FLIGHT_PAUSED;
        }
        calm();
        ok(paused == 50, "a job that nobody woke pauses again, 50 times (%u)", paused);
        ok(runs(&pair), "and ends well when it is woken");
        flight_end(&pair);
    }
    SSL_CTX_free(server);
}

static int woken;

static int on_done(SSL *ssl, void *arg)
{
    (void)ssl;
    __atomic_fetch_add((int *)arg, 1, __ATOMIC_SEQ_CST);
    return 1;
}

static void callbacks(void)
{
    SSL_CTX *server = server_of("ec", TLS1_3_VERSION, true);
    struct flight_pair pair;

    SSL_CTX_set_async_callback(server, on_done);
    SSL_CTX_set_async_callback_arg(server, &woken);
    obey("Sign:hang=forever");
    if (flight_begin(&pair, server, client_of_all)) {
        ok(flight_step(&pair) == FLIGHT_PAUSED, "with a callback the handshake pauses");
        ok(__atomic_load_n(&woken, __ATOMIC_SEQ_CST) == 0, "the callback is not called before the token answers");
        calm();
        for (int i = 0; i < 3000 && __atomic_load_n(&woken, __ATOMIC_SEQ_CST) == 0; i++) {
            usleep(10000);
        }
        ok(__atomic_load_n(&woken, __ATOMIC_SEQ_CST) == 1, "the callback is called once (%d)", woken);
        ok(flight_step(&pair) == FLIGHT_DONE, "then the handshake ends");
        flight_end(&pair);
    }
    SSL_CTX_free(server);
}

struct job {
    EVP_PKEY *key;
    bool blocked;
    OSSL_LIB_CTX *libctx;
};

static int sign_in_job(void *vjob)
{
    const struct job *job = *(struct job *const *)vjob;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char sig[1024];
    size_t len = sizeof(sig);
    int good;

    if (job->blocked) {
        ASYNC_block_pause();
    }
    good = context != NULL && EVP_DigestSignInit_ex(context, NULL, "SHA256", job->libctx, NULL, job->key, NULL) == 1 &&
           EVP_DigestSign(context, sig, &len, (const unsigned char *)"text", 4) == 1;
    if (job->blocked) {
        ASYNC_unblock_pause();
    }
    EVP_MD_CTX_free(context);
    return good;
}

/* Returns what ASYNC_start_job does; *out_good is the job's own result. */
static int job_start(struct job *what, ASYNC_JOB **job, ASYNC_WAIT_CTX *context, int *out_good)
{
    return ASYNC_start_job(job, context, out_good, sign_in_job, &what, sizeof(what));
}

static void blocked_jobs(void)
{
    char path[256];
    struct job what = { NULL, true, NULL };
    ASYNC_WAIT_CTX *context = ASYNC_WAIT_CTX_new();
    ASYNC_JOB *job = NULL;
    int good = 0;
    uint64_t began = flight_clock_us();

    snprintf(path, sizeof(path), "%s/ec.key", folder);
    what.key = key_by_name(path);
    obey("Sign:delay=50000");
    ok(job_start(&what, &job, context, &good) == ASYNC_FINISH && good == 1,
       "a job that may not pause signs without a pause");
    ok(flight_clock_us() - began >= 50000, "its thread waits for the token");
    calm();
    EVP_PKEY_free(what.key);
    ASYNC_WAIT_CTX_free(context);
}

struct agreement {
    EVP_PKEY *key;
    EVP_PKEY *peer;
    unsigned char secret[64];
    size_t len;
};

/* The length of the secret; 0: there is none. */
static size_t secret_of(EVP_PKEY *key, EVP_PKEY *peer, unsigned char *out, size_t room)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool good = context != NULL && EVP_PKEY_derive_init(context) == 1 && EVP_PKEY_derive_set_peer(context, peer) == 1 &&
                EVP_PKEY_derive(context, out, &room) == 1;

    EVP_PKEY_CTX_free(context);
    return good ? room : 0;
}

static int agree_in_job(void *vjob)
{
    struct agreement *job = *(struct agreement *const *)vjob;

    job->len = secret_of(job->key, job->peer, job->secret, sizeof(job->secret));
    return job->len > 0;
}

static int agreement_start(struct agreement *what, ASYNC_JOB **job, ASYNC_WAIT_CTX *context, int *out_good)
{
    return ASYNC_start_job(job, context, out_good, agree_in_job, &what, sizeof(what));
}

/* The public half, as whoever has the certificate has it: a software key. */
static EVP_PKEY *public_half(EVP_PKEY *key)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    const unsigned char *at = der;
    EVP_PKEY *half = len > 0 ? d2i_PUBKEY(NULL, &at, len) : NULL;

    OPENSSL_free(der);
    return half;
}

static bool wait_for_job(ASYNC_WAIT_CTX *context)
{
    OSSL_ASYNC_FD fd;
    size_t num = 1;
    struct pollfd wait = { .events = POLLIN };

    if (ASYNC_WAIT_CTX_get_all_fds(context, NULL, &num) != 1 || num != 1 ||
        ASYNC_WAIT_CTX_get_all_fds(context, &fd, &num) != 1) {
        return false;
    }
    wait.fd = fd;
    return poll(&wait, 1, 30000) == 1;
}

static void secrets_are_agreed_on(void)
{
    char path[256];
    unsigned char theirs[64];
    struct agreement what = { .peer = EVP_EC_gen("P-256") };
    struct agreement abandoned;
    ASYNC_WAIT_CTX *context = ASYNC_WAIT_CTX_new();
    ASYNC_WAIT_CTX *short_lived = ASYNC_WAIT_CTX_new();
    ASYNC_JOB *job = NULL;
    ASYNC_JOB *lost = NULL;
    EVP_PKEY *half;
    int good = 0;

    snprintf(path, sizeof(path), "%s/agree.key", folder);
    what.key = key_by_name(path);
    half = public_half(what.key);
    abandoned = what;
    obey("DeriveKey:hang=forever");
    ok(agreement_start(&what, &job, context, &good) == ASYNC_PAUSE, "a key agreement pauses while a worker derives");
    ok(agreement_start(&abandoned, &lost, short_lived, &good) == ASYNC_PAUSE, "and another one");
    ASYNC_WAIT_CTX_free(short_lived);
    calm();
    ok(wait_for_job(context) && agreement_start(&what, &job, context, &good) == ASYNC_FINISH && good == 1,
       "it ends well, though the other one was given up");
    ok(what.len > 0 && secret_of(what.peer, half, theirs, sizeof(theirs)) == what.len &&
           memcmp(theirs, what.secret, what.len) == 0,
       "the secret is the one that the other side gets");
    obey("DeriveKey:rv=CKR_KEY_FUNCTION_NOT_PERMITTED:times=always");
    what.len = 0;
    good = 1;
    while (agreement_start(&what, &job, context, &good) == ASYNC_PAUSE && wait_for_job(context)) {
    }
    ok(good == 0 && what.len == 0, "a token that refuses fails the agreement");
    calm();
    EVP_PKEY_free(half);
    EVP_PKEY_free(what.key);
    EVP_PKEY_free(what.peer);
    ASYNC_WAIT_CTX_free(context);
}

#define IN_FLIGHT 16

/* That one thread has many handshakes under way is told by how many are, not by the clock: the token answers none. */
static void many_in_flight(void)
{
    SSL_CTX *waiting = server_of("ec", TLS1_3_VERSION, false);
    SSL_CTX *pausing = server_of("ec", TLS1_3_VERSION, true);
    struct flight_pair pairs[IN_FLIGHT];
    struct flight_report report;
    unsigned begun = 0;
    unsigned paused = 0;
    unsigned ended = 0;

    ok(flight_run(&report, NULL, waiting, client_of_all, 64, 50) && report.done == 50 && report.pauses == 0,
       "50 handshakes of a server that waits for the token");
    obey("all:hang=forever");
    while (begun < IN_FLIGHT && flight_begin(&pairs[begun], pausing, client_of_all)) {
        paused += flight_step(&pairs[begun++]) == FLIGHT_PAUSED;
    }
    ok(paused == IN_FLIGHT, "%u of one that does not are under way in one thread while the token answers none", paused);
    calm();
    for (unsigned i = 0; i < begun; i++) {
        ended += runs(&pairs[i]);
        flight_end(&pairs[i]);
    }
    ok(ended == IN_FLIGHT, "and all end well (%u)", ended);
    obey("delay=2000");
    ok(flight_run(&report, NULL, pausing, client_of_all, 64, 640) && report.done == 640 && report.failed == 0 &&
           report.pauses > 0,
       "so do 640, 64 at a time (%u, %u failed; %.0f/s, %u threads)", report.done, report.failed, 640 / report.seconds,
       report.threads);
    calm();
    SSL_CTX_free(waiting);
    SSL_CTX_free(pausing);
}

/* --- bad days ----------------------------------------------------------------------------------------------------- */

static void failures_are_told(void)
{
    SSL_CTX *server = server_of("ec", TLS1_3_VERSION, true);
    struct flight_pair pair;
    char text[1024] = "";

    obey("Sign:rv=CKR_KEY_FUNCTION_NOT_PERMITTED:times=always");
    if (flight_begin(&pair, server, client_of_all)) {
        bool good = runs(&pair);
        const char *data = NULL;
        int flags = 0;

        ERR_peek_error_all(NULL, NULL, NULL, &data, &flags);
        snprintf(text, sizeof(text), "%s", data != NULL ? data : "");
        ok(!good, "a token that refuses fails the handshake");
        ok(strstr(text, "CKR_KEY_FUNCTION_NOT_PERMITTED") != NULL,
           "the error is on the queue of the thread that asked (%s)", text);
        flight_end(&pair);
    }
    calm();
    SSL_CTX_free(server);
}

static void hangs_end_at_the_deadline(void)
{
    SSL_CTX *server = server_of("ec", TLS1_3_VERSION, true);
    struct flight_pair pair;
    uint64_t began = flight_clock_us();
    char text[1024];

    obey("Sign:hang=forever");
    if (flight_begin(&pair, server, client_of_all)) {
        bool good = runs(&pair);
        uint64_t took = flight_clock_us() - began;
        const char *data = NULL;
        int flags = 0;

        ERR_peek_error_all(NULL, NULL, NULL, &data, &flags);
        snprintf(text, sizeof(text), "%s", data != NULL ? data : "");
        ok(!good && took >= 1000000,
           "a call that hangs for ever fails the handshake after the deadline of 1 s (%.1f s)", (double)took / 1e6);
        ok(strstr(text, "C_Sign") != NULL, "the error names the call (%s)", text);
        flight_end(&pair);
    }
    calm();
    for (int i = 0; i < 1500; i++) {
        if (flight_begin(&pair, server, client_of_all)) {
            bool good = runs(&pair);

            flight_end(&pair);
            if (good) {
                ERR_clear_error();
                ok(1, "and when the token answers again, so do handshakes");
                SSL_CTX_free(server);
                return;
            }
        }
        usleep(20000);
    }
    ok(0, "and when the token answers again, so do handshakes");
    SSL_CTX_free(server);
}

static void forks(void)
{
    SSL_CTX *server = server_of("ec", TLS1_3_VERSION, true);
    struct flight_pair pair;
    struct flight_pair other;
    int status = -1;
    pid_t child;

    obey("Sign:hang=forever");
    if (!flight_begin(&pair, server, client_of_all) ||
        !ok(flight_step(&pair) == FLIGHT_PAUSED, "a handshake pauses before a fork")) {
        return;
    }
    child = fork(); /* which waits for the call for a moment, and goes on without it */
    calm();
    if (child == 0) {
        const char *data = NULL;
        int flags = 0;

        if (flight_step(&pair) != FLIGHT_FAILED) {
            _exit(1);
        }
        ERR_peek_error_all(NULL, NULL, NULL, &data, &flags);
        if (data == NULL || strstr(data, "fork") == NULL) {
            _exit(2);
        }
        ERR_clear_error();
        if (flight_begin(&other, server, client_of_all) && runs(&other)) {
            _exit(0);
        }
        ERR_print_errors_fp(stderr);
        _exit(3);
    }
    (void)waitpid(child, &status, 0);
    ok(WIFEXITED(status) && WEXITSTATUS(status) == 0,
       "in the child it fails with a clear error, and a new one pauses and ends well (%d)", WEXITSTATUS(status));
    ok(runs(&pair), "in the parent it goes on");
    flight_end(&pair);
    SSL_CTX_free(server);
}

static void never_pauses(void)
{
    SSL_CTX *server = server_of("ec", TLS1_3_VERSION, true);
    struct flight_report report;

    obey("delay=2000");
    ok(flight_run(&report, NULL, server, client_of_all, 8, 20) && report.done == 20, "handshakes in jobs end well");
    ok(report.pauses == 0, "no job pauses (%u)", report.pauses);
    calm();
    SSL_CTX_free(server);
}

static void one_worker(void)
{
    SSL_CTX *server = server_of("ec", TLS1_3_VERSION, true);
    struct flight_report report;
    bool good;

    counts_forget(counts);
    obey("delay=2000");
    good = flight_run(&report, NULL, server, client_of_all, 16, 60);
    ok(good && report.done == 60 && report.pauses > 0, "60 handshakes end well, and pause (%u times)", report.pauses);
    ok(report.threads <= 3 + SANITIZER_THREADS, "by one worker, and one thread that looks at the time (%u threads)",
       report.threads);
    ok(counts->calls[COUNT_OpenSession] - counts->calls[COUNT_CloseSession] == 1, "on one session (%u)",
       counts->calls[COUNT_OpenSession] - counts->calls[COUNT_CloseSession]);
    calm();
    SSL_CTX_free(server);
}

/* Waits until the worker is inside the token. */
static void call_is_made(enum count which)
{
    for (int i = 0; i < 10000 && counts->calls[which] == 0; i++) {
        usleep(1000);
    }
}

/* A job of another library context, of which nothing is left when the token answers. */
static bool free_all(void)
{
    OSSL_LIB_CTX *other = OSSL_LIB_CTX_new();
    ASYNC_WAIT_CTX *context = ASYNC_WAIT_CTX_new();
    ASYNC_JOB *job = NULL;
    struct job what = { NULL, false, NULL };
    char path[256];
    int good = 0;
    BIO *file;

    snprintf(path, sizeof(path), "%s/ec.key", folder);
    file = BIO_new_file(path, "r");
    if (file == NULL || OSSL_LIB_CTX_load_config(other, getenv("OPENSSL_CONF")) != 1) {
        return false;
    }
    what.libctx = other;
    what.key = PEM_read_bio_PrivateKey_ex(file, NULL, NULL, NULL, other, NULL);
    BIO_free(file);
    if (what.key == NULL || job_start(&what, &job, context, &good) != ASYNC_PAUSE) {
        return false;
    }
    call_is_made(COUNT_Sign);
    ASYNC_WAIT_CTX_free(context);
    EVP_PKEY_free(what.key);
    OSSL_LIB_CTX_free(other);
    return true;
}

/* Ends the process while a signature is under way. */
static int end(const char *how)
{
    SSL_CTX *server = server_of("ec", TLS1_3_VERSION, true);
    struct flight_pair pair;

    counts_forget(counts);
    obey(strcmp(how, "hang") == 0 ? "Sign:hang=forever" : "Sign:delay=100000");
    if (strcmp(how, "free") == 0) {
        exit(free_all() ? 3 : 1);
    }
    if (!flight_begin(&pair, server, client_of_all) || flight_step(&pair) != FLIGHT_PAUSED) {
        return 1;
    }
    call_is_made(COUNT_Sign);
    exit(3);
}

int main(int argc, char **argv)
{
    char root[256];

    counts = argc == 2 || argc == 3 ? counts_map(getenv("SIGNET_TEST_COUNTS")) : NULL;
    if (counts == NULL) {
        return 2;
    }
    folder = argv[1];
    snprintf(root, sizeof(root), "%s/root.pem", folder);
    client_of_all = context_with(NULL, NULL, root, 0);
    if (argc == 3 && strcmp(argv[2], "waits") == 0) {
        never_pauses();
        return tap_done();
    }
    if (argc == 3 && strcmp(argv[2], "one") == 0) {
        one_worker();
        return tap_done();
    }
    if (argc == 3 && strcmp(argv[2], "late") == 0) {
        hangs_end_at_the_deadline();
        return tap_done();
    }
    if (argc == 3) {
        return end(argv[2]);
    }
    if (!ok(client_of_all != NULL && ASYNC_is_capable(), "there are jobs")) {
        return tap_done();
    }
    pauses_and_ends("ec", TLS1_3_VERSION, NULL, "P-256, TLS 1.3");
    pauses_and_ends("rsa", TLS1_3_VERSION, NULL, "RSA-2048, TLS 1.3");
    pauses_and_ends("rsa", TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", "RSA-2048, TLS 1.2");
    pauses_and_ends("rsa", TLS1_2_VERSION, "AES128-GCM-SHA256", "RSA key transport");
    pauses_and_ends("ed25519", TLS1_3_VERSION, NULL, "Ed25519");
    spurious_resumes();
    callbacks();
    blocked_jobs();
    secrets_are_agreed_on();
    many_in_flight();
    failures_are_told();
    forks();
    SSL_CTX_free(client_of_all);
    return tap_done();
}
