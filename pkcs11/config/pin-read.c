/* PINs from files, pipes and descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/text.h"
#include "pkcs11/config/pin-parts.h"

#define LONGEST_PIN (64 * 1024)
#define FIRST_ROOM 1024 /* fits the page that other secrets share; grown for whoever has more */
#define US_PER_S (1000 * 1000)

static void fd_end(const int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

/* A standard descriptor stays open: whatever is opened next would take its place. */
static void given_fd_end(const int *fd)
{
    if (*fd > STDERR_FILENO) {
        close(*fd);
    }
}

struct tok_result pin_failed(const struct tok_pin_source *source, const char *format, ...)
{
    char why[256];
    struct text text = TEXT_OVER(why);
    va_list args;

    va_start(args, format);
    text_vprintf(&text, format, args);
    va_end(args);
    return tok_fail(TOK_CODE_PIN_SOURCE, "no PIN from %s: %s", source->name, why);
}

void pin_cut_line_end(struct secret *pin)
{
    size_t len = pin->len;

    if (len > 0 && pin->data[len - 1] == '\n') {
        len--;
        if (len > 0 && pin->data[len - 1] == '\r') {
            len--;
        }
    }
    secret_shorten(pin, len);
}

/* read that waits until the deadline: ETIMEDOUT then. It asks poll before each read, since a pipe that nobody has
 * opened for writing yet reads as ended. */
static ssize_t read_until(int fd, void *buffer, size_t size, uint64_t deadline_us)
{
    for (;;) {
        struct pollfd ready = { .fd = fd, .events = POLLIN };
        uint64_t now = clock_us();
        int polled = now < deadline_us ? poll(&ready, 1, (int)((deadline_us - now) / 1000) + 1) : 0;
        ssize_t got = -1;

        if (polled == 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (polled > 0) {
            got = read(fd, buffer, size);
        }
        if (got >= 0 || (errno != EINTR && errno != EAGAIN)) {
            return got;
        }
    }
}

static bool grow(struct secret *pin)
{
    struct secret larger = { 0 };

    if (!secret_new(&larger, pin->len * 4)) {
        return false;
    }
    memcpy(larger.data, pin->data, pin->len);
    secret_end(pin);
    *pin = larger;
    return true;
}

struct tok_result pin_read_all(struct secret *out_pin, const struct tok_pin_source *source, int fd, unsigned seconds)
{
    SCOPED(secret_end) struct secret pin = { 0 };
    uint64_t deadline_us = clock_us() + (uint64_t)seconds * US_PER_S;
    size_t len = 0;
    ssize_t got;

    if (!secret_new(&pin, FIRST_ROOM)) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PIN");
    }
    while ((got = read_until(fd, pin.data + len, pin.len - len, deadline_us)) > 0) {
        len += (size_t)got;
        if (len > LONGEST_PIN + strlen("\r\n")) {
            break;
        }
        if (len == pin.len && !grow(&pin)) {
            return tok_fail(TOK_CODE_NO_MEMORY, "a PIN");
        }
    }
    if (got < 0) {
        return errno == ETIMEDOUT ? pin_failed(source, "it did not end within %u s", seconds)
                                  : pin_failed(source, "%s", strerror(errno));
    }
    secret_shorten(&pin, len);
    pin_cut_line_end(&pin);
    if (pin.len > LONGEST_PIN) {
        return pin_failed(source, "it gives more than 64 KiB");
    }
    if (pin.len == 0) {
        return pin_failed(source, "it is empty");
    }
    *out_pin = STEAL(pin);
    return tok_good();
}

struct pin_stamp pin_stamp_of(const struct stat *info)
{
    return (struct pin_stamp){ info->st_dev, info->st_ino, info->st_size, info->st_ctim };
}

bool pin_stamps_equal(const struct pin_stamp *a, const struct pin_stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* O_NONBLOCK, so that opening a pipe does not wait for a writer: reading does, up to its deadline. */
struct tok_result pin_fetch_file(struct pin_fetched *out, const struct tok_pin_source *source)
{
    SCOPED(fd_end) int fd = open(source->argument, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat info;

    if (fd < 0 || fstat(fd, &info) != 0) {
        return pin_failed(source, "%s", strerror(errno));
    }
    if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode)) {
        return pin_failed(source, "it is neither a file nor a pipe");
    }
    out->stamp = pin_stamp_of(&info);
    return pin_read_all(&out->pin, source, fd, PIN_READ_S);
}

struct tok_result pin_fetch_fd(struct pin_fetched *out, const struct tok_pin_source *source)
{
    SCOPED(given_fd_end) int fd = atoi(source->argument);

    return pin_read_all(&out->pin, source, fd, PIN_READ_S);
}
