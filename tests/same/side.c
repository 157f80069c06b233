#include "side.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <string.h>

const char *const op_names[NUM_OPS] = {
    "sign", "digest-sign", "stream-sign", "verify", "digest-verify", "recover", "decrypt", "encrypt", "derive",
};

static const unsigned char message[512] = "\0a message";
static const size_t ready_lens[] = { 32, 20, 48, 64, 128 };

#define MOST_GETTERS 64
static OSSL_PARAM getters[MOST_GETTERS];
static unsigned num_getters;

void side_getters(struct side *sides[2], enum op op)
{
    struct plan plan = { .op = op };

    for (unsigned i = num_getters = 0; i < 2; i++) {
        const OSSL_PARAM *list;

        side_end(sides[i]);
        list = side_start(sides[i], &plan) ? EVP_PKEY_CTX_gettable_params(sides[i]->ctx) : NULL;
        for (; list != NULL && list->key != NULL && num_getters < MOST_GETTERS - 1; list++) {
            if (num_getters == 0 || OSSL_PARAM_locate_const(getters, list->key) == NULL) {
                getters[num_getters++] = *list;
                getters[num_getters] = (OSSL_PARAM)OSSL_PARAM_END;
            }
        }
        side_end(sides[i]);
    }
}

size_t side_ready(unsigned which)
{
    return which < sizeof(ready_lens) / sizeof(*ready_lens) ? ready_lens[which] : 0;
}

int side_hashes(enum op op)
{
    return op == DIGEST_SIGN || op == STREAM_SIGN || op == DIGEST_VERIFY;
}

static unsigned long hashed(const unsigned char *data, size_t len)
{
    unsigned long hash = 5381;

    for (size_t i = 0; data != NULL && i < len; i++) {
        hash = hash * 33 + data[i];
    }
    return hash;
}

int side_answer(struct side *side, const char *what, int ret, const void *data, size_t len)
{
    if (side->num_answers < MOST_ANSWERS) {
        side->answers[side->num_answers++] = (struct answer){
            .what = what,
            .ret = ret,
            .raised = ERR_peek_error() != 0,
            .len = ret > 0 ? len : 0,
            .hash = ret > 0 ? hashed(data, len) : 0,
        };
    }
    ERR_clear_error();
    return ret;
}

void side_end(struct side *side)
{
    if (side->md == NULL) {
        EVP_PKEY_CTX_free(side->ctx);
    }
    EVP_MD_CTX_free(side->md);
    EVP_MD_CTX_free(side->original);
    EVP_PKEY_CTX_free(side->original_ctx);
    side->original_ctx = NULL;
    side->md = side->original = NULL;
    side->ctx = NULL;
    side->num_answers = side->num_outs = 0;
    ERR_clear_error();
}

static int begin_plain(struct side *side, enum op op, const OSSL_PARAM *params)
{
    side->ctx = EVP_PKEY_CTX_new_from_pkey(NULL, side->key, NULL);
    switch (op) {
    case SIGN:
        return EVP_PKEY_sign_init_ex(side->ctx, params);
    case VERIFY:
        return EVP_PKEY_verify_init_ex(side->ctx, params);
    case RECOVER:
        return EVP_PKEY_verify_recover_init_ex(side->ctx, params);
    case DECRYPT:
        return EVP_PKEY_decrypt_init_ex(side->ctx, params);
    case ENCRYPT:
        return EVP_PKEY_encrypt_init_ex(side->ctx, params);
    default:
        return EVP_PKEY_derive_init_ex(side->ctx, params);
    }
}

static int begin(struct side *side, const struct plan *plan, const OSSL_PARAM *params)
{
    if (!side_hashes(plan->op)) {
        return begin_plain(side, plan->op, params);
    }
    side->md = EVP_MD_CTX_new();
    return plan->op == DIGEST_VERIFY
               ? EVP_DigestVerifyInit_ex(side->md, &side->ctx, plan->digest, NULL, NULL, side->key, params)
               : EVP_DigestSignInit_ex(side->md, &side->ctx, plan->digest, NULL, NULL, side->key, params);
}

/* Without a key: that of before, with what was set. */
static int begin_again(struct side *side, enum op op)
{
    return op == DIGEST_VERIFY ? EVP_DigestVerifyInit_ex(side->md, &side->ctx, NULL, NULL, NULL, NULL, NULL)
                               : EVP_DigestSignInit_ex(side->md, &side->ctx, NULL, NULL, NULL, NULL, NULL);
}

int side_start(struct side *side, const struct plan *plan)
{
    return begin(side, plan, NULL) > 0;
}

