/* What a module answers is checked here, and nowhere else, before it is used: each count and each length must fit the
 * room that was given, and a value must not have been left unfilled. An impossible answer is a failure of that call,
 * TOK_CODE_ANSWER, and is recovered from like CKR_GENERAL_ERROR (pkcs11/recover/recover.h). For the rooms of
 * pkcs11/. */
#ifndef SIGNET_PKCS11_MODULE_ANSWER_H
#define SIGNET_PKCS11_MODULE_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pkcs11/result/cryptoki.h"
#include "pkcs11/result/result.h"

/* Above these an answer is impossible. */
#define ANSWER_MOST_OBJECTS 100000      /* of one search */
#define ANSWER_MOST_LISTED 4096         /* slots, or mechanisms of one */
#define ANSWER_MOST_VALUE (1024 * 1024) /* bytes of an attribute */

/* tok_answer_count checks how many `things` a call gave of at most `room` ("C_FindObjects: 70 objects where 64 were
 * asked for"). */
TOK_RESULT tok_answer_count(const char *function, const char *things, CK_ULONG count, CK_ULONG room);

/* tok_answer_handle checks that a handle is one; `function` gave it. */
TOK_RESULT tok_answer_handle(const char *function, CK_ULONG handle);

/* A value whose bytes are all zero: what was made ready for a module, and not filled. */
bool tok_answer_is_blank(const uint8_t *value, size_t len);

/* An operation's output: tok_answer_blank makes the room ready, and tok_answer_output checks what came. A signature or
 * a secret is not blank; of a signature only the beginning is looked at. */
enum tok_output { TOK_OUTPUT_SIGNATURE, TOK_OUTPUT_SECRET, TOK_OUTPUT_ANYTHING };
void tok_answer_blank(enum tok_output kind, uint8_t *out, size_t room);
TOK_RESULT tok_answer_output(enum tok_output kind, const char *function, const uint8_t *out, CK_ULONG len, size_t room);

/* A list of numbers, slots or mechanisms, of any length. */
struct tok_numbers {
    CK_ULONG *items;
    CK_ULONG count;
};
void tok_numbers_end(struct tok_numbers *numbers);
/* tok_answer_numbers asks by `ask` until the list has come whole: with room for `first` of them at first, and, where
 * that is too small, as many as the module then says. A few rounds, and none after the deadline. */
struct tok_question {
    const char *function;
    const char *things;
    CK_RV (*ask)(const void *arg, CK_ULONG *items, CK_ULONG *in_out_count);
    const void *arg;
    CK_ULONG first;
    uint64_t deadline_us;
};
TOK_RESULT tok_answer_numbers(struct tok_numbers *out, const struct tok_question *question);

/* tok_answer_attributes asks for attributes of an object, and restores what the module may have changed in the list
 * besides lengths. *out_rv is CKR_OK, or a code that says that some are missing or too long (then, and only then, a
 * length may be above its room), or another one that one attribute of many may be the cause of. The caller fills each
 * room with one byte: the length of what the module left like that, or said nothing of, is ANSWER_UNFILLED. */
#define ANSWER_UNFILLED (CK_UNAVAILABLE_INFORMATION - 1)
TOK_RESULT tok_answer_attributes(CK_RV *out_rv, CK_FUNCTION_LIST *functions, CK_SESSION_HANDLE session,
                                 CK_OBJECT_HANDLE object, CK_ATTRIBUTE *list, size_t count);

#endif
