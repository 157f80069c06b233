/* A PIN that a program prints. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/path.h"
#include "base/text.h"
#include "pkcs11/config/pin-parts.h"

#define EXEC_S 5      /* how long a program is waited for */
#define PAUSE_US 2000 /* between two looks at one that has closed its output and must end yet */
#define US_PER_S (1000 * 1000)

static void actions_end(posix_spawn_file_actions_t *actions)
{
    posix_spawn_file_actions_destroy(actions);
}

static void attributes_end(posix_spawnattr_t *attributes)
{
    posix_spawnattr_destroy(attributes);
}

/* Starts the program, the leader of a group of its own, with our pipe as its output and nothing else of ours but
 * stderr: no descriptors, no environment, no signal mask, no ignored signals. */
static int program_start(pid_t *out_pid, const char *program, const char *name, int output)
{
    SCOPED(actions_end) posix_spawn_file_actions_t actions;
    SCOPED(attributes_end) posix_spawnattr_t attributes;
    char *const arguments[] = { (char *)name, NULL };
    char *const environment[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
    sigset_t none;
    sigset_t all;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_adddup2(&actions, output,
                                     STDOUT_FILENO); /* before stdin, whose number the pipe may have */
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    return posix_spawn(out_pid, program, &actions, &attributes, arguments, environment);
}

/* Waits for the program's end, and brings it about at the deadline: that of its whole group, while the leader, not
 * waited for yet, keeps the group's number. Returns its wait status; 0 where an application that waits for every child,
 * or ignores their ends, got it in our place. */
static int program_end(pid_t pid, uint64_t deadline_us)
{
    siginfo_t info = { .si_pid = 0 };
    int status = 0;
    int ours;

    while ((ours = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT | WNOHANG)) == 0 && info.si_pid == 0 &&
           clock_us() < deadline_us) {
        clock_sleep_us(PAUSE_US);
    }
    if (ours == 0 && clock_us() >= deadline_us) {
        kill(-pid, SIGKILL);
    }
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR) {
    }
    return status;
}

/* The program is run with our rights: it is the one that was checked, as in pkcs11/config/uri-query.c. */
static struct tok_result program_check(char out_program[PATH_MAX], const struct tok_pin_source *source)
{
    char why[PATH_MAX];
    struct text text = TEXT_OVER(why);

    return path_resolve(out_program, source->argument, &text)
               ? tok_good()
               : pin_failed(source, "only root%s may be able to change the program: %s",
                            geteuid() == 0 ? "" : " and this user", why);
}

struct tok_result pin_fetch_exec(struct pin_fetched *out, const struct tok_pin_source *source)
{
    char program[PATH_MAX];
    SCOPED(secret_end) struct secret pin = { 0 };
    uint64_t deadline_us = clock_us() + (uint64_t)EXEC_S * US_PER_S;
    struct tok_result result;
    int ends[2];
    pid_t pid;
    int status;
    int error;

    TOK_TRY(program_check(program, source));
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return pin_failed(source, "%s", strerror(errno));
    }
    error = program_start(&pid, program, source->argument, ends[1]);
    close(ends[1]);
    result = error == 0 ? pin_read_all(&pin, source, ends[0], EXEC_S) : pin_failed(source, "%s", strerror(error));
    close(ends[0]);
    if (error != 0) {
        return result;
    }
    status = program_end(pid, deadline_us);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
        return pin_failed(source, "it ended with status %d", WEXITSTATUS(status));
    }
    TOK_TRY(result);
    if (WIFSIGNALED(status)) {
        return pin_failed(source, clock_us() >= deadline_us ? "it did not end within 5 s" : "it was ended by a signal");
    }
    out->pin = STEAL(pin);
    return tok_good();
}
