#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/lock.h"
#include "pkcs11/pin.h"

static char folder[] = "/tmp/signet-pin-XXXXXX";
static char name[64];
static char setting[128];

static const char *file_with(const char *what, const void *content, size_t len, mode_t mode)
{
    int fd;

    snprintf(name, sizeof(name), "%s/%s", folder, what);
    unlink(name);
    fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    assert_true(fd >= 0 && write(fd, content, len) == (ssize_t)len);
    close(fd);
    assert_int_equal(chmod(name, mode), 0);
    return name;
}

/* What a source gives: 1 and the PIN, or 0 and the message. */
static int gives(const char *text, char *out, size_t size)
{
    struct tok_pin_source *source = NULL;
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result = tok_pin_source_new(&source, text, TOK_PIN_FROM_SETTINGS);

    if (tok_ok(&result)) {
        result = tok_pin_fetch(source, &pin);
    }
    snprintf(out, size, "%.*s", (int)size - 1, tok_ok(&result) ? (char *)pin.data : result.message);
    tok_pin_source_free(source);
    return tok_ok(&result);
}

TEST(a_pin_comes_from_any_source)
{
    char got[256];
    int ends[2];

    snprintf(setting, sizeof(setting), "file:%s", file_with("pin", "1234\n", 5, 0600));
    assert_true(gives(setting, got, sizeof(got)));
    assert_string_equal(got, "1234");
    setenv("TEST_PIN", "55 66", 1);
    assert_true(gives("env:TEST_PIN", got, sizeof(got)));
    assert_string_equal(got, "55 66");
    assert_true(gives("value:file:/x", got, sizeof(got)));
    assert_string_equal(got, "file:/x");
    assert_true(gives("0000", got, sizeof(got)));
    assert_string_equal(got, "0000");
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "77\r\n", 4), 4);
    close(ends[1]);
    snprintf(setting, sizeof(setting), "fd:%d", ends[0]);
    assert_true(gives(setting, got, sizeof(got)));
    assert_string_equal(got, "77");
    snprintf(setting, sizeof(setting), "exec:%s", file_with("give", "#!/bin/sh\necho 88\n", 18, 0700));
    assert_true(gives(setting, got, sizeof(got)));
    assert_string_equal(got, "88");
    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    assert_true(gives("credential:pin", got, sizeof(got)));
    assert_string_equal(got, "1234");
}

TEST(a_source_that_is_malformed_is_refused_when_it_is_made)
{
    static const char *const bad[] = { "file:relative", "file:", "env:", "env:A=B", "fd:", "fd:x", "fd:-1", "credential:../x",
                                       "credential:", "exec:cat", "exec:" };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct tok_pin_source *source = NULL;
        struct tok_result result = tok_pin_source_new(&source, bad[i], TOK_PIN_FROM_SETTINGS);

        assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
    }
}

TEST(a_source_that_fails_is_named_with_the_reason)
{
    char got[512];

    assert_false(gives("file:/does/not/exist", got, sizeof(got)));
    assert_non_null(strstr(got, "file:/does/not/exist: No such file"));
    assert_false(gives("file:/tmp", got, sizeof(got)));
    assert_non_null(strstr(got, "neither a file nor a pipe"));
    snprintf(setting, sizeof(setting), "file:%s", file_with("empty", "\n", 1, 0600));
    assert_false(gives(setting, got, sizeof(got)));
    assert_non_null(strstr(got, "empty"));
    unsetenv("NO_SUCH_PIN");
    assert_false(gives("env:NO_SUCH_PIN", got, sizeof(got)));
    assert_non_null(strstr(got, "env:NO_SUCH_PIN"));
    assert_false(gives("exec:/does/not/exist", got, sizeof(got)));
    assert_non_null(strstr(got, "No such file"));
    snprintf(setting, sizeof(setting), "exec:%s", file_with("fails", "#!/bin/sh\necho 1\nexit 3\n", 24, 0700));
    assert_false(gives(setting, got, sizeof(got)));
    assert_non_null(strstr(got, "status 3"));
    assert_false(gives("fd:987654", got, sizeof(got)));
    assert_non_null(strstr(got, "fd:987654"));
}

