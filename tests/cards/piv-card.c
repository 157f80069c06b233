/* A smartcard for the reader of vsmartcard (vpcd), so that pcscd and OpenSC have one without hardware:
 *
 *     piv-card FOLDER PORT
 *
 * It is in the reader until it ends, by a signal or because the test asked for it (piv.c). */
#include "apdu.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHAINED 0x10
#define MORE 0x6100
#define PIECE 256
#define CONNECT_S 60

static int reader;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

void put(struct data *data, const void *bytes, size_t len)
{
    if (len > sizeof(data->bytes) - data->len) {
        fprintf(stderr, "piv-card: no room for so much data\n");
        exit(1);
    }
    memcpy(data->bytes + data->len, bytes, len);
    data->len += len;
}

void put_byte(struct data *data, uint8_t byte)
{
    put(data, &byte, 1);
}

void put_tagged(struct data *data, uint32_t tag, const struct data *inner)
{
    if (tag > 0xFF) {
        put_byte(data, (uint8_t)(tag >> 8));
    }
    put_byte(data, (uint8_t)tag);
    if (inner->len > 0xFF) {
        put_byte(data, 0x82);
        put_byte(data, (uint8_t)(inner->len >> 8));
    } else if (inner->len > 0x7F) {
        put_byte(data, 0x81);
    }
    put_byte(data, (uint8_t)inner->len);
    put(data, inner->bytes, inner->len);
}

const uint8_t *find_tagged(size_t *out_len, const uint8_t *bytes, size_t len, uint8_t tag)
{
    size_t at = 0;

    while (at + 2 <= len) {
        uint8_t here = bytes[at];
        size_t size = bytes[at + 1];
        size_t num_more = size > 0x80 ? size - 0x80 : 0;

        at += 2;
        if (num_more > 2 || num_more > len - at) {
            return NULL;
        }
        for (size = num_more > 0 ? 0 : size; num_more > 0; num_more--) {
            size = size << 8 | bytes[at++];
        }
        if (size > len - at) {
            return NULL;
        }
        if (here == tag) {
            *out_len = size;
            return bytes + at;
        }
        at += size;
    }
    return NULL;
}

/* --- the reader --------------------------------------------------------------------------------------------------- */

/* The reader sends what it has in two pieces, and the second one waits for a word of the first. */
static void get_all(uint8_t *out, size_t len)
{
    int yes = 1;

    while (len > 0) {
        ssize_t got = recv(reader, out, len, 0);

        (void)setsockopt(reader, IPPROTO_TCP, TCP_QUICKACK, &yes, sizeof(yes));

        if (got <= 0) {
            exit(0); /* the reader is gone */
        }
        out += got;
        len -= (size_t)got;
    }
}

static void give(const uint8_t *bytes, size_t len)
{
    uint8_t size[] = { (uint8_t)(len >> 8), (uint8_t)len };

    if (send(reader, size, sizeof(size), MSG_NOSIGNAL | MSG_MORE) != (ssize_t)sizeof(size) ||
        send(reader, bytes, len, MSG_NOSIGNAL) != (ssize_t)len) {
        exit(0);
    }
}

/* A new network namespace has its loopback still down. */
static void raise_loopback(void)
{
    struct ifreq request = { .ifr_name = "lo" };
    int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (any == -1 || ioctl(any, SIOCGIFFLAGS, &request) == -1) {
        fail("lo");
    }
    if ((request.ifr_flags & IFF_UP) == 0) {
        request.ifr_flags |= IFF_UP;
        if (ioctl(any, SIOCSIFFLAGS, &request) == -1) {
            fail("lo");
        }
    }
    close(any);
}

/* The reader may be starting yet. */
static void enter(uint16_t port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (time_t end = time(NULL) + CONNECT_S; time(NULL) < end; nanosleep(&pause, NULL)) {
        reader = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (reader == -1) {
            fail("socket");
        }
        if (connect(reader, (struct sockaddr *)&address, sizeof(address)) == 0) {
            return;
        }
        close(reader);
    }
    fail("connect");
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

/* The rest of an answer that is fetched in pieces. */
static struct data answer;
static size_t answered;

static void give_piece(unsigned status)
{
    struct data piece = { .len = 0 };
    size_t rest = answer.len - answered;
    size_t len = rest < PIECE ? rest : PIECE;

    put(&piece, answer.bytes + answered, len);
    answered += len;
    rest -= len;
    if (rest > 0) {
        status = MORE | (rest < PIECE ? (unsigned)rest : 0);
    }
    put_byte(&piece, (uint8_t)(status >> 8));
    put_byte(&piece, (uint8_t)status);
    give(piece.bytes, piece.len);
}

static void obey(const uint8_t *bytes, size_t len)
{
    static struct command command;
    size_t size = len > 5 ? bytes[4] : 0;

    if (len < 4 || (size > 0 && 5 + size > len)) {
        answer.len = answered = 0;
        give_piece(0x6700);
        return;
    }
    if (bytes[1] == 0xC0) {
        give_piece(0x9000);
        return;
    }
    command.class = bytes[0];
    command.ins = bytes[1];
    command.p1 = bytes[2];
    command.p2 = bytes[3];
    put(&command.data, bytes + 5, size);
    answer.len = answered = 0;
    if ((command.class & CHAINED) != 0) {
        give_piece(0x9000);
        return;
    }
    give_piece(piv_answer(&command, &answer));
    command.data.len = 0;
}

/* What the reader says in one byte. The ATR is that of a widespread card, by which OpenSC knows that it has EC keys,
 * too.
 */
static void control(uint8_t what)
{
    static const uint8_t atr[] = { 0x3B, 0xF8, 0x13, 0x00, 0x00, 0x81, 0x31, 0xFE, 0x15,
                                   0x59, 0x75, 0x62, 0x69, 0x6B, 0x65, 0x79, 0x34, 0xD4 };

    if (what == 4) {
        give(atr, sizeof(atr));
        return;
    }
    piv_power();
}

int main(int argc, char **argv)
{
    uint8_t bytes[UINT16_MAX];

    if (argc != 3) {
        fprintf(stderr, "usage: piv-card FOLDER PORT\n");
        return 2;
    }
    piv_start(argv[1]);
    raise_loopback();
    enter((uint16_t)strtoul(argv[2], NULL, 10));
    for (;;) {
        size_t len;

        get_all(bytes, 2);
        len = (size_t)bytes[0] << 8 | bytes[1];
        get_all(bytes, len);
        if (len == 1) {
            control(bytes[0]);
        } else {
            obey(bytes, len);
        }
    }
}
