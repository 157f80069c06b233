/* What can't be a PIN: the wrong file, or the right one as an editor left it. */
#include <string.h>

#include "pkcs11/config/pin.h"

static bool starts_with(const uint8_t *pin, size_t len, const char *start)
{
    return len >= strlen(start) && memcmp(pin, start, strlen(start)) == 0;
}

static bool is_marked(const uint8_t *pin, size_t len)
{
    return starts_with(pin, len, "\xef\xbb\xbf") || starts_with(pin, len, "\xff\xfe") ||
           starts_with(pin, len, "\xfe\xff");
}

static bool has_control(const uint8_t *pin, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (pin[i] < 0x20 || pin[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

const char *tok_pin_wrong(const uint8_t *pin, size_t len)
{
    if (len == 0) {
        return "it is empty";
    }
    if (is_marked(pin, len)) {
        return "it starts with a byte-order mark, which is no part of a PIN: save it without one";
    }
    if (starts_with(pin, len, "-----BEGIN ")) {
        return "it is PEM, a key or a certificate, and no PIN";
    }
    if (memchr(pin, '\n', len) != NULL) {
        return "it has more than one line: leave the PIN alone in it";
    }
    return has_control(pin, len) ? "it has a control character, which no PIN has" : NULL;
}
