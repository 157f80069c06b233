/* Connections that die while the token signs for them.    kills FOLDER NUMBER
 *
 * OpenSSL never goes on with the job of a connection that is freed meanwhile, and leaves behind its stack and what was
 * on it. All memory of libcrypto and libssl is counted here apart, so that what they leave and what Signet leaves can
 * be told from each other.
 *
 * What malloc says is in use is that only without its caches for threads (kills.sh sets glibc.malloc.tcache_count):
 * freed blocks in them count as used, up to 236 KiB a thread, and there are sometimes more workers, sometimes fewer. */
#include <malloc.h>
#include <openssl/async.h>
#include <openssl/crypto.h>
#include <p11-kit/pkcs11.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/tap.h"
#include "../tls/pair.h"
#include "../token/control.h"
#include "flight.h"

#define STACK 32768      /* of a job, in OpenSSL 3.0 to 4.0 */
#define MOST_SESSIONS 12 /* of 8 workers */
#define CONTEXT 260      /* ours, emptied, which OpenSSL leaves behind in that of the signature */
/* Workers that are there now and were not before: 1 KiB of each, 3 KiB of its session; and pages of their own heaps. */
#define WORKER (32L * 1024) /* of a worker: what the module keeps for its session */
#define SLACK (24 * 1024)
#define RESIDENT_SLACK (8 * 1024 * 1024)

static struct counts *counts;
static bool measurable; /* malloc tells what is in use */

/* --- libcrypto's memory ------------------------------------------------------------------------------------------- */

static _Atomic long crypto_bytes;
static _Atomic long crypto_stacks;

static void *note(void *block, int sign)
{
    if (block != NULL) {
        size_t size = malloc_usable_size(block);

        atomic_fetch_add(&crypto_bytes, sign * (long)size);
        if (size >= STACK && size < STACK + 64) {
            atomic_fetch_add(&crypto_stacks, sign);
        }
    }
    return block;
}

static void *counted_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return note(malloc(size), 1);
}

static void counted_free(void *block, const char *file, int line)
{
    (void)file;
    (void)line;
    free(note(block, -1));
}

static void *counted_realloc(void *block, size_t size, const char *file, int line)
{
    void *grown;

    (void)note(block, -1);
    grown = realloc(block, size);
    (void)note(grown != NULL ? grown : block, 1);
    (void)file;
    (void)line;
    return grown;
}

/* --- how much there is -------------------------------------------------------------------------------------------- */

struct state {
    long others; /* bytes in use that are not libcrypto's */
    long crypto;
    long stacks;
    long resident;
    unsigned fds;
    unsigned sessions;
};

static unsigned fds_open(void)
{
    unsigned open = 0;

    for (int fd = 0; fd < 4096; fd++) {
        open += lseek(fd, 0, SEEK_CUR) >= 0 || dup2(fd, fd) == fd;
    }
    return open;
}

static long resident(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    long pages = 0;

    if (file != NULL) {
        if (fscanf(file, "%*s %ld", &pages) != 1) {
            pages = 0;
        }
        fclose(file);
    }
    return pages * sysconf(_SC_PAGESIZE);
}

static struct state state_now(void)
{
    struct state now;

    unsigned begun = counts_total(counts);

    for (int still = 0; still < 4; still++) { /* until the workers have done what they had begun */
        usleep(50000);
        if (begun != counts_total(counts)) {
            begun = counts_total(counts);
            still = 0;
        }
    }
    now.crypto = atomic_load(&crypto_bytes);
    now.others = (long)mallinfo2().uordblks + (long)mallinfo2().hblkhd - now.crypto;
    now.stacks = atomic_load(&crypto_stacks);
    now.resident = resident();
    now.fds = fds_open();
    now.sessions = counts->calls[COUNT_OpenSession] - counts->calls[COUNT_CloseSession];
    return now;
}

/* --- deaths ------------------------------------------------------------------------------------------------------- */

/* So many connections, up to 40 of them paused at once; each dies while it is paused, or (polite) once its job has come
 * to an end. Returns how many were paused. */
static unsigned die(SSL_CTX *server, SSL_CTX *client, unsigned number, bool polite)
{
    struct flight_pair pairs[40];
    unsigned paused = 0;

    for (unsigned done = 0; done < number;) {
        unsigned batch = number - done < 40 ? number - done : 40;

        for (unsigned i = 0; i < batch; i++) {
            paused += flight_begin(&pairs[i], server, client) && flight_step(&pairs[i]) == FLIGHT_PAUSED;
        }
        usleep(done % 80 < 40 ? 0 : 3000); /* some are queued, some are being signed for, some are done */
        for (unsigned i = 0; i < batch; i++) {
            while (polite && flight_wait(&pairs[i], 60000) && flight_step(&pairs[i]) == FLIGHT_PAUSED) {
            }
            flight_end(&pairs[i]);
        }
        done += batch;
    }
    ERR_clear_error();
    return paused;
}

