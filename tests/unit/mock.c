#include "mock.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../hostile/hostile.h"

#define EXPORTED __attribute__((visibility("default")))
#define SECRET 999999 /* its handle */

EXPORTED struct mock mock = { .lock = PTHREAD_MUTEX_INITIALIZER, .first_handle = 1, .manufacturer = "Mock" };
EXPORTED CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list);

/* What every call does first: count, wait, and fail if it is to. CKR_OK: go on, with the lock held. */
static CK_RV enter(enum mock_function which)
{
    struct mock_failure *failure = &mock.failures[which];
    CK_RV rv = CKR_OK;

    if (mock.on_call != NULL) {
        mock.on_call(which);
    }
    if (mock.delay_us[which] > 0) {
        usleep(mock.delay_us[which]);
    }
    mock.hung++;
    while ((mock.hang & 1u << which) != 0) {
        usleep(1000);
    }
    mock.hung--;
    pthread_mutex_lock(&mock.lock);
    mock.calls[which]++;
    if (mock.down && mock.link == MOCK_LINKED) {
        mock.link = MOCK_BROKEN;
    }
    if (failure->times > 0 && failure->after > 0) {
        failure->after--;
    } else if (failure->times > 0) {
        failure->times--;
        rv = failure->rv;
    } else if (!mock.initialized && which != MOCK_Initialize) {
        rv = CKR_CRYPTOKI_NOT_INITIALIZED;
    } else if (mock.link == MOCK_BROKEN && which != MOCK_Initialize && which != MOCK_Finalize) {
        rv = CKR_DEVICE_ERROR;
    } else if (mock.link == MOCK_NO_LINK && which != MOCK_Initialize && which != MOCK_Finalize &&
               which != MOCK_GetSlotList) {
        rv = CKR_DEVICE_REMOVED;
    }
    if (rv != CKR_OK) {
        pthread_mutex_unlock(&mock.lock);
    }
    return rv;
}

static CK_RV leave(CK_RV rv)
{
    pthread_mutex_unlock(&mock.lock);
    return rv;
}

#define ENTER(which)                                                                                                   \
    do {                                                                                                               \
        CK_RV enter_ = enter(which);                                                                                   \
        if (enter_ != CKR_OK) {                                                                                        \
            return enter_;                                                                                             \
        }                                                                                                              \
    } while (0)

static struct mock_token *token_in(CK_SLOT_ID slot)
{
    for (unsigned i = 0; i < mock.num_tokens; i++) {
        if (mock.tokens[i].present && mock.tokens[i].slot == slot) {
            return &mock.tokens[i];
        }
    }
    return NULL;
}

/* A handle is the place of the session, from 1, and how often sessions were opened before, unless numbers are used
 * again. */
static CK_SESSION_HANDLE handle_of(unsigned place)
{
    return 1 + place + (mock.reuses_handles ? 0 : MOCK_MOST_SESSIONS * mock.sessions[place].serial);
}

static struct mock_session *session_of(CK_SESSION_HANDLE handle)
{
    unsigned place = (unsigned)((handle - 1) % MOCK_MOST_SESSIONS);

    return mock.sessions[place].open && handle_of(place) == handle ? &mock.sessions[place] : NULL;
}

static bool visible(const struct mock_session *session, const struct mock_object *object)
{
    return object->token == session->token && (!object->is_private || mock.tokens[session->token].logged_in);
}

static struct mock_object *object_of(const struct mock_session *session, CK_OBJECT_HANDLE handle)
{
    struct mock_object *object;

    if (handle < mock.first_handle || handle >= mock.first_handle + mock.num_objects) {
        return NULL;
    }
    object = &mock.objects[handle - mock.first_handle];
    return visible(session, object) ? object : NULL;
}

static const CK_ATTRIBUTE *attr_of(const struct mock_object *object, CK_ATTRIBUTE_TYPE type)
{
    for (CK_ULONG i = 0; i < object->num_attrs; i++) {
        if (object->attrs[i].type == type) {
            return &object->attrs[i];
        }
    }
    return NULL;
}

