#!/bin/sh
# A person with a smartcard as her client identity: curl, openssl's s_client and our own client, each of which asks for
# the PIN once, with its own prompt.
. "$(dirname "$0")/setup.sh"
. "$(dirname "$0")/../lib/setup.sh"
cd "$work" || exit 99
cards_start
card_make alice 0123456789abcdef
card_in alice $FIRST_READER
conf_write openssl.cnf "default signet" "pkcs11-module = $OPENSC_MODULE" "load = early" "deadline = 5"
conf_write pin.cnf "default signet" "pkcs11-module = $OPENSC_MODULE" "pin = $CARD_PIN"
export OPENSSL_CONF="$work/pin.cnf"
pki_ca "$work" "Card CA" || exit 99
for slot in 9a 9c; do
    case $slot in 9a) id=%01 ;; 9c) id=%02 ;; esac
    openssl pkey -in "pkcs11:id=$id;type=private" -out $slot.pem || exit 99
    pki_leaf "$work" $slot.pem $slot "/CN=alice $slot" clientAuth || exit 99
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
    "$terminal" "${prompt:-pass phrase:}" "$2" timeout 60 curl --silent --show-error --cacert root.pem --key $1.pem \
        --cert $1-chain.pem "https://localhost:$port/" </dev/null
}
by_s_client() {
    printf 'GET / HTTP/1.0\r\n\r\n' | "$terminal" "${prompt:-:}" "$2" timeout 60 openssl s_client -ign_eof -quiet \
        -connect "localhost:$port" -key "${key:-$1.pem}" -cert $1-chain.pem -CAfile root.pem -verify_return_error
}
for client in curl s_client; do
    for slot in 9a 9c; do
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
tap_done
