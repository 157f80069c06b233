#include "pkcs11/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/lock.h"
#include "base/text.h"

#define LONGEST_PIN (64 * 1024)
#define FIRST_ROOM 1024 /* fits the page that other secrets share; grown for whoever has more */

/* How long a source is waited for: a program, or whoever writes into a pipe. */
#define EXEC_S 5
#define READ_S 30
#define US_PER_S (1000 * 1000)
#define PAUSE_US 2000 /* between two looks at a program that has closed its output and must end yet */

/* What a file looked like when it was read. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

/* What a source gave. */
struct fetched {
    struct secret pin;
    struct stamp stamp; /* of a file */
};

struct kind;

struct tok_pin_source {
    const struct kind *kind;
    char *name;     /* what may be printed */
    char *argument; /* path, number, name of a variable; NULL for a literal PIN */

    /* guarded by sources_lock */
    struct fetched fetched; /* or the copy of an environment variable, or the literal PIN */
    unsigned fetching;      /* the fork generation whose thread reads it just now; 0: none */
    bool spent;             /* a descriptor that was read: its number may mean another file by now */
};

/* Held for an instant only, never while a source is read, so that a fork can hold it, too. A child gets a new one. */
static struct lock sources_lock;

static void sources_prepare(void)
{
    lock_take(&sources_lock);
}

static void sources_parent(void)
{
    lock_give(&sources_lock);
}

static void sources_child(void)
{
    lock_init(&sources_lock);
}

static void sources_begin(void)
{
    (void)secret_locked(); /* arms the arena first: its lock is taken under ours, so a fork must take ours first, too */
    lock_init(&sources_lock);
    fork_handlers(sources_prepare, sources_parent, sources_child);
}

static void sources_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, sources_begin);
}

void tok_pin_arm(void)
{
    sources_init();
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

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

__attribute__((format(printf, 2, 3))) static struct tok_result failed(const struct tok_pin_source *source,
                                                                      const char *format, ...)
{
    char why[256];
    struct text text = TEXT_OVER(why);
    va_list args;

    va_start(args, format);
    text_vprintf(&text, format, args);
    va_end(args);
    return tok_fail(TOK_CODE_PIN_SOURCE, "no PIN from %s: %s", source->name, why);
}

/* One line end is the editor's, not the PIN's. */
static void cut_line_end(struct secret *pin)
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

/* Reads to the end, for `seconds` at most. */
static struct tok_result read_all(struct secret *out_pin, const struct tok_pin_source *source, int fd, unsigned seconds)
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
        return errno == ETIMEDOUT ? failed(source, "it did not end within %u s", seconds)
                                  : failed(source, "%s", strerror(errno));
    }
    secret_shorten(&pin, len);
    cut_line_end(&pin);
    if (pin.len > LONGEST_PIN) {
        return failed(source, "it gives more than 64 KiB");
    }
    if (pin.len == 0) {
        return failed(source, "it is empty");
    }
    *out_pin = STEAL(pin);
    return tok_good();
}

static struct stamp stamp_of(const struct stat *info)
{
    return (struct stamp){ info->st_dev, info->st_ino, info->st_size, info->st_ctim };
}

static bool stamps_equal(const struct stamp *a, const struct stamp *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* O_NONBLOCK, so that opening a pipe does not wait for a writer: reading does, up to its deadline. */
static struct tok_result fetch_file(struct fetched *out, const struct tok_pin_source *source)
{
    SCOPED(fd_end) int fd = open(source->argument, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat info;

    if (fd < 0 || fstat(fd, &info) != 0) {
        return failed(source, "%s", strerror(errno));
    }
    if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode)) {
        return failed(source, "it is neither a file nor a pipe");
    }
    out->stamp = stamp_of(&info);
    return read_all(&out->pin, source, fd, READ_S);
}

static struct tok_result fetch_fd(struct fetched *out, const struct tok_pin_source *source)
{
    SCOPED(given_fd_end) int fd = atoi(source->argument);

    return read_all(&out->pin, source, fd, READ_S);
}

static struct tok_result fetch_env(struct fetched *out, const struct tok_pin_source *source)
{
    (void)out;
    return failed(source, "%s",
                  getauxval(AT_SECURE) != 0 ? "the environment does not count in a set-user-id process"
                                            : "the variable was unset or empty when the provider started");
}

static struct tok_result fetch_credential(struct fetched *out, const struct tok_pin_source *source)
{
    return source->argument[0] == '/' ? fetch_file(out, source)
                                      : failed(source, "$CREDENTIALS_DIRECTORY was not set when the provider started");
}

