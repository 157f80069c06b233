/* Which token a PIN goes to. All tokens have the same PIN, so that one that goes astray opens what it should not. */
#include "key-use.h"

#include "child.h"
#include "pkcs11/key/child.h"

static struct mock_token *token_with_key(struct mock *on, const char *label, const char *serial)
{
    struct mock_token *token = mock_token(on, label);

    mock_pad(token->info.serialNumber, sizeof(token->info.serialNumber), serial);
    mock_ec_key(on, CKO_PRIVATE_KEY, "www", 1, point);
    return token;
}

/* Two tokens, "prod" and "other". */
static void two_tokens(void)
{
    furnish_settings();
    token_with_key(mock, "prod", "11");
    token_with_key(mock, "other", "22");
}

static void general_pin(const char *pin)
{
    tok_pin_source_free(settings.pin);
    settings.pin = NULL;
    if (pin != NULL) {
        OK(tok_pin_source_new(&settings.pin, pin, TOK_PIN_FROM_SETTINGS));
    }
}

static struct tok_result find_by(const char *text, enum tok_uri_origin origin, const struct tok_pin_prompt *prompt)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    tok_key_unref(key);
    key = NULL;
    TOK_TRY(tok_uri_parse(&uri, text, origin));
    TOK_TRY(tok_find(&items, &settings, uri, TOK_WANT_PRIVATE, prompt));
    key = tok_key_ref(items.items[0].key);
    return tok_good();
}

/* As the application does by a URI, ... */
static struct tok_result open_by(const char *text)
{
    return find_by(text, TOK_URI_FROM_APPLICATION, NULL);
}

/* ... and as a key file does. */
static struct tok_result file_signs(const char *text, enum tok_uri_origin origin)
{
    struct tok_public half = { .type = CKK_EC };
    struct tok_uri *uri = NULL;

    tok_key_unref(key);
    key = NULL;
    assert_true(bytes_set(&half.params, "\x06\x01\x01", 3) && bytes_set(&half.point, point, strlen(point)));
    OK(tok_uri_parse(&uri, text, origin));
    OK(tok_key_new(&key, &settings, uri, &half));
    return sign();
}

static struct tok_result stranger_signs(const char *text)
{
    return file_signs(text, TOK_URI_FROM_FILE);
}

static unsigned logins(void)
{
    return mock->calls[MOCK_Login];
}

/* --- the setting pin ---------------------------------------------------------------------------------------------- */

TEST(with_one_token_that_wants_a_pin_a_key_file_has_it)
{
    furnish_settings();
    token_with_key(mock, "prod", "11");
    OK(stranger_signs("pkcs11:token=prod;object=www"));
    assert_int_equal(logins(), 1);
}

TEST(tokens_that_want_none_are_no_choice)
{
    two_tokens();
    mock->tokens[1].info.flags &= ~CKF_LOGIN_REQUIRED;
    mock_token(mock, "unborn")->info.flags &= ~CKF_USER_PIN_INITIALIZED;
    mock_token(mock, "empty")->info.flags &= ~CKF_TOKEN_INITIALIZED;
    OK(stranger_signs("pkcs11:token=prod;object=www"));
    assert_int_equal(logins(), 1);
}

TEST(with_two_a_key_file_does_not_choose)
{
    two_tokens();
    FAILS(stranger_signs("pkcs11:token=other;object=www"), TOK_CODE_PIN_TIED);
    SAYS("2 tokens");
    SAYS("'other' (serial 22), 'prod' (serial 11)");
    SAYS("tokens = other | token.other.uri = pkcs11:");
    FAILS(find_by("pkcs11:token=other;object=www;type=private", TOK_URI_FROM_FILE, NULL), TOK_CODE_PIN_TIED);
    assert_int_equal(logins(), 0);
    OK(file_signs("pkcs11:token=other;object=www", TOK_URI_FROM_TRUSTED_FILE));
    assert_int_equal(logins(), 1);
}

TEST(a_token_with_a_pin_of_its_own_is_one_all_the_same)
{
    two_tokens();
    mock_named(&settings, "prod", "pkcs11:token=prod", "1234");
    FAILS(stranger_signs("pkcs11:token=other;object=www"), TOK_CODE_PIN_TIED);
    SAYS("tokens = prod, other | ");
    assert_int_equal(logins(), 0);
    OK(stranger_signs("pkcs11:token=prod;object=www"));
}

