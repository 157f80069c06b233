/* A PKCS#11 module in front of another (SIGNET_TEST_MODULE) that needs no login: it logs in by itself, with the PIN in
 * the file SIGNET_TEST_PIN_FILE, to the token labelled SIGNET_TEST_TOKEN and to no other. For programs that ask a
 * person for the PIN and can't be given it otherwise: a browser without a screen. */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static CK_FUNCTION_LIST *behind;
static CK_FUNCTION_LIST front;

/* Labels are padded with blanks and end with no NUL. */
static int is_ours(const CK_TOKEN_INFO *info)
{
    const char *wanted = getenv("SIGNET_TEST_TOKEN");
    char padded[sizeof(info->label) + 1];

    snprintf(padded, sizeof(padded), "%-*s", (int)sizeof(info->label), wanted != NULL ? wanted : "");
    return memcmp(padded, info->label, sizeof(info->label)) == 0;
}

static CK_RV front_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    CK_RV rv = behind->C_GetTokenInfo(slot, info);

    if (rv == CKR_OK && is_ours(info)) {
        info->flags &= ~(CK_FLAGS)CKF_LOGIN_REQUIRED;
    }
    return rv;
}

static CK_RV log_in(CK_SESSION_HANDLE session)
{
    const char *path = getenv("SIGNET_TEST_PIN_FILE");
    FILE *file = fopen(path != NULL ? path : "", "re");
    char pin[256] = "";
    CK_RV rv = CKR_PIN_INCORRECT;

    if (file != NULL && fgets(pin, sizeof(pin), file) != NULL) {
        pin[strcspn(pin, "\n")] = '\0';
        rv = behind->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, strlen(pin));
    }
    if (file != NULL) {
        fclose(file);
    }
    return rv == CKR_USER_ALREADY_LOGGED_IN ? CKR_OK : rv;
}

static CK_RV front_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                               CK_SESSION_HANDLE *session)
{
    CK_RV rv = behind->C_OpenSession(slot, flags, application, notify, session);
    CK_TOKEN_INFO info;

    if (rv != CKR_OK || behind->C_GetTokenInfo(slot, &info) != CKR_OK || !is_ours(&info)) {
        return rv;
    }
    rv = log_in(*session);
    if (rv != CKR_OK) {
        behind->C_CloseSession(*session);
    }
    return rv;
}

static CK_RV front_GetFunctionList(CK_FUNCTION_LIST **list);

/* The constructor runs once; whoever calls C_GetFunctionList finds everything ready. */
__attribute__((constructor)) static void prepare(void)
{
    const char *path = getenv("SIGNET_TEST_MODULE");
    void *module = dlopen(path != NULL ? path : "/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW | RTLD_LOCAL);
    void *symbol = module == NULL ? NULL : dlsym(module, "C_GetFunctionList");
    CK_C_GetFunctionList get_list;

    memcpy(&get_list, &symbol, sizeof(symbol));
    if (symbol == NULL || get_list(&behind) != CKR_OK) {
        behind = NULL;
        return;
    }
    front = *behind;
    front.C_GetFunctionList = front_GetFunctionList;
    front.C_GetTokenInfo = front_GetTokenInfo;
    front.C_OpenSession = front_OpenSession;
}

static CK_RV front_GetFunctionList(CK_FUNCTION_LIST **list)
{
    if (behind == NULL) {
        return CKR_GENERAL_ERROR;
    }
    *list = &front;
    return CKR_OK;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    return front_GetFunctionList(list);
}
