# A smartcard: OpenSC through pcscd, with a PIV card that is a program (tests/cards). Its EC key wants the PIN for each signature.
title="PIV card, OpenSC"
types="rsa2048 p256"
SIGNET_CARDS_APART=yes # so are we
. "$top/tests/cards/setup.sh"
pin_file=$home/pin

token_start() {
    (cd "$home" && card_make alice 0123456789abcdef)
    cards_start
    module=$OPENSC_MODULE
    echo "$CARD_PIN" >"$pin_file"
    card_in "$home/alice" $FIRST_READER
}

token_settings() {
    echo "pkcs11-module = $module"
}

token_uri() {
    echo "pkcs11:id=%$id;type=private"
}

# A card comes with its keys.
make_key() {
    :
}

token_lose() {
    card_out
}

token_back() {
    card_in "$home/alice" $FIRST_READER
}

token_stop() {
    cards_stop
    trap 'tap_end; rm -rf "$work"' EXIT
}
