#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MOST_LINKS 40 /* as in the kernel */

struct walk {
    char *done; /* what was followed, without links, in PATH_MAX bytes; "" is the root */
    size_t len;
    char left[2 * PATH_MAX]; /* what is left to follow */
    unsigned links;
    bool to_write;
    bool in_shared; /* `done` is a folder in which others may make files, but not move ours (/tmp) */
    struct text *why;
};

static const char *name_of(const struct walk *walk)
{
    return walk->len > 0 ? walk->done : "/";
}

static bool failed(const struct walk *walk, int error)
{
    text_printf(walk->why, "'%s': %s", name_of(walk), strerror(error));
    return false;
}

static bool is_ours(uid_t owner)
{
    return owner == 0 || owner == geteuid();
}

static bool others_write(const struct stat *info)
{
    bool by_group = (info->st_mode & S_IWGRP) != 0 && (geteuid() == 0 || info->st_gid != getegid());

    return by_group || (info->st_mode & S_IWOTH) != 0;
}

static bool owner_check(const struct walk *walk, const struct stat *info)
{
    if (!is_ours(info->st_uid)) {
        text_printf(walk->why, "'%s' belongs to user %lu", name_of(walk), (unsigned long)info->st_uid);
        return false;
    }
    return true;
}

/* In a folder with the sticky bit only owners move their files. */
static bool mode_check(const struct walk *walk, const struct stat *info)
{
    bool is_shared = S_ISDIR(info->st_mode) && (info->st_mode & S_ISVTX) != 0;

    if (others_write(info) && !is_shared) {
        text_printf(walk->why, "'%s' may be written to by others (mode %04o)", name_of(walk),
                    (unsigned)info->st_mode & 07777);
        return false;
    }
    return true;
}

static bool enter_folder(struct walk *walk, const struct stat *info)
{
    walk->in_shared = others_write(info);
    return owner_check(walk, info) && mode_check(walk, info);
}

/* Devices and pipes that are written to may be anybody's. */
static bool end_at_file(const struct walk *walk, const struct stat *info)
{
    if (walk->left[0] != '\0') {
        return failed(walk, ENOTDIR);
    }
    return (walk->to_write && !S_ISREG(info->st_mode)) || (owner_check(walk, info) && mode_check(walk, info));
}

static void leave(struct walk *walk)
{
    while (walk->len > 0 && walk->done[--walk->len] != '/') {
    }
    walk->done[walk->len] = '\0';
}