/* --- programs ----------------------------------------------------------------------------------------------------- */

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
static int program_start(pid_t *out_pid, const char *program, int output)
{
    SCOPED(actions_end) posix_spawn_file_actions_t actions;
    SCOPED(attributes_end) posix_spawnattr_t attributes;
    char *const arguments[] = { (char *)program, NULL };
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

static struct tok_result fetch_exec(struct fetched *out, const struct tok_pin_source *source)
{
    SCOPED(secret_end) struct secret pin = { 0 };
    uint64_t deadline_us = clock_us() + (uint64_t)EXEC_S * US_PER_S;
    struct tok_result result;
    int ends[2];
    pid_t pid;
    int status;
    int error;

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return failed(source, "%s", strerror(errno));
    }
    error = program_start(&pid, source->argument, ends[1]);
    close(ends[1]);
    result = error == 0 ? read_all(&pin, source, ends[0], EXEC_S) : failed(source, "%s", strerror(error));
    close(ends[0]);
    if (error != 0) {
        return result;
    }
    status = program_end(pid, deadline_us);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
        return failed(source, "it ended with status %d", WEXITSTATUS(status));
    }
    TOK_TRY(result);
    if (WIFSIGNALED(status)) {
        return failed(source, clock_us() >= deadline_us ? "it did not end within 5 s" : "it was ended by a signal");
    }
    out->pin = STEAL(pin);
    return tok_good();
}

/* --- kinds -------------------------------------------------------------------------------------------------------- */

static bool is_path(const char *argument)
{
    return argument[0] == '/';
}

static bool is_number(const char *argument)
{
    return argument[0] != '\0' && strspn(argument, "0123456789") == strlen(argument) && strlen(argument) < 7;
}

static bool is_name(const char *argument)
{
    return argument[0] != '\0' && strpbrk(argument, "/=") == NULL;
}

static const struct kind {
    const char *prefix; /* with its colon; NULL: a literal PIN */
    bool (*valid)(const char *argument);
    const char *form; /* what is allowed */
    struct tok_result (*fetch)(struct fetched *out, const struct tok_pin_source *source);
    bool is_file;
    bool once; /* can't be read again */
} kinds[] = {
    { "file:", is_path, "file: needs an absolute path", fetch_file, true, false },
    { "env:", is_name, "env: needs the name of a variable", fetch_env, false, false },
    { "fd:", is_number, "fd: needs a number", fetch_fd, false, true },
    { "credential:", is_name, "credential: needs a name without a slash", fetch_credential, true, false },
    { "exec:", is_path, "exec: needs the absolute path of a program", fetch_exec, false, false },
};

static const struct kind literal = { .prefix = NULL };

static void source_end(struct tok_pin_source **source)
{
    tok_pin_source_free(*source);
}

void tok_pin_source_free(struct tok_pin_source *source)
{
    if (source != NULL) {
        free(source->name);
        free(source->argument);
        secret_end(&source->fetched.pin);
        free(source);
    }
}

static struct tok_result literal_new(struct tok_pin_source **out_source, const char *pin, const char *name)
{
    SCOPED(source_end) struct tok_pin_source *source = calloc(1, sizeof(*source));

    if (pin[0] == '\0') { /* to send it would cost a try */
        return tok_fail(TOK_CODE_PIN_SOURCE, "%s is empty", name);
    }
    if (source == NULL || (source->name = strdup(name)) == NULL ||
        !secret_set(&source->fetched.pin, pin, strlen(pin))) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PIN");
    }
    source->kind = &literal;
    *out_source = STEAL(source);
    return tok_good();
}

/* The environment is copied now: servers wipe theirs before the first signature. */
static bool environment_copy(struct tok_pin_source *source)
{
    const char *value = getauxval(AT_SECURE) != 0 ? NULL : getenv(source->argument);

    if (value == NULL) {
        return true;
    }
    if (!secret_set(&source->fetched.pin, value, strlen(value))) {
        return false;
    }
    cut_line_end(&source->fetched.pin);
    if (source->fetched.pin.len == 0) {
        secret_end(&source->fetched.pin);
    }
    return true;
}

/* systemd's folder becomes part of the path; without it the argument stays a name, which the fetch tells. */
static bool credential_resolve(struct tok_pin_source *source)
{
    const char *folder = getauxval(AT_SECURE) != 0 ? NULL : getenv("CREDENTIALS_DIRECTORY");
    char *path = NULL;

    if (folder == NULL || folder[0] != '/') {
        return true;
    }
    if (asprintf(&path, "%s/%s", folder, source->argument) < 0) {
        return false;
    }
    free(source->argument);
    source->argument = path;
    return true;
}

static struct tok_result source_make(struct tok_pin_source **out_source, const struct kind *kind, const char *argument)
{
    SCOPED(source_end) struct tok_pin_source *source = calloc(1, sizeof(*source));
    bool good;