TEST(one_that_comes_later_does_not_get_what_the_first_one_got)
{
    two_tokens();
    mock->tokens[1].present = false;
    OK(stranger_signs("pkcs11:token=prod;object=www"));
    mock->tokens[1].present = true;
    mock->tokens[0].present = false;
    FAILS(stranger_signs("pkcs11:token=other;object=www"), TOK_CODE_PIN_TIED);
    SAYS("is for token 'prod' (serial 11) in this process, and is not sent to 'other' (serial 22)");
    FAILS(open_by("pkcs11:token=other;object=www"), TOK_CODE_PIN_TIED);
    FAILS(file_signs("pkcs11:token=other;object=www", TOK_URI_FROM_TRUSTED_FILE), TOK_CODE_PIN_TIED);
    assert_int_equal(logins(), 1);
}

static int other_in_child(void *arg)
{
    unsigned before = logins();

    (void)arg;
    failure = stranger_signs("pkcs11:token=other;object=www");
    return failure.code == TOK_CODE_PIN_TIED && logins() == before ? 0 : 1;
}

TEST(the_application_chooses_once_for_its_children_too)
{
    two_tokens();
    strcpy(mock->manufacturer, "SoftHSM");
    OK(open_by("pkcs11:token=prod;object=www;type=private"));
    OK(stranger_signs("pkcs11:token=prod;object=www"));
    assert_int_equal(child_does(other_in_child, NULL), 0);
    FAILS(stranger_signs("pkcs11:token=other;object=www"), TOK_CODE_PIN_TIED);
    assert_int_equal(logins(), 1);
}

TEST(what_was_refused_by_one_token_is_not_tried_on_the_next)
{
    two_tokens();
    strcpy(mock->tokens[0].pin, "5678");
    FAILS_CKR(open_by("pkcs11:token=prod;object=www"), CKR_PIN_INCORRECT);
    FAILS(open_by("pkcs11:token=other;object=www"), TOK_CODE_PIN_TIED);
    assert_int_equal(logins(), 1);
}

TEST(another_context_that_says_the_same_means_the_same_token_and_one_that_does_not_chooses_anew)
{
    two_tokens();
    OK(open_by("pkcs11:token=prod;object=www"));
    general_pin("1234");
    FAILS(open_by("pkcs11:token=other;object=www"), TOK_CODE_PIN_TIED);
    general_pin("value:1234 "); /* another PIN */
    FAILS_CKR(open_by("pkcs11:token=other;object=www"), CKR_PIN_INCORRECT);
}

TEST(the_only_entry_without_a_pin_has_the_setting_pin)
{
    two_tokens();
    mock_named(&settings, "prod", "pkcs11:token=prod", NULL);
    FAILS(stranger_signs("pkcs11:token=other;object=www"), TOK_CODE_PIN_TIED);
    SAYS("the setting pin is token.prod's");
    FAILS(open_by("pkcs11:token=other;object=www"), TOK_CODE_PIN_TIED);
    assert_int_equal(logins(), 0);
    OK(stranger_signs("pkcs11:token=prod;object=www"));
    assert_int_equal(logins(), 1);
}

TEST(of_two_such_entries_neither_has_it_more_than_the_other)
{
    two_tokens();
    mock_named(&settings, "prod", "pkcs11:token=prod", NULL);
    mock_named(&settings, "other", "pkcs11:token=other", NULL);
    FAILS(stranger_signs("pkcs11:token=prod;object=www"), TOK_CODE_PIN_TIED);
    SAYS("token.prod.pin = ");
    OK(open_by("pkcs11:token=other;object=www"));
    FAILS(stranger_signs("pkcs11:token=prod;object=www"), TOK_CODE_PIN_TIED);
    assert_int_equal(logins(), 1);
}

/* --- a token's own pin -------------------------------------------------------------------------------------------- */

TEST(of_two_tokens_that_an_entry_matches_none_gets_its_pin)
{
    furnish_settings();
    token_with_key(mock, "prod", "11");
    token_with_key(mock, "prod", "22");
    mock_named(&settings, "prod", "pkcs11:token=prod", "1234");
    FAILS(stranger_signs("pkcs11:token=prod;serial=11;object=www"), TOK_CODE_PIN_TIED);
    SAYS("'prod' (serial 11), 'prod' (serial 22)");
    SAYS("write: token.prod.uri = pkcs11:");
    FAILS(open_by("pkcs11:token=prod;serial=22;object=www"), TOK_CODE_PIN_TIED);
    FAILS(open_by("pkcs11:object=www;type=private"), TOK_CODE_PIN_TIED);
    assert_int_equal(logins(), 0);
}

