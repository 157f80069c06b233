/* What forked processes do with a key on a token.    forks STORY FOLDER [NUMBER]
 *
 * FOLDER is that of tests/tls/setup.sh. A child is judged by its exit status, and by the clock: one that hangs is ended
 * by SIGALRM and told by its backtrace. Prints TAP. */
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <p11-kit/pkcs11.h>

#include "../lib/tap.h"
#include "../token/counts.h"

#define CHILD_SECONDS 60
#define LOADING_CHILD_SECONDS 20 /* of whom one or another hangs, each for so long */
#define NUM_THREADS 6

static const char *folder;
static char key_path[512];
static unsigned child_seconds = CHILD_SECONDS;

static void on_alarm(int number)
{
    void *frames[40];

    (void)number;
    (void)!write(STDERR_FILENO, "# a child hangs in:\n", 20);
    backtrace_symbols_fd(frames, backtrace(frames, 40), STDERR_FILENO);
    _exit(99);
}

/* In a child: it must not outlive the test, nor hang unseen. */
static void child_begins(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGALRM, on_alarm);
    alarm(child_seconds);
}

static EVP_PKEY *key_load(const char *path)
{
    BIO *file = BIO_new_file(path, "r");
    EVP_PKEY *key = file == NULL ? NULL : PEM_read_bio_PrivateKey(file, NULL, NULL, NULL);

    BIO_free(file);
    return key;
}

/* By URI, so that whoever has to type the PIN is asked now. */
static EVP_PKEY *key_load_asking(pem_password_cb *typist)
{
    UI_METHOD *ui = UI_UTIL_wrap_read_pem_callback(typist, 0);
    OSSL_STORE_CTX *store = OSSL_STORE_open("pkcs11:token=test;object=ec;type=private", ui, NULL, NULL, NULL);
    EVP_PKEY *key = NULL;

    while (store != NULL && key == NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        key = info == NULL ? NULL : OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    UI_destroy_method(ui);
    return key;
}

/* Signs, and verifies with the public half. */
static int signs(EVP_PKEY *key)
{
    unsigned char text[] = "good morning";
    unsigned char signature[1024];
    size_t len = sizeof(signature);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int good = ctx != NULL && EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
               EVP_DigestSign(ctx, signature, &len, text, sizeof(text)) == 1;

    EVP_MD_CTX_free(ctx);
    return good;
}

static int verdict(int good)
{
    if (!good) {
        ERR_print_errors_fp(stderr);
    }
    fflush(stderr);
    return good ? 0 : 1;
}

/* Waits for a child: its exit status, or 128 + a signal. */
static int ended(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) == -1 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Starts `count` children that all do `what` at one moment, and returns how many did it well. */
static unsigned at_once(unsigned count, int (*what)(EVP_PKEY *key), EVP_PKEY *key)
{
    int gate[2];
    pid_t pids[1000];
    unsigned good = 0;

    if (count > 1000 || pipe(gate) != 0) {
        return 0;
    }
    fflush(NULL);
    for (unsigned i = 0; i < count; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            char byte;

            child_begins();
            close(gate[1]);
            (void)!read(gate[0], &byte, 1); /* ends when the parent closes it */
            _exit(verdict(what(key)));
        }
    }
    close(gate[0]);
    close(gate[1]);
    for (unsigned i = 0; i < count; i++) {
        good += ended(pids[i]) == 0;
    }
    return good;
}

/* --- a wrong PIN -------------------------------------------------------------------------------------------------- */

/* Whether signing fails and one of two texts is the reason on OpenSSL's queue. */
static int fails_saying(EVP_PKEY *key, const char *text, const char *or_text)
{
    const char *data;
    int flags;
    int told = 0;

    if (signs(key)) {
        return 0;
    }
    while (ERR_get_error_all(NULL, NULL, NULL, &data, &flags) != 0) {
        if ((flags & ERR_TXT_STRING) == 0) {
            continue;
        }
        if (strstr(data, text) != NULL || strstr(data, or_text) != NULL) {
            told = 1;
        } else {
            fprintf(stderr, "# it says: %s\n", data);
        }
    }
    return told;
}

