/* Whether the module in front of another can be believed: it counts what was called, notes what was asked for, and
 * misbehaves as it is told.     check-counter COUNTER.so PIN
 *
 * SIGNET_TEST_COUNTS names the counters' file; the token is the one of tests/lib/setup.sh. */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "../lib/tap.h"
#include "counts.h"

static struct counts *counts;
static CK_FUNCTION_LIST *p11;
static CK_SESSION_HANDLE session;

static unsigned calls(enum count which)
{
    return counts->of[which].calls;
}

static int list_is_whole(const CK_FUNCTION_LIST *list)
{
    for (size_t at = offsetof(CK_FUNCTION_LIST, C_Initialize); at < sizeof(*list); at += sizeof(void *)) {
        static void *const none = NULL;

        if (memcmp((const char *)list + at, &none, sizeof(none)) == 0) {
            return 0;
        }
    }
    return 1;
}

static CK_FUNCTION_LIST *list_of(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library == NULL ? NULL : dlsym(library, "C_GetFunctionList");
    CK_C_GetFunctionList get;
    CK_FUNCTION_LIST *list = NULL;

    memcpy(&get, &symbol, sizeof(get));
    return symbol != NULL && get(&list) == CKR_OK ? list : NULL;
}

/* A session on the only token, logged in. */
static int log_in(const char *pin)
{
    CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK };
    CK_SLOT_ID slots[8];
    CK_ULONG num = 8;

    return p11->C_Initialize(&args) == CKR_OK && p11->C_GetSlotList(CK_TRUE, slots, &num) == CKR_OK && num > 0 &&
           p11->C_OpenSession(slots[0], CKF_SERIAL_SESSION, NULL, NULL, &session) == CKR_OK &&
           p11->C_Login(session, CKU_USER, (CK_BYTE *)pin, strlen(pin)) == CKR_OK;
}

static CK_OBJECT_HANDLE find(CK_OBJECT_CLASS class, const char *label)
{
    CK_ATTRIBUTE match[] = { { CKA_CLASS, &class, sizeof(class) }, { CKA_LABEL, (void *)label, strlen(label) } };
    CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
    CK_ULONG num = 0;

    p11->C_FindObjectsInit(session, match, 2);
    p11->C_FindObjects(session, &object, 1, &num);
    p11->C_FindObjectsFinal(session);
    return num == 1 ? object : CK_INVALID_HANDLE;
}

static CK_RV sign_in(CK_SESSION_HANDLE where, CK_OBJECT_HANDLE key)
{
    CK_MECHANISM mech = { CKM_ECDSA, NULL, 0 };
    CK_BYTE digest[32] = { 1 };
    CK_BYTE sig[64];
    CK_ULONG len = sizeof(sig);
    CK_RV rv = p11->C_SignInit(where, &mech, key);

    return rv == CKR_OK ? p11->C_Sign(where, digest, sizeof(digest), sig, &len) : rv;
}

static void ask(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
    CK_BYTE value[1024];
    CK_ATTRIBUTE attribute = { type, value, sizeof(value) };

    p11->C_GetAttributeValue(session, object, &attribute, 1);
}

static void it_counts(CK_OBJECT_HANDLE key)
{
    CK_MECHANISM_TYPE mechs[256];
    CK_SESSION_INFO info;
    CK_ULONG num = 256;

    counts_forget(counts);
    ok(counts_total(counts) == 0, "forgotten calls are forgotten");
    ok(sign_in(session, key) == CKR_OK && calls(COUNT_SignInit) == 1 && calls(COUNT_Sign) == 1 &&
           counts_total(counts) == 2,
       "a signature is handed on and counted as two calls");
    p11->C_GetSessionInfo(session, &info);
    ok(p11->C_GetMechanismList(info.slotID, mechs, &num) == CKR_OK && num > 10, "a list comes back as it is");
    ok(p11->C_CancelFunction(session) == CKR_FUNCTION_NOT_PARALLEL && calls(COUNT_CancelFunction) == 1,
       "the last function of the list is the last one behind");
    ok(p11->C_DigestKey(session, key) != CKR_OK && calls(COUNT_DigestKey) == 1 && counts_total(counts) == 6,
       "a call that fails behind is a call");
}

