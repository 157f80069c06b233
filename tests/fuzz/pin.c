/* Sources of PINs: their texts, and what files give. An input is a text, a line end, and the contents of a file. No
 * source that the bytes name is ever read: what is fetched is a literal, or the file that the target made itself; exec:
 * is read as a text only. */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "pkcs11/config/pin.h"
#include "safe.h"

#define LONGEST_PIN (64 * 1024)

static void source_end(struct tok_pin_source **source)
{
    tok_pin_source_free(*source);
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static struct tok_pin_source *source_of(const char *text, enum tok_pin_origin origin)
{
    struct tok_pin_source *source = NULL;
    struct tok_result result = tok_pin_source_new(&source, text, origin);

    HOLDS(tok_ok(&result) == (source != NULL));
    HOLDS(source != NULL || result.code == TOK_CODE_PIN_SOURCE);
    return source;
}

/* What a source gives is `pin`; NULL: nothing. */
static void gives(struct tok_pin_source *source, const void *pin, size_t len)
{
    SCOPED(secret_end) struct secret fetched = { 0 };
    struct tok_result result = tok_pin_fetch(source, &fetched);

    HOLDS(tok_ok(&result) == (pin != NULL));
    HOLDS(pin == NULL || (fetched.len == len && memcmp(fetched.data, pin, len) == 0 && fetched.data[len] == 0));
    HOLDS(pin != NULL || fetched.data == NULL);
}

static void text_is_read(const char *text)
{
    static const char *const named[] = { "file:", "env:", "fd:", "credential:", "exec:" };
    SCOPED(source_end) struct tok_pin_source *source = source_of(text, TOK_PIN_FROM_SETTINGS);
    SCOPED(source_end) struct tok_pin_source *of_uri = source_of(text, TOK_PIN_FROM_URI);
    bool literal = true;

    HOLDS(of_uri == NULL || strncmp(tok_pin_source_name(of_uri), "file:/", 6) == 0);
    for (size_t i = 0; i < COUNT_OF(named); i++) {
        literal = literal && !starts(text, named[i]);
    }
    if (source == NULL) {
        return;
    }
    if (!literal) {
        HOLDS(strcmp(tok_pin_source_name(source), text) == 0);
        return;
    }
    text += starts(text, "value:") ? strlen("value:") : 0;
    HOLDS(strcmp(tok_pin_source_name(source), "a literal PIN in the settings") == 0);
    gives(source, tok_pin_wrong((const uint8_t *)text, strlen(text)) == NULL ? text : NULL, strlen(text));
    HOLDS(!tok_pin_refused(source));
}

/* A file without a name, always the same, of these bytes; `text` is its source. */
static void file_with(char *text, size_t room, const uint8_t *data, size_t size)
{
    static int fd = -1;

    if (fd < 0) {
        fd = memfd_create("pin", MFD_CLOEXEC);
    }
    HOLDS(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    snprintf(text, room, "file:/proc/self/fd/%d", fd);
}

static void contents_are_read(const uint8_t *data, size_t size)
{
    char text[64];
    SCOPED(source_end) struct tok_pin_source *source = NULL;
    size_t len = size;

    file_with(text, sizeof(text), data, size);
    source = source_of(text, TOK_PIN_FROM_SETTINGS);
    HOLDS(source != NULL);
    if (len > 0 && data[len - 1] == '\n') {
        len--;
        len -= len > 0 && data[len - 1] == '\r';
    }
    gives(source, len > 0 && len <= LONGEST_PIN && tok_pin_wrong(data, len) == NULL ? data : NULL, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    SCOPED(scoped_free) char *text = input_text(&input, '\n');

    safe_begin();
    if (text != NULL) {
        text_is_read(text);
    }
    if (size == 0 || input.at[-1] == '\n') { /* the text has its line end */
        contents_are_read(input.at, input.left);
    }
    return 0;
}
