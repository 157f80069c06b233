/* The same key on a token and in a file, in one process: every parameter that either side's lists name, with good
 * values and bad ones, in each operation, at each moment. Equal return values, an error raised or none, and every
 * signature verified under its parameters by the key in the file. What differs by design is a table (values.c).
 *
 *     same NAME URI FILE [SoftHSM]     where it is a token with less */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <openssl/x509.h>
#include <string.h>

#include "side.h"
#include "tests/lib/tap.h"

#define MOST_NAMES 64
#define SHOWN 6

static struct side token = { .name = "token" };
static struct side file = { .name = "file" };
static struct side checker = { .name = "checker" };
static int on_softhsm; /* whose imported keys do not derive */
static unsigned wrong; /* of the case at hand */
static unsigned long compared;

/* --- complaints --------------------------------------------------------------------------------------------------- */

static void plan_print(const struct plan *plan)
{
    static const char *const hows[NUM_HOWS] = { "", "at the start", "by text", "late" };

    printf("#   %s", op_names[plan->op]);
    if (plan->digest != NULL) {
        printf(" with %s", plan->digest);
    }
    if (plan->preset != NULL) {
        printf(", %s %s", plan->preset->param, plan->preset->text);
    }
    if (plan->param != NULL && plan->value != NULL) {
        printf(", %s = %c:%.20s", plan->param, plan->value->kind, plan->value->text);
    }
    if (plan->second != NULL) {
        printf(", then %c:%.20s", plan->second->kind, plan->second->text);
    }
    printf(" %s%s: ", hows[plan->how], plan->dup ? ", copied" : "");
}

__attribute__((format(printf, 2, 3))) static void complain(const struct plan *plan, const char *format, ...)
{
    va_list args;

    if (wrong++ < SHOWN) {
        plan_print(plan);
        va_start(args, format);
        vprintf(format, args);
        va_end(args);
        putchar('\n');
    }
}

/* --- differences by design ---------------------------------------------------------------------------------------- */

static int is_refused(const struct value *value, const struct difference *row)
{
    char word[64];

    if (value == NULL) {
        return 0;
    }
    (void)snprintf(word, sizeof(word), " %s ", value->text);
    return row->values == NULL || strstr(row->values, word) != NULL;
}

static const struct difference *difference_of(const char *op, const char *param, const struct value *value)
{
    for (const struct difference *row = differences; row->why != NULL; row++) {
        if ((row->token == NULL || on_softhsm) && (row->op == NULL || strcmp(row->op, op) == 0) &&
            (row->type == NULL || EVP_PKEY_is_a(file.key, row->type)) && strcmp(row->param, param) == 0 &&
            (row->values == NULL || is_refused(value, row))) {
            return row;
        }
    }
    return NULL;
}

static int signs(enum op op)
{
    return op == SIGN || op == DIGEST_SIGN || op == STREAM_SIGN;
}

static const struct difference *difference_in(const struct plan *plan)
{
    const struct value start = { "digest", 's', plan->digest };
    const struct difference *row = NULL;

    if (plan->digest != NULL && signs(plan->op)) {
        row = difference_of(op_names[plan->op], "digest", &start);
    }
    if (row == NULL && plan->preset != NULL && signs(plan->op)) {
        row = difference_of(op_names[plan->op], plan->preset->param, plan->preset);
    }
    if (row == NULL && plan->param != NULL && signs(plan->op)) {
        row = difference_of(op_names[plan->op], plan->param, plan->value);
        row = row != NULL || plan->second == NULL ? row : difference_of(op_names[plan->op], plan->param, plan->second);
    }
    return row;
}

/* --- comparison --------------------------------------------------------------------------------------------------- */

static int failed(int ret)
{
    return ret <= 0;
}

/* What software refuses without a word: a signature that is not the key's, and text that is no value, which libcrypto
 * refuses before anybody sees it. */
static int is_silent(const struct plan *plan, unsigned i)
{
    return i < file.num_answers && !file.answers[i].raised &&
           (plan->how == TEXT || strstr(file.answers[i].what, "verify") != NULL);
}

