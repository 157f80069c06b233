#include "report.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GREEN "\033[1;32m"
#define RED "\033[1;31m"
#define PLAIN "\033[0m"

void report_begin(struct report *report)
{
    const char *no_colour = getenv("NO_COLOR");

    report->colour = !report->json && isatty(report->to_stderr ? STDERR_FILENO : STDOUT_FILENO) &&
                     (no_colour == NULL || no_colour[0] == '\0');
}

static bool is_bad(const char *event)
{
    return strcmp(event, REPORT_REFUSED) == 0 || strcmp(event, REPORT_ALERT) == 0;
}

static void print_head(FILE *out, const struct report *report, unsigned connection, int step, const char *event,
                       const char *text)
{
    fprintf(out, "%s: ", report->who);
    if (report->colour) {
        fputs(is_bad(event) ? RED : GREEN, out);
    }
    if (step != 0) {
        fprintf(out, "(%d) ", step);
    }
    if (report->colour && !is_bad(event)) {
        fputs(PLAIN, out);
    }
    if (strcmp(event, REPORT_REFUSED) == 0) {
        fputs("refused: ", out);
    }
    fputs(text, out);
    if (report->colour && is_bad(event)) {
        fputs(PLAIN, out);
    }
    if (connection > 1) {
        fprintf(out, "  [connection %u]", connection);
    }
    fputc('\n', out);
}

static void print_text(FILE *out, const struct report *report, unsigned connection, int step, const char *event,
                       const char *text, va_list pairs)
{
    const char *key;

    print_head(out, report, connection, step, event, text);
    while ((key = va_arg(pairs, const char *)) != NULL) {
        const char *value = va_arg(pairs, const char *);

        if (value != NULL) {
            fprintf(out, "    %-9s %s\n", key[0] == '#' ? key + 1 : key, value);
        }
    }
}

/* What is no UTF-8 makes no JSON: it is left out. */
static void set(json_t *object, const char *key, const char *value)
{
    if (key[0] == '#') {
        json_object_set_new(object, key + 1, json_integer(strtoll(value, NULL, 10)));
    } else {
        json_object_set_new(object, key, json_string(value));
    }
}

static void print_json(FILE *out, const struct report *report, unsigned connection, int step, const char *event,
                       const char *text, va_list pairs)
{
    json_t *object = json_pack("{s:s, s:s, s:s}", "who", report->who, "event", event,
                               strcmp(event, REPORT_REFUSED) == 0 ? "why" : "text", text);
    const char *key;

    if (step != 0) {
        json_object_set_new(object, "step", json_integer(step));
    }
    if (connection != 0) {
        json_object_set_new(object, "connection", json_integer(connection));
    }
    while ((key = va_arg(pairs, const char *)) != NULL) {
        const char *value = va_arg(pairs, const char *);

        if (value != NULL) {
            set(object, key, value);
        }
    }
    json_dumpf(object, out, JSON_COMPACT);
    fputc('\n', out);
    json_decref(object);
}

void report(const struct report *report, unsigned connection, int step, const char *event, const char *text, ...)
{
    FILE *out = report->to_stderr ? stderr : stdout;
    va_list pairs;

    if (report->quiet && step != 0) {
        return;
    }
    va_start(pairs, text);
    flockfile(out); /* an event is never torn apart by another thread's */
    if (report->json) {
        print_json(out, report, connection, step, event, text, pairs);
    } else {
        print_text(out, report, connection, step, event, text, pairs);
    }
    fflush(out);
    funlockfile(out);
    va_end(pairs);
}