/* It was refused, now or before. */
static int is_refused(EVP_PKEY *key)
{
    return fails_saying(key, "CKR_PIN_INCORRECT", "was refused before");
}

static int is_refused_after_fork(EVP_PKEY *key)
{
    return fails_saying(key, "was opened before the fork", "was opened before the fork");
}

static int is_not_known(EVP_PKEY *key)
{
    return fails_saying(key, "died before the token answered", "died before the token answered");
}

static void wrong_pin(unsigned count)
{
    EVP_PKEY *key = key_load(key_path);

    ok(key != NULL, "the parent loads a key file");
    ok(at_once(count, is_refused, key) == count, "each of %u children is told that the PIN is wrong", count);
    ok(is_refused(key), "and so is the parent");
    EVP_PKEY_free(key);
}

/* The first child is killed while it is inside C_Login. */
static void died(unsigned count)
{
    EVP_PKEY *key = key_load(key_path);
    struct counts *counts = counts_map(getenv("SIGNET_TEST_COUNTS"));
    pid_t pid;

    if (!ok(key != NULL && counts != NULL, "the parent loads a key file")) {
        return;
    }
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        child_begins();
        _exit(verdict(signs(key)));
    }
    for (int tries = 0; tries < 10000 && counts->calls[COUNT_Login] == 0; tries++) {
        usleep(1000);
    }
    kill(pid, SIGKILL);
    ok(ended(pid) == 128 + SIGKILL, "a child is killed in C_Login");
    ok(at_once(count, is_not_known, key) == count, "%u children are told that nobody knows whether the PIN is right",
       count);
    EVP_PKEY_free(key);
}

/* The file of the PIN is corrected after children tried the wrong one. */
static void corrected_pin(unsigned count)
{
    EVP_PKEY *key = key_load(key_path);
    char path[512];
    FILE *pin;

    ok(at_once(count, is_refused, key) == count, "%u children find the PIN wrong", count);
    snprintf(path, sizeof(path), "%s/wrong-pin", folder);
    pin = fopen(path, "w");
    ok(pin != NULL && fprintf(pin, "24680\n") > 0 && fclose(pin) == 0, "its file is corrected");
    ok(at_once(count, signs, key) == count, "then %u children sign", count);
    EVP_PKEY_free(key);
}

/* --- a busy parent ------------------------------------------------------------------------------------------------ */

static _Atomic int stop;
static _Atomic unsigned failures;
static _Atomic unsigned long signatures;

static void *sign_on(void *vkey)
{
    while (!stop) {
        if (signs(vkey)) {
            signatures++;
        } else {
            failures++;
            ERR_print_errors_fp(stderr);
        }
    }
    return NULL;
}

/* Loads the key again and again, so that there is always one to be found. */
static void *load_on(void *vkey)
{
    (void)vkey;
    while (!stop) {
        EVP_PKEY *key = key_load(key_path);

        if (key != NULL && signs(key)) {
            signatures++;
        } else {
            failures++;
            ERR_print_errors_fp(stderr);
        }
        EVP_PKEY_free(key);
    }
    return NULL;
}

struct outcome {
    unsigned good;
    unsigned hung;
};

/* Where it is set, all sessions are lost while children are at work, for the parent and for the child: not again before
 * each thread has ended what it was about, since an operation recovers once from a kind of trouble. */
static struct counts *losing;
static _Atomic unsigned bursts[NUM_THREADS]; /* that each thread has ended */
static _Atomic unsigned bursting;            /* threads that have a place in it */

