#include "pkcs11/object/proof.h"

#include "base/secret.h"
#include "base/trace.h"
#include "pkcs11/module/answer.h"
#include "pkcs11/object/derive.h"
#include "pkcs11/result/ckr.h"

void proof_end(struct proof *proof)
{
    if (proof->secret.len > 0) {
        secret_wipe(proof->secret.data, proof->secret.len);
    }
    bytes_end(&proof->secret);
    bytes_end(&proof->sig);
}

bool proof_is_made(const struct proof *proof)
{
    return proof->sig.len > 0 || proof->secret.len > 0;
}

bool proof_fits(const struct proof *proof, const struct tok_public *half)
{
    const struct tok_prover *prover = proof->prover;

    return (proof->sig.len > 0 && prover->verify(prover->arg, half, proof->sig.data, proof->sig.len)) ||
           (proof->secret.len > 0 && prover->agreed(prover->arg, half, proof->secret.data, proof->secret.len));
}

/* Answers that say what the key or its token can't do, rather than that something failed. The handle was read from a
 * moment ago, so that what is said of it is said of the key. */
static bool is_inability(const struct tok_result *result)
{
    enum tok_recovery recovery = tok_ckr(result->rv)->recovery;

    return tok_is_spoken(result) && (recovery == TOK_GIVE_UP || recovery == TOK_FIND_AGAIN);
}

static struct tok_result sign_by(struct proof *proof, struct tok_lease *lease, CK_OBJECT_HANDLE key,
                                 CK_MECHANISM *mechanism, const uint8_t *in, size_t in_len, size_t room)
{
    CK_ULONG len = (CK_ULONG)room;
    struct bytes *sig = &proof->sig;

    TOK_TRY(TOK_DO(lease->functions, C_SignInit, lease->session, mechanism, key));
    lease->op_open = true;
    if (!bytes_new(sig, room)) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a signature");
    }
    tok_answer_blank(TOK_OUTPUT_SIGNATURE, sig->data, sig->len);
    TOK_TRY(TOK_DO(lease->functions, C_Sign, lease->session, (CK_BYTE *)in, (CK_ULONG)in_len, sig->data, &len));
    lease->op_open = false;
    TOK_TRY(tok_answer_output(TOK_OUTPUT_SIGNATURE, "C_Sign", sig->data, len, sig->len));
    sig->len = len;
    return tok_good();
}

/* In each way in which keys of the half's type sign, until one serves. */
static struct tok_result sign(struct proof *proof, struct tok_lease *lease, CK_OBJECT_HANDLE key,
                              const struct tok_public *half)
{
    const struct tok_prover *prover = proof->prover;
    CK_MECHANISM mechanism;
    const uint8_t *in;
    size_t in_len;
    size_t room;

    for (unsigned way = 0; !lease->op_open && prover->ask(prover->arg, half, way, &mechanism, &in, &in_len, &room);
         way++) {
        struct tok_result result = sign_by(proof, lease, key, &mechanism, in, in_len, room);

        if (tok_ok(&result)) {
            return result;
        }
        bytes_end(&proof->sig);
        if (!is_inability(&result)) {
            return result;
        }
        trace(TRACE_FIND, "find: which public half is the key's can't be asked so: %s", result.message);
    }
    return tok_good();
}

static struct tok_result agree(struct proof *proof, struct tok_lease *lease, CK_OBJECT_HANDLE key,
                               const struct tok_public *half)
{
    const struct tok_prover *prover = proof->prover;
    const uint8_t *point;
    size_t point_len;
    size_t room;
    CK_ULONG len;
    struct tok_result result;

    if (!prover->agree(prover->arg, half, &point, &point_len, &room)) {
        return tok_good();
    }
    if (!bytes_new(&proof->secret, room)) {
        return tok_fail(TOK_CODE_NO_MEMORY, "a secret");
    }
    len = (CK_ULONG)room;
    result = tok_derive(lease, CKM_ECDH1_DERIVE, key, point, point_len, proof->secret.data, &len);
    if (tok_ok(&result)) {
        proof->secret.len = len;
        return result;
    }
    bytes_end(&proof->secret);
    if (!is_inability(&result)) {
        return result;
    }
    trace(TRACE_FIND, "find: which public half is the key's can't be asked by a secret: %s", result.message);
    return tok_good();
}

struct tok_result proof_ask(struct proof *proof, struct tok_lease *lease, CK_OBJECT_HANDLE key,
                            const struct tok_public *half)
{
    if (!proof->over && proof->prover != NULL) {
        TOK_TRY(sign(proof, lease, key, half));
        if (!proof_is_made(proof)) {
            TOK_TRY(agree(proof, lease, key, half));
        }
    }
    proof->over = true;
    return tok_good();
}
