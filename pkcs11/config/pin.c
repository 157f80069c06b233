#include "pkcs11/config/pin.h"

#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/fork.h"
#include "base/lock.h"
#include "base/shared.h"
#include "pkcs11/config/pin-parts.h"

#define US_PER_S (1000 * 1000)
#define ABOUT_SOURCES 2 /* of hashes; 1 is about tokens (pkcs11/token/tries.c) */

/* Held for an instant only, never while a source is read, so that a fork can hold it, too. A child gets a new one. */
static struct lock sources_lock;

static void sources_begin(void)
{
    fork_lock(FORK_PINS, &sources_lock, NULL);
}

static void sources_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, sources_begin);
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

static struct tok_result fetch_env(struct pin_fetched *out, const struct tok_pin_source *source)
{
    (void)out;
    return pin_failed(source, "%s",
                      getauxval(AT_SECURE) != 0 ? "the environment does not count in a set-user-id process"
                                                : "the variable was unset or empty when the provider started");
}

static struct tok_result fetch_credential(struct pin_fetched *out, const struct tok_pin_source *source)
{
    return source->argument[0] == '/'
               ? pin_fetch_file(out, source)
               : pin_failed(source, "$CREDENTIALS_DIRECTORY was not set when the provider started");
}

static const struct pin_kind {
    const char *prefix; /* with its colon; NULL: a literal PIN */
    bool (*valid)(const char *argument);
    const char *form; /* what is allowed */
    struct tok_result (*fetch)(struct pin_fetched *out, const struct tok_pin_source *source);
    bool is_file;
    bool once; /* can't be read again */
} kinds[] = {
    { "file:", is_path, "file: needs an absolute path", pin_fetch_file, true, false },
    { "env:", is_name, "env: needs the name of a variable", fetch_env, false, false },
    { "fd:", is_number, "fd: needs a number", pin_fetch_fd, false, true },
    { "credential:", is_name, "credential: needs a name without a slash", fetch_credential, true, false },
    { "exec:", is_path, "exec: needs the absolute path of a program", pin_fetch_exec, false, false },
};

static const struct pin_kind literal = { .prefix = NULL };

static void source_end(struct tok_pin_source **source)
{
    tok_pin_source_free(*source);
}

void tok_pin_source_free(struct tok_pin_source *source)
{
    if (source != NULL && atomic_fetch_sub(&source->refs, 1) == 1) {
        free(source->name);
        free(source->argument);
        secret_end(&source->fetched.pin);
        free(source);
    }
}

struct tok_pin_source *tok_pin_source_ref(struct tok_pin_source *source)
{
    if (source != NULL) {
        atomic_fetch_add(&source->refs, 1);
    }
    return source;
}

/* Owned by one; NULL without memory, or a name. */
static struct tok_pin_source *source_new(const struct pin_kind *kind, char *name)
{
    struct tok_pin_source *source = name != NULL ? calloc(1, sizeof(*source)) : NULL;

    if (source == NULL) {
        free(name);
        return NULL;
    }
    atomic_init(&source->refs, 1);
    source->kind = kind;
    source->name = name;
    return source;
}

/* The PIN moves into it. */
static struct tok_result literal_new(struct tok_pin_source **out_source, struct secret *pin, const char *name)
{
    SCOPED(source_end) struct tok_pin_source *source = source_new(&literal, strdup(name));
    const char *wrong;

    if (source == NULL || !secret_exists(pin)) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PIN");
    }
    wrong = tok_pin_wrong(pin->data, pin->len);
    if (wrong != NULL) { /* to send it would cost a try */
        return tok_fail(TOK_CODE_PIN_SOURCE, "%s: %s", name, wrong);
    }
    source->fetched.pin = STEAL(*pin);
    *out_source = STEAL(source);
    return tok_good();
}

static struct tok_result literal_of(struct tok_pin_source **out_source, const char *text)
{
    SCOPED(secret_end) struct secret pin = { 0 };

    return secret_set(&pin, text, strlen(text)) ? literal_new(out_source, &pin, "a literal PIN in the settings")
                                                : tok_fail(TOK_CODE_NO_MEMORY, "a PIN");
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
    pin_cut_line_end(&source->fetched.pin);
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

static struct tok_result source_make(struct tok_pin_source **out_source, const struct pin_kind *kind,
                                     const char *argument)
{
    SCOPED(source_end) struct tok_pin_source *source = NULL;
    char *name = NULL;
    bool good;

    if (asprintf(&name, "%s%s", kind->prefix, argument) < 0 || (source = source_new(kind, name)) == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a PIN's source");
    }
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

static const struct pin_kind *kind_of(const char *text)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (strncmp(text, kinds[i].prefix, strlen(kinds[i].prefix)) == 0) {
            return &kinds[i];
        }
    }
    return &literal;
}

static const char value_prefix[] = "value:";

/* The literal PIN that a text is. */
static const char *literal_text(const char *text)
{
    return strncmp(text, value_prefix, strlen(value_prefix)) == 0 ? text + strlen(value_prefix) : text;
}

