/* Key files whose token or object was renamed since: the public half finds the key, and nothing else does. */
#include "key-use.h"

#include "base/stderr.h"

#include <fcntl.h>

static const char long_point[] = "\x04"
                                 "01234567890123456789012345678901"
                                 "01234567890123456789012345678901";
static const char other_point[] = "\x04"
                                  "a1234567890123456789012345678901"
                                  "01234567890123456789012345678901";

/* What the types of keys show of themselves. */
static const struct type {
    const char *name;
    CK_KEY_TYPE type;
} types[] = { { "RSA", CKK_RSA }, { "EC", CKK_EC }, { "Ed25519", CKK_EC_EDWARDS } };

static void show(struct mock_object *object, const struct type *type, const char *half)
{
    mock_attr(object, CKA_KEY_TYPE, &type->type, sizeof(type->type));
    if (type->type == CKK_RSA) {
        mock_attr(object, CKA_MODULUS, half, strlen(half));
        mock_attr(object, CKA_PUBLIC_EXPONENT, "\x01\x00\x01", 3);
    } else {
        mock_attr(object, CKA_EC_PARAMS, "\x06\x01\x01", 3);
        mock_attr(object, CKA_EC_POINT, half, strlen(half));
    }
}

static void public_and_private(const struct type *type, const char *label, unsigned char id, const char *half)
{
    show(mock_object(mock, CKO_PRIVATE_KEY, label, id), type, half);
    show(mock_object(mock, CKO_PUBLIC_KEY, label, id), type, half);
}

static void load(const char *text, const struct type *type)
{
    struct tok_public half = { .type = type->type };
    struct tok_uri *uri = NULL;

    if (type->type == CKK_RSA) {
        assert_true(bytes_set(&half.modulus, long_point, strlen(long_point)) &&
                    bytes_set(&half.exponent, "\x01\x00\x01", 3));
    } else {
        assert_true(bytes_set(&half.params, "\x06\x01\x01", 3) &&
                    bytes_set(&half.point, long_point, strlen(long_point)));
    }
    tok_key_unref(key);
    key = NULL;
    OK(tok_uri_parse(&uri, text, TOK_URI_FROM_FILE));
    OK(tok_key_new(&key, &settings, uri, &half));
}

static struct tok_token *the_token(void)
{
    return mock_looked(module);
}

/* The URI that the token and its key "www" have now. */
static char *written_uri(void)
{
    struct bytes id = { .data = (uint8_t *)"\x01", .len = 1 };
    struct bytes label = { .data = (uint8_t *)"www", .len = 3 };
    CK_TOKEN_INFO info;
    char *text = NULL;

    tok_token_info(the_token(), &info);
    OK(tok_uri_of_object(&text, &info, CKO_PRIVATE_KEY, &id, &label));
    return text;
}

/* --- what is said ------------------------------------------------------------------------------------------------- */

static char said[8192];
static struct tok_result signed_as;

static char heard_path[] = "/tmp/signet-renamed-XXXXXX";
static int heard = -1; /* stderr, from before anybody remembers what it is */

static void listen_to_stderr(void)
{
    heard = mkostemp(heard_path, O_APPEND); /* with a name, as a log has it */
    if (heard < 0) {
        exit(1);
    }
    dup2(heard, STDERR_FILENO);
    stderr_remember();
}

static void sign_and_listen(void)
{
    off_t before = lseek(heard, 0, SEEK_END);
    ssize_t len;

    signed_as = sign();
    if (!tok_ok(&signed_as)) {
        print_message("%s\n", signed_as.message);
    }
    len = pread(heard, said, sizeof(said) - 1, before);
    assert_true(len >= 0);
    said[len] = '\0';
}

static unsigned lines_said(void)
{
    unsigned lines = 0;

    for (const char *at = said; *at != '\0'; at++) {
        lines += *at == '\n';
    }
    return lines;
}