static SSL_CTX *server_of(const char *folder, const char *type, int version, const char *ciphers)
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
        SSL_CTX_set_mode(server, SSL_MODE_ASYNC);
        if (ciphers != NULL && SSL_CTX_set_cipher_list(server, ciphers) != 1) {
            SSL_CTX_free(server);
            return NULL;
        }
    }
    return server;
}

/* What is left of so many deaths. */
static void memory(const char *what, unsigned number, const struct state *before, const struct state *after)
{
    long ours = after->others - before->others;
    long crypto = after->crypto - before->crypto;
    long resident = after->resident - before->resident;
    long room = SLACK + (long)number * CONTEXT;

    if (after->sessions > before->sessions) { /* another worker and its session, up to MOST_SESSIONS of them */
        room += (long)(after->sessions - before->sessions) * WORKER;
    }
    printf("# %s: OpenSSL itself keeps %ld bytes of each, in %ld stacks of jobs (%d bytes each) and what was on them\n",
           what, crypto / (long)number, after->stacks - before->stacks, STACK);
    if (!measurable) {
        printf("# %s: a sanitizer has its own malloc, which can't tell what is in use\n", what);
        return;
    }
    ok(ours < room, "%s: memory that is not OpenSSL's stays as it is, but for an empty context (%ld bytes of each)",
       what, ours / (long)number);
    ok(resident < crypto + room + RESIDENT_SLACK, "%s: resident memory grew by %ld KiB, of which OpenSSL keeps %ld",
       what, resident / 1024, crypto / 1024);
}

static void deaths(const char *folder, const char *what, const char *type, int version, const char *ciphers,
                   unsigned number)
{
    char root[256];
    SSL_CTX *server = server_of(folder, type, version, ciphers);
    SSL_CTX *client;
    struct state before;
    struct state after;
    unsigned paused;
    long room;

    snprintf(root, sizeof(root), "%s/root.pem", folder);
    client = context_with(NULL, NULL, root, version);
    if (!ok(server != NULL && client != NULL, "%s: there is a server", what)) {
        return;
    }
    measurable = mallinfo2().uordblks > 0;
    (void)die(server, client, 200, false);
    (void)die(server, client, 40, true);
    before = state_now();
    paused = die(server, client, number, false);
    after = state_now();
    ok(paused > number / 2, "%s: %u of %u connections died while the token signed", what, paused, number);
    ok(after.fds == before.fds, "%s: descriptors stay as many (%u, %u)", what, before.fds, after.fds);
    ok(after.sessions <= MOST_SESSIONS, "%s: sessions are no more than workers need (%u, %u)", what, before.sessions,
       after.sessions);
    memory(what, number, &before, &after);
    /* OpenSSL keeps jobs for use again, as many as there have ever been at once */
    for (int i = 0; i < 50 && die(server, client, 40, true) < 40; i++) {
    }
    before = state_now();
    (void)die(server, client, number / 4, true);
    after = state_now();
    room = SLACK + (after.sessions > before.sessions ? (long)(after.sessions - before.sessions) * WORKER : 0);
    ok(after.crypto - before.crypto < 64 * 1024 && (!measurable || after.others - before.others < room) &&
           after.fds == before.fds,
       "%s: connections whose job comes to its end before they are freed leave nothing at all (%ld, %ld bytes)", what,
       after.crypto - before.crypto, after.others - before.others);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

int main(int argc, char **argv)
{
    unsigned number = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    char wrong[256];

    if (number == 0 || CRYPTO_set_mem_functions(counted_malloc, counted_realloc, counted_free) != 1) {
        return 2;
    }
    counts = counts_map(getenv("SIGNET_TEST_COUNTS"));
    if (counts == NULL || !counts_obey(counts, "Sign:delay=2000", wrong) ||
        !counts_obey(counts, "Decrypt:delay=2000", wrong)) {
        return 2;
    }
    deaths(argv[1], "P-256", "ec", TLS1_3_VERSION, NULL, number);
    deaths(argv[1], "RSA key transport", "rsa", TLS1_2_VERSION, "AES128-GCM-SHA256", number / 4);
    return tap_done();
}