TEST(a_card_that_was_exchanged_for_one_of_its_label_does_not_get_it_until_it_is_named)
{
    furnish_settings();
    token_with_key(mock, "prod", "11");
    mock_named(&settings, "prod", "pkcs11:token=prod", "1234");
    OK(stranger_signs("pkcs11:token=prod;object=www"));
    mock->tokens[0].present = false;
    token_with_key(mock, "prod", "22")->slot = 0;
    FAILS(stranger_signs("pkcs11:token=prod;object=www"), TOK_CODE_PIN_TIED);
    SAYS("token.prod.pin is for token 'prod' (serial 11)");
    SAYS("not sent to 'prod' (serial 22)");
    FAILS(open_by("pkcs11:token=prod;object=www"), TOK_CODE_PIN_TIED);
    assert_int_equal(logins(), 1);
    tok_uri_free(settings.tokens[0].uri);
    OK(tok_uri_parse(&settings.tokens[0].uri, "pkcs11:token=prod;serial=22", TOK_URI_FROM_APPLICATION));
    OK(stranger_signs("pkcs11:token=prod;object=www"));
    assert_int_equal(logins(), 2);
}

TEST(one_token_that_two_modules_show_is_one)
{
    struct mock *alias;
    struct tok_module *other;
    char paths[sizeof(mock_path) * 2];

    furnish_settings();
    token_with_key(mock, "prod", "11");
    strcpy(paths, mock_path);
    alias = mock_load(&other);
    token_with_key(alias, "prod", "11");
    alias->tokens[0].info = mock->tokens[0].info;
    free(settings.modules);
    strcat(strcat(paths, ","), mock_path);
    settings.modules = strdup(paths);
    mock_named(&settings, "prod", "pkcs11:token=prod", "1234");
    OK(stranger_signs("pkcs11:object=www"));
    assert_true(mock->tokens[0].logged_in || alias->tokens[0].logged_in);
}

/* Its copy in another module may be a file that somebody wrote. */
TEST(where_the_module_is_said_the_pin_is_sent_to_no_other)
{
    struct mock *own;
    struct tok_module *other;

    furnish_settings();
    token_with_key(mock, "prod", "11");
    own = mock_load(&other);
    token_with_key(own, "prod", "11");
    own->tokens[0].info = mock->tokens[0].info;
    mock_named(&settings, "prod", "pkcs11:token=prod", "1234")->modules = strdup(mock_path);
    own->tokens[0].present = false;
    assert_int_not_equal(stranger_signs("pkcs11:object=www").code, TOK_CODE_OK);
    assert_int_equal(logins(), 0);
    own->tokens[0].present = true;
    OK(stranger_signs("pkcs11:token=prod;object=www"));
    assert_int_equal(logins(), 0);
    assert_int_equal(own->calls[MOCK_Login], 1);
}

/* --- PINs of a URI, and of a person ------------------------------------------------------------------------------- */

TEST(a_pin_in_a_uri_is_for_the_one_token_that_it_means)
{
    two_tokens();
    general_pin(NULL);
    FAILS(open_by("pkcs11:object=www;type=private?pin-value=1234"), TOK_CODE_PIN_OWN);
    assert_int_equal(logins(), 0);
    OK(open_by("pkcs11:token=prod;object=www;type=private?pin-value=1234"));
    assert_int_equal(logins(), 1);
    FAILS(stranger_signs("pkcs11:token=other;object=www"), TOK_CODE_PIN_NEEDED);
    assert_int_equal(logins(), 1);
}

static char asked_for[128];
static unsigned asked;

static const char *typed;

static bool person(void *arg, const char *what, struct secret *out_pin)
{
    (void)arg;
    asked++;
    snprintf(asked_for, sizeof(asked_for), "%s", what);
    return secret_set(out_pin, typed, strlen(typed));
}

/* What was answered stays known in this process: each test has a PIN of its own. */
static void two_tokens_of_a_person(const char *pin)
{
    two_tokens();
    typed = pin;
    asked = 0;
    strcpy(mock->tokens[0].pin, pin);
    strcpy(mock->tokens[1].pin, pin);
}

TEST(a_person_who_is_asked_is_told_which_token_it_is_and_decides)
{
    const struct tok_pin_prompt prompt = { person, NULL };

    two_tokens_of_a_person("1111");
    mock_pad(mock->tokens[1].info.serialNumber, sizeof(mock->tokens[1].info.serialNumber), "2\x1b[2");
    OK(find_by("pkcs11:token=other;object=www;type=private", TOK_URI_FROM_FILE, &prompt));
    assert_int_equal(asked, 1);
    assert_non_null(strstr(asked_for, "'other'"));
    assert_non_null(strstr(asked_for, "serial 2?[2 "));
    assert_int_equal(logins(), 1);
    assert_true(mock->tokens[1].logged_in);
}

