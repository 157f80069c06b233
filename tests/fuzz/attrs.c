/* What a token shows of a key: attributes, points, numbers, certificates, and the OpenSSL key that is made of them. An
 * input is a row of records, each an attribute of one of three objects: the private key, the public key, and the
 * certificate. Values are what the record says; lengths, and what the call answers, need not be true. */
#include "fuzz.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include "pkcs11/object/attr.h"
#include "pkcs11/object/object.h"
#include "provider.h"
#include "provider/keys/prover.h"

#define MOST_RECORDS 24

enum how {
    HOW_TRUE,
    HOW_ABSENT,      /* CKR_ATTRIBUTE_TYPE_INVALID */
    HOW_SENSITIVE,   /* CKR_ATTRIBUTE_SENSITIVE */
    HOW_UNWRITTEN,   /* the length alone is given */
    HOW_TOO_LONG,    /* a length that is not that of the value, which may be above the room */
    HOW_MINUS_ONE,   /* and CKR_OK */
    HOW_OTHER_LATER, /* as long again as at first, once there is room */
    NUM_HOWS
};

struct record {
    CK_ATTRIBUTE_TYPE type;
    unsigned object;
    enum how how;
    const uint8_t *value;
    size_t len;
};

static const CK_ATTRIBUTE_TYPE types[] = {
    CKA_KEY_TYPE,  CKA_ID,       CKA_LABEL,           CKA_MODULUS, CKA_PUBLIC_EXPONENT,
    CKA_EC_PARAMS, CKA_EC_POINT, CKA_PUBLIC_KEY_INFO, CKA_VALUE,   CKA_PARAMETER_SET,
    CKA_SENSITIVE, CKA_LOCAL,    CKA_EXTRACTABLE,     CKA_CLASS,   CKA_ALLOWED_MECHANISMS,
};

static struct {
    struct record records[MOST_RECORDS];
    size_t count;
    unsigned searched; /* the object that the search in progress finds, once */
} token;

static void token_read(struct input input)
{
    token.count = 0;
    while (input.left >= 4 && token.count < MOST_RECORDS) {
        struct record *record = &token.records[token.count++];
        uint8_t which = input_byte(&input);

        record->object = 1 + (which >> 4) % 3;
        record->type = types[(which & 0xf) % COUNT_OF(types)];
        record->how = (enum how)(input_byte(&input) % NUM_HOWS);
        record->len = input_number(&input);
        record->len = record->len < input.left ? record->len : input.left;
        record->value = input.at;
        input.at += record->len;
        input.left -= record->len;
    }
}

static const struct record *record_of(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
    for (size_t i = 0; i < token.count; i++) {
        if (token.records[i].object == object && token.records[i].type == type) {
            return &token.records[i];
        }
    }
    return NULL;
}

static CK_RV give(CK_ATTRIBUTE *asked, const struct record *record)
{
    static const CK_RV missing[NUM_HOWS] = {
        [HOW_ABSENT] = CKR_ATTRIBUTE_TYPE_INVALID, [HOW_SENSITIVE] = CKR_ATTRIBUTE_SENSITIVE
    };
    CK_ULONG room = asked->pValue != NULL ? asked->ulValueLen : 0;

    if (record == NULL || missing[record->how] != CKR_OK) {
        asked->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return record == NULL ? CKR_ATTRIBUTE_TYPE_INVALID : missing[record->how];
    }
    asked->ulValueLen = record->how == HOW_MINUS_ONE                              ? (CK_ULONG)-1
                        : record->how == HOW_TOO_LONG                             ? record->len * 2
                        : record->how == HOW_OTHER_LATER && asked->pValue != NULL ? room + 1 + record->len
                                                                                  : record->len;
    if (record->how != HOW_TRUE || asked->pValue == NULL) {
        return CKR_OK;
    }
    if (record->len > room) {
        asked->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_BUFFER_TOO_SMALL;
    }
    if (record->len > 0) {
        memcpy(asked->pValue, record->value, record->len);
    }
    return CKR_OK;
}

static CK_RV get_attributes(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *list, CK_ULONG count)
{
    CK_RV rv = CKR_OK;

    (void)session;
    for (CK_ULONG i = 0; i < count; i++) {
        CK_RV one = give(&list[i], record_of(object, list[i].type));

        rv = one != CKR_OK ? one : rv;
    }
    return rv;
}

