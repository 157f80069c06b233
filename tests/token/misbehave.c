#include "misbehave.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control.h"
#include "instance.h"

#define MOST_SESSIONS 1024

static struct counts *counts;
static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST limited; /* the real one with the page's sessions and slots */
static int places_fd = -1;
static const char *only; /* the label of the one token that is shown; NULL: all are */

/* State of this process. */
static pthread_rwlock_t in_module = PTHREAD_RWLOCK_INITIALIZER;
static pthread_mutex_t places_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic CK_SESSION_HANDLE places[MOST_SESSIONS]; /* the session that holds a place; 0: none of ours */
static _Atomic unsigned losses_seen;
static _Atomic unsigned logouts_seen;

/* --- sessions, whose number is limited for all processes together ------------------------------------------------ */

/* A place is a byte of a file that this process has locked, so that it is free again when the process is gone. */
static int place_lock(size_t place, short type)
{
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)place, .l_len = 1 };

    return places_fd < 0 || fcntl(places_fd, F_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES);
}

static CK_RV place_take(size_t *out_place)
{
    size_t most = counts->max_sessions == 0 ? MOST_SESSIONS : counts->max_sessions;
    size_t place = 0;

    pthread_mutex_lock(&places_lock);
    while (place < most && place < MOST_SESSIONS && (places[place] != 0 || !place_lock(place, F_WRLCK))) {
        place++;
    }
    if (place < most && place < MOST_SESSIONS) {
        places[place] = (CK_SESSION_HANDLE)-1;
        *out_place = place;
    }
    pthread_mutex_unlock(&places_lock);
    return place < most && place < MOST_SESSIONS ? CKR_OK : CKR_SESSION_COUNT;
}

static void place_set(size_t place, CK_SESSION_HANDLE session)
{
    pthread_mutex_lock(&places_lock);
    places[place] = session;
    if (session == 0) {
        place_lock(place, F_UNLCK);
    }
    pthread_mutex_unlock(&places_lock);
}

static void place_leave(CK_SESSION_HANDLE session)
{
    for (size_t i = 0; i < MOST_SESSIONS; i++) {
        if (places[i] == session) {
            place_set(i, 0);
            return;
        }
    }
}

static void places_leave(void)
{
    for (size_t i = 0; i < MOST_SESSIONS; i++) {
        if (places[i] != 0 && places[i] != (CK_SESSION_HANDLE)-1) {
            place_set(i, 0);
        }
    }
}

static CK_RV limited_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify, CK_SESSION_HANDLE *s)
{
    size_t place;
    CK_RV rv = place_take(&place);

    if (rv != CKR_OK) {
        counts->sessions_refused++;
        return rv;
    }
    rv = real->C_OpenSession(slot, flags, app, notify, s);
    place_set(place, rv == CKR_OK ? *s : 0);
    return rv;
}

static CK_RV limited_CloseSession(CK_SESSION_HANDLE s)
{
    CK_RV rv = real->C_CloseSession(s);

    if (rv == CKR_OK) {
        place_leave(s);
    }
    return rv;
}

/* Those of other slots stay counted, which a test with several tokens must know. */
static CK_RV limited_CloseAllSessions(CK_SLOT_ID slot)
{
    CK_RV rv = real->C_CloseAllSessions(slot);

    if (rv == CKR_OK) {
        places_leave();
    }
    return rv;
}

static CK_RV limited_Finalize(void *reserved)
{
    CK_RV rv = real->C_Finalize(reserved);

    if (rv == CKR_OK) {
        places_leave();
    }
    return rv;
}

/* --- slots, which may have other numbers, and tokens that are not there ------------------------------------------- */

CK_SLOT_ID slot_behind(CK_SLOT_ID slot)
{
    return slot - counts->slot_shift;
}

static int is_shown(CK_SLOT_ID slot)
{
    CK_TOKEN_INFO info;

    return only == NULL || (real->C_GetTokenInfo(slot, &info) == CKR_OK && strlen(only) <= sizeof(info.label) &&
                            strncmp((const char *)info.label, only, strlen(only)) == 0);
}

static CK_RV limited_GetSlotList(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *num)
{
    CK_SLOT_ID slots[64];
    CK_ULONG all = 64;
    CK_ULONG room = *num;
    CK_RV rv;

    *num = 0;
    if (present && counts->away) {
        return CKR_OK;
    }
    rv = real->C_GetSlotList(present, slots, &all);
    for (CK_ULONG i = 0; rv == CKR_OK && i < all; i++) {
        if (!is_shown(slots[i])) {
            continue;
        }
        if (list != NULL && *num < room) {
            list[*num] = slots[i] + counts->slot_shift;
        }
        ++*num;
    }
    return rv == CKR_OK && list != NULL && *num > room ? CKR_BUFFER_TOO_SMALL : rv;
}

