/* The PIV application of a card (NIST SP 800-73-4), as far as OpenSC uses it: objects, the PIN with its tries, and
 * signatures and key agreement with the keys 9A, 9C, 9D and 9E. The key 9C wants the PIN in the command right before
 * each of its own. What happens is written to the folder's log, a line a command. */
#include "apdu.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#define MOST_TRIES 3
#define PIN_LEN 8

enum { GOOD = 0x9000, WRONG_LENGTH = 0x6700, NOT_VERIFIED = 0x6982, BLOCKED = 0x6983, NO_INS = 0x6D00 };
enum { BAD_DATA = 0x6A80, NOT_FOUND = 0x6A82, BAD_P1P2 = 0x6A86, NO_KEY = 0x6A88, TRIES = 0x63C0 };

static const uint8_t application[] = { 0xA0, 0, 0, 3, 8, 0, 0, 0x10, 0, 1, 0 };
#define SHORTEST_NAME 5

static const struct slot {
    const char *name;
    uint8_t reference;
    uint32_t object; /* of its certificate */
    bool pin;        /* a PIN is wanted, */
    bool pin_always; /* each time */
} slots[] = {
    { "9a", 0x9A, 0x5FC105, true, false },
    { "9c", 0x9C, 0x5FC10A, true, true },
    { "9d", 0x9D, 0x5FC10B, true, false },
    { "9e", 0x9E, 0x5FC101, false, false },
};
#define NUM_SLOTS (sizeof(slots) / sizeof(slots[0]))

static struct {
    const char *folder;
    bool verified;      /* since the card was powered */
    bool verified_last; /* by the command before */
} card;

/* --- the folder ------------------------------------------------------------------------------------------------- */

static FILE *open_file(const char *name, const char *mode)
{
    char path[1024];

    snprintf(path, sizeof(path), "%s/%s", card.folder, name);
    return fopen(path, mode);
}

static void read_text(char *out, size_t size, const char *name)
{
    FILE *file = open_file(name, "r");

    out[0] = '\0';
    if (file != NULL) {
        if (fgets(out, (int)size, file) == NULL) {
            out[0] = '\0';
        }
        fclose(file);
    }
    out[strcspn(out, "\n")] = '\0';
}

static long read_number(const char *name, long otherwise)
{
    char text[32];

    read_text(text, sizeof(text), name);
    return text[0] == '\0' ? otherwise : strtol(text, NULL, 10);
}

static void write_number(const char *name, long number)
{
    FILE *file = open_file(name, "w");

    if (file != NULL) {
        fprintf(file, "%ld\n", number);
        fclose(file);
    }
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
    FILE *file = open_file("log", "a");
    va_list args;

    if (file != NULL) {
        va_start(args, format);
        vfprintf(file, format, args);
        va_end(args);
        fputc('\n', file);
        fclose(file);
    }
}

static bool read_file(struct data *out, const char *name)
{
    FILE *file = open_file(name, "rb");

    out->len = 0;
    if (file != NULL) {
        out->len = fread(out->bytes, 1, sizeof(out->bytes), file);
        fclose(file);
    }
    return file != NULL;
}

static EVP_PKEY *read_key(const struct slot *slot)
{
    char name[16];
    FILE *file;
    EVP_PKEY *key = NULL;

    snprintf(name, sizeof(name), "%s.key", slot->name);
    file = open_file(name, "r");
    if (file != NULL) {
        key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
        fclose(file);
    }
    return key;
}

/* --- objects ---------------------------------------------------------------------------------------------------- */

