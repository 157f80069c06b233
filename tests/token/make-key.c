/* Makes key pairs that pkcs11-tool can't: of any curve, and with CKA_ALLOWED_MECHANISMS. Tests only.
 *
 *     make-key MODULE TOKEN PIN LABEL ID TYPE [MECHANISM...]
 *
 * ID is in hexadecimal digits, and so is a LABEL with `hex:` before it. TYPE is one of those below, or a curve's DER (CKA_EC_PARAMS) in hexadecimal
 * digits, with `ed:` or `x:` before it for Edwards and Montgomery curves, `xed:` for Montgomery curves on a token that
 * has them as Edwards ones, and `dh:` for keys that sign and derive. Each MECHANISM, a number, is one that the private
 * key allows. */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 32

static CK_FUNCTION_LIST *functions;

static void check(CK_RV rv, const char *what)
{
    if (rv != CKR_OK) {
        fprintf(stderr, "make-key: %s: 0x%lx\n", what, rv);
        exit(1);
    }
}

static void module_open(const char *path)
{
    CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK };
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get_list;
    void *symbol = module == NULL ? NULL : dlsym(module, "C_GetFunctionList");

    if (symbol == NULL) {
        fprintf(stderr, "make-key: %s is no module\n", path);
        exit(1);
    }
    memcpy(&get_list, &symbol, sizeof(get_list));
    check(get_list(&functions), "C_GetFunctionList");
    args.pReserved = getenv("SIGNET_TEST_INIT_ARGS");
    check(functions->C_Initialize(&args), "C_Initialize");
}

static CK_SESSION_HANDLE session_on(const char *label, const char *pin)
{
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    CK_SESSION_HANDLE session;
    CK_TOKEN_INFO info;

    check(functions->C_GetSlotList(CK_TRUE, slots, &count), "C_GetSlotList");
    for (CK_ULONG i = 0; i < count; i++) {
        if (functions->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            strncmp((const char *)info.label, label, strlen(label)) == 0) {
            check(functions->C_OpenSession(slots[i], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session),
                  "C_OpenSession");
            check(functions->C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, (CK_ULONG)strlen(pin)), "C_Login");
            return session;
        }
    }
    fprintf(stderr, "make-key: no token '%s'\n", label);
    exit(1);
}

#define LONGEST 1024

static CK_ULONG from_hex(CK_BYTE *out, const char *text)
{
    CK_ULONG len = 0;
    unsigned byte;

    for (; text[0] != '\0' && sscanf(text, "%2x", &byte) == 1 && len < LONGEST; text += 2) {
        out[len++] = (CK_BYTE)byte;
    }
    return len;
}

#define ML_DSA_KEY_PAIR_GEN 0x1cUL
#define SLH_DSA_KEY_PAIR_GEN 0x2dUL
#define EDWARDS_KEY_PAIR_GEN 0x1055UL
#define MONTGOMERY_KEY_PAIR_GEN 0x1056UL

static const struct kind {
    const char *prefix;
    CK_MECHANISM_TYPE makes;
    CK_ULONG set; /* CKA_PARAMETER_SET; 0: none */
    bool exchange_only;
    bool derives;
} kinds[] = {
    { "rsa", CKM_RSA_PKCS_KEY_PAIR_GEN, 0, false, false },
    { "mldsa:44", ML_DSA_KEY_PAIR_GEN, 1, false, false },
    { "mldsa:65", ML_DSA_KEY_PAIR_GEN, 2, false, false },
    { "mldsa:87", ML_DSA_KEY_PAIR_GEN, 3, false, false },
    { "slhdsa:sha2-128s", SLH_DSA_KEY_PAIR_GEN, 1, false, false },
    { "slhdsa:sha2-128f", SLH_DSA_KEY_PAIR_GEN, 3, false, false },
    { "slhdsa:shake-256f", SLH_DSA_KEY_PAIR_GEN, 12, false, false },
    { "ed:", EDWARDS_KEY_PAIR_GEN, 0, false, false },
    { "x:", MONTGOMERY_KEY_PAIR_GEN, 0, true, true },
    { "xed:", EDWARDS_KEY_PAIR_GEN, 0, true, true },
    { "dh:", CKM_EC_KEY_PAIR_GEN, 0, false, true },
    { "", CKM_EC_KEY_PAIR_GEN, 0, false, false },
};

static const struct kind *kind_of(const char *type)
{
    const struct kind *kind = kinds;

    while (strncmp(type, kind->prefix, strlen(kind->prefix)) != 0) {
        kind++;
    }
    return kind;
}