static CK_RV limited_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    CK_RV rv = real->C_GetSlotInfo(slot, info);

    if (rv == CKR_OK && counts->away) {
        info->flags &= ~(CK_FLAGS)CKF_TOKEN_PRESENT;
    }
    return rv;
}

static CK_RV limited_GetSessionInfo(CK_SESSION_HANDLE s, CK_SESSION_INFO *info)
{
    CK_RV rv = real->C_GetSessionInfo(s, info);

    if (rv == CKR_OK) {
        info->slotID += counts->slot_shift;
    }
    return rv;
}

static CK_RV limited_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved)
{
    CK_RV rv = real->C_WaitForSlotEvent(flags, slot, reserved);

    if (rv == CKR_OK) {
        *slot += counts->slot_shift;
    }
    return rv;
}

/* What a call gets for an answer because the token is away; CKR_OK if it concerns none. */
static CK_RV away_answer(enum count which)
{
    switch (which) {
    case COUNT_Initialize:
    case COUNT_Finalize:
    case COUNT_GetInfo:
    case COUNT_GetSlotList:
    case COUNT_GetSlotInfo:
    case COUNT_WaitForSlotEvent:
    case COUNT_GetFunctionList:
    case COUNT_GetInterfaceList:
    case COUNT_GetInterface:
        return CKR_OK;
    case COUNT_GetTokenInfo:
    case COUNT_GetMechanismList:
    case COUNT_GetMechanismInfo:
    case COUNT_InitToken:
    case COUNT_OpenSession:
    case COUNT_CloseAllSessions:
        return CKR_TOKEN_NOT_PRESENT;
    default:
        return counts->away_with != CKR_OK ? counts->away_with : CKR_DEVICE_REMOVED;
    }
}

/* A poor token: it has not all that the one behind has. */
static int lacks(const CK_MECHANISM *mech)
{
    return mech != NULL && counts->without == mech->mechanism + 1;
}

static CK_RV limited_SignInit(CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE key)
{
    return lacks(mech) ? CKR_MECHANISM_INVALID : real->C_SignInit(s, mech, key);
}

static CK_RV limited_DecryptInit(CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE key)
{
    return lacks(mech) ? CKR_MECHANISM_INVALID : real->C_DecryptInit(s, mech, key);
}

/* --- what happens to the token while nobody calls ------------------------------------------------------------------
 */

static void on_every_slot(void (*act)(CK_SLOT_ID slot))
{
    CK_SLOT_ID slots[64];
    CK_ULONG num = 64;

    if (real->C_GetSlotList(CK_TRUE, slots, &num) != CKR_OK) {
        return; /* not initialised: there is nothing to take away */
    }
    for (CK_ULONG i = 0; i < num; i++) {
        act(slots[i]);
    }
}

static void lose_sessions(CK_SLOT_ID slot)
{
    real->C_CloseAllSessions(slot);
}

static void log_out(CK_SLOT_ID slot)
{
    CK_SESSION_HANDLE s;

    if (real->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &s) == CKR_OK) {
        real->C_Logout(s);
        real->C_CloseSession(s);
    }
}

/* Nobody is in the module meanwhile: modules do not expect what we do here. */
static void events_happen(void)
{
    if (counts->losses == losses_seen && counts->logouts == logouts_seen) {
        return;
    }
    pthread_rwlock_wrlock(&in_module);
    if (counts->losses != losses_seen) {
        losses_seen = counts->losses;
        on_every_slot(lose_sessions);
        places_leave();
        counts->lost++;
    }
    if (counts->logouts != logouts_seen) {
        logouts_seen = counts->logouts;
        on_every_slot(log_out);
        counts->logged_out++;
    }
    pthread_rwlock_unlock(&in_module);
}

static void effects_happen(unsigned effects)
{
    if ((effects & EFFECT_LOSE) != 0) {
        counts->losses++;
    }
    if ((effects & EFFECT_LOG_OUT) != 0) {
        counts->logouts++;
    }
    if ((effects & EFFECT_GO_AWAY) != 0) {
        counts_go_away(counts);
    }
    events_happen();
}

/* --- one call ------------------------------------------------------------------------------------------------------
 */

void calls_in(void)
{
    pthread_rwlock_rdlock(&in_module);
}

void calls_out(void)
{
    pthread_rwlock_unlock(&in_module);
}

/* Functions that end what others have begun: to be as good as not made, such a call must be made. */
static int is_end(enum count which)
{
    static const unsigned char ends[NUM_COUNTS] = {
        [COUNT_Finalize] = 1,
        [COUNT_CloseSession] = 1,
        [COUNT_CloseAllSessions] = 1,
        [COUNT_Logout] = 1,
        [COUNT_FindObjectsFinal] = 1,
        [COUNT_Sign] = 1,
        [COUNT_SignFinal] = 1,
        [COUNT_Decrypt] = 1,
        [COUNT_DecryptFinal] = 1,
        [COUNT_Encrypt] = 1,
        [COUNT_EncryptFinal] = 1,
        [COUNT_Digest] = 1,
        [COUNT_DigestFinal] = 1,
        [COUNT_Verify] = 1,
        [COUNT_VerifyFinal] = 1,
        [COUNT_SignRecover] = 1,
        [COUNT_VerifyRecover] = 1,
        [COUNT_MessageSignFinal] = 1,
        [COUNT_MessageVerifyFinal] = 1,
        [COUNT_MessageEncryptFinal] = 1,
        [COUNT_MessageDecryptFinal] = 1,
        [COUNT_SessionCancel] = 1,
    };

    return ends[which];
}

