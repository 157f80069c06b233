/* A Cryptoki whose answers are driven by bytes: it stands in front of a list of functions, hands calls on to it, and
 * answers some of them oddly, as a program of bytes says. It never writes outside the room that it was given, nor keeps
 * a pointer: what goes wrong with it goes wrong in who believes it.
 *
 * As a module it is tests/hostile/hostile.la, in front of the keys of tests/token/soft-token.c:
 *
 *     SIGNET_TEST_HOSTILE=HEX     the program; none: it answers as the token behind does
 *     SIGNET_TEST_KEYS, SIGNET_TEST_SOFT   as soft-token.c has them
 *
 * and a program that has loaded it finds hostile_drive and hostile_seen in it with dlsym. Linked statically (hostile.c
 * needs nothing but the Cryptoki header), hostile_list(REAL, NULL) is the CK_FUNCTION_LIST.
 *
 * The program is a row of records of four bytes; what is left over at its end does nothing:
 *
 *     skip    so many calls are answered as they should be, and the next one oddly
 *     kind    enum odd, modulo the number of kinds that the function has (hostile_kinds), so that every byte means
 *             something; with ODD_FOREVER each later call of the same function is answered likewise
 *     arg     which code, length or pattern, modulo the number of those
 *     which   which attribute of a list, or which word of a value, modulo the number of those
 *
 * Calls are counted over the whole process, from hostile_drive on. Safe from any thread. */
#ifndef SIGNET_TESTS_HOSTILE_H
#define SIGNET_TESTS_HOSTILE_H

#include <p11-kit/pkcs11.h>
#include <stddef.h>

#pragma GCC visibility push(default)

struct tok_functions_3;

/* The first three are for every function, the next two for what gives a value, the others for lists and lengths. */
enum odd {
    ODD_CODE,         /* the call is not made; it answers a code */
    ODD_CODE_AFTER,   /* it is made, and answers a code all the same */
    ODD_SILENCE,      /* it is not made, nothing is written, and it answers CKR_OK */
    ODD_FILL,         /* it is made; the value's bytes are a pattern */
    ODD_FILL_WORD,    /* eight of them are */
    ODD_LENGTH,       /* it is made; the count or length is another */
    ODD_LENGTH_SMALL, /* likewise, and it answers CKR_BUFFER_TOO_SMALL */
    ODD_LENGTH_ONLY,  /* it is not made; a count or length is written, nothing else, and it answers CKR_OK */
    ODD_FULL,         /* it is made; all the room is filled with a pattern, or, by the last one, the first of a list is
                         all of it. Attributes: every one is unavailable */
    ODD_TEMPLATE,     /* attributes alone: the caller's types and pointers are overwritten */
    NUM_ODDS
};
#define ODD_FOREVER 0x80
#define HOSTILE_RECORD 4

enum hostile_function {
    HOSTILE_Initialize,
    HOSTILE_Finalize,
    HOSTILE_GetInfo,
    HOSTILE_GetSlotList,
    HOSTILE_GetSlotInfo,
    HOSTILE_GetTokenInfo,
    HOSTILE_GetMechanismList,
    HOSTILE_OpenSession,
    HOSTILE_GetSessionInfo,
    HOSTILE_CloseSession,
    HOSTILE_Login,
    HOSTILE_FindObjectsInit,
    HOSTILE_FindObjects,
    HOSTILE_FindObjectsFinal,
    HOSTILE_GetAttributeValue,
    HOSTILE_SignInit,
    HOSTILE_Sign,
    HOSTILE_DecryptInit,
    HOSTILE_Decrypt,
    HOSTILE_DeriveKey,
    HOSTILE_DestroyObject,
    HOSTILE_MessageSignInit,
    HOSTILE_SignMessage,
    HOSTILE_MessageSignFinal,
    HOSTILE_NUM_FUNCTIONS
};

#define HOSTILE_MOST_NOTED 4096

/* What came, since hostile_drive. */
struct hostile_seen {
    unsigned long calls;
    unsigned char called[HOSTILE_MOST_NOTED]; /* the functions of the first ones, by enum hostile_function */
    unsigned long struck;                     /* how many were answered oddly */
    unsigned long false_attributes;           /* of these, values of attributes that might be true, */
    unsigned long false_outputs;              /* and what operations gave */
    unsigned long pins;                       /* C_Login with a PIN */
    unsigned long pins_after_refusal;         /* of these, after one that may have been refused */
};

/* hostile_drive sets the program, which is copied (64 KiB at most), and forgets what was seen. */
void hostile_drive(const unsigned char *program, size_t len);
/* hostile_at has one function answer oddly, by a record whose `skip` counts calls of that function alone; NULL: no
 * more. Besides the program, which comes first. */
void hostile_at(enum hostile_function which, const unsigned char record[HOSTILE_RECORD]);
/* hostile_watch has what is seen written to `where` (a page that processes share, say); NULL: the module's own. */
void hostile_watch(struct hostile_seen *where);
const struct hostile_seen *hostile_seen(void);

/* hostile_list is the list in front of `real`; with `real_3`, its list of 3.0, hostile_list_3 is the one in front of
 * that. Once in a process. */
CK_FUNCTION_LIST *hostile_list(CK_FUNCTION_LIST *real, const struct tok_functions_3 *real_3);
struct tok_functions_3 *hostile_list_3(void);

/* hostile_kinds is how many kinds of oddity a function has: the first so many of enum odd. hostile_args is how many
 * values of `arg` a kind has. */
unsigned hostile_kinds(enum hostile_function which);
unsigned hostile_args(enum odd kind);
const char *hostile_name(enum hostile_function which); /* "C_Sign" */

#pragma GCC visibility pop

#endif
