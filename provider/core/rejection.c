#include "provider/core/rejection.h"

#include <openssl/rand.h>
#include <stdatomic.h>

#include "base/secret.h"

const uint8_t *prov_rejection_secret(const struct prov_ctx *prov)
{
    static _Atomic(uint8_t *) shared;
    struct secret mine = { 0 };
    uint8_t *none = NULL;

    if (shared == NULL && secret_new(&mine, PROV_REJECTION_LEN) &&
        RAND_priv_bytes_ex(prov->child, mine.data, PROV_REJECTION_LEN, 0) == 1 &&
        atomic_compare_exchange_strong(&shared, &none, mine.data)) {
        return mine.data;
    }
    secret_end(&mine);
    return shared;
}
