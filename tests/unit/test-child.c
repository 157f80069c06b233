#include "mock-use.h"

#include <fcntl.h>

#include "pkcs11/key/child.h"
#include "pkcs11/key/find.h"
#include "pkcs11/key/key.h"
#include "child.h"

static struct mock *mock;
static struct tok_module *module;
static struct tok_settings settings;
static struct tok_key *key;
static const CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };

/* A key on a token of a module that may be shared with children. */
static void furnish(bool eager)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    tok_key_unref(key);
    tok_child_forget(&settings);
    tok_settings_end(&settings);
    mock = mock_load(&module);
    strcpy(mock->manufacturer, "SoftHSM");
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, "\x04xy");
    tok_settings_init(&settings);
    settings.modules = strdup(mock_path);
    settings.deadline_us = SECOND;
    settings.eager = eager;
    OK(tok_pin_source_new(&settings.pin, "1234", TOK_PIN_FROM_SETTINGS));
    OK(tok_uri_parse(&uri, "pkcs11:token=test;object=www;type=private", TOK_URI_FROM_APPLICATION));
    OK(tok_find(&items, &settings, uri, TOK_WANT_PRIVATE, NULL));
    key = tok_key_ref(items.items[0].key);
}

static struct tok_result sign(void)
{
    uint8_t out[64];
    size_t len = sizeof(out);
    uint64_t unproved;

    return tok_key_sign(key, &mechanism, (const uint8_t *)"digest", 6, out, &len, &unproved);
}

/* --- at once ------------------------------------------------------------------------------------------------------ */

static unsigned logins_before;

/* How many logins a child has made before it does anything by itself. */
static int logins_at_birth(void *arg)
{
    (void)arg;
    return (int)(mock->calls[MOCK_Login] - logins_before);
}

static int logins_at_birth_of_grandchild(void *arg)
{
    logins_before = mock->calls[MOCK_Login];
    return child_does(logins_at_birth, arg);
}

TEST(an_eager_child_has_logged_in_before_fork_returns)
{
    furnish(true);
    mock->tokens[0].logged_in = false; /* as it is to a child that is initialised anew */
    logins_before = mock->calls[MOCK_Login];
    assert_int_equal(child_does(logins_at_birth, NULL), 1);
    assert_int_equal(child_does(logins_at_birth, NULL), 1);
    assert_int_equal(child_does(logins_at_birth_of_grandchild, NULL), 1);
    assert_int_equal(mock->calls[MOCK_Login], logins_before); /* the parent none */
}

static int signs_with_two_calls_more(void *arg)
{
    unsigned before = mock->calls[MOCK_Login] + mock->calls[MOCK_OpenSession] + mock->calls[MOCK_Initialize];
    struct tok_result result = sign();

    (void)arg;
    if (!tok_ok(&result)) {
        return 1;
    }
    return mock->calls[MOCK_Login] + mock->calls[MOCK_OpenSession] + mock->calls[MOCK_Initialize] == before ? 0 : 2;
}

TEST(its_first_signature_needs_neither_start_nor_session_nor_login)
{
    furnish(true);
    assert_int_equal(child_does(signs_with_two_calls_more, NULL), 0);
}

TEST(a_lazy_child_does_nothing)
{
    furnish(false);
    logins_before = mock->calls[MOCK_Login];
    assert_int_equal(child_does(logins_at_birth, NULL), 0);
}

TEST(nor_does_one_whose_parent_never_reached_a_token)
{
    furnish(false);
    settings.eager = true; /* not when it logged in */
    logins_before = mock->calls[MOCK_Login];
    assert_int_equal(child_does(logins_at_birth, NULL), 0);
    OK(tok_key_locate(key, NULL)); /* finds what was found, without load = early */
    assert_int_equal(child_does(logins_at_birth, NULL), 0);
    settings.load_early = true;
    OK(tok_key_locate(key, NULL));
    assert_int_equal(child_does(logins_at_birth, NULL), 1);
}

TEST(nor_after_its_settings_ended)
{
    furnish(true);
    tok_key_unref(key);
    key = NULL;
    logins_before = mock->calls[MOCK_Login];
    tok_child_forget(&settings);
    tok_settings_end(&settings);
    assert_int_equal(child_does(logins_at_birth, NULL), 0);
}

/* The token was noted for each; one login is enough. */
TEST(of_two_eager_contexts_the_one_that_stays_is_enough)
{
    struct tok_settings other;

    furnish(true);
    other = settings; /* borrows all */
    tok_child_note(module->tokens, &other);
    logins_before = mock->calls[MOCK_Login];
    mock->tokens[0].logged_in = false;
    assert_int_equal(child_does(logins_at_birth, NULL), 1);
    tok_child_forget(&settings);
    assert_int_equal(child_does(logins_at_birth, NULL), 1);
    tok_child_forget(&other);
    assert_int_equal(child_does(logins_at_birth, NULL), 0);
}

static int inside_made;

static void fork_inside(enum mock_function which)
{
    (void)which;
    mock->on_call = NULL;
    logins_before = mock->calls[MOCK_Login];
    inside_made = child_does(logins_at_birth, NULL);
}

TEST(nor_one_that_was_forked_from_inside_a_module)
{
    furnish(true);
    inside_made = -1;
    mock->on_call = fork_inside;
    OK(sign());
    assert_int_equal(inside_made, 0);
}

