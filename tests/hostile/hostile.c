#include "hostile.h"

#include <pthread.h>
#include <string.h>

#include "pkcs11/result/cryptoki.h"

#define MOST_BYTES 65536
#define WORD 8

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char program[MOST_BYTES];
static size_t program_len;
static size_t at;       /* in the program */
static unsigned passed; /* calls since the last record */
static const unsigned char *forever[HOSTILE_NUM_FUNCTIONS];
static struct arranged {
    unsigned char record[HOSTILE_RECORD];
    unsigned passed;
    int is_due;
} arranged[HOSTILE_NUM_FUNCTIONS];
static int pin_was_refused;
static int pin_was_accepted;
static struct hostile_seen own;
static struct hostile_seen *seen = &own;

static CK_FUNCTION_LIST *real;
static const struct tok_functions_3 *real_3;

/* --- tables ------------------------------------------------------------------------------------------------------- */

/* One or two of each kind of recovery first, then what is left: few cases take the first ones. */
static const CK_RV codes[] = {
    0x5 /* GENERAL_ERROR */,
    0xb3 /* SESSION_HANDLE_INVALID */,
    0x150 /* BUFFER_TOO_SMALL */,
    0xe1 /* TOKEN_NOT_RECOGNIZED */,
    0x101 /* USER_NOT_LOGGED_IN */,
    0x190 /* CRYPTOKI_NOT_INITIALIZED */,
    0xa0 /* PIN_INCORRECT */,
    0x32 /* DEVICE_REMOVED */,
    0xb7 /* SESSION_EXISTS */,
    0x12 /* ATTRIBUTE_TYPE_INVALID */,
    0x90 /* OPERATION_ACTIVE */,
    0x54 /* FUNCTION_NOT_SUPPORTED */,
    0x2 /* HOST_MEMORY */,
    0x6 /* FUNCTION_FAILED */,
    0x7 /* ARGUMENTS_BAD */,
    0x11 /* ATTRIBUTE_SENSITIVE */,
    0x30 /* DEVICE_ERROR */,
    0x31 /* DEVICE_MEMORY */,
    0x60 /* KEY_HANDLE_INVALID */,
    0x70 /* MECHANISM_INVALID */,
    0x82 /* OBJECT_HANDLE_INVALID */,
    0x91 /* OPERATION_NOT_INITIALIZED */,
    0xa4 /* PIN_LOCKED */,
    0xb0 /* SESSION_CLOSED */,
    0xb1 /* SESSION_COUNT */,
    0xe0 /* TOKEN_NOT_PRESENT */,
    0x100 /* USER_ALREADY_LOGGED_IN */,
    0x191 /* CRYPTOKI_ALREADY_INITIALIZED */,
    0x80000000 /* VENDOR_DEFINED */,
    0xdeadbeef,
    (CK_RV)-1,
};
static const unsigned char patterns[] = { 0x00, 0xff, 0x41, 0x1b, 0x0a, 0x80, 0x25, 0x04 };

#define SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define NUM_LENGTHS 16

/* Lengths and counts, where there is room for `room` things of `unit` bytes, and `right` would be said. */
static CK_ULONG length_of(unsigned char arg, CK_ULONG room, CK_ULONG unit, CK_ULONG right)
{
    const CK_ULONG lengths[NUM_LENGTHS] = {
        0,
        (CK_ULONG)-1,
        room + 1,
        room + 6,
        (CK_ULONG)-1 / unit + 2, /* its product with the unit wraps, to a little */
        right - 1,
        right + 1,
        (CK_ULONG)-2,
        room,
        1,
        2 * room + 1,
        0x7fffffff,
        0x80000000,
        0x100000000,
        (CK_ULONG)1 << 63,
        (CK_ULONG)-1 / unit,
    };

    return lengths[arg % NUM_LENGTHS];
}

/* --- one call ----------------------------------------------------------------------------------------------------- */

/* What a call gives. */
struct answer {
    enum hostile_function which;
    void *data;      /* a value, or a list */
    CK_ULONG unit;   /* bytes of one thing there; 0: there is none */
    CK_ULONG room;   /* things */
    CK_ULONG *count; /* NULL: one thing */
    CK_ATTRIBUTE *attrs;
    CK_ULONG num_attrs;
    const unsigned char *odd; /* the record; NULL: as it should be */
    int made;
    CK_RV rv;
};

enum { NO_OUTPUT, VALUE, LIST, ATTRIBUTES };