static void lose_sessions(void)
{
    static unsigned before[NUM_THREADS];

    for (unsigned i = 0; i < NUM_THREADS; i++) {
        if (bursts[i] < before[i] + 2) {
            return;
        }
    }
    for (unsigned i = 0; i < NUM_THREADS; i++) {
        before[i] = bursts[i];
    }
    losing->losses++;
}

/* Forks, while threads of the parent do `work`, `count` children that sign. */
static int fork_amid(struct outcome *out, unsigned count, void *(*work)(void *vkey))
{
    EVP_PKEY *key = key_load(key_path);
    pthread_t threads[NUM_THREADS];

    if (!ok(key != NULL && signs(key), "the parent signs")) {
        return 0;
    }
    for (int i = 0; i < NUM_THREADS; i++) {
        pthread_create(&threads[i], NULL, work, key);
    }
    for (unsigned i = 0; i < count; i++) {
        int status;
        pid_t pid;

        fflush(NULL);
        pid = fork();
        if (pid == 0) {
            child_begins();
            _exit(verdict(signs(key)));
        }
        if (losing != NULL) {
            lose_sessions();
        }
        status = ended(pid);
        out->good += status == 0;
        out->hung += status == 99;
    }
    stop = 1;
    for (int i = 0; i < NUM_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    ok(failures == 0 && signatures > 0, "the parent's threads never fail (%lu signatures)", (unsigned long)signatures);
    ok(signs(key), "afterwards it signs");
    EVP_PKEY_free(key);
    return 1;
}

static void busy(unsigned count)
{
    struct outcome outcome = { 0, 0 };
    int ran = fork_amid(&outcome, count, sign_on);

    ok(ran && outcome.good == count, "%u of %u children sign, whose parent's threads were signing (%u hang)",
       outcome.good, count, outcome.hung);
}

/* Signs in bursts, with pauses in which sessions that nobody needs are closed. */
static void *sign_in_bursts(void *vkey)
{
    unsigned place = bursting++;
    unsigned seed = place;

    while (!stop) {
        for (unsigned i = 0; i < 3; i++) {
            if (signs(vkey)) {
                signatures++;
            } else {
                failures++;
                ERR_print_errors_fp(stderr);
            }
        }
        bursts[place]++;
        usleep((useconds_t)rand_r(&seed) % 3000);
    }
    return NULL;
}

/* The same while sessions are lost, opened and closed all the time; the counters prove it. */
static void churn(unsigned count)
{
    struct outcome outcome = { 0, 0 };
    struct counts *counts = counts_map(getenv("SIGNET_TEST_COUNTS"));
    int ran;

    losing = counts;
    ran = counts != NULL && fork_amid(&outcome, count, sign_in_bursts);

    ok(ran && outcome.good == count, "%u of %u children sign, whose parent's threads were opening sessions (%u hang)",
       outcome.good, count, outcome.hung);
    ok(ran && counts->calls[COUNT_OpenSession] > count + NUM_THREADS, "sessions were opened all the time (%u)",
       counts != NULL ? counts->calls[COUNT_OpenSession] : 0);
    ok(ran && counts->lost > 0, "and all were lost now and then (%u times)", counts != NULL ? counts->lost : 0);
}

/* Threads that make keys, BIOs and connections may leave a lock of libcrypto's own behind, in which the child then
 * hangs: rarely, and we can't help it (signet(7), FORKING SERVERS). Nothing else may happen. */
static void loading(unsigned count)
{
    struct outcome outcome = { 0, 0 };
    int ran;

    child_seconds = LOADING_CHILD_SECONDS;
    ran = fork_amid(&outcome, count, load_on);

    ok(ran && outcome.good + outcome.hung == count && outcome.hung <= 2 + count / 50,
       "%u of %u children sign, whose parent's threads were loading keys, and %u hang in libcrypto", outcome.good,
       count, outcome.hung);
}

/* --- families ----------------------------------------------------------------------------------------------------- */

static int signs_and_so_does_its_child(EVP_PKEY *key)
{
    pid_t pid;
    int good = signs(key);

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        child_begins();
        _exit(verdict(signs(key)));
    }
    return good && ended(pid) == 0 && signs(key);
}

