#!/bin/sh
# Where a PIN goes: to the one token that it is for, whoever names another one, and by whatever name.
. "$(dirname "$0")/../lib/setup.sh"
token_home "$work"
cd "$work" || exit 99
for label in prod other; do # with one PIN, so that a PIN that goes astray opens what it should not
    token_make "$label" "$PIN" || exit 99
    token_key "$label" "$PIN" EC:prime256v1 www 01 || exit 99
done
echo message >message

# settings SETTING...: through the counting module, with `pin`
settings() {
    conf "default signet" "pkcs11-module = $counter" "$@"
}
# signing FILE: with counts of its own
signing() {
    rm -f counts
    SIGNET_TEST_COUNTS=$work/counts openssl dgst -sha256 -sign "$1" -out sig message >said 2>&1
    tap_signed=$?
    cat said
    return $tap_signed
}
# costs SENTENCE NUMBER: so many logins
costs() {
    tap_logins=$("$build/tests/token/show-counts" counts Login)
    ok "$1" test "$tap_logins" = "$2"
}
# advice: the lines that the last error says to write
advice() {
    sed -n "s/.*write in place of it: \(.*\)/\1/p; s/.*write: \(.*\)/\1/p" said | head -n 1 | sed 's/\. [A-Z].*//; s/ | /\n/g' >advice
    grep -q ' = ' advice
}
# followed SETTING...: the advice of the last error, and these, without `pin` where the advice stands in place of it
followed() {
    set -- "pkcs11-module = $counter" "$@"
    while read -r line; do set -- "$@" "$line"; done <advice
    conf_write "$work/openssl.cnf" "default signet" "$@"
}
serial_of() {
    softhsm2-util --show-slots | awk -v label="$1" '/Serial number/ { serial = $3 } /Label:/ && $2 == label { print serial; exit }'
}

settings
for label in prod other; do
    ok "signet key-file asks for the key by a person's URI, which decides where the PIN goes ($label)" \
        "$signet" key-file -o $label.key "pkcs11:token=$label;object=www"
    peers_file $label.peers "pkcs11:token=$label;object=www;type=private"
done

# --- a key file does not choose ---------------------------------------------------------------------------------------
for file in prod.key other.key prod.peers other.peers; do
    not_ok "two tokens want a PIN, and 'pin' says not which one is meant: $file fails" signing $file
    says "the error says why ($file)" 'the setting pin is tied to no token, and 2 tokens .*present'
    costs "no PIN was sent ($file)" 0
    ok "the error has lines to write ($file)" advice
    ok "they name the token, and where its PIN comes from ($file)" sh -c \
        "grep -q '^tokens = ${file%.*}\$' advice && grep -q '^token.${file%.*}.uri = pkcs11:.*serial=$(serial_of ${file%.*})' advice &&
        grep -q '^token.${file%.*}.pin = file:$work/pin\$' advice"
    followed
    ok "with these lines in place of 'pin' it signs ($file)" signing $file
    costs "by one login ($file)" 1
    settings
done
signing prod.key >out 2>&1
advice
followed "pin = file:$work/pin"
not_ok "where 'pin' was left beside them, it is still not for the other one" signing other.key
costs "and not sent" 0
ok "a URI that the application gives chooses" signing "pkcs11:token=other;object=www;type=private"
costs "by one login" 1
settings "trust-files = yes"
ok "so does a key file that is trusted" signing other.key
settings "tokens = prod" "token.prod.uri = pkcs11:token=prod" "token.prod.max-sessions = 4"
ok "the one token that the configuration names without a PIN has the setting pin" signing prod.key
not_ok "and no other has it" signing other.key
says "which is told" "the setting pin is token.prod's, since token.prod has no pin of its own"
costs "and costs no try" 0
not_ok "nor by a URI that the application gives" signing "pkcs11:token=other;object=www;type=private"
costs "which costs no try either" 0
ok "a PIN in such a URI is what it says" signing "pkcs11:token=other;object=www;type=private?pin-source=$work/pin"
settings "login = never"
not_ok "without a login nothing is sent" signing other.key
costs "to anybody" 0

