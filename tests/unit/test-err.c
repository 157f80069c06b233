#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "pkcs11/result/ckr.h"
#include "provider/core/context.h"

/* A core that keeps the last entry. */
static struct {
    unsigned entries;
    char file[64];
    char function[64];
    int line;
    unsigned reason;
    char text[2048];
} queue;

static void new_error(const OSSL_CORE_HANDLE *handle)
{
    (void)handle;
    queue.entries++;
}

static void set_debug(const OSSL_CORE_HANDLE *handle, const char *file, int line, const char *function)
{
    (void)handle;
    (void)snprintf(queue.file, sizeof(queue.file), "%s", file);
    (void)snprintf(queue.function, sizeof(queue.function), "%s", function);
    queue.line = line;
}

__attribute__((format(printf, 3, 0))) static void vset_error(const OSSL_CORE_HANDLE *handle, uint32_t reason,
                                                             const char *format, va_list args)
{
    (void)handle;
    queue.reason = reason;
    (void)vsnprintf(queue.text, sizeof(queue.text), format, args);
}

static void context_with_queue(struct prov_ctx *prov)
{
    static const OSSL_DISPATCH core[] = {
        { OSSL_FUNC_CORE_NEW_ERROR, (void (*)(void))new_error },
        { OSSL_FUNC_CORE_SET_ERROR_DEBUG, (void (*)(void))set_debug },
        { OSSL_FUNC_CORE_VSET_ERROR, (void (*)(void))vset_error },
        { 0, NULL },
    };

    memset(prov, 0, sizeof(*prov));
    memset(&queue, 0, sizeof(queue));
    prov_err_init(&prov->err, core);
}

static const char *reason_text(unsigned id)
{
    for (const OSSL_ITEM *item = prov_err_reasons(); item->id != 0; item++) {
        if (item->id == id) {
            return item->ptr;
        }
    }
    return NULL;
}

TEST(every_reason_has_a_text_and_an_id_of_its_own_that_openssl_takes)
{
    const OSSL_ITEM *table = prov_err_reasons();
    size_t count = 0;

    for (; table[count].id != 0; count++) {
        assert_true(table[count].id < 1u << 18);
        assert_true(table[count].ptr != NULL && *(const char *)table[count].ptr != '\0');
        for (size_t i = 0; i < count; i++) {
            assert_int_not_equal(table[i].id, table[count].id);
        }
    }
    assert_true(count > TOK_NUM_CODES + 80);
    assert_ptr_equal(prov_err_reasons(), table);
}

TEST(every_code_and_every_standard_ckr_has_a_reason)
{
    size_t num_ckr;
    const struct tok_ckr *ckr = tok_ckr_rows(&num_ckr);

    for (unsigned code = TOK_CODE_CKR; code < TOK_NUM_CODES; code++) {
        assert_non_null(reason_text(code));
    }
    for (size_t i = 0; i < num_ckr; i++) {
        if (ckr[i].rv != CKR_OK && ckr[i].rv < CKR_VENDOR_DEFINED) {
            assert_string_equal(reason_text((unsigned)(0x100 + ckr[i].rv)), ckr[i].name);
        }
    }
    for (unsigned reason = PROV_R_SETTING; reason <= PROV_R_NO_MEMORY; reason++) {
        assert_non_null(reason_text(reason));
    }
}

TEST(a_modules_failure_is_one_entry_with_its_own_reason)
{
    struct prov_ctx prov;
    struct tok_result failure = tok_context(tok_fail_ckr("C_Login", CKR_PIN_LOCKED), "token 'prod'");

    context_with_queue(&prov);
    assert_int_equal(prov_fail(&prov, &failure), 0);
    assert_int_equal(queue.entries, 1);
    assert_string_equal(reason_text(queue.reason), "CKR_PIN_LOCKED");
    assert_non_null(strstr(queue.text, "token 'prod': C_Login: CKR_PIN_LOCKED (0xa4). The user PIN is locked"));
    assert_non_null(strstr(queue.file, "test-err.c"));
    assert_string_equal(queue.function, __func__);
    assert_true(queue.line > 0);
}

TEST(a_vendors_value_is_told_by_the_text)
{
    struct prov_ctx prov;
    struct tok_result failure = tok_fail_ckr("C_Sign", CKR_VENDOR_DEFINED + 5);

    context_with_queue(&prov);
    assert_int_equal(prov_fail(&prov, &failure), 0);
    assert_int_equal(queue.reason, TOK_CODE_CKR);
    assert_non_null(strstr(queue.text, "0x80000005"));
}

TEST(what_seems_wrong_in_the_configuration_is_added_and_percents_are_no_format)
{
    struct prov_ctx prov;
    struct tok_result failure = tok_fail(TOK_CODE_NO_TOKEN, "no token matches '%s'", "pkcs11:token=%41%n%s");

    context_with_queue(&prov);
    prov.hint = (char *)"[signet_sect] has an unknown setting 'pinn'";
    assert_int_equal(prov_fail(&prov, &failure), 0);
    assert_int_equal(queue.reason, TOK_CODE_NO_TOKEN);
    assert_non_null(strstr(queue.text, "pkcs11:token=%41%n%s'. Check the URI"));
    assert_non_null(strstr(queue.text, "By the way: [signet_sect] has an unknown setting 'pinn'"));
}

TEST(a_reason_of_our_own_is_raised_with_its_text)
{
    struct prov_ctx prov;

    context_with_queue(&prov);
    assert_int_equal(prov_raise(&prov, PROV_R_KEY_FILE, "it is %d bytes long", 3), 0);
    assert_int_equal(queue.reason, PROV_R_KEY_FILE);
    assert_string_equal(queue.text, "it is 3 bytes long");
}

TEST(what_a_label_holds_forges_no_line_and_reaches_no_terminal)
{
    struct prov_ctx prov;
    struct tok_result failure = tok_fail(TOK_CODE_NO_TOKEN, "token '%s'", "a\nroot: \033[2Jgone\xe2\x80\xae\xff\x80");

    context_with_queue(&prov);
    assert_int_equal(prov_fail(&prov, &failure), 0);
    assert_non_null(strstr(queue.text, "token 'a?root: ?[2Jgone?\?\?'. Check the URI"));
    assert_int_equal(prov_raise(&prov, PROV_R_SETTING, "%s", "\r\302\233"), 0);
    assert_string_equal(queue.text, "??");
}

TEST(a_core_without_errors_is_no_trouble)
{
    struct prov_ctx prov = { .handle = NULL };
    struct tok_result failure = tok_fail(TOK_CODE_NO_MEMORY, "testing");

    memset(&queue, 0, sizeof(queue));
    assert_int_equal(prov_fail(&prov, &failure), 0);
    prov_err_mark(&prov);
    prov_err_forget(&prov);
    prov_err_keep(&prov);
    assert_int_equal(queue.entries, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reason_has_a_text_and_an_id_of_its_own_that_openssl_takes),
        cmocka_unit_test(every_code_and_every_standard_ckr_has_a_reason),
        cmocka_unit_test(a_modules_failure_is_one_entry_with_its_own_reason),
        cmocka_unit_test(a_vendors_value_is_told_by_the_text),
        cmocka_unit_test(what_seems_wrong_in_the_configuration_is_added_and_percents_are_no_format),
        cmocka_unit_test(a_reason_of_our_own_is_raised_with_its_text),
        cmocka_unit_test(what_a_label_holds_forges_no_line_and_reaches_no_terminal),
        cmocka_unit_test(a_core_without_errors_is_no_trouble),
    };

    return RUN(tests);
}
