/* A PKCS#11 module in front of SoftHSM that has the habits of many real ones at once (docs/lessons.md), and ends the
 * process with status 97 and a sentence when it is used as one of them would not bear:
 *
 * - it is gone when the process exits, before the handlers that were registered earlier run;
 * - it writes to a daemon that is dead in every signature;
 * - no two threads may be in one session, and no session is used after an operation of it has failed: the operation is
 *   still active, as every seventh signature's is;
 * - nobody asks for a signature's length first, and an EdDSA signature gets exactly the room that it needs;
 * - Ed25519 bears no parameters, and Ed448 needs them;
 * - a child never finalizes it;
 * - it can't hash, knows three sessions in a process, and does not say how many interfaces it has. */
#include <dlfcn.h>
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_SESSIONS 3
#define PLACES 4096
#define ONE_FAILS_IN 7

static CK_FUNCTION_LIST *behind;
static CK_FUNCTION_LIST front;
static _Atomic int gone;
static _Atomic pid_t owner; /* of the sessions */
static _Atomic int sessions;
static int dead_pipe = -1;
static _Atomic unsigned signatures;
static _Thread_local int failed_before;

static struct {
    _Atomic int inside;
    _Atomic int spoilt;
    _Atomic size_t exact; /* the only length that its signature may have, or 0 */
} places[PLACES];         /* of sessions, by their handle */

static void refuse(const char *sentence)
{
    (void)!write(STDERR_FILENO, "strict: ", 8);
    (void)!write(STDERR_FILENO, sentence, strlen(sentence));
    (void)!write(STDERR_FILENO, "\n", 1);
    _exit(97);
}

static void look(void)
{
    if (atomic_load(&gone)) {
        refuse("called after exit had begun");
    }
}

static void session_enter(CK_SESSION_HANDLE session)
{
    look();
    if (atomic_exchange(&places[session % PLACES].inside, 1)) {
        refuse("two threads in one session");
    }
    if (atomic_load(&places[session % PLACES].spoilt)) {
        refuse("a session is used whose operation is still active");
    }
}

static CK_RV session_leave(CK_SESSION_HANDLE session, CK_RV rv)
{
    atomic_store(&places[session % PLACES].inside, 0);
    return rv;
}

#define IN_SESSION(name, params, args)                                                                                 \
    static CK_RV strict_##name params                                                                                  \
    {                                                                                                                  \
        session_enter(session);                                                                                        \
        return session_leave(session, behind->C_##name args);                                                          \
    }

IN_SESSION(Login, (CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG len),
           (session, user, pin, len))
IN_SESSION(GetSessionInfo, (CK_SESSION_HANDLE session, CK_SESSION_INFO *info), (session, info))
IN_SESSION(FindObjectsInit, (CK_SESSION_HANDLE session, CK_ATTRIBUTE *list, CK_ULONG count), (session, list, count))
IN_SESSION(FindObjects, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *list, CK_ULONG most, CK_ULONG *count),
           (session, list, most, count))
IN_SESSION(FindObjectsFinal, (CK_SESSION_HANDLE session), (session))
IN_SESSION(GetAttributeValue, (CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *list, CK_ULONG count),
           (session, object, list, count))

static int hashes(CK_MECHANISM_TYPE mechanism)
{
    return mechanism != CKM_RSA_PKCS && mechanism != CKM_RSA_PKCS_PSS && mechanism != CKM_RSA_X_509 &&
           mechanism != CKM_ECDSA && mechanism != CKM_EDDSA;
}

/* SoftHSM takes no parameters for either curve, and tells them apart by the key. */
static CK_RV strict_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    CK_MECHANISM bare = *mechanism;

    session_enter(session);
    if (hashes(mechanism->mechanism)) {
        return session_leave(session, CKR_MECHANISM_INVALID);
    }
    atomic_store(&places[session % PLACES].exact, 0);
    if (mechanism->mechanism == CKM_EDDSA) {
        atomic_store(&places[session % PLACES].exact, mechanism->ulParameterLen == 0 ? 64 : 114);
        bare.pParameter = NULL;
        bare.ulParameterLen = 0;
    }
    return session_leave(session, behind->C_SignInit(session, &bare, key));
}

/* Not twice in a row for one thread: an application is promised that one failure is survived. */
static int is_to_fail(void)
{
    failed_before = !failed_before && atomic_fetch_add(&signatures, 1) % ONE_FAILS_IN == ONE_FAILS_IN - 1;
    return failed_before;
}