static void set(struct side *side, const char *what, const char *name, const struct value *value, enum how how)
{
    OSSL_PARAM params[2] = { OSSL_PARAM_END, OSSL_PARAM_END };
    long long room;

    ERR_clear_error();
    if (how == TEXT) {
        side_answer(side, what, EVP_PKEY_CTX_ctrl_str(side->ctx, name, value->text), NULL, 0);
        return;
    }
    (void)value_param(&params[0], name, value, &room);
    side_answer(side, what, EVP_PKEY_CTX_set_params(side->ctx, params), NULL, 0);
}

static int copied(struct side *side)
{
    EVP_MD_CTX *md;
    EVP_PKEY_CTX *ctx;

    if (side->md != NULL) {
        md = EVP_MD_CTX_new();
        if (EVP_MD_CTX_copy_ex(md, side->md) <= 0) {
            EVP_MD_CTX_free(md);
            return 0;
        }
        side->original = side->md; /* OpenSSL 3.0's copies of EdDSA point into it */
        side->md = md;
        side->ctx = EVP_MD_CTX_get_pkey_ctx(md);
        return 1;
    }
    ctx = EVP_PKEY_CTX_dup(side->ctx);
    if (ctx == NULL) {
        return 0;
    }
    side->original_ctx = side->ctx; /* and its copies of ECDSA, to the algorithm's name */
    side->ctx = ctx;
    return 1;
}

/* What one getter gives, as the type that its list says, and as another one. */
static void get(struct side *side, const OSSL_PARAM *described)
{
    unsigned char data[1024] = { 0 };
    OSSL_PARAM params[2] = { *described, OSSL_PARAM_END };
    int ret;

    ERR_clear_error();
    params[0].return_size = OSSL_PARAM_UNMODIFIED;
    params[0].data = data;
    params[0].data_size = described->data_type == OSSL_PARAM_INTEGER ||
                                  described->data_type == OSSL_PARAM_UNSIGNED_INTEGER
                              ? (described->data_size != 0 ? described->data_size : sizeof(int))
                              : sizeof(data);
    ret = EVP_PKEY_CTX_get_params(side->ctx, params);
    if (described->data_type == OSSL_PARAM_OCTET_PTR || described->data_type == OSSL_PARAM_UTF8_PTR) {
        const void *at;

        memcpy(&at, data, sizeof(at));
        side_answer(side, described->key, ret, at, params[0].return_size);
    } else {
        side_answer(side, described->key, ret, data,
                    params[0].return_size == OSSL_PARAM_UNMODIFIED ? 0 : params[0].return_size);
    }
    params[0] = OSSL_PARAM_construct_int(described->key, (int *)(void *)data);
    if (described->data_type != OSSL_PARAM_INTEGER && described->data_type != OSSL_PARAM_UNSIGNED_INTEGER) {
        side_answer(side, "as a number", EVP_PKEY_CTX_get_params(side->ctx, params), data, sizeof(int));
    }
}

static void get_all(struct side *side)
{
    for (unsigned i = 0; i < num_getters; i++) {
        get(side, &getters[i]);
    }
    ERR_clear_error();
}

/* Fresh signatures have no equal bytes, so that only their return values are compared, and verified later. */
static void run_signing(struct side *side, const struct plan *plan)
{
    struct bytes *out = &side->out[0];

    ERR_clear_error();
    out->len = sizeof(out->data);
    switch (plan->op) {
    case DIGEST_SIGN:
        side_answer(side, "EVP_DigestSign", EVP_DigestSign(side->md, out->data, &out->len, message, sizeof(message)),
                    NULL, 0);
        break;
    case STREAM_SIGN:
        if (plan->how != LATE) {
            side_answer(side, "EVP_DigestSignUpdate", EVP_DigestSignUpdate(side->md, message, 100), NULL, 0);
        }
        if (side_answer(side, "EVP_DigestSignUpdate",
                        EVP_DigestSignUpdate(side->md, message + 100, sizeof(message) - 100), NULL, 0) <= 0) {
            break; /* OpenSSL 3.0 would jump to address 0 for a key in a file that hashes for itself */
        }
        side_answer(side, "EVP_DigestSignFinal", EVP_DigestSignFinal(side->md, out->data, &out->len), NULL, 0);
        break;
    default:
        for (unsigned i = 0; side_ready(i) > 0; i++) {
            side->out[i].len = sizeof(out->data);
            if (side_answer(side, "EVP_PKEY_sign",
                            EVP_PKEY_sign(side->ctx, side->out[i].data, &side->out[i].len, message, side_ready(i)),
                            NULL, 0) <= 0) {
                side->out[i].len = 0;
            }
            side->num_outs = i + 1;
        }
        return;
    }
    side->num_outs = 1;
    if (side->answers[side->num_answers - 1].ret <= 0) {
        out->len = 0;
    }
}

