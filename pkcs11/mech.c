#include "pkcs11/mech.h"

#include <string.h>

#include "base/scoped.h"

size_t tok_mech_count(const struct bytes *list)
{
    return list->len % sizeof(CK_MECHANISM_TYPE) == 0 ? list->len / sizeof(CK_MECHANISM_TYPE) : 0;
}

/* The bytes need not be aligned for it. */
static CK_MECHANISM_TYPE mech_at(const struct bytes *list, size_t i)
{
    CK_MECHANISM_TYPE type;

    memcpy(&type, list->data + i * sizeof(type), sizeof(type));
    return type;
}

bool tok_mech_among(const struct bytes *list, CK_MECHANISM_TYPE type)
{
    for (size_t i = 0; i < tok_mech_count(list); i++) {
        if (mech_at(list, i) == type) {
            return true;
        }
    }
    return false;
}

static bool is_pss(CK_MECHANISM_TYPE type)
{
    static const CK_MECHANISM_TYPE all[] = {
        CKM_RSA_PKCS_PSS,        CKM_SHA1_RSA_PKCS_PSS,   CKM_SHA224_RSA_PKCS_PSS,
        CKM_SHA256_RSA_PKCS_PSS, CKM_SHA384_RSA_PKCS_PSS, CKM_SHA512_RSA_PKCS_PSS,
    };

    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (all[i] == type) {
            return true;
        }
    }
    return false;
}

bool tok_mech_pss_only(const struct bytes *list)
{
    size_t count = tok_mech_count(list);

    for (size_t i = 0; i < count; i++) {
        if (!is_pss(mech_at(list, i))) {
            return false;
        }
    }
    return count > 0;
}
