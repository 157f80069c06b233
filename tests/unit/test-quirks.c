#include "mock-use.h"

#include "pkcs11/key/find.h"
#include "pkcs11/module/quirks.h"
#include "pkcs11/token/session.h"
#include "child.h"

static struct mock *mock;
static struct tok_module *module;
static struct tok_token *token;

static void pad(CK_INFO *info, const char *manufacturer)
{
    memset(info, ' ', sizeof(*info));
    memcpy(info->manufacturerID, manufacturer, strlen(manufacturer));
}

/* --- the rows ----------------------------------------------------------------------------------------------------- */

static const struct row {
    const char *path;
    const char *manufacturer;
    enum tok_fork fork;
    bool start_may_miss;
    bool error_stays;
    bool notices_late;
    bool forgets_fork;
} known[] = {
    { "/usr/lib/softhsm/libsofthsm2.so", "SoftHSM", TOK_FORK_SHARE, .start_may_miss = true },
    { "/usr/lib/x86_64-linux-gnu/libsoftokn3.so", "Mozilla Foundation", .fork = TOK_FORK_FINALIZE },
    { "/usr/lib/x86_64-linux-gnu/pkcs11/libtpm2_pkcs11.so.0", "tpm2-software.github.io", TOK_FORK_REFUSE,
      .error_stays = true },
    { "/usr/lib/libpkcs11-proxy.so.0", NULL, TOK_FORK_REFUSE, .forgets_fork = true },
    { "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so", "OpenSC Project", TOK_FORK_REFUSE, .notices_late = true },
    { "/usr/lib/x86_64-linux-gnu/onepin-opensc-pkcs11.so", "OpenSC Project", TOK_FORK_REFUSE, .notices_late = true },
};

static void expect(const struct row *row, const char *path, const CK_INFO *info)
{
    const struct tok_quirk *quirk = tok_quirk_of(path, info);

    assert_int_equal(quirk->fork, row->fork);
    assert_int_equal(quirk->start_may_miss, row->start_may_miss);
    assert_int_equal(quirk->notices_ms > 0, row->notices_late);
    assert_int_equal(quirk->error_stays, row->error_stays);
    assert_int_equal(quirk->forgets_fork, row->forgets_fork);
    assert_true(strlen(quirk->reason) > 10);
}

TEST(a_module_is_known_by_its_file_or_by_its_manufacturer)
{
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        CK_INFO info;

        expect(&known[i], known[i].path, NULL);
        if (known[i].manufacturer != NULL) { /* else it says what the module behind it says */
            pad(&info, known[i].manufacturer);
            expect(&known[i], known[i].path, &info);
            expect(&known[i], "/opt/spy.so", &info); /* something in front of it */
        }
    }
}

TEST(a_module_that_nobody_knows_must_not_go_on_after_a_fork_that_it_did_not_notice)
{
    static const struct row unknown = { .fork = TOK_FORK_REFUSE };
    CK_INFO info;

    pad(&info, "SoftHSM 3");
    expect(&unknown, "/opt/vendor.so", NULL);
    expect(&unknown, "/opt/libsofthsm2.so.d/vendor.so", &info);
    pad(&info, "");
    expect(&unknown, "vendor.so", &info);
}

/* --- what a child does -------------------------------------------------------------------------------------------- */

static struct tok_token *token_labelled(const char *label)
{
    struct tok_token *found = module->tokens;

    while (found != NULL && strcmp(found->label, label) != 0) {
        found = found->next;
    }
    assert_non_null(found);
    return found;
}

/* token.NAME.quirks for the token of that label */
static void configure(const char *label, enum tok_fork fork)
{
    struct tok_named_token named = { .fork = fork };
    struct tok_settings settings;
    char uri[64];

    snprintf(uri, sizeof(uri), "pkcs11:token=%s", label);
    tok_settings_init(&settings);
    OK(tok_uri_parse(&named.uri, uri, TOK_URI_FROM_APPLICATION));
    settings.tokens = &named;
    settings.num_tokens = 1;
    tok_token_note_settings(token_labelled(label), &settings);
    tok_uri_free(named.uri);
}

/* The parent has the module initialised; the mock does not notice a fork. */
static void furnish(const char *manufacturer, enum tok_fork configured)
{
    mock = mock_load(&module);
    strcpy(mock->manufacturer, manufacturer);
    mock_token(mock, "test");
    token = mock_looked(module);
    configure("test", configured);
}

enum { SHARED = 10, FINALIZED, REFUSED, SILENT };