static void run_taking(struct side *side, const struct plan *plan)
{
    struct bytes *out = &side->out[0];
    const struct bytes *in = plan->input;
    int is_given;
    int ret;

    ERR_clear_error();
    out->len = 1024;
    switch (plan->op) {
    case VERIFY:
        for (unsigned i = 0; side_ready(i) > 0; i++) {
            side_answer(side, "verify", EVP_PKEY_verify(side->ctx, in[i].data, in[i].len, message, side_ready(i)), NULL,
                        0);
        }
        return;
    case DIGEST_VERIFY:
        ret = EVP_DigestVerify(side->md, in->data, in->len, message, sizeof(message));
        break;
    case RECOVER:
        ret = EVP_PKEY_verify_recover(side->ctx, out->data, &out->len, in->data, in->len);
        break;
    case DECRYPT:
        ret = EVP_PKEY_decrypt(side->ctx, out->data, &out->len, in->data, in->len);
        break;
    case ENCRYPT:
        ret = EVP_PKEY_encrypt(side->ctx, out->data, &out->len, message, 32);
        if (ret <= 0) { /* without padding */
            side_answer(side, "encrypt less", ret, NULL, 0);
            out->len = 1024;
            ret = EVP_PKEY_encrypt(side->ctx, out->data, &out->len, message, 128);
        }
        break;
    default:
        side_answer(side, "EVP_PKEY_derive_set_peer", EVP_PKEY_derive_set_peer(side->ctx, side->peer), NULL, 0);
        ret = EVP_PKEY_derive(side->ctx, out->data, &out->len);
        break;
    }
    is_given = plan->op == RECOVER || plan->op == DECRYPT || plan->op == DERIVE;
    side_answer(side, op_names[plan->op], ret, out->data, is_given && ret > 0 ? out->len : 0);
}

static void run(struct side *side, const struct plan *plan)
{
    if (plan->op == SIGN || plan->op == DIGEST_SIGN || plan->op == STREAM_SIGN) {
        run_signing(side, plan);
    } else {
        run_taking(side, plan);
    }
}

void side_run(struct side *side, const struct plan *plan)
{
    OSSL_PARAM params[2] = { OSSL_PARAM_END, OSSL_PARAM_END };
    long long room;
    int at_init = plan->param != NULL && plan->how == AT_INIT;

    side_end(side);
    if (at_init) {
        (void)value_param(&params[0], plan->param, plan->value, &room);
    }
    if (side_answer(side, "init", begin(side, plan, at_init ? params : NULL), NULL, 0) <= 0) {
        return;
    }
    if (plan->preset != NULL) {
        set(side, "preset", plan->preset->param, plan->preset, PLAIN);
    }
    if (plan->how == LATE && plan->op == STREAM_SIGN) {
        side_answer(side, "EVP_DigestSignUpdate", EVP_DigestSignUpdate(side->md, message, 100), NULL, 0);
    } else if (plan->how == LATE) {
        run(side, plan);
        side->num_outs = 0;
    }
    if (plan->how == LATE && (plan->op == DIGEST_SIGN || plan->op == DIGEST_VERIFY)) {
        side_answer(side, "again", begin_again(side, plan->op), NULL, 0);
    }
    if (plan->param != NULL && !at_init) {
        set(side, "set", plan->param, plan->value, plan->how);
    }
    if (plan->second != NULL) {
        set(side, "set again", plan->param, plan->second, plan->how);
    }
    if (plan->dup && side_answer(side, "copy", copied(side), NULL, 0) <= 0) {
        return;
    }
    get_all(side);
    run(side, plan);
}

int side_verifies(struct side *side, const struct plan *plan, const struct bytes *sig, unsigned which)
{
    struct plan verify = *plan;
    int good = 0;

    side_end(side);
    verify.op = plan->op == SIGN ? VERIFY : DIGEST_VERIFY;
    if (side_start(side, &verify)) {
        if (plan->preset != NULL) {
            set(side, "", plan->preset->param, plan->preset, PLAIN);
        }
        if (plan->param != NULL) {
            set(side, "", plan->param, plan->value, plan->how == TEXT ? TEXT : PLAIN);
        }
        if (plan->second != NULL) {
            set(side, "", plan->param, plan->second, plan->how == TEXT ? TEXT : PLAIN);
        }
        good = verify.op == VERIFY ? EVP_PKEY_verify(side->ctx, sig->data, sig->len, message, side_ready(which)) == 1
                                   : EVP_DigestVerify(side->md, sig->data, sig->len, message, sizeof(message)) == 1;
    }
    side_end(side);
    return good;
}
