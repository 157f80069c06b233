/* Lists of mechanisms, which are whatever bytes a token gives. */
#include "fuzz.h"

#include "pkcs11/object/mech.h"

static bool is_pss(CK_MECHANISM_TYPE type)
{
    return type == CKM_RSA_PKCS_PSS || strstr(tok_mech_name(type), "_PKCS_PSS") != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    SCOPED(bytes_end) struct bytes list = { 0 };
    CK_MECHANISM_TYPE types[64];
    size_t count = size % sizeof(types[0]) == 0 ? size / sizeof(types[0]) : 0;
    size_t pss = 0;

    if (size > sizeof(types) || !bytes_set(&list, data, size)) {
        return 0;
    }
    memcpy(types, data, size);
    HOLDS(tok_mech_count(&list) == count);
    for (size_t i = 0; i < count; i++) {
        bool elsewhere = false;

        for (size_t j = 0; j < count; j++) {
            elsewhere = elsewhere || types[j] == types[i] + 1;
        }
        HOLDS(tok_mech_among(&list, types[i]));
        HOLDS(tok_mech_among(&list, types[i] + 1) == elsewhere);
        HOLDS(strncmp(tok_mech_name(types[i]), "CKM_", 4) == 0 || strcmp(tok_mech_name(types[i]), "a mechanism") == 0);
        pss += is_pss(types[i]);
    }
    HOLDS(tok_mech_pss_only(&list) == (count > 0 && pss == count));
    return 0;
}