/* As a program does that has one answer to every question. */
TEST(an_answer_that_was_given_for_one_token_does_not_go_to_another_that_a_key_file_names)
{
    const struct tok_pin_prompt prompt = { person, NULL };

    two_tokens_of_a_person("2222");
    general_pin(NULL);
    OK(find_by("pkcs11:token=prod;object=www;type=private", TOK_URI_FROM_FILE, &prompt));
    FAILS(find_by("pkcs11:token=other;object=www;type=private", TOK_URI_FROM_FILE, &prompt), TOK_CODE_PIN_TIED);
    SAYS("the answer to the prompt is for token 'prod' (serial 11)");
    assert_int_equal(logins(), 1);
    OK(find_by("pkcs11:token=other;object=www;type=private", TOK_URI_FROM_APPLICATION, &prompt));
    assert_int_equal(logins(), 2);
}

TEST(nobody_is_asked_for_a_pin_for_several)
{
    const struct tok_pin_prompt prompt = { person, NULL };

    two_tokens_of_a_person("3333");
    FAILS(find_by("pkcs11:object=www;type=private", TOK_URI_FROM_APPLICATION, &prompt), TOK_CODE_PIN_OWN);
    assert_int_equal(asked + logins(), 0);
}

static void eager_end(void)
{
    tok_child_forget(&settings);
    settings.eager = false;
}

static int no_login_at_birth(void *arg)
{
    (void)arg;
    return (int)logins();
}

/* What its parent opened by a PIN of the URI, a child must not open by another, should that one be refused. */
TEST(a_child_that_logs_in_by_itself_chooses_nothing)
{
    two_tokens();
    strcpy(mock->manufacturer, "SoftHSM");
    general_pin("9999");
    settings.eager = true;
    OK(open_by("pkcs11:token=other;object=www;type=private?pin-value=1234"));
    strcpy(mock->tokens[1].pin, "5678");
    mock->tokens[1].logged_in = false;
    mock->calls[MOCK_Login] = 0;
    assert_int_equal(child_does(no_login_at_birth, NULL), 1); /* the old PIN, once */
    assert_int_equal(child_does(no_login_at_birth, NULL), 0);
    eager_end();
}

/* --- an always-authenticate key ----------------------------------------------------------------------------------- */

TEST(a_key_that_always_authenticates_has_it_decided_before_its_operation)
{
    static const CK_BBOOL yes = CK_TRUE;

    two_tokens();
    mock->objects[1].always_authenticate = true;
    mock_attr(&mock->objects[1], CKA_ALWAYS_AUTHENTICATE, &yes, 1);
    mock->tokens[1].info.flags &= ~CKF_LOGIN_REQUIRED;
    mock->objects[1].is_private = false;
    FAILS(stranger_signs("pkcs11:token=other;object=www"), TOK_CODE_PIN_TIED);
    assert_int_equal(logins(), 0);
    assert_int_equal(mock->calls[MOCK_SignInit], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_one_token_that_wants_a_pin_a_key_file_has_it),
        cmocka_unit_test(tokens_that_want_none_are_no_choice),
        cmocka_unit_test(with_two_a_key_file_does_not_choose),
        cmocka_unit_test(a_token_with_a_pin_of_its_own_is_one_all_the_same),
        cmocka_unit_test(one_that_comes_later_does_not_get_what_the_first_one_got),
        cmocka_unit_test(the_application_chooses_once_for_its_children_too),
        cmocka_unit_test(what_was_refused_by_one_token_is_not_tried_on_the_next),
        cmocka_unit_test(another_context_that_says_the_same_means_the_same_token_and_one_that_does_not_chooses_anew),
        cmocka_unit_test(the_only_entry_without_a_pin_has_the_setting_pin),
        cmocka_unit_test(of_two_such_entries_neither_has_it_more_than_the_other),
        cmocka_unit_test(of_two_tokens_that_an_entry_matches_none_gets_its_pin),
        cmocka_unit_test(a_card_that_was_exchanged_for_one_of_its_label_does_not_get_it_until_it_is_named),
        cmocka_unit_test(one_token_that_two_modules_show_is_one),
        cmocka_unit_test(where_the_module_is_said_the_pin_is_sent_to_no_other),
        cmocka_unit_test(a_pin_in_a_uri_is_for_the_one_token_that_it_means),
        cmocka_unit_test(a_person_who_is_asked_is_told_which_token_it_is_and_decides),
        cmocka_unit_test(an_answer_that_was_given_for_one_token_does_not_go_to_another_that_a_key_file_names),
        cmocka_unit_test(nobody_is_asked_for_a_pin_for_several),
        cmocka_unit_test(a_child_that_logs_in_by_itself_chooses_nothing),
        cmocka_unit_test(a_key_that_always_authenticates_has_it_decided_before_its_operation),
    };

    return RUN(tests);
}
