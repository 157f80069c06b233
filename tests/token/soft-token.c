/* A token of PKCS#11 3.2 that libcrypto plays, in a library context of its own: for what no packaged token has
 * (SLH-DSA, X25519 and X448, signing of messages), and for applications whose context serves no token. Its keys are the
 * files NAME.pem of a folder; label and CKA_ID are NAME. Any PIN but "wrong" is right.
 *
 *     SIGNET_TEST_KEYS=FOLDER
 *     SIGNET_TEST_SOFT=WORD,...   old: 2.40 alone; spki: keys show CKA_PUBLIC_KEY_INFO, and public keys nothing else;
 *                                 unsupported: message signing is in the list of functions, and that is all;
 *                                 late: C_MessageSignInit succeeds, and C_SignMessage is not supported;
 *                                 some: EdDSA has no message signing; always: keys want a login for each signature;
 *                                 padded: X25519 and ECDH give a secret with a byte more unless its length is asked
 *                                 for; octets: ECDH takes points in an OCTET STRING, and no others; bare: EdDSA, ML-DSA
 *                                 and SLH-DSA take no parameters; careless: X25519 and X448 give a
 *                                 secret of zeros where libcrypto refuses
 *     SIGNET_TEST_CALLED=FILE     a letter is appended for each C_SignInit (I), C_Sign (S), C_MessageSignInit (i),
 *                                 C_SignMessage (s), C_MessageSignFinal (f), C_Decrypt (P), C_DeriveKey (D),
 *                                 C_DestroyObject (d)
 */
#include "soft-token.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "functions.h"

#define EXPORT __attribute__((visibility("default")))
#define MOST_SESSIONS 64
#define THE_SLOT 7

pthread_mutex_t soft_lock = PTHREAD_MUTEX_INITIALIZER;
static struct session sessions[MOST_SESSIONS];
static int initialized;
static int logged_in;
static int keys_were_read;

CK_RV soft_called(char letter, CK_RV rv)
{
    const char *path = getenv("SIGNET_TEST_CALLED");
    int fd = path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    if (fd >= 0) {
        rv = write(fd, &letter, 1) == 1 ? rv : CKR_GENERAL_ERROR;
        close(fd);
    }
    return rv;
}

struct session *soft_session(CK_SESSION_HANDLE number)
{
    return initialized && number >= 1 && number <= MOST_SESSIONS && sessions[number - 1].open ? &sessions[number - 1]
                                                                                              : NULL;
}

/* Private keys have odd handles, their public halves even ones; private keys are seen after a login. */
const struct key *soft_key(CK_OBJECT_HANDLE object, int *out_private)
{
    *out_private = object % 2 == 1;
    return object >= 1 && object <= 2 * soft_num_keys && (logged_in || !*out_private) ? &soft_keys[(object - 1) / 2]
                                                                                      : NULL;
}

/* --- the module, its slot, sessions ------------------------------------------------------------------------------- */

/* In the child of a fork the module is as new, as the standard wants it. */
static void soft_forked(void)
{
    pthread_mutex_init(&soft_lock, NULL);
    initialized = logged_in = 0;
    memset(sessions, 0, sizeof(sessions));
}

static CK_RV soft_Initialize(void *args)
{
    LOCKED_CALL();
    (void)args;
    if (initialized) {
        return CKR_CRYPTOKI_ALREADY_INITIALIZED;
    }
    if (!keys_were_read) {
        soft_keys_read();
        keys_were_read = 1;
        pthread_atfork(NULL, NULL, soft_forked);
    }
    initialized = 1;
    return CKR_OK;
}

static CK_RV soft_Finalize(void *args)
{
    LOCKED_CALL();
    (void)args;
    initialized = logged_in = 0;
    memset(sessions, 0, sizeof(sessions));
    return CKR_OK;
}

static void padded(void *out, size_t size, const char *text)
{
    memset(out, ' ', size);
    memcpy(out, text, strlen(text));
}

static CK_RV soft_GetInfo(CK_INFO *info)
{
    memset(info, 0, sizeof(*info));
    info->cryptokiVersion.major = soft_is("old") ? 2 : 3;
    info->cryptokiVersion.minor = soft_is("old") ? 40 : 2;
    padded(info->manufacturerID, sizeof(info->manufacturerID), "Signet's tests");
    padded(info->libraryDescription, sizeof(info->libraryDescription), "played by libcrypto");
    return CKR_OK;
}