/* Fills what says the type. */
static void type_put(CK_ATTRIBUTE *template, CK_ULONG *count, const struct kind *kind, const char *type)
{
    static CK_BYTE curve[LONGEST];
    static CK_ULONG bits = 2048;
    static CK_BYTE exponent[] = { 1, 0, 1 }; /* NSS and others have no value of their own */
    static CK_ULONG set;

    if (kind->makes == CKM_RSA_PKCS_KEY_PAIR_GEN) {
        template[(*count)++] = (CK_ATTRIBUTE){ CKA_MODULUS_BITS, &bits, sizeof(bits) };
        template[(*count)++] = (CK_ATTRIBUTE){ CKA_PUBLIC_EXPONENT, exponent, sizeof(exponent) };
    } else if (kind->set != 0) {
        set = kind->set;
        template[(*count)++] = (CK_ATTRIBUTE){ 0x61dUL, &set, sizeof(set) }; /* CKA_PARAMETER_SET */
    } else {
        template[(*count)++] = (CK_ATTRIBUTE){ CKA_EC_PARAMS, curve, from_hex(curve, type + strlen(kind->prefix)) };
    }
}

int main(int argc, char **argv)
{
    CK_ATTRIBUTE public_half[8];
    CK_ATTRIBUTE private_half[10];
    const struct kind *kind;
    CK_ULONG num_public = 0;
    CK_ULONG num_private = 0;
    CK_MECHANISM_TYPE allowed[MOST];
    CK_ULONG num_allowed = 0;
    CK_BBOOL yes = CK_TRUE;
    CK_BBOOL no = CK_FALSE;
    static CK_BYTE id[LONGEST];
    static CK_BYTE odd_label[LONGEST];
    CK_ULONG id_len;
    CK_MECHANISM mechanism = { 0, NULL, 0 };
    CK_OBJECT_HANDLE made[2];
    CK_SESSION_HANDLE session;

    if (argc < 7 || argc > 7 + MOST) {
        fprintf(stderr, "usage: make-key MODULE TOKEN PIN LABEL|hex:LABEL ID TYPE [MECHANISM...]\n");
        return 2;
    }
    id_len = from_hex(id, argv[5]);
    kind = kind_of(argv[6]);
    module_open(argv[1]);
    session = session_on(argv[2], argv[3]);
    for (int i = 7; i < argc; i++) {
        allowed[num_allowed++] = strtoul(argv[i], NULL, 0);
    }
    if (strncmp(argv[4], "hex:", 4) == 0) {
        public_half[num_public++] = (CK_ATTRIBUTE){ CKA_LABEL, odd_label, from_hex(odd_label, argv[4] + 4) };
    } else {
        public_half[num_public++] = (CK_ATTRIBUTE){ CKA_LABEL, argv[4], (CK_ULONG)strlen(argv[4]) };
    }
    public_half[num_public++] = (CK_ATTRIBUTE){ CKA_ID, id, id_len };
    public_half[num_public++] = (CK_ATTRIBUTE){ CKA_TOKEN, &yes, 1 };
    public_half[num_public++] = (CK_ATTRIBUTE){ CKA_PRIVATE, &no, 1 };
    memcpy(private_half, public_half, sizeof(*private_half) * 3);
    num_private = 3;
    private_half[num_private++] = (CK_ATTRIBUTE){ CKA_PRIVATE, &yes, 1 };
    private_half[num_private++] = (CK_ATTRIBUTE){ CKA_SENSITIVE, &yes, 1 };
    private_half[num_private++] = (CK_ATTRIBUTE){ CKA_EXTRACTABLE, &no, 1 };
    if (!kind->exchange_only) {
        private_half[num_private++] = (CK_ATTRIBUTE){ CKA_SIGN, &yes, 1 };
    }
    if (kind->derives) {
        private_half[num_private++] = (CK_ATTRIBUTE){ CKA_DERIVE, &yes, 1 };
    }
    if (num_allowed > 0) {
        private_half[num_private++] =
            (CK_ATTRIBUTE){ CKA_ALLOWED_MECHANISMS, allowed, num_allowed * (CK_ULONG)sizeof(*allowed) };
    }
    type_put(public_half, &num_public, kind, argv[6]);
    mechanism.mechanism = kind->makes;
    check(functions->C_GenerateKeyPair(session, &mechanism, public_half, num_public, private_half, num_private,
                                       &made[1], &made[0]),
          "C_GenerateKeyPair");
    functions->C_Finalize(NULL);
    return 0;
}
