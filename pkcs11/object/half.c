#include "pkcs11/object/half.h"

#include <string.h>

#include "pkcs11/object/proof.h"

/* --- all of a token ----------------------------------------------------------------------------------------------- */

struct tok_half_row {
    CK_OBJECT_CLASS class;
    struct bytes id;
    struct bytes label;
    struct tok_public half;
};

static void row_end(struct tok_half_row *row)
{
    bytes_end(&row->id);
    bytes_end(&row->label);
    tok_public_end(&row->half);
}

void tok_halves_end(struct tok_halves *halves)
{
    for (size_t i = 0; i < halves->count; i++) {
        row_end(&halves->rows[i]);
    }
    free(halves->rows);
    *halves = (struct tok_halves){ .rows = NULL };
}

/* What may be a half: public keys first, then certificates. */
static const CK_OBJECT_CLASS classes[] = { CKO_PUBLIC_KEY, CKO_CERTIFICATE };

static struct tok_result row_read(struct tok_half_row *row, struct tok_lease *lease, CK_OBJECT_CLASS class,
                                  CK_OBJECT_HANDLE object)
{
    if (class == CKO_PUBLIC_KEY) {
        return tok_public_read(&row->half, &row->id, &row->label, lease, object);
    }
    row->half.type = CK_UNAVAILABLE_INFORMATION;
    return tok_certificate_read(&row->half.certificate, &row->id, &row->label, lease, object);
}

/* The objects of a class with an id or a label, of which the first hundred or so will do; NULL: whichever they have.
 * What shows no half is left out. */
static struct tok_result rows_read(struct tok_halves *halves, struct tok_lease *lease, CK_OBJECT_CLASS class,
                                   const struct bytes *id, const struct bytes *label)
{
    SCOPED(tok_handles_end) struct tok_handles found = { .items = NULL };
    struct tok_half_row *grown;

    TOK_TRY(tok_search(&found, lease, class, id, label, id != NULL || label != NULL));
    grown = reallocarray(halves->rows, halves->count + found.count + 1, sizeof(*grown));
    if (grown == NULL) {
        return tok_fail(TOK_CODE_NO_MEMORY, "listing public keys");
    }
    halves->rows = grown;
    for (size_t i = 0; i < found.count; i++) {
        SCOPED(row_end) struct tok_half_row row = { .class = class };

        TOK_TRY(tok_lease_in_time(lease, "objects", i));
        TOK_TRY(row_read(&row, lease, class, found.items[i]));
        if (tok_public_known(&row.half) && tok_is_asked(id, label, &row.id, &row.label)) {
            halves->rows[halves->count++] = STEAL(row);
        }
    }
    return tok_good();
}

struct tok_result tok_halves_read(struct tok_halves *halves, struct tok_lease *lease)
{
    struct tok_halves all = { .rows = NULL };

    for (size_t i = 0; i < COUNT_OF(classes) && !halves->read; i++) {
        struct tok_result result = rows_read(&all, lease, classes[i], NULL, NULL);

        if (!tok_ok(&result)) {
            tok_halves_end(&all);
            return result;
        }
    }
    if (!halves->read) {
        *halves = all;
        halves->read = true;
    }
    return tok_good();
}

/* --- one key ------------------------------------------------------------------------------------------------------ */

/* How a search for one key's half stands. */
struct inquiry {
    struct tok_private *key;
    struct tok_lease *lease;
    struct proof proof;
    bool believes;    /* what bears the key's id alone is its half, unless its first signature differs */
    size_t undecided; /* candidates that comparing did not tell from the key's own */
};

/* Names of curves: by OID they can be compared, other ways to name one can't. */
static bool are_other_curves(const struct bytes *a, const struct bytes *b)
{
    return a->len > 0 && b->len > 0 && a->data[0] == 0x06 && b->data[0] == 0x06 && !bytes_equal(a, b);
}

/* What the two show does not contradict that they are one key's. */
static bool may_be(const struct tok_private *key, const struct tok_public *half)
{
    if (half->type == CK_UNAVAILABLE_INFORMATION) { /* a certificate that nobody here can read */
        return true;
    }
    return half->type == key->half.type && tok_public_compare(&key->half, half) != TOK_DIFFERENT &&
           !are_other_curves(&key->half.params, &half->params) &&
           (key->half.set == 0 || half->set == 0 || key->half.set == half->set);
}

/* What is to be believed of it: it is the key's own. */
static struct tok_result take(struct inquiry *inquiry, const struct tok_public *half, bool proved)
{
    SCOPED(tok_public_end) struct tok_public copy = { .type = half->type };

    if (!tok_public_copy(&copy, half)) {
        return tok_fail(TOK_CODE_NO_MEMORY, "reading a public key");
    }
    tok_public_complete(&inquiry->key->half, &copy);
    inquiry->key->half.by_key_itself = proved;
    return tok_good();
}

