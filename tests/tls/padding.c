/* A token that removes RSA padding itself, and what can be seen of its saying that the padding was bad: nothing but the
 * message. The calls of good data and of bad are the same, and so are those of the next operations.
 *
 *     padding         the keys are those of lib/setup.sh; SIGNET_TEST_COUNTS names the counters' file */
#include <openssl/async.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <p11-kit/pkcs11.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/tap.h"
#include "../token/ckr.h"
#include "../token/counts.h"
#include "pair.h"

#define K 256

static struct counts *counts;
static EVP_PKEY *key;
static EVP_PKEY *signer;

/* --- a decryption, in a job or not -------------------------------------------------------------------------------- */

struct padding {
    const char *name;
    int mode;
    int tells; /* bad data are an error */
};

static const struct padding paddings[] = {
    { "PKCS#1", RSA_PKCS1_PADDING, 0 },
    { "TLS", RSA_PKCS1_WITH_TLS_PADDING, 0 },
    { "OAEP", RSA_PKCS1_OAEP_PADDING, 1 },
};

struct decryption {
    const struct padding *padding;
    const unsigned char *cipher;
    unsigned char out[K];
    size_t len;
};

static int decrypt(void *arg)
{
    struct decryption *d = *(struct decryption **)arg;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    unsigned version = TLS1_2_VERSION;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &version),
        OSSL_PARAM_construct_end(),
    };
    int good = EVP_PKEY_decrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, d->padding->mode) == 1 &&
               (d->padding->mode != RSA_PKCS1_WITH_TLS_PADDING || EVP_PKEY_CTX_set_params(ctx, params) == 1);

    d->len = sizeof(d->out);
    good = good && EVP_PKEY_decrypt(ctx, d->out, &d->len, d->cipher, K) == 1;
    EVP_PKEY_CTX_free(ctx);
    return good;
}

static void wait_for(ASYNC_WAIT_CTX *context)
{
    OSSL_ASYNC_FD fd;
    size_t num = 0;

    if (ASYNC_WAIT_CTX_get_all_fds(context, NULL, &num) == 1 && num == 1 &&
        ASYNC_WAIT_CTX_get_all_fds(context, &fd, &num) == 1) {
        struct pollfd pfd = { .fd = fd, .events = POLLIN };

        (void)poll(&pfd, 1, 10000);
    }
}

static int decrypt_in_job(struct decryption *d)
{
    ASYNC_WAIT_CTX *context = ASYNC_WAIT_CTX_new();
    ASYNC_JOB *job = NULL;
    int good = 0;
    int state;

    while ((state = ASYNC_start_job(&job, context, &good, decrypt, &d, sizeof(d))) == ASYNC_PAUSE) {
        wait_for(context);
    }
    ASYNC_WAIT_CTX_free(context);
    return state == ASYNC_FINISH && good;
}

/* --- what is seen of it ------------------------------------------------------------------------------------------- */

struct seen {
    unsigned calls[3][NUM_COUNTS]; /* of the decryption, of a signature after it, and of another decryption */
    int good;
    unsigned long error; /* the last one */
    unsigned num_errors;
    char text[256];
};

static void calls_keep(unsigned calls[NUM_COUNTS])
{
    for (size_t i = 0; i < NUM_COUNTS; i++) {
        calls[i] = counts->calls[i];
    }
    counts_forget(counts);
}

static void errors_keep(struct seen *seen)
{
    const char *text = NULL;
    int flags = 0;
    unsigned long error;

    while ((error = ERR_get_error_all(NULL, NULL, NULL, &text, &flags)) != 0) {
        seen->error = error;
        seen->num_errors++;
        snprintf(seen->text, sizeof(seen->text), "%s", (flags & ERR_TXT_STRING) != 0 ? text : "");
    }
}

static int run(struct decryption *d, int in_job)
{
    return in_job ? decrypt_in_job(d) : decrypt(&d);
}

/* A decryption of `cipher`, and two operations after it, which must go well. */
static int see(struct seen *seen, const struct padding *padding, int in_job, const unsigned char *cipher,
               const unsigned char *good_cipher)
{
    struct decryption d = { .padding = padding, .cipher = cipher };
    struct decryption next = { .padding = padding, .cipher = good_cipher };
    int good;

    memset(seen, 0, sizeof(*seen));
    ERR_clear_error();
    counts_forget(counts);
    seen->good = run(&d, in_job);
    errors_keep(seen);
    calls_keep(seen->calls[0]);
    good = key_signs(signer);
    calls_keep(seen->calls[1]);
    good = good && run(&next, in_job) && next.len == 48 && memcmp(next.out, "\3\3", 2) == 0;
    calls_keep(seen->calls[2]);
    return good;
}

