/* What unit tests do with the mock: load a copy of it, furnish it, and look at it. Included by tests that link
 * libtok.la; MOCK_FILE is the module's path, given by the makefile. */
#ifndef SIGNET_TESTS_MOCK_USE_H
#define SIGNET_TESTS_MOCK_USE_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pkcs11/module/registry.h"
#include "pkcs11/token/token.h"
#include "../hostile/hostile.h"
#include "mock.h"
#include "unit.h"

#define SECOND UINT64_C(1000000)

/* Where the last mock_load loaded from. The file is gone, but the registry knows the module by that name. */
__attribute__((unused)) static char mock_path[64];
static void *mock_library;

/* mock_calls_back has each mock that is loaded from here on run this function of the test's: SIGNET_MOCK_CONSTRUCTOR,
 * while it is loaded, SIGNET_MOCK_LIST, which edits what C_GetFunctionList gives, SIGNET_MOCK_INTERFACE, in place of
 * C_GetInterface. NULL: none. */
__attribute__((unused)) static void mock_calls_back(const char *variable, void (*function)(void))
{
    char address[32];

    snprintf(address, sizeof(address), "%llx", (unsigned long long)(uintptr_t)function);
    if (function == NULL) {
        unsetenv(variable);
    } else {
        setenv(variable, address, 1);
    }
}

