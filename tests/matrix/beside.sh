#!/bin/sh
# Signet beside pkcs11-provider in one process: keys of every type, each provider with its own, in every order. Whatever
# the other does without us it does with us, and what is ours works as if it were not there. Part of `make check-matrix`.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/../tls/setup.sh"
peer=$(OPENSSL_CONF=/dev/null openssl version -m | sed 's/.*"\(.*\)".*/\1/')/pkcs11.so
if ! [ -e "$peer" ]; then
    tap_line 1 "pkcs11-provider is installed (check-matrix does that)"
    tap_done
    exit 1
fi
# It may be built for another libcrypto than this OpenSSL's (Debian's OpenSSL 4.0 is experimental): then the process holds
# both, and all the same is demanded.
crypto_of() {
    ldd "$1" | sed -n 's/.*\(libcrypto\.so\.[0-9]*\) .*/\1/p'
}
echo "# pkcs11-provider uses $(crypto_of "$peer"), Signet $(crypto_of "$build/.libs/signet.so")"
setup_tls
setup_curves
id=30
for type in ec=06082a8648ce3d030107 rsa=rsa ed25519=$ED25519 ed448=$ED448 "rsa-pss=$RSA_PSS" $CURVES; do
    id=$((id + 1))
    odd_key their-${type%%=*} $id ${type#*=}
    token_identity test their-${type%%=*}
done
# Types that pkcs11-provider may not have, and one that it has, on a token that has them all.
soft_types="RSA $PQC"
setup_soft $soft_types $(printf 'their-%s ' $soft_types)
for type in $soft_types; do
    soft_identity $type -algorithm $type
done
cat "$work/ec.key" "$work/ec-chain.pem" >"$work/before.pem"
cat "$work/ec-chain.pem" "$work/ec.key" >"$work/after.pem"
peers_file "$work/peers.pem" "pkcs11:token=test;object=rsa;type=private"

# on TOKEN MODULE TYPE[,VERSION]...: the token of what follows, and its keys
on() {
    token=$1
    module=$2
    shift 2
    types=$*
    PEER_SETTINGS="module = $peer
pkcs11-module-path = $module
pkcs11-module-token-pin = file:$work/pin
pkcs11-module-quirks = no-deinit"
}

# beside TITLE ORDER [SETTING...]: what pkcs11-provider does alone is asked in the same order without us
beside() {
    title="$token: $1"
    order=$2
    shift 2
    conf "$(echo "$order" | sed 's/signet *//')" "pkcs11-module = $module" "$@"
    timeout 120 "$build/tests/tls/beside" "$work" alone $token $types >"$work/can" 2>"$work/out"
    sed "s/^/# $title: alone it /" "$work/can"
    conf "$order" "pkcs11-module = $module" "$@"
    run_tap "$title" timeout 300 "$build/tests/tls/beside" "$work" beside $token $types <"$work/can"
}

# ours TITLE ORDER PROGRAM [ARGUMENT...]: a program that knows only us, where URIs are ours by preference
ours() {
    title=$1
    conf_modules "$2" "$SOFTHSM_MODULE,$soft_module" "default_properties = ?provider=signet"
    program=$3
    shift 3
    run_tap "$title" timeout 300 "$build/tests/tls/$program" "$@"
}

orders() {
    beside "default, Signet, the other" "default signet pkcs11"
    beside "default, the other, Signet" "default pkcs11 signet"
    beside "Signet, default, the other" "signet default pkcs11"
    beside "?provider=signet" "signet default pkcs11" "default_properties = ?provider=signet"
}
# Where the other comes before default or is preferred, it takes every verification to its token, those of certificates,
# too, and the token of our own has none: no handshakes. With SoftHSM, which uses libcrypto in turn, it waits for itself
# for ever there (seen with 1.3.0, without us).
its_orders() {
    beside "the other, default, Signet" "pkcs11 default signet"
    beside "the other, Signet, default" "pkcs11 signet default"
    beside "Signet, the other, default" "signet pkcs11 default"
    beside "?provider=pkcs11" "default signet pkcs11" "default_properties = ?provider=pkcs11"
}
on soft "$soft_module" $soft_types
its_orders
on soft "$soft_module" RSA,1.2,1.3 ML-DSA-44,1.3 ML-DSA-65,1.3 ML-DSA-87,1.3 SLH-DSA-SHA2-128f
orders
on test "$SOFTHSM_MODULE" ec,1.2,1.3 rsa,1.2,1.3 rsa-pss,1.2,1.3 ed25519,1.2,1.3 ed448,1.2,1.3 P-384,1.2,1.3 P-521,1.2,1.3 \
    secp256k1 brainpoolP256r1,1.3
orders
all="test/ec test/rsa test/ed25519 test/ed448 test/rsa-pss $(printf 'test/%s ' $curves) $(printf 'soft/%s ' $PQC)"
ours "order, the other between" "default pkcs11 signet" order --beside "$work" $all
ours "order, the other last" "signet default pkcs11" order --beside "$work" $all
ours "handshakes, the other between" "default pkcs11 signet" handshakes "$work" good
ours "handshakes, the other last" "signet default pkcs11" handshakes "$work" good
tap_done