static void it_notes_secrets(CK_OBJECT_HANDLE key, CK_OBJECT_HANDLE public)
{
    CK_MECHANISM mech = { CKM_RSA_PKCS, NULL, 0 };
    CK_BYTE out[512];
    CK_ULONG len = sizeof(out);

    ok(counts_asked(counts, CKA_EC_POINT) == 0, "what was not asked for is not noted");
    ask(public, CKA_EC_POINT);
    ask(public, CKA_VALUE);
    ask(key, CKA_ID);
    ok(counts_asked(counts, CKA_EC_POINT) == 1 && counts_asked(counts, CKA_VALUE) == 1 && counts->secrets_asked == 0,
       "attributes are noted, and what is public is no secret");
    ask(key, CKA_VALUE);
    ok(counts->secrets_asked == 1, "the value of a private key is one, even if the token refuses it");
    ask(key, CKA_PRIME_1);
    ask(key, CKA_PRIVATE_EXPONENT);
    ok(counts->secrets_asked == 3, "so are the numbers of an RSA key");
    p11->C_WrapKey(session, &mech, public, key, out, &len);
    ok(counts->secrets_asked == 4, "so is a wrapped key");
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static CK_OBJECT_HANDLE hung_key;

static void *sign_and_tell(void *rv)
{
    *(CK_RV *)rv = sign_in(session, hung_key);
    return NULL;
}

static void it_misbehaves(CK_OBJECT_HANDLE key)
{
    CK_RV rv = CKR_GENERAL_ERROR;
    pthread_t thread;
    double from;

    counts->of[COUNT_SignInit].fail_with = CKR_DEVICE_ERROR;
    counts->of[COUNT_SignInit].fail_times = 2;
    ok(sign_in(session, key) == CKR_DEVICE_ERROR && sign_in(session, key) == CKR_DEVICE_ERROR &&
           sign_in(session, key) == CKR_OK,
       "it fails as often as it was told, and then no more");
    counts_forget(counts);
    counts->without = CKM_ECDSA + 1;
    ok(sign_in(session, key) == CKR_MECHANISM_INVALID && calls(COUNT_SignInit) == 1, "it lacks a mechanism");
    counts->without = 0;
    ok(sign_in(session, key) == CKR_OK, "and has it again");
    counts->of[COUNT_Sign].delay_us = 30000;
    from = seconds();
    ok(sign_in(session, key) == CKR_OK && seconds() - from >= 0.03, "it delays");
    counts->of[COUNT_Sign].delay_us = 0;

    hung_key = key;
    counts_forget(counts);
    counts->of[COUNT_Sign].hang = 1;
    pthread_create(&thread, NULL, sign_and_tell, &rv);
    while (calls(COUNT_Sign) == 0) {
        usleep(1000);
    }
    usleep(20000);
    ok(rv == CKR_GENERAL_ERROR, "it hangs");
    counts->of[COUNT_Sign].hang = 0;
    pthread_join(thread, NULL);
    ok(rv == CKR_OK, "until it may get on");
}

static void *sign_often(void *unused)
{
    CK_SESSION_HANDLE own;
    CK_SESSION_INFO info;

    (void)unused;
    p11->C_GetSessionInfo(session, &info);
    p11->C_OpenSession(info.slotID, CKF_SERIAL_SESSION, NULL, NULL, &own);
    for (int i = 0; i < 250; i++) {
        sign_in(own, hung_key);
    }
    return NULL;
}

static void threads_and_children_count(void)
{
    pthread_t threads[4];
    pid_t child;

    counts_forget(counts);
    for (size_t i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, sign_often, NULL);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    ok(calls(COUNT_Sign) == 1000, "no call of four threads is lost (%u)", calls(COUNT_Sign));
    child = fork();
    if (child == 0) {
        p11->C_GetInfo(&(CK_INFO){ 0 });
        _exit(0);
    }
    waitpid(child, NULL, 0);
    ok(calls(COUNT_GetInfo) == 1, "a forked child counts on the same page");
}

int main(int argc, char **argv)
{
    CK_OBJECT_HANDLE key;

    setvbuf(stdout, NULL, _IOLBF, 0); /* the child must not say the parent's lines again */
    counts = argc == 3 ? counts_map(getenv("SIGNET_TEST_COUNTS")) : NULL;
    p11 = counts == NULL ? NULL : list_of(argv[1]);
    if (!ok(p11 != NULL && list_is_whole(p11), "every function of the list is there")) {
        return tap_done();
    }
    if (ok(log_in(argv[2]) && (key = find(CKO_PRIVATE_KEY, "ec")) != CK_INVALID_HANDLE, "a key is found through it")) {
        it_counts(key);
        it_notes_secrets(key, find(CKO_PUBLIC_KEY, "ec"));
        it_misbehaves(key);
        threads_and_children_count();
    }
    return tap_done();
}