static unsigned quiet_begun;
static unsigned quiet_ended;

static void count_up(void *arg)
{
    ++*(unsigned *)arg;
}

static void count_end(void *arg)
{
    (void)arg;
    quiet_ended += quiet_begun;
}

static int was_quiet(void *arg)
{
    (void)arg;
    return quiet_begun == 1 && quiet_ended == 1 ? 0 : 1;
}

TEST(what_it_does_is_done_between_the_callers_marks)
{
    furnish(true);
    settings.quiet = (struct tok_quiet){ count_up, count_end, &quiet_begun };
    assert_int_equal(child_does(was_quiet, NULL), 0);
    assert_int_equal(quiet_begun, 0);
}

/* A refused PIN is not sent by each child in turn. */
TEST(a_pin_that_was_changed_costs_one_try_whatever_the_number_of_children)
{
    furnish(true);
    mock->tokens[0].logged_in = false;
    strcpy(mock->tokens[0].pin, "5678");
    logins_before = mock->calls[MOCK_Login];
    assert_int_equal(child_does(logins_at_birth, NULL), 1);
    assert_int_equal(child_does(logins_at_birth, NULL), 0);
    assert_int_equal(child_does(logins_at_birth, NULL), 0);
}

/* --- what it says ------------------------------------------------------------------------------------------------- */

static char told[8192];

/* What a child that does `body` writes to stderr. */
static int hear(int (*body)(void *arg))
{
    int ends[2];
    int saved = dup(STDERR_FILENO);
    int status;
    ssize_t len;

    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    dup2(ends[1], STDERR_FILENO);
    status = child_does(body, NULL);
    dup2(saved, STDERR_FILENO);
    len = read(ends[0], told, sizeof(told) - 1);
    told[len > 0 ? len : 0] = '\0';
    close(saved);
    close(ends[0]);
    close(ends[1]);
    return status;
}

static unsigned lines(void)
{
    unsigned count = 0;

    for (const char *at = told; (at = strchr(at, '\n')) != NULL; at++) {
        count++;
    }
    return count;
}

static int fails_twice(void *arg)
{
    struct tok_result first;
    struct tok_result second;

    (void)arg;
    mock_fails(mock, MOCK_SignInit, CKR_KEY_FUNCTION_NOT_PERMITTED, 0, 2);
    first = sign();
    second = sign();
    return tok_ok(&first) || tok_ok(&second) ? 1 : 0;
}

TEST(a_child_that_can_not_use_its_key_says_so_once_with_the_reason_and_what_to_do)
{
    furnish(false);
    assert_int_equal(hear(fails_twice), 0);
    assert_int_equal(lines(), 1);
    assert_non_null(strstr(told, "C_SignInit: CKR_KEY_FUNCTION_NOT_PERMITTED"));
    assert_non_null(strstr(told, "'www' on token 'test'"));
    assert_non_null(strstr(told, "see the key's attributes"));
    assert_null(strstr(told, "1234"));
}

static int fails_after_success(void *arg)
{
    struct tok_result first = sign();

    return tok_ok(&first) ? fails_twice(arg) : 2;
}

TEST(one_that_could_says_nothing_later)
{
    furnish(false);
    assert_int_equal(hear(fails_after_success), 0);
    assert_string_equal(told, "");
}

TEST(an_eager_child_says_it_at_birth)
{
    furnish(true);
    mock->tokens[0].logged_in = false;
    strcpy(mock->tokens[0].pin, "5678");
    assert_int_equal(hear(fails_twice), 0);
    assert_int_equal(lines(), 1);
    assert_non_null(strstr(told, "after-fork = eager: token 'test'"));
    assert_non_null(strstr(told, "CKR_PIN_INCORRECT"));
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

TEST(the_process_that_was_not_forked_says_nothing)
{
    int ends[2];
    int saved = dup(STDERR_FILENO);

    furnish(false);
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    dup2(ends[1], STDERR_FILENO);
    assert_int_equal(fails_twice(NULL), 0);
    dup2(saved, STDERR_FILENO);
    assert_true(read(ends[0], told, sizeof(told)) < 0); /* nothing there */
    assert_int_equal(hear(nothing), 0);
    assert_string_equal(told, "");
    close(saved);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_eager_child_has_logged_in_before_fork_returns),
        cmocka_unit_test(its_first_signature_needs_neither_start_nor_session_nor_login),
        cmocka_unit_test(a_lazy_child_does_nothing),
        cmocka_unit_test(nor_does_one_whose_parent_never_reached_a_token),
        cmocka_unit_test(nor_after_its_settings_ended),
        cmocka_unit_test(of_two_eager_contexts_the_one_that_stays_is_enough),
        cmocka_unit_test(nor_one_that_was_forked_from_inside_a_module),
        cmocka_unit_test(what_it_does_is_done_between_the_callers_marks),
        cmocka_unit_test(a_pin_that_was_changed_costs_one_try_whatever_the_number_of_children),
        cmocka_unit_test(a_child_that_can_not_use_its_key_says_so_once_with_the_reason_and_what_to_do),
        cmocka_unit_test(one_that_could_says_nothing_later),
        cmocka_unit_test(an_eager_child_says_it_at_birth),
        cmocka_unit_test(the_process_that_was_not_forked_says_nothing),
    };

    return RUN(tests);
}
