/* What token-counter.so counts, in a file that other processes map: the number of calls of each function, and of
 * questions that nobody should ask. The file is the one that SIGNET_TEST_COUNTS names. */
#ifndef SIGNET_TESTS_COUNTS_H
#define SIGNET_TESTS_COUNTS_H

#include <stdatomic.h>

/* Every function that the engine calls, or must not call; all others are "other". */
#define COUNTED_FUNCTIONS(ROW)                                                                                         \
    ROW(Initialize, (void *args), (args))                                                                              \
    ROW(Finalize, (void *reserved), (reserved))                                                                        \
    ROW(GetInfo, (CK_INFO * info), (info))                                                                             \
    ROW(GetSlotList, (CK_BBOOL present, CK_SLOT_ID * list, CK_ULONG * count), (present, list, count))                  \
    ROW(GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO * info), (slot, info))                                             \
    ROW(GetTokenInfo, (CK_SLOT_ID slot, CK_TOKEN_INFO * info), (slot, info))                                           \
    ROW(GetMechanismList, (CK_SLOT_ID slot, CK_MECHANISM_TYPE * list, CK_ULONG * count), (slot, list, count))          \
    ROW(OpenSession, (CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify, CK_SESSION_HANDLE *session),       \
        (slot, flags, app, notify, session))                                                                           \
    ROW(CloseSession, (CK_SESSION_HANDLE session), (session))                                                          \
    ROW(CloseAllSessions, (CK_SLOT_ID slot), (slot))                                                                   \
    ROW(GetSessionInfo, (CK_SESSION_HANDLE session, CK_SESSION_INFO * info), (session, info))                          \
    ROW(Login, (CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR * pin, CK_ULONG len),                        \
        (session, user, pin, len))                                                                                     \
    ROW(Logout, (CK_SESSION_HANDLE session), (session))                                                                \
    ROW(CreateObject, (CK_SESSION_HANDLE session, CK_ATTRIBUTE * list, CK_ULONG count, CK_OBJECT_HANDLE * object),     \
        (session, list, count, object))                                                                                \
    ROW(CopyObject,                                                                                                    \
        (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE from, CK_ATTRIBUTE * list, CK_ULONG count,                        \
         CK_OBJECT_HANDLE * object),                                                                                   \
        (session, from, list, count, object))                                                                          \
    ROW(GetAttributeValue, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE * list, CK_ULONG count),  \
        (session, object, list, count))                                                                                \
    ROW(FindObjectsInit, (CK_SESSION_HANDLE session, CK_ATTRIBUTE * list, CK_ULONG count), (session, list, count))     \
    ROW(FindObjects, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE * list, CK_ULONG most, CK_ULONG * count),            \
        (session, list, most, count))                                                                                  \
    ROW(FindObjectsFinal, (CK_SESSION_HANDLE session), (session))                                                      \
    ROW(DecryptInit, (CK_SESSION_HANDLE session, CK_MECHANISM * mechanism, CK_OBJECT_HANDLE key),                      \
        (session, mechanism, key))                                                                                     \
    ROW(Decrypt, (CK_SESSION_HANDLE session, CK_BYTE * in, CK_ULONG in_len, CK_BYTE * out, CK_ULONG * out_len),        \
        (session, in, in_len, out, out_len))                                                                           \
    ROW(SignInit, (CK_SESSION_HANDLE session, CK_MECHANISM * mechanism, CK_OBJECT_HANDLE key),                         \
        (session, mechanism, key))                                                                                     \
    ROW(Sign, (CK_SESSION_HANDLE session, CK_BYTE * in, CK_ULONG in_len, CK_BYTE * out, CK_ULONG * out_len),           \
        (session, in, in_len, out, out_len))                                                                           \
    ROW(VerifyInit, (CK_SESSION_HANDLE session, CK_MECHANISM * mechanism, CK_OBJECT_HANDLE key),                       \
        (session, mechanism, key))                                                                                     \
    ROW(WrapKey,                                                                                                       \
        (CK_SESSION_HANDLE session, CK_MECHANISM * mechanism, CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE key,             \
         CK_BYTE * out, CK_ULONG * out_len),                                                                           \
        (session, mechanism, with, key, out, out_len))

#define COUNT_NAME(name, params, args) COUNT_##name,
enum count { COUNTED_FUNCTIONS(COUNT_NAME) COUNT_other, NUM_COUNTS };

struct counts {
    _Atomic unsigned calls[NUM_COUNTS];
    _Atomic unsigned secrets_asked; /* secret attributes of private or secret keys, and wrapped keys */
};

#endif