static CK_RV strict_Sign(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    size_t exact = atomic_load(&places[session % PLACES].exact);
    CK_RV rv;

    session_enter(session);
    if (out == NULL) {
        refuse("asked for the length of a signature");
    }
    if (exact != 0 && *out_len != exact) {
        refuse("other room than an EdDSA signature needs");
    }
    (void)!write(dead_pipe, "", 1);
    if (is_to_fail()) {
        atomic_store(&places[session % PLACES].spoilt, 1);
        return session_leave(session, CKR_GENERAL_ERROR);
    }
    rv = behind->C_Sign(session, in, in_len, out, out_len);
    if (rv == CKR_OK && exact != 0 && *out_len != exact) {
        refuse("parameters for Ed25519, or none for Ed448");
    }
    return session_leave(session, rv);
}

static CK_RV strict_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify, CK_SESSION_HANDLE *out)
{
    CK_RV rv;

    look();
    if (atomic_exchange(&owner, getpid()) != getpid()) {
        atomic_store(&sessions, 0);
    }
    if (atomic_fetch_add(&sessions, 1) >= MOST_SESSIONS) {
        atomic_fetch_sub(&sessions, 1);
        return CKR_SESSION_COUNT;
    }
    rv = behind->C_OpenSession(slot, flags, app, notify, out);
    if (rv != CKR_OK) {
        atomic_fetch_sub(&sessions, 1);
        return rv;
    }
    atomic_store(&places[*out % PLACES].spoilt, 0);
    atomic_store(&places[*out % PLACES].inside, 0);
    return rv;
}

static CK_RV strict_CloseSession(CK_SESSION_HANDLE session)
{
    look();
    atomic_store(&places[session % PLACES].spoilt, 0);
    session_enter(session);
    atomic_fetch_sub(&sessions, 1);
    return session_leave(session, behind->C_CloseSession(session));
}

static void go(void)
{
    atomic_store(&gone, 1);
}

static CK_RV strict_Initialize(void *args)
{
    int ends[2];
    CK_RV rv;

    look();
    if (dead_pipe < 0 && pipe2(ends, O_CLOEXEC) == 0) {
        close(ends[0]);
        dead_pipe = ends[1];
        atexit(go);
    }
    rv = behind->C_Initialize(args);
    if (rv == CKR_OK) {
        atomic_store(&owner, getpid());
        atomic_store(&sessions, 0);
    }
    return rv;
}

static CK_RV strict_Finalize(void *reserved)
{
    look();
    if (atomic_load(&owner) != getpid()) {
        refuse("finalized by a child");
    }
    return behind->C_Finalize(reserved);
}

static void front_make(void)
{
    void *module = dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW | RTLD_LOCAL);
    void *symbol = module == NULL ? NULL : dlsym(module, "C_GetFunctionList");
    CK_C_GetFunctionList get_list;

    if (symbol == NULL) {
        return;
    }
    memcpy(&get_list, &symbol, sizeof(get_list));
    if (get_list(&behind) != CKR_OK) {
        return;
    }
    front = *behind;
    front.C_Initialize = strict_Initialize;
    front.C_Finalize = strict_Finalize;
    front.C_OpenSession = strict_OpenSession;
    front.C_CloseSession = strict_CloseSession;
    front.C_GetSessionInfo = strict_GetSessionInfo;
    front.C_Login = strict_Login;
    front.C_FindObjectsInit = strict_FindObjectsInit;
    front.C_FindObjects = strict_FindObjects;
    front.C_FindObjectsFinal = strict_FindObjectsFinal;
    front.C_GetAttributeValue = strict_GetAttributeValue;
    front.C_SignInit = strict_SignInit;
    front.C_Sign = strict_Sign;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, front_make);
    *list = &front;
    return behind == NULL ? CKR_GENERAL_ERROR : CKR_OK;
}

/* As opencryptoki has it: what there is is written, how much that is not. */
struct named_interface {
    CK_CHAR *name;
    void *list;
    CK_FLAGS flags;
};
CK_RV strict_interfaces(struct named_interface *list, CK_ULONG *count) __asm__("C_GetInterfaceList");
__attribute__((visibility("default"))) CK_RV strict_interfaces(struct named_interface *list, CK_ULONG *count)
{
    static CK_CHAR name[] = "PKCS 11";
    CK_FUNCTION_LIST *functions;

    if (list == NULL) {
        *count = 1;
        return CKR_OK;
    }
    if (C_GetFunctionList(&functions) != CKR_OK) {
        return CKR_GENERAL_ERROR;
    }
    list[0] = (struct named_interface){ name, functions, 0 };
    return CKR_OK;
}
