#!/bin/sh
# In every order of providers, a key on a token changes nothing for others, and is read wherever a software key is.
. "$(dirname "$0")/../lib/setup.sh"
. "$(dirname "$0")/setup.sh"
setup_tls
cat "$work/ec.key" "$work/ec-chain.pem" >"$work/before.pem"
cat "$work/ec-chain.pem" "$work/ec.key" >"$work/after.pem"
lines=0
peers_file "$work/peers.pem" "pkcs11:token=test;object=rsa;type=private"

order() {
    title=$1
    shift
    conf "$@"
    "$build/tests/tls/order" "$work" >"$work/out" 2>"$work/err"
    grep -q '^1\.\.' "$work/out" || echo "not ok - ended early" >>"$work/out"
    while IFS= read -r line; do
        case $line in "ok "* | "not ok "*) lines=$((lines + 1)); echo "$line" | sed "s/ok [0-9]* -/ok $lines - $title:/" ;; esac
    done <"$work/out"
    sed 's/^/# /' "$work/err"
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
order "a token without raw RSA" "default signet" "pkcs11-module = $counter"
echo "1..$lines"
