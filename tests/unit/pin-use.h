/* Sources of PINs in a folder of their own, for the tests of pkcs11/config/pin.c. */
#ifndef SIGNET_TESTS_UNIT_PIN_USE_H
#define SIGNET_TESTS_UNIT_PIN_USE_H

#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pkcs11/config/pin.h"

static char folder[] = "/tmp/signet-pin-XXXXXX";
static char name[64];
static char setting[128];

static inline const char *file_with(const char *what, const void *content, size_t len, mode_t mode)
{
    int fd;

    snprintf(name, sizeof(name), "%s/%s", folder, what);
    unlink(name);
    fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    assert_true(fd >= 0 && write(fd, content, len) == (ssize_t)len);
    close(fd);
    assert_int_equal(chmod(name, mode), 0);
    return name;
}

/* What a source gives: 1 and the PIN, or 0 and the message. */
static inline int gives(const char *text, char *out, size_t size)
{
    struct tok_pin_source *source = NULL;
    SCOPED(secret_end) struct secret pin = { 0 };
    struct tok_result result = tok_pin_source_new(&source, text, TOK_PIN_FROM_SETTINGS);

    if (tok_ok(&result)) {
        result = tok_pin_fetch(source, &pin);
    }
    snprintf(out, size, "%.*s", (int)size - 1, tok_ok(&result) ? (char *)pin.data : result.message);
    tok_pin_source_free(source);
    return tok_ok(&result);
}

static inline struct tok_pin_source *source_of(const char *text)
{
    struct tok_pin_source *source = NULL;
    struct tok_result result = tok_pin_source_new(&source, text, TOK_PIN_FROM_SETTINGS);

    assert_true(tok_ok(&result));
    return source;
}

static inline const char *exec_of(const char *what, const char *script)
{
    static char text[128];

    snprintf(text, sizeof(text), "exec:%s", file_with(what, script, strlen(script), 0700));
    return text;
}

/* The message of a source that gives nothing. */
static inline const char *complaint(const char *text)
{
    static char message[TOK_MESSAGE_SIZE];

    assert_false(gives(text, message, sizeof(message)));
    return message;
}

/* RUN_IN_FOLDER is RUN with the folder there. */
#define RUN_IN_FOLDER(tests) (mkdtemp(folder) == NULL ? 99 : folder_end(RUN(tests)))

static inline int folder_end(int failed)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command) == 0 ? failed : 99;
}

#endif
