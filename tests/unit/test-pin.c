/* Where PINs come from: values, files, the environment, URIs. test-pin-*.c have descriptors and programs. */
#include "pin-use.h"

#include <sys/auxv.h>

#include "base/lock.h"
#include "child.h"
#include "pkcs11/config/uri.h"

TEST(a_pin_comes_from_any_source)
{
    char got[256];
    int ends[2];

    snprintf(setting, sizeof(setting), "file:%s", file_with("pin", "1234\n", 5, 0600));
    assert_true(gives(setting, got, sizeof(got)));
    assert_string_equal(got, "1234");
    assert_true(gives("value:/a:b", got, sizeof(got)));
    assert_string_equal(got, "/a:b");
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
    static const char *const bad[] = { "file:relative", "file:",           "env:",        "env:A=B",  "fd:",  "fd:x",
                                       "fd:-1",         "credential:../x", "credential:", "exec:cat", "exec:" };
    static const char *const mistaken[] = { "/etc/signet/pin", "flie:/etc/pin", "file/etc/pin", "File:/etc/pin",
                                            "evn:PIN" };

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct tok_pin_source *source = NULL;
        struct tok_result result = tok_pin_source_new(&source, bad[i], TOK_PIN_FROM_SETTINGS);

        assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
    }
    for (size_t i = 0; i < COUNT_OF(mistaken); i++) { /* sent as PINs, they would cost a try */
        struct tok_pin_source *source = NULL;
        struct tok_result result = tok_pin_source_new(&source, mistaken[i], TOK_PIN_FROM_SETTINGS);

        assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
        assert_non_null(strstr(result.message, "value:PIN"));
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

TEST(no_source_has_an_empty_pin)
{
    static const char *const bad[] = { "", "value:" };
    SCOPED(secret_end) struct secret empty = { 0 };
    struct tok_pin_source *source = NULL;
    struct tok_result result;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        result = tok_pin_source_new(&source, bad[i], TOK_PIN_FROM_SETTINGS);
        assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
    }
    assert_true(secret_new(&empty, 0));
    result = tok_pin_source_value(&source, &empty);
    assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
    assert_null(source);
    setenv("EMPTY_PIN", "", 1);
    assert_non_null(strstr(complaint("env:EMPTY_PIN"), "empty"));
    setenv("EMPTY_PIN", "\n", 1);
    assert_non_null(strstr(complaint("env:EMPTY_PIN"), "empty"));
    snprintf(setting, sizeof(setting), "file:%s", file_with("zero", "", 0, 0600));
    assert_non_null(strstr(complaint(setting), "empty"));
    assert_non_null(strstr(complaint(exec_of("silent", "#!/bin/sh\n")), "empty"));
}

TEST(one_line_end_is_cut_and_no_more)
{
    static const struct {
        const char *content;
        const char *pin;
    } files[] = { { "12\n", "12" }, { "12\r\n", "12" }, { "12", "12" }, { " 12 ", " 12 " } };
    char got[64];

    for (size_t i = 0; i < COUNT_OF(files); i++) {
        const char *content = files[i].content;

        snprintf(setting, sizeof(setting), "file:%s", file_with("lines", content, strlen(content), 0600));
        assert_true(gives(setting, got, sizeof(got)));
        assert_string_equal(got, files[i].pin);
    }
}

TEST(what_cannot_be_a_pin_is_refused_and_named)
{
    static const struct {
        const char *content;
        const char *why;
    } files[] = {
        { "12\n\n", "more than one line" },
        { "1\n2\n", "more than one line" },
        { "\n12", "more than one line" },
        { "12\r", "control character" },
        { "12\t34", "control character" },
        { "12\x7f", "control character" },
        { "\xef\xbb\xbf"
          "1234",
          "byte-order mark" },
        { "\xff\xfe"
          "1",
          "byte-order mark" },
        { "-----BEGIN CERTIFICATE-----\nMIIB\n", "PEM" },
    };
    char script[160];

    for (size_t i = 0; i < COUNT_OF(files); i++) {
        const char *content = files[i].content;

        snprintf(setting, sizeof(setting), "file:%s", file_with("wrong", content, strlen(content), 0600));
        assert_non_null(strstr(complaint(setting), files[i].why));
        assert_non_null(strstr(complaint(setting), setting));
        snprintf(script, sizeof(script), "#!/bin/sh\ncat %s\n", setting + strlen("file:"));
        assert_non_null(strstr(complaint(exec_of("program", script)), files[i].why));
        setenv("TEST_WRONG", content, 1);
        if (strcmp(content, "12\n\n") != 0) { /* of which one is cut */
            assert_non_null(strstr(complaint("env:TEST_WRONG"), files[i].why));
        }
        snprintf(setting, sizeof(setting), "value:%s", content);
        assert_non_null(strstr(complaint(setting), files[i].why));
    }
}

TEST(what_was_no_pin_is_read_again_when_it_has_been_put_right)
{
    struct tok_pin_source *source;
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result;

    snprintf(setting, sizeof(setting), "file:%s", file_with("mended", "12\n34\n", 6, 0600));
    source = source_of(setting);
    result = tok_pin_fetch(source, &pin);
    assert_false(tok_ok(&result));
    file_with("mended", "1234\n", 5, 0600);
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    assert_int_equal(pin.len, 4);
    tok_pin_source_free(source);
}

