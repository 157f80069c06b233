/* Threads that load keys, sign with them and let them go; then a child that does the same, and its parent once more.
 *
 *     threads KIB KEY...        KIB: of stack for each thread */
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tls/pair.h"
#include "life.h"

#define THREADS 8
#define ROUNDS 5

static char **key_names;

/* The number of signatures that were made. */
static void *load_and_sign(void *unused)
{
    intptr_t made = 0;

    (void)unused;
    for (int round = 0; round < ROUNDS; round++) {
        for (char **name = key_names; *name != NULL; name++) {
            EVP_PKEY *key = key_by_name(*name);

            if (key != NULL && sign_with(key) == SIGNED) {
                made++;
            } else {
                ERR_print_errors_fp(stderr);
            }
            EVP_PKEY_free(key);
        }
    }
    return (void *)made;
}

static int child_signs(intptr_t wanted)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        alarm(30);
        _exit((intptr_t)load_and_sign(NULL) == wanted ? 0 : 1);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        fprintf(stderr, "threads: the child ended with status %#x\n", (unsigned)status);
        return 0;
    }
    return (intptr_t)load_and_sign(NULL) == wanted;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    pthread_attr_t attr;
    intptr_t made = 0;
    intptr_t wanted;

    if (argc < 3) {
        fputs("usage: threads KIB KEY...\n", stderr);
        return 2;
    }
    key_names = argv + 2;
    wanted = (intptr_t)(argc - 2) * THREADS * ROUNDS;
    pthread_attr_init(&attr);
    if (pthread_attr_setstacksize(&attr, (size_t)atoi(argv[1]) * 1024) != 0) {
        fputs("threads: no such stack\n", stderr);
        return 2;
    }
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], &attr, load_and_sign, NULL) != 0) {
            fputs("threads: no thread\n", stderr);
            return 2;
        }
    }
    for (int i = 0; i < THREADS; i++) {
        void *result = NULL;

        pthread_join(threads[i], &result);
        made += (intptr_t)result;
    }
    pthread_attr_destroy(&attr);
    printf("%d signatures of %d\n", (int)made, (int)wanted);
    return made == wanted && child_signs(wanted / THREADS) ? 0 : 1;
}
