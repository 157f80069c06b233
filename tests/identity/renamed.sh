#!/bin/sh
# Key files whose token was given another label, on SoftHSM: keys with an id of their own, with none, with another's, and
# with no public half on the token at all.
. "$(dirname "$0")/../lib/setup.sh"
token_home "$work"
token_make test "$PIN" || exit 99
curve=06082a8648ce3d030107
odd_key none "" $curve
odd_key first 01 $curve
odd_key second 01 $curve
odd_key own 05 $curve
odd_key alone 07 $curve
odd_key ed 08 $ED25519
token_key test "$PIN" rsa:2048 rsa 02 || exit 99
conf
cd "$work" || exit 99
echo "the message" >message
keys="none first second own alone ed rsa"
signs() {
    openssl pkeyutl -sign -rawin -inkey $1.key -in message -out sig && openssl pkeyutl -verify -rawin -pubin -inkey $1.pub -in message -sigfile sig
}
for key in $keys; do
    "$signet" key-file -o $key.key "pkcs11:token=test;object=$key" || exit 99
    openssl pkey -in $key.key -pubout -out $key.pub || exit 99
    ok "$key: the key file signs" signs $key
done
env -u OPENSSL_CONF pkcs11-tool --module "$SOFTHSM_MODULE" --token-label test --login --pin "$PIN" --delete-object --type pubkey --id 07 \
    >/dev/null 2>&1 || exit 99

# relabel: SoftHSM has no tool for it
relabel() {
    sed -i "s/$(printf '%-32s' "$1")/$(printf '%-32s' "$2")/" "$work"/tokens/*/token.object
}
relabel test renamed
ok "the token has another label" sh -c "'$signet' list 2>/dev/null | grep -q \"token 'renamed'\""
for key in $keys; do
    case $key in
    alone) continue ;; # below
    esac
    ok "$key: the key file signs on" signs $key
    says "$key: and says what changed" "token was 'test', is 'renamed'"
    uri=$(sed -n "s/.*signet key-file '\(pkcs11:[^']*\)'.*/\1/p" out | head -n 1)
    ok "$key: what it says to write is written" "$signet" key-file --public-key $key.pub -o $key.new "$uri"
    cp $key.key $key.old && cp $key.new $key.key
    ok "$key: and signs" signs $key
    never_says "$key: without another word" 'is found by its public half'
    cp $key.old $key.key
done
not_ok "a token that shows the public half to nobody may be another one: no PIN is tried on it" signs alone
says "and the error says in what it differs" "'renamed' differs: token was 'test', is 'renamed'"
conf_write openssl.cnf "default signet" "pkcs11-module = $SOFTHSM_MODULE" "tokens = mine" "token.mine.uri = pkcs11:token=renamed" \
    "token.mine.pin = file:$work/pin"
ok "unless the configuration has that PIN for it" signs alone
tap_done