static const struct row {
    const char *name;
    int gives;
} rows[] = {
#define ROW(name, gives) [HOSTILE_##name] = { "C_" #name, gives }
    ROW(Initialize, NO_OUTPUT),
    ROW(Finalize, NO_OUTPUT),
    ROW(GetInfo, VALUE),
    ROW(GetSlotList, LIST),
    ROW(GetSlotInfo, VALUE),
    ROW(GetTokenInfo, VALUE),
    ROW(GetMechanismList, LIST),
    ROW(OpenSession, VALUE),
    ROW(GetSessionInfo, VALUE),
    ROW(CloseSession, NO_OUTPUT),
    ROW(Login, NO_OUTPUT),
    ROW(FindObjectsInit, NO_OUTPUT),
    ROW(FindObjects, LIST),
    ROW(FindObjectsFinal, NO_OUTPUT),
    ROW(GetAttributeValue, ATTRIBUTES),
    ROW(SignInit, NO_OUTPUT),
    ROW(Sign, LIST),
    ROW(DecryptInit, NO_OUTPUT),
    ROW(Decrypt, LIST),
    ROW(DeriveKey, VALUE),
    ROW(DestroyObject, NO_OUTPUT),
    ROW(MessageSignInit, NO_OUTPUT),
    ROW(SignMessage, LIST),
    ROW(MessageSignFinal, NO_OUTPUT),
};

unsigned hostile_kinds(enum hostile_function which)
{
    static const unsigned kinds[] = { [NO_OUTPUT] = 3, [VALUE] = 5, [LIST] = 9, [ATTRIBUTES] = NUM_ODDS };

    return kinds[rows[which].gives];
}

const char *hostile_name(enum hostile_function which)
{
    return rows[which].name;
}

unsigned hostile_args(enum odd kind)
{
    switch (kind) {
    case ODD_CODE:
    case ODD_CODE_AFTER:
        return SIZE(codes);
    case ODD_SILENCE:
    case ODD_TEMPLATE:
        return 1;
    case ODD_FILL:
    case ODD_FILL_WORD:
    case ODD_FULL:
        return SIZE(patterns);
    default:
        return NUM_LENGTHS;
    }
}

static enum odd kind_of(const struct answer *answer)
{
    return (enum odd)((answer->odd[1] & ~ODD_FOREVER) % (int)hostile_kinds(answer->which));
}

/* Requires the lock. */
static void note(enum hostile_function which)
{
    if (seen->calls < HOSTILE_MOST_NOTED) {
        seen->called[seen->calls] = (unsigned char)which;
    }
    seen->calls++;
}

/* Whether the odd answer is one that nobody can tell from a true one who does not know that. */
static int might_be_true(const struct answer *answer)
{
    enum odd kind = kind_of(answer);
    int is_zero = patterns[answer->odd[2] % SIZE(patterns)] == 0;

    if (answer->attrs != NULL) {
        return kind == ODD_FILL_WORD || (kind == ODD_FILL && !is_zero) || kind == ODD_LENGTH ||
               kind == ODD_LENGTH_SMALL;
    }
    return kind == ODD_FILL_WORD || ((kind == ODD_FILL || kind == ODD_FULL) && !is_zero);
}

/* Requires the lock. */
static void note_odd(const struct answer *answer)
{
    seen->struck++;
    if (might_be_true(answer)) {
        seen->false_attributes += answer->which == HOSTILE_GetAttributeValue;
        seen->false_outputs += answer->which == HOSTILE_Sign || answer->which == HOSTILE_SignMessage;
    }
}

static const unsigned char *arranged_next(struct arranged *next)
{
    if (!next->is_due || next->passed++ < next->record[0]) {
        return NULL;
    }
    next->is_due = (next->record[1] & ODD_FOREVER) != 0;
    return next->record;
}

static void odd_begin(struct answer *answer)
{
    pthread_mutex_lock(&lock);
    note(answer->which);
    answer->odd = arranged_next(&arranged[answer->which]);
    answer->odd = forever[answer->which] != NULL ? forever[answer->which] : answer->odd;
    if (at + HOSTILE_RECORD <= program_len && passed++ == program[at]) {
        answer->odd = program + at;
        if ((program[at + 1] & ODD_FOREVER) != 0) {
            forever[answer->which] = program + at;
        }
        at += HOSTILE_RECORD;
        passed = 0;
    }
    if (answer->odd != NULL) {
        note_odd(answer);
    }
    pthread_mutex_unlock(&lock);
    answer->made = 1;
    answer->rv = CKR_OK;
    if (answer->odd != NULL) {
        enum odd kind = kind_of(answer);

        answer->made = kind != ODD_CODE && kind != ODD_SILENCE && kind != ODD_LENGTH_ONLY;
    }
}

