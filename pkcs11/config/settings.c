#include "pkcs11/config/settings.h"

#define DEFAULT_DEADLINE_US (10 * 1000 * 1000)

void tok_settings_init(struct tok_settings *settings)
{
    *settings = (struct tok_settings){ .deadline_us = DEFAULT_DEADLINE_US, .login = TOK_LOGIN_AUTO };
}

void tok_settings_end(struct tok_settings *settings)
{
    for (size_t i = 0; i < settings->num_tokens; i++) {
        free(settings->tokens[i].name);
        tok_uri_free(settings->tokens[i].uri);
        free(settings->tokens[i].modules);
        tok_pin_source_free(settings->tokens[i].pin);
    }
    free(settings->tokens);
    free(settings->modules);
    free(settings->init_args);
    tok_pin_source_free(settings->pin);
    *settings = (struct tok_settings){ .modules = NULL };
}