/* --- general ---------------------------------------------------------------------------------------------------- */

static CK_RV mock_Initialize(void *varg)
{
    const CK_C_INITIALIZE_ARGS *args = varg;

    ENTER(MOCK_Initialize);
    if (mock.initialized) {
        return leave(CKR_CRYPTOKI_ALREADY_INITIALIZED);
    }
    if (mock.down && mock.down_fails_init) {
        return leave(CKR_DEVICE_ERROR);
    }
    mock.link = mock.down ? MOCK_NO_LINK : MOCK_LINKED;
    mock.init_flags = args != NULL ? args->flags : 0;
    mock.init_reserved[0] = '\0';
    if (args != NULL && args->pReserved != NULL) {
        strncpy(mock.init_reserved, args->pReserved, sizeof(mock.init_reserved) - 1);
    }
    mock.initialized = true;
    return leave(CKR_OK);
}

static CK_RV mock_Finalize(void *reserved)
{
    (void)reserved;
    ENTER(MOCK_Finalize);
    mock.initialized = false;
    memset(mock.sessions, 0, sizeof(mock.sessions));
    mock.open_sessions = 0;
    for (unsigned i = 0; i < mock.num_tokens; i++) {
        mock.tokens[i].logged_in = false;
    }
    return leave(CKR_OK);
}

static CK_RV mock_GetInfo(CK_INFO *info)
{
    ENTER(MOCK_GetInfo);
    memset(info, ' ', sizeof(*info));
    memcpy(info->manufacturerID, mock.manufacturer, strlen(mock.manufacturer));
    info->libraryVersion = (CK_VERSION){ 1, 2 };
    return leave(CKR_OK);
}

static CK_RV mock_GetSlotList(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count)
{
    CK_ULONG room = *count;

    ENTER(MOCK_GetSlotList);
    *count = !present && mock.link != MOCK_NO_LINK ? 1 : 0; /* an empty reader comes with it */
    if (*count > 0 && slots != NULL && room > 0) {
        slots[0] = 99;
    }
    for (unsigned i = 0; i < mock.num_tokens; i++) {
        mock.tokens[i].counted = mock.tokens[i].present && (slots == NULL || mock.tokens[i].counted);
        if (mock.tokens[i].present && mock.link != MOCK_NO_LINK &&
            (mock.tokens[i].counted || !mock.lists_what_was_counted)) {
            if (slots != NULL && *count < room) {
                slots[*count] = mock.tokens[i].slot;
            }
            ++*count;
        }
    }
    return leave(slots != NULL && *count > room ? CKR_BUFFER_TOO_SMALL : CKR_OK);
}

static CK_RV mock_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    ENTER(MOCK_GetSlotInfo);
    memset(info, ' ', sizeof(*info));
    memcpy(info->slotDescription, "Mock slot", 9);
    info->slotDescription[10] = (CK_UTF8CHAR)('0' + slot % 10);
    return leave(CKR_OK);
}

static CK_RV mock_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    const struct mock_token *token;

    ENTER(MOCK_GetTokenInfo);
    token = token_in(slot);
    if (token == NULL) {
        return leave(CKR_TOKEN_NOT_PRESENT);
    }
    *info = token->info;
    return leave(CKR_OK);
}

static CK_RV mock_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
    CK_ULONG room = *count;

    ENTER(MOCK_GetMechanismList);
    if (token_in(slot) == NULL) {
        return leave(CKR_TOKEN_NOT_PRESENT);
    }
    *count = mock.num_mechanisms;
    if (list != NULL && room < *count) {
        return leave(CKR_BUFFER_TOO_SMALL);
    }
    for (CK_ULONG i = 0; list != NULL && i < *count; i++) {
        list[i] = CKM_ECDSA + i;
    }
    return leave(CKR_OK);
}

/* --- sessions --------------------------------------------------------------------------------------------------- */