/* The card's name, by which readers tell one card from another. */
static void holder_object(struct data *out)
{
    static const uint8_t fascn[25] = { 0xD4, 0xE7, 0x39, 0xDA, 0x73, 0x9C, 0xED, 0x39, 0xCE, 0x73, 0x9D, 0x83, 0x68,
                                       0x58, 0x21, 0x08, 0x42, 0x10, 0x84, 0x21, 0x38, 0x42, 0x10, 0xC3, 0xF5 };
    struct data part = { .len = 0 };
    struct data inner = { .len = 0 };
    char serial[17];

    read_text(serial, sizeof(serial), "serial");
    put(&part, fascn, sizeof(fascn));
    put_tagged(&inner, 0x30, &part);
    part.len = 0;
    put(&part, serial, 16);
    put_tagged(&inner, 0x34, &part);
    part.len = 0;
    put(&part, "20991231", 8);
    put_tagged(&inner, 0x35, &part);
    part.len = 0;
    put_tagged(&inner, 0x3E, &part);
    put_tagged(&inner, 0xFE, &part);
    put_tagged(out, 0x53, &inner);
}

/* The PIN of the application is the one that counts. */
static void discovery_object(struct data *out)
{
    static const uint8_t policy[] = { 0x40, 0 };
    struct data part = { .len = 0 };
    struct data inner = { .len = 0 };

    put(&part, application, sizeof(application));
    put_tagged(&inner, 0x4F, &part);
    part.len = 0;
    put(&part, policy, sizeof(policy));
    put_tagged(&inner, 0x5F2F, &part);
    put_tagged(out, 0x7E, &inner);
}

static unsigned certificate_object(struct data *out, const struct slot *slot)
{
    static const uint8_t end[] = { 0x71, 1, 0, 0xFE, 0 };
    struct data certificate;
    struct data inner = { .len = 0 };
    char name[16];

    snprintf(name, sizeof(name), "%s.der", slot->name);
    if (!read_file(&certificate, name)) {
        return NOT_FOUND;
    }
    put_tagged(&inner, 0x70, &certificate);
    put(&inner, end, sizeof(end));
    put_tagged(out, 0x53, &inner);
    return GOOD;
}

static unsigned get_data(const struct command *command, struct data *out)
{
    uint32_t object = 0;
    size_t len;
    const uint8_t *tag = find_tagged(&len, command->data.bytes, command->data.len, 0x5C);

    for (size_t i = 0; tag != NULL && i < len && i < 4; i++) {
        object = object << 8 | tag[i];
    }
    if (object == 0x7E) {
        discovery_object(out);
        return GOOD;
    }
    if (object == 0x5FC102) {
        holder_object(out);
        return GOOD;
    }
    for (size_t i = 0; i < NUM_SLOTS; i++) {
        if (slots[i].object == object) {
            return certificate_object(out, &slots[i]);
        }
    }
    return NOT_FOUND;
}

static unsigned select_application(const struct command *command, struct data *out)
{
    static const uint8_t authority[] = { 0x4F, 5, 0xA0, 0, 0, 3, 8 };
    const struct data *name = &command->data;
    struct data part = { .len = 0 };
    struct data inner = { .len = 0 };

    if (name->len < SHORTEST_NAME || name->len > sizeof(application) ||
        memcmp(name->bytes, application, name->len) != 0) {
        return NOT_FOUND;
    }
    put(&part, application + SHORTEST_NAME, sizeof(application) - SHORTEST_NAME);
    put_tagged(&inner, 0x4F, &part);
    part.len = 0;
    put(&part, authority, sizeof(authority));
    put_tagged(&inner, 0x79, &part);
    put_tagged(out, 0x61, &inner);
    return GOOD;
}

/* --- the PIN ---------------------------------------------------------------------------------------------------- */

static unsigned verify(const struct command *command)
{
    long tries = read_number("tries", MOST_TRIES);
    char pin[PIN_LEN + 1];
    char padded[PIN_LEN];

    if (command->p2 != 0x80) {
        return NO_KEY;
    }
    if (command->p1 == 0xFF) {
        card.verified = false;
        return GOOD;
    }
    if (command->data.len == 0) {
        return card.verified ? GOOD : tries == 0 ? BLOCKED : TRIES + (unsigned)tries;
    }
    if (tries == 0) {
        note("verify: blocked");
        return BLOCKED;
    }
    if (command->data.len != PIN_LEN) {
        return WRONG_LENGTH;
    }
    read_text(pin, sizeof(pin), "pin");
    memset(padded, 0xFF, sizeof(padded));
    memcpy(padded, pin, strlen(pin));
    card.verified = card.verified_last = memcmp(padded, command->data.bytes, PIN_LEN) == 0;
    tries = card.verified ? MOST_TRIES : tries - 1;
    write_number("tries", tries);
    note(card.verified ? "verify: right" : "verify: wrong, %ld left", tries);
    return card.verified ? GOOD : tries == 0 ? BLOCKED : TRIES + (unsigned)tries;
}