TEST(a_program_that_does_not_end_is_ended)
{
    char got[512];
    uint64_t began = clock_us();

    snprintf(setting, sizeof(setting), "exec:%s", file_with("hangs", "#!/bin/sh\nsleep 60\n", 19, 0700));
    assert_false(gives(setting, got, sizeof(got)));
    assert_non_null(strstr(got, "5 s"));
    assert_true(clock_us() - began < 8000000);
}

TEST(a_long_pin_is_whole_and_one_that_is_too_long_is_refused)
{
    static char content[70000];
    struct tok_pin_source *source = NULL;
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result;

    memset(content, 'p', sizeof(content));
    snprintf(setting, sizeof(setting), "file:%s", file_with("long", content, 65536, 0600));
    result = tok_pin_source_new(&source, setting, TOK_PIN_FROM_SETTINGS);
    assert_true(tok_ok(&result));
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    assert_int_equal(pin.len, 65536);
    tok_pin_source_free(source);
    file_with("long", content, sizeof(content), 0600);
    result = tok_pin_source_new(&source, setting, TOK_PIN_FROM_SETTINGS);
    assert_true(tok_ok(&result));
    result = tok_pin_fetch(source, &pin);
    assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
    tok_pin_source_free(source);
}

TEST(the_environment_is_copied_when_the_source_is_made)
{
    struct tok_pin_source *source = NULL;
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result;

    setenv("WIPED_PIN", "31415", 1);
    result = tok_pin_source_new(&source, "env:WIPED_PIN", TOK_PIN_FROM_SETTINGS);
    assert_true(tok_ok(&result));
    unsetenv("WIPED_PIN");
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    assert_string_equal((char *)pin.data, "31415");
    tok_pin_source_free(source);
}

TEST(a_file_is_read_again_after_a_refusal_if_it_changed)
{
    struct tok_pin_source *source = NULL;
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result;

    snprintf(setting, sizeof(setting), "file:%s", file_with("changes", "old", 3, 0600));
    result = tok_pin_source_new(&source, setting, TOK_PIN_FROM_SETTINGS);
    assert_true(tok_ok(&result));
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    assert_false(tok_pin_refused(source));
    file_with("changes", "newer", 5, 0600);
    assert_true(tok_pin_refused(source));
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    assert_string_equal((char *)pin.data, "newer");
    tok_pin_source_free(source);
}

TEST(the_name_of_a_literal_pin_does_not_hold_it)
{
    struct tok_pin_source *source = NULL;
    struct tok_result result = tok_pin_source_new(&source, "value:SECRET", TOK_PIN_FROM_SETTINGS);

    assert_true(tok_ok(&result));
    assert_null(strstr(tok_pin_source_name(source), "SECRET"));
    tok_pin_source_free(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pin_comes_from_any_source),
        cmocka_unit_test(a_source_that_is_malformed_is_refused_when_it_is_made),
        cmocka_unit_test(a_source_that_fails_is_named_with_the_reason),
        cmocka_unit_test(a_program_that_does_not_end_is_ended),
        cmocka_unit_test(a_long_pin_is_whole_and_one_that_is_too_long_is_refused),
        cmocka_unit_test(the_environment_is_copied_when_the_source_is_made),
        cmocka_unit_test(a_file_is_read_again_after_a_refusal_if_it_changed),
        cmocka_unit_test(the_name_of_a_literal_pin_does_not_hold_it),
    };
    char command[64];
    int failed;

    if (mkdtemp(folder) == NULL) {
        return 99;
    }
    failed = RUN(tests);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command) == 0 ? failed : 99;
}