static CK_RV mock_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                              CK_SESSION_HANDLE *out)
{
    const struct mock_token *token;
    unsigned i = 0;

    (void)flags;
    (void)application;
    (void)notify;
    ENTER(MOCK_OpenSession);
    token = token_in(slot);
    if (token == NULL) {
        return leave(CKR_TOKEN_NOT_PRESENT);
    }
    if (mock.max_sessions > 0 && mock.open_sessions >= mock.max_sessions) {
        return leave(CKR_SESSION_COUNT);
    }
    while (i < MOCK_MOST_SESSIONS && mock.sessions[i].open) {
        i++;
    }
    if (i == MOCK_MOST_SESSIONS) {
        return leave(CKR_SESSION_COUNT);
    }
    mock.sessions[i] = (struct mock_session){
        .open = true,
        .serial = mock.calls[MOCK_OpenSession],
        .token = (unsigned)(token - mock.tokens),
    };
    mock.open_sessions++;
    mock.most_sessions = mock.open_sessions > mock.most_sessions ? mock.open_sessions : mock.most_sessions;
    *out = handle_of(i);
    return leave(CKR_OK);
}

static CK_RV mock_GetSessionInfo(CK_SESSION_HANDLE handle, CK_SESSION_INFO *info)
{
    const struct mock_session *session;

    ENTER(MOCK_GetSessionInfo);
    session = session_of(handle);
    if (session == NULL) {
        return leave(CKR_SESSION_HANDLE_INVALID);
    }
    memset(info, 0, sizeof(*info));
    info->slotID = mock.tokens[session->token].slot;
    info->state = mock.tokens[session->token].logged_in ? CKS_RO_USER_FUNCTIONS : CKS_RO_PUBLIC_SESSION;
    info->flags = CKF_SERIAL_SESSION;
    return leave(CKR_OK);
}

static CK_RV mock_CloseSession(CK_SESSION_HANDLE handle)
{
    struct mock_session *session;
    bool last = true;

    ENTER(MOCK_CloseSession);
    session = session_of(handle);
    if (session == NULL) {
        return leave(CKR_SESSION_HANDLE_INVALID);
    }
    session->open = false;
    mock.open_sessions--;
    for (unsigned i = 0; i < MOCK_MOST_SESSIONS; i++) {
        last = last && !(mock.sessions[i].open && mock.sessions[i].token == session->token);
    }
    if (last) {
        mock.tokens[session->token].logged_in = false;
    }
    return leave(CKR_OK);
}

static CK_RV mock_Login(CK_SESSION_HANDLE handle, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG pin_len)
{
    struct mock_session *session;
    struct mock_token *token;

    ENTER(MOCK_Login);
    session = session_of(handle);
    if (session == NULL) {
        return leave(CKR_SESSION_HANDLE_INVALID);
    }
    token = &mock.tokens[session->token];
    if (user == CKU_USER && token->logged_in) {
        return leave(CKR_USER_ALREADY_LOGGED_IN);
    }
    if ((token->info.flags & CKF_PROTECTED_AUTHENTICATION_PATH) != 0) {
        if (pin != NULL) {
            return leave(CKR_ARGUMENTS_BAD);
        }
    } else if (pin_len != strlen(token->pin) || memcmp(pin, token->pin, pin_len) != 0) {
        token->wrong_pins++;
        return leave(CKR_PIN_INCORRECT);
    }
    if (user == CKU_CONTEXT_SPECIFIC) {
        if (session->operation == MOCK_NO_OPERATION) {
            return leave(CKR_OPERATION_NOT_INITIALIZED);
        }
        session->authenticated = true;
    } else {
        token->logged_in = true;
    }
    return leave(CKR_OK);
}

/* --- objects ---------------------------------------------------------------------------------------------------- */

static CK_RV mock_FindObjectsInit(CK_SESSION_HANDLE handle, CK_ATTRIBUTE *template, CK_ULONG count)
{
    struct mock_session *session;

    ENTER(MOCK_FindObjectsInit);
    session = session_of(handle);
    if (session == NULL) {
        return leave(CKR_SESSION_HANDLE_INVALID);
    }
    if (session->operation != MOCK_NO_OPERATION) {
        return leave(CKR_OPERATION_ACTIVE);
    }
    session->operation = MOCK_FINDING;
    session->at = 0;
    session->num_template = count;
    for (CK_ULONG i = 0; i < count; i++) {
        memcpy(session->values[i], template[i].pValue, template[i].ulValueLen);
        session->template[i] = template[i];
        session->template[i].pValue = session->values[i];
    }
    return leave(CKR_OK);
}

