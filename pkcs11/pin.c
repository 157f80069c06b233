#include "pkcs11/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fork.h"
#include "base/lock.h"

#define LONGEST_PIN (64 * 1024)
#define EXEC_US (5 * 1000 * 1000)

/* What a file looked like when it was read. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct kind;

struct tok_pin_source {
    const struct kind *kind;
    char *name;     /* what may be printed */
    char *argument; /* path, number, name of a variable; NULL for a literal PIN */

    /* guarded by sources_lock */
    struct secret pin; /* fetched, or the copy of an environment variable */
    struct stamp stamp;
};

/* A source is asked seldom, so that one lock serves all; a fork holds it, and gives the child a new one. */
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
    lock_init(&sources_lock);
    fork_handlers(sources_prepare, sources_parent, sources_child);
}

/* --- reading ------------------------------------------------------------------------------------------------------------------ */

static void fd_end(const int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
}

static struct tok_result failed(const struct tok_pin_source *source, const char *why)
{
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

/* Reads to the end, waiting until the deadline where there is one (0: none). */
static struct tok_result read_all(struct secret *out_pin, const struct tok_pin_source *source, int fd, uint64_t deadline_us)
{
    SCOPED(secret_end) struct secret pin = { 0 };
    size_t len = 0;

    if (!secret_new(&pin, LONGEST_PIN + 2)) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PIN");
    }
    for (;;) {
        struct pollfd ready = { .fd = fd, .events = POLLIN };
        uint64_t now = clock_us();
        ssize_t got;

        if (deadline_us != 0 && (now >= deadline_us || poll(&ready, 1, (int)((deadline_us - now) / 1000) + 1) == 0)) {
            return failed(source, "it did not end within 5 s");
        }
        got = read(fd, pin.data + len, pin.len - len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return failed(source, strerror(errno));
        }
        if (got == 0) {
            break;
        }
        len += (size_t)got;
        if (len == pin.len) {
            return failed(source, "it gives more than 64 KiB");
        }
    }
    secret_shorten(&pin, len);
    cut_line_end(&pin);
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

static struct tok_result fetch_file(struct tok_pin_source *source)
{
    SCOPED(fd_end) int fd = open(source->argument, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat info;

    if (fd < 0 || fstat(fd, &info) != 0) {
        return failed(source, strerror(errno));
    }
    if (S_ISDIR(info.st_mode)) {
        return failed(source, strerror(EISDIR));
    }
    source->stamp = stamp_of(&info);
    return read_all(&source->pin, source, fd, 0);
}

static struct tok_result fetch_fd(struct tok_pin_source *source)
{
    SCOPED(fd_end) int fd = atoi(source->argument);

    return read_all(&source->pin, source, fd, 0);
}

static struct tok_result fetch_env(struct tok_pin_source *source)
{
    return failed(source, getauxval(AT_SECURE) != 0 ? "the environment does not count in a set-user-id process"
                                                    : "the variable was not set when the provider started");
}

static struct tok_result fetch_credential(struct tok_pin_source *source)
{
    return source->argument[0] == '/' ? fetch_file(source)
                                      : failed(source, "$CREDENTIALS_DIRECTORY was not set when the provider started");
}

static void actions_end(posix_spawn_file_actions_t *actions)
{
    posix_spawn_file_actions_destroy(actions);
}

static void attributes_end(posix_spawnattr_t *attributes)
{
    posix_spawnattr_destroy(attributes);
}

/* Starts the program with our pipe as its output and nothing else of ours: no descriptors, no environment, no signal mask. */
static int program_start(pid_t *out_pid, const char *program, int output)
{
    SCOPED(actions_end) posix_spawn_file_actions_t actions;
    SCOPED(attributes_end) posix_spawnattr_t attributes;
    char *const arguments[] = { (char *)program, NULL };
    char *const environment[] = { (char *)"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };
    sigset_t none;

    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    return posix_spawn(out_pid, program, &actions, &attributes, arguments, environment);
}

static struct tok_result fetch_exec(struct tok_pin_source *source)
{
    SCOPED(secret_end) struct secret pin = { 0 };
    SCOPED(fd_end) int output = -1;
    struct tok_result result;
    int ends[2];
    pid_t pid;
    int status = 0;
    int error;

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return failed(source, strerror(errno));
    }
    output = ends[0];
    error = program_start(&pid, source->argument, ends[1]);
    close(ends[1]);
    if (error != 0) {
        return failed(source, strerror(error));
    }
    result = read_all(&pin, source, output, clock_us() + EXEC_US);
    if (!tok_ok(&result)) {
        kill(pid, SIGKILL);
    }
    while (waitpid(pid, &status, 0) == -1 && errno == EINTR) {
    }
    TOK_TRY(result);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return failed(source, "the program failed");
    }
    source->pin = STEAL(pin);
    return tok_good();
}

/* --- kinds --------------------------------------------------------------------------------------------------------------------- */

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
    struct tok_result (*fetch)(struct tok_pin_source *source);
    bool is_file;
} kinds[] = {
    { "file:", is_path, "file: needs an absolute path", fetch_file, true },
    { "env:", is_name, "env: needs the name of a variable", fetch_env, false },
    { "fd:", is_number, "fd: needs a number", fetch_fd, false },
    { "credential:", is_name, "credential: needs a name without a slash", fetch_credential, true },
    { "exec:", is_path, "exec: needs the absolute path of a program", fetch_exec, false },
};

