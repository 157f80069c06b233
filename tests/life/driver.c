/* A process that holds keys and does as it is told, one line a command and one line an answer, so that a script can
 * change the world around it between two signatures.
 *
 *     load NAME URI-OR-FILE    sign NAME [TIMES]    free NAME    fds    rss    files full|free    threads    quit
 *
 * Answers: "done", "signed", "error REASON in N ms", "WRONG SIGNATURE", or a number. A command that takes a minute ends
 * the process. */
#include <fcntl.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../tls/pair.h"
#include "life.h"

#define LONGEST_S 60

static struct {
    char name[32];
    EVP_PKEY *key;
} keys[16];

static size_t place_of(const char *name)
{
    size_t i = 0;

    while (i < sizeof(keys) / sizeof(keys[0]) - 1 && keys[i].key != NULL && strcmp(keys[i].name, name) != 0) {
        i++;
    }
    return i;
}

static unsigned long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long)now.tv_sec * 1000 + (unsigned long)now.tv_nsec / 1000000;
}

static void error_told(unsigned long began)
{
    char why[2048];

    printf("error %s in %lu ms\n", first_reason(why, sizeof(why)), now_ms() - began);
}

static void do_load(const char *name, const char *what)
{
    size_t i = place_of(name);
    unsigned long began = now_ms();
    EVP_PKEY *key;

    ERR_clear_error();
    key = key_by_name(what);
    if (key == NULL) {
        error_told(began);
        return;
    }
    EVP_PKEY_free(keys[i].key);
    keys[i].key = key;
    snprintf(keys[i].name, sizeof(keys[i].name), "%s", name);
    puts("done");
}

static void do_sign(const char *name, const char *times)
{
    EVP_PKEY *key = keys[place_of(name)].key;
    unsigned long began = now_ms();

    ERR_clear_error();
    if (key == NULL) {
        puts("error no such key");
        return;
    }
    for (int i = times == NULL ? 1 : atoi(times); i > 0; i--) {
        enum outcome outcome = sign_with(key);

        if (outcome != SIGNED) {
            if (outcome == WRONG) {
                puts("WRONG SIGNATURE");
            } else {
                error_told(began);
            }
            return;
        }
    }
    /* A recovered error leaves nothing behind. */
    puts(ERR_peek_error() == 0 ? "signed" : "signed, with errors on the queue");
}

/* The first key of that name goes; the last one takes its place, so that no hole is left. */
static void do_free(const char *name)
{
    size_t i = place_of(name);
    size_t last = i;

    while (last + 1 < sizeof(keys) / sizeof(keys[0]) && keys[last + 1].key != NULL) {
        last++;
    }
    EVP_PKEY_free(keys[i].key);
    keys[i] = keys[last];
    keys[last].key = NULL;
    puts("done");
}

/* No descriptor is left, or again as many as at the start. */
static void do_files(const char *what)
{
    static struct rlimit before;
    struct rlimit limit;
    int next;

    if (before.rlim_cur == 0) {
        getrlimit(RLIMIT_NOFILE, &before);
    }
    limit = before;
    if (strcmp(what, "full") == 0) {
        next = open("/dev/null", O_RDONLY | O_CLOEXEC);
        limit.rlim_cur = (rlim_t)next;
        close(next);
    }
    puts(setrlimit(RLIMIT_NOFILE, &limit) == 0 ? "done" : "error setrlimit");
}

static void do_threads(void)
{
    char line[128];
    int threads = 0;
    FILE *file = fopen("/proc/self/status", "r");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        (void)sscanf(line, "Threads: %d", &threads);
    }
    if (file != NULL) {
        fclose(file);
    }
    printf("%d\n", threads);
}

static int obey(char *line)
{
    char *command = strtok(line, " \n");
    char *first = strtok(NULL, " \n");
    char *second = strtok(NULL, " \n");

    if (command == NULL || strcmp(command, "quit") == 0) {
        return 0;
    }
    if (strcmp(command, "load") == 0 && second != NULL) {
        do_load(first, second);
    } else if (strcmp(command, "sign") == 0 && first != NULL) {
        do_sign(first, second);
    } else if (strcmp(command, "free") == 0 && first != NULL) {
        do_free(first);
    } else if (strcmp(command, "files") == 0 && first != NULL) {
        do_files(first);
    } else if (strcmp(command, "fds") == 0) {
        printf("%u\n", descriptors_open());
    } else if (strcmp(command, "rss") == 0) {
        printf("%ld\n", resident_kib());
    } else if (strcmp(command, "threads") == 0) {
        do_threads();
    } else {
        puts("error no such command");
    }
    return 1;
}

int main(void)
{
    static char line[4096];

    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        alarm(LONGEST_S);
        if (!obey(line)) {
            break;
        }
        alarm(0);
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        EVP_PKEY_free(keys[i].key);
    }
    return 0;
}