static bool matches(const struct mock_session *session, const struct mock_object *object)
{
    for (CK_ULONG i = 0; i < session->num_template; i++) {
        const CK_ATTRIBUTE *asked = &session->template[i];
        const CK_ATTRIBUTE *has = attr_of(object, asked->type);

        if (mock.ignores_names && (asked->type == CKA_ID || asked->type == CKA_LABEL)) {
            continue;
        }
        if (has == NULL || has->ulValueLen != asked->ulValueLen ||
            (asked->ulValueLen > 0 && memcmp(has->pValue, asked->pValue, asked->ulValueLen) != 0)) {
            return false;
        }
    }
    return visible(session, object);
}

static CK_RV mock_FindObjects(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE *out, CK_ULONG room, CK_ULONG *count)
{
    struct mock_session *session;

    ENTER(MOCK_FindObjects);
    session = session_of(handle);
    if (session == NULL) {
        return leave(CKR_SESSION_HANDLE_INVALID);
    }
    if (session->operation != MOCK_FINDING) {
        return leave(CKR_OPERATION_NOT_INITIALIZED);
    }
    room = mock.found_at_once > 0 && mock.found_at_once < room ? mock.found_at_once : room;
    *count = 0;
    for (; session->at < mock.num_objects && *count < room; session->at++) {
        if (matches(session, &mock.objects[session->at])) {
            out[(*count)++] = mock.first_handle + session->at;
        }
    }
    return leave(CKR_OK);
}

static CK_RV mock_FindObjectsFinal(CK_SESSION_HANDLE handle)
{
    struct mock_session *session;

    ENTER(MOCK_FindObjectsFinal);
    session = session_of(handle);
    if (session == NULL) {
        return leave(CKR_SESSION_HANDLE_INVALID);
    }
    session->operation = MOCK_NO_OPERATION;
    return leave(CKR_OK);
}