/* Takes one of a number, if there is one. */
static int take_one(_Atomic unsigned *number)
{
    unsigned left = *number;

    while (left > 0 && left != FOREVER && !atomic_compare_exchange_weak(number, &left, left - 1)) {
    }
    return left > 0;
}

static int strikes(struct fault *fault)
{
    return fault->times > 0 && !take_one(&fault->after) && take_one(&fault->times);
}

static void pause_us(unsigned long us)
{
    struct timespec time = { (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };

    while (nanosleep(&time, &time) != 0 && errno == EINTR) {
    }
}

static void hang(const struct fault *fault)
{
    unsigned ms = fault->hang_ms;

    if (ms != FOREVER && ms > 0) { /* a pause of nothing would yield the processor */
        pause_us(ms * 1000ul);
    }
    while (ms == FOREVER && fault->hang_ms == FOREVER) {
        pause_us(1000);
    }
}

static void turn_make(void)
{
    unsigned unmade = 0;
    pthread_mutexattr_t shared;

    if (!atomic_compare_exchange_strong(&counts->turn_made, &unmade, 1)) {
        while (counts->turn_made != 2) {
            pause_us(100);
        }
        return;
    }
    pthread_mutexattr_init(&shared);
    pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&shared, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&counts->turn, &shared);
    counts->turn_made = 2;
}

static int turn_take(enum count which)
{
    if (!counts->serialise || which == COUNT_WaitForSlotEvent) {
        return 0;
    }
    if (pthread_mutex_lock(&counts->turn) == EOWNERDEAD) {
        pthread_mutex_consistent(&counts->turn);
    }
    return 1;
}

struct verdict call_begin(enum count which)
{
    struct verdict verdict = { CKR_OK, 1, 0 };
    struct fault *fault = &counts->faults[which];

    counts->calls[which]++;
    if (counts->lose_every != 0 && counts_total(counts) % counts->lose_every == 0) {
        counts->losses++;
    }
    events_happen();
    verdict.serialised = turn_take(which);
    if (counts->delay_us[which] > 0) {
        pause_us(counts->delay_us[which]);
    }
    if (strikes(fault)) {
        fault->struck++;
        hang(fault);
        effects_happen(fault->effects);
        verdict.rv = fault->with;
        verdict.hand_on = verdict.rv == CKR_OK || is_end(which) != (fault->left != 0);
    }
    if (counts->away && away_answer(which) != CKR_OK) {
        verdict.rv = verdict.rv == CKR_OK ? away_answer(which) : verdict.rv;
        verdict.hand_on = 0;
    }
    if (verdict.hand_on) {
        calls_in();
    }
    return verdict;
}

CK_RV call_end(const struct verdict *verdict, CK_RV rv)
{
    if (verdict->hand_on) {
        calls_out();
    }
    if (verdict->serialised) {
        pthread_mutex_unlock(&counts->turn);
    }
    return verdict->rv != CKR_OK ? verdict->rv : rv;
}

/* --- the start -----------------------------------------------------------------------------------------------------
 */

/* The child's one thread is in no module, and the places are the parent's. */
static void start_in_child(void)
{
    pthread_rwlock_init(&in_module, NULL);
    pthread_mutex_init(&places_lock, NULL);
    memset(places, 0, sizeof(places));
}

CK_FUNCTION_LIST *misbehave_start(struct counts *page, CK_FUNCTION_LIST *list)
{
    const char *path = instance_setting("SIGNET_TEST_COUNTS");
    char places_path[4096];

    counts = page;
    real = list;
    only = instance_setting("SIGNET_TEST_ONLY");
    limited = *list;
#define LIMIT(name) limited.C_##name = limited_##name
    LIMIT(OpenSession), LIMIT(CloseSession), LIMIT(CloseAllSessions), LIMIT(Finalize);
    LIMIT(GetSlotList), LIMIT(GetSlotInfo), LIMIT(GetSessionInfo), LIMIT(WaitForSlotEvent);
    LIMIT(SignInit), LIMIT(DecryptInit);
#undef LIMIT
    if (path != NULL) {
        snprintf(places_path, sizeof(places_path), "%s.sessions", path);
        places_fd = open(places_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    }
    losses_seen = counts->losses;
    logouts_seen = counts->logouts;
    turn_make();
    pthread_atfork(NULL, NULL, start_in_child);
    return &limited;
}