static CK_RV soft_GetSlotList(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count)
{
    (void)present;
    if (slots != NULL && *count < 1) {
        return CKR_BUFFER_TOO_SMALL;
    }
    *count = 1;
    if (slots != NULL) {
        slots[0] = THE_SLOT;
    }
    return CKR_OK;
}

static CK_RV soft_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    memset(info, 0, sizeof(*info));
    padded(info->slotDescription, sizeof(info->slotDescription), "a slot");
    padded(info->manufacturerID, sizeof(info->manufacturerID), "Signet's tests");
    info->flags = CKF_TOKEN_PRESENT;
    return slot == THE_SLOT ? CKR_OK : CKR_SLOT_ID_INVALID;
}

static CK_RV soft_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    memset(info, 0, sizeof(*info));
    padded(info->label, sizeof(info->label), "soft");
    padded(info->manufacturerID, sizeof(info->manufacturerID), "Signet's tests");
    padded(info->model, sizeof(info->model), "soft");
    padded(info->serialNumber, sizeof(info->serialNumber), "1");
    info->flags = CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED;
    info->ulMaxPinLen = 64;
    return slot == THE_SLOT ? CKR_OK : CKR_SLOT_ID_INVALID;
}

/* What applications look for before they ask; soft-sign.c decides what is done. */
static const CK_MECHANISM_TYPE mechanisms[] = {
    CKM_RSA_PKCS,     CKM_RSA_PKCS_PSS, CKM_RSA_X_509,   CKM_ECDSA,
    CKM_ECDH1_DERIVE, SOFT_CKM_EDDSA,   SOFT_CKM_ML_DSA, SOFT_CKM_SLH_DSA,
};
#define NUM_MECHANISMS (sizeof(mechanisms) / sizeof(mechanisms[0]))

static CK_RV soft_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
    int fits = list == NULL || *count >= NUM_MECHANISMS;

    *count = NUM_MECHANISMS;
    if (slot != THE_SLOT || !fits) {
        return fits ? CKR_SLOT_ID_INVALID : CKR_BUFFER_TOO_SMALL;
    }
    if (list != NULL) {
        memcpy(list, mechanisms, sizeof(mechanisms));
    }
    return CKR_OK;
}

int soft_logged_in(void)
{
    return logged_in;
}

static CK_RV soft_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *arg, CK_NOTIFY notify, CK_SESSION_HANDLE *session)
{
    LOCKED_CALL();
    (void)flags;
    (void)arg;
    (void)notify;
    if (!initialized || slot != THE_SLOT) {
        return initialized ? CKR_SLOT_ID_INVALID : CKR_CRYPTOKI_NOT_INITIALIZED;
    }
    for (CK_SESSION_HANDLE i = 0; i < MOST_SESSIONS; i++) {
        if (!sessions[i].open) {
            memset(&sessions[i], 0, sizeof(sessions[i]));
            sessions[i].open = 1;
            *session = i + 1;
            return CKR_OK;
        }
    }
    return CKR_SESSION_COUNT;
}

static CK_RV soft_GetSessionInfo(CK_SESSION_HANDLE number, CK_SESSION_INFO *info)
{
    LOCKED_CALL();
    memset(info, 0, sizeof(*info));
    info->slotID = THE_SLOT;
    info->state = logged_in ? CKS_RO_USER_FUNCTIONS : CKS_RO_PUBLIC_SESSION;
    info->flags = CKF_SERIAL_SESSION;
    return soft_session(number) != NULL ? CKR_OK : CKR_SESSION_HANDLE_INVALID;
}

static CK_RV soft_CloseSession(CK_SESSION_HANDLE number)
{
    LOCKED_CALL();
    struct session *session = soft_session(number);
    int open = 0;

    if (session == NULL) {
        return CKR_SESSION_HANDLE_INVALID;
    }
    session->open = 0;
    for (size_t i = 0; i < MOST_SESSIONS; i++) {
        open |= sessions[i].open;
    }
    logged_in = logged_in && open;
    return CKR_OK;
}

static CK_RV soft_CloseAllSessions(CK_SLOT_ID slot)
{
    LOCKED_CALL();
    (void)slot;
    memset(sessions, 0, sizeof(sessions));
    logged_in = 0;
    return CKR_OK;
}