static const struct kind literal = { NULL, NULL, NULL, NULL, false };

static void source_end(struct tok_pin_source **source)
{
    tok_pin_source_free(*source);
}

void tok_pin_source_free(struct tok_pin_source *source)
{
    if (source != NULL) {
        free(source->name);
        free(source->argument);
        secret_end(&source->pin);
        free(source);
    }
}

static struct tok_result literal_new(struct tok_pin_source **out_source, const char *pin, const char *name)
{
    SCOPED(source_end) struct tok_pin_source *source = calloc(1, sizeof(*source));

    if (source == NULL || (source->name = strdup(name)) == NULL || !secret_set(&source->pin, pin, strlen(pin))) {
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

    return value == NULL || secret_set(&source->pin, value, strlen(value));
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

/* pin-source of a URI is a file, with or without the scheme of RFC 8089 and its empty host. */
static const char *file_of_uri(const char *text)
{
    text += strncmp(text, "file:", 5) == 0 ? 5 : 0;
    return text + (strncmp(text, "///", 3) == 0 ? 2 : 0);
}

struct tok_result tok_pin_source_new(struct tok_pin_source **out_source, const char *text, enum tok_pin_origin origin)
{
    if (origin == TOK_PIN_FROM_URI) {
        const char *path = file_of_uri(text);

        return is_path(path) ? source_make(out_source, &kinds[0], path)
                             : tok_fail(TOK_CODE_PIN_SOURCE, "pin-source of a PKCS#11 URI must be file:/path or /path");
    }
    if (strncmp(text, "value:", 6) == 0) {
        return tok_pin_source_value(out_source, text + 6);
    }
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        const char *argument = text + strlen(kinds[i].prefix);

        if (strncmp(text, kinds[i].prefix, strlen(kinds[i].prefix)) != 0) {
            continue;
        }
        return kinds[i].valid(argument) ? source_make(out_source, &kinds[i], argument)
                                        : tok_fail(TOK_CODE_PIN_SOURCE, "%s", kinds[i].form);
    }
    return literal_new(out_source, text, "a literal PIN in the settings");
}

struct tok_result tok_pin_source_value(struct tok_pin_source **out_source, const char *pin)
{
    return literal_new(out_source, pin, "a literal PIN");
}

struct tok_result tok_pin_fetch(struct tok_pin_source *source, struct secret *out_pin)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, sources_begin);
    LOCKED(&sources_lock);
    if (!secret_exists(&source->pin)) {
        TOK_TRY(source->kind->fetch(source));
    }
    return secret_set(out_pin, source->pin.data, source->pin.len) ? tok_good() : tok_fail(TOK_CODE_NO_MEMORY, "a PIN");
}

bool tok_pin_refused(struct tok_pin_source *source)
{
    struct stat info;
    struct stamp now;

    if (!source->kind->is_file || stat(source->argument, &info) != 0) {
        return false;
    }
    now = stamp_of(&info);
    LOCKED(&sources_lock);
    if (!secret_exists(&source->pin) || stamps_equal(&now, &source->stamp)) {
        return false;
    }
    secret_end(&source->pin);
    return true;
}

const char *tok_pin_source_name(const struct tok_pin_source *source)
{
    return source->name;
}
