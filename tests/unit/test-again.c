/* C_Finalize and all other calls keep out of each other's way. */
#include "mock-use.h"

#include <pthread.h>

#include "child.h"
#include "pkcs11/object/mech.h"
#include "pkcs11/token/again.h"
#include "pkcs11/token/session.h"

static struct mock *mock;
static struct tok_module *module;
static struct tok_token *token;

static void furnish(void)
{
    mock = mock_load(&module);
    mock_token(mock, "test");
    mock->num_mechanisms = 3;
    token = mock_looked(module);
    module->again_us = 0; /* however short a while ago it was started */
}

static uint64_t deadline(void)
{
    return clock_us() + 200000;
}

/* --- all ways into a module that belong to no session, or begin and end one ----------------------------------------
 */

static void look_at_slots(void)
{
    struct tok_result result = tok_tokens_look(module, deadline());

    (void)result;
}

static void count_slots(void)
{
    (void)tok_module_has_slots(module, deadline());
}

static void ask_info(void)
{
    CK_INFO info;
    struct tok_result result = tok_module_info(module, &info, deadline());

    (void)result;
}

static void ask_slot(void)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    struct tok_token *found = NULL;
    struct tok_result result = tok_uri_parse(&uri, "pkcs11:slot-description=x", TOK_URI_FROM_APPLICATION);

    if (tok_ok(&result)) {
        result = tok_token_matching(&found, module, uri, deadline());
    }
}

static void ask_mechanisms(void)
{
    tok_mech_ask(token, deadline());
}

static void use_session(bool spoilt)
{
    SCOPED(tok_lease_end) struct tok_lease lease = { .token = NULL };
    struct tok_result result = tok_lease_begin(&lease, token, 0, deadline());

    lease.spoilt = tok_ok(&result) && spoilt;
}

static void open_session(void)
{
    use_session(false);
}

static void close_session(void)
{
    use_session(true);
}

static const struct way {
    const char *name;
    enum mock_function function;
    void (*go)(void);
} ways[] = {
    { "C_GetSlotList", MOCK_GetSlotList, look_at_slots },
    { "C_GetSlotList for a count", MOCK_GetSlotList, count_slots },
    { "C_GetTokenInfo", MOCK_GetTokenInfo, look_at_slots },
    { "C_GetInfo", MOCK_GetInfo, ask_info },
    { "C_GetSlotInfo", MOCK_GetSlotInfo, ask_slot },
    { "C_GetMechanismList", MOCK_GetMechanismList, ask_mechanisms },
    { "C_OpenSession", MOCK_OpenSession, open_session },
    { "C_CloseSession", MOCK_CloseSession, close_session },
};

static void *go(void *arg)
{
    const struct way *way = arg;

    way->go();
    return NULL;
}

TEST(a_module_is_not_finalised_while_a_call_is_inside_whichever_that_is)
{
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        pthread_t thread;
        struct tok_result result;
        unsigned finalised;

        furnish();
        mock->hang = 1U << ways[i].function;
        assert_int_equal(pthread_create(&thread, NULL, go, (void *)&ways[i]), 0);
        assert_true(mock_hung(mock, 1));
        result = tok_module_again(module, module->starts, true, deadline());
        finalised = mock->calls[MOCK_Finalize];
        mock->hang = 0;
        assert_int_equal(pthread_join(thread, NULL), 0);
        if (tok_ok(&result) || finalised != 0) {
            fail_msg("%s was inside when the module was finalised", ways[i].name);
        }
        module->again_us = 0;
        OK(tok_module_again(module, module->starts, true, clock_us() + 10 * SECOND));
        assert_int_equal(mock->calls[MOCK_Finalize], 1);
    }
}

static void *again(void *arg)
{
    struct tok_result result = tok_module_again(module, module->starts, true, clock_us() + 60 * SECOND);

    return tok_ok(&result) ? arg : NULL;
}

TEST(nor_does_any_call_begin_while_a_module_is_finalised)
{
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        pthread_t thread;
        void *answer = NULL;
        unsigned calls;

        furnish();
        mock->hang = 1U << MOCK_Finalize;
        assert_int_equal(pthread_create(&thread, NULL, again, mock), 0);
        assert_true(mock_hung(mock, 1));
        calls = mock->calls[ways[i].function];
        ways[i].go();
        if (mock->calls[ways[i].function] != calls) {
            fail_msg("%s was called while the module was being finalised", ways[i].name);
        }
        mock->hang = 0;
        assert_int_equal(pthread_join(thread, &answer), 0);
        assert_ptr_equal(answer, mock);
        ways[i].go(); /* and then it is */
    }
}

TEST(mechanisms_that_could_not_be_asked_for_in_time_are_asked_for_again)
{
    pthread_t thread;

    furnish();
    mock->hang = 1U << MOCK_GetTokenInfo;
    assert_int_equal(pthread_create(&thread, NULL, go, (void *)&ways[0]), 0);
    assert_true(mock_hung(mock, 1));
    tok_mech_ask(token, deadline());
    assert_null(tok_mech_offered(token));
    assert_int_equal(mock->calls[MOCK_GetMechanismList], 0);
    mock->hang = 0;
    assert_int_equal(pthread_join(thread, NULL), 0);
    tok_mech_ask(token, deadline());
    assert_non_null(tok_mech_offered(token));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_module_is_not_finalised_while_a_call_is_inside_whichever_that_is),
        cmocka_unit_test(nor_does_any_call_begin_while_a_module_is_finalised),
        cmocka_unit_test(mechanisms_that_could_not_be_asked_for_in_time_are_asked_for_again),
    };

    return RUN(tests);
}