static CK_ULONG least(CK_ULONG a, CK_ULONG b)
{
    return a < b ? a : b;
}

/* What of a value is there, in bytes: of a list no more than there is room for. */
static CK_ULONG bytes_in(const struct answer *answer)
{
    CK_ULONG count = answer->count != NULL ? least(*answer->count, answer->room) : answer->room;

    return answer->data == NULL ? 0 : count * answer->unit;
}

static void fill(void *data, CK_ULONG len, const unsigned char *odd, enum odd kind)
{
    unsigned char *bytes = data;
    CK_ULONG begin = kind == ODD_FILL_WORD && len > 0 ? odd[3] % ((len + WORD - 1) / WORD) * WORD : 0;
    CK_ULONG some = kind == ODD_FILL_WORD ? least(WORD, len - begin) : len;

    if (bytes != NULL && len > 0) {
        memset(bytes + begin, patterns[odd[2] % SIZE(patterns)], some);
    }
}

/* `rooms` is what the caller had in his template before the call. */
static CK_RV odd_attributes(const struct answer *answer, const CK_ULONG *rooms)
{
    const unsigned char *odd = answer->odd;
    CK_ULONG i = answer->num_attrs > 0 ? odd[3] % answer->num_attrs : 0;
    CK_ATTRIBUTE *attr = &answer->attrs[i];
    enum odd kind = kind_of(answer);

    if (answer->num_attrs == 0) {
        return answer->rv;
    }
    switch (kind) {
    case ODD_FILL:
    case ODD_FILL_WORD:
        if (attr->ulValueLen <= rooms[i]) {
            fill(attr->pValue, attr->ulValueLen, odd, kind);
        }
        return answer->rv;
    case ODD_LENGTH:
    case ODD_LENGTH_ONLY:
    case ODD_LENGTH_SMALL:
        attr->ulValueLen = length_of(odd[2], rooms[i], 1, attr->ulValueLen);
        return kind == ODD_LENGTH_SMALL ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    case ODD_FULL:
        for (i = 0; i < answer->num_attrs; i++) {
            answer->attrs[i].ulValueLen = (CK_ULONG)-1;
        }
        return CKR_OK;
    default:
        for (i = 0; i < answer->num_attrs; i++) {
            answer->attrs[i].type = 0;
            answer->attrs[i].pValue = (void *)(size_t)WORD;
        }
        return CKR_OK;
    }
}

static void repeat(const struct answer *answer, const unsigned char *odd)
{
    int as_it_is = odd[2] % SIZE(patterns) == SIZE(patterns) - 1 && *answer->count > 0;

    *answer->count = answer->room;
    if (!as_it_is) {
        fill(answer->data, bytes_in(answer), odd, ODD_FILL);
    }
    for (CK_ULONG i = 1; as_it_is && answer->data != NULL && i < answer->room; i++) {
        memcpy((char *)answer->data + i * answer->unit, answer->data, answer->unit);
    }
}

static CK_RV odd_list(const struct answer *answer)
{
    const unsigned char *odd = answer->odd;
    enum odd kind = kind_of(answer);

    switch (kind) {
    case ODD_FILL:
    case ODD_FILL_WORD:
        fill(answer->data, bytes_in(answer), odd, kind);
        return answer->rv;
    case ODD_FULL:
        repeat(answer, odd);
        return CKR_OK;
    default:
        *answer->count = length_of(odd[2], answer->room, answer->unit, *answer->count);
        return kind == ODD_LENGTH_SMALL ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    }
}

static CK_RV odd_end(const struct answer *answer, const CK_ULONG *rooms)
{
    enum odd kind;

    if (answer->odd == NULL) {
        return answer->rv;
    }
    kind = kind_of(answer);
    if (kind == ODD_CODE || kind == ODD_CODE_AFTER) {
        return codes[answer->odd[2] % SIZE(codes)];
    }
    if (kind == ODD_SILENCE) {
        return CKR_OK;
    }
    if (answer->attrs != NULL) {
        return odd_attributes(answer, rooms);
    }
    if (answer->count != NULL) {
        return odd_list(answer);
    }
    fill(answer->data, bytes_in(answer), answer->odd, kind);
    return answer->rv;
}

/* --- the functions ------------------------------------------------------------------------------------------------ */

