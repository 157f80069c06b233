#!/bin/sh
# Keys that want a login for each operation (CKA_ALWAYS_AUTHENTICATE), on a token that insists on it and counts.
. "$(dirname "$0")/../lib/setup.sh"
. "$top/tests/life/drive.sh"
trap 'tap_end; rm -rf "$work"' EXIT
cd "$work" || exit 99
token_home "$work"
token_make test "$PIN" || exit 99
for key in EC:prime256v1=ec=01 rsa:2048=rsa=02; do
    IFS== read -r type name id <<TEXT
$key
TEXT
    token_tool test "$PIN" --keypairgen --key-type "$type" --label "$name" --id "$id" --sensitive --always-auth \
        >/dev/null 2>&1 || exit 99
done
conf "default signet" "pkcs11-module = $counter" "deadline = 5"
export SIGNET_TEST_COUNTS="$work/counts"
echo "the message" >message
uri() {
    echo "pkcs11:token=test;object=$1;type=private"
}
# calls FUNCTION: how many since calls_from_here
calls() {
    calls_before=$(sed -n "s/^C_$1 //p" from)
    echo $(($("$build/tests/token/show-counts" counts "$1") - ${calls_before:-0}))
}
calls_from_here() {
    "$build/tests/token/show-counts" counts >from
}

for type in ec rsa; do
    openssl pkey -in "$(uri $type)" -pubout -out $type.pub || exit 99
    openssl pkey -in "$(uri $type)" -out $type.key || exit 99
    ok "$type signs by URI" openssl dgst -sha256 -sign "$(uri $type)" -out sig message
    ok "$type: rightly" openssl dgst -sha256 -verify $type.pub -signature sig message
    ok "$type signs by key file" openssl dgst -sha256 -sign $type.key -out sig message
done
ok "something is encrypted" openssl pkeyutl -encrypt -pubin -inkey rsa.pub -pkeyopt rsa_padding_mode:oaep -in message \
    -out secret
calls_from_here
ok "and decrypted" openssl pkeyutl -decrypt -inkey rsa.key -pkeyopt rsa_padding_mode:oaep -in secret -out plain
ok "rightly" cmp plain message
ok "with a login, and another one for the operation" test "$(calls Login)" = 2

driver_start env
for type in ec rsa; do
    expect "$type: loaded" done load $type "$(uri $type)"
    expect "$type: signs" signed sign $type
    calls_from_here
    expect "$type: ten times" signed sign $type 10
    ok "$type: with a login for each" test "$(calls Login)" = 10
    ok "$type: and no session but the first" test "$(calls OpenSession)" = 0
done
for i in 1 2 3 4; do tell load ec$i "$(uri ec)"; done
for i in 1 2 3 4; do tell begin ec$i; done
for i in 1 2 3 4; do expect "at once with others, thread $i" signed end ec$i; done
"$build/tests/token/set-faults" counts "Login:rv=CKR_DEVICE_REMOVED"
expect "a token that is pulled in the login for a signature, and back, fails nothing" signed sign ec
"$build/tests/token/set-faults" counts "Sign:rv=CKR_USER_NOT_LOGGED_IN"
expect "nor does another program's command between login and signature" signed sign ec
calls_from_here
"$build/tests/token/set-faults" counts "Login:rv=CKR_PIN_INCORRECT"
expect "a PIN that is refused there is an error" "error *PIN*" sign ec
ok "after one try" test "$(calls Login)" = 1
calls_from_here
expect "and stays refused" "error *PIN*" sign ec
ok "without another try" test "$(calls Login)" = 0
driver_end "the process ends with its own status"

conf "default signet" "pkcs11-module = $counter" "max-sessions = 1"
ok "one session is enough" openssl dgst -sha256 -sign "$(uri ec)" -out sig message
conf_write none.cnf "default signet" "pkcs11-module = $SOFTHSM_MODULE"
not_ok "without a PIN it is an error" env OPENSSL_CONF=none.cnf openssl dgst -sha256 -sign ec.key -out sig message
says "that names what is missing" 'PIN'
tap_done