const char *tok_pin_source_wrong(const char *text)
{
    const struct pin_kind *kind = kind_of(text);
    const char *pin = literal_text(text);

    if (kind != &literal) {
        return kind->valid(text + strlen(kind->prefix)) ? NULL : kind->form;
    }
    if (pin == text && is_path(text)) {
        return "it looks like a path: the PIN in a file is written file:/PATH, and one with : or / value:PIN";
    }
    if (pin == text && looks_like_source(text)) {
        return "it looks like a path or a source, and is none: the PIN in a file is written file:/PATH, and one with : "
               "or "
               "/ value:PIN";
    }
    return tok_pin_wrong((const uint8_t *)pin, strlen(pin));
}

static struct tok_result source_of_uri(struct tok_pin_source **out_source, const char *text)
{
    const char *path = file_of_uri(text);

    return path != NULL
               ? source_make(out_source, &kinds[0], path)
               : tok_fail(TOK_CODE_PIN_SOURCE,
                          "pin-source of a PKCS#11 URI must be the absolute path of a file: file:/PATH or /PATH");
}

struct tok_result tok_pin_source_new(struct tok_pin_source **out_source, const char *text, enum tok_pin_origin origin)
{
    const struct pin_kind *kind = kind_of(text);
    const char *wrong = tok_pin_source_wrong(text);

    if (origin == TOK_PIN_FROM_URI) {
        return source_of_uri(out_source, text);
    }
    if (wrong != NULL) {
        return tok_fail(TOK_CODE_PIN_SOURCE, kind == &literal ? "a literal PIN in the settings: %s" : "%s", wrong);
    }
    return kind != &literal ? source_make(out_source, kind, text + strlen(kind->prefix))
                            : literal_of(out_source, literal_text(text));
}

struct tok_result tok_pin_source_value(struct tok_pin_source **out_source, struct secret *pin)
{
    return literal_new(out_source, pin, "pin-value of the URI");
}

/* --- fetching ----------------------------------------------------------------------------------------------------- */

static struct tok_result pin_copy(struct secret *out, const struct tok_pin_source *source, const struct secret *pin)
{
    const char *wrong = tok_pin_wrong(pin->data, pin->len);

    if (wrong != NULL) {
        return pin_failed(source, "%s", wrong);
    }
    return secret_set(out, pin->data, pin->len) ? tok_good() : tok_fail(TOK_CODE_NO_MEMORY, "a PIN");
}

/* fetch_claim waits for whoever is reading. True if it is the caller's turn to read; false with *out_result otherwise,
 * which is good if the PIN was there. A thread of another generation stayed behind in the parent. */
static bool fetch_claim(struct tok_pin_source *source, struct secret *out_pin, struct tok_result *out_result)
{
    uint64_t deadline_us = clock_us() + (uint64_t)PIN_READ_S * US_PER_S;

    LOCKED(&sources_lock);
    while (source->fetching == fork_generation()) {
        if (!lock_wait(&sources_lock, deadline_us) && source->fetching == fork_generation()) {
            *out_result = pin_failed(source, "another thread is reading it, and has not ended within %d s", PIN_READ_S);
            return false;
        }
    }
    if (secret_exists(&source->fetched.pin)) {
        *out_result = pin_copy(out_pin, source, &source->fetched.pin);
        return false;
    }
    if (source->spent) {
        *out_result = pin_failed(source, "it was read before, and can't be read again");
        return false;
    }
    source->fetching = fork_generation();
    source->spent = source->kind->once;
    return true;
}

static void fetch_publish(struct tok_pin_source *source, struct pin_fetched *fetched)
{
    LOCKED(&sources_lock);
    source->fetched = STEAL(*fetched);
    source->fetching = 0;
    lock_wake(&sources_lock);
}

struct tok_result tok_pin_fetch(struct tok_pin_source *source, struct secret *out_pin)
{
    struct pin_fetched fetched = { .pin = { 0 } };
    struct tok_result result;

    sources_init();
    if (fetch_claim(source, out_pin, &result)) {
        result = source->kind->fetch(&fetched, source);
        if (tok_ok(&result)) {
            result = pin_copy(out_pin, source, &fetched.pin);
        }
        if (!tok_ok(&result)) { /* what is no PIN is not remembered: somebody may put that right */
            secret_end(&fetched.pin);
        }
        fetch_publish(source, &fetched);
    }
    return result;
}

bool tok_pin_refused(struct tok_pin_source *source)
{
    struct stat info;
    struct pin_stamp now;

    sources_init();
    if (!source->kind->is_file || stat(source->argument, &info) != 0) {
        return false;
    }
    now = pin_stamp_of(&info);
    LOCKED(&sources_lock);
    if (!secret_exists(&source->fetched.pin) || pin_stamps_equal(&now, &source->fetched.stamp)) {
        return false;
    }
    secret_end(&source->fetched.pin);
    return true;
}

uint64_t tok_pin_source_mark(const struct tok_pin_source *source)
{
    uint64_t mark = shared_hash(ABOUT_SOURCES, source->name, strlen(source->name));

    return source->kind == &literal ? shared_hash(mark, source->fetched.pin.data, source->fetched.pin.len) : mark;
}

const char *tok_pin_source_name(const struct tok_pin_source *source)
{
    return source->name;
}