TEST(the_limit_does_not_count_the_line_end)
{
    static char content[65536 + 2];
    static char got[65536 + 8];

    memset(content, 'p', sizeof(content));
    memcpy(content + 65536, "\r\n", 2);
    snprintf(setting, sizeof(setting), "file:%s", file_with("limit", content, sizeof(content), 0600));
    assert_true(gives(setting, got, sizeof(got)));
    assert_int_equal(strlen(got), 65536);
    file_with("limit", content, 65537, 0600); /* the \r alone is no line end */
    assert_non_null(strstr(complaint(setting), "more than 64 KiB"));
}

TEST(an_endless_source_is_cut_short)
{
    uint64_t began = clock_us();

    assert_non_null(strstr(complaint(exec_of("endless", "#!/bin/sh\nexec cat /dev/zero\n")), "64 KiB"));
    assert_true(clock_us() < began + 4000000); /* not by its deadline */
    assert_non_null(strstr(complaint("file:/dev/zero"), "neither a file nor a pipe"));
}

TEST(a_uri_may_name_a_file_and_nothing_else)
{
    static const char *const good[] = { "/does/not/exist", "file:/does/not/exist", "file:///does/not/exist" };
    static const char *const bad[] = { "1234",          "value:1234",     "env:PIN", "fd:0",
                                       "exec:/bin/cat", "credential:pin", "|cat",    "pin",
                                       "file:pin",      "file:",          "",        "file://host/pin",
                                       "//host/pin" };
    struct tok_pin_source *source = NULL;

    for (size_t i = 0; i < COUNT_OF(good); i++) {
        struct tok_result result = tok_pin_source_new(&source, good[i], TOK_PIN_FROM_URI);

        assert_true(tok_ok(&result));
        assert_string_equal(tok_pin_source_name(source), "file:/does/not/exist");
        tok_pin_source_free(source);
        source = NULL;
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct tok_result result = tok_pin_source_new(&source, bad[i], TOK_PIN_FROM_URI);

        assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
        assert_null(source);
        assert_null(strstr(result.message, "1234"));
    }
}

TEST(a_name_says_where_a_literal_pin_stands)
{
    struct tok_pin_source *source = source_of("1234");
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result;

    assert_string_equal(tok_pin_source_name(source), "a literal PIN in the settings");
    tok_pin_source_free(source);
    source = source_of("value:1234");
    assert_string_equal(tok_pin_source_name(source), "a literal PIN in the settings");
    tok_pin_source_free(source);
    assert_true(secret_set(&pin, "1234", 4));
    result = tok_pin_source_value(&source, &pin);
    assert_true(tok_ok(&result));
    assert_false(secret_exists(&pin)); /* it has moved */
    assert_string_equal(tok_pin_source_name(source), "pin-value of the URI");
    tok_pin_source_free(source);
    source = source_of("env:HOME");
    assert_string_equal(tok_pin_source_name(source), "env:HOME");
    tok_pin_source_free(source);
    tok_pin_source_free(NULL);
}

TEST(the_directory_of_credentials_is_kept_from_the_start)
{
    struct tok_pin_source *source;
    struct tok_pin_source *late;
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result;

    file_with("kept", "2718", 4, 0600);
    unsetenv("CREDENTIALS_DIRECTORY");
    late = source_of("credential:kept");
    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    source = source_of("credential:kept");
    unsetenv("CREDENTIALS_DIRECTORY");
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    assert_string_equal((char *)pin.data, "2718");
    assert_string_equal(tok_pin_source_name(source), "credential:kept");
    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    result = tok_pin_fetch(late, &pin); /* what was not there then is not looked for now */
    assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
    assert_non_null(strstr(result.message, "CREDENTIALS_DIRECTORY"));
    unsetenv("CREDENTIALS_DIRECTORY");
    tok_pin_source_free(source);
    tok_pin_source_free(late);
}

TEST(a_file_that_goes_away_is_remembered)
{
    struct tok_pin_source *source;
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result;

    snprintf(setting, sizeof(setting), "file:%s", file_with("gone", "1234", 4, 0600));
    source = source_of(setting);
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    assert_int_equal(unlink(name), 0);
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    assert_string_equal((char *)pin.data, "1234");
    assert_false(tok_pin_refused(source)); /* nothing else to be had */
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    tok_pin_source_free(source);
}

TEST(a_failure_is_not_remembered)
{
    struct tok_pin_source *source;
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result;

    snprintf(setting, sizeof(setting), "file:%s", file_with("late", "", 0, 0600));
    source = source_of(setting);
    result = tok_pin_fetch(source, &pin);
    assert_int_equal(result.code, TOK_CODE_PIN_SOURCE);
    assert_false(secret_exists(&pin));
    file_with("late", "1234", 4, 0600);
    result = tok_pin_fetch(source, &pin);
    assert_true(tok_ok(&result));
    tok_pin_source_free(source);
}