static CK_RV soft_Login(CK_SESSION_HANDLE number, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG pin_len)
{
    LOCKED_CALL();
    struct session *session = soft_session(number);

    if (session == NULL) {
        return CKR_SESSION_HANDLE_INVALID;
    }
    if (pin_len == 5 && memcmp(pin, "wrong", 5) == 0) {
        return CKR_PIN_INCORRECT;
    }
    if (user == CKU_CONTEXT_SPECIFIC) {
        session->signing.authenticated = 1;
        return session->signing.key != NULL ? CKR_OK : CKR_OPERATION_NOT_INITIALIZED;
    }
    if (logged_in) {
        return CKR_USER_ALREADY_LOGGED_IN;
    }
    logged_in = 1;
    return CKR_OK;
}

static CK_RV soft_Logout(CK_SESSION_HANDLE number)
{
    LOCKED_CALL();
    if (soft_session(number) == NULL) {
        return CKR_SESSION_HANDLE_INVALID;
    }
    logged_in = 0;
    for (size_t i = 0; i < MOST_SESSIONS; i++) {
        sessions[i].signing.key = NULL;
    }
    return CKR_OK;
}

/* --- objects ------------------------------------------------------------------------------------------------------ */

static CK_RV soft_GetAttributeValue(CK_SESSION_HANDLE number, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *list,
                                    CK_ULONG count)
{
    LOCKED_CALL();
    unsigned char value[4096];
    const struct key *key;
    CK_RV rv = CKR_OK;
    int private;

    if (soft_session(number) == NULL) {
        return CKR_SESSION_HANDLE_INVALID;
    }
    key = soft_key(object, &private);
    if (key == NULL) {
        return soft_secret_attributes(object, list, count);
    }
    for (CK_ULONG i = 0; i < count; i++) {
        long len = soft_value(key, private, value, sizeof(value), list[i].type);

        if (len < 0 || (list[i].pValue != NULL && list[i].ulValueLen < (CK_ULONG)len)) {
            list[i].ulValueLen = (CK_ULONG)-1;
            rv = len < 0 ? CKR_ATTRIBUTE_TYPE_INVALID : CKR_BUFFER_TOO_SMALL;
            continue;
        }
        list[i].ulValueLen = (CK_ULONG)len;
        if (list[i].pValue != NULL) {
            memcpy(list[i].pValue, value, (size_t)len);
        }
    }
    return rv;
}

static int matches(const struct key *key, int private, const CK_ATTRIBUTE *list, CK_ULONG count)
{
    unsigned char value[4096];

    for (CK_ULONG i = 0; i < count; i++) {
        long len = soft_value(key, private, value, sizeof(value), list[i].type);

        if (len < 0 || (CK_ULONG)len != list[i].ulValueLen || memcmp(value, list[i].pValue, (size_t)len) != 0) {
            return 0;
        }
    }
    return 1;
}

static CK_RV soft_FindObjectsInit(CK_SESSION_HANDLE number, CK_ATTRIBUTE *list, CK_ULONG count)
{
    LOCKED_CALL();
    struct session *session = soft_session(number);
    int private;

    if (session == NULL) {
        return CKR_SESSION_HANDLE_INVALID;
    }
    session->num_found = session->next_found = 0;
    for (CK_OBJECT_HANDLE object = 1; object <= 2 * soft_num_keys; object++) {
        const struct key *key = soft_key(object, &private);

        if (key != NULL && matches(key, private, list, count)) {
            session->found[session->num_found++] = object;
        }
    }
    return CKR_OK;
}

static CK_RV soft_FindObjects(CK_SESSION_HANDLE number, CK_OBJECT_HANDLE *out, CK_ULONG room, CK_ULONG *count)
{
    LOCKED_CALL();
    struct session *session = soft_session(number);

    *count = 0;
    while (session != NULL && *count < room && session->next_found < session->num_found) {
        out[(*count)++] = session->found[session->next_found++];
    }
    return session != NULL ? CKR_OK : CKR_SESSION_HANDLE_INVALID;
}

static CK_RV soft_FindObjectsFinal(CK_SESSION_HANDLE number)
{
    LOCKED_CALL();
    return soft_session(number) != NULL ? CKR_OK : CKR_SESSION_HANDLE_INVALID;
}

/* --- the lists of functions --------------------------------------------------------------------------------------- */

#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-function"
#define NONE(name, params, args)                                                                                       \
    static CK_RV none_##name params                                                                                    \
    {                                                                                                                  \
        return CKR_FUNCTION_NOT_SUPPORTED;                                                                             \
    }
