#!/bin/sh
# Signet beside pkcs11-provider in one process: keys of every type, each provider with its own, in every order. Whatever
# the other does without us it does with us, and what is ours works as if it were not there. Part of `make check-matrix`.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/../tls/setup.sh"
lines=0
failed=0
peer=$(OPENSSL_CONF=/dev/null openssl version -m | sed 's/.*"\(.*\)".*/\1/')/pkcs11.so
if ! [ -e "$peer" ]; then
    echo "not ok 1 - pkcs11-provider is installed (check-matrix does that)"
    echo "1..1"
    exit 1
fi
# It may be built for another libcrypto than this OpenSSL's (Debian's OpenSSL 4.0 is experimental): then the process holds
# both, and all the same is demanded.
crypto_of() {
    ldd "$1" | sed -n 's/.*\(libcrypto\.so\.[0-9]*\) .*/\1/p'
}
echo "# pkcs11-provider uses $(crypto_of "$peer"), Signet $(crypto_of "$build/.libs/signet.so")"
setup_tls
id=30
for type in ec rsa ed25519 ed448 rsa-pss; do
    case $type in
    ec) what=06082a8648ce3d030107 ;;
    rsa) what=rsa ;;
    ed25519) what=$ED25519 ;;
    ed448) what=$ED448 ;;
    rsa-pss) what=$RSA_PSS ;;
    esac
    id=$((id + 1))
    odd_key their-$type $id $what
    pki_leaf "$work" "pkcs11:token=test;object=their-$type;type=private" their-$type "/CN=localhost" serverAuth,clientAuth \
        DNS:localhost || exit 99
done
cat "$work/ec.key" "$work/ec-chain.pem" >"$work/before.pem"
cat "$work/ec-chain.pem" "$work/ec.key" >"$work/after.pem"
peers_file "$work/peers.pem" "pkcs11:token=test;object=rsa;type=private"
PEER_SETTINGS="module = $peer
pkcs11-module-path = $SOFTHSM_MODULE
pkcs11-module-token-pin = file:$work/pin
pkcs11-module-quirks = no-deinit"

# renumbered TITLE: the program's lines in $work/out; one that died says so
renumbered() {
    grep -q '^1\.\.' "$work/out" || echo "not ok - ended early" >>"$work/out"
    while IFS= read -r line; do
        case $line in
        "ok "* | "not ok "*)
            lines=$((lines + 1))
            case $line in not*) failed=$((failed + 1)) ;; esac
            echo "$line" | sed "s/ok [0-9]* *-/ok $lines - $1:/"
            ;;
        esac
    done <"$work/out"
    sed 's/^/# /' "$work/err"
}

# beside TITLE ORDER [SETTING...]: what pkcs11-provider does alone is asked in the same order without us
beside() {
    title=$1
    order=$2
    shift 2
    conf "$(echo "$order" | sed 's/signet *//')" "$@"
    timeout 120 "$build/tests/tls/beside" "$work" alone >"$work/can" 2>"$work/err"
    sed "s/^/# $title: alone it /" "$work/can"
    conf "$order" "$@"
    timeout 300 "$build/tests/tls/beside" "$work" beside <"$work/can" >"$work/out" 2>"$work/err"
    renumbered "$title"
}

# ours TITLE PROGRAM ORDER: a program that knows only us, where URIs are ours by preference
ours() {
    title=$1
    program=$2
    conf "$3" "default_properties = ?provider=signet"
    shift 3
    timeout 300 "$build/tests/tls/$program" "$work" "$@" >"$work/out" 2>"$work/err"
    renumbered "$title"
}

# The other must come after default: before it, it waits for itself in SoftHSM, which uses libcrypto in turn, for ever
# (seen with 1.3.0, without us).
beside "default, Signet, the other" "default signet pkcs11"
beside "default, the other, Signet" "default pkcs11 signet"
beside "Signet, default, the other" "signet default pkcs11"
beside "?provider=signet" "signet default pkcs11" "default_properties = ?provider=signet"
ours "order, the other between" order "default pkcs11 signet"
ours "order, the other last" order "signet default pkcs11"
ours "handshakes, the other between" handshakes "default pkcs11 signet" good
ours "handshakes, the other last" handshakes "signet default pkcs11" good
echo "1..$lines"
[ $failed -eq 0 ]