/* Among candidates that share a name, the one that is proved, or, where nothing can be proved, the only one that bears
 * the key's id. */
static struct tok_result decide(struct inquiry *inquiry, struct tok_halves *candidates, bool by_id)
{
    const struct tok_prover *prover = inquiry->proof.prover;
    const struct tok_public *only = NULL;
    size_t open = 0;

    for (size_t i = 0; i < candidates->count; i++) {
        struct tok_public *half = &candidates->rows[i].half;

        if (prover != NULL) {
            prover->read(prover->arg, half);
        }
        if (!may_be(inquiry->key, half)) {
            tok_public_end(half);
            *half = (struct tok_public){ .type = 0 };
        } else if (tok_public_compare(&inquiry->key->half, half) == TOK_SAME) {
            return take(inquiry, half, true);
        } else if (only == NULL || tok_public_compare(only, half) != TOK_SAME) {
            only = only == NULL ? half : only;
            open++;
        }
    }
    if (open == 0) {
        return tok_good();
    }
    if (!(inquiry->believes && by_id && inquiry->undecided == 0 && open == 1)) {
        TOK_TRY(proof_ask(&inquiry->proof, inquiry->lease, inquiry->key->handle, only));
    }
    for (size_t i = 0; i < candidates->count && proof_is_made(&inquiry->proof); i++) {
        const struct tok_public *half = &candidates->rows[i].half;

        if (tok_public_known(half) && proof_fits(&inquiry->proof, half)) {
            return take(inquiry, half, true);
        }
    }
    inquiry->undecided += open;
    return !proof_is_made(&inquiry->proof) && by_id && inquiry->undecided == 1 ? take(inquiry, only, false)
                                                                               : tok_good();
}

/* The rows of `halves`, where they were read, or of the token that bear a name, and are of a class. */
static struct tok_result named(struct tok_halves *out, struct tok_lease *lease, const struct tok_halves *halves,
                               CK_OBJECT_CLASS class, const struct bytes *id, const struct bytes *label)
{
    if (!halves->read) {
        return rows_read(out, lease, class, id, label);
    }
    out->rows = calloc(halves->count + 1, sizeof(*out->rows));
    for (size_t i = 0; out->rows != NULL && i < halves->count; i++) {
        const struct tok_half_row *row = &halves->rows[i];

        if (row->class == class && (id == NULL || bytes_equal(id, &row->id)) &&
            (label == NULL || bytes_equal(label, &row->label))) {
            out->rows[out->count].half.type = row->half.type;
            if (!tok_public_copy(&out->rows[out->count++].half, &row->half)) {
                return tok_fail(TOK_CODE_NO_MEMORY, "reading a public key");
            }
        }
    }
    return out->rows != NULL ? tok_good() : tok_fail(TOK_CODE_NO_MEMORY, "reading a public key");
}

static struct tok_result try_named(struct inquiry *inquiry, struct tok_halves *halves, const struct bytes *id,
                                   const struct bytes *label)
{
    for (size_t i = 0; i < COUNT_OF(classes) && !tok_public_known(&inquiry->key->half); i++) {
        SCOPED(tok_halves_end) struct tok_halves candidates = { .rows = NULL };

        TOK_TRY(named(&candidates, inquiry->lease, halves, classes[i], id, label));
        TOK_TRY(decide(inquiry, &candidates, id != NULL));
    }
    return tok_good();
}

/* By id; by label; by nothing. What is nameless or has a wrong name is worth a look at everything, which without a
 * prover would decide nothing. */
static struct tok_result try_names(struct inquiry *inquiry, struct tok_halves *halves)
{
    const struct tok_private *key = inquiry->key;

    if (key->id.len > 0) {
        TOK_TRY(try_named(inquiry, halves, &key->id, NULL));
    }
    if (tok_public_known(&key->half) || (inquiry->proof.prover == NULL && key->half.modulus.len == 0)) {
        return tok_good();
    }
    if (key->label.len > 0) {
        TOK_TRY(try_named(inquiry, halves, NULL, &key->label));
    }
    if (!tok_public_known(&key->half)) {
        TOK_TRY(tok_halves_read(halves, inquiry->lease));
        TOK_TRY(try_named(inquiry, halves, NULL, NULL));
    }
    return tok_good();
}

/* Where nothing can be proved, what the token shows under the key's id says whether a half may be its own: it is there,
 * or there is none. */