static int same_calls(const struct seen *a, const struct seen *b, const char *what)
{
    static const char *const when[] = { "itself", "a signature after it", "a decryption after it" };
    int same = 1;

    for (size_t i = 0; i < 3; i++) {
        for (size_t call = 0; call < NUM_LISTED; call++) {
            if (a->calls[i][call] != b->calls[i][call]) {
                printf("# %s, %s: call %zu %u times with good data, %u with bad\n", what, when[i], call,
                       a->calls[i][call], b->calls[i][call]);
                same = 0;
            }
        }
    }
    return same;
}

/* --- good data and bad -------------------------------------------------------------------------------------------- */

static int encrypt(unsigned char out[K], int mode, const unsigned char *text, size_t text_len)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    size_t len = K;
    int good = EVP_PKEY_encrypt_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_padding(ctx, mode) == 1 &&
               EVP_PKEY_encrypt(ctx, out, &len, text, text_len) == 1;

    EVP_PKEY_CTX_free(ctx);
    return good && len == K;
}

/* Codes of what is looked at before data are. */
static int is_loss(unsigned long rv)
{
    return rv == CKR_OK || rv == CKR_CRYPTOKI_NOT_INITIALIZED || rv == CKR_SESSION_HANDLE_INVALID ||
           rv == CKR_SESSION_CLOSED || rv == CKR_DEVICE_REMOVED || rv == CKR_TOKEN_NOT_PRESENT ||
           rv == CKR_USER_NOT_LOGGED_IN || rv == CKR_OPERATION_NOT_INITIALIZED;
}

struct comparison {
    const struct padding *padding;
    int in_job;
    const unsigned char *good_cipher;
    struct seen good;
    struct seen bad; /* the first one */
    unsigned done;
    unsigned wrong;
};

static void compare(struct comparison *c, const unsigned char *cipher, const char *what)
{
    struct seen seen;
    int right = see(&seen, c->padding, c->in_job, cipher, c->good_cipher) && same_calls(&c->good, &seen, what) &&
                seen.good == !c->padding->tells;

    if (c->done++ == 0) {
        c->bad = seen;
    }
    if (!right || seen.num_errors != c->bad.num_errors || seen.error != c->bad.error ||
        strcmp(seen.text, c->bad.text) != 0 || (seen.good && seen.num_errors > 0)) {
        printf("# %s is told from others: %d, %u errors, %s\n", what, seen.good, seen.num_errors, seen.text);
        c->wrong++;
    }
}

/* The token answers so to what is good, and leaves the operation active or not. */
static void compare_answer(struct comparison *c, const char *name, unsigned long rv)
{
    struct fault *fault = &counts->faults[COUNT_Decrypt];

    if (is_loss(rv)) {
        return;
    }
    for (unsigned left = 0; left < 2; left++) {
        fault->with = rv;
        fault->left = left;
        fault->after = 0;
        fault->times = 1;
        compare(c, c->good_cipher, name);
    }
}

static void compare_all(const struct padding *padding, int in_job)
{
    struct comparison c = { .padding = padding, .in_job = in_job };
    unsigned char premaster[48] = { 3, 3, 7 };
    unsigned char block[K] = { 0, 1, 0x5a };
    unsigned char good_cipher[K];
    unsigned char bad_cipher[K];
    int mode = padding->mode == RSA_PKCS1_WITH_TLS_PADDING ? RSA_PKCS1_PADDING : padding->mode;
    const char *where = in_job ? " in a job" : "";

    if (!ok(encrypt(good_cipher, mode, premaster, sizeof(premaster)) && encrypt(bad_cipher, RSA_NO_PADDING, block, K),
            "%s%s: data", padding->name, where)) {
        return;
    }
    c.good_cipher = good_cipher;
    (void)see(&c.good, padding, in_job, good_cipher,
              good_cipher); /* what is remembered from now on is so in any case */
    ok(see(&c.good, padding, in_job, good_cipher, good_cipher) && c.good.good && c.good.num_errors == 0,
       "%s%s: good data", padding->name, where);
    compare(&c, bad_cipher, "bad padding");
#define COMPARE(name, rv) compare_answer(&c, #name, rv);
    CRYPTOKI_CKR(COMPARE)
#undef COMPARE
    compare_answer(&c, "a code of the vendor's", CKR_VENDOR_DEFINED | 7);
    ok(c.wrong == 0 && c.done > 150, "%s%s: %u kinds of bad data can't be told from good ones%s, by calls and errors",
       padding->name, where, c.done, padding->tells ? " but by the one error" : "");
}

int main(void)
{
    counts = counts_map(getenv("SIGNET_TEST_COUNTS"));
    key = key_by_name("pkcs11:token=test;object=rsa;type=private");
    signer = key_by_name("pkcs11:token=test;object=ec;type=private");
    if (counts == NULL || !ok(key != NULL && signer != NULL, "there are keys")) {
        return 2;
    }
    for (size_t i = 0; i < sizeof(paddings) / sizeof(*paddings); i++) {
        compare_all(&paddings[i], 0);
        compare_all(&paddings[i], 1);
    }
    EVP_PKEY_free(key);
    EVP_PKEY_free(signer);
    return tap_done();
}