/* What the child made of the module. */
static int starts(void *arg)
{
    uint64_t began = clock_us();
    struct tok_result result = tok_module_start(module, began + 20 * SECOND);
    unsigned initialized = mock->calls[MOCK_Initialize];

    (void)arg;
    if (clock_us() > began + 15 * SECOND) { /* it waited for itself */
        return SILENT;
    }
    if (result.code == TOK_CODE_AFTER_FORK) {
        return module->state == TOK_MODULE_IDLE && mock->calls[MOCK_Finalize] == 0 ? REFUSED : SILENT;
    }
    if (!tok_ok(&result)) {
        return SILENT;
    }
    return mock->calls[MOCK_Finalize] == 0 ? SHARED : mock->initialized && initialized == 3 ? FINALIZED : SILENT;
}

static int starts_in_grandchild(void *arg)
{
    return child_does(starts, arg);
}

TEST(the_row_decides_what_a_child_does)
{
    furnish("SoftHSM", TOK_FORK_UNSAID);
    assert_int_equal(child_does(starts, NULL), SHARED);
    furnish("Mozilla Foundation", TOK_FORK_UNSAID);
    assert_int_equal(child_does(starts, NULL), FINALIZED);
    furnish("tpm2-software.github.io", TOK_FORK_UNSAID);
    assert_int_equal(child_does(starts, NULL), REFUSED);
    furnish("Vendor", TOK_FORK_UNSAID);
    assert_int_equal(child_does(starts, NULL), REFUSED);
    assert_int_equal(mock->calls[MOCK_Finalize], 0); /* by the parent, ever */
}

TEST(and_what_a_grandchild_does_whose_parent_did_nothing)
{
    furnish("Mozilla Foundation", TOK_FORK_UNSAID);
    assert_int_equal(child_does(starts_in_grandchild, NULL), FINALIZED);
    furnish("Vendor", TOK_FORK_UNSAID);
    assert_int_equal(child_does(starts_in_grandchild, NULL), REFUSED);
}

TEST(what_the_configuration_says_comes_first)
{
    furnish("Vendor", TOK_FORK_SHARE);
    assert_int_equal(child_does(starts, NULL), SHARED);
    furnish("Vendor", TOK_FORK_FINALIZE);
    assert_int_equal(child_does(starts, NULL), FINALIZED);
    furnish("SoftHSM", TOK_FORK_REFUSE);
    assert_int_equal(child_does(starts, NULL), REFUSED);
}

TEST(of_two_tokens_of_a_module_the_more_careful_word_counts)
{
    furnish("Vendor", TOK_FORK_SHARE);
    mock_token(mock, "other");
    OK(tok_tokens_look(module, clock_us() + SECOND));
    configure("other", TOK_FORK_FINALIZE);
    configure("test", TOK_FORK_SHARE); /* in whatever order they are seen */
    assert_int_equal(child_does(starts, NULL), FINALIZED);
}

TEST(the_refusal_says_why_and_what_to_do)
{
    furnish("Vendor", TOK_FORK_UNSAID);
    module->state = TOK_MODULE_IDLE; /* as in a child */
    module->inherited = true;
    FAILS(tok_module_start(module, clock_us() + SECOND), TOK_CODE_AFTER_FORK);
    SAYS("random numbers");
    assert_non_null(strstr(tok_advice(&failure), "key file"));
    assert_non_null(strstr(tok_advice(&failure), "token.NAME.quirks"));
    FAILS(tok_module_start(module, clock_us() + SECOND), TOK_CODE_AFTER_FORK); /* and says it again */
}

TEST(what_another_part_of_the_parent_made_is_not_finalised)
{
    furnish("Mozilla Foundation", TOK_FORK_UNSAID);
    module->initialized_by_us = false;
    assert_int_equal(child_does(starts, NULL), REFUSED);
}

static int notices_fork(void *arg)
{
    struct tok_result result;

    (void)arg;
    mock->initialized = false;
    result = tok_module_start(module, clock_us() + SECOND);
    return tok_ok(&result) && mock->calls[MOCK_Finalize] == 0 && !module->inherited ? 0 : 1;
}

TEST(a_module_that_notices_the_fork_is_initialised_and_nothing_else)
{
    furnish("Vendor", TOK_FORK_UNSAID);
    assert_int_equal(child_does(notices_fork, NULL), 0);
}

/* As a child of a process that used pkcs11-proxy: good where it may be initialised. */
static int starts_on_a_connection(void *arg)
{
    static char path[] = "/usr/lib/libpkcs11-proxy.so.0";
    unsigned calls = mock_all_calls(mock);
    struct tok_result result;

    (void)arg;
    module->path = path;
    mock->initialized = false; /* it notices the fork, it says */
    result = tok_module_start(module, clock_us() + SECOND);
    if (result.code == TOK_CODE_AFTER_FORK) {
        return mock_all_calls(mock) == calls ? REFUSED : SILENT; /* each would be over the parent's connection */
    }
    return tok_ok(&result) && mock->calls[MOCK_Finalize] == 0 ? SHARED : SILENT;
}

