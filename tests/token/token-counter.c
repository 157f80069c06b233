/* A PKCS#11 module in front of another: hands every call on, counts it, and misbehaves on request (counts.h).
 *
 *     SIGNET_TEST_MODULE     the module behind (SoftHSM)
 *     SIGNET_TEST_COUNTS     the file with the counters
 *     SIGNET_TEST_FAULTS     words of control.h, obeyed by each process as it loads this
 *     SIGNET_TEST_DELAY_US   the same as the word delay=...
 *     SIGNET_TEST_WITHOUT    the same as the word without=...
 *
 *     SIGNET_TEST_ONLY       the label of the one token that is shown
 *
 * Copies of its file are modules of their own, with settings of their own (instance.h).
 *
 * An interface of 3.x that the module behind has is offered as 3.0, and then its functions serve for both. */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "instance.h"
#include "misbehave.h"

#define EXPORT __attribute__((visibility("default")))
#define SLOT(slot) slot_behind(slot)

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

static struct counts *counts;
static CK_FUNCTION_LIST *behind;
static struct functions_3_0 *behind_3_0; /* NULL if the module has none */
static CK_FUNCTION_LIST front;
static struct functions_3_0 front_3_0;
static struct interface interfaces[2]; /* 2.40, and 3.0 */
static CK_ULONG num_interfaces;

/* --- the functions ------------------------------------------------------------------------------------------------ */

