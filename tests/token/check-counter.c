/* Whether the module in front of another can be believed: it counts what was called, notes what was asked for, and
 * misbehaves as it is told.     check-counter COUNTER.so PIN
 *
 * SIGNET_TEST_COUNTS names the counters' file; the token is the one of tests/lib/setup.sh. */
#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "../lib/tap.h"
#include "control.h"

static struct counts *counts;
static CK_FUNCTION_LIST *p11;
static CK_SLOT_ID slot;
static CK_SESSION_HANDLE session;
static CK_OBJECT_HANDLE key;
static const char *pin;

static unsigned calls(enum count which)
{
    return counts->calls[which];
}

/* Words that are refused are a mistake of this program's. */
static void tell(const char *words)
{
    char wrong[256];

    if (!counts_obey(counts, words, wrong)) {
        ok(0, "'%s' makes sense", wrong);
    }
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

static CK_RV open_session(CK_SESSION_HANDLE *out)
{
    return p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, out);
}

static CK_RV log_in(void)
{
    return p11->C_Login(session, CKU_USER, (CK_BYTE *)pin, strlen(pin));
}

/* The slot of the only token. */
static int find_slot(void)
{
    CK_SLOT_ID slots[8];
    CK_ULONG num = 8;
    CK_TOKEN_INFO info;

    if (p11->C_GetSlotList(CK_TRUE, slots, &num) != CKR_OK) {
        return 0;
    }
    for (CK_ULONG i = 0; i < num; i++) {
        if (p11->C_GetTokenInfo(slots[i], &info) == CKR_OK && (info.flags & CKF_TOKEN_INITIALIZED) != 0) {
            slot = slots[i];
            return 1;
        }
    }
    return 0;
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

/* A session on the only token, logged in, and its key. */
static int begin_again(void)
{
    return open_session(&session) == CKR_OK && log_in() == CKR_OK &&
           (key = find(CKO_PRIVATE_KEY, "ec")) != CK_INVALID_HANDLE;
}

static CK_RV init_in(CK_SESSION_HANDLE where)
{
    CK_MECHANISM mech = { CKM_ECDSA, NULL, 0 };

    return p11->C_SignInit(where, &mech, key);
}

static CK_RV finish_in(CK_SESSION_HANDLE where)
{
    CK_BYTE digest[32] = { 1 };
    CK_BYTE sig[64];
    CK_ULONG len = sizeof(sig);

    return p11->C_Sign(where, digest, sizeof(digest), sig, &len);
}

static CK_RV sign_in(CK_SESSION_HANDLE where)
{
    CK_RV rv = init_in(where);

    return rv == CKR_OK ? finish_in(where) : rv;
}

static void ask(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
    CK_BYTE value[1024];
    CK_ATTRIBUTE attribute = { type, value, sizeof(value) };

    p11->C_GetAttributeValue(session, object, &attribute, 1);
}

static void it_counts(void)
{
    CK_MECHANISM_TYPE mechs[256];
    CK_ULONG num = 256;

    counts_forget(counts);
    ok(counts_total(counts) == 0, "forgotten calls are forgotten");
    ok(sign_in(session) == CKR_OK && calls(COUNT_SignInit) == 1 && calls(COUNT_Sign) == 1 && counts_total(counts) == 2,
       "a signature is handed on and counted as two calls");
    ok(p11->C_GetMechanismList(slot, mechs, &num) == CKR_OK && num > 10, "a list comes back as it is");
    ok(p11->C_CancelFunction(session) == CKR_FUNCTION_NOT_PARALLEL && calls(COUNT_CancelFunction) == 1,
       "the last function of the list is the last one behind");
    ok(p11->C_DigestKey(session, key) != CKR_OK && calls(COUNT_DigestKey) == 1 && counts_total(counts) == 5,
       "a call that fails behind is a call");
}

static void it_notes_secrets(void)
{
    CK_OBJECT_HANDLE public = find(CKO_PUBLIC_KEY, "ec");
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

static void calls_fail(void)
{
    counts_forget(counts);
    tell("SignInit:rv=CKR_DEVICE_ERROR:times=2");
    ok(sign_in(session) == CKR_DEVICE_ERROR && sign_in(session) == CKR_DEVICE_ERROR && sign_in(session) == CKR_OK,
       "calls fail as often as was told, and then no more");
    ok(counts->faults[COUNT_SignInit].struck == 2, "and it is told how many did");
    tell("Sign:rv=0x30:nth=3");
    ok(sign_in(session) == CKR_OK && sign_in(session) == CKR_OK && sign_in(session) == CKR_DEVICE_ERROR &&
           sign_in(session) == CKR_OK,
       "the third call fails");
    tell("SignInit:rv=CKR_DEVICE_ERROR:times=always");
    for (int i = 0; i < 100; i++) {
        if (sign_in(session) != CKR_DEVICE_ERROR) {
            ok(0, "the %d. call of always fails", i);
        }
    }
    tell("calm");
    ok(sign_in(session) == CKR_OK, "calls fail always, until it is calm");
    tell("all:rv=CKR_GENERAL_ERROR");
    ok(p11->C_GetInfo(&(CK_INFO){ 0 }) == CKR_GENERAL_ERROR && p11->C_Sign(session, NULL, 0, NULL, NULL) == 5 &&
           p11->C_CancelFunction(session) == CKR_GENERAL_ERROR,
       "every function can fail");
    tell("calm");
}

static void operations_stay_active(void)
{
    CK_SESSION_HANDLE own;

    open_session(&own);
    tell("SignInit:rv=CKR_DEVICE_ERROR");
    ok(init_in(own) == CKR_DEVICE_ERROR && finish_in(own) == CKR_OPERATION_NOT_INITIALIZED,
       "a C_SignInit that fails has begun nothing");
    tell("SignInit:rv=CKR_DEVICE_ERROR:left");
    ok(init_in(own) == CKR_DEVICE_ERROR && init_in(own) == CKR_OPERATION_ACTIVE && finish_in(own) == CKR_OK,
       "or has left its operation active");
    tell("Sign:rv=CKR_DEVICE_ERROR");
    ok(sign_in(own) == CKR_DEVICE_ERROR && sign_in(own) == CKR_OK, "a C_Sign that fails has ended its operation");
    tell("Sign:rv=CKR_DEVICE_ERROR:left");
    ok(sign_in(own) == CKR_DEVICE_ERROR && sign_in(own) == CKR_OPERATION_ACTIVE && finish_in(own) == CKR_OK,
       "or has left it active");
    tell("CloseSession:rv=CKR_DEVICE_ERROR:left");
    ok(p11->C_CloseSession(own) == CKR_DEVICE_ERROR && sign_in(own) == CKR_OK, "a session may stay open");
    tell("CloseSession:rv=CKR_DEVICE_ERROR");
    ok(p11->C_CloseSession(own) == CKR_DEVICE_ERROR && sign_in(own) == CKR_SESSION_HANDLE_INVALID,
       "or be closed, whatever the answer");
}

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *sign_and_tell(void *rv)
{
    *(CK_RV *)rv = sign_in(session);
    return NULL;
}

static void it_is_slow(void)
{
    CK_RV rv = CKR_GENERAL_ERROR;
    pthread_t thread;
    double from = seconds();

    tell("Sign:delay=30000");
    ok(sign_in(session) == CKR_OK && seconds() - from >= 0.03, "it delays one function");
    tell("calm delay=20000");
    from = seconds();
    ok(sign_in(session) == CKR_OK && seconds() - from >= 0.04, "or all");
    counts_forget(counts);
    tell("calm Sign:hang=50");
    from = seconds();
    ok(sign_in(session) == CKR_OK && seconds() - from >= 0.05 && sign_in(session) == CKR_OK &&
           counts->faults[COUNT_Sign].struck == 1,
       "it hangs for a while, once");
    counts_forget(counts);
    tell("Sign:hang=forever");
    pthread_create(&thread, NULL, sign_and_tell, &rv);
    while (calls(COUNT_Sign) == 0) {
        usleep(1000);
    }
    usleep(20000);
    ok(rv == CKR_GENERAL_ERROR, "it hangs");
    tell("calm");
    pthread_join(thread, NULL);
    ok(rv == CKR_OK, "until it may get on");
}

static void *sign_in_own(void *unused)
{
    CK_SESSION_HANDLE own;

    (void)unused;
    open_session(&own);
    for (int i = 0; i < 5; i++) {
        sign_in(own);
    }
    p11->C_CloseSession(own);
    return NULL;
}

static double time_of_threads(void)
{
    double from = seconds();
    pthread_t threads[4];

    for (size_t i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, sign_in_own, NULL);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    return seconds() - from;
}

static void it_serialises(void)
{
    tell("Sign:delay=10000 serialise");
    ok(time_of_threads() >= 4 * 5 * 0.01, "it does one thing at a time, if told");
    tell("calm");
}

static void sessions_are_few(void)
{
    CK_SESSION_HANDLE own[3];
    pid_t child;
    int status = 1;

    tell("max-sessions=3"); /* one of which is ours already */
    ok(open_session(&own[0]) == CKR_OK && open_session(&own[1]) == CKR_OK &&
           open_session(&own[2]) == CKR_SESSION_COUNT && counts->sessions_refused == 1,
       "it has no more sessions than was told");
    child = fork();
    if (child == 0) {
        _exit(open_session(&own[2]) == CKR_SESSION_COUNT ? 0 : 1);
    }
    waitpid(child, &status, 0);
    ok(status == 0, "not even for another process");
    p11->C_CloseSession(own[0]);
    ok(open_session(&own[0]) == CKR_OK, "a closed one makes room");
    p11->C_CloseSession(own[0]);
    p11->C_CloseSession(own[1]);
    tell("calm");
}

static void sessions_are_lost(void)
{
    CK_RV rv;

    counts_forget(counts);
    tell("lose");
    ok(sign_in(session) == CKR_SESSION_HANDLE_INVALID && counts->lost == 1, "all sessions are lost");
    ok(begin_again() && sign_in(session) == CKR_OK, "once");
    tell("Sign:lose");
    ok(sign_in(session) == CKR_SESSION_HANDLE_INVALID, "or at a certain call");
    begin_again();
    tell("lose-every=10");
    for (int i = 0; i < 10; i++) {
        sign_in(session);
    }
    ok(sign_in(session) == CKR_SESSION_HANDLE_INVALID && counts->lost > 2, "or again and again");
    tell("calm");
    begin_again();
    tell("log-out");
    rv = sign_in(session);
    ok(rv == CKR_USER_NOT_LOGGED_IN || rv == CKR_OBJECT_HANDLE_INVALID || rv == CKR_KEY_HANDLE_INVALID,
       "the login is lost behind the user's back (0x%lx)", rv);
    ok(counts->logged_out == 1 && log_in() == CKR_OK, "and can be made again");
    key = find(CKO_PRIVATE_KEY, "ec");
    ok(sign_in(session) == CKR_OK, "in the same session");
}

static void it_goes_and_comes(void)
{
    CK_SLOT_INFO info;
    CK_TOKEN_INFO token;
    CK_ULONG num = 0;
    CK_SLOT_ID before = slot;

    tell("go-away");
    ok(sign_in(session) == CKR_DEVICE_REMOVED, "a token that is gone does not sign");
    ok(p11->C_GetSlotList(CK_TRUE, NULL, &num) == CKR_OK && num == 0, "its slot is in no list");
    ok(p11->C_GetSlotList(CK_FALSE, NULL, &num) == CKR_OK && num > 0 && p11->C_GetSlotInfo(slot, &info) == CKR_OK &&
           (info.flags & CKF_TOKEN_PRESENT) == 0,
       "but in that of the empty ones");
    ok(p11->C_GetTokenInfo(slot, &token) == CKR_TOKEN_NOT_PRESENT && !begin_again(), "and opens no session");
    tell("come-back=77");
    ok(sign_in(session) == CKR_SESSION_HANDLE_INVALID, "when it is back, its sessions are lost");
    ok(!begin_again() && find_slot() && slot == before + 77 && begin_again() && sign_in(session) == CKR_OK,
       "and it is in another slot, and signs");
    tell("away=CKR_GENERAL_ERROR");
    ok(sign_in(session) == CKR_GENERAL_ERROR, "a token may be gone by another name");
    tell("come-back");
    ok(find_slot() && slot == before && begin_again() && sign_in(session) == CKR_OK, "and come back where it was");
    tell("Sign:go-away:rv=CKR_DEVICE_ERROR");
    ok(sign_in(session) == CKR_DEVICE_ERROR && counts->away, "or go in the middle of a signature");
    tell("come-back");
    begin_again();
}

static void it_is_poor(void)
{
    counts_forget(counts);
    counts->without = CKM_ECDSA + 1;
    ok(sign_in(session) == CKR_MECHANISM_INVALID && calls(COUNT_SignInit) == 1, "it lacks a mechanism");
    tell("calm");
    ok(sign_in(session) == CKR_OK, "and has it again");
}

static void nonsense_is_refused(void)
{
    static const char *const words[] = {
        "SignInit",
        "SignInit:",
        "Sing:rv=5",
        "SignInit:rv=CKR_NONSENSE",
        "SignInit:rv=",
        "SignInit:nth=0:rv=5",
        "SignInit:nth=2",
        "SignInit:left",
        "SignInit:rv=5:left=1",
        "delay=often",
        "lose=1",
        "max-sessions=-1",
        "come-back=there",
        "SignInit:rv=5:times=",
        "away=",
    };
    char wrong[256];

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        ok(!counts_obey(counts, words[i], wrong) && strcmp(wrong, words[i]) == 0, "'%s' is refused", words[i]);
    }
    tell("calm");
}

static void *sign_often(void *unused)
{
    CK_SESSION_HANDLE own;

    (void)unused;
    open_session(&own);
    for (int i = 0; i < 250; i++) {
        sign_in(own);
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
    CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK };

    setvbuf(stdout, NULL, _IOLBF, 0); /* the child must not say the parent's lines again */
    counts = argc == 3 ? counts_map(getenv("SIGNET_TEST_COUNTS")) : NULL;
    p11 = counts == NULL ? NULL : list_of(argv[1]);
    if (!ok(p11 != NULL && list_is_whole(p11), "every function of the list is there")) {
        return tap_done();
    }
    pin = argv[2];
    if (ok(p11->C_Initialize(&args) == CKR_OK && find_slot() && begin_again(), "a key is found through it")) {
        it_counts();
        it_notes_secrets();
        calls_fail();
        operations_stay_active();
        it_is_slow();
        it_serialises();
        sessions_are_few();
        sessions_are_lost();
        it_goes_and_comes();
        it_is_poor();
        nonsense_is_refused();
        threads_and_children_count();
    }
    return tap_done();
}