# --- in one process ---------------------------------------------------------------------------------------------------
settings
for label in prod other; do
    openssl req -x509 -new -key "pkcs11:token=$label;object=www;type=private" -subj "/CN=$label" -out $label.pem || exit 99
done
# both KEY OTHER: one process signs by the first key, then by the second
both() {
    rm -f counts
    SIGNET_TEST_COUNTS=$work/counts openssl cms -sign -in message -out both.cms -signer prod.pem -inkey "$1" -signer other.pem -inkey "$2" >said 2>&1
    tap_signed=$?
    cat said
    return $tap_signed
}
not_ok "after a URI for the one, a key file for the other" both "pkcs11:token=prod;object=www;type=private" other.key
says "is told whose PIN it is" "the setting pin is for token 'prod' (serial $(serial_of prod))"
says "and who asked for it" "'other' (serial $(serial_of other))"
costs "one login was made, to the first" 1
not_ok "nor has a second URI" both "pkcs11:token=prod;object=www;type=private" "pkcs11:token=other;object=www;type=private"
costs "which the token never saw" 1
ok "advice is given" advice
followed "pin = file:$work/pin"
ok "and followed, both serve" both "pkcs11:token=prod;object=www;type=private" other.key
costs "by a login each" 2

# --- a URI that means several -----------------------------------------------------------------------------------------
settings
not_ok "a PIN in a URI that means two tokens" signing "pkcs11:object=www;type=private?pin-value=$PIN"
costs "is sent to neither" 0
not_ok "nor is the application's" sh -c "SIGNET_TEST_COUNTS=$work/counts openssl pkey -in 'pkcs11:object=www;type=private' -passin pass:$PIN"
costs "sent to one of them" 0

# --- one token, as after the quick start ------------------------------------------------------------------------------
token_move other "$work/away" || exit 99
settings
ok "with one token there is nothing to choose: prod.key signs" signing prod.key
costs "by one login" 1
ok "and so does the peers' form" signing prod.peers
SIGNET_TEST_COUNTS=$work/counts ok "signet list shows its keys" "$signet" list
says "private ones, too" 'object=www;type=private'
softhsm2-util --init-token --free --label blank --so-pin 12345678 --pin 12345678 >/dev/null || exit 99
ok "two tokens again" sh -c "$signet list | grep -c \"token '\" | grep -qx 2"
not_ok "and a choice again" signing prod.key
token_move blank "$work/away" || exit 99

# --- two of one label -------------------------------------------------------------------------------------------------
token_make prod "$PIN" || exit 99
serials=$(softhsm2-util --show-slots | awk '/Serial number/ { serial = $3 } /Label:/ && $2 == "prod" { print serial }')
first=$(echo "$serials" | head -n 1)
second=$(echo "$serials" | tail -n 1)
settings "tokens = prod" "token.prod.uri = pkcs11:token=prod" "token.prod.pin = file:$work/pin"
not_ok "two tokens have the label of token.prod.uri: neither gets its PIN" signing prod.key
says "both serial numbers are told" "2 tokens match token.prod.uri .*$first.*$second\|2 tokens match token.prod.uri .*$second.*$first"
costs "no PIN was sent" 0
ok "the error says what to write" advice
ok "the URI of one of them" grep -q '^token.prod.uri = pkcs11:.*serial=' advice
for serial in $first $second; do
    not_ok "not by a URI that has the serial number, either ($serial)" "$signet" list "pkcs11:token=prod;serial=$serial;type=private"
    says "for the same reason" '2 tokens match token.prod.uri'
done
ok "a listing of all goes on" "$signet" list
says "and says why it shows no private keys" 'no private keys: .*2 tokens match token.prod.uri'
conf "default signet" "pkcs11-module = $counter" "tokens = prod" "$(cat advice)" "token.prod.pin = file:$work/pin"
ok "followed, the key signs" signing prod.key
costs "by one login" 1

# --- when the last context has gone -----------------------------------------------------------------------------------
token_make last "$PIN" && token_key last "$PIN" EC:prime256v1 www 01 || exit 99
conf "default signet"
run_tap "" env OPENSSL_CONF=/dev/null "$build/tests/life/wiped" "pkcs11:token=last;object=www;type=private" "$work/pin" "$work/openssl.cnf"
tap_done