static CK_RV attr_give(CK_ATTRIBUTE *asked, const struct mock_object *object)
{
    const CK_ATTRIBUTE *has = attr_of(object, asked->type);

    if (has == NULL) {
        asked->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
    if (asked->pValue == NULL) {
        asked->ulValueLen = has->ulValueLen;
        return CKR_OK;
    }
    if (asked->ulValueLen < has->ulValueLen) {
        asked->ulValueLen = mock.tells_no_lengths ? CK_UNAVAILABLE_INFORMATION : has->ulValueLen;
        return CKR_BUFFER_TOO_SMALL;
    }
    asked->ulValueLen = has->ulValueLen;
    if (has->ulValueLen > 0) {
        memcpy(asked->pValue, has->pValue, has->ulValueLen);
    }
    return CKR_OK;
}

static CK_RV mock_GetAttributeValue(CK_SESSION_HANDLE session_handle, CK_OBJECT_HANDLE handle, CK_ATTRIBUTE *list,
                                    CK_ULONG count)
{
    const struct mock_session *session;
    const struct mock_object *object;
    CK_RV rv = CKR_OK;

    ENTER(MOCK_GetAttributeValue);
    session = session_of(session_handle);
    if (handle == SECRET && mock.secret != NULL && count == 1 && list->ulValueLen >= mock.secret->ulValueLen) {
        list->ulValueLen = mock.secret->ulValueLen;
        memcpy(list->pValue, mock.secret->pValue, list->ulValueLen);
        return leave(CKR_OK);
    }
    object = session != NULL ? object_of(session, handle) : NULL;
    if (object == NULL) {
        return leave(session == NULL ? CKR_SESSION_HANDLE_INVALID : CKR_OBJECT_HANDLE_INVALID);
    }
    for (CK_ULONG i = 0; i < count; i++) {
        const CK_ATTRIBUTE asked = list[i];
        CK_RV one = attr_give(&list[i], object);

        if (one != CKR_OK && (mock.skips_missing || mock.stops_at_missing)) {
            list[i] = asked;
        }
        if (one != CKR_OK && mock.stops_at_missing) {
            rv = one;
            break;
        }
        one = mock.skips_missing ? CKR_OK : one;
        rv = rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL ? (one != CKR_OK ? one : rv) : rv; /* as SoftHSM does */
    }
    for (CK_ULONG i = 0; mock.all_or_nothing && rv != CKR_OK && i < count; i++) {
        list[i].ulValueLen = CK_UNAVAILABLE_INFORMATION;
    }
    return leave(rv != CKR_OK && mock.of_missing != CKR_OK ? mock.of_missing : rv);
}

/* --- operations ------------------------------------------------------------------------------------------------- */

static CK_RV operation_init(enum mock_function which, int operation, CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE key)
{
    struct mock_session *session;
    struct mock_object *object;

    ENTER(which);
    session = session_of(handle);
    if (session == NULL) {
        return leave(CKR_SESSION_HANDLE_INVALID);
    }
    if (session->operation != MOCK_NO_OPERATION) {
        return leave(CKR_OPERATION_ACTIVE);
    }
    object = object_of(session, key);
    if (object == NULL) {
        return leave(mock.tokens[session->token].logged_in ? CKR_KEY_HANDLE_INVALID : CKR_USER_NOT_LOGGED_IN);
    }
    session->operation = operation == MOCK_SIGNING ? MOCK_SIGNING : MOCK_DECRYPTING;
    session->object = (unsigned)(object - mock.objects);
    session->authenticated = !object->always_authenticate;
    return leave(CKR_OK);
}

/* A failed run ends the operation, unless the token is one of those that leave it active. `refusal` is what it has to
 * say of the data. */
static CK_RV operation_run(enum mock_function which, int operation, CK_SESSION_HANDLE handle, CK_RV refusal,
                           CK_BYTE *out, CK_ULONG *out_len)
{
    struct mock_session *session;
    const CK_ATTRIBUTE *label;
    CK_RV rv = enter(which);

    if (rv != CKR_OK) {
        pthread_mutex_lock(&mock.lock);
        session = session_of(handle);
        if (session != NULL && !mock.keeps_failed_operation) {
            session->operation = MOCK_NO_OPERATION;
        }
        return leave(rv);
    }
    session = session_of(handle);
    if (session == NULL) {
        return leave(CKR_SESSION_HANDLE_INVALID);
    }
    if ((int)session->operation != operation) {
        return leave(CKR_OPERATION_NOT_INITIALIZED);
    }
    if (!session->authenticated) {
        return leave(CKR_USER_NOT_LOGGED_IN);
    }
    if (refusal != CKR_OK) {
        session->operation = mock.keeps_failed_operation ? session->operation : MOCK_NO_OPERATION;
        return leave(refusal);
    }
    label = attr_of(&mock.objects[session->object], CKA_LABEL);
    if (*out_len < label->ulValueLen) {
        return leave(CKR_BUFFER_TOO_SMALL);
    }
    memcpy(out, label->pValue, label->ulValueLen);
    *out_len = label->ulValueLen;
    session->operation = MOCK_NO_OPERATION;
    return leave(CKR_OK);
}

static CK_RV mock_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    (void)mechanism;
    return operation_init(MOCK_SignInit, MOCK_SIGNING, session, key);
}

static CK_RV mock_Sign(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    (void)in;
    (void)in_len;
    return operation_run(MOCK_Sign, MOCK_SIGNING, session, CKR_OK, out, out_len);
}

static CK_RV mock_DecryptInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    (void)mechanism;
    return operation_init(MOCK_DecryptInit, MOCK_DECRYPTING, session, key);
}

static CK_RV mock_Decrypt(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    return operation_run(MOCK_Decrypt, MOCK_DECRYPTING, session, in_len > 0 && *in == '!' ? mock.bad_data : CKR_OK, out,
                         out_len);
}