#define HAND_ON(list, name, params, args)                                                                              \
    static CK_RV front_##name params                                                                                   \
    {                                                                                                                  \
        struct verdict verdict = call_begin(COUNT_##name);                                                             \
                                                                                                                       \
        return call_end(&verdict, verdict.hand_on ? list->C_##name args : CKR_OK);                                     \
    }
#define HAND_ON_2_40(name, params, args) HAND_ON(behind, name, params, args)
#define HAND_ON_3_0(name, params, args) HAND_ON(behind_3_0, name, params, args)
CRYPTOKI_2_40(HAND_ON_2_40)
CRYPTOKI_3_0(HAND_ON_3_0)

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

static int is_secret_key(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_ATTRIBUTE ask = { CKA_CLASS, &class, sizeof(class) };
    CK_RV rv;

    calls_in();
    rv = behind->C_GetAttributeValue(session, object, &ask, 1);
    calls_out();
    return rv == CKR_OK && (class == CKO_PRIVATE_KEY || class == CKO_SECRET_KEY);
}

static void note_attribute(CK_ATTRIBUTE_TYPE type)
{
    for (size_t i = 0; i < MOST_ATTRIBUTES; i++) {
        unsigned long seen = 0;

        if (atomic_compare_exchange_strong(&counts->attributes[i].type, &seen, type + 1) || seen == type + 1) {
            counts->attributes[i].asked++;
            return;
        }
    }
    fprintf(stderr, "token-counter: more than %d kinds of attributes\n", MOST_ATTRIBUTES);
    abort();
}

static CK_RV watched_GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attrs,
                                       CK_ULONG num)
{
    for (CK_ULONG i = 0; i < num; i++) {
        note_attribute(attrs[i].type);
        if (is_secret(attrs[i].type) && is_secret_key(session, object)) {
            counts->secrets_asked++;
        }
    }
    return front_GetAttributeValue(session, object, attrs, num);
}

static CK_RV watched_WrapKey(CK_SESSION_HANDLE session, CK_MECHANISM *mech, CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE key,
                             CK_BYTE *out, CK_ULONG *out_len)
{
    counts->secrets_asked++;
    return front_WrapKey(session, mech, with, key, out, out_len);
}

/* --- opening the module behind ------------------------------------------------------------------------------------ */

/* A symbol as a pointer to a function; POSIX promises the representation, C alone does not. */
#define FUNCTION_OF(out, library, name)                                                                                \
    do {                                                                                                               \
        void *symbol = dlsym(library, name);                                                                           \
                                                                                                                       \
        memcpy(&(out), &symbol, sizeof(out));                                                                          \
    } while (0)

/* The first interface of the standard's name and of 3.x. Some modules don't write back how many there are: the list
 * ends with the first place that is still empty. */
static struct functions_3_0 *functions_3_0_of(void *library)
{
    struct interface list[16] = { { NULL, NULL, 0 } };
    CK_ULONG num = 16;
    get_interface_list_fn get;

    FUNCTION_OF(get, library, "C_GetInterfaceList");
    if (get == NULL || get(list, &num) != CKR_OK) {
        return NULL;
    }
    for (CK_ULONG i = 0; i < num && i < 16 && list[i].name != NULL && list[i].functions != NULL; i++) {
        struct functions_3_0 *functions = list[i].functions;

        if (strcmp(list[i].name, "PKCS 11") == 0 && functions->base.version.major == 3) {
            return functions;
        }
    }
    return NULL;
}

static CK_FUNCTION_LIST *open_behind(void)
{
    const char *path = instance_setting("SIGNET_TEST_MODULE");
    void *library = dlopen(path != NULL ? path : "/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW | RTLD_LOCAL);
    CK_FUNCTION_LIST *list = NULL;
    CK_C_GetFunctionList get;

    if (library == NULL) {
        fprintf(stderr, "token-counter: %s\n", dlerror());
        return NULL;
    }
    FUNCTION_OF(get, library, "C_GetFunctionList");
    if (get == NULL || get(&list) != CKR_OK) {
        return NULL;
    }
    behind_3_0 = functions_3_0_of(library);
    return behind_3_0 != NULL ? &behind_3_0->base : list;
}

/* The names of these three are given to the linker alone: headers of 3.0 declare them with types of their own. */
EXPORT CK_RV get_function_list(CK_FUNCTION_LIST **list) __asm__("C_GetFunctionList");
EXPORT CK_RV get_interface_list(struct interface *list, CK_ULONG *num) __asm__("C_GetInterfaceList");
EXPORT CK_RV get_interface(CK_BYTE *name, CK_VERSION *version, struct interface **interface,
                           CK_FLAGS flags) __asm__("C_GetInterface");

static void make_lists(void)
{
    front.version = (CK_VERSION){ 2, 40 };
    front.C_GetFunctionList = get_function_list;
#define INSTALL(name, params, args) front.C_##name = front_##name;
    CRYPTOKI_2_40(INSTALL)
#undef INSTALL
    front.C_GetAttributeValue = watched_GetAttributeValue;
    front.C_WrapKey = watched_WrapKey;
    interfaces[num_interfaces++] = (struct interface){ "PKCS 11", &front, 0 };
    if (behind_3_0 != NULL) {
        front_3_0.base = front;
        front_3_0.base.version = (CK_VERSION){ 3, 0 };
        front_3_0.C_GetInterfaceList = get_interface_list;
        front_3_0.C_GetInterface = get_interface;
#define INSTALL(name, params, args) front_3_0.C_##name = front_##name;
        CRYPTOKI_3_0(INSTALL)
#undef INSTALL
        interfaces[num_interfaces++] = (struct interface){ "PKCS 11", &front_3_0, 0 };
    }
}

/* A word that makes no sense must not leave a test without its fault. */
static int obey(const char *before, const char *words)
{
    char all[4096];
    char wrong[256];

    snprintf(all, sizeof(all), "%s%s", before, words == NULL ? "" : words);
    if (words == NULL || counts_obey(counts, all, wrong)) {
        return 1;
    }
    fprintf(stderr, "token-counter: '%s' makes no sense\n", wrong);
    return 0;
}

static void start(void)
{
    CK_FUNCTION_LIST *real = open_behind();

    counts = counts_map(instance_setting("SIGNET_TEST_COUNTS"));
    if (counts == NULL || real == NULL || !obey("delay=", instance_setting("SIGNET_TEST_DELAY_US")) ||
        !obey("without=", instance_setting("SIGNET_TEST_WITHOUT")) ||
        !obey("", instance_setting("SIGNET_TEST_FAULTS"))) {
        return;
    }
    behind = misbehave_start(counts, real);
    make_lists();
}

static int started(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, start);
    return num_interfaces > 0;
}

/* --- what is exported --------------------------------------------------------------------------------------------- */

/* A call that has nothing behind it: what it gives is ours. */
static CK_RV begin_own(enum count which)
{
    struct verdict verdict;

    if (!started()) {
        return CKR_GENERAL_ERROR;
    }
    verdict = call_begin(which);
    return call_end(&verdict, CKR_OK);
}

EXPORT CK_RV get_function_list(CK_FUNCTION_LIST **list)
{
    CK_RV rv = begin_own(COUNT_GetFunctionList);

    if (rv == CKR_OK) {
        *list = &front;
    }
    return rv;
}

EXPORT CK_RV get_interface_list(struct interface *list, CK_ULONG *num)
{
    CK_RV rv = begin_own(COUNT_GetInterfaceList);
    CK_ULONG room = *num;

    if (rv != CKR_OK) {
        return rv;
    }
    *num = num_interfaces;
    if (list == NULL) {
        return CKR_OK;
    }
    if (room < num_interfaces) {
        return CKR_BUFFER_TOO_SMALL;
    }
    memcpy(list, interfaces, num_interfaces * sizeof(*list));
    return CKR_OK;
}

/* The newest one of the name and version asked for, if any; there are no flags that we could offer. */
EXPORT CK_RV get_interface(CK_BYTE *name, CK_VERSION *version, struct interface **interface, CK_FLAGS flags)
{
    CK_RV rv = begin_own(COUNT_GetInterface);

    if (rv != CKR_OK) {
        return rv;
    }
    for (CK_ULONG i = num_interfaces; i > 0 && flags == 0; i--) {
        const CK_FUNCTION_LIST *functions = interfaces[i - 1].functions;

        if ((name == NULL || strcmp((const char *)name, interfaces[i - 1].name) == 0) &&
            (version == NULL || memcmp(version, &functions->version, sizeof(*version)) == 0)) {
            *interface = &interfaces[i - 1];
            return CKR_OK;
        }
    }
    return CKR_FUNCTION_FAILED;
}