static void is_served_and_told(const char *what)
{
    sign_and_listen();
    OK(signed_as);
    if (lines_said() != 1 || strstr(said, what) == NULL || strstr(said, "signet key-file 'pkcs11:") == NULL) {
        print_message("not said once: %s: %s\n", what, said);
        fail_msg("'%s' is not said once: %s", what, said);
    }
    sign_and_listen();
    OK(signed_as);
    assert_string_equal(said, "");
}

/* --- renamed alone, by attribute and type ------------------------------------------------------------------------- */

static void rename_label(void)
{
    mock_pad(mock->tokens[0].info.label, 32, "new label");
}

static void rename_serial(void)
{
    mock_pad(mock->tokens[0].info.serialNumber, 16, "77");
}

static void rename_model(void)
{
    static unsigned marks; /* the same change is told once in a process */
    char model[16];

    snprintf(model, sizeof(model), "Mark %u", ++marks);
    mock_pad(mock->tokens[0].info.model, sizeof(model), model);
}

static void rename_maker(void)
{
    mock_pad(mock->tokens[0].info.manufacturerID, 32, "Bought Ltd");
}

static void rename_all(void)
{
    rename_label();
    rename_serial();
    rename_model();
    rename_maker();
}

static void rename_object(void)
{
    for (unsigned i = 0; i < 2; i++) {
        mock->objects[i].attrs[2].pValue = "\x09";
    }
}

static const struct renaming {
    void (*rename)(void);
    const char *says;
    const char *shortened; /* a URI that the attribute alone spoils */
} renamings[] = {
    { rename_label, "token was 'test', is 'new label'", "pkcs11:token=test" },
    { rename_serial, "serial was '1', is '77'", "pkcs11:serial=1" },
    { rename_model, "model was 'M", NULL },
    { rename_maker, "manufacturer was 'Mock', is 'Bought Ltd'", "pkcs11:manufacturer=Mock;id=%01" },
    { rename_all, "serial was '1', is '77', token was 'test', is 'new label'", "pkcs11:token=test;serial=1" },
    { rename_object, "id was 01, is 09", "pkcs11:token=test;id=%01" },
};

/* A new module each time, as a process that is started after the upgrade has it. */
static void furnish_renamed(const struct renaming *renaming, const struct type *type, bool shortened, bool others)
{
    SCOPED(scoped_free) char *uri = NULL;

    furnish_settings();
    mock_token(mock, "test");
    public_and_private(type, "www", 1, long_point);
    uri = written_uri();
    renaming->rename();
    if (others) {
        mock_token(mock, "other");
        mock_pad(mock->tokens[1].info.serialNumber, 16, "2");
        public_and_private(type, "not", 5, other_point);
    }
    load(shortened ? renaming->shortened : uri, type);
}

TEST(a_renamed_token_serves_the_key_file_and_says_once_what_changed)
{
    for (size_t r = 0; r < COUNT_OF(renamings); r++) {
        for (size_t t = 0; t < COUNT_OF(types); t++) {
            furnish_renamed(&renamings[r], &types[t], false, false);
            is_served_and_told(renamings[r].says);
        }
    }
}

TEST(a_shortened_uri_does_as_well)
{
    for (size_t r = 0; r < COUNT_OF(renamings); r++) {
        for (size_t t = 0; t < COUNT_OF(types) && renamings[r].shortened != NULL; t++) {
            furnish_renamed(&renamings[r], &types[t], true, false);
            is_served_and_told(renamings[r].says);
        }
    }
}

TEST(another_slot_or_library_serves_as_well)
{
    static const char *const uris[] = { "pkcs11:token=test;slot-id=5", "pkcs11:token=test;slot-description=none",
                                        "pkcs11:token=test;library-description=old;id=%01" };

    for (size_t i = 0; i < COUNT_OF(uris); i++) {
        furnish_settings();
        mock_token(mock, "test");
        public_and_private(&types[1], "www", 1, long_point);
        load(uris[i], &types[1]);
        is_served_and_told("slot-* or library-* is another one");
    }
}

