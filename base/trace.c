#include "base/trace.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/path.h"
#include "base/scoped.h"
#include "base/stderr.h"
#include "base/text.h"

_Atomic unsigned trace_areas;
static _Atomic int trace_fd = STDERR_FILENO;
static _Atomic dev_t trace_device; /* of the file; not for stderr */
static _Atomic ino_t trace_inode;

static const struct {
    const char *name;
    enum trace_area area;
} areas[] = {
    { "config", TRACE_CONFIG },   { "module", TRACE_MODULE }, { "token", TRACE_TOKEN }, { "login", TRACE_LOGIN },
    { "session", TRACE_SESSION }, { "find", TRACE_FIND },     { "key", TRACE_KEY },     { "store", TRACE_STORE },
    { "calls", TRACE_CALLS },     { "error", TRACE_ERROR },
};

const char *trace_area_names(void)
{
    return "config, module, token, login, session, find, key, store, calls, error";
}

/* The bits of a list of area names; 0 if one is unknown. */
static unsigned areas_of(const char *names)
{
    SCOPED(scoped_free) char *copy = strdup(names);
    char *rest = copy;
    char *item;
    unsigned bits = 0;

    while ((item = text_next_item(&rest)) != NULL) {
        unsigned bit = 0;

        for (size_t i = 0; i < COUNT_OF(areas); i++) {
            bit |= text_same_word(areas[i].name, item) || text_same_word("all", item) ? (unsigned)areas[i].area : 0;
        }
        if (bit == 0) {
            return 0;
        }
        bits |= bit;
    }
    return bits;
}

/* An earlier one stays open: another thread may be writing to it. */
static bool file_open(const char *path, const char **out_why)
{
    static _Thread_local char why[300];
    struct text text = TEXT_OVER(why);
    int fd = path_append(path, &text);
    struct stat info;

    if (fd < 0 || fstat(fd, &info) != 0) {
        *out_why = why;
        return false;
    }
    atomic_store(&trace_device, info.st_dev);
    atomic_store(&trace_inode, info.st_ino);
    atomic_store(&trace_fd, fd);
    return true;
}

bool trace_set(const char *setting, const char **out_why)
{
    SCOPED(scoped_free) char *text = strdup(setting);
    char *names;
    unsigned bits = areas_of("all");

    if (text == NULL) {
        *out_why = "no memory";
        return false;
    }
    if (text_same_word(text, "off")) {
        atomic_store(&trace_areas, 0);
        return true;
    }
    names = strrchr(text, ':');
    if (names != NULL && areas_of(names + 1) != 0) {
        bits = areas_of(names + 1);
        *names = '\0';
    }
    if (strncmp(text, "file:/", 6) == 0) {
        if (!file_open(text + 5, out_why)) {
            return false;
        }
    } else if (text_same_word(text, "stderr")) {
        stderr_remember();
        atomic_store(&trace_fd, STDERR_FILENO);
    } else {
        *out_why = "it is neither off, stderr nor file:/PATH, with areas after a colon";
        return false;
    }
    atomic_store(&trace_areas, bits);
    return true;
}

/* A program that becomes a daemon may close every descriptor, and open a connection under the number of ours. */
static bool still_ours(int fd)
{
    struct stat info;

    if (fd == STDERR_FILENO) {
        return stderr_is_ours();
    }
    return fstat(fd, &info) == 0 && info.st_ino == atomic_load(&trace_inode) &&
           info.st_dev == atomic_load(&trace_device);
}

void trace_print(enum trace_area area, const char *format, ...)
{
    char line[1024];
    struct text text = text_over(line, sizeof(line) - 1);
    uint64_t now = clock_us();
    int saved_errno = errno;
    int fd = atomic_load(&trace_fd);
    va_list args;

    (void)area;
    text_printf(&text, "signet[%ld.%ld] %llu.%06llu ", (long)getpid(), (long)syscall(SYS_gettid),
                (unsigned long long)(now / 1000000), (unsigned long long)(now % 1000000));
    va_start(args, format);
    text_vprintf(&text, format, args);
    va_end(args);
    text.len = text_clean(line); /* one event is one line, whatever a token's label holds */
    line[text.len] = '\n';
    if (still_ours(fd)) {
        (void)!write(fd, line, text.len + 1);
    }
    errno = saved_errno;
}
