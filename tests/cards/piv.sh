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
    conf_write "$work/openssl.cnf" "default signet" "pkcs11-module = $OPENSC_MODULE" "$@"
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
    test "$(card_log alice)" = "verify: right;verify: right;9c: signed;"
tap_done
