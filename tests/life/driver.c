/* A process that holds keys and does as it is told, one line a command and one line an answer, so that a script can
 * change the world around it between two signatures.
 *
 *     load NAME URI-OR-FILE    sign NAME [TIMES]    free NAME    begin NAME    end NAME    files full|free
 *     fork NAME CHILDREN    fds    rss    threads    quit
 *
 * begin signs in a thread of its own, whose answer is that of end. fork signs in so many children at one moment, and
 * answers with what the first of them says that did not sign.
 *
 * Answers: "done", "signed", "error REASON in N ms", "WRONG SIGNATURE", or a number. A command that takes two minutes
 * ends the process. */
#include <fcntl.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../tls/pair.h"
#include "life.h"

#define LONGEST_S 120

static struct {
    char name[32];
    EVP_PKEY *key;
    pthread_t thread;
    char answer[2200];
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

static void error_into(char *out, size_t size, unsigned long began)
{
    char why[2048];

    snprintf(out, size, "error %s in %lu ms", first_reason(why, sizeof(why)), now_ms() - began);
}

static void do_load(const char *name, const char *what)
{
    size_t i = place_of(name);
    unsigned long began = now_ms();
    EVP_PKEY *key;

    ERR_clear_error();
    key = key_by_name(what);
    if (key == NULL) {
        error_into(keys[i].answer, sizeof(keys[i].answer), began);
        puts(keys[i].answer);
        return;
    }
    EVP_PKEY_free(keys[i].key);
    keys[i].key = key;
    snprintf(keys[i].name, sizeof(keys[i].name), "%s", name);
    puts("done");
}

static void sign_times(char *out, size_t size, EVP_PKEY *key, int times)
{
    unsigned long began = now_ms();

    ERR_clear_error();
    while (times-- > 0) {
        enum outcome outcome = sign_with(key);

        if (outcome == WRONG) {
            snprintf(out, size, "WRONG SIGNATURE");
            return;
        }
        if (outcome == REFUSED) {
            error_into(out, size, began);
            return;
        }
    }
    /* A recovered error leaves nothing behind. */
    snprintf(out, size, ERR_peek_error() == 0 ? "signed" : "signed, with errors on the queue");
}

static void do_sign(const char *name, const char *times)
{
    size_t i = place_of(name);

    if (keys[i].key == NULL) {
        puts("error no such key");
        return;
    }
    sign_times(keys[i].answer, sizeof(keys[i].answer), keys[i].key, times == NULL ? 1 : atoi(times));
    puts(keys[i].answer);
}

static void *sign_aside(void *place)
{
    size_t i = (size_t)(uintptr_t)place;

    sign_times(keys[i].answer, sizeof(keys[i].answer), keys[i].key, 1);
    return NULL;
}

static void do_begin(const char *name)
{
    size_t i = place_of(name);

    puts(keys[i].key != NULL && pthread_create(&keys[i].thread, NULL, sign_aside, (void *)(uintptr_t)i) == 0
             ? "done"
             : "error no thread");
}

static void do_end(const char *name)
{
    size_t i = place_of(name);

    pthread_join(keys[i].thread, NULL);
    puts(keys[i].answer);
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

/* In a child, once the parent has closed the other end of `gate`: all at one moment. Answers in one piece. */
static void child_signs(EVP_PKEY *key, const int gate[2], const int answers[2])
{
    char answer[2200];
    char byte;

    alarm(LONGEST_S);
    close(gate[1]);
    (void)!read(gate[0], &byte, 1);
    sign_times(answer, sizeof(answer), key, 3);
    (void)!write(answers[1], answer, sizeof(answer));
    _exit(0);
}

static void do_fork(const char *name, int children)
{
    EVP_PKEY *key = keys[place_of(name)].key;
    char bad[2200] = "";
    char answer[2200];
    int signing = 0;
    int gate[2];
    int answers[2];

    if (key == NULL || pipe(gate) != 0 || pipe(answers) != 0) {
        puts("error no such key");
        return;
    }
    for (int i = 0; i < children; i++) {
        if (fork() == 0) {
            child_signs(key, gate, answers);
        }
    }
    close(gate[0]);
    close(gate[1]);
    close(answers[1]);
    while (read(answers[0], answer, sizeof(answer)) == (ssize_t)sizeof(answer)) {
        if (strcmp(answer, "signed") == 0) {
            signing++;
        } else {
            memcpy(bad, answer, sizeof(bad));
        }
    }
    close(answers[0]);
    for (int status; wait(&status) > 0;) {
        if (WIFSIGNALED(status)) {
            snprintf(bad, sizeof(bad), "one died of signal %d", WTERMSIG(status));
        }
    }
    if (signing == children) {
        puts("signed");
    } else {
        printf("error %d of %d children signed; %s\n", signing, children, bad);
    }
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
    } else if (strcmp(command, "begin") == 0 && first != NULL) {
        do_begin(first);
    } else if (strcmp(command, "end") == 0 && first != NULL) {
        do_end(first);
    } else if (strcmp(command, "fork") == 0 && second != NULL) {
        do_fork(first, atoi(second));
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
