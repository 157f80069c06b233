#!/bin/sh
# The listing leaves nothing out: what can't be used has its reason, and each URI that is printed leads back to its object.
. "$(dirname "$0")/../lib/setup.sh"
setup_token
conf
cd "$work" || exit 99
test_token=pkcs11:token=test

# uris: those of the listing in `said`
uris() {
    sed -n 's/^ *\(pkcs11:.*\)$/\1/p' said
}

# --- what can't be used
OPENSSL_CONF=/dev/null openssl genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024 -out dsa.params 2>/dev/null
OPENSSL_CONF=/dev/null openssl genpkey -paramfile dsa.params -out dsa.pem || exit 99
env -u OPENSSL_CONF softhsm2-util --import dsa.pem --token test --pin $PIN --label dsa --id 21 >import.out 2>&1 || { cat import.out; exit 99; }
ok "a listing with a key of a type that is not served" "$signet" list $test_token
says "has its private half" "private key  of type 0x1, 'dsa', id 21"
says "and its public half" "public key   of type 0x1, 'dsa', id 21"
ok "with the reason, which is its type" test "$(grep -c "can't be used: keys of type 0x1 are not served" out)" = 2
conf "default signet" "require = local"
OPENSSL_CONF=/dev/null openssl genpkey -algorithm RSA -out imported.pem 2>/dev/null
env -u OPENSSL_CONF softhsm2-util --import imported.pem --token test --pin $PIN --label imported --id 23 >import.out 2>&1 || { cat import.out; exit 99; }
ok "what the setting require refuses is listed" "$signet" list "$test_token"
says "with its size" "private key  RSA 2048, 'imported', id 23"
says "and the reason" "can't be used: key 'imported' is not local, as the setting require demands"
conf
ok "without a URI" "$signet" list # SoftHSM always has one more slot
says "a token that is not initialised is told of" "1 token is not initialised, and has no keys yet"
"$signet" list $test_token >out 2>&1
never_says "which is no part of another one" 'not initialised'
odd_key alone-ed 24 $ED25519
odd_key alone-x 25 xed:06032b656e
for id in 24 25; do
    env -u OPENSSL_CONF pkcs11-tool --module "$SOFTHSM_MODULE" --token-label test --login --pin $PIN --delete-object --type pubkey --id $id >/dev/null 2>&1
done
ok "keys alone on their token" "$signet" list $test_token
says "are listed by their curve: Ed25519" "private key  ED25519, 'alone-ed', id 24"
says "X25519" "private key  X25519, 'alone-x', id 25"

# --- a certificate of another key under a key's name
p256=06082a8648ce3d030107
odd_key fooled 26 $p256
env -u OPENSSL_CONF pkcs11-tool --module "$SOFTHSM_MODULE" --token-label test --login --pin $PIN --delete-object --type pubkey --id 26 >/dev/null 2>&1
OPENSSL_CONF=/dev/null openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout others.pem -subj /CN=others -outform DER -out others.crt 2>/dev/null
env -u OPENSSL_CONF pkcs11-tool --module "$SOFTHSM_MODULE" --token-label test --login --pin $PIN --write-object others.crt --type cert --label fooled --id 26 >/dev/null
not_ok "another key's certificate is no public half" openssl pkey -pubin -in "$test_token;object=fooled" -noout
says "which is told" "no public half of key 'fooled' is to be seen"

# --- each URI leads back
token_make odd $PIN || exit 99
odd() {
    env -u OPENSSL_CONF "$build/tests/token/make-key" "$SOFTHSM_MODULE" odd $PIN "$@" || exit 99
}
p256=06082a8648ce3d030107
long=$(printf '%0600d' 0 | sed 's/00/4c/g')
odd hex:$long 31 $p256                   # 300 bytes
odd hex:6e756c00 32 $p256                # a NUL at the end
odd hex:61006200 33 $p256                # and one within
odd "blanks  " 34 $p256
odd "  before" 35 $p256
odd hex:fffec328 36 $p256                # no UTF-8
odd "a;b=c&d?e/f%g#h\"i\\j'k" 37 $p256
odd "caf$(printf '\303\251')" 38 $p256
odd "$(printf 'two\nlines')" 39 $p256
odd "long id" $long$long 06052b81040022  # 600 bytes
odd "null id" 0000 $p256
odd "" 3a $p256                          # no label
odd "no id" "" $p256
odd "$(printf 'x%.0s' $(seq 255))" 3b $p256
"$signet" list pkcs11:token=odd >said || exit 99
uris >odd.uris
run_tap "odd names" "$build/tests/identity/loads" 28 <odd.uris
ok "nothing of an odd name reaches the terminal as it is" sh -c '! LC_ALL=C grep -q "[[:cntrl:]]" said'

mkdir many
OPENSSL_CONF=/dev/null openssl genpkey -algorithm ED25519 -out one.pem 2>/dev/null || exit 99
for i in $(seq 1000); do ln one.pem many/key-$i.pem; done
SIGNET_TEST_KEYS=$work/many
export SIGNET_TEST_KEYS
conf "default signet" "pkcs11-module = $build/tests/token/.libs/soft-token.so"
"$signet" list >said || exit 99
uris >many.uris
run_tap "2,000 objects" "$build/tests/identity/loads" 2000 <many.uris
tap_done
