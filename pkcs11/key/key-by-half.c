/* Where a key file's names no longer fit: which object is its key, by the public half, and what is told of it. */
#include <string.h>

#include "base/complain.h"
#include "base/shared.h"
#include "base/text.h"
#include "base/trace.h"
#include "pkcs11/key/key-parts.h"
#include "pkcs11/object/half.h"

/* --- by the half -------------------------------------------------------------------------------------------------- */

/* Nobody here reads certificates; but no other one has the key's modulus or point in it, and the first signature is
 * verified. */
static bool is_certified(const struct tok_public *half, const struct bytes *der)
{
    const struct bytes *mark = half->modulus.len > 0 ? &half->modulus : &half->point;

    return mark->len >= 32 && der->len > mark->len && memmem(der->data, der->len, mark->data, mark->len) != NULL;
}

static bool is_same(const struct tok_key *key, const struct tok_public *seen)
{
    return tok_public_compare(&key->half, seen) == TOK_SAME || is_certified(&key->half, &seen->certificate);
}

/* Shown by the private object, or proved by it; where nobody lends the mathematics for that, by what bears its id. */
static struct tok_result has_half(bool *out_has, bool *out_proved, const struct tok_key *key, struct tok_lease *lease,
                                  const struct tok_prover *prover, struct tok_private *seen)
{
    SCOPED(tok_halves_end) struct tok_halves halves = { .rows = NULL };
    const struct tok_evidence evidence = { .prover = prover, .given = prover != NULL ? &key->half : NULL };
    enum tok_likeness likeness = tok_public_compare(&key->half, &seen->half);
    struct tok_result why;

    *out_has = *out_proved = likeness == TOK_SAME;
    if (likeness != TOK_CANT_TELL || seen->half.type != key->half.type) {
        return tok_good();
    }
    TOK_TRY(tok_half_resolve(seen, &why, lease, &halves, &evidence));
    *out_has = tok_ok(&why) && (prover != NULL || is_same(key, &seen->half));
    *out_proved = *out_has && seen->half.by_key_itself;
    return tok_good();
}

static struct tok_result seek(struct tok_private *out, bool *out_proved, const struct tok_key *key,
                              struct tok_lease *lease, const struct tok_prover *prover)
{
    SCOPED(tok_handles_end) struct tok_handles found = { .items = NULL };

    TOK_TRY(tok_search(&found, lease, CKO_PRIVATE_KEY, NULL, NULL, false));
    for (size_t i = 0; i < found.count; i++) {
        SCOPED(tok_private_end) struct tok_private seen = { .handle = 0 };
        bool has;

        TOK_TRY(tok_lease_in_time(lease, "keys", i));
        TOK_TRY(tok_private_read(&seen, lease, found.items[i]));
        TOK_TRY(has_half(&has, out_proved, key, lease, prover, &seen));
        if (has) {
            *out = STEAL(seen);
            return tok_good();
        }
    }
    return tok_good();
}

struct tok_result key_by_half(struct tok_private *out, bool *out_proved, const struct tok_key *key,
                              struct tok_lease *lease)
{
    const struct tok_lender *lender = &key->settings->prover;
    const struct tok_prover *prover = lender->lend != NULL ? lender->lend(lender->arg) : NULL;
    struct tok_result result = seek(out, out_proved, key, lease, prover);

    if (prover != NULL) {
        lender->take_back(prover);
    }
    return result;
}

struct tok_result key_shows_half(bool *out_shows, const struct tok_key *key, struct tok_lease *lease)
{
    static const CK_OBJECT_CLASS classes[] = { CKO_PUBLIC_KEY, CKO_CERTIFICATE };

    *out_shows = false;
    for (size_t c = 0; c < COUNT_OF(classes); c++) {
        SCOPED(tok_handles_end) struct tok_handles found = { .items = NULL };

        TOK_TRY(tok_search(&found, lease, classes[c], NULL, NULL, false));
        for (size_t i = 0; i < found.count && !*out_shows; i++) {
            SCOPED(tok_public_end) struct tok_public half = { .type = key->half.type };
            SCOPED(bytes_end) struct bytes id = { 0 };
            SCOPED(bytes_end) struct bytes label = { 0 };

            TOK_TRY(tok_lease_in_time(lease, "objects", i));
            TOK_TRY(classes[c] == CKO_PUBLIC_KEY
                        ? tok_public_read(&half, &id, &label, lease, found.items[i])
                        : tok_certificate_read(&half.certificate, &id, &label, lease, found.items[i]));
            *out_shows = is_same(key, &half);
        }
    }
    return tok_good();
}

/* --- what is told ------------------------------------------------------------------------------------------------- */

/* Each change is told once in a process, however often its file is loaded; where there are very many, again. */
static bool is_told(const char *line)
{
    static _Atomic uint64_t told[64];
    uint64_t mark = shared_hash(0, line, strlen(line));

    return atomic_exchange(&told[mark % COUNT_OF(told)], mark) == mark;
}

static void name_differs(struct text *text, const char *name, const struct bytes *was, const struct bytes *is)
{
    if (was == NULL || bytes_equal(was, is)) {
        return;
    }
    text_printf(text, "%s%s was '", text->len > 0 ? ", " : "", name);
    text_put_clean(text, was->data, was->len);
    text_put(text, "', is '");
    text_put_clean(text, is->data, is->len);
    text_put(text, "'");
}

static void id_differs(struct text *text, const struct bytes *was, const struct bytes *is)
{
    if (was == NULL || bytes_equal(was, is)) {
        return;
    }
    text_printf(text, "%sid was ", text->len > 0 ? ", " : "");
    text_put_hex(text, was->data, was->len);
    text_put(text, ", is ");
    text_put_hex(text, is->data, is->len);
}

void key_tell_renamed(const struct tok_key *key, struct tok_token *token, const struct tok_private *found)
{
    SCOPED(scoped_free) char *uri = NULL;
    char line[4096]; /* two URIs with the longest labels */
    char differences[640];
    struct text text = TEXT_OVER(line);
    struct text what = TEXT_OVER(differences);
    struct tok_result result;
    CK_TOKEN_INFO info;

    tok_token_info(token, &info);
    (void)tok_uri_likeness(&what, key->uri, &info);
    id_differs(&what, tok_uri_id(key->uri), &found->id);
    name_differs(&what, "object", tok_uri_label(key->uri), &found->label);
    if (what.len == 0) {
        text_put(&what, "slot-* or library-* is another one");
    }
    result = tok_uri_of_object(&uri, &info, CKO_PRIVATE_KEY, &found->id, &found->label);
    text_printf(&text,
                "the key of '%s' is found by its public half on token '%s': %s. Write its key file anew: "
                "signet key-file '%s'",
                tok_uri_text(key->uri), token->label, differences, tok_ok(&result) ? uri : "");
    trace(TRACE_KEY, "key: %s", line);
    if (!is_told(line)) {
        complain(COMPLAIN_SOCKET, line);
    }
}
