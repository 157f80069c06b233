/* A PKCS#11 module in front of SoftHSM that has less of everything than it:
 *
 *     SIGNET_TEST_ONLY=NUMBER,...   has no mechanisms but these, and says so in its list
 *     SIGNET_TEST_POOR=WORD,...     silent: does not tell its list; bare: shows points without an OCTET STRING;
 *                                   private: shows no public keys; params: EdDSA needs parameters, and says so late;
 *                                   plain: EdDSA has none, and room for a signature must be just enough
 *     SIGNET_TEST_LISTED=FILE       one byte is appended whenever the list is asked for
 *
 * CKM_ECDSA with hashing, which SoftHSM hasn't, is made here. */
#include <dlfcn.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 32
#define SESSIONS 64

static CK_FUNCTION_LIST *behind;
static CK_FUNCTION_LIST front;
static CK_MECHANISM_TYPE only[MOST];
static CK_ULONG num_only;
static const char *words = "";

static const struct {
    CK_MECHANISM_TYPE type;
    const char *digest;
} hashing[] = {
    { CKM_ECDSA_SHA1, "SHA1" },     { CKM_ECDSA_SHA224, "SHA224" }, { CKM_ECDSA_SHA256, "SHA256" },
    { CKM_ECDSA_SHA384, "SHA384" }, { CKM_ECDSA_SHA512, "SHA512" },
};

/* What is signed in a session: the digest's name of the hashing that is made here, or NULL; and whether it is EdDSA
 * without parameters. */
static struct {
    CK_SESSION_HANDLE session;
    const char *digest;
    int eddsa;
    int params;
} signing[SESSIONS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int is(const char *word)
{
    return strstr(words, word) != NULL;
}

static int has(CK_MECHANISM_TYPE type)
{
    for (CK_ULONG i = 0; i < num_only; i++) {
        if (only[i] == type) {
            return 1;
        }
    }
    return num_only == 0;
}

static CK_RV poor_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count)
{
    const char *path = getenv("SIGNET_TEST_LISTED");
    int fd = path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    CK_RV rv = CKR_OK;

    if (fd >= 0) {
        rv = write(fd, ".", 1) == 1 ? CKR_OK : CKR_GENERAL_ERROR;
        close(fd);
    }
    if (is("silent")) {
        return CKR_FUNCTION_NOT_SUPPORTED;
    }
    if (num_only == 0 || rv != CKR_OK) {
        return rv == CKR_OK ? behind->C_GetMechanismList(slot, list, count) : rv;
    }
    rv = list != NULL && *count < num_only ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    *count = num_only;
    if (list != NULL && rv == CKR_OK) {
        memcpy(list, only, num_only * sizeof(*only));
    }
    return rv;
}

static size_t place_of(CK_SESSION_HANDLE session)
{
    size_t place = 0;

    while (place < SESSIONS - 1 && signing[place].session != session && signing[place].session != 0) {
        place++;
    }
    signing[place].session = session;
    return place;
}

static CK_RV poor_SignInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    CK_MECHANISM plain = *mechanism;
    const char *digest = NULL;
    size_t place;

    if (!has(mechanism->mechanism)) {
        return CKR_MECHANISM_INVALID;
    }
    if (mechanism->mechanism == CKM_EDDSA && is("plain") && mechanism->ulParameterLen > 0) {
        return CKR_MECHANISM_PARAM_INVALID;
    }
    for (size_t i = 0; i < sizeof(hashing) / sizeof(*hashing); i++) {
        if (hashing[i].type == mechanism->mechanism) {
            digest = hashing[i].digest;
            plain.mechanism = CKM_ECDSA;
        }
    }
    pthread_mutex_lock(&lock);
    place = place_of(session);
    signing[place].digest = digest;
    signing[place].eddsa = mechanism->mechanism == CKM_EDDSA;
    signing[place].params = mechanism->ulParameterLen > 0;
    pthread_mutex_unlock(&lock);
    return behind->C_SignInit(session, &plain, key);
}