/* The setting pin is tied to no token, so that a file chooses none. */
TEST(beside_another_token_the_pin_goes_to_none_unless_it_has_its_own)
{
    for (size_t r = 0; r < COUNT_OF(renamings) - 1; r++) {
        furnish_renamed(&renamings[r], &types[1], false, true);
        sign_and_listen();
        failure = signed_as;
        assert_false(tok_ok(&failure));
        SAYS("2 tokens that want one are present");
        assert_int_equal(mock->calls[MOCK_Login], 0);
    }
}

TEST(beside_another_token_the_one_with_the_key_serves_by_its_own_pin)
{
    for (size_t r = 0; r < COUNT_OF(renamings) - 1; r++) {
        furnish_renamed(&renamings[r], &types[1], false, true);
        (void)mock_named(&settings, "one", r == 1 || r == 4 ? "pkcs11:serial=77" : "pkcs11:serial=1", "1234");
        is_served_and_told(renamings[r].says);
        assert_int_equal(mock->tokens[1].wrong_pins, 0);
        assert_false(mock->tokens[1].logged_in);
    }
}

TEST(of_two_tokens_with_one_name_the_one_that_shows_the_half_serves)
{
    furnish_renamed(&renamings[0], &types[0], false, true);
    (void)mock_named(&settings, "one", "pkcs11:serial=1", "1234");
    (void)mock_named(&settings, "two", "pkcs11:serial=2", "1234");
    mock_pad(mock->tokens[1].info.label, 32, "new label");
    is_served_and_told("token was 'test', is 'new label'");
}

/* --- bad days ----------------------------------------------------------------------------------------------------- */

TEST(a_token_without_the_key_has_no_pin_tried_on_it)
{
    furnish_settings();
    mock_token(mock, "other");
    strcpy(mock->tokens[0].pin, "9999");
    public_and_private(&types[1], "www", 1, other_point);
    load("pkcs11:token=test;serial=4;id=%01", &types[1]);
    FAILS(sign(), TOK_CODE_NO_TOKEN);
    SAYS("'other' differs: serial was '4', is '1', token was 'test', is 'other'");
    assert_int_equal(mock->calls[MOCK_Login], 0);
    assert_int_equal(mock->calls[MOCK_SignInit], 0);
}

TEST(another_key_on_the_token_of_the_same_serial_number_does_not_sign)
{
    furnish_settings();
    mock_token(mock, "other");
    public_and_private(&types[1], "www", 1, other_point);
    load("pkcs11:token=test;serial=1;id=%01", &types[1]);
    FAILS(sign(), TOK_CODE_NO_TOKEN);
    SAYS("token was 'test', is 'other'");
    assert_int_equal(mock->calls[MOCK_SignInit], 0);
}

TEST(a_configured_token_that_no_longer_fits_gets_no_pin_and_the_line_is_told)
{
    furnish_renamed(&renamings[1], &types[1], false, false);
    (void)mock_named(&settings, "one", "pkcs11:token=test;serial=1", "1234");
    tok_pin_source_free(settings.pin);
    settings.pin = NULL;
    FAILS(sign(), TOK_CODE_PIN_TIED);
    SAYS("serial was '1', is '77'");
    SAYS("token.one.uri = pkcs11:");
    assert_int_equal(mock->calls[MOCK_Login], 0);
}

TEST(an_applications_uri_is_not_widened_and_the_error_tells_what_differs)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    furnish_renamed(&renamings[1], &types[1], false, false);
    OK(tok_uri_parse(&uri, "pkcs11:token=test;serial=1", TOK_URI_FROM_APPLICATION));
    FAILS(tok_find(&items, &settings, uri, TOK_WANT_PRIVATE, NULL), TOK_CODE_NO_TOKEN);
    SAYS("'test' differs: serial was '1', is '77'");
}

TEST(an_absent_token_costs_the_wider_look_once)
{
    unsigned first;
    unsigned second;
    unsigned third;

    furnish_settings();
    mock_token(mock, "other");
    public_and_private(&types[1], "www", 1, other_point);
    load("pkcs11:token=test;serial=4;id=%01", &types[1]);
    FAILS(sign(), TOK_CODE_NO_TOKEN);
    first = mock_all_calls(mock);
    FAILS(sign(), TOK_CODE_NO_TOKEN);
    second = mock_all_calls(mock) - first;
    FAILS(sign(), TOK_CODE_NO_TOKEN);
    third = mock_all_calls(mock) - first - second;
    assert_int_equal(mock->calls[MOCK_FindObjectsInit], 2);
    assert_int_equal(second, third);
    print_message("calls: %u, then %u and %u\n", first, second, third);
}

