#include "provider/keys/pad.h"

#include <openssl/evp.h>
#include <string.h>

#include "provider/core/ends.h"

bool prov_pad_pkcs1(uint8_t *block, size_t block_len, const uint8_t *info, size_t info_len)
{
    if (block_len < info_len + 11) {
        return false;
    }
    memset(block, 0xff, block_len);
    block[0] = 0;
    block[1] = 1;
    block[block_len - info_len - 1] = 0;
    memcpy(block + block_len - info_len, info, info_len);
    return true;
}

/* Masks `data` with what MGF1 makes of a seed (§B.2.1). */
static bool mgf1_mask(uint8_t *data, size_t len, const EVP_MD *digest, const uint8_t *seed, size_t seed_len)
{
    SCOPED(md_ctx_end) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t step = (size_t)EVP_MD_get_size(digest);
    uint8_t mask[EVP_MAX_MD_SIZE];

    for (size_t done = 0; done < len; done += step) {
        size_t round = done / step;
        uint8_t counter[4] = { 0, 0, (uint8_t)(round >> 8), (uint8_t)round };

        if (ctx == NULL || !EVP_DigestInit_ex2(ctx, digest, NULL) || !EVP_DigestUpdate(ctx, seed, seed_len) ||
            !EVP_DigestUpdate(ctx, counter, sizeof(counter)) || !EVP_DigestFinal_ex(ctx, mask, NULL)) {
            return false;
        }
        for (size_t i = 0; i < step && done + i < len; i++) {
            data[done + i] ^= mask[i];
        }
    }
    return true;
}

/* H of §9.1.1: eight zeros, the digest and the salt, hashed. */
static bool salted_digest(uint8_t *out, const struct prov_pad_pss *with, const uint8_t *digest, size_t digest_len)
{
    static const uint8_t zeros[8];
    SCOPED(md_ctx_end) EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    return ctx != NULL && EVP_DigestInit_ex2(ctx, with->digest, NULL) && EVP_DigestUpdate(ctx, zeros, sizeof(zeros)) &&
           EVP_DigestUpdate(ctx, digest, digest_len) && EVP_DigestUpdate(ctx, with->salt, with->salt_len) &&
           EVP_DigestFinal_ex(ctx, out, NULL);
}

bool prov_pad_pss(uint8_t *block, size_t block_len, const struct prov_pad_pss *with, const uint8_t *digest,
                  size_t digest_len)
{
    size_t bits = with->key_bits - 1; /* of the number that the block is */
    size_t em_len = (bits + 7) / 8;
    uint8_t *em = block + block_len - em_len;
    size_t db_len;

    if (with->key_bits == 0 || block_len < em_len || em_len < digest_len + with->salt_len + 2) {
        return false;
    }
    db_len = em_len - digest_len - 1;
    memset(block, 0, block_len);
    em[db_len - with->salt_len - 1] = 1;
    memcpy(em + db_len - with->salt_len, with->salt, with->salt_len);
    em[em_len - 1] = 0xbc;
    if (!salted_digest(em + db_len, with, digest, digest_len) ||
        !mgf1_mask(em, db_len, with->mgf1, em + db_len, digest_len)) {
        return false;
    }
    em[0] &= (uint8_t)(0xff >> (8 * em_len - bits));
    return true;
}