TEST(one_that_goes_on_with_its_parents_connection_is_not_even_initialised)
{
    furnish("", TOK_FORK_UNSAID);
    assert_int_equal(child_does(starts_on_a_connection, NULL), REFUSED);
    furnish("", TOK_FORK_FINALIZE);
    assert_int_equal(child_does(starts_on_a_connection, NULL), REFUSED);
    furnish("", TOK_FORK_SHARE); /* whoever says so knows better */
    assert_int_equal(child_does(starts_on_a_connection, NULL), SHARED);
}

TEST(in_the_process_that_initialised_it_nothing_is_asked)
{
    furnish("Vendor", TOK_FORK_UNSAID);
    module->state = TOK_MODULE_IDLE; /* another library has initialised it, before us */
    OK(tok_module_start(module, clock_us() + SECOND));
    assert_int_equal(mock->calls[MOCK_GetInfo], 0);
}

/* --- a start that misses tokens ----------------------------------------------------------------------------------- */

static bool finds(const char *text)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    SCOPED(tok_token_list_end) struct tok_token_list list = { .items = NULL };
    struct tok_settings settings;

    tok_settings_init(&settings);
    settings.modules = mock_path;
    OK(tok_uri_parse(&uri, text, TOK_URI_FROM_APPLICATION));
    failure = tok_find_tokens(&list, &settings, uri, clock_us() + 10 * SECOND);
    return tok_ok(&failure);
}

/* Every C_Initialize but the third leaves the token out. */
static void miss(enum mock_function which)
{
    if (which == MOCK_Initialize) {
        mock->tokens[0].present = mock->calls[MOCK_Initialize] == 2;
    }
}

static void furnish_missing(const char *manufacturer)
{
    mock = mock_load(&module);
    strcpy(mock->manufacturer, manufacturer);
    mock_token(mock, "test");
    mock_token(mock, "other");
    mock->on_call = miss;
}

TEST(a_token_that_was_overlooked_is_found_when_the_module_is_initialised_again)
{
    furnish_missing("SoftHSM");
    assert_true(finds("pkcs11:token=test"));
    assert_int_equal(mock->calls[MOCK_Initialize], 3);
}

TEST(a_module_without_that_habit_is_not_initialised_again)
{
    furnish_missing("Vendor");
    assert_false(finds("pkcs11:token=test"));
    assert_int_equal(failure.code, TOK_CODE_NO_TOKEN);
    assert_int_equal(mock->calls[MOCK_Initialize], 1);
}

TEST(a_token_that_is_not_there_is_given_up_before_the_deadline)
{
    uint64_t began = clock_us();

    furnish_missing("SoftHSM");
    assert_false(finds("pkcs11:token=tset"));
    assert_int_equal(failure.code, TOK_CODE_NO_TOKEN);
    assert_true(clock_us() < began + 6 * SECOND); /* of 10; it takes less than 2 */
}

TEST(while_somebody_has_a_session_the_module_stays_as_it_is)
{
    SCOPED(tok_lease_end) struct tok_lease lease = { .token = NULL };
    uint64_t began = clock_us();

    furnish_missing("SoftHSM");
    assert_true(finds("pkcs11:token=other"));
    OK(tok_lease_begin(&lease, module->tokens, 0, clock_us() + SECOND));
    assert_false(finds("pkcs11:token=tset"));
    assert_int_equal(mock->calls[MOCK_Initialize], 1);
    assert_true(clock_us() < began + 5 * SECOND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_module_is_known_by_its_file_or_by_its_manufacturer),
        cmocka_unit_test(a_module_that_nobody_knows_must_not_go_on_after_a_fork_that_it_did_not_notice),
        cmocka_unit_test(the_row_decides_what_a_child_does),
        cmocka_unit_test(and_what_a_grandchild_does_whose_parent_did_nothing),
        cmocka_unit_test(what_the_configuration_says_comes_first),
        cmocka_unit_test(of_two_tokens_of_a_module_the_more_careful_word_counts),
        cmocka_unit_test(the_refusal_says_why_and_what_to_do),
        cmocka_unit_test(what_another_part_of_the_parent_made_is_not_finalised),
        cmocka_unit_test(a_module_that_notices_the_fork_is_initialised_and_nothing_else),
        cmocka_unit_test(one_that_goes_on_with_its_parents_connection_is_not_even_initialised),
        cmocka_unit_test(in_the_process_that_initialised_it_nothing_is_asked),
        cmocka_unit_test(a_token_that_was_overlooked_is_found_when_the_module_is_initialised_again),
        cmocka_unit_test(a_module_without_that_habit_is_not_initialised_again),
        cmocka_unit_test(a_token_that_is_not_there_is_given_up_before_the_deadline),
        cmocka_unit_test(while_somebody_has_a_session_the_module_stays_as_it_is),
    };

    return RUN(tests);
}
