/* The ground's readers: texts that are cut, lists, numbers, words, and DER. An input is a byte for a size, and text. */
#include "fuzz.h"

#include "base/bytes.h"
#include "base/text.h"
#include "base/value.h"

/* Whether bytes are whole UTF-8 characters, as far as first bytes and followers tell. */
static bool whole(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        uint8_t first = (uint8_t)text[i++];
        size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;

        for (; more > 0; more--, i++) {
            if (i == len || ((uint8_t)text[i] & 0xc0) != 0x80) {
                return false;
            }
        }
    }
    return true;
}

/* What fits is a beginning of the text, ended; of whole characters only, if the text is. */
static void cut(const char *string, size_t room)
{
    char *buffer = malloc(room);
    struct text text;
    size_t len = strlen(string);

    HOLDS(buffer != NULL);
    text = text_over(buffer, room);
    text_put(&text, string);
    HOLDS(text.len < room && text.len <= len && memcmp(buffer, string, text.len) == 0 && buffer[text.len] == '\0');
    HOLDS(text.truncated == (text.len < len));
    HOLDS(!whole(string, len) || whole(buffer, text.len));
    text = text_over(buffer, room);
    text_printf(&text, "%s", string);
    HOLDS(text.len == strlen(buffer) && text.truncated == (text.len < len) && memcmp(buffer, string, text.len) == 0);
    HOLDS(!whole(string, len) || whole(buffer, text.len));
    text = text_over(buffer, room);
    text_put_hex(&text, string, len);
    HOLDS(text.len == strlen(buffer) && text.truncated == (2 * len >= room));
    free(buffer);
}

/* Items and commas are all that there is in a list. */
static void list(const char *string)
{
    SCOPED(scoped_free) char *copy = strdup(string);
    char *rest = copy;
    char *item;
    size_t commas = 0;
    size_t items = 0;

    for (const char *at = string; *at != '\0'; at++) {
        commas += *at == ',';
    }
    while ((item = text_next_item(&rest)) != NULL) {
        size_t len = strlen(item);

        HOLDS(strchr(item, ',') == NULL &&
              (len == 0 || (strchr(" \t\r\n", item[0]) == NULL && strchr(" \t\r\n", item[len - 1]) == NULL)));
        items++;
    }
    HOLDS(items == commas + 1);
}

static void distance(const char *string)
{
    size_t itself = text_distance(string, string);
    size_t len = strlen(string);

    HOLDS(len < 64 ? itself == 0 : itself == SIZE_MAX);
    HOLDS(text_distance(string, "") == (len < 64 ? len : SIZE_MAX));
    HOLDS(text_distance(string, "deadline") == text_distance("deadline", string));
}

static void values(const char *string)
{
    static const struct value_word words[] = { { "oaep", 1 }, { "tls", 2 }, { "pkcs1", 4 }, { NULL, 0 } };
    char again[32];
    uint64_t number = 7;
    unsigned bits = 0;
    unsigned count = 0;
    bool flag;
    int word = 0;

    HOLDS(value_number(&number, string, 10, 1000) != NULL ? number == 7 : number >= 10 && number <= 1000);
    if (number != 7) {
        snprintf(again, sizeof(again), "%llu", (unsigned long long)number);
        HOLDS(strcmp(string + strspn(string, "0"), again) == 0);
    }
    HOLDS(value_count(&count, string, 5) != NULL ? count == 0 : count >= 1 && count <= 5);
    HOLDS(value_words(&bits, words, string) == NULL || bits == 0);
    HOLDS(bits <= 7 && (value_word(&word, words, string) != NULL || (unsigned)word == bits));
    number = 7;
    HOLDS(value_seconds(&number, string, 60) != NULL ? number == 7
                                                     : number >= 1000 && number <= 60000000 && number % 1000 == 0);
    (void)value_flag(&flag, string);
}

/* DER's lengths are the shortest ones, so an element that is read says the same when it is written. */
static void der(const uint8_t *data, size_t size, unsigned depth)
{
    struct cursor cursor = cursor_over(data, size);

    while (depth < 8 && cursor.left > 0) {
        const uint8_t *start = cursor.at;
        struct cursor inside = cursor_der(&cursor, start[0]);
        size_t header = (size_t)(inside.at - start);

        if (cursor.failed) {
            HOLDS(!cursor_done(&cursor));
            return;
        }
        HOLDS(inside.at >= start + 2 && inside.at + inside.left == cursor.at && cursor.at + cursor.left == data + size);
        HOLDS(header == (inside.left < 0x80 ? 2u : inside.left < 0x100 ? 3u : inside.left < 0x10000 ? 4u : 5u));
        der(inside.at, inside.left, depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    size_t room = 1 + (size_t)input_byte(&input);
    SCOPED(scoped_free) char *string = NULL;

    der(input.at, input.left, 0);
    string = input_text(&input, '\0');
    if (string != NULL) {
        cut(string, room);
        list(string);
        distance(string);
        values(string);
    }
    return 0;
}
