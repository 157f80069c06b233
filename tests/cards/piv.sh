#!/bin/sh
# A person's card: OpenSC through pcscd, with a PIV card whose key 9C wants the PIN for each signature.
. "$(dirname "$0")/setup.sh"
. "$(dirname "$0")/../lib/setup.sh"
. "$top/tests/life/drive.sh"
cd "$work" || exit 99
cards_start
card_make alice 0123456789abcdef
card_in alice $FIRST_READER
auth="pkcs11:id=%01;type=private"
sign="pkcs11:id=%02;type=private"
echo "the message" >message
printf '%s\n' "$CARD_PIN" >pin

# card_conf [SETTING...]
card_conf() {
    conf_write "$work/openssl.cnf" "default signet" "pkcs11-module = $OPENSC_MODULE" "deadline = 2" "$@"
    export OPENSSL_CONF="$work/openssl.cnf"
}
# signs URI [SLOT]: whether the message is signed, and the signature is that of the card's key
signs() {
    rm -f sig
    openssl dgst -sha256 -sign "$1" -out sig message &&
        OPENSSL_CONF=/dev/null openssl dgst -sha256 -prverify "alice/$2.key" -signature sig message
}

card_conf "pin = file:$work/pin"
ok "the card is listed" "$signet" list
says "with its key" 'id=%01'
ok "a key signs, with the PIN of the configuration" signs "$auth" 9a
ok "one that always wants the PIN, too" signs "$sign" 9c
card_log_clear alice
ok "and again" signs "$sign" 9c
ok "with a login, another one for the signature, and nothing between that and the signature" \
    card_did alice "verify: right;verify: right;9c: signed;"
ok "with a PIN in the URI" signs "$sign?pin-value=$CARD_PIN" 9c
openssl pkey -in "$sign" -out sign.key || exit 99
openssl pkey -in "$auth" -out auth.key || exit 99
card_log_clear alice
ok "by a key file" signs sign.key 9c
ok "with the same commands" card_did alice "verify: right;verify: right;9c: signed;"

# --- one process, several signatures ---
driver_start env
expect "loaded by a process that goes on" done load sign "$sign"
expect "the other key, too" done load auth "$auth"
card_log_clear alice
expect "signs three times" signed sign sign 3
ok "each with the PIN right before" \
    card_did alice "verify: right;9c: signed;verify: right;9c: signed;verify: right;9c: signed;"
card_log_clear alice
expect "the other key signs three times" signed sign auth 3
ok "without a PIN" card_did alice "9a: signed;9a: signed;9a: signed;"
card_log_clear alice
echo 50 >alice/delay
for i in 1 2 3 4; do tell load sign$i "$sign"; done
for i in 1 2 3 4; do tell begin sign$i; done
tell begin auth
for i in 1 2 3 4; do expect "at once with others, thread $i" signed end sign$i; done
expect "and with the other key" signed end auth
rm alice/delay
sed -i /^9a:/d alice/log
ok "the card got each PIN and its signature in one piece" \
    card_did alice "verify: right;9c: signed;verify: right;9c: signed;verify: right;9c: signed;verify: right;9c: signed;"

# --- the card comes and goes ---
# signs_again "sentence" KEY: within the time in which a token is not asked after it has not answered
signs_again() {
    again_tries=0
    tell sign "$2"
    while [ "$answer" != signed ] && [ $again_tries -lt 60 ]; do
        sleep 0.5
        again_tries=$((again_tries + 1))
        tell sign "$2"
    done
    expect_what=$1
    [ "$answer" = signed ]
    tap_line $? "$1"
}
for key in auth sign; do
    case $key in auth) slot=9a ;; sign) slot=9c ;; esac
    echo 1 >alice/pull
    expect "$slot: pulled in the middle of a signature: an error" "error *" sign $key
    says "$slot: which names the card's trouble" 'removed\|not there any more\|not in its slot'
    expect "$slot: and again while it is away" "error *" sign $key
    card_in alice $FIRST_READER
    signs_again "$slot: back in the reader, it signs" $key
done
card_out
card_in alice $SECOND_READER
signs_again "back in another reader, it signs" auth
expect "so does the key that wants the PIN" signed sign sign
card_out
card_make bob fedcba9876543210
card_in bob $SECOND_READER
card_log_clear bob
expect "another card in that reader is not taken for it" "error *" sign auth
ok "and gets no PIN" card_did bob ""
card_in alice $FIRST_READER
signs_again "with both in their readers the right one signs" auth
ok "and the other one gets no PIN" card_did bob ""
driver_end "the process ends with its own status"

# --- a change of which OpenSC loses sight ---
# It spends the news of a card that was pulled and is back on C_GetSessionInfo, which Signet asks after a second loss. 0.26 goes on
# with the connection that is gone, and each C_Login is CKR_DEVICE_REMOVED; 0.27 loses each session until it is asked for its slots.
export SIGNET_TEST_MODULE="$OPENSC_MODULE" SIGNET_TEST_COUNTS="$work/counts"
card_conf "pkcs11-module = $counter" "deadline = 30" "pin = file:$work/pin"
faults="$build/tests/token/set-faults"
# calls FUNCTION: how many
calls() {
    "$build/tests/token/show-counts" counts "$1"
}
driver_start env
expect "loaded by another process" done load auth "pkcs11:token=alice;id=%01;type=private"
echo 50 >alice/delay
tell load other "pkcs11:token=alice;id=%01;type=private"
tell begin other
expect "it signs, in two sessions" signed sign auth
tell end other
rm alice/delay
opened=$(calls OpenSession)
"$faults" counts "SignInit:rv=CKR_SESSION_HANDLE_INVALID:times=2 OpenSession:hang=forever"
tell begin auth
while [ "$(calls OpenSession)" = "$opened" ]; do sleep 0.1; done
card_out
card_in alice $FIRST_READER
"$faults" counts "OpenSession:hang=1"
expect "a card that is pulled and back between two losses signs" signed end auth
ok "it was asked for its sessions between" test "$(calls GetSessionInfo)" -gt 0
expect "and goes on signing" signed sign auth
driver_end "this process, too"
tap_done