#define ANSWER(name, list, args, ...)                                                                                  \
    struct answer answer = { .which = HOSTILE_##name, __VA_ARGS__ };                                                   \
    odd_begin(&answer);                                                                                                \
    if (answer.made) {                                                                                                 \
        answer.rv = list->C_##name args;                                                                               \
    }                                                                                                                  \
    return odd_end(&answer, NULL)

#define A_VALUE(pointer) .data = pointer, .unit = sizeof(*(pointer)), .room = 1
#define A_LIST(pointer, places, number)                                                                                \
    .data = pointer, .unit = sizeof(*(pointer)), .room = (pointer) == NULL ? 0 : (places), .count = number

static CK_RV hostile_Initialize(void *args)
{
    ANSWER(Initialize, real, (args), .data = NULL);
}

static CK_RV hostile_Finalize(void *reserved)
{
    ANSWER(Finalize, real, (reserved), .data = NULL);
}

static CK_RV hostile_GetInfo(CK_INFO *info)
{
    ANSWER(GetInfo, real, (info), A_VALUE(info));
}

static CK_RV hostile_GetSlotList(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *num)
{
    ANSWER(GetSlotList, real, (present, list, num), A_LIST(list, *num, num));
}

static CK_RV hostile_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    ANSWER(GetSlotInfo, real, (slot, info), A_VALUE(info));
}

static CK_RV hostile_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    ANSWER(GetTokenInfo, real, (slot, info), A_VALUE(info));
}

static CK_RV hostile_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *num)
{
    ANSWER(GetMechanismList, real, (slot, list, num), A_LIST(list, *num, num));
}

static CK_RV hostile_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify, CK_SESSION_HANDLE *s)
{
    ANSWER(OpenSession, real, (slot, flags, app, notify, s), A_VALUE(s));
}

static CK_RV hostile_GetSessionInfo(CK_SESSION_HANDLE s, CK_SESSION_INFO *info)
{
    ANSWER(GetSessionInfo, real, (s, info), A_VALUE(info));
}

static CK_RV hostile_CloseSession(CK_SESSION_HANDLE s)
{
    ANSWER(CloseSession, real, (s), .data = NULL);
}

static CK_RV login(CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG pin_len)
{
    ANSWER(Login, real, (s, user, pin, pin_len), .data = NULL);
}

/* Whether a PIN may have been looked at, and refused: any code but those of what was wrong before. */
static int may_refuse_pin(CK_RV rv)
{
    static const CK_RV others[] = {
        CKR_OK,
        0x32 /* DEVICE_REMOVED */,
        0xb0 /* SESSION_CLOSED */,
        0xb3 /* SESSION_HANDLE_INVALID */,
        0xe0 /* TOKEN_NOT_PRESENT */,
        0x100 /* USER_ALREADY_LOGGED_IN */,
        0x104 /* USER_ANOTHER_ALREADY_LOGGED_IN */,
        0x190 /* CRYPTOKI_NOT_INITIALIZED */,
    };

    for (size_t i = 0; i < SIZE(others); i++) {
        if (others[i] == rv) {
            return 0;
        }
    }
    return 1;
}

static CK_RV hostile_Login(CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG pin_len)
{
    CK_RV rv = login(s, user, pin, pin_len);

    pthread_mutex_lock(&lock);
    seen->pins += pin != NULL;
    seen->pins_after_refusal += pin != NULL && pin_was_refused;
    pin_was_accepted |= rv == CKR_OK;
    pin_was_refused |= pin != NULL && !pin_was_accepted && may_refuse_pin(rv);
    pthread_mutex_unlock(&lock);
    return rv;
}

static CK_RV hostile_FindObjectsInit(CK_SESSION_HANDLE s, CK_ATTRIBUTE *attrs, CK_ULONG num)
{
    ANSWER(FindObjectsInit, real, (s, attrs, num), .data = NULL);
}

static CK_RV hostile_FindObjects(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE *list, CK_ULONG most, CK_ULONG *num)
{
    ANSWER(FindObjects, real, (s, list, most, num), A_LIST(list, most, num));
}

static CK_RV hostile_FindObjectsFinal(CK_SESSION_HANDLE s)
{
    ANSWER(FindObjectsFinal, real, (s), .data = NULL);
}

#define MOST_ATTRS 64

static CK_RV hostile_GetAttributeValue(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attrs, CK_ULONG num)
{
    struct answer answer = { .which = HOSTILE_GetAttributeValue, .attrs = attrs, .num_attrs = least(num, MOST_ATTRS) };
    CK_ULONG rooms[MOST_ATTRS];

    for (CK_ULONG i = 0; i < answer.num_attrs; i++) {
        rooms[i] = attrs[i].pValue != NULL ? attrs[i].ulValueLen : 0;
    }
    odd_begin(&answer);
    if (answer.made) {
        answer.rv = real->C_GetAttributeValue(s, object, attrs, num);
    }
    return odd_end(&answer, rooms);
}

