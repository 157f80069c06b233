#include "base/stderr.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

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

static bool is_network(void)
{
    struct sockaddr_storage name = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof(name);

    return getsockname(STDERR_FILENO, (struct sockaddr *)&name, &len) == 0 && name.ss_family != AF_UNIX;
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
    if (atomic_load(&state) != KNOWN || fstat(STDERR_FILENO, &info) != 0) {
        return false;
    }
    return (is_same(&info, &remembered) && !is_network()) || is_log(&info);
}
