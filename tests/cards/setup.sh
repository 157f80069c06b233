# A card without hardware: pcscd with the two readers of vsmartcard, a card of ours in one of them (piv-card.c), and
# OpenSC as the module. All of it in namespaces of its own, so that neither a pcscd of this machine nor another test is
# in its way. Sourced first of all; then lib/setup.sh, then cards_start.
if [ -z "${SIGNET_CARDS_APART:-}" ]; then
    apart="unshare --mount --net"
    [ "$(id -u)" = 0 ] || apart="$apart --map-root-user"
    # Below a chroot the mounts of whoever made it are what they are.
    $apart true 2>/dev/null || apart="$apart --propagation unchanged"
    if ! $apart true 2>/dev/null; then
        echo "1..0 # SKIP no namespaces of its own: $($apart true 2>&1)"
        exit 0
    fi
    if ! [ -e /etc/reader.conf.d/vpcd ] || ! [ -x /usr/sbin/pcscd ]; then
        echo "not ok 1 - there is a virtual reader: the packages pcscd and vsmartcard-vpcd are installed"
        echo "1..1"
        exit 99
    fi
    SIGNET_CARDS_APART=1 exec $apart sh "$0" "$@"
fi

CARD_PIN=123456
FIRST_READER=35963  # vpcd's ports
SECOND_READER=35964

# cards_start: pcscd runs, its readers are empty
cards_start() {
    trap 'tap_end; rm -rf "$work"' EXIT
    OPENSC_MODULE=$(ls /usr/lib/*/opensc-pkcs11.so 2>/dev/null | head -n 1)
    [ -n "$OPENSC_MODULE" ] || exit 99
    mkdir -p /run/pcscd "$work/readers" && mount -t tmpfs tmpfs /run/pcscd || exit 99
    {
        echo 'FRIENDLYNAME "Virtual PCD"'
        echo 'DEVICENAME /dev/null:0x8C7B'
        echo "LIBPATH $(ls /usr/lib/pcsc/drivers/serial/libifdvpcd.so)"
        echo 'CHANNELID 0x8C7B'
    } >"$work/readers/vpcd"
    polkit=
    ! /usr/sbin/pcscd --help 2>&1 | grep -q disable-polkit || polkit=--disable-polkit
    LD_PRELOAD= /usr/sbin/pcscd --foreground --info $polkit --config "$work/readers" >"$work/pcscd.log" 2>&1 &
    pcscd=$!
    trap 'cards_stop; tap_end; rm -rf "$work"' EXIT
    trap 'exit 99' HUP INT TERM
}

# cards_stop ends the driver, too, which would wait for its orders. What hangs in OpenSC is killed.
cards_stop() {
    cards_all="${card_pids:-} ${driver:-} $pcscd"
    kill $cards_all 2>/dev/null
    (
        trap 'kill $!; exit' TERM
        sleep 10 &
        wait
        kill -KILL $cards_all
    ) >/dev/null 2>&1 &
    cards_killer=$!
    wait $cards_all
    kill $cards_killer
    umount /run/pcscd
}

# card_make NAME SERIAL: a card in the folder NAME, with an RSA key in 9A (id 01), an EC key that always wants the PIN in
# 9C (id 02), and SERIAL of 16 characters
card_make() {
    mkdir -p "$1" || exit 99
    OPENSSL_CONF=/dev/null openssl genpkey -algorithm RSA -out "$1/9a.key" 2>/dev/null || exit 99
    OPENSSL_CONF=/dev/null openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1/9c.key" || exit 99
    for card_slot in 9a 9c; do
        OPENSSL_CONF=/dev/null openssl req -new -x509 -key "$1/$card_slot.key" -subj "/CN=$1" -days 30 -outform DER \
            -out "$1/$card_slot.der" || exit 99
    done
    echo "$CARD_PIN" >"$1/pin"
    echo "$2" >"$1/serial"
    : >"$1/log"
}

# pcscd_says PATTERN: how many lines of its log do
pcscd_says() {
    grep -c "$1" "$work/pcscd.log"
}

# pcscd_notices PATTERN NUMBER: waits for that many
pcscd_notices() {
    pcscd_tries=0
    while [ "$(pcscd_says "$1")" -lt "$2" ]; do
        pcscd_tries=$((pcscd_tries + 1))
        if [ $pcscd_tries -gt 600 ]; then
            echo "pcscd has not noticed: $1" >&2
            exit 99
        fi
        sleep 0.1
    done
}

# card_in NAME READER: until pcscd has noticed
card_in() {
    cards_inserted=$(pcscd_says 'Card ATR') # of one that was there when it started, it does not say "inserted"
    "$build/tests/cards/piv-card" "$1" "$2" &
    card_pid=$!
    card_pids="${card_pids:-} $card_pid"
    pcscd_notices 'Card ATR' $((cards_inserted + 1))
}

# card_out: the card that was put in last is pulled
card_out() {
    cards_removed=$(pcscd_says 'Card Removed From')
    kill "$card_pid"
    wait "$card_pid" 2>/dev/null
    pcscd_notices 'Card Removed From' $((cards_removed + 1))
}

# card_did NAME WHAT: whether just this happened to the card since card_log_clear; power apart
card_did() {
    card_log "$1"
    [ "$(card_log "$1")" = "$2" ]
}
card_log() {
    grep -v '^power$' "$1/log" | tr '\n' ';'
}
card_log_clear() {
    : >"$1/log"
}