/* The kernel's own links (/proc/self/fd/2) name what is open here already. */
static bool is_kernels(const struct walk *walk)
{
    struct statfs info;
    int fd = open(walk->done, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    bool is = fd >= 0 && fstatfs(fd, &info) == 0 && info.f_type == PROC_SUPER_MAGIC;

    if (fd >= 0) {
        close(fd);
    }
    return is;
}

/* *out_end: there is nothing more to follow. */
static bool follow_link(struct walk *walk, const struct stat *info, bool *out_end)
{
    char target[2 * PATH_MAX];
    struct text text = TEXT_OVER(target);
    char to[PATH_MAX];
    ssize_t len;

    *out_end = walk->to_write && walk->left[0] == '\0' && is_kernels(walk);
    if (*out_end) {
        return true;
    }
    if (!owner_check(walk, info)) {
        return false;
    }
    len = ++walk->links <= MOST_LINKS ? readlink(walk->done, to, sizeof(to)) : -1;
    if (len <= 0) {
        return failed(walk, walk->links > MOST_LINKS ? ELOOP : errno);
    }
    text_put_n(&text, to, (size_t)len);
    text_put(&text, walk->left);
    if (text.truncated) {
        return failed(walk, ENAMETOOLONG);
    }
    strcpy(walk->left, target);
    if (to[0] == '/') {
        walk->len = 0;
        walk->done[0] = '\0';
    } else {
        leave(walk);
    }
    return true;
}

/* What is not there is made by root or ourselves, or by nobody; below a folder that everybody may make, by anybody. */
static bool end_at_nothing(struct walk *walk)
{
    size_t len = strlen(walk->left);

    if (walk->in_shared && !walk->to_write) {
        text_printf(walk->why, "'%s': %s, and others may make it", name_of(walk), strerror(ENOENT));
        return false;
    }
    if (strstr(walk->left, "..") != NULL || (walk->to_write && len > 0)) {
        return failed(walk, ENOENT);
    }
    if (walk->len + len >= PATH_MAX) {
        return failed(walk, ENAMETOOLONG);
    }
    strcpy(walk->done + walk->len, walk->left);
    return true;
}

/* Takes the next component from what is left. */
static bool advance(struct walk *walk, bool *out_end)
{
    const char *start = walk->left + strspn(walk->left, "/");
    size_t len = strcspn(start, "/");
    bool up = len == 2 && memcmp(start, "..", 2) == 0;

    *out_end = len == 0;
    if (up) {
        leave(walk);
    } else if (len > 0 && !(len == 1 && start[0] == '.')) {
        if (walk->len + 1 + len >= PATH_MAX) {
            return failed(walk, ENAMETOOLONG);
        }
        walk->done[walk->len] = '/';
        memcpy(walk->done + walk->len + 1, start, len);
        walk->len += 1 + len;
        walk->done[walk->len] = '\0';
    }
    memmove(walk->left, start + len, strlen(start + len) + 1);
    return true;
}

static bool step(struct walk *walk, bool *out_end)
{
    struct stat info;

    if (!advance(walk, out_end) || *out_end) {
        return *out_end;
    }
    if (lstat(name_of(walk), &info) != 0) {
        *out_end = true;
        return errno == ENOENT ? end_at_nothing(walk) : failed(walk, errno);
    }
    if (S_ISLNK(info.st_mode)) {
        return follow_link(walk, &info, out_end);
    }
    *out_end = !S_ISDIR(info.st_mode);
    return *out_end ? end_at_file(walk, &info) : enter_folder(walk, &info);
}

static bool walk_all(char out[PATH_MAX], const char *path, bool to_write, struct text *why)
{
    struct walk walk = { .done = out, .to_write = to_write, .why = why };
    struct stat root;
    bool end = false;

    out[0] = '\0';
    if (path[0] != '/' || strlen(path) >= PATH_MAX) {
        text_printf(why, "'%s': %s", path, strerror(path[0] == '/' ? ENAMETOOLONG : EINVAL));
        return false;
    }
    strcpy(walk.left, path);
    if (lstat("/", &root) != 0 || !enter_folder(&walk, &root)) {
        return false;
    }
    while (!end) {
        if (!step(&walk, &end)) {
            return false;
        }
    }
    if (out[0] == '\0') {
        strcpy(out, "/");
    }
    return true;
}

bool path_resolve(char out[PATH_MAX], const char *path, struct text *why)
{
    return walk_all(out, path, false, why);
}

int path_append(const char *path, struct text *why)
{
    int follow = 0;
    char resolved[PATH_MAX];
    struct stat info;
    int fd;

    if (!walk_all(resolved, path, true, why)) {
        return -1;
    }
    if (lstat(resolved, &info) != 0 || !S_ISLNK(info.st_mode) || strncmp(resolved, "/proc/", 6) != 0) {
        follow = O_NOFOLLOW; /* in /tmp anybody may have made a link meanwhile */
    }
    fd = open(resolved, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | follow, 0600);
    if (fd < 0) {
        text_printf(why, "'%s': %s", resolved, strerror(errno));
    } else if (fstat(fd, &info) != 0 || (S_ISREG(info.st_mode) && follow != 0 && !is_ours(info.st_uid))) {
        text_printf(why, "'%s' belongs to somebody else", resolved);
        close(fd);
        fd = -1;
    }
    return fd;
}