/* mock_load is a mock without tokens that nobody has seen yet, and its module, loaded but not initialised. */
__attribute__((unused)) static struct mock *mock_load(struct tok_module **out_module)
{
    char folder[] = "/tmp/signet-mock-XXXXXX";
    struct tok_module_list list = { .items = NULL };
    struct tok_result result;
    char command[256];
    struct mock *mock;
    void *library;

    assert_non_null(mkdtemp(folder));
    snprintf(mock_path, sizeof(mock_path), "%s/mock.so", folder);
    snprintf(command, sizeof(command), "cp '%s' %s", MOCK_FILE, mock_path);
    assert_int_equal(system(command), 0);
    result = tok_registry_modules(&list, mock_path, NULL, clock_us() + 60 * SECOND);
    assert_true(tok_ok(&result));
    *out_module = list.items[0];
    tok_module_list_end(&list);
    library = dlopen(mock_path, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(library);
    mock_library = library;
    mock = dlsym(library, "mock");
    assert_non_null(mock);
    assert_true(unlink(mock_path) == 0 && rmdir(folder) == 0);
    return mock;
}

__attribute__((unused)) static void mock_pad(unsigned char *field, size_t size, const char *text)
{
    memset(field, ' ', size);
    memcpy(field, text, strlen(text));
}

/* mock_token adds a token that wants a login, with the PIN 1234, in the slot of its number. No other test has had one
 * of its model: what a token refused is remembered by its identity. */
__attribute__((unused)) static struct mock_token *mock_token(struct mock *mock, const char *label)
{
    struct mock_token *token = &mock->tokens[mock->num_tokens];
    static unsigned models;
    char model[16];

    snprintf(model, sizeof(model), "M%u", mock->num_tokens == 0 ? ++models : models);
    memset(token, 0, sizeof(*token));
    mock_pad(token->info.label, sizeof(token->info.label), label);
    mock_pad(token->info.serialNumber, sizeof(token->info.serialNumber), "1");
    mock_pad(token->info.manufacturerID, sizeof(token->info.manufacturerID), "Mock");
    mock_pad(token->info.model, sizeof(token->info.model), model);
    token->info.flags = CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED;
    token->slot = mock->num_tokens++;
    token->present = true;
    strcpy(token->pin, "1234");
    return token;
}

__attribute__((unused)) static void mock_attr(struct mock_object *object, CK_ATTRIBUTE_TYPE type, const void *value,
                                              size_t len)
{
    assert_true(object->num_attrs < MOCK_MOST_ATTRS);
    object->attrs[object->num_attrs++] = (CK_ATTRIBUTE){ type, (void *)value, (CK_ULONG)len };
}

/* mock_object adds an object to the last token: class, label, an id of one byte. */
__attribute__((unused)) static struct mock_object *mock_object(struct mock *mock, CK_OBJECT_CLASS class,
                                                               const char *label, unsigned char id)
{
    static const CK_OBJECT_CLASS classes[] = { CKO_DATA, CKO_CERTIFICATE, CKO_PUBLIC_KEY, CKO_PRIVATE_KEY };
    static unsigned char ids[256];
    struct mock_object *object = &mock->objects[mock->num_objects++];

    assert_true(mock->num_objects <= MOCK_MOST_OBJECTS);
    memset(object, 0, sizeof(*object));
    object->token = mock->num_tokens - 1;
    object->is_private = class == CKO_PRIVATE_KEY;
    ids[id] = id;
    mock_attr(object, CKA_CLASS, &classes[class], sizeof(classes[class]));
    mock_attr(object, CKA_LABEL, label, strlen(label));
    mock_attr(object, CKA_ID, &ids[id], 1);
    return object;
}

/* mock_ec_key adds a private EC key that shows its public half, a point of three bytes, or not (NULL). */
__attribute__((unused)) static struct mock_object *mock_ec_key(struct mock *mock, CK_OBJECT_CLASS class,
                                                               const char *label, unsigned char id, const char *point)
{
    static const CK_KEY_TYPE ec = CKK_EC;
    struct mock_object *object = mock_object(mock, class, label, id);

    mock_attr(object, CKA_KEY_TYPE, &ec, sizeof(ec));
    if (point != NULL) {
        mock_attr(object, CKA_EC_PARAMS, "\x06\x01\x01", 3);
        mock_attr(object, CKA_EC_POINT, point, strlen(point));
    }
    return object;
}

/* mock_fails: from here on, after `after` good calls, `times` ones of that function answer `rv`. */
__attribute__((unused)) static void mock_fails(struct mock *mock, enum mock_function which, CK_RV rv, unsigned after,
                                               unsigned times)
{
    mock->failures[which] = (struct mock_failure){ rv, after, times };
}

/* mock_odd: of the calls of that function, the one after `skip` others is answered oddly (tests/hostile/hostile.h). */
__attribute__((unused)) static void mock_odd(enum hostile_function which, unsigned char skip, int kind,
                                             unsigned char arg, unsigned char part)
{
    const unsigned char record[HOSTILE_RECORD] = { skip, (unsigned char)kind, arg, part };
    void (*at)(enum hostile_function, const unsigned char *);

    *(void **)&at = dlsym(mock_library, "hostile_at");
    assert_non_null(at);
    at(which, record);
}

/* mock_hung waits until so many calls hang, by mock->hang, for 30 s at the most. */
__attribute__((unused)) static bool mock_hung(const struct mock *mock, unsigned count)
{
    for (unsigned i = 0; i < 30000 && mock->hung < count; i++) {
        clock_sleep_us(1000);
    }
    return mock->hung >= count;
}

__attribute__((unused)) static unsigned mock_all_calls(const struct mock *mock)
{
    unsigned all = 0;

    for (size_t i = 0; i < MOCK_NUM_FUNCTIONS; i++) {
        all += mock->calls[i];
    }
    return all;
}

/* mock_looked is the first token, after the module was started and looked at. */
__attribute__((unused)) static struct tok_token *mock_looked(struct tok_module *module)
{
    struct tok_result result = tok_module_start(module, clock_us() + 10 * SECOND);

    assert_true(tok_ok(&result));
    result = tok_tokens_look(module, clock_us() + 10 * SECOND);
    assert_true(tok_ok(&result));
    return module->tokens;
}

/* OK(call): it succeeds. FAILS(call, code): it fails, and that is the code; the failure is then in `failure`. */
static struct tok_result failure __attribute__((unused));

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        failure = (call);                                                                                              \
        if (!tok_ok(&failure)) {                                                                                       \
            fail_msg("%s: %s", #call, failure.message);                                                                \
        }                                                                                                              \
    } while (0)
#define FAILS(call, expected)                                                                                          \
    do {                                                                                                               \
        failure = (call);                                                                                              \
        assert_int_equal(failure.code, (expected));                                                                    \
    } while (0)
#define FAILS_CKR(call, expected)                                                                                      \
    do {                                                                                                               \
        failure = (call);                                                                                              \
        if (!tok_is(&failure, (expected))) {                                                                           \
            fail_msg("%s: %s", #call, tok_ok(&failure) ? "good" : failure.message);                                    \
        }                                                                                                              \
    } while (0)
/* mock_named: the configuration names a token, with a PIN of its own (NULL: none). */
__attribute__((unused)) static struct tok_named_token *mock_named(struct tok_settings *settings, const char *name,
                                                                  const char *uri, const char *pin)
{
    struct tok_named_token *grown = reallocarray(settings->tokens, settings->num_tokens + 1, sizeof(*grown));
    struct tok_named_token *named;

    assert_non_null(grown);
    settings->tokens = grown;
    named = &grown[settings->num_tokens++];
    *named = (struct tok_named_token){ .name = strdup(name) };
    OK(tok_uri_parse(&named->uri, uri, TOK_URI_FROM_APPLICATION));
    if (pin != NULL) {
        OK(tok_pin_source_new(&named->pin, pin, TOK_PIN_FROM_SETTINGS));
    }
    return named;
}

#define SAYS(text) assert_non_null(strstr(failure.message, (text)))

#endif
