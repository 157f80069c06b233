#!/bin/sh
# In every order of providers, a key on a token changes nothing for others, and is read wherever a software key is.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
setup_tls
setup_curves
types="test/ec test/rsa test/ed25519 test/ed448 test/rsa-pss"
for type in $curves; do
    types="$types test/$type"
done
modules=$SOFTHSM_MODULE
if has_pqc; then
    setup_soft $PQC
    modules=$modules,$soft_module
    for type in $PQC; do
        types="$types soft/$type"
    done
fi
cat "$work/ec.key" "$work/ec-chain.pem" >"$work/before.pem"
cat "$work/ec-chain.pem" "$work/ec.key" >"$work/after.pem"
for type in rsa ec ed25519; do
    peers_file "$work/peers-$type.pem" "pkcs11:token=test;object=$type;type=private"
done

# pem LABEL FILE: as PEM, whatever it is
pem() {
    echo "-----BEGIN $1-----"
    OPENSSL_CONF=/dev/null openssl base64 -in "$2"
    echo "-----END $1-----"
}
sed -n '/BEGIN/,$p' "$work/ec.key" | OPENSSL_CONF=/dev/null openssl asn1parse -noout -out "$work/ec.der" || exit 99
size=$(wc -c <"$work/ec.der")
head -c $((size - 10)) "$work/ec.der" >"$work/bad-cut.der"
{ head -c $((size - 1)) "$work/ec.der"; printf 'x'; } >"$work/bad-half.der" # a point that is not on the curve
pem "PRIVATE KEY" "$work/bad-cut.der" >"$work/bad-cut.key"
pem "PRIVATE KEY" "$work/bad-half.der" >"$work/bad-half.key"
pem "PKCS#11 PROVIDER URI" "$work/ec.der" >"$work/bad-label.pem"
peers_file "$work/bad-token.pem" "pkcs11:token=nope;object=ec;type=private"

# order TITLE ORDER [SETTING...]
order() {
    title=$1
    order=$2
    shift 2
    conf_modules "$order" "$modules" "$@"
    run_tap "$title" timeout 300 "$build/tests/tls/order" "$work" $types
}

query="default_properties = ?provider=signet"
order "default first" "default signet"
order "ours first" "signet default"
order "default first, ?provider=signet" "default signet" "$query"
order "ours first, ?provider=signet" "signet default" "$query"
order "two of ours, default first" "default signet signet2"
order "two of ours, the other way round, default first" "default signet2 signet"
order "two of ours, default last" "signet signet2 default"
order "two of ours, the other way round, default last" "signet2 signet default"
order "two of ours, default between" "signet default signet2"
order "two of ours, the other way round, default between, ?provider=signet2" "signet2 default signet" "default_properties = ?provider=signet2"
# A token without raw RSA (CKM_RSA_X_509): it removes the padding itself, and what it says of bad padding stays inside.
export SIGNET_TEST_WITHOUT=3
modules=$counter${modules#"$SOFTHSM_MODULE"}
order "a token without raw RSA" "default signet"
tap_done
