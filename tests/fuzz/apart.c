#include "apart.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"

/* Where clang counts edges (-fsanitize=fuzzer-no-link); neither is there in other builds. */
extern uint8_t edges_begin[] __asm__("__start___sancov_cntrs") __attribute__((weak, visibility("hidden")));
extern uint8_t edges_end[] __asm__("__stop___sancov_cntrs") __attribute__((weak, visibility("hidden")));

static size_t edges_len(void)
{
    return (size_t)((uintptr_t)edges_end - (uintptr_t)edges_begin);
}

static uint8_t *shared_edges(void)
{
    static uint8_t *shared;

    if (shared == NULL) {
        shared = mmap(NULL, edges_len() + 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        HOLDS(shared != MAP_FAILED);
    }
    return shared;
}

static _Noreturn void child(void (*run)(const uint8_t *data, size_t size), const uint8_t *data, size_t size,
                            uint8_t *shared)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* the parent gave up waiting */
    run(data, size);
    if (edges_len() > 0) {
        memcpy(shared, edges_begin, edges_len());
    }
    _exit(0);
}

void apart(void (*run)(const uint8_t *data, size_t size), const uint8_t *data, size_t size)
{
    uint8_t *shared = shared_edges();
    pid_t pid = fork();
    int status = -1;

    HOLDS(pid >= 0);
    if (pid == 0) {
        child(run, data, size, shared);
    }
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR) {
    }
    HOLDS(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (edges_len() > 0) {
        memcpy(edges_begin, shared, edges_len());
    }
}