static CK_RV find_begin(CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG count)
{
    CK_OBJECT_CLASS class = CKO_DATA;

    (void)session;
    HOLDS(count > 0 && template[0].type == CKA_CLASS && template[0].ulValueLen == sizeof(class));
    memcpy(&class, template[0].pValue, sizeof(class));
    token.searched = class == CKO_PUBLIC_KEY ? 2 : class == CKO_CERTIFICATE ? 3 : 1;
    return CKR_OK;
}

static CK_RV find(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *out, CK_ULONG room, CK_ULONG *count)
{
    (void)session;
    *count = token.searched != 0 && room > 0;
    out[0] = token.searched;
    token.searched = 0;
    return CKR_OK;
}

static CK_RV find_end(CK_SESSION_HANDLE session)
{
    (void)session;
    return CKR_OK;
}

static CK_FUNCTION_LIST functions = {
    .version = { 2, 40 },
    .C_GetAttributeValue = get_attributes,
    .C_FindObjectsInit = find_begin,
    .C_FindObjects = find,
    .C_FindObjectsFinal = find_end,
};

/* Whether bytes are what the token truly shows; what has room enough at once can't be lost, but a value of zeros is
 * taken for one that the token has not written. */
static bool is_value(const struct bytes *bytes, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
    const struct record *record = record_of(object, type);
    bool blank = bytes->len == 0;

    for (size_t i = 0; record != NULL && i < record->len; i++) {
        blank = blank && record->value[i] == 0;
    }
    return record == NULL || record->how != HOW_TRUE || record->len > 256 || blank ||
           bytes_is(bytes, record->value, record->len);
}

/* The key that is made of parts is the one that the parts describe. */
static void made_of(const struct tok_public *half)
{
    SCOPED(prov_key_end) struct prov_key *key = prov_key_public(provider_started(), half);
    SCOPED(tok_public_end) struct tok_public described = { .type = 0 };

    ERR_clear_error();
    HOLDS(key == NULL || (tok_public_known(half) && prov_key_serves(provider_started(), half)));
    if (key != NULL && half->spki.len == 0 && half->certificate.len == 0) {
        described.type = key->variant->key_type;
        HOLDS(key->variant->family->describe(&described, key->software));
        HOLDS(tok_public_compare(half, &described) != TOK_DIFFERENT);
    }
    ERR_clear_error();
}

static void half_read(const struct tok_public *half)
{
    HOLDS(tok_public_compare(half, half) != TOK_DIFFERENT);
    made_of(half);
}

static void private_key(struct tok_lease *lease)
{
    SCOPED(tok_private_end) struct tok_private key = { .handle = 0 };
    SCOPED(tok_halves_end) struct tok_halves halves = { .rows = NULL };
    SCOPED(prov_prover_end) struct prov_prover prover = { .digest = NULL };
    struct tok_result why;
    struct tok_result result = tok_private_read(&key, lease, 1);

    if (!tok_ok(&result)) {
        return;
    }
    HOLDS(is_value(&key.id, 1, CKA_ID) && is_value(&key.label, 1, CKA_LABEL));
    HOLDS(is_value(&key.half.modulus, 1, CKA_MODULUS));
    HOLDS(is_value(&key.half.params, 1, CKA_EC_PARAMS));
    prov_prover_begin(&prover, provider_started());
    result = tok_half_resolve(&key, &why, lease, &halves, &(struct tok_evidence){ .prover = &prover.prover });
    half_read(&key.half);
}

static void public_key(struct tok_lease *lease)
{
    SCOPED(tok_public_end) struct tok_public half = { .type = 0 };
    SCOPED(bytes_end) struct bytes id = { 0 };
    SCOPED(bytes_end) struct bytes label = { 0 };
    struct tok_result result = tok_public_read(&half, &id, &label, lease, 2);

    if (tok_ok(&result)) {
        HOLDS(is_value(&id, 2, CKA_ID) && is_value(&label, 2, CKA_LABEL));
        half_read(&half);
    }
}

static void provider_start(void)
{
    static const char conf[] = "openssl_conf = i\n[i]\nproviders = p\n[p]\ndefault = d\nsignet = s\n"
                               "[d]\nactivate = 1\n[s]\nactivate = 1\npkcs11-module = /nowhere/module.so\n";
    static OSSL_LIB_CTX *libctx;

    if (libctx == NULL) {
        libctx = provider_context(NULL);
        HOLDS(provider_configure(libctx, conf, strlen(conf)) && provider_started() != NULL);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tok_token owner; /* of whom a key agreement asks how it takes points */
    struct tok_lease lease = { .token = &owner, .functions = &functions, .deadline_us = UINT64_MAX };

    provider_start();
    token_read((struct input){ data, size });
    private_key(&lease);
    public_key(&lease);
    return 0;
}
