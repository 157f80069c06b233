/* Asks a token for the secret parts of a private key, logged in as its user, and tells what it answered. Exit status 0
 * if it gave none of them.    ask-secret MODULE TOKEN PIN LABEL */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <string.h>

static const struct {
    CK_ATTRIBUTE_TYPE type;
    const char *name;
} secrets[] = {
    { CKA_VALUE, "CKA_VALUE" },
    { CKA_PRIVATE_EXPONENT, "CKA_PRIVATE_EXPONENT" },
    { CKA_PRIME_1, "CKA_PRIME_1" },
    { CKA_PRIME_2, "CKA_PRIME_2" },
};

static int die(const char *what, CK_RV rv)
{
    fprintf(stderr, "ask-secret: %s: 0x%lx\n", what, rv);
    return 2;
}

static CK_RV slot_of(CK_FUNCTION_LIST *p11, const char *label, CK_SLOT_ID *out_slot)
{
    CK_SLOT_ID slots[32];
    CK_ULONG count = 32;
    CK_RV rv = p11->C_GetSlotList(CK_TRUE, slots, &count);

    for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++) {
        CK_TOKEN_INFO info;

        if (p11->C_GetTokenInfo(slots[i], &info) == CKR_OK && memcmp(info.label, label, strlen(label)) == 0 &&
            info.label[strlen(label)] == ' ') {
            *out_slot = slots[i];
            return CKR_OK;
        }
    }
    return rv == CKR_OK ? CKR_TOKEN_NOT_PRESENT : rv;
}

static const char *answer_name(CK_RV rv)
{
    switch (rv) {
    case CKR_ATTRIBUTE_SENSITIVE:
        return "CKR_ATTRIBUTE_SENSITIVE";
    case CKR_ATTRIBUTE_TYPE_INVALID:
        return "CKR_ATTRIBUTE_TYPE_INVALID, such keys have none";
    default:
        return "refused";
    }
}

/* How many secrets it gave. */
static int ask(CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    int given = 0;

    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        unsigned char value[4096];
        CK_ATTRIBUTE attribute = { secrets[i].type, value, sizeof(value) };
        CK_RV rv = p11->C_GetAttributeValue(session, key, &attribute, 1);
        int got = rv == CKR_OK && attribute.ulValueLen != (CK_ULONG)-1 && attribute.ulValueLen > 0;

        printf("%s: %s\n", secrets[i].name, got ? "GIVEN" : answer_name(rv));
        given += got;
    }
    return given;
}

int main(int argc, char **argv)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof(class) }, { CKA_LABEL, NULL, 0 } };
    CK_C_GetFunctionList get_list;
    CK_FUNCTION_LIST *p11;
    CK_SLOT_ID slot = 0;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
    CK_ULONG found = 0;
    void *module = argc == 5 ? dlopen(argv[1], RTLD_NOW) : NULL;
    void *symbol = module == NULL ? NULL : dlsym(module, "C_GetFunctionList");
    CK_RV rv;

    if (symbol == NULL) {
        fprintf(stderr, "usage: ask-secret MODULE TOKEN PIN LABEL\n");
        return 2;
    }
    memcpy(&get_list, &symbol, sizeof(get_list));
    if ((rv = get_list(&p11)) != CKR_OK || (rv = p11->C_Initialize(NULL)) != CKR_OK ||
        (rv = slot_of(p11, argv[2], &slot)) != CKR_OK ||
        (rv = p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session)) != CKR_OK ||
        (rv = p11->C_Login(session, CKU_USER, (CK_UTF8CHAR *)argv[3], strlen(argv[3]))) != CKR_OK) {
        return die("no login", rv);
    }
    template[1].pValue = argv[4];
    template[1].ulValueLen = strlen(argv[4]);
    if ((rv = p11->C_FindObjectsInit(session, template, 2)) != CKR_OK ||
        (rv = p11->C_FindObjects(session, &key, 1, &found)) != CKR_OK || found != 1) {
        return die("no such private key", rv);
    }
    p11->C_FindObjectsFinal(session);
    return ask(p11, session, key) == 0 ? 0 : 1;
}