/* --- keys ------------------------------------------------------------------------------------------------------- */

/* RSA without padding, or an ECDSA signature of a digest. */
static bool key_operate(struct data *out, EVP_PKEY *key, const uint8_t *in, size_t in_len)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, NULL);
    size_t len = sizeof(out->bytes);
    bool good = context != NULL;

    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
        good = good && EVP_PKEY_decrypt_init(context) > 0 &&
               EVP_PKEY_CTX_set_rsa_padding(context, RSA_NO_PADDING) > 0 &&
               EVP_PKEY_decrypt(context, out->bytes, &len, in, in_len) > 0;
    } else {
        good = good && EVP_PKEY_sign_init(context) > 0 && EVP_PKEY_sign(context, out->bytes, &len, in, in_len) > 0;
    }
    EVP_PKEY_CTX_free(context);
    out->len = good ? len : 0;
    return good;
}

/* What a test makes of a signature: it takes long, or the card is pulled before its answer. */
static void signing_is_disturbed(void)
{
    long delay_ms = read_number("delay", 0);
    long until_pulled = read_number("pull", 0);
    struct timespec pause = { .tv_sec = delay_ms / 1000, .tv_nsec = delay_ms % 1000 * 1000000 };

    nanosleep(&pause, NULL);
    if (until_pulled > 0) {
        write_number("pull", until_pulled - 1);
    }
    if (until_pulled == 1) {
        note("pulled");
        _exit(0);
    }
}

static unsigned authenticate(const struct command *command, struct data *out, bool just_verified)
{
    const struct slot *slot = slots;
    struct data result;
    struct data inner = { .len = 0 };
    const uint8_t *template, *challenge;
    size_t len;
    EVP_PKEY *key;
    bool good;

    while (slot < slots + NUM_SLOTS && slot->reference != command->p2) {
        slot++;
    }
    template = find_tagged(&len, command->data.bytes, command->data.len, 0x7C);
    challenge = template != NULL ? find_tagged(&len, template, len, 0x81) : NULL;
    if (slot == slots + NUM_SLOTS || challenge == NULL) {
        return BAD_DATA;
    }
    if ((slot->pin && !card.verified) || (slot->pin_always && !just_verified)) {
        note("%s: not verified", slot->name);
        return NOT_VERIFIED;
    }
    key = read_key(slot);
    if (key == NULL) {
        return NO_KEY;
    }
    signing_is_disturbed();
    good = key_operate(&result, key, challenge, len);
    EVP_PKEY_free(key);
    note("%s: %s", slot->name, good ? "signed" : "refused");
    put_tagged(&inner, 0x82, &result);
    put_tagged(out, 0x7C, &inner);
    return good ? GOOD : BAD_DATA;
}

/* --- commands --------------------------------------------------------------------------------------------------- */

void piv_start(const char *folder)
{
    card.folder = folder;
}

void piv_power(void)
{
    card.verified = card.verified_last = false;
    note("power");
}

unsigned piv_answer(const struct command *command, struct data *out)
{
    static const uint8_t version[] = { 4, 3, 5 }; /* as the maker of that ATR tells it */
    bool just_verified = card.verified_last;

    card.verified_last = false;
    out->len = 0;
    switch (command->ins) {
    case 0xA4:
        return command->p1 == 4 ? select_application(command, out) : BAD_P1P2;
    case 0xCB:
        return get_data(command, out);
    case 0x20:
        return verify(command);
    case 0x87:
        return authenticate(command, out, just_verified);
    case 0xFD:
        put(out, version, sizeof(version));
        return GOOD;
    default:
        return NO_INS;
    }
}
