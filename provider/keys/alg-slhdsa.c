/* SLH-DSA on a token: the token is given the whole message. PKCS#11 v3.2 §6.68, FIPS 205. No TLS: it has no scheme. */
#include "provider/keys/alg-bytes.h"

static const OSSL_PARAM slhdsa_key_params[] = { PROV_BYTES_KEY_PARAMS, OSSL_PARAM_END };

static const OSSL_PARAM slhdsa_readable[] = {
    PROV_BYTES_READABLE,
    OSSL_PARAM_int("security-category", NULL),
    OSSL_PARAM_END,
};

/* Without parameters the token hedges as it prefers and there is no context, which is what X.509 and CMS want. */
static const struct prov_family slhdsa = {
    .signature = "SIGNET-SLH-DSA",
    .key_params = slhdsa_key_params,
    .readable = slhdsa_readable,
    .writable = prov_bytes_no_params,
    .generation = prov_bytes_seeded,
    .mechanism = CKM_SLH_DSA,
    .param_rules = prov_bytes_rules,
    .prepare = prov_bytes_prepare_more,
    PROV_BYTES_FAMILY,
};

/* CKP_SLH_DSA_… are numbers of PKCS#11 v3.2 that older headers lack; the length of a public key tells no set, since
 * four share it. */
#define ROW(id, name, lower, arc, bytes, number)                                                                       \
    PROV_BYTES_ROW(slh_dsa_##id, "SLH-DSA-" name, "id-slh-dsa-" lower ":2.16.840.1.101.3.4.3." arc, CKK_SLH_DSA,       \
                   slhdsa, bytes, .set = (number), PROV_SINCE_3_5)

ROW(sha2_128s, "SHA2-128s", "sha2-128s", "20", 32, 1)
ROW(sha2_128f, "SHA2-128f", "sha2-128f", "21", 32, 3)
ROW(sha2_192s, "SHA2-192s", "sha2-192s", "22", 48, 5)
ROW(sha2_192f, "SHA2-192f", "sha2-192f", "23", 48, 7)
ROW(sha2_256s, "SHA2-256s", "sha2-256s", "24", 64, 9)
ROW(sha2_256f, "SHA2-256f", "sha2-256f", "25", 64, 11)
ROW(shake_128s, "SHAKE-128s", "shake-128s", "26", 32, 2)
ROW(shake_128f, "SHAKE-128f", "shake-128f", "27", 32, 4)
ROW(shake_192s, "SHAKE-192s", "shake-192s", "28", 48, 6)
ROW(shake_192f, "SHAKE-192f", "shake-192f", "29", 48, 8)
ROW(shake_256s, "SHAKE-256s", "shake-256s", "30", 64, 10)
ROW(shake_256f, "SHAKE-256f", "shake-256f", "31", 64, 12)
