/* What a unit test does in a child process. cmocka's asserts are for the parent: a child is judged by its exit status.
 * For the unit tests; owns nothing. */
#ifndef SIGNET_TESTS_CHILD_H
#define SIGNET_TESTS_CHILD_H

#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_SECONDS 60

/* child_ended waits for a child: its exit status, 128 + a signal (142: it hung), or -1. */
static inline int child_ended(pid_t pid)
{
    int status = 0;

    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* child_exit ends a child at once: to the thread sanitizer, _exit is where it complains of the parent's threads. */
__attribute__((noreturn)) static inline void child_exit(int status)
{
    for (;;) {
        syscall(SYS_exit_group, status);
    }
}

/* child_does runs body(arg) in a forked child; what it returns is the exit status. */
static inline int child_does(int (*body)(void *arg), void *arg)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        alarm(CHILD_SECONDS);
        child_exit(body(arg));
    }
    return child_ended(pid);
}

#endif
