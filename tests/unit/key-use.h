/* A key on the mock, for the tests of pkcs11/key: found by its URI, or as a key file gives it; it signs, and loses what
 * it has. */
#ifndef SIGNET_TESTS_UNIT_KEY_USE_H
#define SIGNET_TESTS_UNIT_KEY_USE_H

#include "mock-use.h"

#include "pkcs11/key/find.h"
#include "pkcs11/key/key.h"

static struct mock *mock;
static struct tok_module *module;
static struct tok_settings settings;
static struct tok_key *key;

static const CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };
static const char point[] = "\x04xy";

static inline void furnish_settings(void)
{
    tok_key_unref(key);
    key = NULL;
    mock = mock_load(&module);
    tok_settings_end(&settings);
    tok_settings_init(&settings);
    settings.modules = strdup(mock_path);
    settings.deadline_us = 5 * SECOND;
    OK(tok_pin_source_new(&settings.pin, "1234", TOK_PIN_FROM_SETTINGS));
}

static inline void find_key(void)
{
    SCOPED(tok_uri_end) struct tok_uri *uri = NULL;
    SCOPED(tok_items_end) struct tok_items items = { .items = NULL };

    OK(tok_uri_parse(&uri, "pkcs11:token=test;object=www;type=private", TOK_URI_FROM_APPLICATION));
    OK(tok_find(&items, &settings, uri, TOK_WANT_PRIVATE, NULL));
    key = tok_key_ref(items.items[0].key);
}

/* The key "www" on the token "test", found by its URI, signing already. */
static inline void furnish(void)
{
    furnish_settings();
    mock_token(mock, "test");
    mock_ec_key(mock, CKO_PRIVATE_KEY, "www", 1, point);
    find_key();
}

/* The same key as a key file gives it: no token was asked. */
static inline void furnish_from_file(const char *file_point)
{
    struct tok_public half = { .type = CKK_EC };
    struct tok_uri *uri = NULL;

    furnish_settings();
    mock_token(mock, "test");
    assert_true(bytes_set(&half.params, "\x06\x01\x01", 3) && bytes_set(&half.point, file_point, strlen(file_point)));
    OK(tok_uri_parse(&uri, "pkcs11:token=test;object=www;id=%01", TOK_URI_FROM_FILE));
    OK(tok_key_new(&key, &settings, uri, &half));
    assert_int_equal(mock_all_calls(mock), 0);
}

static uint64_t unproved;

static inline struct tok_result sign(void)
{
    uint8_t out[64];
    size_t len = sizeof(out);

    TOK_TRY(tok_key_sign(key, &mechanism, (const uint8_t *)"digest", 6, out, &len, &unproved));
    if (len != 3 || memcmp(out, "www", 3) != 0) {
        return tok_fail(TOK_CODE_OTHER_KEY, "another key has signed: %.*s", (int)len, (char *)out);
    }
    return tok_good();
}

static inline void lose_sessions(void)
{
    pthread_mutex_lock(&mock->lock);
    for (unsigned i = 0; i < MOCK_MOST_SESSIONS; i++) {
        mock->sessions[i].open = false;
    }
    mock->open_sessions = 0;
    pthread_mutex_unlock(&mock->lock);
}

static inline void log_out(void)
{
    pthread_mutex_lock(&mock->lock);
    mock->tokens[0].logged_in = false;
    pthread_mutex_unlock(&mock->lock);
}

static inline void lose_all(void)
{
    lose_sessions();
    log_out();
}

#endif
