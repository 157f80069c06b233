/* A Cryptoki of our own for unit tests: a module with a few tokens and objects, which counts its calls and misbehaves
 * on request.
 *
 * It is loaded like any module. Each test gets a copy of the file, so that nothing is left of the test before; the copy
 * exports the struct below (mock_load, in mock-use.h), through which the test says what the tokens hold and which call
 * fails, and reads what was called. A signature is the label of the key that made it. */
#ifndef SIGNET_TESTS_MOCK_H
#define SIGNET_TESTS_MOCK_H

#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdbool.h>

/* Every function that Signet may call. */
#define MOCK_FUNCTIONS(X)                                                                                              \
    X(Initialize)                                                                                                      \
    X(Finalize)                                                                                                        \
    X(GetInfo)                                                                                                         \
    X(GetSlotList)                                                                                                     \
    X(GetSlotInfo)                                                                                                     \
    X(GetTokenInfo)                                                                                                    \
    X(GetMechanismList)                                                                                                \
    X(OpenSession)                                                                                                     \
    X(GetSessionInfo)                                                                                                  \
    X(CloseSession)                                                                                                    \
    X(Login)                                                                                                           \
    X(FindObjectsInit)                                                                                                 \
    X(FindObjects)                                                                                                     \
    X(FindObjectsFinal)                                                                                                \
    X(GetAttributeValue)                                                                                               \
    X(SignInit)                                                                                                        \
    X(Sign)                                                                                                            \
    X(DecryptInit)                                                                                                     \
    X(Decrypt)                                                                                                         \
    X(DeriveKey)                                                                                                       \
    X(DestroyObject)

enum mock_function {
#define MOCK_NUMBER(name) MOCK_##name,
    MOCK_FUNCTIONS(MOCK_NUMBER)
#undef MOCK_NUMBER
        MOCK_NUM_FUNCTIONS
};

#define MOCK_MOST_TOKENS 100
#define MOCK_MOST_OBJECTS 400
#define MOCK_MOST_SESSIONS 64
#define MOCK_MOST_ATTRS 12

/* After `after` good calls, `times` ones answer `rv` and do nothing else. */
struct mock_failure {
    CK_RV rv;
    unsigned after;
    unsigned times;
};

struct mock_token {
    CK_TOKEN_INFO info;
    CK_SLOT_ID slot;
    _Atomic bool present;
    bool counted; /* when the slots were last counted, it was there */
    bool logged_in;
    char pin[32];
    unsigned wrong_pins; /* how many were sent */
};

struct mock_object {
    unsigned token;
    bool is_private; /* to be seen after a login only */
    bool always_authenticate;
    CK_ATTRIBUTE attrs[MOCK_MOST_ATTRS]; /* values are static, or the test's */
    CK_ULONG num_attrs;
};

struct mock_session {
    bool open;
    unsigned serial;
    unsigned token;
    enum { MOCK_NO_OPERATION, MOCK_FINDING, MOCK_SIGNING, MOCK_DECRYPTING } operation;
    bool authenticated; /* for this operation */
    unsigned object;
    CK_ULONG at; /* of a search */
    CK_ATTRIBUTE template[4];
    CK_ULONG num_template;
    unsigned char values[4][256]; /* of the template */
};

struct mock {
    pthread_mutex_t lock; /* none is needed by a test while no thread of its own calls */
    _Atomic unsigned calls[MOCK_NUM_FUNCTIONS];
    struct mock_failure failures[MOCK_NUM_FUNCTIONS];
    unsigned delay_us[MOCK_NUM_FUNCTIONS];
    _Atomic unsigned hang; /* bits of 1 << enum mock_function: the call does not return while its bit is set */
    _Atomic unsigned hung; /* so many calls are inside */
    void (*on_call)(enum mock_function which); /* runs inside the call */
    bool ignores_names;                        /* a search gives all objects of its class, whatever names it has */

    bool initialized;
    /* Its daemon is gone: calls answer CKR_DEVICE_ERROR; C_Initialize is good, and then there are no slots. */
    _Atomic bool down;
    bool down_fails_init;                                 /* not even C_Initialize is good */
    enum { MOCK_LINKED, MOCK_BROKEN, MOCK_NO_LINK } link; /* to the daemon, until C_Initialize makes another */
    char manufacturer[33];                                /* as C_GetInfo says */
    CK_FLAGS init_flags;
    char init_reserved[64];

    struct mock_token tokens[MOCK_MOST_TOKENS];
    unsigned num_tokens;
    struct mock_object objects[MOCK_MOST_OBJECTS];
    unsigned num_objects;
    CK_OBJECT_HANDLE first_handle; /* another one makes all old handles stale */
    struct mock_session sessions[MOCK_MOST_SESSIONS];
    unsigned open_sessions;
    unsigned most_sessions; /* seen open at once */
    unsigned max_sessions;  /* of all tokens; 0: as many as there is room for */
    bool reuses_handles;    /* of sessions that are gone */
    unsigned found_at_once; /* by C_FindObjects; 0: as many as are asked for */

    bool lists_what_was_counted; /* slots that came are listed once somebody asked how many there are */

    CK_ULONG num_mechanisms; /* CKM_ECDSA and the numbers after it */

    /* Key agreement: a secret is the label of the key, and one at a time. */
    enum { MOCK_POINTS_OF_ANY_FORM, MOCK_BARE_POINTS, MOCK_WRAPPED_POINTS } points; /* what it takes, ... */
    CK_RV points_refused;                                                           /* ... and answers to others */
    const CK_ATTRIBUTE *secret;                                                     /* NULL: none */

    CK_RV bad_data; /* what C_Decrypt says of data that begin with '!'; CKR_OK: they are as good as others */

    /* how it gives attributes */
    bool all_or_nothing;         /* one unknown attribute spoils the list */
    bool tells_no_lengths;       /* of what does not fit */
    bool stops_at_missing;       /* the rest of the list stays as it was */
    bool skips_missing;          /* it stays as it was, and the answer is CKR_OK */
    CK_RV of_missing;            /* the code for a list in which something is missing or too long; 0: the right one */
    bool keeps_failed_operation; /* a failed C_Sign or C_Decrypt leaves it active */
};

#endif