static CK_RV hostile_SignInit(CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE key)
{
    ANSWER(SignInit, real, (s, mech, key), .data = NULL);
}

static CK_RV hostile_Sign(CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    ANSWER(Sign, real, (s, in, in_len, out, out_len), A_LIST(out, *out_len, out_len));
}

static CK_RV hostile_DecryptInit(CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE key)
{
    ANSWER(DecryptInit, real, (s, mech, key), .data = NULL);
}

static CK_RV hostile_Decrypt(CK_SESSION_HANDLE s, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out, CK_ULONG *out_len)
{
    ANSWER(Decrypt, real, (s, in, in_len, out, out_len), A_LIST(out, *out_len, out_len));
}

static CK_RV hostile_DeriveKey(CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE base, CK_ATTRIBUTE *attrs,
                               CK_ULONG num, CK_OBJECT_HANDLE *out)
{
    ANSWER(DeriveKey, real, (s, mech, base, attrs, num, out), A_VALUE(out));
}

static CK_RV hostile_DestroyObject(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object)
{
    ANSWER(DestroyObject, real, (s, object), .data = NULL);
}

static CK_RV hostile_MessageSignInit(CK_SESSION_HANDLE s, CK_MECHANISM *mech, CK_OBJECT_HANDLE key)
{
    ANSWER(MessageSignInit, real_3, (s, mech, key), .data = NULL);
}

static CK_RV hostile_SignMessage(CK_SESSION_HANDLE s, void *params, CK_ULONG params_len, CK_BYTE *in, CK_ULONG in_len,
                                 CK_BYTE *out, CK_ULONG *out_len)
{
    ANSWER(SignMessage, real_3, (s, params, params_len, in, in_len, out, out_len), A_LIST(out, *out_len, out_len));
}

static CK_RV hostile_MessageSignFinal(CK_SESSION_HANDLE s)
{
    ANSWER(MessageSignFinal, real_3, (s), .data = NULL);
}

/* --- lists, and the drive ----------------------------------------------------------------------------------------- */

static struct tok_functions_3 front;

#define PUT(list, name) list.C_##name = hostile_##name

CK_FUNCTION_LIST *hostile_list(CK_FUNCTION_LIST *list, const struct tok_functions_3 *list_3)
{
    real = list;
    real_3 = list_3;
    if (list_3 != NULL) {
        front = *list_3;
        PUT(front, MessageSignInit);
        PUT(front, SignMessage);
        PUT(front, MessageSignFinal);
    } else {
        front.base = *list;
    }
    PUT(front.base, Initialize);
    PUT(front.base, Finalize);
    PUT(front.base, GetInfo);
    PUT(front.base, GetSlotList);
    PUT(front.base, GetSlotInfo);
    PUT(front.base, GetTokenInfo);
    PUT(front.base, GetMechanismList);
    PUT(front.base, OpenSession);
    PUT(front.base, GetSessionInfo);
    PUT(front.base, CloseSession);
    PUT(front.base, Login);
    PUT(front.base, FindObjectsInit);
    PUT(front.base, FindObjects);
    PUT(front.base, FindObjectsFinal);
    PUT(front.base, GetAttributeValue);
    PUT(front.base, SignInit);
    PUT(front.base, Sign);
    PUT(front.base, DecryptInit);
    PUT(front.base, Decrypt);
    PUT(front.base, DeriveKey);
    PUT(front.base, DestroyObject);
    return &front.base;
}

struct tok_functions_3 *hostile_list_3(void)
{
    return real_3 != NULL ? &front : NULL;
}

void hostile_watch(struct hostile_seen *where)
{
    seen = where != NULL ? where : &own;
}

const struct hostile_seen *hostile_seen(void)
{
    return seen;
}

void hostile_at(enum hostile_function which, const unsigned char record[HOSTILE_RECORD])
{
    pthread_mutex_lock(&lock);
    arranged[which] = (struct arranged){ .is_due = record != NULL };
    if (record != NULL) {
        memcpy(arranged[which].record, record, HOSTILE_RECORD);
    }
    pthread_mutex_unlock(&lock);
}

void hostile_drive(const unsigned char *bytes, size_t len)
{
    pthread_mutex_lock(&lock);
    program_len = len < MOST_BYTES ? len : MOST_BYTES;
    memcpy(program, bytes, program_len);
    at = 0;
    passed = 0;
    pin_was_refused = 0;
    pin_was_accepted = 0;
    memset(forever, 0, sizeof(forever));
    memset(seen, 0, sizeof(*seen));
    pthread_mutex_unlock(&lock);
}
