#!/bin/sh
# What tokens taught (docs/lessons.md), on a module that has their habits and ends a process that can't bear them.
. "$(dirname "$0")/../lib/setup.sh"
. "$top/tests/life/drive.sh"
setup_token
cd "$work" || exit 99
echo message >message
ec="pkcs11:token=test;object=ec;type=private"
rsa="pkcs11:token=test;object=rsa;type=private"
strict="$build/tests/life/.libs/strict.so"

odd_key ed25519 03 $ED25519
odd_key ed448 04 $ED448
conf "default signet" "pkcs11-module = $strict"
for type in ec rsa; do
    openssl pkey -in "pkcs11:token=test;object=$type;type=private" -out $type.key || exit 99
    openssl pkey -in "pkcs11:token=test;object=$type;type=private" -pubout -out $type.pub || exit 99
done
for key in "$ec" "$rsa" ec.key rsa.key; do
    case $key in *=ec\;* | ec.key) public=ec.pub ;; *) public=rsa.pub ;; esac
    # 1, 2, 5, 11: the module is gone at exit, writes to a dead daemon, is asked for no length, can't hash
    ok "${key##*object=}: a process signs, and ends with its own status" \
        openssl dgst -sha256 -sign "$key" -out sig message
    ok "  and the signature verifies" openssl dgst -sha256 -verify $public -signature sig message
done
# 6: what EdDSA is given
for type in ed25519 ed448; do
    openssl pkey -in "pkcs11:token=test;object=$type;type=private" -pubout -out $type.pub || exit 99
    ok "$type signs" openssl pkeyutl -sign -rawin -inkey "pkcs11:token=test;object=$type;type=private" -in message -out sig
    ok "  and the signature verifies" openssl pkeyutl -verify -rawin -pubin -inkey $type.pub -in message -sigfile sig
done
ok "a listing ends with its own status, too" openssl storeutl -noout pkcs11:token=test
ok "so does the command" "$signet" list pkcs11:token=test
not_ok "so does a process that fails" openssl pkey -in "pkcs11:token=test;object=none;type=private"
never_says "  with an error of its own" "strict:"
# The module is really so: a program that is not prepared dies of the first signature.
head -c 32 message >digest
env -u OPENSSL_CONF pkcs11-tool --module "$strict" --token-label test --login --pin "$PIN" --sign --mechanism ECDSA --id 01 \
    --input-file digest --output-file sig >out 2>&1
ok "another program dies of it, by SIGPIPE or by being told" test $? -ge 97
# 2, 4, 7, 9, 12: eight threads, three sessions, failures that leave operations active, a child
ok "eight threads with three sessions: every signature is made; a child's, too" \
    "$build/tests/life/threads" 2048 "$ec" "$rsa" "$work/rsa.key" "$work/ec.key"

# 3: each of the ways in which a token says that it is gone, from either call

# struck CALL: how often it has failed on request
struck() {
    "$build/tests/token/show-counts" counts "$1" struck
}
conf "default signet" "pkcs11-module = $counter"
export SIGNET_TEST_COUNTS="$work/counts"
driver_start
expect "loaded" done load key "$rsa"
expect "signs" signed sign key
for code in DEVICE_ERROR DEVICE_REMOVED GENERAL_ERROR SESSION_HANDLE_INVALID TOKEN_NOT_PRESENT CRYPTOKI_NOT_INITIALIZED \
    FUNCTION_FAILED; do
    for call in SignInit Sign; do
        before=$(struck $call)
        "$build/tests/token/set-faults" counts "$call:rv=CKR_$code" || exit 99
        expect "C_$call says once that the token is gone ($code): the signature is made" signed sign key
        ok "  it did say so" test "$(struck $call)" = $((before + 1))
    done
done
driver_end "the process ends with its own status"
unset SIGNET_TEST_COUNTS

# 10: SoftHSM's private keys show neither CKA_PUBLIC_KEY_INFO nor a point: the public half is elsewhere
conf
openssl req -new -x509 -key "$ec" -subj /CN=ec -days 30 -outform DER -out ec.der || exit 99
token_tool test "$PIN" --write-object ec.der --type cert --label ec --id 01 >/dev/null 2>&1 || exit 99
token_tool test "$PIN" --delete-object --type pubkey --label ec >/dev/null 2>&1 || exit 99
ok "without a public key on the token, the certificate shows the public half" openssl pkey -in "$ec" -pubout -out shown.pub
ok "  which is the key's" cmp shown.pub ec.pub
ok "  and the key signs" openssl dgst -sha256 -sign "$ec" -out sig message
ok "  what verifies" openssl dgst -sha256 -verify ec.pub -signature sig message
token_tool test "$PIN" --delete-object --type pubkey --label rsa >/dev/null 2>&1 || exit 99
ok "an RSA key shows its own" openssl pkey -in "$rsa" -pubout -out shown.pub
ok "  which is right" cmp shown.pub rsa.pub
token_tool test "$PIN" --delete-object --type cert --label ec >/dev/null 2>&1 || exit 99
not_ok "with neither, there is no key by URI" openssl pkey -in "$ec" -noout
says "  and the error says what is missing" 'neither a public key nor a certificate'
ok "  but a key file holds the public half itself" openssl dgst -sha256 -sign ec.key -out sig message
ok "  and signs right" openssl dgst -sha256 -verify ec.pub -signature sig message
tap_done
