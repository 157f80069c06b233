/* TAP for C tests: ok(condition, "sentence", ...), then return tap_done(). */
#ifndef SIGNET_TESTS_TAP_H
#define SIGNET_TESTS_TAP_H

#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>

static int tap_count;
static int tap_failed;

/* A failure shows what OpenSSL's queue holds; either way the queue is empty afterwards. Returns the condition. */
__attribute__((format(printf, 2, 3), unused)) static int ok(int condition, const char *format, ...)
{
    va_list args;

    printf("%s %d - ", condition ? "ok" : "not ok", ++tap_count);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
    if (!condition) {
        tap_failed++;
        fflush(stdout);
        ERR_print_errors_fp(stderr);
    }
    ERR_clear_error();
    fflush(stdout);
    return condition;
}

/* The plan comes last; the exit status is for people, automake reads the lines. */
__attribute__((unused)) static int tap_done(void)
{
    printf("1..%d\n", tap_count);
    return tap_failed == 0 ? 0 : 1;
}

#endif
