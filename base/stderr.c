#include "base/stderr.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define JOURNAL "/run/systemd/journal/"

enum { UNKNOWN, ASKED, KNOWN };
static _Atomic int state;
static struct stat remembered; /* st_nlink is 0 where it was closed; written before `state` is KNOWN */

void stderr_remember(void)
{
    int unknown = UNKNOWN;

    if (!atomic_compare_exchange_strong(&state, &unknown, ASKED)) {
        return;
    }
    if (fstat(STDERR_FILENO, &remembered) != 0) {
        remembered = (struct stat){ .st_mode = 0 };
    }
    atomic_store(&state, KNOWN);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && (a->st_mode & S_IFMT) == (b->st_mode & S_IFMT);
}

static bool is_named(const struct sockaddr_un *name, socklen_t len)
{
    return name->sun_family != AF_UNIX || len > offsetof(struct sockaddr_un, sun_path);
}

/* The end of a connection to somebody: a pair of sockets has no names, and that to the journal is standard error. */
static bool is_connection(void)
{
    union {
        struct sockaddr_un name;
        struct sockaddr_storage room;
    } here = { .name = { .sun_family = AF_UNIX } }, there = here;
    socklen_t here_len = sizeof(here);
    socklen_t there_len = sizeof(there);

    if (getsockname(STDERR_FILENO, (struct sockaddr *)&here, &here_len) != 0) {
        return false;
    }
    if (is_named(&here.name, here_len) || getpeername(STDERR_FILENO, (struct sockaddr *)&there, &there_len) != 0) {
        return true;
    }
    return is_named(&there.name, there_len) && strncmp(there.name.sun_path, JOURNAL, strlen(JOURNAL)) != 0;
}

/* What was opened to be read as well, or to end with this program, is no output that somebody redirected. */
static bool is_data(const struct stat *info)
{
    int flags = fcntl(STDERR_FILENO, F_GETFL);

    return (fcntl(STDERR_FILENO, F_GETFD) & FD_CLOEXEC) != 0 ||
           (S_ISREG(info->st_mode) && (flags & (O_ACCMODE | O_APPEND)) == O_RDWR);
}

/* Whether a pipe's end is one to write to: its other end has the same number. */
static bool is_output_pipe(int fd, const struct stat *info)
{
    struct stat other;

    return fstat(fd, &other) == 0 && is_same(&other, info) && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
}

/* What a program has put there since, as its log. */
static bool is_log(const struct stat *info)
{
    if (S_ISREG(info->st_mode)) {
        return (fcntl(STDERR_FILENO, F_GETFL) & O_APPEND) != 0;
    }
    return S_ISFIFO(info->st_mode) && is_output_pipe(STDOUT_FILENO, info) && is_output_pipe(STDERR_FILENO, info);
}

bool stderr_is_ours(void)
{
    struct stat info;

    stderr_remember();
    if (atomic_load(&state) != KNOWN || fstat(STDERR_FILENO, &info) != 0 || is_data(&info)) {
        return false;
    }
    return (is_same(&info, &remembered) && !is_connection()) || is_log(&info);
}
