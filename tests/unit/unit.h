/* cmocka, with output that automake reads, and tests whose names are sentences. */
#ifndef SIGNET_TESTS_UNIT_H
#define SIGNET_TESTS_UNIT_H

/* cmocka wants these before its own header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* A sanitizer's run-time makes mlock do nothing, and ends the process where memory is lacking. */
#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* NOT_HERE ends a test that can't run here, and says why in the log: automake takes the line that cmocka's skip()
 * prints, "not ok # SKIP", for a failure. */
#define NOT_HERE(why)                                                                                                  \
    do {                                                                                                               \
        printf("# not run here: %s: %s\n", __func__, (why));                                                           \
        return;                                                                                                        \
    } while (0)

#define TEST(name) static void name(void **state __attribute__((unused)))
#define RUN(tests) (cmocka_set_message_output(CM_OUTPUT_TAP), cmocka_run_group_tests(tests, NULL, NULL))

#endif