/* A refusal says why, whatever software does; and nothing is said of what went well. */
static void say_why(const struct plan *plan)
{
    for (unsigned i = 0; i < token.num_answers; i++) {
        const struct answer *answer = &token.answers[i];

        if (failed(answer->ret) && !answer->raised && answer->ret != -2 && !is_silent(plan, i)) {
            complain(plan, "%s: %d without an error", answer->what, answer->ret);
        }
        if (!failed(answer->ret) && answer->raised && !(i < file.num_answers && file.answers[i].raised)) {
            complain(plan, "%s: an error although it went well", answer->what);
        }
    }
}

static void same_answers(const struct plan *plan)
{
    unsigned count = token.num_answers < file.num_answers ? token.num_answers : file.num_answers;

    for (unsigned i = 0; i < count; i++) {
        const struct answer *ours = &token.answers[i];
        const struct answer *theirs = &file.answers[i];

        if (strcmp(ours->what, theirs->what) != 0 || ours->ret != theirs->ret) {
            complain(plan, "%s: %d, of the file's key %s: %d", ours->what, ours->ret, theirs->what, theirs->ret);
            return;
        }
        if (ours->len != theirs->len || ours->hash != theirs->hash) {
            complain(plan, "%s: another value", ours->what);
        }
        if (strcmp(ours->what, "set again") == 0 && failed(ours->ret)) {
            return; /* what then is set nobody promises */
        }
        if (theirs->raised && !ours->raised) {
            complain(plan, "%s: no error, where the file's key has one", ours->what);
        }
    }
    if (token.num_answers != file.num_answers) {
        complain(plan, "%u answers, of the file's key %u", token.num_answers, file.num_answers);
    }
}

static int was_refused(const char *what)
{
    for (unsigned i = 0; i < file.num_answers; i++) {
        if (strcmp(file.answers[i].what, what) == 0 && failed(file.answers[i].ret)) {
            return 1;
        }
    }
    return 0;
}

static void same_signatures(const struct plan *plan)
{
    if (was_refused("set again")) {
        return;
    }
    for (unsigned i = 0; signs(plan->op) && i < token.num_outs && i < file.num_outs; i++) {
        if (token.out[i].len > 0 && file.out[i].len > 0 &&
            side_verifies(&checker, plan, &token.out[i], i) != side_verifies(&checker, plan, &file.out[i], i)) {
            complain(plan, "the signature of %zu bytes does not verify as the file's does", side_ready(i));
        }
    }
}

static unsigned refusals(const struct side *side)
{
    unsigned count = 0;

    for (unsigned i = 0; i < side->num_answers; i++) {
        count += failed(side->answers[i].ret) ? 1 : 0;
    }
    return count;
}

static void plan_compare(const struct plan *plan)
{
    const struct difference *row = difference_in(plan);

    side_run(&file, plan);
    side_run(&token, plan);
    compared++;
    say_why(plan);
    if (row != NULL && refusals(&token) > 0) {
        return;
    }
    if (row != NULL) {
        complain(plan, "taken, though %s", row->why);
        return;
    }
    same_answers(plan);
    same_signatures(plan);
}

/* --- plans -------------------------------------------------------------------------------------------------------- */

/* What the file's key makes of the same parameters for the other direction. */
static struct bytes inputs[8];

static const struct bytes *input_for(const struct plan *plan)
{
    static const enum op makes[NUM_OPS] = {
        [VERIFY] = SIGN, [DIGEST_VERIFY] = DIGEST_SIGN, [RECOVER] = SIGN, [DECRYPT] = ENCRYPT
    };
    struct plan make = *plan;

    memset(inputs, 0, sizeof(inputs));
    if (signs(plan->op) || plan->op == ENCRYPT || plan->op == DERIVE) {
        return inputs;
    }
    make.op = makes[plan->op];
    make.how = plan->how == LATE ? PLAIN : plan->how;
    make.dup = 0;
    side_run(&checker, &make);
    if (make.op == ENCRYPT) {
        checker.num_outs = checker.num_answers > 0 && checker.answers[checker.num_answers - 1].ret > 0 ? 1 : 0;
    }
    for (unsigned i = 0; i < checker.num_outs; i++) {
        inputs[i] = checker.out[i];
    }
    side_end(&checker);
    return inputs;
}

static void plan_try(struct plan plan)
{
    plan.input = input_for(&plan);
    plan_compare(&plan);
}

static int fits(const struct value *value, const char *name)
{
    return value->param == NULL || strcmp(value->param, name) == 0;
}