static CK_RV mock_DeriveKey(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key,
                            CK_ATTRIBUTE *template, CK_ULONG count, CK_OBJECT_HANDLE *out)
{
    const CK_ECDH1_DERIVE_PARAMS *params = mechanism->pParameter;
    CK_ULONG len = params->ulPublicDataLen;
    bool wrapped = len > 2 && params->pPublicData[0] == 4 && params->pPublicData[1] == len - 2;
    const struct mock_session *session;
    const struct mock_object *object;

    (void)template;
    (void)count;
    ENTER(MOCK_DeriveKey);
    session = session_of(handle);
    object = session != NULL ? object_of(session, key) : NULL;
    if (object == NULL) {
        return leave(session == NULL ? CKR_SESSION_HANDLE_INVALID : CKR_KEY_HANDLE_INVALID);
    }
    if (mock.points == (wrapped ? MOCK_BARE_POINTS : MOCK_WRAPPED_POINTS)) {
        return leave(mock.points_refused);
    }
    mock.secret = attr_of(object, CKA_LABEL);
    *out = SECRET;
    return leave(CKR_OK);
}

static CK_RV mock_DestroyObject(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    ENTER(MOCK_DestroyObject);
    if (session_of(session) == NULL || object != SECRET || mock.secret == NULL) {
        return leave(CKR_OBJECT_HANDLE_INVALID);
    }
    mock.secret = NULL;
    return leave(CKR_OK);
}

/* What Signet has no business to call stays NULL. */
static CK_FUNCTION_LIST functions = { .version = { 2, 40 },
                                      .C_GetFunctionList = C_GetFunctionList,
#define MOCK_MEMBER(name) .C_##name = mock_##name,
                                      MOCK_FUNCTIONS(MOCK_MEMBER)
#undef MOCK_MEMBER
};

typedef void plain_function(void);
typedef CK_FUNCTION_LIST *list_editor(CK_FUNCTION_LIST *list);
typedef CK_RV interface_giver(CK_BYTE *name, CK_VERSION *version, void **out_interface, CK_FLAGS flags);

/* A function of the test's own, by its address in the environment, since the mock is not loaded yet; NULL: none. */
static plain_function *test_function(const char *variable)
{
    const char *address = getenv(variable);

    return address != NULL ? (plain_function *)(uintptr_t)strtoull(address, NULL, 16) : NULL;
}

/* The first that is loaded while the file SIGNET_MOCK_GATE is there renames it, and hangs until it is gone. */
EXPORTED CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    list_editor *edit = (list_editor *)test_function("SIGNET_MOCK_LIST");
    const char *gate = getenv("SIGNET_MOCK_GATE");
    char inside[256];

    snprintf(inside, sizeof(inside), "%s.inside", gate != NULL ? gate : "");
    if (gate != NULL && rename(gate, inside) == 0) {
        while (access(inside, F_OK) == 0) {
            usleep(1000);
        }
    }
    *list = hostile_list(&functions, NULL); /* so that a test can have any answer be another (mock_odd) */
    *list = edit != NULL ? edit(*list) : *list;
    return CKR_OK;
}

/* By another name here: later headers of p11-kit declare C_GetInterface, with a type that earlier ones lack. */
EXPORTED CK_RV give_interface(CK_BYTE *name, CK_VERSION *version, void **out_interface,
                              CK_FLAGS flags) __asm__("C_GetInterface");

/* The test's own, where it has one. */
EXPORTED CK_RV give_interface(CK_BYTE *name, CK_VERSION *version, void **out_interface, CK_FLAGS flags)
{
    interface_giver *get = (interface_giver *)test_function("SIGNET_MOCK_INTERFACE");

    return get != NULL ? get(name, version, out_interface, flags) : CKR_FUNCTION_NOT_SUPPORTED;
}

/* What runs while it is loaded. */
__attribute__((constructor)) static void construct(void)
{
    plain_function *constructor = test_function("SIGNET_MOCK_CONSTRUCTOR");

    if (constructor != NULL) {
        constructor();
    }
}