TEST(a_refusal_changes_nothing_but_a_file)
{
    static const char *const settings[] = { "1234", "env:REFUSED_PIN", "credential:refused" };
    SCOPED(secret_end) struct secret pin = { 0 };

    setenv("REFUSED_PIN", "1234", 1);
    for (size_t i = 0; i < COUNT_OF(settings); i++) {
        struct tok_pin_source *source = source_of(settings[i]);

        assert_false(tok_pin_refused(source)); /* even before it was fetched */
        tok_pin_source_free(source);
    }
    setenv("REFUSED_PIN", "5678", 1);
    for (size_t i = 0; i < 2; i++) {
        struct tok_pin_source *source = source_of(settings[i]);
        struct tok_result result = tok_pin_fetch(source, &pin);

        assert_true(tok_ok(&result));
        assert_false(tok_pin_refused(source));
        tok_pin_source_free(source);
    }
}

/* --- set-user-id -------------------------------------------------------------------------------------------------- */

/* This program again, as a set-user-id one started by somebody else; see main. */
static int set_user_id(const char *what)
{
    char copy[64];
    char command[256];
    pid_t pid;

    snprintf(copy, sizeof(copy), "%s/set-user-id", folder);
    snprintf(command, sizeof(command), "cp /proc/%ld/exe %s && chmod 4755 %s && chmod 755 %s", (long)getpid(), copy,
             copy, folder);
    assert_int_equal(system(command), 0);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0) {
            child_exit(90);
        }
        setenv("STARTERS_PIN", "1234", 1);
        setenv("CREDENTIALS_DIRECTORY", "/etc", 1);
        execl(copy, copy, what, (char *)NULL);
        child_exit(91);
    }
    return child_ended(pid);
}

static int is_refused(const char *text, enum tok_code code)
{
    struct tok_uri *uri = NULL;
    struct tok_result result = tok_uri_parse(&uri, text, TOK_URI_FROM_APPLICATION);

    tok_uri_free(uri);
    return result.code == code;
}

/* What runs there. 77: the file system does not honour the bit. */
static int as_set_user_id(void)
{
    char got[512];

    if (getauxval(AT_SECURE) == 0) {
        return 77;
    }
    if (gives("env:STARTERS_PIN", got, sizeof(got)) || strstr(got, "set-user-id") == NULL) {
        return 1;
    }
    if (gives("credential:hostname", got, sizeof(got))) {
        return 2;
    }
    if (!gives("1234", got, sizeof(got))) { /* the settings are root's own */
        return 3;
    }
    if (!is_refused("pkcs11:token=t?module-path=/usr/lib/x.so", TOK_CODE_TRUST) ||
        !is_refused("pkcs11:token=t?module-name=x", TOK_CODE_TRUST) ||
        !is_refused("pkcs11:token=t?pin-source=/etc/shadow", TOK_CODE_TRUST)) {
        return 4;
    }
    return is_refused("pkcs11:token=t?pin-value=1234", TOK_CODE_OK) ? 0 : 5;
}

TEST(who_starts_a_set_user_id_program_chooses_neither_pin_nor_module)
{
    int status;

    if (geteuid() != 0) {
        NOT_HERE("only root makes a set-user-id program");
    }
    status = set_user_id("as-set-user-id");
    if (status == 77) {
        NOT_HERE("/tmp does not honour the set-user-id bit");
    }
    assert_int_equal(status, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pin_comes_from_any_source),
        cmocka_unit_test(a_source_that_is_malformed_is_refused_when_it_is_made),
        cmocka_unit_test(a_source_that_fails_is_named_with_the_reason),
        cmocka_unit_test(a_long_pin_is_whole_and_one_that_is_too_long_is_refused),
        cmocka_unit_test(the_environment_is_copied_when_the_source_is_made),
        cmocka_unit_test(a_file_is_read_again_after_a_refusal_if_it_changed),
        cmocka_unit_test(the_name_of_a_literal_pin_does_not_hold_it),
        cmocka_unit_test(no_source_has_an_empty_pin),
        cmocka_unit_test(one_line_end_is_cut_and_no_more),
        cmocka_unit_test(what_cannot_be_a_pin_is_refused_and_named),
        cmocka_unit_test(what_was_no_pin_is_read_again_when_it_has_been_put_right),
        cmocka_unit_test(the_limit_does_not_count_the_line_end),
        cmocka_unit_test(an_endless_source_is_cut_short),
        cmocka_unit_test(a_uri_may_name_a_file_and_nothing_else),
        cmocka_unit_test(a_name_says_where_a_literal_pin_stands),
        cmocka_unit_test(the_directory_of_credentials_is_kept_from_the_start),
        cmocka_unit_test(a_file_that_goes_away_is_remembered),
        cmocka_unit_test(a_failure_is_not_remembered),
        cmocka_unit_test(a_refusal_changes_nothing_but_a_file),
        cmocka_unit_test(who_starts_a_set_user_id_program_chooses_neither_pin_nor_module),
    };

    if (argc > 1 && strcmp(argv[1], "as-set-user-id") == 0) {
        return as_set_user_id();
    }
    return RUN_IN_FOLDER(tests);
}