static void value_try(struct plan plan, const char *name, const struct value *value, const struct value *next)
{
    plan.param = name;
    plan.value = value;
    for (int how = PLAIN; how < NUM_HOWS; how++) {
        plan.how = (enum how)how;
        if (plan.op != DECRYPT || how != LATE) { /* before 3.2, software says that the padding is bad */
            plan_try(plan);
        }
    }
    plan.how = PLAIN;
    plan.dup = 1;
    plan_try(plan);
    plan.dup = 0;
    plan.second = next;
    if (next != NULL) {
        plan_try(plan);
    }
}

static void values_try(const struct plan *plan, const char *name)
{
    const struct value *first = NULL;
    const struct value *before = NULL;

    for (const struct value *value = values; value->kind != 0; value++) {
        if (fits(value, name)) {
            if (before != NULL) {
                value_try(*plan, name, before, value);
            }
            first = first == NULL ? value : first;
            before = value;
        }
    }
    value_try(*plan, name, before, first);
}

/* The union of both sides' lists, and what the table has a value for that either side might know. */
static unsigned names_of(enum op op, const char **names)
{
    struct plan plan = { .op = op };
    struct side *sides[] = { &file, &token };
    unsigned count = 0;

    for (unsigned i = 0; i < 2; i++) {
        const OSSL_PARAM *list;

        side_end(sides[i]);
        list = side_start(sides[i], &plan) ? EVP_PKEY_CTX_settable_params(sides[i]->ctx) : NULL;
        for (; list != NULL && list->key != NULL && count < MOST_NAMES; list++) {
            unsigned at = 0;

            while (at < count && strcmp(names[at], list->key) != 0) {
                at++;
            }
            if (at == count) {
                names[count++] = strdup(list->key);
            }
        }
    }
    side_end(&file);
    side_end(&token);
    return count;
}

static int is_listed(struct side *side, enum op op, const char *name)
{
    struct plan plan = { .op = op };
    const OSSL_PARAM *list;
    int found;

    side_end(side);
    list = side_start(side, &plan) ? EVP_PKEY_CTX_settable_params(side->ctx) : NULL;
    found = list != NULL && OSSL_PARAM_locate_const(list, name) != NULL;
    side_end(side);
    return found;
}

static void list_try(enum op op, const char *name)
{
    const struct difference *row = signs(op) ? difference_of(op_names[op], name, NULL) : NULL;
    int ours = is_listed(&token, op, name);
    int theirs = is_listed(&file, op, name);

    if (row != NULL ? ours : ours != theirs) {
        wrong++;
        printf("#   %s: %s is %s of what can be set\n", op_names[op], name, ours ? "in the list" : "not in the list");
    }
}

static const char *const digests[] = { "SHA1",       "SHA256",   "SHA2-256",   "SHA384", "SHA512",
                                       "MD5-SHA1",   "SHA3-256", "SHA512-256", "SM3",    "BLAKE2s256",
                                       "BLAKE2b512", "SHAKE256", "nonsense",   "" };

/* What other parameters may depend on. */
static const struct {
    const char *type;
    struct value value;
} presets[] = {
    { "RSA", { "pad-mode", 's', "pss" } },
    { "RSA-PSS", { "pad-mode", 's', "pss" } },
    { "ED25519", { "instance", 's', "Ed25519ctx" } },
    { "ED25519", { "instance", 's', "Ed25519ph" } },
    { "ED448", { "instance", 's', "Ed448ph" } },
    { "ML-DSA-44", { "deterministic", 'i', "1" } },
};

static void presets_try(struct plan plan, const char *name)
{
    for (size_t i = 0; i < sizeof(presets) / sizeof(*presets); i++) {
        if (plan.op < DECRYPT && EVP_PKEY_is_a(file.key, presets[i].type)) {
            plan.preset = &presets[i].value;
            values_try(&plan, name);
        }
    }
}

