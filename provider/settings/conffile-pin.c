/* Literal PINs in the configuration file, as they stand there and as OpenSSL reads them. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "base/text.h"
#include "provider/settings/conffile.h"

/* A PIN that OpenSSL's parser ate a part of would cost a try. What is quoted or escaped on purpose is fine, and so is a
 * comment after a blank; a '$' names a variable, and OpenSSL refuses the file where there is none. Returns the
 * character, or 0. */
static char eaten(const char *value)
{
    char quote = value[0] == '"' || value[0] == '\'' ? value[0] : '\0';
    size_t i = quote != '\0' ? 1 : 0;

    for (; value[i] != '\0' && value[i] != quote; i++) {
        if (value[i] == '\\' && value[i + 1] != '\0') {
            if (isalnum((unsigned char)value[++i])) {
                return '\\';
            }
        } else if (quote == '\0' && value[i] == '#') {
            return i > 0 && isspace((unsigned char)value[i - 1]) ? '\0' : '#';
        } else if (quote == '\0' && (value[i] == '"' || value[i] == '\'')) {
            return value[i];
        }
    }
    i += value[i] != '\0' ? 1 : 0;
    i += strspn(value + i, " \t\r\n");
    return value[i] == '\0' || value[i] == '#' ? '\0' : quote;
}

/* What stands behind `pin =` in a line, or behind `token.NAME.pin =` and the like; NULL: another line. */
static const char *pin_of_line(const char *line)
{
    static const char *const names[] = { "pin", "pkcs11-module-token-pin" };
    const char *name = line + strspn(line, " \t");
    size_t len = strcspn(name, " \t=#");
    const char *value = name + len + strspn(name + len, " \t");

    for (size_t i = 0; *value == '=' && i < COUNT_OF(names); i++) {
        size_t own = strlen(names[i]);

        if (len >= own && strncmp(name + len - own, names[i], own) == 0 && (len == own || name[len - own - 1] == '.')) {
            value++;
            return value + strspn(value, " \t");
        }
    }
    return NULL;
}

/* What names a source is no PIN; if a part of it is eaten, that source is not there, which costs no try. */
static bool is_source(const char *value)
{
    static const char *const prefixes[] = { "file:", "env:", "fd:", "credential:", "exec:" };

    for (size_t i = 0; i < COUNT_OF(prefixes); i++) {
        if (strncmp(value, prefixes[i], strlen(prefixes[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Follows `[ section ]` lines: is what stands behind one of them the provider's? */
static void section_note(bool *in_out_ours, const char *line, const char *sections)
{
    const char *name = line + strspn(line, " \t");
    char between[256];
    struct text text = TEXT_OVER(between);

    if (*name != '[') {
        return;
    }
    name += 1 + strspn(name + 1, " \t");
    text_put(&text, "\n");
    text_put_n(&text, name, strcspn(name, " \t]\r\n"));
    text_put(&text, "\n");
    *in_out_ours = strstr(sections, between) != NULL;
}

static void file_end(FILE **file)
{
    if (*file != NULL) {
        fclose(*file);
    }
}

/* Compares no values, since the provider's sections may have several PINs: each line must mean what stands in it. */
struct tok_result prov_conffile_inspect_pins(const char *path, const char *sections)
{
    SCOPED(file_end) FILE *file = fopen(path, "re");
    char line[1024];
    bool ours = false;

    for (unsigned number = 1; file != NULL && fgets(line, sizeof(line), file) != NULL; number++) {
        const char *value = pin_of_line(line);
        char c;

        section_note(&ours, line, sections);
        c = ours && value != NULL && !is_source(value) ? eaten(value) : '\0';

        if (c != '\0') {
            secret_wipe(line, sizeof(line));
            return tok_fail(TOK_CODE_BAD_SETTING,
                            "%s: line %u: OpenSSL does not read this PIN as it stands, for its '%c': write pin = "
                            "file:/PATH and the PIN into that file, or put a \\ before each of # \" ' $ and \\",
                            path, number, c);
        }
    }
    secret_wipe(line, sizeof(line));
    return tok_good();
}
