/* A token with many keys, without any provider.
 *     many make MODULE PIN FROM TO      key pairs LABEL = many-N with the id N, for each N from FROM to below TO
 *     many search MODULE PIN LABEL      the seconds of processor time that a process takes to start the module, log in
 *                                       and find such a private key
 *     many load URI                     the same by OpenSSL, as it is configured
 * The token is the only one of the module. */
#include <dlfcn.h>
#include <openssl/evp.h>
#include <openssl/store.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "app.h"

static CK_FUNCTION_LIST *p11;
static CK_SESSION_HANDLE session;

static int die(const char *what)
{
    fprintf(stderr, "many: %s\n", what);
    return 1;
}

static int begin(const char *module, const char *pin, CK_FLAGS flags)
{
    void *library = dlopen(module, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library == NULL ? NULL : dlsym(library, "C_GetFunctionList");
    CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK };
    CK_C_GetFunctionList get;
    CK_SLOT_ID slots[8];
    CK_ULONG num = 8;
    CK_TOKEN_INFO info;

    memcpy(&get, &symbol, sizeof(get));
    return symbol != NULL && get(&p11) == CKR_OK && p11->C_Initialize(&args) == CKR_OK &&
           p11->C_GetSlotList(CK_TRUE, slots, &num) == CKR_OK && num > 0 &&
           p11->C_GetTokenInfo(slots[0], &info) == CKR_OK &&
           p11->C_OpenSession(slots[0], CKF_SERIAL_SESSION | flags, NULL, NULL, &session) == CKR_OK &&
           p11->C_Login(session, CKU_USER, (CK_BYTE *)pin, strlen(pin)) == CKR_OK;
}

static int make_pair(unsigned number)
{
    static CK_BYTE p256[] = { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 };
    CK_MECHANISM mech = { CKM_EC_KEY_PAIR_GEN, NULL, 0 };
    CK_BBOOL yes = CK_TRUE;
    CK_BYTE id[] = { (CK_BYTE)(number >> 8), (CK_BYTE)number };
    char label[32];
    CK_ATTRIBUTE public[] = { { CKA_TOKEN, &yes, sizeof(yes) },
                              { CKA_EC_PARAMS, p256, sizeof(p256) },
                              { CKA_ID, id, sizeof(id) },
                              { CKA_LABEL, label, 0 } };
    CK_ATTRIBUTE private[] = { { CKA_TOKEN, &yes, sizeof(yes) },     { CKA_PRIVATE, &yes, sizeof(yes) },
                               { CKA_SENSITIVE, &yes, sizeof(yes) }, { CKA_SIGN, &yes, sizeof(yes) },
                               { CKA_ID, id, sizeof(id) },           { CKA_LABEL, label, 0 } };
    CK_OBJECT_HANDLE handles[2];

    public[3].ulValueLen = private[5].ulValueLen = (CK_ULONG)snprintf(label, sizeof(label), "many-%u", number);
    return p11->C_GenerateKeyPair(session, &mech, public, 4, private, 6, &handles[0], &handles[1]) == CKR_OK;
}

static int make(char **argv)
{
    if (!begin(argv[0], argv[1], CKF_RW_SESSION)) {
        return die("no session");
    }
    for (unsigned i = (unsigned)atoi(argv[2]); i < (unsigned)atoi(argv[3]); i++) {
        if (!make_pair(i)) {
            return die("a key can't be made");
        }
    }
    return 0;
}

/* What this process took of the processor, which other load of the machine does not change. */
static double processor_seconds(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static int search(char **argv)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE match[] = { { CKA_CLASS, &class, sizeof(class) }, { CKA_LABEL, argv[2], strlen(argv[2]) } };
    CK_OBJECT_HANDLE found[2];
    CK_ULONG num = 0;

    if (!begin(argv[0], argv[1], 0) || p11->C_FindObjectsInit(session, match, 2) != CKR_OK ||
        p11->C_FindObjects(session, found, 2, &num) != CKR_OK || num != 1) {
        return die("it is not found");
    }
    printf("%.6f\n", processor_seconds());
    return 0;
}

static int load(const char *uri)
{
    EVP_PKEY *key = app_load(uri);

    if (key == NULL) {
        return die("it can't be loaded");
    }
    printf("%.6f\n", processor_seconds());
    EVP_PKEY_free(key);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "make") == 0) {
        return make(argv + 2);
    }
    if (argc == 5 && strcmp(argv[1], "search") == 0) {
        return search(argv + 2);
    }
    if (argc == 3 && strcmp(argv[1], "load") == 0) {
        return load(argv[2]);
    }
    return die("usage: make MODULE PIN FROM TO, search MODULE PIN LABEL, or load URI");
}
