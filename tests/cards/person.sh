#!/bin/sh
# A person with a smartcard as her client identity: curl, openssl's s_client and our own client, each of which asks for
# the PIN once, with its own prompt.
. "$(dirname "$0")/setup.sh"
. "$(dirname "$0")/../lib/setup.sh"
cd "$work" || exit 99
ok "there is a terminal" "$build/tests/cards/on-terminal" - - true
[ "$tap_last" -eq 0 ] || exit 99 # a chroot without /dev/pts
cards_start
card_make alice 0123456789abcdef
card_in alice $FIRST_READER
conf_write openssl.cnf "default signet" "pkcs11-module = $OPENSC_MODULE" "load = early" "deadline = 5"
conf_write pin.cnf "default signet" "pkcs11-module = $OPENSC_MODULE" "pin = $CARD_PIN"
export OPENSSL_CONF="$work/pin.cnf"
# id_of SLOT: OpenSC's name for its key
id_of() {
    case $1 in 9a) echo %01 ;; 9c) echo %02 ;; esac
}
pki_ca "$work" "Card CA" || exit 99
for slot in 9a 9c; do
    openssl pkey -in "pkcs11:id=$(id_of $slot);type=private" -out $slot.key || exit 99
    pki_leaf "$work" $slot.key $slot "/CN=alice $slot" clientAuth || exit 99
done
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out server.key || exit 99
pki_leaf "$work" server.key server /CN=localhost serverAuth DNS:localhost || exit 99
terminal="$build/tests/cards/on-terminal"

# A server that wants a client's certificate; it needs no card.
OPENSSL_CONF=/dev/null openssl s_server -www -accept 127.0.0.1:0 -cert server-chain.pem -cert_chain intermediate.pem \
    -key server.key -CAfile root.pem -Verify 3 -verify_return_error >server.out 2>&1 &
server=$!
card_pids="$card_pids $server"
tries=0
while ! grep -q ACCEPT server.out && [ $tries -lt 600 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
port=$(sed -n 's/^ACCEPT.*:\([0-9]*\)$/\1/p' server.out)
[ -n "$port" ] || exit 99
export OPENSSL_CONF="$work/openssl.cnf"

# by_NAME SLOT ANSWER: the client gets the server's page, with the card's key SLOT; ANSWER is typed at its prompt
by_curl() {
    "$terminal" "pass phrase:" "$2" timeout 60 curl --silent --show-error --cacert root.pem --key $1.key \
        --cert $1-chain.pem "https://localhost:$port/" </dev/null
}
by_s_client() {
    printf 'GET / HTTP/1.0\r\n\r\n' | "$terminal" "PIN):" "$2" timeout 60 openssl s_client -ign_eof -quiet \
        -connect "127.0.0.1:$port" -key "${key:-$1.key}" -cert $1.pem -cert_chain intermediate.pem \
        -CAfile root.pem -verify_return_error
}
by_s_client_with_uri() {
    key="pkcs11:token=alice;id=$(id_of $1);type=private" by_s_client "$@"
}
by_our_client() {
    "$terminal" "PIN):" "$2" timeout 60 "$build/mtls-client" --connect "127.0.0.1:$port" --name localhost \
        --key "${key:-$1.key}" --cert $1-chain.pem --ca root.pem --message "GET / HTTP/1.0" </dev/null
}
by_our_client_with_uri() {
    key="pkcs11:token=alice;id=$(id_of $1);type=private" by_our_client "$@"
}
# Debian's curl is of OpenSSL until 12, and of GnuTLS later. With AddressSanitizer's library in front it waits for ever for
# a lock of setlocale, whatever the configuration.
curl=curl
LD_PRELOAD= OPENSSL_CONF=/dev/null curl --version >out 2>&1 || exit 99
if ! grep -q ' OpenSSL/' out || [ -n "${LD_PRELOAD:-}" ]; then
    curl=
    echo "# curl has nothing to do with us here: $(head -n 1 out), LD_PRELOAD=${LD_PRELOAD:-}"
fi
for client in $curl s_client s_client_with_uri our_client our_client_with_uri; do
    case $client in *_with_uri) slots=9c ;; *) slots="9a 9c" ;; esac
    for slot in $slots; do
        card_log_clear alice
        ok "$client, $slot: the server's page" by_$client $slot $CARD_PIN
        cp out said
        says "$client, $slot: which knows the card's owner" "CN *= *alice $slot\|alice $slot"
        says "$client, $slot: the PIN was asked for once" 'asked 1 times'
        case $slot in
        9a) ok "$client, $slot: one PIN, one signature" card_did alice "verify: right;9a: signed;" ;;
        9c) ok "$client, $slot: the PIN again right before the signature" \
            card_did alice "verify: right;verify: right;9c: signed;" ;;
        esac
    done
done

# --- bad days ---
for client in ${curl:-s_client} s_client_with_uri; do
    echo 3 >alice/tries
    card_log_clear alice
    not_ok "$client: a wrong PIN" by_$client 9a 999999
    says "$client: which was asked for once" 'asked 1 times'
    ok "$client: and sent once" card_did alice "verify: wrong, 2 left;"
    echo 3 >alice/tries
    card_log_clear alice
    for typed in "" "^D" "^C"; do
        not_ok "$client: nothing but ${typed:-Enter} at the prompt" by_$client 9a "$typed"
        says "$client: which asks no second time" 'asked 1 times'
        ok "$client: and costs no try" card_did alice ""
    done
    echo 1 >alice/tries
    not_ok "$client: the last try is not used" by_$client 9a $CARD_PIN
    says "$client: and the PIN not asked for" 'asked 0 times'
    ok "$client: not even for the right PIN" card_did alice ""
    echo 0 >alice/tries
    not_ok "$client: a PIN that is locked" by_$client 9a $CARD_PIN
    says "$client: is not asked for" 'asked 0 times'
    ok "$client: nor to send it" card_did alice ""
    echo 3 >alice/tries
    ok "$client: unlocked, it serves again" by_$client 9a $CARD_PIN
done

# --- the card changes while she looks for her PIN ---
cat >away.sh <<TEXT
. "$top/tests/cards/setup.sh"
work=$work build=$build card_pid=$card_pid
cd "$work" && card_out
TEXT
cat away.sh - >swap.sh <<TEXT
card_in bob $FIRST_READER
echo \$card_pid >bob.pid
TEXT
card_make bob fedcba9876543210
card_log_clear alice
not_ok "pulled while the PIN is asked for: no connection" env ON_PROMPT="sh away.sh" SIGNET_CARDS_APART=1 \
    sh -c '"$0" "PIN):" 123456 timeout 60 openssl pkey -in 9a.key -noout' "$terminal"
cp out said
says "which is told, with what to do" 'Could not read\|plug it in\|is plugged in'
ok "and the PIN goes nowhere" card_did alice ""
card_in alice $FIRST_READER
sed -i "s/card_pid=[0-9]*/card_pid=$card_pid/" swap.sh
not_ok "another card in its place while the PIN is asked for" env ON_PROMPT="sh swap.sh" SIGNET_CARDS_APART=1 \
    sh -c '"$0" "PIN):" 123456 timeout 60 openssl pkey -in 9a.key -noout' "$terminal"
ok "does not get the PIN" card_did bob ""
card_pids="$card_pids $(cat bob.pid)"
tap_done