static struct tok_result is_shown(bool *out_may_be, struct inquiry *inquiry, const struct tok_halves *halves,
                                  const struct tok_public *given)
{
    const struct tok_prover *prover = inquiry->proof.prover;
    bool any = false;

    *out_may_be = false;
    for (size_t c = 0; c < COUNT_OF(classes) && inquiry->key->id.len > 0; c++) {
        SCOPED(tok_halves_end) struct tok_halves shown = { .rows = NULL };

        TOK_TRY(named(&shown, inquiry->lease, halves, classes[c], &inquiry->key->id, NULL));
        for (size_t i = 0; i < shown.count; i++) {
            if (prover != NULL) {
                prover->read(prover->arg, &shown.rows[i].half);
            }
            any = true;
            *out_may_be = *out_may_be || tok_public_compare(&shown.rows[i].half, given) == TOK_SAME;
        }
    }
    *out_may_be = *out_may_be || !any;
    return tok_good();
}

/* The only candidate is one from outside. */
static struct tok_result try_given(struct inquiry *inquiry, const struct tok_halves *halves,
                                   const struct tok_public *given)
{
    struct tok_half_row row = { .half = { .type = given->type } };
    struct tok_halves candidates = { .rows = &row, .count = 1 };
    struct tok_result result;
    bool may_be;

    if (!tok_public_copy(&row.half, given)) {
        row_end(&row);
        return tok_fail(TOK_CODE_NO_MEMORY, "reading a public key");
    }
    result = decide(inquiry, &candidates, false);
    row_end(&row);
    if (!tok_ok(&result) || tok_public_known(&inquiry->key->half) || proof_is_made(&inquiry->proof) ||
        inquiry->undecided == 0) {
        return result;
    }
    TOK_TRY(is_shown(&may_be, inquiry, halves, given));
    return may_be ? take(inquiry, given, false) : tok_good();
}

static struct tok_result why_unknown(const struct inquiry *inquiry)
{
    const struct bytes *label = &inquiry->key->label;
    const char *why = inquiry->key->always_authenticate ? "it wants a PIN for each use"
                                                        : "it neither signs nor agrees on a secret";

    if (inquiry->undecided == 0) {
        return tok_fail(
            TOK_CODE_NO_PUBLIC_HALF,
            "no public half of key '%.*s' is to be seen: neither a public key nor a certificate on the token "
            "fits it",
            (int)label->len, (const char *)label->data);
    }
    if (proof_is_made(&inquiry->proof)) {
        return tok_fail(TOK_CODE_NO_PUBLIC_HALF,
                        "no public half of key '%.*s' is to be seen: of %zu public keys and certificates on the token "
                        "that might be its own, none fits what it signs or agrees on",
                        (int)label->len, (const char *)label->data, inquiry->undecided);
    }
    return tok_fail(
        TOK_CODE_NO_PUBLIC_HALF,
        "no public half of key '%.*s' is to be seen: which of %zu public keys and certificates on the token "
        "is its own can't be told, since %s",
        (int)label->len, (const char *)label->data, inquiry->undecided, why);
}

/* The only names that count where a key may be of RSA or of RSA-PSS. */
static struct tok_result certificate_beside(struct inquiry *inquiry)
{
    SCOPED(tok_halves_end) struct tok_halves found = { .rows = NULL };

    if (inquiry->key->id.len == 0 || inquiry->key->half.certificate.len > 0) {
        return tok_good();
    }
    TOK_TRY(rows_read(&found, inquiry->lease, CKO_CERTIFICATE, &inquiry->key->id, NULL));
    if (found.count > 0) {
        inquiry->key->half.certificate = STEAL(found.rows[0].half.certificate);
    }
    return tok_good();
}

static void inquiry_end(struct inquiry *inquiry)
{
    proof_end(&inquiry->proof);
}

struct tok_result tok_half_resolve(struct tok_private *key, struct tok_result *out_why, struct tok_lease *lease,
                                   struct tok_halves *halves, const struct tok_evidence *evidence)
{
    SCOPED(inquiry_end)
    struct inquiry inquiry = {
        .key = key,
        .lease = lease,
        .proof = { .prover = evidence->prover, .over = key->always_authenticate }, /* which asks a person each time */
        .believes = evidence->in_doubt_only || key->always_authenticate,
    };

    *out_why = tok_good();
    if (evidence->given != NULL) {
        bool differs = tok_public_known(&key->half) && tok_public_compare(&key->half, evidence->given) != TOK_SAME;

        if (!differs && !tok_public_known(&key->half)) {
            TOK_TRY(try_given(&inquiry, halves, evidence->given));
        }
        if (differs || !tok_public_known(&key->half)) {
            *out_why = tok_fail(TOK_CODE_OTHER_KEY, "key '%.*s' is not the one whose public half was given",
                                (int)key->label.len, (const char *)key->label.data);
        }
        return tok_good();
    }
    if (!tok_public_known(&key->half)) {
        TOK_TRY(try_names(&inquiry, halves));
    }
    if (key->half.pss_only) {
        TOK_TRY(certificate_beside(&inquiry));
    }
    if (!tok_public_known(&key->half)) {
        *out_why = why_unknown(&inquiry);
    }
    return tok_good();
}