TEST(a_token_that_is_renamed_while_the_process_runs_gets_no_pin_that_was_tied_to_it)
{
    furnish_renamed(&renamings[3], &types[1], false, false);
    sign_and_listen();
    OK(signed_as);
    mock->tokens[0].present = false;
    settings.deadline_us = SECOND / 2;
    lose_all();
    assert_false(tok_ok((struct tok_result[]){ sign() }));
    settings.deadline_us = 5 * SECOND;
    clock_sleep_us(SECOND + SECOND / 5); /* until it is asked again */
    rename_label();
    mock->tokens[0].present = true;
    sign_and_listen();
    failure = signed_as;
    assert_false(tok_ok(&failure));
    SAYS("is not sent to 'new label'");
}

/* --- padding ------------------------------------------------------------------------------------------------------ */

TEST(zeros_at_the_end_of_a_tokens_fields_count_as_blanks)
{
    SCOPED(scoped_free) char *text = NULL;
    CK_TOKEN_INFO info;

    furnish_settings();
    mock_token(mock, "test");
    memset(mock->tokens[0].info.label + 4, 0, 28);
    memset(mock->tokens[0].info.serialNumber + 1, 0, 15);
    memset(mock->tokens[0].info.manufacturerID + 4, 0, 28);
    memset(mock->tokens[0].info.model + 4, 0, 12);
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, point);
    find_key();
    OK(sign());
    tok_token_info(the_token(), &info);
    OK(tok_uri_of_token(&text, &info));
    assert_null(strstr(text, "%00"));
}

TEST(a_uri_with_zeros_or_blanks_at_the_end_names_the_same_token)
{
    static const char *const uris[] = { "pkcs11:token=test%00%00", "pkcs11:token=test%20%00;serial=1%00" };

    for (size_t i = 0; i < COUNT_OF(uris); i++) {
        SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
        SCOPED(tok_token_list_end) struct tok_token_list list = { .items = NULL };

        furnish_settings();
        mock_token(mock, "test");
        OK(tok_uri_parse(&uri, uris[i], TOK_URI_FROM_APPLICATION));
        OK(tok_find_tokens(&list, &settings, uri, clock_us() + SECOND));
        assert_int_equal(list.count, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_renamed_token_serves_the_key_file_and_says_once_what_changed),
        cmocka_unit_test(a_shortened_uri_does_as_well),
        cmocka_unit_test(another_slot_or_library_serves_as_well),
        cmocka_unit_test(beside_another_token_the_pin_goes_to_none_unless_it_has_its_own),
        cmocka_unit_test(beside_another_token_the_one_with_the_key_serves_by_its_own_pin),
        cmocka_unit_test(of_two_tokens_with_one_name_the_one_that_shows_the_half_serves),
        cmocka_unit_test(a_token_without_the_key_has_no_pin_tried_on_it),
        cmocka_unit_test(another_key_on_the_token_of_the_same_serial_number_does_not_sign),
        cmocka_unit_test(a_configured_token_that_no_longer_fits_gets_no_pin_and_the_line_is_told),
        cmocka_unit_test(an_applications_uri_is_not_widened_and_the_error_tells_what_differs),
        cmocka_unit_test(an_absent_token_costs_the_wider_look_once),
        cmocka_unit_test(a_token_that_is_renamed_while_the_process_runs_gets_no_pin_that_was_tied_to_it),
        cmocka_unit_test(zeros_at_the_end_of_a_tokens_fields_count_as_blanks),
        cmocka_unit_test(a_uri_with_zeros_or_blanks_at_the_end_names_the_same_token),
    };

    int failed;

    listen_to_stderr();
    failed = RUN(tests);
    unlink(heard_path);
    return failed;
}
