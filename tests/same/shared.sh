#!/bin/sh
# Secrets shared with a key on a token, and its public half alone, beside the same key in a file: tests/same/shared.c.
. "$(dirname "$0")/../lib/setup.sh"
mkdir "$work/keys"
export SIGNET_TEST_KEYS=$work/keys
cd "$work" || exit 99

made() { # NAME ALGORITHM [OPTION...]
    made_name=$1
    made_type=$2
    shift 2
    OPENSSL_CONF=/dev/null openssl genpkey -algorithm "$made_type" -out "keys/$made_name.pem" "$@" 2>/dev/null || exit 99
}
made rsa RSA -pkeyopt rsa_keygen_bits:2048
made ec EC -pkeyopt ec_paramgen_curve:P-256
made other EC -pkeyopt ec_paramgen_curve:P-256
made x25519 X25519
shared="$build/tests/same/shared"

conf "default signet" "pkcs11-module = $build/tests/token/.libs/soft-token.so"
run_tap "RSA" "$shared" encapsulation "pkcs11:token=soft;object=rsa;type=private" keys/rsa.pem
for name in rsa ec x25519; do
    run_tap "quiet" "$shared" quiet "pkcs11:token=soft;object=$name;type=private" keys/$name.pem
done
cp "$OPENSSL_CONF" own.cnf
OPENSSL_CONF=/dev/null run_tap "elsewhere" "$shared" elsewhere "pkcs11:token=soft;object=rsa;type=private" own.cnf
run_tap "EC" "$shared" agreement "pkcs11:token=soft;object=ec;type=private" keys/ec.pem
run_tap "X25519" "$shared" agreement "pkcs11:token=soft;object=x25519;type=private" keys/x25519.pem

# A token that shows no public keys: RSA's is in the private object, EC's in a certificate.
token_home "$work"
token_make test "$PIN" || exit 99
conf
for key in rsa:01 ec:02; do
    name=${key%:*}
    softhsm2-util --import keys/$name.pem --token test --pin "$PIN" --label $name --id ${key#*:} >/dev/null || exit 99
    token_tool test "$PIN" --delete-object --type pubkey --label $name >/dev/null 2>&1
done
for name in ec other; do
    OPENSSL_CONF=/dev/null openssl req -new -x509 -key keys/$name.pem -subj /CN=$name -days 1 -outform DER -out $name.der || exit 99
done
token_tool test "$PIN" --write-object ec.der --type cert --id 02 --label ec >/dev/null 2>&1 || exit 99
token_tool test "$PIN" --write-object other.der --type cert --id 03 --label other >/dev/null 2>&1 || exit 99
token_tool test "$PIN" --write-object other.der --type cert --id 04 --label rsa >/dev/null 2>&1 || exit 99
run_tap "SoftHSM" "$shared" encapsulation "pkcs11:token=test;object=rsa;type=private" keys/rsa.pem
run_tap "by its label, which another key's certificate bears, too" "$shared" public "pkcs11:token=test;object=rsa" keys/rsa.pem
run_tap "by its type, too" "$shared" public "pkcs11:token=test;object=rsa;type=public" keys/rsa.pem
run_tap "by its certificate" "$shared" public "pkcs11:token=test;object=ec" keys/ec.pem
run_tap "of a certificate without a key" "$shared" public "pkcs11:token=test;object=other;type=public" keys/other.pem
openssl pkey -in keys/rsa.pem -pubout -out rsa.pub || exit 99
ok "pkey reads it" openssl pkey -pubin -in "pkcs11:token=test;object=rsa" -out again.pub
ok "as it is" cmp rsa.pub again.pub
not_ok "a name that nothing has is none" openssl pkey -pubin -in "pkcs11:token=test;object=nobody" -noout
says "for the reason that was asked for" 'no .*key that matches'
tap_done