static int child_forks_before_it_signs(EVP_PKEY *key)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        child_begins();
        _exit(verdict(signs_and_so_does_its_child(key)));
    }
    return ended(pid) == 0 && signs(key);
}

static void family(unsigned count)
{
    EVP_PKEY *key = key_load(key_path);

    ok(at_once(count, signs, key) == count, "%u children sign before the parent ever did", count);
    ok(key != NULL && signs(key), "then the parent does");
    ok(at_once(count, signs, key) == count, "%u children sign", count);
    ok(at_once(count, signs_and_so_does_its_child, key) == count, "%u children and grandchildren sign", count);
    ok(at_once(count, child_forks_before_it_signs, key) == count, "so do grandchildren of a child that did not");
    ok(signs(key), "and the parent as before");
    EVP_PKEY_free(key);
}

/* --- a prompt ----------------------------------------------------------------------------------------------------- */

static int asked[2];
static int answer[2];

/* The parent's thread waits here until a byte comes. */
static int slow_typist(char *buffer, int size, int rw, void *arg)
{
    char byte;

    (void)rw;
    (void)arg;
    (void)!write(asked[1], "?", 1);
    (void)!read(answer[0], &byte, 1);
    return snprintf(buffer, (size_t)size, "24680");
}

static int fast_typist(char *buffer, int size, int rw, void *arg)
{
    (void)rw;
    (void)arg;
    return snprintf(buffer, (size_t)size, "24680");
}

static void *load_and_sign(void *arg)
{
    EVP_PKEY *key = key_load_asking(slow_typist);
    int good = key != NULL && signs(key);

    if (!good) {
        ERR_print_errors_fp(stderr);
    }
    EVP_PKEY_free(key);
    return good ? arg : NULL;
}

static int loads_and_signs(EVP_PKEY *key)
{
    int good;

    (void)key;
    key = key_load_asking(fast_typist);
    good = key != NULL && signs(key);
    EVP_PKEY_free(key);
    return good;
}

static void prompt(unsigned count)
{
    pthread_t thread;
    void *told = NULL;
    char byte;

    if (pipe(asked) != 0 || pipe(answer) != 0 || pthread_create(&thread, NULL, load_and_sign, asked) != 0) {
        return;
    }
    (void)!read(asked[0], &byte, 1);
    ok(at_once(count, loads_and_signs, NULL) == count, "%u children sign while the parent is asked for its PIN", count);
    (void)!write(answer[1], "!", 1);
    pthread_join(thread, &told);
    ok(told == asked, "and the parent does when it was given");
}

/* --- rights that are given up ------------------------------------------------------------------------------------- */

/* As a server's worker does: nothing outside an empty folder is in reach, and root's files are not readable. */
static int signs_in_a_cage(EVP_PKEY *key)
{
    if (chroot(folder) != 0 || chdir("/") != 0 || setgid(65534) != 0 || setuid(65534) != 0) {
        perror("# chroot");
        return 0;
    }
    return signs(key);
}

static int fails_in_a_cage(EVP_PKEY *key)
{
    if (signs_in_a_cage(key)) {
        return 0;
    }
    (void)signs(key); /* a second failure, of which nothing more is said */
    ERR_clear_error();
    return 1;
}

static void cage(unsigned count)
{
    EVP_PKEY *key = key_load(key_path);

    ok(key != NULL && signs(key), "the parent signs");
    ok(at_once(count, signs_in_a_cage, key) == count, "%u children sign in their chroot, as nobody", count);
    EVP_PKEY_free(key);
}