static void op_try(const char *key_name, enum op op)
{
    const char *names[MOST_NAMES];
    unsigned count = names_of(op, names);
    struct plan plan = { .op = op };
    int is_rsa = EVP_PKEY_is_a(file.key, "RSA") || EVP_PKEY_is_a(file.key, "RSA-PSS");

    side_getters((struct side *[2]){ &file, &token }, op);
    wrong = 0;
    plan_try(plan);
    plan.dup = 1;
    plan_try(plan);
    plan.dup = 0;
    for (size_t i = 0; side_hashes(op) && i < sizeof(digests) / sizeof(*digests); i++) {
        plan.digest = digests[i];
        plan_try(plan);
        plan.preset = &presets[0].value;
        if (is_rsa) {
            plan_try(plan);
        }
        plan.preset = NULL;
    }
    plan.digest = NULL;
    ok(wrong == 0, "%s: %s: the same answers without parameters", key_name, op_names[op]);
    for (unsigned i = 0; i < count; i++) {
        wrong = 0;
        values_try(&plan, names[i]);
        presets_try(plan, names[i]);
        list_try(op, names[i]);
        ok(wrong == 0, "%s: %s: the same answers to '%s' (%u differ)", key_name, op_names[op], names[i], wrong);
        free((char *)names[i]);
    }
}

/* --- the keys themselves ------------------------------------------------------------------------------------------ */

/* A private part is on no list of what a token gives. */
static int is_private(const char *name)
{
    static const char *const parts[] = {
        "priv", "d", "seed", "rsa-factor", "rsa-exponent", "rsa-coefficient", "signet"
    };

    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        if (strcmp(name, parts[i]) == 0 || (strlen(parts[i]) > 5 && strncmp(name, parts[i], strlen(parts[i])) == 0)) {
            return 1;
        }
    }
    return 0;
}

static int key_get(EVP_PKEY *key, const OSSL_PARAM *described, int as_number, struct bytes *out, int *raised)
{
    OSSL_PARAM params[2] = { *described, OSSL_PARAM_END };
    int ret;

    memset(out, 0, sizeof(*out));
    params[0].data = out->data;
    params[0].data_size = 1024;
    params[0].return_size = OSSL_PARAM_UNMODIFIED;
    if (described->data_type == OSSL_PARAM_INTEGER) {
        params[0].data_size = sizeof(int);
    }
    if (as_number) {
        params[0] = OSSL_PARAM_construct_int(described->key, (int *)(void *)out->data);
    }
    ERR_clear_error();
    ret = EVP_PKEY_get_params(key, params);
    out->len = params[0].return_size == OSSL_PARAM_UNMODIFIED ? MOST_BYTES : params[0].return_size;
    *raised = ERR_peek_error() != 0;
    ERR_clear_error();
    return ret;
}

static void key_params_try(const char *name)
{
    static struct bytes ours, theirs;
    int we_raised, they_raised;

    wrong = 0;
    for (const OSSL_PARAM *list = EVP_PKEY_gettable_params(file.key); list != NULL && list->key != NULL; list++) {
        for (int as_number = 0; as_number < 2 && !is_private(list->key); as_number++) {
            int our_ret = key_get(token.key, list, as_number, &ours, &we_raised);
            int their_ret = key_get(file.key, list, as_number, &theirs, &they_raised);

            if (our_ret != their_ret ||
                (our_ret > 0 && (ours.len != theirs.len || memcmp(ours.data, theirs.data, 1024) != 0)) ||
                (our_ret <= 0 && !we_raised)) {
                wrong++;
                printf("#   %s%s: %d and %zu bytes%s, of the file's key %d and %zu%s\n", list->key,
                       as_number ? " as a number" : "", our_ret, ours.len, we_raised ? " with an error" : "", their_ret,
                       theirs.len, they_raised ? " with an error" : "");
            }
        }
    }
    ok(wrong == 0, "%s: the key's parameters are the same", name);
}

static size_t spki_of(EVP_PKEY *key, unsigned char *out)
{
    int len = i2d_PUBKEY(key, &out);

    return len > 0 ? (size_t)len : 0;
}

static void key_set_try(const char *name, const char *param, const struct value *value)
{
    static unsigned char ours[8192], theirs[8192];
    EVP_PKEY *a = EVP_PKEY_dup(token.key);
    EVP_PKEY *b = EVP_PKEY_dup(file.key);
    OSSL_PARAM params[2] = { OSSL_PARAM_END, OSSL_PARAM_END };
    const struct difference *row = difference_of("", param, value);
    int our_ret, their_ret, we_raised;
    long long room;
    size_t our_len, their_len;

    (void)value_param(&params[0], param, value, &room);
    their_ret = EVP_PKEY_set_params(b, params);
    ERR_clear_error();
    our_ret = EVP_PKEY_set_params(a, params);
    we_raised = ERR_peek_error() != 0;
    ERR_clear_error();
    our_len = spki_of(a, ours);
    their_len = spki_of(b, theirs);
    ERR_clear_error();
    if (row != NULL ? our_ret > 0 || !we_raised
                    : our_ret != their_ret || (our_ret <= 0 && !we_raised) || our_len != their_len ||
                          memcmp(ours, theirs, our_len) != 0) {
        wrong++;
        printf("#   %s = %c:%.20s: %d%s and %zu bytes, of the file's key %d and %zu\n", param, value->kind, value->text,
               our_ret, we_raised ? " with an error" : "", our_len, their_ret, their_len);
    }
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
    our_len = spki_of(token.key, ours);
    their_len = spki_of(file.key, theirs);
    if (our_len != their_len || memcmp(ours, theirs, our_len) != 0) {
        wrong++;
        printf("#   %s: set on a copy, the key itself is another\n", param);
    }
    (void)name;
}

