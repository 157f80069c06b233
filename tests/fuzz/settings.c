/* Settings: each one's parser. An input is lines of `key = value` as the core would hand them over. */
#include "fuzz.h"

#include "provider/settings/config.h"
#include "safe.h"

#define MOST_LINES 16

struct line {
    char *key;
    const char *value;
};

struct lines {
    struct line items[MOST_LINES];
    size_t count;
};

static void lines_read(struct lines *lines, struct input input)
{
    char *text;

    while (lines->count < MOST_LINES && (text = input_text(&input, '\n')) != NULL) {
        char *equals = strchr(text, '=');

        if (equals == NULL) {
            free(text);
            continue;
        }
        *equals = '\0';
        lines->items[lines->count++] = (struct line){ text, equals + 1 };
    }
}

static void lines_end(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) {
        free(lines->items[i].key);
    }
}

static const char *lines_get(void *arg, const char *key)
{
    const struct lines *lines = arg;

    for (size_t i = 0; i < lines->count; i++) {
        if (lines->items[i].key[0] == key[0] &&
            strcmp(lines->items[i].key, key) == 0) { /* a sanitizer's strcmp is slow */
            return lines->items[i].value;
        }
    }
    return NULL;
}

/* What the manual allows. */
static void within_bounds(const struct prov_config *config)
{
    const struct tok_settings *settings = &config->settings;

    HOLDS(settings->deadline_us >= 1000 && settings->deadline_us <= UINT64_C(86400) * 1000000);
    HOLDS(settings->max_sessions <= 100000 && settings->idle_sessions <= 100000 && settings->workers <= 1000);
    HOLDS((config->rsa_decrypt & ~7u) == 0 && (settings->require & ~7u) == 0);
    HOLDS(settings->modules == NULL || settings->modules[0] != '\0');
    for (size_t i = 0; i < settings->num_tokens; i++) {
        HOLDS(settings->tokens[i].uri != NULL && settings->tokens[i].name[0] != '\0');
        for (size_t j = 0; j < i; j++) {
            HOLDS(strcmp(settings->tokens[i].name, settings->tokens[j].name) != 0);
        }
    }
}

static void about_key(const struct prov_config_source *source, const char *key)
{
    size_t len;
    const char *part = prov_config_token_part(key, &len);
    const char *name = part != NULL ? part : key;
    const char *near = prov_config_nearest(name, part != NULL);

    (void)prov_config_key(key);
    (void)prov_config_has_token(source, key, strlen(key));
    HOLDS(near == NULL || strlen(near) <= strlen(name) + 2);
}

/* The value of a secret setting stands in no message; it is looked for where it is long enough not to be a word. */
static void tells_no_secret(const struct tok_result *result, const struct lines *lines)
{
    const char *pin = lines_get((void *)lines, "pin");

    HOLDS(result->message[0] != '\0');
    if (pin != NULL && strlen(pin) >= 8 && strspn(pin, "0123456789") == strlen(pin)) {
        for (size_t i = 0; i < lines->count; i++) {
            if (lines->items[i].value != pin && strstr(lines->items[i].value, pin) != NULL) {
                return; /* said elsewhere, too */
            }
        }
        HOLDS(strstr(result->message, pin) == NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED(lines_end) struct lines lines = { .count = 0 };
    const struct prov_config_source source = { lines_get, &lines, NULL };
    struct prov_config config;
    struct tok_result result;

    safe_begin();
    lines_read(&lines, (struct input){ data, size });
    result = prov_config_read(&config, &source);
    if (tok_ok(&result)) {
        within_bounds(&config);
        prov_config_end(&config);
    } else {
        tells_no_secret(&result, &lines);
    }
    if (lines.count == 1) { /* to look for similar names takes longer than all else */
        about_key(&source, lines.items[0].key);
    }
    return 0;
}
