/* A PKCS#11 module in front of another (SIGNET_TEST_MODULE): forwards and counts (tests/token/counts.h). A function
 * that is not in that table is counted as "other" and not supported, so that nothing goes unseen. SIGNET_TEST_DELAY_US
 * delays each call. */
#include <dlfcn.h>
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "counts.h"

static CK_FUNCTION_LIST *behind;
static CK_FUNCTION_LIST front;
static struct counts *counts;
static useconds_t delay_us;

static void note(enum count which)
{
    counts->calls[which]++;
    if (delay_us > 0) {
        usleep(delay_us);
    }
}

static CK_RV other(void)
{
    note(COUNT_other);
    return CKR_FUNCTION_NOT_SUPPORTED;
}

static int is_secret(CK_ATTRIBUTE_TYPE type)
{
    switch (type) {
    case CKA_VALUE:
    case CKA_PRIVATE_EXPONENT:
    case CKA_PRIME_1:
    case CKA_PRIME_2:
    case CKA_EXPONENT_1:
    case CKA_EXPONENT_2:
    case CKA_COEFFICIENT:
        return 1;
    default:
        return 0;
    }
}

#define FORWARD(name, params, args)                                                                                    \
    static CK_RV front_##name params                                                                                   \
    {                                                                                                                  \
        note(COUNT_##name);                                                                                            \
        return behind->C_##name args;                                                                                  \
    }
COUNTED_FUNCTIONS(FORWARD)

static CK_RV watched_GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *list,
                                       CK_ULONG num)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_ATTRIBUTE ask = { CKA_CLASS, &class, sizeof(class) };

    for (CK_ULONG i = 0; i < num; i++) {
        if (is_secret(list[i].type) && behind->C_GetAttributeValue(session, object, &ask, 1) == CKR_OK &&
            (class == CKO_PRIVATE_KEY || class == CKO_SECRET_KEY)) {
            counts->secrets_asked++;
        }
    }
    return front_GetAttributeValue(session, object, list, num);
}

static CK_RV watched_WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE with,
                             CK_OBJECT_HANDLE key, CK_BYTE *out, CK_ULONG *out_len)
{
    counts->secrets_asked++;
    return front_WrapKey(session, mechanism, with, key, out, out_len);
}

/* A mechanism that the module behind has, and this one refuses: a poor token. */
static CK_MECHANISM_TYPE refused = (CK_MECHANISM_TYPE)-1;

static CK_RV poor_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    if (mechanism != NULL && mechanism->mechanism == refused) {
        note(COUNT_SignInit);
        return CKR_MECHANISM_INVALID;
    }
    return front_SignInit(session, mechanism, key);
}

static CK_RV poor_DecryptInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    if (mechanism != NULL && mechanism->mechanism == refused) {
        note(COUNT_DecryptInit);
        return CKR_MECHANISM_INVALID;
    }
    return front_DecryptInit(session, mechanism, key);
}

/* The counters: in the file that was named, or in memory of our own. */
static struct counts *counts_map(void)
{
    const char *path = getenv("SIGNET_TEST_COUNTS");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *map;

    if (fd >= 0 && ftruncate(fd, sizeof(struct counts)) != 0) {
        close(fd);
        return NULL;
    }
    map = mmap(NULL, sizeof(struct counts), PROT_READ | PROT_WRITE, MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
    if (fd >= 0) {
        close(fd);
    }
    return map == MAP_FAILED ? NULL : map;
}

static CK_FUNCTION_LIST *behind_open(void)
{
    const char *path = getenv("SIGNET_TEST_MODULE");
    void *module = dlopen(path != NULL ? path : "/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW | RTLD_LOCAL);
    void *symbol = module == NULL ? NULL : dlsym(module, "C_GetFunctionList");
    CK_C_GetFunctionList get_list;
    CK_FUNCTION_LIST *list = NULL;

    if (symbol == NULL) {
        return NULL;
    }
    memcpy(&get_list, &symbol, sizeof(get_list));
    return get_list(&list) == CKR_OK ? list : NULL;
}

/* Every place of the list gets `other`, then the counted ones their own. */
static void front_make(void)
{
    const char *delay = getenv("SIGNET_TEST_DELAY_US");
    const char *without = getenv("SIGNET_TEST_WITHOUT"); /* a mechanism, by its number */
    CK_RV (*unknown)(void) = other;

    behind = behind_open();
    counts = counts_map();
    refused = without == NULL ? refused : strtoul(without, NULL, 0);
    delay_us = delay == NULL ? 0 : (useconds_t)atoi(delay);
    for (size_t at = offsetof(CK_FUNCTION_LIST, C_Initialize); at < sizeof(front); at += sizeof(unknown)) {
        memcpy((char *)&front + at, &unknown, sizeof(unknown));
    }
    front.version.major = 2;
    front.version.minor = 40;
#define INSTALL(name, params, args) front.C_##name = front_##name;
    COUNTED_FUNCTIONS(INSTALL)
    front.C_GetAttributeValue = watched_GetAttributeValue;
    front.C_WrapKey = watched_WrapKey;
    front.C_SignInit = poor_SignInit;
    front.C_DecryptInit = poor_DecryptInit;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, front_make);
    if (behind == NULL || counts == NULL) {
        return CKR_GENERAL_ERROR;
    }
    *list = &front;
    return CKR_OK;
}