static void shut_out(unsigned count)
{
    EVP_PKEY *key = key_load(key_path);

    ok(key != NULL && signs(key), "the parent signs");
    ok(at_once(count, fails_in_a_cage, key) == count, "%u lazy children can't in their chroot", count);
    EVP_PKEY_free(key);
}

/* --- random numbers ----------------------------------------------------------------------------------------------- */

#define MOST_NONCES 64

/* Whoever signs different texts with one nonce has given the key away: r is the nonce's point. */
static struct nonces {
    _Atomic unsigned count;
    unsigned char r[MOST_NONCES][32];
} * nonces;

static int notes_nonce(EVP_PKEY *key)
{
    unsigned char signature[256];
    const unsigned char *at = signature;
    size_t len = sizeof(signature);
    char text[64];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    ECDSA_SIG *parts = NULL;
    int good;

    snprintf(text, sizeof(text), "the text of process %d, at %ld", (int)getpid(), (long)clock());
    good = ctx != NULL && EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, key, NULL) == 1 &&
           EVP_DigestSign(ctx, signature, &len, (unsigned char *)text, strlen(text)) == 1 &&
           (parts = d2i_ECDSA_SIG(NULL, &at, (long)len)) != NULL &&
           BN_bn2binpad(ECDSA_SIG_get0_r(parts), nonces->r[nonces->count++ % MOST_NONCES], 32) == 32;
    ECDSA_SIG_free(parts);
    EVP_MD_CTX_free(ctx);
    return good;
}

static unsigned repeated(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < nonces->count; i++) {
        for (unsigned j = 0; j < i; j++) {
            count += memcmp(nonces->r[i], nonces->r[j], 32) == 0;
        }
    }
    return count;
}

static unsigned nonces_of_family(unsigned count)
{
    EVP_PKEY *key = key_load(key_path);

    nonces = mmap(NULL, sizeof(*nonces), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ok(key != NULL && nonces != MAP_FAILED && signs(key), "the parent signs");
    ok(at_once(count, notes_nonce, key) == count && notes_nonce(key) && nonces->count == count + 1,
       "so do %u children, and the parent again", count);
    EVP_PKEY_free(key);
    return repeated();
}

static void different(unsigned count)
{
    unsigned same = nonces_of_family(count);

    ok(same == 0, "no two signatures have one nonce (%u pairs)", same);
}

/* What the rows of pkcs11/module/quirks.c are for. */
static void the_same(unsigned count)
{
    unsigned same = nonces_of_family(count);

    ok(same > 0, "signatures of different texts have one nonce (%u pairs)", same);
}

static void refused_after_fork(unsigned count)
{
    EVP_PKEY *key = key_load(key_path);

    ok(key != NULL && signs(key), "the parent signs");
    ok(at_once(count, is_refused_after_fork, key) == count, "%u children are told to use a key file", count);
    EVP_PKEY_free(key);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*tell)(unsigned count);
        unsigned count;
    } stories[] = {
        { "wrong-pin", wrong_pin, 16 },
        { "died", died, 15 },
        { "corrected-pin", corrected_pin, 8 },
        { "busy", busy, 400 },
        { "loading", loading, 100 },
        { "family", family, 8 },
        { "prompt", prompt, 4 },
        { "cage", cage, 4 },
        { "shut-out", shut_out, 4 },
        { "churn", churn, 40 },
        { "different", different, 16 },
        { "the-same", the_same, 16 },
        { "refused-after-fork", refused_after_fork, 4 },
    };

    if (argc < 3) {
        return 2;
    }
    alarm(900); /* a parent that hangs ends the test, too */
    folder = argv[2];
    snprintf(key_path, sizeof(key_path), "%s/ec.key", folder);
    for (size_t i = 0; i < sizeof(stories) / sizeof(stories[0]); i++) {
        if (strcmp(stories[i].name, argv[1]) == 0) {
            stories[i].tell(argc > 3 ? (unsigned)atoi(argv[3]) : stories[i].count);
        }
    }
    return tap_done();
}