CRYPTOKI_2_40(NONE)
CRYPTOKI_3_0(NONE)

/* Cryptoki 3.0, for headers that know 2.40 alone. The names are ours, for those that know both. */
struct interface {
    const char *name;
    void *functions;
    CK_FLAGS flags;
};
typedef CK_RV (*get_interface_list_fn)(struct interface *list, CK_ULONG *num);
typedef CK_RV (*get_interface_fn)(CK_BYTE *name, CK_VERSION *version, struct interface **interface, CK_FLAGS flags);

struct functions_3_0 {
    CK_FUNCTION_LIST base;
    get_interface_list_fn C_GetInterfaceList;
    get_interface_fn C_GetInterface;
#define MEMBER(name, params, args) CK_RV(*C_##name) params;
    CRYPTOKI_3_0(MEMBER)
#undef MEMBER
};

static struct functions_3_0 front;
static struct interface interface = { "PKCS 11", &front, 0 };

/* The names of these three are given to the linker alone: headers of 3.0 declare them with types of their own. Behind
 * another module (tests/hostile) they have a name more before them. */
#ifndef SOFT_ENTRY
#define SOFT_ENTRY ""
#endif
EXPORT CK_RV get_function_list(CK_FUNCTION_LIST **list) __asm__(SOFT_ENTRY "C_GetFunctionList");
EXPORT CK_RV get_interface_list(struct interface *list, CK_ULONG *num) __asm__(SOFT_ENTRY "C_GetInterfaceList");
EXPORT CK_RV get_interface(CK_BYTE *name, CK_VERSION *version, struct interface **out,
                           CK_FLAGS flags) __asm__(SOFT_ENTRY "C_GetInterface");

static void front_make(void)
{
#define FILL(name, params, args) front.base.C_##name = none_##name;
    CRYPTOKI_2_40(FILL)
#undef FILL
#define FILL(name, params, args) front.C_##name = none_##name;
    CRYPTOKI_3_0(FILL)
#undef FILL
#define OWN(name) front.base.C_##name = soft_##name
    OWN(Initialize);
    OWN(Finalize);
    OWN(GetInfo);
    OWN(GetSlotList);
    OWN(GetSlotInfo);
    OWN(GetTokenInfo);
    OWN(GetMechanismList);
    OWN(OpenSession);
    OWN(GetSessionInfo);
    OWN(CloseSession);
    OWN(CloseAllSessions);
    OWN(Login);
    OWN(Logout);
    OWN(FindObjectsInit);
    OWN(FindObjects);
    OWN(FindObjectsFinal);
    OWN(GetAttributeValue);
    OWN(DestroyObject);
    OWN(SignInit);
    OWN(Sign);
    OWN(DecryptInit);
    OWN(Decrypt);
    OWN(DeriveKey);
    front.base.C_GetFunctionList = get_function_list;
    front.C_GetInterfaceList = get_interface_list;
    front.C_GetInterface = get_interface;
    front.C_MessageSignInit = soft_MessageSignInit;
    front.C_SignMessage = soft_SignMessage;
    front.C_MessageSignFinal = soft_MessageSignFinal;
    front.base.version.major = soft_is("old") ? 2 : 3;
    front.base.version.minor = soft_is("old") ? 40 : 0;
}

CK_RV get_function_list(CK_FUNCTION_LIST **list)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, front_make);
    *list = &front.base;
    return CKR_OK;
}

CK_RV get_interface_list(struct interface *list, CK_ULONG *num)
{
    CK_FUNCTION_LIST *ignored;

    (void)get_function_list(&ignored);
    if (soft_is("old")) {
        return CKR_FUNCTION_NOT_SUPPORTED;
    }
    if (list != NULL) {
        list[0] = interface;
    }
    *num = 1;
    return CKR_OK;
}

CK_RV get_interface(CK_BYTE *name, CK_VERSION *version, struct interface **out, CK_FLAGS flags)
{
    CK_FUNCTION_LIST *ignored;

    (void)get_function_list(&ignored);
    if (soft_is("old") || (name != NULL && strcmp((const char *)name, "PKCS 11") != 0) ||
        (version != NULL && version->major != 3) || flags != 0) {
        return CKR_ARGUMENTS_BAD;
    }
    *out = &interface;
    return CKR_OK;
}
