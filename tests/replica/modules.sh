#!/bin/sh
# Several tokens of several modules in one configuration, each with a PIN source of its own: a key's URI reaches its own
# token, and no other is logged in to.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"

export ONE_PIN=1111 THREE_PIN=3333
printf '2222\n' >"$work/two.pin"
chmod 600 "$work/two.pin"
printf '3333' >"$work/secret.bin"
for name in one two three; do
    case $name in one) PIN=1111 ;; two) PIN=2222 ;; three) PIN=3333 ;; esac
    setup_replicas $name # with a key of its own
    mv "$work/www.pem" "$work/$name.pem"
    OPENSSL_CONF=/dev/null openssl pkey -in "$work/$name.pem" -pubout -out "$work/$name.pub"
done
echo message >"$work/message"

# settings SETTING...: three tokens, and what else there is to say
settings() {
    conf_write "$work/openssl.cnf" "default signet" "tokens = one, two, three" \
        "token.one.uri = pkcs11:token=one" "token.one.pkcs11-module = $work/one.so" "token.one.pin = env:ONE_PIN" \
        "token.two.uri = pkcs11:token=two" "token.two.pkcs11-module = $work/two.so" "token.two.pin = file:$work/two.pin" \
        "token.three.uri = pkcs11:token=three" "token.three.pkcs11-module = $work/three.so" "token.three.pin = env:THREE_PIN" \
        "$@"
    export OPENSSL_CONF="$work/openssl.cnf"
}

# signs NAME KEY: the key signs, and the signature is that of NAME's key
signs() {
    rm -f "$work"/*.counts "$work/sig"
    openssl dgst -sha256 -sign "$2" -out "$work/sig" "$work/message" &&
        OPENSSL_CONF=/dev/null openssl dgst -sha256 -verify "$work/$1.pub" -signature "$work/sig" "$work/message"
}

# refused WORDS KEY: the key does not sign, and it says why
refused() {
    rm -f "$work"/*.counts
    ! openssl dgst -sha256 -sign "$2" -out "$work/sig" "$work/message" 2>"$work/why" && grep -q -e "$1" "$work/why"
}

count() {
    if [ -f "$work/$1.counts" ]; then "$build/tests/token/show-counts" "$work/$1.counts" "$2"; else echo 0; fi
}

# logins ONE TWO THREE: so many there were
logins() {
    test "$(count one Login) $(count two Login) $(count three Login)" = "$1 $2 $3"
}

settings "pkcs11-module = $work/one.so"
for name in one two three; do
    ok "a URI that names token $name: its key signs" signs $name "pkcs11:token=$name;object=www;type=private"
    case $name in one) ok "with one login, there" logins 1 0 0 ;; two) ok "with one login, there" logins 0 1 0 ;;
    three) ok "with one login, there" logins 0 0 1 ;; esac
done
ok "the other tokens' modules are not even started" test "$(count one Initialize) $(count two Initialize)" = "0 0"

serial=$(softhsm2-util --show-slots | awk '/Serial number:/ { serial = $3 } /Label: *two/ { print serial }')
ok "the URI may name the token by more than the configuration does" signs two "pkcs11:serial=$serial;token=two;object=www"
ok "and the login is one" logins 0 1 0
ok "or by something else altogether" signs two "pkcs11:serial=$serial;object=www"
ok "and no other token is logged in to" logins 0 1 0
settings "pkcs11-module = $work/one.so" "load = early"
ok "with load = early neither" signs two "pkcs11:token=two;object=www"
ok "is there any other login" logins 0 1 0

settings "pkcs11-module = $work/one.so"
ok "different keys of one name on all of them" refused "matches 3 different keys" "pkcs11:object=www;type=private"
printf '4444\n' >"$work/two.pin"
ok "a wrong PIN of one token" refused "PIN from file:$work/two.pin: C_Login: CKR_PIN_INCORRECT" "pkcs11:token=two;object=www"
ok "is sent once, and nowhere else" logins 0 1 0
ok "and keeps no other from signing" signs one "pkcs11:token=one;object=www"
printf '2222\n' >"$work/two.pin"

conf_write "$work/openssl.cnf" "default signet" "pkcs11-module = $work/one.so" "pin = 1111"
ok "a module that only the URI names serves" signs three "pkcs11:token=three;object=www?module-path=$work/three.so&pin-value=3333"
ok "with the URI's PIN" logins 0 0 1
ok "and the configuration's own is not looked at" test "$(count one Initialize)" = 0
ok "a token of another module is not found" refused "no token matches" "pkcs11:token=three;object=www"
ok "and its PIN is not tried elsewhere" logins 0 0 0

peers_file "$work/three.key" "pkcs11:token=three;object=www?module-path=$work/three.so&pin-value=3333"
ok "a key file that names a module is refused" refused "trust-files" "$work/three.key"
ok "before it is loaded" test "$(count three GetFunctionList)" = 0
conf_write "$work/openssl.cnf" "default signet" "pkcs11-module = $work/one.so" "trust-files = yes"
ok "unless files are trusted" signs three "$work/three.key"
tap_done