    if (source == NULL || asprintf(&source->name, "%s%s", kind->prefix, argument) < 0) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PIN's source");
    }
    source->kind = kind;
    source->argument = strdup(argument);
    good = source->argument != NULL && (kind->fetch != fetch_env || environment_copy(source)) &&
           (kind->fetch != fetch_credential || credential_resolve(source));
    if (!good) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PIN's source");
    }
    *out_source = STEAL(source);
    return tok_good();
}

/* pin-source of a URI is a file, with or without the scheme of RFC 8089 and its empty host. NULL if it is none. */
static const char *file_of_uri(const char *text)
{
    text += strncmp(text, "file:", 5) == 0 ? 5 : 0;
    text += strncmp(text, "///", 3) == 0 ? 2 : 0;
    return is_path(text) && text[1] != '/' ? text : NULL;
}

/* `/etc/pin` or `flie:/etc/pin` sent as a PIN would cost a try. */
static bool looks_like_source(const char *text)
{
    return strpbrk(text, ":/") != NULL;
}

struct tok_result tok_pin_source_new(struct tok_pin_source **out_source, const char *text, enum tok_pin_origin origin)
{
    static const char name[] = "a literal PIN in the settings";

    if (origin == TOK_PIN_FROM_URI) {
        const char *path = file_of_uri(text);

        return path != NULL ? source_make(out_source, &kinds[0], path)
                            : tok_fail(TOK_CODE_PIN_SOURCE, "pin-source of a PKCS#11 URI must be file:/path or /path");
    }
    if (strncmp(text, "value:", 6) == 0) {
        return literal_new(out_source, text + 6, name);
    }
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        const char *argument = text + strlen(kinds[i].prefix);

        if (strncmp(text, kinds[i].prefix, strlen(kinds[i].prefix)) != 0) {
            continue;
        }
        return kinds[i].valid(argument) ? source_make(out_source, &kinds[i], argument)
                                        : tok_fail(TOK_CODE_PIN_SOURCE, "%s", kinds[i].form);
    }
    if (looks_like_source(text)) {
        return tok_fail(TOK_CODE_PIN_SOURCE,
                        "it looks like a path or a source: a PIN with : or / is written value:PIN");
    }
    return literal_new(out_source, text, name);
}

struct tok_result tok_pin_source_value(struct tok_pin_source **out_source, const char *pin)
{
    return literal_new(out_source, pin, "pin-value of the URI");
}

/* --- fetching ----------------------------------------------------------------------------------------------------- */

static struct tok_result pin_copy(struct secret *out, const struct secret *pin)
{
    return secret_set(out, pin->data, pin->len) ? tok_good() : tok_fail(TOK_CODE_NO_MEMORY, "a PIN");
}

/* fetch_claim waits for whoever is reading. True if it is the caller's turn to read; false with *out_result otherwise,
 * which is good if the PIN was there. A thread of another generation stayed behind in the parent. */
static bool fetch_claim(struct tok_pin_source *source, struct secret *out_pin, struct tok_result *out_result)
{
    uint64_t deadline_us = clock_us() + (uint64_t)READ_S * US_PER_S;

    LOCKED(&sources_lock);
    while (source->fetching == fork_generation()) {
        if (!lock_wait(&sources_lock, deadline_us) && source->fetching == fork_generation()) {
            *out_result = failed(source, "another thread is reading it, and has not ended within %d s", READ_S);
            return false;
        }
    }
    if (secret_exists(&source->fetched.pin)) {
        *out_result = pin_copy(out_pin, &source->fetched.pin);
        return false;
    }
    if (source->spent) {
        *out_result = failed(source, "it was read before, and can't be read again");
        return false;
    }
    source->fetching = fork_generation();
    source->spent = source->kind->once;
    return true;
}

static void fetch_publish(struct tok_pin_source *source, struct fetched *fetched)
{
    LOCKED(&sources_lock);
    source->fetched = STEAL(*fetched);
    source->fetching = 0;
    lock_wake(&sources_lock);
}

struct tok_result tok_pin_fetch(struct tok_pin_source *source, struct secret *out_pin)
{
    struct fetched fetched = { .pin = { 0 } };
    struct tok_result result;

    sources_init();
    if (fetch_claim(source, out_pin, &result)) {
        result = source->kind->fetch(&fetched, source);
        if (tok_ok(&result)) {
            result = pin_copy(out_pin, &fetched.pin);
        }
        fetch_publish(source, &fetched);
    }
    return result;
}

bool tok_pin_refused(struct tok_pin_source *source)
{
    struct stat info;
    struct stamp now;

    sources_init();
    if (!source->kind->is_file || stat(source->argument, &info) != 0) {
        return false;
    }
    now = stamp_of(&info);
    LOCKED(&sources_lock);
    if (!secret_exists(&source->fetched.pin) || stamps_equal(&now, &source->fetched.stamp)) {
        return false;
    }
    secret_end(&source->fetched.pin);
    return true;
}

const char *tok_pin_source_name(const struct tok_pin_source *source)
{
    return source->name;
}