static void key_sets_try(const char *name)
{
    wrong = 0;
    for (const OSSL_PARAM *list = EVP_PKEY_settable_params(file.key); list != NULL && list->key != NULL; list++) {
        for (const struct value *value = values; value->kind != 0; value++) {
            if (fits(value, list->key)) {
                key_set_try(name, list->key, value);
            }
        }
    }
    ok(wrong == 0, "%s: setting the key's parameters has the same effect", name);
}

static void exports_try(const char *name)
{
    static const int selections[] = { EVP_PKEY_KEY_PARAMETERS, EVP_PKEY_PUBLIC_KEY, EVP_PKEY_KEYPAIR,
                                      OSSL_KEYMGMT_SELECT_PRIVATE_KEY };

    wrong = 0;
    for (size_t i = 0; i < sizeof(selections) / sizeof(*selections); i++) {
        OSSL_PARAM *params = NULL;
        int is_secret = (selections[i] & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
        int their_ret = EVP_PKEY_todata(file.key, selections[i], &params);
        int our_ret, we_raised;

        OSSL_PARAM_free(params);
        params = NULL;
        ERR_clear_error();
        our_ret = EVP_PKEY_todata(token.key, selections[i], &params);
        we_raised = ERR_peek_error() != 0;
        ERR_clear_error();
        OSSL_PARAM_free(params);
        if (is_secret ? our_ret > 0 || !we_raised : our_ret != their_ret || (our_ret <= 0 && !we_raised)) {
            wrong++;
            printf("#   selection 0x%x: %d%s, of the file's key %d\n", (unsigned)selections[i], our_ret,
                   we_raised ? " with an error" : " without an error", their_ret);
        }
    }
    ok(wrong == 0, "%s: what may be exported is, and what may not is refused with a reason", name);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static EVP_PKEY *key_load(const char *uri)
{
    OSSL_STORE_CTX *store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
    EVP_PKEY *key = NULL;

    while (store != NULL && key == NULL && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        key = info == NULL ? NULL : OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return key;
}

static EVP_PKEY *key_read(const char *path)
{
    FILE *in = fopen(path, "r");
    EVP_PKEY *key = in == NULL ? NULL : PEM_read_PrivateKey_ex(in, NULL, NULL, NULL, NULL, "provider=default");

    if (in != NULL) {
        fclose(in);
    }
    return key;
}

static EVP_PKEY *peer_of(EVP_PKEY *key)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    EVP_PKEY *peer = NULL;

    if (ctx != NULL && EVP_PKEY_keygen_init(ctx) > 0) {
        (void)EVP_PKEY_generate(ctx, &peer);
    }
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return peer;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        return 99;
    }
    on_softhsm = argc > 4;
    token.key = key_load(argv[2]);
    file.key = key_read(argv[3]);
    if (!ok(token.key != NULL && file.key != NULL && EVP_PKEY_eq(token.key, file.key) == 1,
            "%s: the key on the token and the one in the file are the same", argv[1])) {
        return tap_done();
    }
    checker.key = file.key;
    file.peer = token.peer = checker.peer = peer_of(file.key);
    for (int op = 0; op < (on_softhsm ? DERIVE : NUM_OPS); op++) {
        op_try(argv[1], (enum op)op);
    }
    key_params_try(argv[1]);
    key_sets_try(argv[1]);
    exports_try(argv[1]);
    printf("# %s: %lu cases were compared\n", argv[1], compared);
    EVP_PKEY_free(file.peer);
    EVP_PKEY_free(token.key);
    EVP_PKEY_free(file.key);
    return tap_done();
}