static CK_RV poor_Sign(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t digest_len = 0;
    const char *name;
    size_t place;
    int eddsa;
    int params;

    pthread_mutex_lock(&lock);
    place = place_of(session);
    name = signing[place].digest;
    eddsa = signing[place].eddsa;
    params = signing[place].params;
    pthread_mutex_unlock(&lock);
    if (eddsa && is("params") && !params) {
        return CKR_MECHANISM_PARAM_INVALID; /* and the operation stays active */
    }
    if (eddsa && is("plain") && *out_len != 64 && *out_len != 114) {
        return CKR_ARGUMENTS_BAD;
    }
    if (name == NULL) {
        return behind->C_Sign(session, in, in_len, out, out_len);
    }
    return EVP_Q_digest(NULL, name, NULL, in, in_len, digest, &digest_len)
               ? behind->C_Sign(session, digest, (CK_ULONG)digest_len, out, out_len)
               : CKR_GENERAL_ERROR;
}

static CK_RV poor_DecryptInit(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    return has(mechanism->mechanism) ? behind->C_DecryptInit(session, mechanism, key) : CKR_MECHANISM_INVALID;
}

/* Public keys are not found where they are not shown: nothing has the class that is looked for instead. */
static CK_RV poor_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE *list, CK_ULONG count)
{
    CK_OBJECT_CLASS none = CKO_VENDOR_DEFINED;
    CK_ATTRIBUTE changed[MOST];

    memcpy(changed, list, (count < MOST ? count : MOST) * sizeof(*list));
    for (CK_ULONG i = 0; i < count && i < MOST && is("private"); i++) {
        if (list[i].type == CKA_CLASS && *(CK_OBJECT_CLASS *)list[i].pValue == CKO_PUBLIC_KEY) {
            changed[i].pValue = &none;
        }
    }
    return behind->C_FindObjectsInit(session, changed, count);
}

static void make_bare(CK_ATTRIBUTE *point)
{
    CK_BYTE *value = point->pValue;
    CK_ULONG header = point->ulValueLen > 2 && value[1] == 0x81 ? 3 : 2;

    memmove(value, value + header, point->ulValueLen - header);
    point->ulValueLen -= header;
}

static CK_RV poor_GetAttributeValue(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *list,
                                    CK_ULONG count)
{
    CK_RV rv = behind->C_GetAttributeValue(session, object, list, count);

    for (CK_ULONG i = 0; i < count && is("bare"); i++) {
        if (list[i].type == CKA_EC_POINT && list[i].pValue != NULL && list[i].ulValueLen != (CK_ULONG)-1 &&
            list[i].ulValueLen > 3) {
            make_bare(&list[i]);
        }
    }
    return rv;
}

static void front_make(void)
{
    void *module = dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW | RTLD_LOCAL);
    void *symbol = module == NULL ? NULL : dlsym(module, "C_GetFunctionList");
    const char *text = getenv("SIGNET_TEST_ONLY");
    CK_C_GetFunctionList get_list;

    words = getenv("SIGNET_TEST_POOR") != NULL ? getenv("SIGNET_TEST_POOR") : "";
    while (text != NULL && *text != '\0' && num_only < MOST) {
        char *end;

        only[num_only++] = strtoul(text, &end, 0);
        text = *end == ',' ? end + 1 : end;
    }
    if (symbol == NULL) {
        return;
    }
    memcpy(&get_list, &symbol, sizeof(get_list));
    if (get_list(&behind) != CKR_OK) {
        return;
    }
    front = *behind;
    front.C_GetMechanismList = poor_GetMechanismList;
    front.C_SignInit = poor_SignInit;
    front.C_Sign = poor_Sign;
    front.C_DecryptInit = poor_DecryptInit;
    front.C_FindObjectsInit = poor_FindObjectsInit;
    front.C_GetAttributeValue = poor_GetAttributeValue;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, front_make);
    *list = &front;
    return behind == NULL ? CKR_GENERAL_ERROR : CKR_OK;
}
